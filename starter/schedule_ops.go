package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/mesh"
)

// scheduleCommand fills in what the commands on one existing schedule share. They ask the
// mesh only where there is no schedule: one may have outlived its connector.
func (c *cli) scheduleCommand(cmd *cobra.Command, f func(ctx context.Context, t temporalClient, name string, h client.ScheduleHandle) error) *cobra.Command {
	cmd.Args = oneArg("NAME", "")
	cmd.ValidArgsFunction = c.completeConnector
	cmd.RunE = c.action(func(ctx context.Context, args []string) error {
		err := c.withTemporal(ctx, "", func(t temporalClient) error {
			return f(ctx, t, args[0], t.ScheduleClient().GetHandle(ctx, scheduleID(args[0])))
		})
		if _, missing := errors.AsType[*noScheduleError](err); missing {
			return c.orUnknown(ctx, args[0], err)
		}
		return err
	})
	return cmd
}

// orUnknown is what is wrong with a name that has no schedule: more likely it is of no
// connector. Where the mesh cannot be asked, err stands.
func (c *cli) orUnknown(ctx context.Context, name string, err error) error {
	unknown := c.withStore(ctx, func(store mesh.Store) error {
		_, err := knownConnector(ctx, store, name)
		return err
	})
	if _, missing := errors.AsType[*mesh.NotFoundError](unknown); missing {
		return unknown
	}
	return err
}

// said prints what was done to a schedule, or why not.
func (c *cli) said(verb, name string, err error, text string) error {
	if err != nil {
		return scheduleError(verb, name, err)
	}
	_, err = fmt.Fprintf(c.stdout, "schedule of connector %s %s\n", name, text)
	return err
}

// noted is a schedule's note: what was done, by whom, and why.
func (c *cli) noted(what, why string) string {
	text := fmt.Sprintf("%s by %s", what, c.operator())
	if why != "" {
		text += ": " + why
	}
	return text
}

func newSchedulePause(c *cli) *cobra.Command {
	var note string
	cmd := c.scheduleCommand(&cobra.Command{
		Use:   "pause NAME [--note TEXT]",
		Short: "Stop the ticks of a schedule",
		Long: `Stop the ticks of a schedule until 'starter schedule resume'. An import under way goes on,
and imports can be started by hand. The note says who and why.`,
		Example: `  starter schedule pause contoso --note "Okta maintenance"`,
	}, func(ctx context.Context, _ temporalClient, name string, h client.ScheduleHandle) error {
		return c.said("pause", name, h.Pause(ctx, client.SchedulePauseOptions{Note: c.noted("paused", note)}), "paused")
	})
	cmd.Flags().StringVar(&note, "note", "", "why")
	return cmd
}

func newScheduleResume(c *cli) *cobra.Command {
	var note string
	cmd := c.scheduleCommand(&cobra.Command{
		Use:   "resume NAME [--note TEXT]",
		Short: "Let a paused schedule tick again",
		Long: `Let a paused schedule tick again. What it missed needs no backfill: the next import reads
everything that has changed since the watermark.`,
		Example: `  starter schedule resume contoso`,
	}, func(ctx context.Context, _ temporalClient, name string, h client.ScheduleHandle) error {
		return c.said("resume", name, h.Unpause(ctx, client.ScheduleUnpauseOptions{Note: c.noted("resumed", note)}), "resumed")
	})
	cmd.Flags().StringVar(&note, "note", "", "why")
	return cmd
}

func newScheduleTrigger(c *cli) *cobra.Command {
	return c.scheduleCommand(&cobra.Command{
		Use:   "trigger NAME",
		Short: "Have a schedule start its import now",
		Long: `Have a schedule start its import now, also while it is paused. While one of its imports
runs this is refused, since Temporal would skip the second. 'starter run NAME --wait' does
the same and follows the run.`,
		Example: `  starter schedule trigger contoso && starter runs contoso`,
	}, func(ctx context.Context, _ temporalClient, name string, h client.ScheduleHandle) error {
		d, err := h.Describe(ctx)
		if err != nil {
			return scheduleError("trigger", name, err)
		}
		for _, r := range d.Info.RunningWorkflows {
			return fmt.Errorf("the schedule's import %s is still running, so that Temporal would skip another; follow it with: starter watch %s",
				r.WorkflowID, r.FirstExecutionRunID)
		}
		return c.said("trigger", name, h.Trigger(ctx, client.ScheduleTriggerOptions{}), "triggered; 'starter runs "+name+"' shows the run")
	})
}

// maxBackfill is how many imports one backfill may start: Temporal's schedules queue a
// thousand at most.
const maxBackfill = 1000

func newScheduleBackfill(c *cli) *cobra.Command {
	var fromText, toText string
	cmd := c.scheduleCommand(&cobra.Command{
		Use:   "backfill NAME --from STAMP [--to STAMP]",
		Short: "Have a schedule make up for its ticks of a time that is over",
		Long: `Have a schedule start the imports of a time that is over, one after the other. This is
seldom of use: every import reads what has changed since the watermark, however long ago,
so that one import makes up for all that were missed.`,
		Example: `  starter schedule backfill contoso --from 2026-04-22T08:00:00Z --to 2026-04-22T09:00:00Z`,
	}, func(ctx context.Context, _ temporalClient, name string, h client.ScheduleHandle) error {
		from, to, err := backfillRange(fromText, toText, c.now())
		if err != nil {
			return err
		}
		d, err := h.Describe(ctx)
		if err != nil {
			return scheduleError("backfill", name, err)
		}
		spec, _, _ := partsOf(d)
		for _, v := range spec.Intervals {
			if n := to.Sub(from) / max(v.Every, time.Second); n > maxBackfill {
				return fmt.Errorf("from %s to %s there are %d ticks, and Temporal queues %d at most; one import reads all that was missed: starter run %s",
					stamp(from), stamp(to), n, maxBackfill, name)
			}
		}
		err = h.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{{
			Start: from, End: to, Overlap: enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL, // skipping all but the first would be no backfill
		}}})
		return c.said("backfill", name, err, "backfills from "+stamp(from)+" to "+stamp(to))
	})
	cmd.Flags().StringVar(&fromText, "from", "", "the start, such as 2026-04-22T08:00:00Z")
	cmd.Flags().StringVar(&toText, "to", "", "the end (default: now)")
	return cmd
}

// backfillRange reads the time of a backfill.
func backfillRange(fromText, toText string, now time.Time) (from, to time.Time, err error) {
	if from, err = parseStamp("--from", fromText); err != nil {
		return from, to, err
	}
	to = now
	if toText != "" {
		if to, err = parseStamp("--to", toText); err != nil {
			return from, to, err
		}
	}
	switch {
	case !from.Before(to):
		return from, to, usagef("--from %s is not before --to %s", stamp(from), stamp(to))
	case to.After(now):
		return from, to, usagef("--to %s is still to come: those ticks come by themselves", stamp(to))
	}
	return from, to, nil
}

func parseStamp(flag, text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("%s %q: want an ISO 8601 stamp such as 2026-04-22T08:00:00Z", flag, text)
	}
	return t, nil
}

func newScheduleDelete(c *cli) *cobra.Command {
	return c.scheduleCommand(&cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a connector's schedule",
		Long: `Delete a connector's schedule. An import under way goes on. 'starter connector delete'
deletes the schedule as well.`,
		Example: `  starter schedule delete contoso`,
	}, func(ctx context.Context, _ temporalClient, name string, h client.ScheduleHandle) error {
		return c.said("delete", name, h.Delete(ctx), "deleted")
	})
}
