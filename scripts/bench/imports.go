package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
)

// imports says which import is measured, and what happens meanwhile.
type imports struct {
	mode   string
	kill   bool    // kill the worker half-way
	rate   int     // calls a minute that the org allows; 0: no limit
	shares *shares // gets a CPU profile and timers
}

// crew is the worker of one import, and those that were killed before it.
type crew struct {
	lab    *lab
	worker *stack.Process
	args   []string
	killed stack.Usage
}

// hire starts a worker.
func (c *crew) hire(ctx context.Context) (err error) {
	c.worker, err = c.lab.stack.Worker(ctx, nil, c.args...)
	return err
}

// usage is what all workers have used.
func (c *crew) usage() (stack.Usage, error) {
	u, err := c.worker.Usage()
	u.CPU += c.killed.CPU
	u.PeakRSS = max(u.PeakRSS, c.killed.PeakRSS)
	return u, err
}

// replace kills the worker as `kill -9` does and starts another one.
func (c *crew) replace(ctx context.Context) (err error) {
	if c.killed, err = c.usage(); err != nil {
		return err
	}
	c.worker.Kill()
	return c.hire(ctx)
}

// imported runs one import with a fresh worker and measures it.
func (l *lab) imported(ctx context.Context, im imports) (sample, error) {
	c := &crew{lab: l, args: []string{"--metrics-addr", "127.0.0.1:0"}}
	profile := filepath.Join(l.dir, "cpu.pprof")
	if im.shares != nil {
		c.args = append(c.args, "--cpu-profile", profile)
	}
	if err := c.hire(ctx); err != nil {
		return sample{}, err
	}
	if err := l.settle(ctx, l.temporal, l.sim, c.worker); err != nil {
		return sample{}, err
	}
	if err := l.org.ResetStats(ctx); err != nil {
		return sample{}, err
	}
	s, run, err := l.timed(ctx, c, im)
	if err != nil {
		return s, err
	}
	h, err := l.history(ctx, run)
	if err != nil {
		return s, err
	}
	s.Events, s.HistoryBytes, s.Executions = h.longest, h.bytes, h.executions
	if im.shares != nil {
		if im.shares.Timers, err = timers(ctx, c.worker, s.Calls); err != nil {
			return s, err
		}
	}
	if err := c.worker.Stop(); err != nil {
		return s, fmt.Errorf("stop the worker: %w", err)
	}
	if im.shares != nil {
		im.shares.TemporalMs, im.shares.SimulatorMs = s.TemporalMs, s.SimulatorMs
		if im.shares.Families, err = readProfile(profile); err != nil {
			return s, err
		}
	}
	s.DBBytes, err = l.dbBytes(ctx)
	return s, err
}

// timed runs the import itself.
func (l *lab) timed(ctx context.Context, c *crew, im imports) (s sample, _ *mesh.Run, _ error) {
	before, err := l.used(c)
	if err != nil {
		return s, nil, err
	}
	meanwhile := l.meanwhile(ctx, c, im, &s)
	begun := time.Now()
	r, err := l.stack.Starter(ctx, nil, "", "run", stack.DemoName, "--mode", im.mode, "--wait", "--quiet", "-o", "json")
	s.WallMs = milliseconds(time.Since(begun))
	if err := errors.Join(err, meanwhile()); err != nil {
		return s, nil, err
	}
	var run mesh.Run
	if err := json.Unmarshal([]byte(r.Stdout), &run); err != nil {
		return s, nil, fmt.Errorf("the import ended with %d: %w\n%s", r.Code, err, r.Stderr)
	}
	if run.Outcome != mesh.Completed {
		return s, nil, fmt.Errorf("the import ended as %s: %s", run.Outcome, run.Error)
	}
	after, err := l.used(c)
	if err != nil {
		return s, nil, err
	}
	s.RunMs, s.PeakRSS = run.DurationMs, after.worker.PeakRSS
	s.WorkerMs = milliseconds(after.worker.CPU - before.worker.CPU)
	s.TemporalMs = milliseconds(after.temporal.CPU - before.temporal.CPU)
	s.SimulatorMs = milliseconds(after.sim.CPU - before.sim.CPU)
	for _, n := range run.Counts {
		s.Feed += n.Added + n.Updated + n.Deleted
	}
	stats, err := l.org.Stats(ctx)
	s.Calls, s.Status429, s.MaxInFlight = stats.Total, stats.Status429, stats.MaxInFlight
	return s, &run, err
}

// used is what the processes have used since they started.
type used struct{ worker, temporal, sim stack.Usage }

func (l *lab) used(c *crew) (u used, err error) {
	var errs [3]error
	u.worker, errs[0] = c.usage()
	u.temporal, errs[1] = l.temporal.Usage()
	u.sim, errs[2] = l.sim.Usage()
	return u, errors.Join(errs[:]...)
}

// watchInterval is how often the org's counters are read during an import.
const watchInterval = 50 * time.Millisecond

// meanwhile begins what happens during an import. The returned function waits for its
// end, or ends it, and tells of errors.
func (l *lab) meanwhile(ctx context.Context, c *crew, im imports, s *sample) func() error {
	if !im.kill && im.rate == 0 {
		return func() error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		if im.kill {
			done <- l.killHalfway(ctx, c)
		} else {
			done <- l.watchBudget(ctx, im.rate, s)
		}
	}()
	return func() error {
		cancel()
		return <-done
	}
}

// killHalfway kills the worker when half of the calls have been made.
func (l *lab) killHalfway(ctx context.Context, c *crew) error {
	for {
		stats, err := l.org.Stats(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		if stats.Total >= (l.size.Users/200+l.size.Groups)/2 {
			return c.replace(ctx)
		}
		if err := pause(ctx, watchInterval/5); err != nil {
			return fmt.Errorf("the import ended before its worker was killed: %w", err)
		}
	}
}

// rateWindow is how long calls are counted. A bucket's window begins with its first
// call and ends on a whole second, so it may be a second shorter than its minute.
const rateWindow = 58 * time.Second

// watchBudget counts the calls of the groups' bucket in its first window, or until the
// import is over, when ctx ends.
func (l *lab) watchBudget(ctx context.Context, rate int, s *sample) error {
	s.Budget = rate - rate/10 // 10 % is the default reserve
	var begun time.Time
	for over := false; !over; {
		over = pause(ctx, watchInterval) != nil
		stats, err := l.org.Stats(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		s.BudgetCalls = 0
		for endpoint, n := range stats.ByEndpoint {
			if strings.Contains(endpoint, "/api/v1/groups") {
				s.BudgetCalls += n
			}
		}
		if begun.IsZero() && s.BudgetCalls > 0 {
			begun = time.Now()
		}
		over = over || !begun.IsZero() && time.Since(begun) > rateWindow
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
