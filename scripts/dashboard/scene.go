package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	promapi "github.com/prometheus/client_golang/api/prometheus/v1"

	"github.com/identitymesh/okta-connector/internal/stack"
)

// scene is a stack whose worker is scraped.
type scene struct {
	stack      *stack.Stack
	org        *stack.Org
	prometheus promapi.API
}

// openScene starts Temporal, a simulated org with a tight rate limit, a worker and
// Prometheus. The caller closes the scene, also after an error when it is not nil.
func openScene(ctx context.Context, bin, dir string) (*scene, error) {
	s := &scene{stack: &stack.Stack{Bin: bin, Dir: dir}}
	if _, err := s.stack.Temporal(ctx); err != nil {
		return s, err
	}
	_, addr, err := s.stack.Oktasim(ctx, "--users", "3000", "--groups", "150", "--latency", "30ms", "--control")
	if err != nil {
		return s, err
	}
	s.org = &stack.Org{Base: "http://" + addr}
	if err := s.stack.Define(ctx, addr); err != nil {
		return s, err
	}
	p, err := s.stack.Worker(ctx, nil, "--metrics-addr", "127.0.0.1:0", "--notify-command", "true")
	if err != nil {
		return s, err
	}
	line, err := p.WaitFor(ctx, `"msg":"Metrics"`)
	if err != nil {
		return s, err
	}
	var entry struct{ URL string }
	if err := json.Unmarshal([]byte(line), &entry); err != nil {
		return s, fmt.Errorf("the worker did not say where its metrics are: %q", line)
	}
	target := strings.TrimSuffix(strings.TrimPrefix(entry.URL, "http://"), "/metrics")
	s.prometheus, err = s.stack.Prometheus(ctx, []string{target})
	return s, err
}

func (s *scene) close() { _ = s.stack.Close() } // all of it was for the picture

// lull is how long nothing happens between two runs, so that their curves stand apart.
const lull = 6 * time.Second

// play runs two full walks, the second of which meets the rate limit, deltas, and a mass
// departure.
func (s *scene) play(ctx context.Context) error {
	steps := []func() error{
		func() error { return s.run(ctx, "full") },
		func() error { return s.run(ctx, "delta") },
		func() error { return s.limit(ctx, 130) },
		func() error { return s.run(ctx, "full") },
		func() error { return s.limit(ctx, 0) },
		func() error {
			people, err := s.org.Active(ctx)
			if err != nil {
				return err
			}
			return s.org.HardDelete(ctx, people[:min(400, len(people))]...)
		},
		func() error { return s.run(ctx, "full") },
	}
	for _, step := range steps {
		if err := errors.Join(pause(ctx, lull), step()); err != nil {
			return err
		}
	}
	return pause(ctx, lull)
}

// limit sets how many calls a minute each bucket of the org allows; 0: any number.
func (s *scene) limit(ctx context.Context, calls int) error {
	return s.org.Call(ctx, http.MethodPost, "/-/limits", map[string]int{"rate": calls}, nil)
}

// run imports and waits; a run that holds deletes is as good as a completed one.
func (s *scene) run(ctx context.Context, mode string) error {
	r, err := s.stack.Starter(ctx, nil, "", "run", stack.DemoName, "--mode", mode, "--wait")
	if err == nil && r.Code != 0 && r.Code != 3 {
		err = fmt.Errorf("a %s run ended with exit code %d: %s", mode, r.Code, r.Stderr)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
