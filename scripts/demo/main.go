// Command demo shows the product to a newcomer. `demo` imports a simulated Okta org,
// changes the org and imports it again; `demo up` leaves the same stack running.
// It uses free ports, keeps its state in one folder, and leaves nothing running.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/stack"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command().ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil: // Ctrl-C in the middle: everything has been stopped
		say("Stopped.")
		return 130
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
}

// show is one demonstration.
type show struct {
	stack *stack.Stack
	org   *org
	users int
	group int
}

func command() *cobra.Command {
	var bin, dir string
	s := &show{}
	prepare := func(keep bool) error {
		state, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("find the state folder: %w", err)
		}
		if !keep {
			if err := os.RemoveAll(state); err != nil {
				return fmt.Errorf("clear the state folder: %w", err)
			}
		}
		if err := os.MkdirAll(state, 0o700); err != nil {
			return fmt.Errorf("make the state folder: %w", err)
		}
		log, err := os.OpenFile(filepath.Join(state, "stack.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("open the log: %w", err)
		}
		s.stack = &stack.Stack{Bin: bin, Dir: state, Log: log}
		return nil
	}
	root := &cobra.Command{
		Use:           "demo",
		Short:         "Import a simulated Okta org, change it, import it again",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := prepare(false); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.stack.Close()) }()
			return s.demo(cmd.Context())
		},
	}
	up := &cobra.Command{
		Use:   "up",
		Short: "Run the same stack until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := prepare(true); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.stack.Close()) }()
			return s.up(cmd.Context())
		},
	}
	root.AddCommand(up)
	f := root.PersistentFlags()
	f.StringVar(&bin, "bin", "bin", "folder of the built binaries")
	f.StringVar(&dir, "dir", ".demo", "state folder; the demo clears it first")
	f.IntVar(&s.users, "users", 2000, "users of the simulated org")
	f.IntVar(&s.group, "groups", 60, "groups of the simulated org")
	return root
}

// begin starts the stack and defines the connector.
func (s *show) begin(ctx context.Context, temporal, sim []string) error {
	say("Starting Temporal, a simulated Okta org of %d users and %d groups, and a worker …", s.users, s.group)
	if _, err := s.stack.Temporal(ctx, temporal...); err != nil {
		return err
	}
	_, addr, err := s.stack.Oktasim(ctx, append([]string{
		"--users", fmt.Sprint(s.users), "--groups", fmt.Sprint(s.group), "--latency", "20ms",
	}, sim...)...)
	if err != nil {
		return err
	}
	s.org = &org{base: "http://" + addr}
	if _, err := s.stack.Worker(ctx, nil); err != nil {
		return err
	}
	say("  Temporal      %s", s.stack.TemporalAddr)
	say("  Web UI        %s", s.stack.UIURL)
	say("  Okta (sim)    %s", s.org.base)
	say("  state, logs   %s\n", s.stack.Dir)
	if err := s.quietly(ctx, token, "secret", "set", "secret://okta/demo/apitoken"); err != nil {
		return err
	}
	return s.quietly(ctx, fmt.Sprintf(definition, addr), "connector", "apply", "-f", "-")
}

// definition is the demo's connector file; %q is the org's host:port.
const definition = `{"Name": "demo", "Type": "Okta",
 "ConfigJson": {"OrgDomain": %q, "InsecureLoopback": true},
 "AuthJson": {"Mode": "ApiKey", "ApiKey": "secret://okta/demo/apitoken"}}`

func (s *show) demo(ctx context.Context) error {
	if err := s.begin(ctx, nil, nil); err != nil {
		return err
	}
	say("$ starter run demo --mode full --wait")
	if err := s.loudly(ctx, "run", "demo", "--mode", "full", "--wait"); err != nil {
		return err
	}
	before, err := s.lastSeq(ctx)
	if err != nil {
		return err
	}
	say("\nNow the org changes:")
	if err := s.org.change(ctx, func(what string) { say("  - %s", what) }); err != nil {
		return err
	}
	say("\n$ starter run demo --mode full --wait")
	if err := s.loudly(ctx, "run", "demo", "--mode", "full", "--wait"); err != nil {
		return err
	}
	say("\nWhat a consumer of the mesh sees of it:\n\n$ starter changes demo --since %d", before)
	if err := s.loudly(ctx, "changes", "demo", "--since", fmt.Sprint(before)); err != nil {
		return err
	}
	say("\nThe demo is over; nothing is left running. `make up` keeps a stack up to look around in.")
	return nil
}

func (s *show) up(ctx context.Context) error {
	temporal := []string{"--db", filepath.Join(s.stack.Dir, "temporal.db")}
	if free(ctx, 7233) && free(ctx, 8233) {
		temporal = append(temporal, "--port", "7233", "--ui-port", "8233")
	}
	var sim []string
	if free(ctx, 18080) {
		sim = []string{"--addr", "127.0.0.1:18080"}
	}
	if err := s.begin(ctx, temporal, sim); err != nil {
		return err
	}
	if err := s.loudly(ctx, "run", "demo", "--mode", "full", "--wait"); err != nil {
		return err
	}
	say("\nThe stack is up until Ctrl-C. In another terminal:\n")
	for _, e := range s.stack.Env() {
		say("  export %s", e)
	}
	say(`
  bin/starter status demo
  bin/starter objects demo --type User --limit 5
  bin/starter run demo --mode full --wait

  Web UI         %s
  simulated Okta %s (token %s)`, s.stack.UIURL, s.org.base, token)
	<-ctx.Done()
	say("\nStopping …")
	return nil
}

// loudly runs a starter command on this terminal.
func (s *show) loudly(ctx context.Context, args ...string) error {
	cmd := s.stack.Command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("starter %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// quietly runs a starter command and shows it only when it fails.
func (s *show) quietly(ctx context.Context, stdin string, args ...string) error {
	r, err := s.stack.Starter(ctx, nil, stdin, args...)
	if err != nil {
		return err
	}
	if r.Code != 0 {
		return fmt.Errorf("starter %s ended with %d:\n%s", strings.Join(args, " "), r.Code, r.Stderr)
	}
	return nil
}

// lastSeq is how long the feed is.
func (s *show) lastSeq(ctx context.Context) (int, error) {
	r, err := s.stack.Starter(ctx, nil, "", "changes", "demo", "--since", "0", "-o", "jsonl")
	if err != nil || r.Code != 0 {
		return 0, errors.Join(err, fmt.Errorf("starter changes ended with %d:\n%s", r.Code, r.Stderr))
	}
	return strings.Count(r.Stdout, "\n"), nil
}

// free says whether a loopback port can be listened on.
func free(ctx context.Context, port int) bool {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
