// Command oktasim serves a simulated Okta org: one from a file or a generated
// one, over plain http. See package oktasim for what it answers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// version is set by the linker; without it the build information is used.
var version = ""

// Exit codes: 1 for what went wrong, 2 for wrong usage.
const (
	exitFailure = 1
	exitUsage   = 2
)

// shutdownGrace is how long running answers may take after a signal.
const shutdownGrace = 3 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code) //nolint:gocritic // stop has run
}

// usageError is a fault of the command line.
type usageError struct{ error }

// Unwrap returns the fault itself.
func (e usageError) Unwrap() error { return e.error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "oktasim:", err)
	if errors.As(err, &usageError{}) {
		_, _ = fmt.Fprintln(stderr, "Try: oktasim --help")
		return exitUsage
	}
	return exitFailure
}

// options are the flags.
type options struct {
	orgFile                    string
	users, groups, memberships int
	seed                       uint64
	latency                    time.Duration
	rate, concurrency          int
	addr, addrFile             string
	token                      string
	oauth                      oauthOptions
	control, verbose           bool
}

const examples = `  # 1,000 people and 50 groups on http://127.0.0.1:18080
  oktasim

  # a large org, as slow and as limited as a real one
  oktasim --users 100000 --groups 5000 --memberships 1000000 --latency 80ms --rate 600 --concurrency 75

  # the org of docs/benchmarks.md: groups of 10,000 (Everyone), 2,000, 300 and 40
  oktasim --users 10000 --groups 500 --memberships 89960 --latency 20ms

  # an org from a file, on a free port that a script can read
  oktasim --org org.json --addr 127.0.0.1:0 --addr-file oktasim.addr

  # with an OAuth service app, and what becomes of its tokens
  oktasim keygen --out sim
  oktasim --control --oauth-client 0oaoktasim --oauth-key sim.jwks.json --token-lifetime 2m &
  curl -s -d '{"rotateNonce":true,"refuseOld":true,"revokeTokens":true}' http://127.0.0.1:18080/-/oauth

  # a quarter of an hour later, an index that is 5 s behind, one page without half its rows
  oktasim --control &
  curl -s -d '{"advance":"15m"}' http://127.0.0.1:18080/-/clock
  curl -s -d '{"search":"5s"}' http://127.0.0.1:18080/-/lag
  curl -s -d '{"name":"drop-rows","share":0.5,"count":1}' http://127.0.0.1:18080/-/fault

  # what it was asked
  curl -s http://127.0.0.1:18080/_sim/stats
  curl -s -H 'Authorization: SSWS oktasim-token' http://127.0.0.1:18080/api/v1/users?limit=2`

func newCommand() *cobra.Command {
	var opt options
	cmd := &cobra.Command{
		Use:   "oktasim",
		Short: "Serve a simulated Okta org",
		Long: `oktasim answers as an Okta org does: users, groups and their members with Okta's
paging, filters, rate limits and errors, and it can be changed while it runs
through Okta's own write endpoints. It speaks plain http; GET /_sim/stats tells
what it was asked, POST /_sim/stats/reset starts counting anew. With --control its
clock, lag and faults can be set while it runs; package oktasim says how.

It takes one SSWS token, and with --oauth-client a service app: private-key JWT at
/oauth2/v1/token, DPoP, scopes, as strict as Okta.

About 5 % of the users are DEPROVISIONED. Group sizes fall like 1/rank, and some groups
are empty. With --memberships none is: besides Everyone 4 % of the groups are large,
16 % have 0.15 of a large one's members, the rest 0.02, scaled to exactly that number.`,
		Example:       examples,
		Args:          noArguments,
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), cmd.ErrOrStderr(), opt, cmd.Flags().Changed)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&opt.orgFile, "org", "", "serve the org in this `FILE` ({users, groups, members}) instead of a generated one")
	f.IntVar(&opt.users, "users", 1000, "generate `N` users")
	f.IntVar(&opt.groups, "groups", 50, "generate `N` groups, Everyone included")
	f.IntVar(&opt.memberships, "memberships", 0, "generate exactly `N` memberships, Everyone's included, in large, middle and small groups (0: as it comes)")
	f.Uint64Var(&opt.seed, "seed", 1, "generate another org by another `NUMBER`")
	f.DurationVar(&opt.latency, "latency", 0, "wait this `TIME` before every answer, such as 50ms")
	f.IntVar(&opt.rate, "rate", 0, "allow `N` requests per minute and rate-limit bucket (0: no limit)")
	f.IntVar(&opt.concurrency, "concurrency", 0, "allow `N` requests at one time, Okta allows 75 (0: no limit)")
	f.StringVar(&opt.addr, "addr", "127.0.0.1:18080", "listen on this `HOST:PORT`; port 0 takes a free one")
	f.StringVar(&opt.addrFile, "addr-file", "", "write the address listened on to this `FILE`")
	f.StringVar(&opt.token, "token", oktasim.DefaultToken, "accept this SSWS `TOKEN`")
	opt.oauth.flags(f)
	f.BoolVar(&opt.control, "control", false, "answer POST /-/clock, /-/lag, /-/fault, /-/limits, /-/spend, /-/oauth and GET /-/stats, without a token; for a loopback --addr only")
	f.BoolVarP(&opt.verbose, "verbose", "v", false, "write one line per request to standard error")
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(newKeygen())
	return cmd
}

