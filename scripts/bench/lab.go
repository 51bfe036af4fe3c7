package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
)

// latency is how long the simulated org takes for a call, besides its own work.
const latency = "20ms"

// lab is a stack of its own, with an empty mesh: what is measured in it shares nothing
// with other measurements.
type lab struct {
	*bench

	prefix string
	size   orgSize
	dir    string

	stack         *stack.Stack
	database      *pgtest.Server // nil: SQLite
	temporal, sim *stack.Process
	org           *stack.Org
	client        client.Client
}

// open starts Temporal and the simulated org, and defines the connector.
func (l *lab) open(ctx context.Context, simArgs []string) (err error) {
	l.stack = &stack.Stack{Bin: l.bin, Dir: l.dir}
	if l.db == postgres {
		if l.database, err = pgtest.Start(ctx); err != nil {
			return err
		}
		if !l.database.Own() {
			return fmt.Errorf("each measurement starts a server of its own: unset %s", pgtest.EnvServer)
		}
		l.stack.DB = l.database.URL("postgres")
	}
	if l.temporal, err = l.stack.Temporal(ctx); err != nil {
		return err
	}
	args := append([]string{
		"--users", strconv.Itoa(l.size.Users), "--groups", strconv.Itoa(l.size.Groups),
		"--memberships", strconv.Itoa(l.size.Memberships), "--latency", latency,
	}, simArgs...)
	var addr string
	if l.sim, addr, err = l.stack.Oktasim(ctx, args...); err != nil {
		return err
	}
	l.org = &stack.Org{Base: "http://" + addr}
	if l.client, err = client.DialContext(ctx, client.Options{HostPort: l.stack.TemporalAddr, Logger: quiet{}}); err != nil {
		return fmt.Errorf("connect to Temporal: %w", err)
	}
	return l.stack.Define(ctx, addr)
}

// close stops everything and removes the state.
func (l *lab) close() error {
	if l.client != nil {
		l.client.Close()
	}
	err := l.stack.Close()
	if l.database != nil {
		err = errors.Join(err, l.database.Stop())
	}
	return errors.Join(err, os.RemoveAll(l.dir))
}

// bareFetch measures the bare loop over the lab's org, in milliseconds.
func (l *lab) bareFetch(ctx context.Context) (int64, error) {
	var groups []stack.OrgGroup
	if err := l.org.Call(ctx, http.MethodGet, "/api/v1/groups?limit=10000", nil, &groups); err != nil {
		return 0, err
	}
	if err := l.settle(ctx, l.temporal, l.sim); err != nil {
		return 0, err
	}
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	begun := time.Now()
	calls, err := newBareLoop(l.org.Base).fetch(ctx, ids)
	if err != nil {
		return 0, err
	}
	took := milliseconds(time.Since(begun))
	l.say("  %-28s %6d ms  %5d calls", "bare fetch loop", took, calls)
	return took, nil
}

// A process counts as idle when it has used at most idleCPU of CPU time in
// idleWindow; a busy machine is measured all the same after settleLimit.
const (
	idleWindow  = 300 * time.Millisecond
	idleCPU     = 20 * time.Millisecond
	settleLimit = 10 * time.Second
)

// settle waits until processes that have just started are idle.
func (l *lab) settle(ctx context.Context, processes ...*stack.Process) error {
	over := time.Now().Add(settleLimit)
	for last := time.Duration(-1); time.Now().Before(over); {
		var now time.Duration
		for _, p := range processes {
			u, err := p.Usage()
			if err != nil {
				return err
			}
			now += u.CPU
		}
		if last >= 0 && now-last <= idleCPU {
			return nil
		}
		last = now
		select {
		case <-time.After(idleWindow):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// dbBytes is the size of the mesh on disk.
func (l *lab) dbBytes(ctx context.Context) (int64, error) {
	if l.database != nil {
		return l.database.Size(ctx, "postgres")
	}
	files, err := filepath.Glob(filepath.Join(l.dir, "mesh.db*"))
	if err != nil {
		return 0, fmt.Errorf("find the mesh: %w", err)
	}
	var sum int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			return 0, fmt.Errorf("measure the mesh: %w", err)
		}
		sum += info.Size()
	}
	return sum, nil
}

// quiet drops the log of a Temporal client.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
