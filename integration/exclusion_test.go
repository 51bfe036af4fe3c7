package integration

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// progress asks a run's workflow how far it is.
func (w *world) progress(workflowID string) (p workflows.Progress, err error) {
	ctx, cancel := context.WithTimeout(w.Context(), 5*time.Second)
	defer cancel()
	v, err := w.client().QueryWorkflow(ctx, workflowID, "", workflows.ProgressQuery)
	if err != nil {
		return p, err
	}
	err = v.Get(&p)
	return p, err
}

// TestTwoDeltasAtOnce starts two deltas at the same instant: one imports, the other
// ends as Skipped and names it.
func TestTwoDeltasAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	w.worker()
	w.completed()
	edit(w, 3)
	g := w.hold(0, listing)
	ended := make(chan stack.Result, 2)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			ended <- w.starter("", "run", w.name, "--mode", "delta", "--wait", "-q", "-o", "json")
		})
	}
	skipped, r := w.rowOf(<-ended) // the other one cannot end before the gate opens
	require.Equal(t, 4, r.Code, r.Stderr)
	require.Equal(t, "Skipped", skipped.Outcome)
	require.Zero(t, skipped.APICalls)
	recordRun(w, skipped.RunID, "skipped")
	g.Open()
	wg.Wait()
	done, r := w.rowOf(<-ended)
	require.Zero(t, r.Code, r.Stderr)
	require.Equal(t, "Completed", done.Outcome)
	require.Contains(t, skipped.Note, done.RunID)
	require.Contains(t, skipped.Note, "importing")
	require.Equal(t, 3, done.Counts["User"].Updated)
	require.Equal(t, "Delta", done.Mode)
	w.requireTrue()
}

// edit changes the titles of the first n active users.
func edit(w *world, n int) {
	w.Helper()
	for _, id := range w.org().UserIDsByStatus("ACTIVE")[:n] {
		require.NoError(w, w.org().UpdateUser(id, map[string]any{"title": "edited at " + time.Now().Format(time.RFC3339Nano)}))
	}
}

// TestAFullWaitsItsTurn starts a Full during a run: it waits and then runs; a delta
// started meanwhile gives way to it.
func TestAFullWaitsItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	w.worker()
	w.completed()
	g := w.hold(0, listing)
	first := w.startMode("delta")
	<-g.Held
	full := w.startMode("full")
	id := workflowID(w, full)
	waitFor(w, "the Full waits", func() bool {
		p, err := w.progress(id)
		return err == nil && p.Phase == workflows.Waiting && p.HeldBy == first
	})
	delta, r := w.runMode("delta")
	require.Equal(t, 4, r.Code)
	require.Equal(t, "Skipped", delta.Outcome)
	require.Contains(t, delta.Note, full, "it names the Full that waits")
	require.Contains(t, delta.Note, "waits")
	require.NotContains(t, delta.Note, "()")
	g.Open()
	require.Equal(t, "Completed", w.wait(first).Outcome)
	row := w.wait(full)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	require.Equal(t, "Full", row.Mode)
	recordRun(w, full, "waited")
	w.requireTrue()
	require.Equal(t, "Completed", w.completedMode("delta").Outcome, "nobody waits any more")
}

// TestATerminatedRunIsTakenOver terminates a run in the middle, with activities in
// flight: the next run begins at once, and what the dead one's activities still have in
// hand is refused.
func TestATerminatedRunIsTakenOver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, mode, namespace string }{
		{"full", "full", ""},
		{"delta", "delta", ""},
		{"of another namespace", "delta", otherNamespace},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, oktasim.Config{Org: generated(t, 500, 6)}, nil)
			worker := w.worker()
			w.completed()
			edit(w, 40)
			other := *w
			if tc.namespace != "" {
				other.namespace = tc.namespace
				worker = other.worker()
			}

			g := w.hold(1, func(r *http.Request) bool { return r.URL.Path == "/api/v1/users" })
			dead := other.startMode(tc.mode)
			<-g.Held
			id := workflowID(&other, dead)
			require.NoError(t, other.client().TerminateWorkflow(t.Context(), id, "", "the test"))

			began := time.Now()
			row := w.completedMode("delta")
			require.Less(t, time.Since(began), time.Minute, "the lease of five minutes was not waited for")
			require.Equal(t, 40, row.Counts["User"].Updated)
			before := w.wait(dead)
			require.Equal(t, "Failed", before.Outcome)
			require.Contains(t, before.Error, row.RunID, "it says who took over")
			require.Contains(t, before.Error, "closed in Temporal")
			w.requireTrue()

			feed := len(w.changes(0))
			g.Open() // the dead run's page goes on
			waitFor(w, "the dead run's activity is refused", func() bool { return strings.Contains(worker.Output(), "may not write") })
			require.Empty(t, w.changes(feed), "a zombie writes nothing")
			w.requireTrue()
			require.Zero(t, w.completed().Counts["User"].Updated)
			w.requireTrue()
		})
	}
}

// TestARunOfAnotherNamespaceIsRespected has two namespaces import into one mesh.
func TestARunOfAnotherNamespaceIsRespected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	w.worker()
	w.completed()
	other := *w
	other.namespace = otherNamespace
	other.worker()
	g := w.hold(0, listing)
	first := other.startMode("delta")
	<-g.Held
	second, r := w.runMode("delta")
	require.Equal(t, 4, r.Code)
	require.Contains(t, second.Note, first)
	g.Open()
	require.Equal(t, "Completed", other.wait(first).Outcome)
}
