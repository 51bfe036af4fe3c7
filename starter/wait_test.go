package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// noRows is a mesh without runs: these tests run under a false clock, where a
// database would not feel at home.
type noRows struct{ mesh.Store }

func (noRows) Run(context.Context, string) (*mesh.Run, error) {
	return nil, &mesh.NotFoundError{Kind: "run", Name: someRun}
}

// following is a cli that follows a run of a fake Temporal.
type following struct {
	c        *cli
	f        *fakeTemporal
	out, err lockedBuffer
}

func newFollowing(f *fakeTemporal, stderrWidth int) *following {
	w := &following{f: f}
	w.c = &cli{stdout: &output{w: &w.out}, stderr: &w.err, tty: fakeTerminal{stderr: stderrWidth},
		taskQueue: func() string { return "test-queue" }, now: time.Now}
	return w
}

func (w *following) follow(ctx context.Context, o followOptions) error {
	return w.c.follow(ctx, noRows{}, w.f, runRef{runID: someRun, workflowID: "import-x", connector: "contoso", mode: "Full"}, o)
}

// after makes a workflow that completes after d.
func after(d time.Duration) func(context.Context) (*workflows.ImportResult, error) {
	return func(ctx context.Context) (*workflows.ImportResult, error) {
		select {
		case <-time.After(d):
			return &workflows.ImportResult{RunID: someRun, Connector: "contoso", Outcome: mesh.Completed}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// reading is a progress in the middle of a run.
func reading() (workflows.Progress, error) {
	return workflows.Progress{Phase: workflows.Reading, APICalls: 9,
		Users: workflows.StreamProgress{Enabled: true, Seen: 400}, Groups: workflows.StreamProgress{Enabled: true, Seen: 60, Done: true},
		Members: workflows.MembersProgress{Enabled: true, Groups: 60, Read: 15, Seen: 900}}, nil
}

func TestProgressLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFollowing(&fakeTemporal{progress: reading, end: after(35 * time.Second)}, 0)
		require.NoError(t, w.follow(t.Context(), followOptions{format: asJSON}))
		lines := strings.Split(strings.TrimSpace(w.err.String()), "\n")
		require.Len(t, lines, 3, "one every ten seconds: %q", lines)
		require.Equal(t, "Reading, users 400, groups 60✓, members 900, member lists 15/60, calls 9", lines[0])
		require.Contains(t, w.out.String(), someRun)
		require.NotContains(t, w.out.String(), "Reading")
	})
}

func TestProgressBar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFollowing(&fakeTemporal{progress: reading, end: after(3 * time.Second)}, 100)
		require.NoError(t, w.follow(t.Context(), followOptions{format: table}))
		text := w.err.String()
		require.Contains(t, text, "Reading  users 400  groups 60✓  members 900")
		require.Contains(t, text, "25%", "15 of 60 member lists")
		require.Contains(t, text, "100%")
		require.True(t, strings.HasSuffix(text, "\n"))
		for line := range strings.SplitSeq(text, "\r") {
			require.LessOrEqual(t, len([]rune(strings.TrimSpace(line))), 100, "the bar stays on its line: %q", line)
		}
	})
}

func TestNoWorker(t *testing.T) {
	t.Parallel()
	for name, width := range map[string]int{"lines": 0, "bar": 80} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newFollowing(&fakeTemporal{end: after(time.Minute)}, width)
				start := time.Now()
				go func() {
					time.Sleep(silenceLimit + time.Millisecond)
					text := w.err.String()
					if !strings.Contains(text, `No worker answers on task queue "test-queue" for 5s`) || !strings.Contains(text, "'worker'") {
						t.Errorf("after %s the operator reads %q", time.Since(start), text)
					}
				}()
				require.NoError(t, w.follow(t.Context(), followOptions{}))
				require.Equal(t, 1, strings.Count(w.err.String(), "No worker answers"), "said once")
			})
		})
	}
}

func TestSilenceIsToldAgainAfterAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := newFollowing(&fakeTemporal{end: after(time.Minute), progress: func() (workflows.Progress, error) {
			if s := time.Since(start); s < 20*time.Second || s > 30*time.Second {
				return workflows.Progress{}, serviceerror.NewUnavailable("connection refused")
			}
			return reading()
		}}, 0)
		require.NoError(t, w.follow(t.Context(), followOptions{quiet: true}))
		require.Equal(t, 2, strings.Count(w.err.String(), "Temporal does not answer (connection refused)"))
	})
}

func TestInterruptWhileWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		w := newFollowing(&fakeTemporal{progress: reading, end: after(time.Hour)}, 80)
		err := w.follow(ctx, followOptions{})
		_, ok := errors.AsType[*interruptedError](err)
		require.True(t, ok, "%v", err)
		require.ErrorContains(t, err, "starter watch "+someRun)
		require.ErrorContains(t, err, "starter cancel "+someRun)
		require.Empty(t, w.out.String())
		w.c.acting = true
		require.Equal(t, exitInterrupted, w.c.finish(ctx, nil, err))
	})
}

func TestWaitingSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		w := newFollowing(&fakeTemporal{progress: reading, end: func(context.Context) (*workflows.ImportResult, error) {
			if calls.Add(1) < 30 {
				return nil, serviceerror.NewUnavailable("connection refused")
			}
			return &workflows.ImportResult{RunID: someRun, Outcome: mesh.Completed}, nil
		}}, 0)
		require.NoError(t, w.follow(t.Context(), followOptions{}))
		require.EqualValues(t, 30, calls.Load())
	})
}

func TestWaitingEndsWhenTemporalDoesNotKnow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newFollowing(&fakeTemporal{progress: reading, end: func(context.Context) (*workflows.ImportResult, error) {
			return nil, serviceerror.NewNotFound("workflow not found")
		}}, 0)
		err := w.follow(t.Context(), followOptions{})
		require.ErrorContains(t, err, "workflow not found")
		require.ErrorContains(t, err, "the run is not affected")
		require.Empty(t, w.out.String())
	})
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
