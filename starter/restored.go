package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/mesh"
)

func newRestoredCommand(c *cli) *cobra.Command {
	var all, yes, dry bool
	var out *formatFlag
	cmd := &cobra.Command{
		Use:   "restored NAME | --all",
		Short: "Say that the mesh database was restored from a backup",
		Long: `Say that the mesh database was restored from a backup, or lost its last transactions in
a fail-over. Do this before workers start again; where they were never stopped, do it at
once. 'starter restore' does it by itself. For each connector

  - the feed begins a new epoch: consumers with an offset from before are refused, and
    told to read the objects anew (exit code 5);
  - runs that were under way are ended, and can write no more;
  - the watermark is dropped: the next run is a Full, which heals what the backup lacks,
    and says why;
  - deletes that are held back stay so; an approval of them is taken back, and none is
    accepted until that Full has decided anew.

Objects and feed stay. --all is what a restored database needs, deleted connectors and
their feeds included. On a terminal the connectors are shown and a question is asked;
elsewhere --yes is needed. --dry-run only shows them. docs/restore.md has the whole of it.`,
		Example: `  starter restored --all
  starter restored --all --yes -o json
  starter restored --all --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return noArgs("--all is every connector")(cmd, args)
			}
			return oneArg("NAME", "or use --all")(cmd, args)
		},
		ValidArgsFunction: c.completeConnector,
		RunE: c.action(func(ctx context.Context, args []string) error {
			r := mesh.Restore{By: c.operator(), DryRun: dry}
			if !all {
				r.Connector = args[0]
			}
			return c.withStore(ctx, func(store mesh.Store) error {
				do := func(dry bool) ([]mesh.Restoration, error) {
					r.DryRun = dry
					return store.Restored(ctx, r)
				}
				return c.restored(ctx, do, restoreOptions{yes: yes, dry: dry, format: out.value})
			})
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, "every connector of the database")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what it would be")
	out = addFormat(cmd, table, asJSON)
	return cmd
}

// restoreOptions is how `restore` and `restored` go about it.
type restoreOptions struct {
	yes, dry bool
	format   format
	// question is asked before it is done.
	question string
}

// restored shows what a restore comes to, asks, and has it done.
func (c *cli) restored(ctx context.Context, do func(dry bool) ([]mesh.Restoration, error), o restoreOptions) error {
	if !o.yes && !o.dry && !c.tty.StdinIsTerminal() {
		return usagef("nobody can be asked here: look with --dry-run, then say --yes")
	}
	if o.dry || !o.yes {
		all, err := do(true)
		if err != nil {
			return err
		}
		if o.dry {
			return c.printRestorations(all, o.format)
		}
		if err := printTable(c.stderr, restorationHeader, restorationRows(all)); err != nil {
			return err
		}
		question := o.question
		if question == "" {
			question = "Was the database restored, so that these feeds begin a new epoch?"
		}
		if err := c.agree(ctx, question); err != nil {
			return err
		}
	}
	all, err := do(false)
	if err != nil {
		return err
	}
	if err := c.printRestorations(all, o.format); err != nil {
		return err
	}
	c.noteRestored(all)
	return nil
}

// agree asks a question that has to be answered with yes.
func (c *cli) agree(ctx context.Context, question string) error {
	answer, err := c.asker().line(ctx, question+" y/N", "")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}

var restorationHeader = []string{"NAME", "NEWEST RUN", "LAST ROW", "RUNS ENDED", "HELD BY", "READERS"}

func restorationRows(all []mesh.Restoration) [][]string {
	rows := make([][]string, len(all))
	for i, r := range all {
		name, newest := r.Connector, "-"
		if r.Deleted {
			name += " (deleted)"
		}
		if r.NewestRun != nil {
			newest = stamp(*r.NewestRun)
		}
		rows[i] = []string{name, newest, strconv.FormatInt(r.Last, 10), orDash(strings.Join(r.EndedRuns, ", ")), orDash(r.Hold), orDash(strings.Join(r.Readers, ", "))}
	}
	return rows
}

func (c *cli) printRestorations(all []mesh.Restoration, f format) error {
	if f == asJSON {
		return printJSON(c.stdout, all)
	}
	return printTable(c.stdout, restorationHeader, restorationRows(all))
}

// noteRestored says what is left to do.
func (c *cli) noteRestored(all []mesh.Restoration) {
	var names, readers []string
	for _, r := range all {
		if !r.Deleted {
			names = append(names, r.Connector)
		}
		for _, reader := range r.Readers {
			readers = append(readers, fmt.Sprintf("%s of %s", reader, r.Connector))
		}
	}
	c.notef("\nNext:")
	for _, name := range names {
		c.notef("  starter connector check %[1]s && starter run %[1]s --mode full --wait", name)
	}
	c.notef("Definitions and secrets are those of the backup: apply and set again what changed since.\n" +
		"Consumers of the feeds read 'starter objects' anew: their offsets are refused from now on.")
	if len(readers) > 0 {
		c.notef("Declared readers: %s.", strings.Join(readers, ", "))
	}
}
