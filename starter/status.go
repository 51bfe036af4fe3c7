package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// statusRuns is how many past runs `status` shows.
const statusRuns = 5

func newStatusCommand(c *cli) *cobra.Command {
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "status NAME",
		Short: "Show a connector: definition, objects, watermark, schedule, held deletes, runs",
		Long: `Show a connector: its definition, its live objects, the watermark as it is stored and who
set it, its schedule, deletes that wait for an operator, the run under way with its
progress, runs that were started and have not begun, and the last runs. It works without
Temporal, too; then the schedule, the progress of the run under way and the runs that have
not begun are missing.`,
		Example: `  starter status contoso
  starter status contoso -o json | jq .running.progress
  starter status contoso -o json | jq -r .hold.runId`,
		Args:              oneArg("NAME", ""),
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.printStatus(ctx, store, args[0], out.value) })
		}),
	}
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// status is what `status -o json` prints.
type status struct {
	// Definition is the definition file; null when the stored one cannot be used,
	// which DefinitionError explains.
	Definition      json.RawMessage         `json:"definition"`
	DefinitionError string                  `json:"definitionError,omitempty"`
	Live            map[mesh.ObjectType]int `json:"live"`
	// Watermark is null when there is none or when its text is malformed, which
	// WatermarkError explains. WatermarkText is what is stored.
	Watermark          *mesh.Watermark `json:"watermark"`
	WatermarkText      string          `json:"watermarkText"`
	WatermarkError     string          `json:"watermarkError,omitempty"`
	WatermarkUpdatedAt *time.Time      `json:"watermarkUpdatedAt"`
	WatermarkUpdatedBy string          `json:"watermarkUpdatedBy"`
	// Schedule is null when there is none, or when Temporal does not say, which
	// ScheduleError explains.
	Schedule      *scheduleView `json:"schedule"`
	ScheduleError string        `json:"scheduleError,omitempty"`
	// Hold is the deletes that wait for an operator, with a sample; null when none do.
	Hold *mesh.Hold `json:"hold"`
	// Running is the run that holds the connector, null when none does.
	Running *running `json:"running"`
	// Waiting are runs that were started and have not begun, as far as Temporal says.
	Waiting []waitingRun `json:"waiting"`
	Runs    []*mesh.Run  `json:"runs"` // the last ones, the newest first

	def       *connector.Definition
	watermark *watermarkView
}

// running is a run under way. Progress is null when no worker answers.
type running struct {
	*mesh.Run
	Progress *workflows.Progress `json:"progress"`
}

func (c *cli) printStatus(ctx context.Context, store mesh.Store, name string, f format) error {
	s, err := c.status(ctx, store, name)
	if err != nil {
		return err
	}
	if f == asJSON {
		return printJSON(c.stdout, s)
	}
	return c.showStatus(s, name)
}

func (c *cli) status(ctx context.Context, store mesh.Store, name string) (*status, error) {
	conn, err := knownConnector(ctx, store, name)
	if err != nil {
		return nil, err
	}
	s := &status{Waiting: []waitingRun{}}
	if s.def, err = connector.FromParts(conn.Name, conn.Type, conn.ConfigJSON, conn.AuthJSON); err != nil {
		s.DefinitionError = err.Error()
	} else {
		s.Definition = s.def.JSON()
	}
	if s.Live, err = liveCounts(ctx, store, name); err != nil {
		return nil, err
	}
	if s.watermark, err = watermark(ctx, store, name); err != nil {
		return nil, err
	}
	s.Watermark, s.WatermarkText, s.WatermarkError = s.watermark.Watermark, s.watermark.Text, s.watermark.Error
	s.WatermarkUpdatedAt, s.WatermarkUpdatedBy = s.watermark.UpdatedAt, s.watermark.UpdatedBy
	if s.Hold, err = store.Hold(ctx, name, holdSample); err != nil {
		return nil, err
	}
	runs, err := store.Runs(ctx, name, statusRuns)
	if err != nil {
		return nil, err
	}
	s.Runs = c.tidyAll(runs)
	if s.Running, err = c.running(ctx, store, name); err != nil {
		return nil, err
	}
	err = c.statusInTemporal(ctx, store, conn, s)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		s.ScheduleError = err.Error()
	}
	return s, nil
}

