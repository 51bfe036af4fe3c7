package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

// defaultRuns is how many runs `runs` prints unless told otherwise: a connector on
// a schedule has tens of thousands a year.
const defaultRuns = 20

func newRunsCommand(c *cli) *cobra.Command {
	var limit int
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "runs NAME",
		Short: "List the runs of a connector, the newest first",
		Long: `List the runs of a connector, the newest first. With -o json it is an array of run
objects, as 'starter run --wait -o json' prints one.

'starter runs show RUN' shows one run. The runs of a connector named "show" are listed by
'starter status show'.`,
		Example: `  starter runs contoso
  starter runs contoso --limit 0 -o json | jq '.[] | {runId, outcome, durationMs}'
  starter runs show 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11`,
		Args:              oneArg("NAME", "or use 'starter runs show RUN'"),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			if limit < 0 {
				return usagef("--limit %d: want a number from 0 (no limit)", limit)
			}
			return c.withStore(ctx, func(store mesh.Store) error { return c.listRuns(ctx, store, args[0], limit, out.value) })
		}),
	}
	cmd.Flags().IntVar(&limit, "limit", defaultRuns, "at most this many; 0 for all")
	out = addFormat(cmd, table, asJSON)
	cmd.AddCommand(newRunsShow(c))
	return cmd
}

func (c *cli) listRuns(ctx context.Context, store mesh.Store, name string, limit int, f format) error {
	err := readable(ctx, store, name, func() (bool, error) {
		runs, err := store.Runs(ctx, name, 1)
		return len(runs) > 0, err
	})
	if err != nil {
		return err
	}
	runs, err := store.Runs(ctx, name, limit)
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, c.tidyAll(runs))
	}
	if len(runs) == 0 {
		c.notef("Connector %s has not run yet: start it with 'starter run %s'.", name, name)
		return nil
	}
	holder, err := store.Holder(ctx, name)
	if err != nil {
		return err
	}
	return c.printRuns(runs, holder)
}

// printRuns writes a table of runs. Held deletes have a column where there are any.
func (c *cli) printRuns(runs []mesh.Run, holder string) error {
	header := []string{"RUN", "MODE", "OUTCOME", "STARTED", "DURATION", "ADDED", "UPDATED", "DELETED", "CALLS", "ERROR OR NOTE"}
	rows := c.runRows(runs, holder)
	held := make([]int, len(runs))
	for i, r := range runs {
		for _, n := range r.Counts {
			held[i] += n.Held
		}
	}
	if slices.Max(append(held, 0)) > 0 {
		const after = 8 // DELETED
		header = slices.Insert(header, after, "HELD")
		for i := range rows {
			rows[i] = slices.Insert(rows[i], after, strconv.Itoa(held[i]))
		}
	}
	return printTable(c.stdout, header, rows)
}

func (c *cli) runRows(runs []mesh.Run, holder string) [][]string {
	rows := make([][]string, len(runs))
	for i, r := range c.tidyAll(runs) {
		var sum mesh.Counts
		for _, n := range r.Counts {
			sum.Added += n.Added
			sum.Updated += n.Updated
			sum.Deleted += n.Deleted
		}
		rows[i] = []string{r.RunID, r.Mode, cmp.Or(string(r.Outcome), stateOf(r, holder)), stamp(r.StartedAt),
			span(time.Duration(r.DurationMs) * time.Millisecond), strconv.Itoa(sum.Added),
			strconv.Itoa(sum.Updated), strconv.Itoa(sum.Deleted), strconv.Itoa(r.APICalls), truncate(oneLine(cmp.Or(r.Error, r.Note)), 60)}
	}
	return rows
}

// The states of a run without an outcome.
const (
	stateRunning    = "running"
	stateWaiting    = "waiting"    // for a worker, or for the connector
	stateUnfinished = "unfinished" // it holds the connector no more
)

// stateOf is the state of a run row without an outcome, "" with one: only the holder
// of the lease is certainly at work.
func stateOf(r *mesh.Run, holder string) string {
	switch {
	case r.Outcome != "":
		return ""
	case r.RunID == holder:
		return stateRunning
	default:
		return stateUnfinished
	}
}

