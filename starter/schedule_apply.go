package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

func newScheduleCommand(c *cli) *cobra.Command {
	return c.group(&cobra.Command{
		Use:   "schedule",
		Short: "Import on a schedule: apply, show, pause, resume, trigger, backfill, delete, export",
		Long: `Import on a schedule. A connector has one Temporal Schedule, import-NAME. It starts
imports of mode Auto: a delta, or the full walk when the weekly reconcile is due.`,
		Example: `  starter schedule apply contoso --every 15m --reconcile "Sun 02:00" --timezone Europe/Berlin
  starter schedule show contoso`,
	}, newScheduleApply(c), newScheduleShow(c), newSchedulePause(c), newScheduleResume(c),
		newScheduleTrigger(c), newScheduleBackfill(c), newScheduleDelete(c), newScheduleExport(c))
}

func newScheduleApply(c *cli) *cobra.Command {
	var cadence workflows.Cadence
	var file string
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "apply NAME --every 15m [--reconcile \"Sun 02:00\" [--timezone ZONE]] | -f FILE",
		Short: "Create a connector's schedule, or change it",
		Long: `Create a connector's schedule, or make it what the flags say: what is left out is no part
of it any more. Applying it again changes nothing.

  --every      the time between two imports; each reads what has changed since the last
  --reconcile  the weekly slot of the full walk, which finds what Okta never announces:
               hard deletes above all
  --timezone   the IANA zone of --reconcile; without it UTC

A tick while an import runs is skipped. A tick missed while Temporal was down is made up
for within the catch-up window: as long as --every, at least a minute, at most an hour.
Ticks are spread by a tenth of --every, at most 30 seconds. A paused schedule stays so.

-f applies every schedule of a file that 'starter schedule export' wrote; one that is not
there any more is created as it was, paused if it was paused.`,
		Example: `  starter schedule apply contoso --every 15m --reconcile "Sun 02:00"
  starter schedule apply contoso --every 1h --reconcile "Sat 23:30" --timezone Europe/Berlin
  starter schedule apply -f schedules.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				return noArgs("the file of -f names the connectors")(cmd, args)
			}
			return oneArg("NAME", "or use -f FILE")(cmd, args)
		},
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if file != "" {
				if cadence != (workflows.Cadence{}) {
					return usagef("-f: the file says when to import, not --every, --reconcile and --timezone")
				}
				return c.applyFile(ctx, file, out.value)
			}
			plan, err := newSchedulePlan(args[0], "", cadence)
			if err != nil {
				return err
			}
			return c.withConnector(ctx, args[0], func(conn *mesh.Connector, t temporalClient) error {
				plan.taskQueue = c.queueOf(conn)
				return c.applySchedule(ctx, t, plan, out.value)
			})
		}),
	}
	cmd.Flags().StringVar(&cadence.Every, "every", "", "the time between two imports, such as 15m")
	cmd.Flags().StringVar(&cadence.Reconcile, "reconcile", "", "the weekly slot of the full walk, such as \"Sun 02:00\"")
	cmd.Flags().StringVar(&cadence.Timezone, "timezone", "", "the zone of --reconcile, such as Europe/Berlin (default UTC)")
	cmd.Flags().StringVarP(&file, "file", "f", "", "the schedules of this `FILE`, as 'schedule export' wrote it; - reads standard input")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// withConnector runs f with Temporal, once the mesh knows the connector.
func (c *cli) withConnector(ctx context.Context, name string, f func(*mesh.Connector, temporalClient) error) error {
	var conn *mesh.Connector
	err := c.withStore(ctx, func(store mesh.Store) (err error) {
		conn, err = knownConnector(ctx, store, name)
		return err
	})
	if err != nil {
		return err
	}
	return c.withTemporal(ctx, "", func(t temporalClient) error { return f(conn, t) })
}

// applied is what `schedule apply -o json` prints.
type applied struct {
	Connector string            `json:"connector"`
	Schedule  string            `json:"schedule"` // its id in Temporal
	Result    string            `json:"result"`   // created, changed or unchanged
	Changes   []change          `json:"changes"`
	Cadence   workflows.Cadence `json:"cadence"`
	Paused    bool              `json:"paused"`
}

// change is one trait of a schedule that apply has changed.
type change struct {
	What string `json:"what"`
	From string `json:"from"`
	To   string `json:"to"`
}

func (c *cli) applySchedule(ctx context.Context, t temporalClient, plan schedulePlan, f format) error {
	a, err := c.applyOne(ctx, t, plan)
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, a)
	}
	return c.printApplied(a, plan)
}

// applyOne is makeSchedule for an operator.
func (c *cli) applyOne(ctx context.Context, t temporalClient, plan schedulePlan) (applied, error) {
	a, err := c.makeSchedule(ctx, t, plan)
	if err != nil {
		return a, scheduleError("apply", plan.connector, err)
	}
	if a.Paused {
		c.notef("note: the schedule is paused; 'starter schedule resume %s' lets it run", plan.connector)
	}
	return a, nil
}

func (c *cli) printApplied(a applied, plan schedulePlan) error {
	if _, err := fmt.Fprintf(c.stdout, "schedule of connector %s %s: %s\n", plan.connector, a.Result, cadenceText(plan.cadence)); err != nil {
		return err
	}
	for _, ch := range a.Changes {
		if _, err := fmt.Fprintf(c.stdout, "  %s: %s → %s\n", ch.What, printable(ch.From), printable(ch.To)); err != nil {
			return err
		}
	}
	return nil
}

// makeSchedule is applyPlan, without the search attributes where the server does not know
// them.
func (c *cli) makeSchedule(ctx context.Context, t temporalClient, plan schedulePlan) (applied, error) {
	a, err := c.applyPlan(ctx, t, plan, true)
	if refused := err; attributesRefused(refused) {
		if a, err = c.applyPlan(ctx, t, plan, false); err == nil {
			c.noteMissingAttributes(refused, "the scheduled runs go without them")
		}
	}
	return a, err
}

// applyPlan creates the schedule, or changes what differs.
func (c *cli) applyPlan(ctx context.Context, t temporalClient, plan schedulePlan, attributes bool) (applied, error) {
	a := applied{Connector: plan.connector, Schedule: scheduleID(plan.connector), Result: "unchanged", Changes: []change{}, Cadence: plan.cadence}
	payloads, err := c.payloads()
	if err != nil {
		return a, err
	}
	note := fmt.Sprintf("applied by %s", c.operator())
	spec := plan.spec()
	schedules := t.ScheduleClient()
	update := client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		state := in.Description.Schedule.State
		if state == nil {
			state = &client.ScheduleState{}
		}
		a.Paused = state.Paused
		a.Changes = changes(storedTraits(&in.Description, payloads), plan.traits(attributes, payloads))
		if len(a.Changes) == 0 {
			return nil, temporal.ErrSkipScheduleUpdate
		}
		a.Result = "changed"
		if !state.Paused { // otherwise it says why it is paused
			state.Note = note
		}
		return &client.ScheduleUpdate{Schedule: &client.Schedule{
			Action: plan.action(attributes), Spec: &spec, State: state,
			Policy: &client.SchedulePolicies{Overlap: overlapPolicy, CatchupWindow: plan.catchUp()},
		}}, nil
	}}
	handle := schedules.GetHandle(ctx, a.Schedule)
	err = handle.Update(ctx, update)
	if !noSchedule(err) {
		return a, err
	}
	if plan.paused && plan.note != "" {
		note = plan.note // it says why
	}
	_, err = schedules.Create(ctx, client.ScheduleOptions{
		ID: a.Schedule, Spec: spec, Action: plan.action(attributes), Paused: plan.paused,
		Overlap: overlapPolicy, CatchupWindow: plan.catchUp(), Note: note,
		Memo: map[string]any{"appliedBy": c.operator()},
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) { // somebody was faster
		return a, handle.Update(ctx, update)
	}
	a.Result, a.Paused = "created", plan.paused
	return a, err
}

// changes lists the traits that differ. The input repeats the cadence, so it is worth
// a line only alone.
func changes(from, to []field) []change {
	all := []change{}
	for i, f := range from {
		if f.value == to[i].value || f.name == traitInput && len(all) > 0 {
			continue
		}
		all = append(all, change{f.name, f.value, to[i].value})
	}
	return all
}

// cadenceText is a cadence for people.
func cadenceText(cadence workflows.Cadence) string {
	text := "no import but the reconcile"
	if cadence.Every != "" {
		text = "every " + cadence.Every
	}
	if cadence.Reconcile == "" {
		return text + ", no reconcile"
	}
	zone := cadence.Timezone
	if zone == "" {
		zone = "UTC"
	}
	return fmt.Sprintf("%s, reconcile %s %s", text, cadence.Reconcile, zone)
}
