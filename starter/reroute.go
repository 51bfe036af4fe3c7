package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// followRoute sees to it that all of a connector goes where its definition says, after that
// was applied: its schedule, a run under way, its open hold. before is the route until then,
// where nobody may be any more. The definition counts already, so what cannot be done is
// said, and no failure.
func (c *cli) followRoute(ctx context.Context, store mesh.Store, def *connector.Definition, before string) {
	route := def.Config.TaskQueue
	if route == "" && before == "" {
		return
	}
	queue := cmp.Or(route, c.taskQueue())
	var running []string
	err := c.withTemporal(ctx, "", func(t temporalClient) (err error) {
		running, err = c.moveSchedule(ctx, t, def.Name, queue)
		return err
	})
	if err == nil {
		err = c.endRunsElsewhere(ctx, store, def.Name, queue, running)
	}
	if err == nil {
		err = c.moveOpenHold(ctx, store, def.Name, queue)
	}
	if err != nil {
		c.notef("warning: connector %s is imported on task queue %q from now on, but whether its schedule, its runs and its held deletes are there is not known: %v\n"+
			"  apply the definition once more; 'starter connector check %[1]s' shows where the schedule starts imports", def.Name, queue, err)
	}
}

// moveSchedule has the schedule of a connector start its imports on queue, if it has one
// that does not, and returns the workflows that it has running.
func (c *cli) moveSchedule(ctx context.Context, t temporalClient, name, queue string) (running []string, _ error) {
	d, err := t.ScheduleClient().GetHandle(ctx, scheduleID(name)).Describe(ctx)
	if noSchedule(err) {
		return nil, nil
	}
	if err != nil {
		return nil, scheduleError("read", name, err)
	}
	for _, r := range d.Info.RunningWorkflows {
		running = append(running, r.WorkflowID)
	}
	before := queueOfSchedule(d)
	if before == queue {
		return running, nil
	}
	payloads, err := c.payloads()
	if err != nil {
		return nil, err
	}
	in, err := inputOf(d, payloads)
	if err == nil && in.Cadence == nil {
		err = errors.New("it has no cadence")
	}
	if err != nil {
		return nil, fmt.Errorf("the schedule of connector %s starts imports on task queue %q and cannot be read: %w", name, before, err)
	}
	plan, err := newSchedulePlan(name, queue, *in.Cadence)
	if err != nil {
		return nil, err
	}
	if _, err := c.makeSchedule(ctx, t, plan); err != nil {
		return nil, scheduleError("apply", name, err)
	}
	c.notef("The schedule of connector %s starts its imports on task queue %q now; until now it did on %q.", name, queue, before)
	return running, nil
}

// endRunsElsewhere ends the imports under way on another queue: the one that holds the
// connector's lease, and those that the schedule has started, which would keep it from
// starting the next one. Under another definition they end anyway, but only where a worker
// is left to tell them.
func (c *cli) endRunsElsewhere(ctx context.Context, store mesh.Store, name, queue string, scheduled []string) error {
	holder, err := store.Holder(ctx, name)
	if err != nil {
		return err
	}
	if holder != "" {
		run, err := store.Run(ctx, holder)
		if err != nil {
			return err
		}
		err = c.withTemporal(ctx, run.Namespace, func(t temporalClient) error {
			return c.endElsewhere(ctx, store, t, run.WorkflowID, queue)
		})
		if err != nil {
			return err
		}
	}
	if len(scheduled) == 0 {
		return nil
	}
	return c.withTemporal(ctx, "", func(t temporalClient) error {
		for _, id := range scheduled {
			if err := c.endElsewhere(ctx, store, t, id, queue); err != nil {
				return err
			}
		}
		return nil
	})
}

// endElsewhere ends an import, and its row, unless it runs on queue.
func (c *cli) endElsewhere(ctx context.Context, store mesh.Store, t temporalClient, workflowID, queue string) error {
	at, runID, err := runsAt(ctx, t, workflowID)
	if err != nil || at == "" || at == queue {
		return err
	}
	why := fmt.Sprintf("the connector was moved to task queue %s by %s", queue, c.operator())
	if err := terminate(ctx, t, workflowID, why); err != nil {
		return err
	}
	_, err = store.End(ctx, runID, mesh.Cancelled, why+": start a new run")
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); err != nil && !unknown { // one that had not begun
		return err
	}
	c.notef("Run %s, which was under way on task queue %q, is ended; the next one works under the new definition.", runID, at)
	return nil
}

// runsAt is the queue of a running workflow, "" when it does not run, and the run id that
// it began with.
func runsAt(ctx context.Context, t temporalClient, workflowID string) (queue, firstRun string, _ error) {
	d, err := t.DescribeWorkflowExecution(ctx, workflowID, "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return "", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("look at workflow %s: %w", workflowID, err)
	}
	info := d.GetWorkflowExecutionInfo()
	if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return "", "", nil
	}
	return d.GetExecutionConfig().GetTaskQueue().GetName(), cmp.Or(info.GetFirstRunId(), info.GetExecution().GetRunId()), nil
}

func terminate(ctx context.Context, t temporalClient, workflowID, why string) error {
	err := t.TerminateWorkflow(ctx, workflowID, "", why)
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		return fmt.Errorf("end workflow %s: %w", workflowID, err)
	}
	return nil
}

// moveOpenHold has the workflow of a connector's open hold, if there is one, go on where
// somebody answers it.
func (c *cli) moveOpenHold(ctx context.Context, store mesh.Store, name, queue string) error {
	hold, err := store.Hold(ctx, name, 0)
	if err != nil || hold == nil {
		return err
	}
	run, err := store.Run(ctx, hold.RunID)
	if err != nil {
		return err
	}
	return c.withTemporal(ctx, run.Namespace, func(t temporalClient) error { return c.moveHold(ctx, t, name, queue) })
}

// moveHold starts a hold's workflow anew on queue when it runs on another one. It would go
// there by itself, but only a worker of its old queue could tell it to. The mesh keeps the
// hold and its time.
func (c *cli) moveHold(ctx context.Context, t temporalClient, name, queue string) error {
	id := workflows.HoldWorkflowID(name)
	at, _, err := runsAt(ctx, t, id) // a hold without a workflow gets one from whoever answers it
	if err != nil || at == "" || at == queue {
		return err
	}
	if err := terminate(ctx, t, id, fmt.Sprintf("moved to task queue %s by %s", queue, c.operator())); err != nil {
		return err
	}
	if err := c.startHold(ctx, t, name, queue); err != nil {
		return err
	}
	c.notef("The deletes that are held for connector %s wait on task queue %q now; until now they did on %q.", name, queue, at)
	return nil
}