func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q: oktasim takes flags only", args[0])}
	}
	return nil
}

func (o options) check(changed func(string) bool) error {
	for name, n := range map[string]int{"users": o.users, "groups": o.groups, "memberships": o.memberships, "rate": o.rate, "concurrency": o.concurrency} {
		if n < 0 {
			return usageError{fmt.Errorf("--%s cannot be negative, it is %d", name, n)}
		}
	}
	if o.latency < 0 {
		return usageError{fmt.Errorf("--latency cannot be negative, it is %s", o.latency)}
	}
	if o.token == "" {
		return usageError{errors.New("--token cannot be empty")}
	}
	if o.orgFile != "" {
		for _, name := range []string{"users", "groups", "memberships", "seed"} {
			if changed(name) {
				return usageError{fmt.Errorf("--%s generates an org and cannot be used with --org", name)}
			}
		}
	}
	host, _, err := net.SplitHostPort(o.addr)
	if err != nil {
		return usageError{fmt.Errorf("--addr must be HOST:PORT: %w", err)}
	}
	if ip := net.ParseIP(host); o.control && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usageError{fmt.Errorf("--control asks for no token and needs a loopback --addr such as 127.0.0.1:18080, not %s", o.addr)}
	}
	return nil
}

func (o options) org() (*oktasim.Org, error) {
	if o.orgFile == "" {
		org, err := oktasim.Generate(oktasim.Spec{Users: o.users, Groups: o.groups, Memberships: o.memberships, Seed: o.seed})
		if err != nil {
			return nil, usageError{err}
		}
		return org, nil
	}
	f, err := os.Open(o.orgFile)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	org, err := oktasim.Load(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.orgFile, err)
	}
	return org, nil
}

func serve(ctx context.Context, stderr io.Writer, opt options, changed func(string) bool) error {
	if err := opt.check(changed); err != nil {
		return err
	}
	apps, err := opt.oauth.apps(changed)
	if err != nil {
		return err
	}
	org, err := opt.org()
	if err != nil {
		return err
	}
	level := slog.LevelWarn
	if opt.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	handler := oktasim.New(oktasim.Config{
		Org: org, Token: opt.token, Latency: opt.latency, Rate: opt.rate, Concurrency: opt.concurrency, Log: log,
		Clock: new(oktasim.Clock), Control: opt.control, Apps: apps, TokenLifetime: opt.oauth.life,
	})

	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", opt.addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another --addr, port 0 takes a free one", opt.addr, err)
	}
	addr := listener.Addr().String()
	if opt.addrFile != "" {
		if err := os.WriteFile(opt.addrFile, []byte(addr+"\n"), 0o600); err != nil {
			_ = listener.Close()
			return err
		}
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	_, _ = fmt.Fprintf(stderr, "oktasim: %d users, %d groups, %d memberships on http://%s\n",
		len(org.UserIDs()), len(org.GroupIDs()), org.Memberships(), addr)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close() // answers still under way are cut off: the stop was asked for
	}
	return nil
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
