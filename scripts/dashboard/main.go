// Command dashboard writes the Grafana dashboard of the connector, built and validated
// with Grafana's own types, and draws the picture of it in the documentation.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/identitymesh/okta-connector/internal/board"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

const usage = `Usage: go run ./scripts/dashboard [flags]

Without flags it writes ` + board.File + `.

`

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("dashboard", flag.ContinueOnError)
	f.Usage = func() { fmt.Fprint(f.Output(), usage); f.PrintDefaults() }
	check := f.Bool("check", false, "fail when the committed file is another one, and write nothing")
	picture := f.String("picture", "", "run imports under a Prometheus, and draw what it answers to this `FILE`")
	bin := f.String("bin", "bin", "folder of the built binaries, for --picture")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *picture != "" {
		return drawPicture(ctx, *bin, *picture)
	}
	want, err := board.JSON()
	if err != nil {
		return err
	}
	if *check {
		have, err := os.ReadFile(board.File)
		if err != nil {
			return fmt.Errorf("read the committed dashboard: %w", err)
		}
		if !bytes.Equal(have, want) {
			return fmt.Errorf("%s is not what this script makes: run `go run ./scripts/dashboard`", board.File)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(board.File), 0o755); err != nil { //nolint:gosec // a folder of the repository
		return fmt.Errorf("make the folder: %w", err)
	}
	return os.WriteFile(board.File, want, 0o644) //nolint:gosec // a file of the repository
}
