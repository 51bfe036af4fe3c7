package stack

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/identitymesh/okta-connector/mesh"
)

// Demo is a stack around a simulated org with one connector, named [DemoName].
type Demo struct {
	*Stack

	Org *Org

	log *os.File
}

// DemoName is the connector of a [Demo].
const DemoName = "demo"

// DemoOptions say what a [Demo] is like.
type DemoOptions struct {
	Bin           string // folder of the binaries
	Dir           string // state folder
	Keep          bool   // go on from the state of the last time, instead of clearing it
	Users, Groups int    // of the generated org
	Fixed         bool   // take Temporal's usual ports and 18080, where they are free
}

// StartDemo starts the processes and defines the connector. The caller closes the
// demo, also after an error when it is not nil.
func StartDemo(ctx context.Context, o DemoOptions) (*Demo, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the state folder: %w", err)
	}
	if !o.Keep {
		if err := os.RemoveAll(dir); err != nil {
			return nil, fmt.Errorf("clear the state folder: %w", err)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state folder: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "stack.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	d := &Demo{Stack: &Stack{Bin: o.Bin, Dir: dir, Log: log}, log: log}
	err = d.start(ctx, o)
	return d, err
}

func (d *Demo) start(ctx context.Context, o DemoOptions) error {
	var temporal []string
	if o.Keep {
		temporal = append(temporal, "--db", filepath.Join(d.Dir, "temporal.db"))
	}
	if o.Fixed && free(ctx, 7233) && free(ctx, 8233) {
		temporal = append(temporal, "--port", "7233", "--ui-port", "8233")
	}
	if _, err := d.Temporal(ctx, temporal...); err != nil {
		return err
	}
	sim := []string{"--users", strconv.Itoa(o.Users), "--groups", strconv.Itoa(o.Groups), "--latency", "20ms"}
	if o.Fixed && free(ctx, 18080) {
		sim = append(sim, "--addr", "127.0.0.1:18080")
	}
	_, addr, err := d.Oktasim(ctx, sim...)
	if err != nil {
		return err
	}
	d.Org = &Org{Base: "http://" + addr}
	if err := d.Define(ctx, addr); err != nil {
		return err
	}
	_, err = d.Worker(ctx, nil)
	return err
}

// Close stops everything.
func (d *Demo) Close() error {
	err := d.Stack.Close()
	_ = d.log.Close() // nobody writes to it any more
	return err
}

// LastRun returns the newest run of the demo's connector, nil before the first.
func (d *Demo) LastRun(ctx context.Context) (*mesh.Run, error) {
	var runs []mesh.Run
	if err := d.JSON(ctx, &runs, "runs", DemoName, "--limit", "1"); err != nil || len(runs) == 0 {
		return nil, err
	}
	return &runs[0], nil
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
