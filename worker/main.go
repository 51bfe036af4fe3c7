// Command worker runs the imports: it polls Temporal for the workflows and the
// activities of the Okta connector. Any number may run side by side.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/internal/deployment"
	"github.com/identitymesh/okta-connector/internal/notify"
)

func main() { os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs the command until it ends or a signal stops it, and returns the exit
// code: 0 after a stop, 2 for wrong usage, 1 for everything else.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	ctx, stop := onSignals(ctx, stderr, os.Exit)
	defer stop()
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	ran := false
	cmd.PersistentPreRun = func(*cobra.Command, []string) { ran = true }
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case !ran:
		fmt.Fprintf(stderr, "worker: %v; see worker --help\n", err)
		return 2
	default:
		fmt.Fprintln(stderr, "worker:", err)
		return 1
	}
}

// config is what the flags say.
type config struct {
	metricsAddr string
	logLevel    string
	logFormat   string
	stopTimeout time.Duration
	turn        time.Duration
	cpuProfile  string
	notify      notify.Settings

	deployment, buildID string
	version             deployment.Version // what those two and the environment come to
}

func command() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run the imports of the IdentityMesh Okta connector",
		Long: `The worker reads Okta and writes the mesh, as Temporal tells it to. It waits for
Temporal to answer, creates the mesh database when it is not there, and runs until
it gets SIGINT or SIGTERM; then it finishes the pages in hand and ends, at once when
it gets the signal again. A worker that is killed loses nothing: another one goes on
from the last recorded page.

It serves /metrics for Prometheus, /healthz (200: it lives) and /readyz (200: the
database and Temporal are reachable and it polls; 503 while it starts or stops).
` + versioningHelp + `
Environment:
  IDENTITYMESH_DB          mesh database, sqlite:///path or postgres://… (default: the state folder)
  IDENTITYMESH_SECRETS     where secrets are kept: table (default), env, files, vault or azure;
                           docs/secrets.md has the variables of each
  IDENTITYMESH_KEY_FILE    key of the table's secrets (default: secrets.key in the state folder)
  IDENTITYMESH_TASK_QUEUE  Temporal task queue (default ` + app.DefaultTaskQueue + `)
  IDENTITYMESH_CA_FILE     PEM bundle of certificate authorities to trust in calls to Okta beside
                           the system's, for a proxy that inspects TLS
  HTTPS_PROXY, NO_PROXY    the proxy for calls to Okta, and hosts that need none
  IDENTITYMESH_NOTIFY_COMMAND, IDENTITYMESH_NOTIFY_URL
                           as --notify-command and --notify-url; 'starter notify test' tries them
  XDG_STATE_HOME           where the state folder "identitymesh" lives (default ~/.local/state)
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…, TEMPORAL_PROFILE
                           the connection, as Temporal's own tools read it
  ` + app.EnvAPIKeyFile + `
                           a file with Temporal's API key, read anew for each call
  ` + codec.EnvKeyFile + `
                           keys that encrypt what Temporal stores ("starter codec");
                           ` + codec.EnvKeys + ` is the file's text instead
  OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_…
                           where traces are sent, as OpenTelemetry's own tools read it (default: nowhere)` + versioningEnvironment,
		Example: `  worker
  worker --metrics-addr 127.0.0.1:9464 --log-format console
  worker healthcheck
  worker --deployment identitymesh-okta     # then: starter deployment promote identitymesh-okta BUILD
  TEMPORAL_ADDRESS=temporal.internal:7233 IDENTITYMESH_DB=sqlite:///var/lib/identitymesh/mesh.db worker`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       app.VersionString(),
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), c) },
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.AddCommand(healthcheckCommand())
	f := cmd.Flags()
	f.StringVar(&c.metricsAddr, "metrics-addr", "127.0.0.1:9464", "where /metrics, /healthz and /readyz are served; \"\" for nowhere; another port is used when this one is taken")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.logFormat, "log-format", "json", "json or console")
	f.DurationVar(&c.stopTimeout, "stop-timeout", 30*time.Second, "how long a stopping worker may take to finish the pages in hand")
	f.DurationVar(&c.turn, "turn", activities.DefaultTurn, "how long an activity reads before it tells how far it is, and the next one goes on")
	f.StringVar(&c.cpuProfile, "cpu-profile", "", "write a CPU profile to this `FILE`, for go tool pprof, when the worker stops")
	f.StringVar(&c.notify.Command, "notify-command", "", "`PROGRAM` and arguments, run with a notice on standard input when a run failed, held deletes or recovered ($"+notify.EnvCommand+")")
	f.StringVar(&c.notify.URL, "notify-url", "", "`URL` to which such a notice is posted, or a secret:// reference to it ($"+notify.EnvURL+")")
	c.addVersioning(cmd)
	return cmd
}
