package main

import (
	"context"
	"errors"
	"fmt"

	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// findRun returns a run and, while it has no outcome, its state. A run that has no
// row is put together from what Temporal knows; without Temporal it is unknown.
func (c *cli) findRun(ctx context.Context, store mesh.Store, id string) (run *mesh.Run, state string, err error) {
	run, err = store.Run(ctx, id)
	unknown, missing := errors.AsType[*mesh.NotFoundError](err)
	switch {
	case err == nil:
		holder, err := store.Holder(ctx, run.Connector)
		return run, stateOf(run, holder), err
	case !missing || !runID.MatchString(id):
		return nil, "", err
	}
	reached := false
	err = c.withTemporal(ctx, "", func(t temporalClient) error {
		reached = true
		var err error
		run, state, err = c.runInTemporal(ctx, store, t, id)
		return err
	})
	if err != nil && (!reached || outage(err)) {
		return nil, "", unknown
	}
	return run, state, err
}

// runInTemporal puts a run without a row together.
func (c *cli) runInTemporal(ctx context.Context, store mesh.Store, t temporalClient, id string) (*mesh.Run, string, error) {
	workflowID, err := findWorkflow(ctx, t, id)
	if err != nil {
		return nil, "", err
	}
	d, err := t.DescribeWorkflowExecution(ctx, workflowID, "") // the newest: a long import continues as new
	if err != nil {
		return nil, "", fmt.Errorf("look at workflow %s: %w", workflowID, err)
	}
	info := d.GetWorkflowExecutionInfo()
	f := &follower{c: c, t: t, ref: runRef{
		runID: id, workflowID: workflowID,
		connector: keyword(info, workflows.ConnectorAttribute), mode: keyword(info, workflows.ModeAttribute),
	}}
	if at := info.GetStartTime(); at != nil {
		f.ref.startedAt = at.AsTime()
	}
	progress, silent := f.ask(ctx)
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	f.last = progress
	if info.GetCloseTime() != nil {
		result, err := f.end(ctx)
		if _, ended := errors.AsType[*temporal.WorkflowExecutionError](err); err != nil && !ended {
			return nil, "", fmt.Errorf("read the result of run %s: %w", id, err)
		}
		run, err := f.record(ctx, store, result, err)
		return run, "", err
	}
	run := f.composed()
	run.APICalls, run.RateLimitWaits = f.last.APICalls, f.last.Waits
	switch {
	case silent != nil:
		c.notef("note: nobody answers for run %s (%v): it waits for a worker. %s", id, silent, startAWorker)
		return run, stateWaiting, nil
	case f.last.Phase == workflows.Waiting:
		return run, stateWaiting, nil
	}
	return run, stateRunning, nil
}

// keyword is a search attribute of a workflow, "" when it has none.
func keyword(info *workflow.WorkflowExecutionInfo, key temporal.SearchAttributeKeyKeyword) string {
	var v string
	p := info.GetSearchAttributes().GetIndexedFields()[key.GetName()]
	if p == nil || converter.GetDefaultDataConverter().FromPayload(p, &v) != nil {
		return ""
	}
	return v
}
