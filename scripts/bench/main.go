// Command bench measures the product on the simulated org: the built binaries, a real
// Temporal server, a mesh on SQLite (or PostgreSQL), 20 ms a call. It prints tables of what an import
// costs, how that grows with the org and where the time goes, beside the targets and a
// bare fetch loop, and writes them to docs/benchmarks.md. It leaves nothing running.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() { os.Exit(run()) }

func run() int {
	// A closed terminal or pipe stops the bench in order too, or its processes would go
	// on alone.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	err := command().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil: // in the middle: everything has been stopped
		fmt.Fprintln(os.Stderr, "Stopped.")
		return 130
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
}

// The databases of --db, as the tables name them.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

var databaseNames = map[string]string{sqlite: "SQLite", postgres: "PostgreSQL"}

// options are the flags.
type options struct {
	bin    string
	db     string
	repeat int
	quick  bool
	only   []string
	format string
	out    string
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure imports of simulated orgs on the real stack",
		Long: `bench runs imports of generated orgs and prints what they cost: calls, time, memory, CPU,
history events, database size. Each measurement has fresh state and a fresh worker.

  import   10,000 users: the first full, a full and a delta when nothing has changed
  rate     the same full when Okta allows 600 calls a minute: it fits, just
  wait     the same full at 300 calls a minute: more work than a minute allows
  kill     kill -9 of the worker in the middle of the full, and a new worker
  small    1,000 users, for the growth
  large    100,000 users, once
  profile  where the CPU time goes, once

Wall times stand beside those of a bare fetch loop, which makes the same calls with as
many in flight and throws the answers away.`,
		Example: `  go run ./scripts/bench --only import --repeat 1
  go run ./scripts/bench --quick -o json
  go run ./scripts/bench --db postgres --only import
  make bench bench-postgresql`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return measure(cmd.Context(), o, commandLine(cmd.Flags()), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.bin, "bin", "bin", "folder of the built binaries")
	f.StringVar(&o.db, "db", sqlite, "where the mesh is: sqlite, or postgres for a server that is started for each measurement")
	f.BoolVar(&o.quick, "quick", false, "leave out wait and large, and measure once")
	f.IntVar(&o.repeat, "repeat", 5, "how often what does not take long is measured")
	f.StringSliceVar(&o.only, "only", nil, "measure this alone: "+strings.Join(names(), ", "))
	f.StringVarP(&o.format, "output", "o", "markdown", "markdown or json")
	f.StringVar(&o.out, "out", "", "also write this Markdown file; what is below its line "+notesMark+" stays")
	return cmd
}

func (o *options) check() error {
	if o.quick {
		o.repeat = 1
	}
	switch {
	case o.repeat < 1:
		return fmt.Errorf("--repeat must be at least 1, it is %d", o.repeat)
	case o.db != sqlite && o.db != postgres:
		return fmt.Errorf("--db %q is unknown: want sqlite or postgres", o.db)
	case o.format != "markdown" && o.format != "json":
		return fmt.Errorf("--output %q is unknown: want markdown or json", o.format)
	case o.out != "" && len(o.only) > 0:
		return errors.New("--out writes whole tables: it cannot be used with --only")
	}
	for _, name := range o.only {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("--only %q is unknown: want %s", name, strings.Join(names(), ", "))
		}
	}
	return nil
}

// commandLine is how to measure the same again. Folders are this machine's business.
func commandLine(f *pflag.FlagSet) string {
	words := []string{"go run ./scripts/bench"}
	f.Visit(func(f *pflag.Flag) {
		if f.Name != "bin" && f.Name != "out" {
			words = append(words, "--"+f.Name+"="+strings.Trim(f.Value.String(), "[]"))
		}
	})
	return strings.Join(words, " ")
}

// measure runs what was asked for and reports it.
func measure(ctx context.Context, o options, command string, stdout, progress io.Writer) error {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return fmt.Errorf("find the binaries: %w", err)
	}
	dir, err := os.MkdirTemp("", "identitymesh-bench-")
	if err != nil {
		return fmt.Errorf("make the state folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	b := &bench{options: o, bin: bin, dir: dir, progress: progress}
	b.report.Command, b.report.Database = command, databaseNames[o.db]
	if b.report.Machine, err = thisMachine(ctx, bin); err != nil {
		return err
	}
	for _, p := range plan {
		if !o.wants(p) {
			continue
		}
		if err := p.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return b.report.write(o, stdout)
}

// wants says whether a part of the plan is measured.
func (o *options) wants(p part) bool {
	if len(o.only) > 0 {
		return slices.Contains(o.only, p.name)
	}
	return !o.quick || !p.long
}

// write prints the report, and writes the file.
func (r *report) write(o options, stdout io.Writer) error {
	text := r.markdown()
	if o.format == "json" {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
	} else {
		fmt.Fprint(stdout, text)
	}
	if o.out == "" {
		return nil
	}
	return writeKeepingNotes(o.out, text)
}
