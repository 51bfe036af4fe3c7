package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// exported is a schedule as `schedule export` prints it and `schedule apply -f` reads it.
type exported struct {
	Connector string `json:"connector"`
	workflows.Cadence
	Paused bool   `json:"paused,omitempty"`
	Note   string `json:"note,omitempty"` // why it is paused
}

func newScheduleExport(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export [NAME]",
		Short: "Print schedules as a file that 'schedule apply -f' reads",
		Long: `Print the schedules of all connectors, or of one, as a file that 'schedule apply -f'
reads. Schedules are in Temporal and not in the mesh database: keep the file beside the
backups of the database, for the day when Temporal's state is lost.`,
		Example: `  starter schedule export > schedules.json
  starter schedule apply -f schedules.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return oneArg("NAME", "or none for all")(cmd, args)
		},
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error {
				return c.withTemporal(ctx, "", func(t temporalClient) error { return c.exportSchedules(ctx, store, t, args) })
			})
		}),
	}
	return cmd
}

func (c *cli) exportSchedules(ctx context.Context, store mesh.Store, t temporalClient, names []string) error {
	one := len(names) > 0
	if !one {
		conns, err := store.ListConnectors(ctx)
		if err != nil {
			return err
		}
		for _, conn := range conns {
			names = append(names, conn.Name)
		}
	}
	all := []exported{}
	for _, name := range names {
		v, err := c.schedule(ctx, store, t, name)
		if noSchedule(err) {
			if !one {
				continue
			}
			if _, err := knownConnector(ctx, store, name); err != nil {
				return err
			}
		}
		if err != nil {
			return scheduleError("export", name, err)
		}
		if v.Cadence == nil {
			return fmt.Errorf("the schedule of connector %s was not made by 'starter schedule apply', or cannot be decrypted: its cadence cannot be read", name)
		}
		e := exported{Connector: name, Cadence: *v.Cadence, Paused: v.Paused}
		if v.Paused {
			e.Note = v.Note
		}
		all = append(all, e)
	}
	return printJSON(c.stdout, all)
}

// applyFile applies every schedule of an exported file. All are looked at before the first
// one is applied.
func (c *cli) applyFile(ctx context.Context, file string, f format) error {
	text, err := c.readInput(ctx, "file of schedules", file)
	if err != nil {
		return err
	}
	all, err := parseExported(text)
	if err != nil {
		return fmt.Errorf("the schedules in %s: %w", file, err)
	}
	plans := make([]schedulePlan, len(all))
	for i, e := range all {
		if plans[i], err = newSchedulePlan(e.Connector, "", e.Cadence); err != nil {
			return fmt.Errorf("the schedule of %q in %s: %w", e.Connector, file, err)
		}
		plans[i].paused, plans[i].note = e.Paused, e.Note
	}
	if err := c.withStore(ctx, func(store mesh.Store) error {
		for i, p := range plans {
			conn, err := knownConnector(ctx, store, p.connector)
			if err != nil {
				return err
			}
			plans[i].taskQueue = c.queueOf(conn)
		}
		return nil
	}); err != nil {
		return err
	}
	return c.withTemporal(ctx, "", func(t temporalClient) error {
		results := []applied{}
		for _, p := range plans {
			a, err := c.applyOne(ctx, t, p)
			if err != nil {
				return err
			}
			results = append(results, a)
			if f != asJSON {
				if err := c.printApplied(a, p); err != nil {
					return err
				}
			}
		}
		if f == asJSON {
			return printJSON(c.stdout, results)
		}
		return nil
	})
}

func parseExported(text []byte) (all []exported, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return nil, fmt.Errorf("%w; want what 'starter schedule export' prints", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the list; want what 'starter schedule export' prints")
	}
	seen := map[string]bool{}
	for _, e := range all {
		switch {
		case e.Connector == "":
			return nil, errors.New("a schedule names no connector")
		case seen[e.Connector]:
			return nil, fmt.Errorf("connector %s is there twice", e.Connector)
		}
		seen[e.Connector] = true
	}
	return all, nil
}