// statusInTemporal looks for the schedule of a connector, and for runs that have not begun.
// It does not wait long for Temporal: the rest of the status is the mesh's.
func (c *cli) statusInTemporal(ctx context.Context, store mesh.Store, conn *mesh.Connector, s *status) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return c.withTemporal(ctx, "", func(t temporalClient) (err error) {
		if s.Waiting, err = c.waiting(ctx, store, t, conn); err != nil {
			return err
		}
		if s.Schedule, err = c.schedule(ctx, store, t, conn.Name); noSchedule(err) {
			return nil
		}
		return err
	})
}

// running returns the run that holds the connector, nil when none does.
func (c *cli) running(ctx context.Context, store mesh.Store, name string) (*running, error) {
	holder, err := store.Holder(ctx, name)
	if err != nil || holder == "" {
		return nil, err
	}
	row, err := store.Run(ctx, holder)
	if err != nil {
		return nil, err
	}
	r := &running{Run: c.tidy(row)}
	bounded, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = c.withTemporal(bounded, row.Namespace, func(t temporalClient) error {
		p, err := queryProgress(bounded, t, row.WorkflowID)
		if err == nil {
			r.Progress = &p
		}
		return err
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		c.notef("note: the progress of run %s is not known: %v", holder, err)
	}
	return r, nil
}

// showStatus writes the status for people.
func (c *cli) showStatus(s *status, name string) error {
	fields := []field{{"Connector", name}, {"Definition", oneLine(s.DefinitionError)}}
	if s.def != nil {
		fields = definitionFields(s.def)
	}
	live := make([]string, len(mesh.ObjectTypes))
	for i, t := range mesh.ObjectTypes {
		live[i] = strconv.Itoa(s.Live[t]) + " " + string(t)
	}
	fields = append(fields, field{"Live objects", strings.Join(live, ", ")})
	fields = append(fields, s.watermark.fields()...)
	fields = append(fields, s.scheduleFields()...)
	if s.Hold != nil {
		fields = append(fields, holdFields(s.Hold)...)
	}
	holder := ""
	if s.Running == nil {
		fields = append(fields, field{"Running", "nothing"})
	} else {
		holder = s.Running.RunID
		fields = append(fields, field{"Running", fmt.Sprintf("run %s (%s), since %s", holder, s.Running.Mode, stamp(s.Running.StartedAt))})
		if p := s.Running.Progress; p != nil {
			fields = append(fields, field{"Progress", strings.Join(progressParts(*p), ", ")})
		}
	}
	fields = append(fields, s.waitingFields()...)
	if last := s.lastEnded(); last != nil && last.Outcome == mesh.Failed {
		fields = append(fields, field{"Last error", oneLine(last.Error)})
	}
	if err := printFields(c.stdout, fields); err != nil {
		return err
	}
	if s.Hold != nil {
		if err := printHeld(c.stdout, s.Hold); err != nil {
			return err
		}
	}
	if len(s.Runs) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(c.stdout); err != nil {
		return err
	}
	runs := make([]mesh.Run, len(s.Runs))
	for i, r := range s.Runs {
		runs[i] = *r
	}
	return c.printRuns(runs, holder)
}

// lastEnded is the newest run that has ended, nil when there is none.
func (s *status) lastEnded() *mesh.Run {
	for _, r := range s.Runs {
		if r.Outcome != "" && r.Outcome != mesh.Skipped {
			return r
		}
	}
	return nil
}

// scheduleFields are the lines of a connector's schedule.
func (s *status) scheduleFields() []field {
	switch {
	case s.ScheduleError != "":
		return []field{{"Schedule", "not known: " + oneLine(s.ScheduleError)}}
	case s.Schedule == nil:
		return []field{{"Schedule", "none"}}
	}
	fields := []field{{"Schedule", s.Schedule.cadenceText()}}
	switch {
	case s.Schedule.Paused:
		fields = append(fields, field{"Next run", "paused: " + orDash(oneLine(s.Schedule.Note))})
	case len(s.Schedule.Next) > 0:
		fields = append(fields, field{"Next run", stamp(s.Schedule.Next[0])})
	}
	return fields
}