func newRunsShow(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "show RUN",
		Short: "Show one run",
		Long: `Show one run. Of a run that has not begun, or failed before it could, the mesh knows
nothing: then Temporal is asked. A run that has not ended has an empty outcome, and the
duration so far; -o json adds its state: running, waiting or unfinished. The note says why
a run is what it is: why a Full, or whom a Skipped run gave way to. A dry run leaves no
row: Temporal tells of it as long as it keeps the workflow.`,
		Example: `  starter runs show 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11
  starter runs show 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11 -o json | jq .counts`,
		Args: oneArg("RUN", "the id that 'starter run' printed"),
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error {
				run, extra, err := c.findRun(ctx, store, args[0])
				if err != nil {
					return err
				}
				return c.printRun(run, extra, out.value)
			})
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// tidy makes a run row what scripts can rely on: every object type is among the
// counts, the times are UTC, and a run that has not ended lasts until now.
func (c *cli) tidy(r *mesh.Run) *mesh.Run {
	t := *r
	t.Counts = make(map[mesh.ObjectType]mesh.Counts, len(mesh.ObjectTypes))
	for _, typ := range mesh.ObjectTypes {
		t.Counts[typ] = r.Counts[typ]
	}
	t.StartedAt = r.StartedAt.UTC()
	if r.EndedAt != nil {
		end := r.EndedAt.UTC()
		t.EndedAt = &end
	} else if r.Outcome == "" && !r.StartedAt.IsZero() {
		t.DurationMs = max(c.now().Sub(r.StartedAt), 0).Milliseconds()
	}
	return &t
}

func (c *cli) tidyAll(runs []mesh.Run) []*mesh.Run {
	all := make([]*mesh.Run, len(runs))
	for i := range runs {
		all[i] = c.tidy(&runs[i])
	}
	return all
}

// runExtra is what is known of a run beside its row.
type runExtra struct {
	State  string `json:"state,omitempty"`  // until it has an outcome
	DryRun bool   `json:"dryRun,omitempty"` // it wrote nothing
}

// shownRun is one run in JSON.
type shownRun struct {
	*mesh.Run
	runExtra
}

// printRun prints one run.
func (c *cli) printRun(run *mesh.Run, extra runExtra, f format) error {
	run = c.tidy(run)
	if f == asJSON {
		return printJSON(c.stdout, shownRun{run, extra})
	}
	return printRunTable(c.stdout, run, extra)
}

func printRunTable(w io.Writer, r *mesh.Run, extra runExtra) error {
	fields := []field{
		{"Run", r.RunID},
		{"Connector", orDash(r.Connector)},
		{"Mode", orDash(r.Mode)},
		{"Outcome", cmp.Or(string(r.Outcome), extra.State)},
	}
	if extra.DryRun {
		fields = append(fields, field{"Dry run", "nothing was written"})
	}
	if r.Note != "" {
		fields = append(fields, field{"Note", oneLine(r.Note)})
	}
	if r.Error != "" {
		fields = append(fields, field{"Error", oneLine(r.Error)})
	}
	fields = append(fields,
		field{"Started", stamp(r.StartedAt)},
		field{"Duration", span(time.Duration(r.DurationMs) * time.Millisecond)},
		field{"Calls to Okta", strconv.Itoa(r.APICalls)},
		field{"Rate-limit waits", waitsText(r)},
	)
	if !extra.DryRun { // the stored one is as it was
		fields = append(fields, field{"Watermark", watermarkText(r.Watermark)})
	}
	fields = append(fields, field{"Workflow", orDash(r.WorkflowID)})
	if err := printFields(w, fields); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return printCounts(w, r.Counts, extra.DryRun)
}

// printCounts writes what a run did to each type, or would do. Held deletes have a
// column where there are any, and in a dry run.
func printCounts(w io.Writer, counts map[mesh.ObjectType]mesh.Counts, dryRun bool) error {
	header := []string{"TYPE", "SEEN", "ADDED", "UPDATED", "DELETED", "UNCHANGED"}
	if dryRun {
		header = []string{"TYPE", "SEEN", "WOULD ADD", "WOULD UPDATE", "WOULD DELETE", "UNCHANGED"}
	}
	held := dryRun
	for _, n := range counts {
		held = held || n.Held > 0
	}
	if held {
		name := "HELD"
		if dryRun {
			name = "WOULD HOLD"
		}
		header = slices.Insert(header, 5, name)
	}
	var rows [][]string
	for _, t := range mesh.ObjectTypes {
		n := counts[t]
		values := []int{n.Seen, n.Added, n.Updated, n.Deleted, n.Unchanged}
		if held {
			values = slices.Insert(values, 4, n.Held)
		}
		row := []string{string(t)}
		for i, v := range values {
			row = append(row, fmt.Sprintf("%*d", len(header[i+1]), v)) // right-aligned under its name
		}
		rows = append(rows, row)
	}
	return printTable(w, header, rows)
}

func watermarkText(w *mesh.Watermark) string {
	if w == nil {
		return "-"
	}
	return orDash(w.String())
}

// waitsText is how often a run waited for the rate limit, and for how long in all, which of a
// dry run is not known.
func waitsText(r *mesh.Run) string {
	if r.RateLimitWaits > 0 && r.RateLimitWaitMs == 0 {
		return strconv.Itoa(r.RateLimitWaits)
	}
	return fmt.Sprintf("%d (%s)", r.RateLimitWaits, span(time.Duration(r.RateLimitWaitMs)*time.Millisecond))
}
