// Command temporal-dev runs a Temporal server and its Web UI in one process,
// for development, demos and tests. It listens on loopback, keeps its data in
// memory, in one SQLite file or in two databases of a PostgreSQL server, and has the
// namespaces and search attributes of the connector ready before it says that it is.
//
// It is not meant for production: it is one process, which nobody replaces when it ends,
// and knows no authentication but client certificates.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/temporalio/ui-server/v2/server/version"
	"go.temporal.io/server/common/headers"
	"go.uber.org/zap/zapcore"
)

// buildVersion names the build; set with -ldflags "-X main.buildVersion=…".
var buildVersion = "dev"

const (
	// readyTimeout bounds the whole start. A warm start takes about a second;
	// the rest is for a loaded machine.
	readyTimeout = 60 * time.Second
	// stopTimeout bounds the graceful stop. What has not stopped by then is cut
	// off, which SQLite's journal survives as it survives a kill.
	stopTimeout = 4 * time.Second
)

func main() {
	// The first signal stops gracefully; stop() gives the second one its default
	// meaning back, so that an impatient Ctrl-C Ctrl-C kills at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code, 0 after a stop that
// was asked for, 1 when the server could not run, 2 for wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "temporal-dev: %v\nRun temporal-dev --help for the flags.\n", err)
		return 2
	case cfg.ShowVersion:
		_, _ = fmt.Fprintf(stdout, "temporal-dev %s (Temporal server %s, Web UI %s)\n",
			buildVersion, headers.ServerVersion, version.UIVersion)
		return 0
	}
	if err := serve(ctx, cfg, stderr); err != nil {
		_, _ = fmt.Fprintf(stderr, "temporal-dev: %v\n", err)
		return 1
	}
	return 0
}

// serve starts everything, announces it once it is really usable, and stops it
// when ctx ends.
func serve(ctx context.Context, cfg Config, stderr io.Writer) error {
	if cfg.TLS() && cfg.LogLevel > zapcore.DebugLevel {
		log.SetOutput(io.Discard) // the Web UI tells there of each certificate that it loads
	}
	srv, err := Start(ctx, cfg, stderr)
	if err != nil {
		if ctx.Err() != nil {
			return nil // stopped while starting: what the user asked for
		}
		return err
	}
	defer srv.Stop(stopTimeout)

	_, _ = fmt.Fprintf(stderr, "Temporal: %s%s\n", srv.Address(), cfg.security())
	if url := srv.UIURL(); url != "" {
		_, _ = fmt.Fprintf(stderr, "Web UI: %s\n", url)
	}
	if cfg.AddressFile != "" {
		if err := writeAddressFile(cfg.AddressFile, srv.Address(), srv.UIURL()); err != nil {
			return err
		}
		defer func() { _ = os.Remove(cfg.AddressFile) }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-srv.Lost():
		return err
	}
}
