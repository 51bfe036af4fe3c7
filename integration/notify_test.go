package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/notify"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// hook is a webhook that keeps what it is sent, and answers 503 while it is broken.
type hook struct {
	url string

	mu     sync.Mutex
	broken bool
	tries  int
	got    []notify.Notice
	bodies []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tries++
		if h.broken {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var n notify.Notice
		b, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(b, &n)
		}
		if err != nil {
			t.Error(err)
		}
		h.got = append(h.got, n)
		h.bodies = append(h.bodies, string(b))
	}))
	t.Cleanup(server.Close)
	h.url = server.URL + "/hook"
	return h
}

func (h *hook) events() (events []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.got {
		events = append(events, string(n.Event))
	}
	return events
}

// revoked makes the org refuse the token, or take it again.
func (w *world) revoked(yes bool) {
	if !yes {
		w.sim.Intercept(nil)
		return
	}
	w.sim.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("X-Okta-Request-Id", "request-of-the-401")
		rw.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(rw, `{"errorCode":"E0000011","errorSummary":"Invalid token provided","errorId":"e1"}`)
		return true
	})
}

// TestNotifications tells a webhook and a command of a failure, a recovery and a hold.
func TestNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 120, 5)}, nil)
	h := newHook(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "page")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\ncat >> "+filepath.Join(dir, "notices")+"\n"), 0o700))
	flags := []string{"--notify-command", script, "--notify-url", "secret://notify/url"}
	w.ok(w.starter(h.url+"\n", "secret", "set", "secret://notify/url"))

	out := w.ok(w.starter("", append([]string{"notify", "test"}, flags...)...))
	require.Contains(t, out, `"event": "test"`)
	require.Equal(t, []string{"test"}, h.events())
	r := w.starter("", "notify", "test")
	require.Equal(t, 2, r.Code, r.Stderr)
	r = w.starter("", "notify", "test", "--notify-url", "http://127.0.0.1:1/secret-path")
	require.Equal(t, 1, r.Code)
	require.NotContains(t, r.Stderr, "secret-path")

	w.worker(flags...)
	w.completed()
	w.revoked(true)
	failed, _ := w.run()
	require.Equal(t, "Failed", failed.Outcome)
	w.revoked(false)
	w.completed()
	gone := deactivate(w, 40)
	hold := held(w, "delta", 40)
	waitFor(w, "all is told", func() bool { return len(h.events()) >= 4 })
	require.Equal(t, []string{"test", "failed", "recovered", "held"}, h.events())
	n := h.got[1]
	require.Equal(t, failed.RunID, n.RunID)
	require.Contains(t, n.Error, "request-of-the-401")
	require.Equal(t, 1, n.FailedRuns)
	require.Equal(t, 1, h.got[2].FailedRuns)
	n = h.got[3]
	require.Equal(t, hold.RunID, n.RunID)
	require.EqualValues(t, 40, n.Hold.Deletes["User"])
	for _, body := range h.bodies {
		require.NotContains(t, body, "oktasim-token")
		require.NotContains(t, body, "@", "a login")
		require.NotContains(t, body, gone[0])
	}
	var told []byte
	waitFor(w, "the command was told, too", func() bool {
		var err error
		told, err = os.ReadFile(filepath.Join(dir, "notices"))
		require.NoError(t, err)
		return len(lines[notify.Notice](t, string(told))) >= 4
	})
	for i, n := range lines[notify.Notice](t, string(told)) {
		require.Equal(t, h.got[i], n)
	}
	// The commands of the notice are what the operator runs.
	for _, command := range h.got[1].Commands {
		w.ok(w.starter("", fields(command)...))
	}
	w.ok(w.starter("", append(fields(h.got[3].Commands[2]), "--yes", "--wait")...))
}

// fields are the arguments of a command of the starter.
func fields(command string) []string { return strings.Fields(strings.TrimPrefix(command, "starter ")) }

// TestANoticeSurvivesItsWorker kills the worker that failed to deliver; of the two that
// come after it, one does.
func TestANoticeSurvivesItsWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2)}, nil)
	h := newHook(t)
	h.broken = true
	p := w.worker("--notify-url", h.url)
	w.revoked(true)
	failed, _ := w.run()
	require.Equal(t, "Failed", failed.Outcome, "a failing notifier fails nothing else")
	_, err := p.WaitFor(w.Context(), "A notification was not delivered")
	require.NoError(t, err)
	p.Kill()
	require.Empty(t, h.events())
	h.mu.Lock()
	h.broken = false
	h.mu.Unlock()
	w.worker("--notify-url", h.url)
	w.worker("--notify-url", h.url)
	waitFor(w, "it is told", func() bool { return len(h.events()) > 0 })
	w.revoked(false)
	w.completed()
	waitFor(w, "the recovery is told", func() bool { return len(h.events()) > 1 })
	require.Equal(t, []string{"failed", "recovered"}, h.events(), "once")
	require.Equal(t, failed.RunID, h.got[0].RunID)
}
