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

// routeOf is the task queue that a stored definition names, "" when it names none or
// cannot be used.
func routeOf(conn *mesh.Connector) string {
	if conn == nil {
		return ""
	}
	def, err := connector.FromParts(conn.Name, conn.Type, conn.ConfigJSON, conn.AuthJSON)
	if err != nil {
		return "" // the worker says what is wrong
	}
	return def.Config.TaskQueue
}

// queueOf is where a connector is imported: the queue that its definition names, else
// that of the environment.
func (c *cli) queueOf(conn *mesh.Connector) string { return cmp.Or(routeOf(conn), c.taskQueue()) }

// queueFor is queueOf by name; of a connector that is gone it is the environment's.
func (c *cli) queueFor(ctx context.Context, store mesh.Store, name string) (string, error) {
	conn, err := store.Connector(ctx, name)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); err != nil && !unknown {
		return "", err
	}
	return c.queueOf(conn), nil
}

// startAWorker is the remedy where no worker answers on a queue.
func (c *cli) startAWorker(queue string) string {
	if queue == c.taskQueue() {
		return "Start one with 'worker', with the same environment as here."
	}
	return fmt.Sprintf("Start one with 'IDENTITYMESH_TASK_QUEUE=%s worker', in the network from which it is to call Okta.", queue)
}

// followRoute sees to it that a connector's schedule and its open hold go where its
// definition says, after that was applied: before is the route until then. The definition
// counts already, and a run that starts elsewhere finds its way by itself as long as a
// worker is there: what cannot be done is said, and no failure.
func (c *cli) followRoute(ctx context.Context, store mesh.Store, def *connector.Definition, before string) {
	route := def.Config.TaskQueue
	if route == "" && before == "" {
		return
	}
	queue := cmp.Or(route, c.taskQueue())
	err := c.withTemporal(ctx, "", func(t temporalClient) error { return c.moveSchedule(ctx, t, def.Name, queue) })
	if err == nil {
		err = c.moveOpenHold(ctx, store, def.Name, queue)
	}
	if err != nil {
		c.notef("warning: connector %s is imported on task queue %q from now on, but whether its schedule starts imports there is not known: %v\n"+
			"  say 'starter connector apply' or 'starter schedule apply' again; 'starter schedule show %[1]s' shows its queue", def.Name, queue, err)
	}
}

// moveSchedule has the schedule of a connector start its imports on queue, if it has one
// that does not.
func (c *cli) moveSchedule(ctx context.Context, t temporalClient, name, queue string) error {
	d, err := t.ScheduleClient().GetHandle(ctx, scheduleID(name)).Describe(ctx)
	if noSchedule(err) {
		return nil
	}
	if err != nil {
		return scheduleError("read", name, err)
	}
	before := queueOfSchedule(d)
	if before == queue {
		return nil
	}
	payloads, err := c.payloads()
	if err != nil {
		return err
	}
	in, err := inputOf(d, payloads)
	if err == nil && in.Cadence == nil {
		err = errors.New("it has no cadence")
	}
	if err != nil {
		return fmt.Errorf("the schedule of connector %s starts imports on task queue %q and cannot be read: %w", name, before, err)
	}
	plan, err := newSchedulePlan(name, queue, *in.Cadence)
	if err != nil {
		return err
	}
	if _, err := c.makeSchedule(ctx, t, plan); err != nil {
		return scheduleError("apply", name, err)
	}
	c.notef("The schedule of connector %s starts its imports on task queue %q now; until now it did on %q.", name, queue, before)
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
	d, err := t.DescribeWorkflowExecution(ctx, id, "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil // whoever answers the hold starts it
	}
	if err != nil {
		return fmt.Errorf("look at workflow %s: %w", id, err)
	}
	at := d.GetExecutionConfig().GetTaskQueue().GetName()
	if d.GetWorkflowExecutionInfo().GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING || at == "" || at == queue {
		return nil
	}
	err = t.TerminateWorkflow(ctx, id, "", fmt.Sprintf("moved to task queue %s by %s", queue, c.operator()))
	if _, gone := errors.AsType[*serviceerror.NotFound](err); err != nil && !gone {
		return fmt.Errorf("move workflow %s to task queue %q: %w", id, queue, err)
	}
	if err := c.startHold(ctx, t, name, queue); err != nil {
		return err
	}
	c.notef("The deletes that are held for connector %s wait on task queue %q now; until now they did on %q.", name, queue, at)
	return nil
}
