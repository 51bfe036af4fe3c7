// Command picture makes the README's pictures of real runs in the Temporal Web UI: it
// starts the demo's stack with a small org, runs imports, and has a headless Chromium
// look at them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		return 1
	}
	return 0
}

func command() *cobra.Command {
	o := stack.DemoOptions{Users: 300, Groups: 20}
	var out string
	cmd := &cobra.Command{
		Use:           "picture",
		Short:         "Make the README's pictures of the Temporal Web UI",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return take(cmd.Context(), o, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Bin, "bin", "bin", "folder of the built binaries")
	f.StringVar(&o.Dir, "dir", ".demo", "state folder; it is cleared first")
	f.StringVar(&out, "out", "docs/images", "folder of the pictures")
	return cmd
}

func take(ctx context.Context, o stack.DemoOptions, out string) (err error) {
	bin, err := findBrowser() // before the work of starting all the rest
	if err != nil {
		return err
	}
	d, err := stack.StartDemo(ctx, o)
	if d != nil {
		defer func() { err = errors.Join(err, d.Close()) }()
	}
	if err != nil {
		return err
	}
	held, err := act(ctx, d)
	if err != nil {
		return err
	}
	b, err := openBrowser(ctx, bin)
	if err != nil {
		return err
	}
	defer b.close()
	all, err := pictures(ctx, b, d.UIURL, held)
	if err != nil {
		return err
	}
	for _, p := range all {
		file := filepath.Join(out, p.file)
		size, err := p.take(ctx, b, file)
		if err != nil {
			instead := filepath.Join(d.Dir, "instead.png")
			if b.shoot(ctx, instead) == nil {
				err = fmt.Errorf("%w; what it shows is in %s", err, instead)
			}
			return err
		}
		fmt.Fprintf(os.Stdout, "%s, %d kB\n", file, size/1024)
	}
	return nil
}

// act runs what the pictures show, and returns the run that holds deletes back.
func act(ctx context.Context, d *stack.Demo) (*mesh.Run, error) {
	people, err := d.Org.Active(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range []struct {
		delete  int // so many people first
		command []string
		code    int
	}{
		{0, []string{"run", "demo", "--mode", "full", "--wait", "-q"}, 0},
		{0, []string{"run", "demo", "--mode", "delta", "--wait", "-q"}, 0},
		{len(people) / 5, []string{"run", "demo", "--mode", "full", "--wait", "-q"}, 3},
	} {
		if err := d.Org.HardDelete(ctx, people[:s.delete]...); err != nil {
			return nil, err
		}
		r, err := d.Starter(ctx, nil, "", s.command...)
		if err != nil {
			return nil, err
		}
		if r.Code != s.code {
			return nil, fmt.Errorf("starter %v ended with %d:\n%s", s.command, r.Code, r.Stderr)
		}
	}
	return d.LastRun(ctx)
}
