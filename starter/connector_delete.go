package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.temporal.io/api/serviceerror"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

func newConnectorDelete(c *cli) *cobra.Command {
	var keep, purge bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a connector",
		Long: `Delete a connector. While the mesh holds live objects of it this is refused, unless
one of these says what becomes of them:

  --keep-objects  they stay in the mesh, and no import touches them any more
  --purge         a Delete (reason purged) is written into the feed for each of them

Its schedule is deleted first, and the workflow of an open hold ends; both need Temporal.
The change feed and the runs stay readable. The secret stays too; 'starter secret delete'
removes it.`,
		Example: `  starter connector delete contoso
  starter connector delete contoso --purge
  starter connector delete contoso --keep-objects`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			mode := mesh.RefuseIfLive
			switch {
			case keep && purge:
				return usagef("--keep-objects and --purge contradict each other: choose one")
			case keep:
				mode = mesh.KeepObjects
			case purge:
				mode = mesh.Purge
			}
			return c.withStore(ctx, func(store mesh.Store) error { return c.deleteConnector(ctx, store, args[0], mode) })
		}),
	}
	cmd.Flags().BoolVar(&keep, "keep-objects", false, "leave the live objects in the mesh")
	cmd.Flags().BoolVar(&purge, "purge", false, "write a Delete for every live object")
	return cmd
}

// deleteConnector deletes what Temporal holds of a connector, then the connector: a
// schedule left behind would start imports that fail, tick after tick.
func (c *cli) deleteConnector(ctx context.Context, store mesh.Store, name string, mode mesh.DeleteMode) error {
	if _, err := knownConnector(ctx, store, name); err != nil {
		return err
	}
	if refused, err := refusesDelete(ctx, store, name, mode); err != nil {
		return err
	} else if refused { // the mesh says why, and the schedule stays
		if err := store.DeleteConnector(ctx, name, mode); err != nil {
			return err
		}
		return c.deleted(name, c.endWorkflows(ctx, store, name)) // it has changed its mind just now
	}
	if err := c.endWorkflows(ctx, store, name); err != nil {
		return err
	}
	if err := store.DeleteConnector(ctx, name, mode); err != nil {
		return fmt.Errorf("%w; its schedule, if it had one, is deleted already: 'starter schedule apply' makes it anew", err)
	}
	return c.deleted(name, nil)
}

func (c *cli) deleted(name string, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "connector %s deleted\n", name)
	return err
}

// refusesDelete tells whether the mesh is going to refuse.
func refusesDelete(ctx context.Context, store mesh.Store, name string, mode mesh.DeleteMode) (bool, error) {
	holder, err := store.Holder(ctx, name)
	if err != nil || holder != "" {
		return holder != "", err
	}
	if mode != mesh.RefuseIfLive {
		return false, nil
	}
	live, err := store.LiveCounts(ctx, name)
	return total(live) > 0, err
}

// endWorkflows deletes the schedule of a connector and ends the workflow of its open
// hold. A connector that never ran has most likely neither: without Temporal it may go.
func (c *cli) endWorkflows(ctx context.Context, store mesh.Store, name string) error {
	runs, err := store.Runs(ctx, name, 1)
	if err != nil {
		return err
	}
	hold, err := store.Hold(ctx, name, 0)
	if err != nil {
		return err
	}
	reached := false
	err = c.withTemporal(ctx, "", func(t temporalClient) error {
		reached = true
		return c.endSchedule(ctx, t, name)
	})
	if err != nil && !reached && ctx.Err() == nil {
		if len(runs) == 0 {
			c.notef("note: whether connector %s has a schedule is not known (%v); if it has one, 'starter schedule delete %s' deletes it", name, err, name)
			return nil
		}
		return fmt.Errorf("connector %s was not deleted, since its schedule would go on without it: %w\n  start Temporal, or correct TEMPORAL_ADDRESS, and try again", name, err)
	}
	if err != nil || hold == nil {
		return err
	}
	run, err := store.Run(ctx, hold.RunID)
	if err != nil {
		return err
	}
	return c.withTemporal(ctx, run.Namespace, func(t temporalClient) error { return c.endHold(ctx, t, name) })
}

// endSchedule deletes the schedule of a connector, if it has one.
func (c *cli) endSchedule(ctx context.Context, t temporalClient, name string) error {
	err := t.ScheduleClient().GetHandle(ctx, scheduleID(name)).Delete(ctx)
	if noSchedule(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connector %s was not deleted: %w", name, scheduleError("delete", name, err))
	}
	c.notef("The schedule of connector %s is deleted.", name)
	return nil
}

// endHold ends the workflow of a hold that nobody can answer any more.
func (c *cli) endHold(ctx context.Context, t temporalClient, name string) error {
	id := workflows.HoldWorkflowID(name)
	err := t.TerminateWorkflow(ctx, id, "", fmt.Sprintf("connector %s was deleted by %s", name, c.operator()))
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return nil
	}
	if err != nil {
		return fmt.Errorf("connector %s was not deleted: end workflow %s: %w", name, id, err)
	}
	c.notef("The deletes that were held for connector %s wait no longer.", name)
	return nil
}
