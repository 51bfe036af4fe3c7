package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// nextTimes is how many times to come `schedule show` prints.
const nextTimes = 5

func newScheduleShow(c *cli) *cobra.Command {
	var all bool
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "show NAME | --all",
		Short: "Show a connector's schedule",
		Long: `Show a connector's schedule: cadence, times to come, last imports, whether it is paused
and why, overlap policy, catch-up window and jitter. --all lists those of all connectors,
and names schedules whose connector this mesh does not know.`,
		Example: `  starter schedule show contoso
  starter schedule show --all
  starter schedule show contoso -o json | jq -r '.next[0]'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return noArgs("--all shows every schedule")(cmd, args)
			}
			return oneArg("NAME", "or use --all")(cmd, args)
		},
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error {
				return c.withTemporal(ctx, "", func(t temporalClient) error {
					if all {
						return c.showSchedules(ctx, store, t, out.value)
					}
					return c.showSchedule(ctx, store, t, args[0], out.value)
				})
			})
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "the schedules of all connectors")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// scheduleView is what `schedule show -o json` prints, and what `status` shows of a schedule.
type scheduleView struct {
	Connector string             `json:"connector"`
	Schedule  string             `json:"schedule"` // its id in Temporal
	Cadence   *workflows.Cadence `json:"cadence"`  // null when it is not readable
	Paused    bool               `json:"paused"`
	// Note is who applied, paused or resumed it last, and why.
	Note          string      `json:"note"`
	Next          []time.Time `json:"next"` // none while it is paused
	Running       []tick      `json:"running"`
	Last          []tick      `json:"last"` // the newest first
	OverlapPolicy string      `json:"overlapPolicy"`
	CatchUpWindow string      `json:"catchUpWindow"`
	Jitter        string      `json:"jitter"`
	TaskQueue     string      `json:"taskQueue"`
	Ticks         int         `json:"ticks"`         // imports started
	Skipped       int         `json:"skipped"`       // ticks while an import was running
	MissedCatchUp int         `json:"missedCatchUp"` // ticks that were too late to be made up for
	CreatedAt     time.Time   `json:"createdAt"`
	UpdatedAt     *time.Time  `json:"updatedAt"`

	traits []field
}

// tick is an import that a schedule started.
type tick struct {
	At         *time.Time `json:"at,omitempty"` // when it was due
	RunID      string     `json:"runId"`
	WorkflowID string     `json:"workflowId"`
	// Mode and Outcome are the mesh's; empty when it does not know the run, or not yet.
	Mode    string       `json:"mode,omitempty"`
	Outcome mesh.Outcome `json:"outcome,omitempty"`
}

// schedule describes the schedule of a connector.
func (c *cli) schedule(ctx context.Context, store mesh.Store, t temporalClient, name string) (*scheduleView, error) {
	d, err := t.ScheduleClient().GetHandle(ctx, scheduleID(name)).Describe(ctx)
	if err != nil {
		return nil, err
	}
	payloads, err := c.payloads()
	if err != nil {
		return nil, err
	}
	spec, policy, action := partsOf(d)
	v := &scheduleView{
		Connector: name, Schedule: scheduleID(name), Next: []time.Time{}, Running: []tick{}, Last: []tick{},
		OverlapPolicy: policy.Overlap.String(), CatchUpWindow: cmp.Or(shortDuration(policy.CatchupWindow), "0s"),
		Jitter: cmp.Or(shortDuration(spec.Jitter), "0s"), TaskQueue: action.TaskQueue,
		Ticks: d.Info.NumActions, Skipped: d.Info.NumActionsSkippedOverlap, MissedCatchUp: d.Info.NumActionsMissedCatchupWindow,
		CreatedAt: d.Info.CreatedAt.UTC(), traits: storedTraits(d, payloads),
	}
	if in, err := inputOf(d, payloads); err == nil {
		v.Cadence = in.Cadence
	}
	if s := d.Schedule.State; s != nil {
		v.Paused, v.Note = s.Paused, s.Note
	}
	if u := d.Info.LastUpdateAt; u.Unix() > 0 { // never updated: the zero time, or the epoch
		u = u.UTC()
		v.UpdatedAt = &u
	}
	if !v.Paused {
		for _, at := range d.Info.NextActionTimes[:min(nextTimes, len(d.Info.NextActionTimes))] {
			v.Next = append(v.Next, at.UTC())
		}
	}
	for _, r := range d.Info.RunningWorkflows {
		v.Running = append(v.Running, tick{RunID: r.FirstExecutionRunID, WorkflowID: r.WorkflowID})
	}
	for _, a := range slices.Backward(d.Info.RecentActions) {
		r, err := ticked(ctx, store, a)
		if err != nil {
			return nil, err
		}
		v.Last = append(v.Last, r)
	}
	return v, nil
}

// ticked is a past action with what the mesh knows of it.
func ticked(ctx context.Context, store mesh.Store, a client.ScheduleActionResult) (tick, error) {
	at := a.ScheduleTime.UTC()
	r := tick{At: &at}
	if a.StartWorkflowResult == nil {
		return r, nil
	}
	r.RunID, r.WorkflowID = a.StartWorkflowResult.FirstExecutionRunID, a.StartWorkflowResult.WorkflowID
	run, err := store.Run(ctx, r.RunID)
	if _, unknown := errors.AsType[*mesh.NotFoundError](err); unknown {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	r.Mode, r.Outcome = run.Mode, run.Outcome
	return r, nil
}

func (c *cli) showSchedule(ctx context.Context, store mesh.Store, t temporalClient, name string, f format) error {
	v, err := c.schedule(ctx, store, t, name)
	if noSchedule(err) { // more likely a wrong name
		if _, err := knownConnector(ctx, store, name); err != nil {
			return err
		}
	}
	if err != nil {
		return scheduleError("show", name, err)
	}
	if f == asJSON {
		return printJSON(c.stdout, v)
	}
	return c.printSchedule(v)
}

// state is whether a schedule ticks, in words.
func (v *scheduleView) state() string {
	if v.Paused {
		return "paused"
	}
	return "active"
}

// cadence is the cadence in words; of a schedule that somebody else made, what can be
// told from its times.
func (v *scheduleView) cadenceText() string {
	if v.Cadence != nil {
		return cadenceText(*v.Cadence)
	}
	return fmt.Sprintf("every %s, reconcile %s", v.traits[0].value, v.traits[1].value)
}

func (c *cli) printSchedule(v *scheduleView) error {
	next := make([]string, len(v.Next))
	for i, at := range v.Next {
		next[i] = stamp(at)
	}
	fields := []field{
		{"Connector", v.Connector},
		{"Schedule", v.Schedule},
		{"Cadence", v.cadenceText()},
		{"State", v.state()},
		{"Note", orDash(oneLine(v.Note))},
		{"Next", orDash(strings.Join(next, ", "))},
		{"Overlap policy", v.OverlapPolicy},
		{"Catch-up window", v.CatchUpWindow},
		{"Jitter", v.Jitter},
		{"Task queue", v.TaskQueue},
		{"Imports started", strconv.Itoa(v.Ticks)},
		{"Ticks skipped", fmt.Sprintf("%d while an import ran, %d beyond the catch-up window", v.Skipped, v.MissedCatchUp)},
	}
	for _, r := range v.Running {
		fields = append(fields, field{"Running", r.RunID})
	}
	if err := printFields(c.stdout, fields); err != nil {
		return err
	}
	if len(v.Last) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(c.stdout); err != nil {
		return err
	}
	rows := make([][]string, len(v.Last))
	for i, r := range v.Last {
		rows[i] = []string{stamp(*r.At), orDash(r.RunID), orDash(r.Mode), orDash(string(r.Outcome))}
	}
	return printTable(c.stdout, []string{"DUE", "RUN", "MODE", "OUTCOME"}, rows)
}

// showSchedules lists the schedules of all connectors.
func (c *cli) showSchedules(ctx context.Context, store mesh.Store, t temporalClient, f format) error {
	conns, err := store.ListConnectors(ctx)
	if err != nil {
		return err
	}
	views := make([]*scheduleView, 0, len(conns))
	known := map[string]bool{}
	var without []string
	for _, conn := range conns {
		known[scheduleID(conn.Name)] = true
		v, err := c.schedule(ctx, store, t, conn.Name)
		if noSchedule(err) {
			without = append(without, conn.Name)
			continue
		}
		if err != nil {
			return scheduleError("show", conn.Name, err)
		}
		views = append(views, v)
	}
	if len(without) > 0 {
		c.notef("Without a schedule: %s", strings.Join(without, ", "))
	}
	if err := c.noteStraySchedules(ctx, t, known); err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, views)
	}
	if len(views) == 0 {
		return nil
	}
	rows := make([][]string, len(views))
	for i, v := range views {
		next, last := "-", "-"
		if len(v.Next) > 0 {
			next = stamp(v.Next[0])
		}
		if len(v.Last) > 0 {
			last = strings.TrimSpace(stamp(*v.Last[0].At) + " " + string(v.Last[0].Outcome))
		}
		rows[i] = []string{v.Connector, v.cadenceText(), v.state(), next, last}
	}
	return printTable(c.stdout, []string{"NAME", "CADENCE", "STATE", "NEXT", "LAST"}, rows)
}

// noteStraySchedules names the schedules of imports whose connector this mesh does not know.
func (c *cli) noteStraySchedules(ctx context.Context, t temporalClient, known map[string]bool) error {
	all, err := t.ScheduleClient().List(ctx, client.ScheduleListOptions{})
	if err != nil {
		return fmt.Errorf("list the schedules: %w", err)
	}
	for all.HasNext() {
		e, err := all.Next()
		if err != nil {
			return fmt.Errorf("list the schedules: %w", err)
		}
		name, ours := strings.CutPrefix(e.ID, schedulePrefix)
		if ours && !known[e.ID] && e.WorkflowType.Name == importWorkflowType {
			c.notef("note: schedule %s is of no connector of this mesh; 'starter schedule delete %s' deletes it", e.ID, name)
		}
	}
	return nil
}
