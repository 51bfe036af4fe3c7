// Command demo shows the product to a newcomer. `demo` tells the life of a connector:
// import, schedule, delta, reconcile, held deletes. `demo up` leaves the same stack
// running. It uses free ports, keeps its state in one folder, and leaves nothing running.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/stack"
)

func main() { os.Exit(run()) }

func run() int {
	// A closed terminal or pipe stops the demo in order too, or its processes would go
	// on alone.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	err := command().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil: // in the middle: everything has been stopped
		say("Stopped.")
		return 130
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
}

func command() *cobra.Command {
	var o stack.DemoOptions
	root := &cobra.Command{
		Use:           "demo",
		Short:         "Import a simulated Okta org, change it, follow it",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd.Context(), o, (*show).story)
		},
	}
	root.AddCommand(&cobra.Command{
		Use:   "up",
		Short: "Run the same stack until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Keep, o.Fixed = true, true
			return with(cmd.Context(), o, (*show).up)
		},
	})
	f := root.PersistentFlags()
	f.StringVar(&o.Bin, "bin", "bin", "folder of the built binaries")
	f.StringVar(&o.Dir, "dir", ".demo", "state folder; the demo clears it first")
	f.IntVar(&o.Users, "users", 2000, "users of the simulated org")
	f.IntVar(&o.Groups, "groups", 60, "groups of the simulated org")
	return root
}

// with starts the stack, shows something on it and stops it.
func with(ctx context.Context, o stack.DemoOptions, f func(*show, context.Context) error) (err error) {
	say("Starting Temporal, a simulated Okta org of %d users and %d groups, and a worker …", o.Users, o.Groups)
	d, err := stack.StartDemo(ctx, o)
	if d != nil {
		defer func() { err = errors.Join(err, d.Close()) }()
	}
	if err != nil {
		return err
	}
	say("  Temporal      %s", d.TemporalAddr)
	say("  Web UI        %s", d.UIURL)
	say("  Okta (sim)    %s", d.Org.Base)
	say("  state, logs   %s", d.Dir)
	return f(&show{d}, ctx)
}

// up shows a stack to look around in.
func (s *show) up(ctx context.Context) error {
	say("")
	// Deletes of the last time may still be held.
	if err := s.starter(ctx, "run", "demo", "--mode", "full", "--wait").anyOf(0, heldDeletes); err != nil {
		return err
	}
	say("")
	if err := s.starter(ctx, "schedule", "apply", "demo", "--every", "30s", "--reconcile", "Sun 02:00").ok(); err != nil {
		return err
	}
	say("\nThe stack is up until Ctrl-C, with a delta every 30 s. In another terminal:\n")
	for _, e := range s.Env() {
		say("  export %s", e)
	}
	say(`
  bin/starter status demo
  bin/starter schedule show demo
  bin/starter objects demo --type User --limit 5
  bin/starter run demo --mode full --wait

  Web UI         %s
  simulated Okta %s (token %s)`, s.UIURL, s.Org.Base, stack.SimToken)
	<-ctx.Done()
	say("\nStopping …")
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
