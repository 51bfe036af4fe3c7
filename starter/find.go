package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// findRun returns a run and what its row does not say. A run that has no row is put
// together from what Temporal knows; without Temporal it is unknown.
func (c *cli) findRun(ctx context.Context, store mesh.Store, id string) (run *mesh.Run, extra runExtra, err error) {
	run, err = store.Run(ctx, id)
	unknown, missing := errors.AsType[*mesh.NotFoundError](err)
	switch {
	case err == nil:
		holder, err := store.Holder(ctx, run.Connector)
		extra = runExtra{State: stateOf(run, holder)}
		extra.DryRun = ofDryRun(run)
		return run, extra, err
	case !missing || !runID.MatchString(id):
		return nil, runExtra{}, err
	}
	reached := false
	err = c.withTemporal(ctx, "", func(t temporalClient) error {
		reached = true
		var err error
		run, extra, err = c.runInTemporal(ctx, store, t, id)
		return err
	})
	if err != nil && (!reached || outage(err)) {
		return nil, runExtra{}, unknown
	}
	return run, extra, err
}

// shadowPrefix is how the mesh names the copy of a connector that a dry run writes to:
// ~dry/<connector>/<run>.
const shadowPrefix = "~dry/"

// ofDryRun tells whether a row is of a dry run, and gives it its connector's name. The
// row lives as long as the copy.
func ofDryRun(run *mesh.Run) bool {
	rest, dry := strings.CutPrefix(run.Connector, shadowPrefix)
	if dry {
		run.Connector, _, _ = strings.Cut(rest, "/")
	}
	return dry
}

// runInTemporal puts a run without a row together.
func (c *cli) runInTemporal(ctx context.Context, store mesh.Store, t temporalClient, id string) (*mesh.Run, runExtra, error) {
	workflowID, err := findWorkflow(ctx, t, id)
	if err != nil {
		return nil, runExtra{}, err
	}
	d, err := t.DescribeWorkflowExecution(ctx, workflowID, "") // the newest: a long import continues as new
	if err != nil {
		return nil, runExtra{}, fmt.Errorf("look at workflow %s: %w", workflowID, err)
	}
	info := d.GetWorkflowExecutionInfo()
	f := &follower{c: c, t: t, ref: runRef{
		runID: id, workflowID: workflowID, queue: d.GetExecutionConfig().GetTaskQueue().GetName(),
		connector: keyword(info, workflows.ConnectorAttribute), mode: keyword(info, workflows.ModeAttribute),
	}}
	if at := info.GetStartTime(); at != nil {
		f.ref.startedAt = at.AsTime()
	}
	progress, silent := f.ask(ctx)
	if ctx.Err() != nil {
		return nil, runExtra{}, ctx.Err()
	}
	f.last = progress
	if info.GetCloseTime() != nil {
		result, err := f.end(ctx)
		if _, ended := errors.AsType[*temporal.WorkflowExecutionError](err); err != nil && !ended {
			return nil, runExtra{}, fmt.Errorf("read the result of run %s: %w", id, err)
		}
		run, err := f.record(ctx, store, result, err)
		return run, runExtra{DryRun: f.dryRun()}, err
	}
	run := f.composed()
	run.APICalls, run.RateLimitWaits = f.last.APICalls, f.last.Waits
	switch {
	case silent != nil:
		queue := cmp.Or(f.ref.queue, c.taskQueue())
		c.notef("note: nobody answers for run %s (%v): it waits for a worker. %s", id, silent,
			cmp.Or(c.whyWaiting(ctx, t, queue), c.startAWorker(queue)))
		return run, runExtra{stateWaiting, f.dryRun()}, nil
	case f.last.Phase == workflows.Waiting:
		return run, runExtra{stateWaiting, f.dryRun()}, nil
	}
	return run, runExtra{stateRunning, f.dryRun()}, nil
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
