// Command worker runs the imports: it polls Temporal for the workflows and the
// activities of the Okta connector. Any number may run side by side.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/app"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		stop()
		os.Exit(1)
	}
}

// config is what the flags say.
type config struct {
	metricsAddr string
	logLevel    string
	logFormat   string
	stopTimeout time.Duration
}

func command() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run the imports of the IdentityMesh Okta connector",
		Long: `The worker reads Okta and writes the mesh, as Temporal tells it to. It waits for
Temporal to answer, creates the mesh database when it is not there, and runs until
it gets SIGINT or SIGTERM; then it finishes the pages in hand and ends. A worker
that is killed loses nothing: another one goes on from the last recorded page.

Environment:
  IDENTITYMESH_DB          mesh database, sqlite:///path or postgres://… (default: the state folder)
  IDENTITYMESH_KEY_FILE    key of the secrets (default: secrets.key in the state folder)
  IDENTITYMESH_TASK_QUEUE  Temporal task queue (default ` + app.DefaultTaskQueue + `)
  XDG_STATE_HOME           where the state folder "identitymesh" lives (default ~/.local/state)
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…, TEMPORAL_PROFILE
                           the connection, as Temporal's own tools read it`,
		Example: `  worker
  worker --metrics-addr 127.0.0.1:9464 --log-format console
  TEMPORAL_ADDRESS=temporal.internal:7233 IDENTITYMESH_DB=sqlite:///var/lib/identitymesh/mesh.db worker`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       app.VersionString(),
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), c) },
	}
	f := cmd.Flags()
	f.StringVar(&c.metricsAddr, "metrics-addr", "127.0.0.1:9464", "where Prometheus reads /metrics; \"\" for none; another port is used when this one is taken")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.logFormat, "log-format", "json", "json or console")
	f.DurationVar(&c.stopTimeout, "stop-timeout", 30*time.Second, "how long a stopping worker may take to finish the pages in hand")
	return cmd
}
