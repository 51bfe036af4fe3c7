package integration

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// twin defines another connector over the same org, in the same mesh and for the same
// workers.
func (w *world) twin() *world {
	w.Helper()
	s := *w
	s.name = fmt.Sprintf("contoso-%d", worlds.Add(1))
	s.define(nil)
	return &s
}

// callsOf returns a run's calls as far as they are recorded.
func (w *world) callsOf(runID string) int {
	w.Helper()
	run, err := w.store().Run(w.Context(), runID)
	if err != nil {
		return 0 // it has not begun
	}
	return run.APICalls
}

// calls returns how many calls a worker has made to Okta, by connector.
func (w *world) calls(base string) map[string]float64 {
	w.Helper()
	n := map[string]float64{}
	family := w.scrape(base)["identitymesh_okta_calls_total"]
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "connector" {
				n[l.GetValue()] += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// total sums counts.
func total(counts map[string]float64) (sum float64) {
	for n := range maps.Values(counts) {
		sum += n
	}
	return sum
}

// TestThreeWorkersTwoConnectors: three workers import two connectors of one org, which
// share its one bucket of calls, while one of the workers is killed, one is drained and one
// is added. Okta refuses no call, both connectors get on alike, all workers work, no page
// is read twice but for those in hand of the one that was killed, and both meshes and feeds
// are those of an undisturbed import.
func TestThreeWorkersTwoConnectors(t *testing.T) {
	t.Parallel()
	const (
		users, groups = 1200, 300
		rate, reserve = 300, 30
	)
	calm := newWorldOn(t, pgtest.URL(t), oktasim.Config{Org: generated(t, users, groups)}, nil)
	calm.worker()
	alone := calm.completed().APICalls // of one import

	one := newWorldOn(t, pgtest.URL(t), oktasim.Config{Org: generated(t, users, groups), Rate: rate, Latency: 300 * time.Millisecond}, nil)
	other := one.twin()
	pair := []*world{one, other}
	var bases []string
	var workers []*stack.Process
	add := func() {
		p, base := one.watched()
		workers, bases = append(workers, p), append(bases, base)
	}
	for range 3 {
		add()
	}
	runs := []string{one.start(), other.start()}
	reached := func(calls int) {
		one.Helper()
		one.waitFor(5*time.Minute, fmt.Sprintf("%d calls", calls), func() bool { return one.sim.Stats().Total >= calls })
	}

	reached(120) // in the first window, with twenty calls in hand
	byWorker := make([]map[string]float64, 4)
	waitFor(one, "each of the three works", func() bool { // a scrape is up to a second old
		for i := range 3 {
			if byWorker[i] = one.calls(bases[i]); total(byWorker[i]) < 10 {
				return false
			}
		}
		return true
	})
	workers[0].Kill()
	reached(rate - reserve + 60) // in the second window
	byWorker[1] = one.calls(bases[1])
	require.NoError(t, workers[1].Signal(syscall.SIGTERM))
	add()
	require.Zero(t, workers[1].Code(), "%s", workers[1].Output())

	// The one that is ahead must not have left the other behind.
	var share []int
	one.waitFor(5*time.Minute, "the first of the runs ends", func() bool {
		for i, w := range pair {
			run, err := w.store().Run(t.Context(), runs[i])
			require.NoError(t, err)
			if run.Outcome != "" {
				share = []int{one.callsOf(runs[0]), other.callsOf(runs[1])}
			}
		}
		return share != nil
	})
	sum := 0
	for i, w := range pair {
		row := w.wait(runs[i])
		require.Equal(t, "Completed", row.Outcome, row.Error)
		sum += row.APICalls
	}
	byWorker[2], byWorker[3] = one.calls(bases[2]), one.calls(bases[3])
	stats := one.sim.Stats()
	t.Logf("%d calls alone, %d by both; when the first ended: %v; by worker: %v; most at one time: %d", alone, stats.Total, share, byWorker, stats.MaxInFlight)

	require.Zero(t, stats.Status429, "429s")
	require.LessOrEqual(t, stats.MaxInFlight, 2*inFlight)
	require.GreaterOrEqual(t, stats.Total, 2*alone)
	require.LessOrEqual(t, stats.Total, 2*alone+2*killCalls, "no more is read again than what the killed worker had in hand")
	require.LessOrEqual(t, sum, stats.Total)
	// Half each, but that the lanes which the killed worker had in hand rest until Temporal
	// misses it, and most of them may have been of one connector.
	require.GreaterOrEqual(t, 4*slices.Min(share), share[0]+share[1], "each has a quarter at least")
	require.Positive(t, total(byWorker[3]), "the one that was added")
	for _, w := range pair {
		w.requireTrue()
		requireSame(t, calm.objects(), w.objects())
		requireSameFeed(t, feedOf(calm), feedOf(w))
	}

	// Then both look for what has changed, at the same time.
	one.sim.ResetStats()
	var changed []string
	for key, o := range one.objects() {
		if o.Type == "User" && o.Attributes["status"] == "ACTIVE" && len(changed) < 30 {
			changed = append(changed, key)
			one.okta(http.MethodPost, "/api/v1/users/"+o.ExternalID, map[string]any{"profile": map[string]any{"title": "Chief of Tests"}})
		}
	}
	before := len(one.changes(0))
	one.sim.ResetStats()
	for i, w := range pair {
		runs[i] = w.startMode("delta")
	}
	for i, w := range pair {
		row := w.wait(runs[i])
		require.Equal(t, "Completed", row.Outcome, row.Error)
		require.Equal(t, len(changed), row.Counts["User"].Updated)
		require.Len(t, w.changes(before), len(changed))
		w.requireTrue()
	}
	require.Zero(t, one.sim.Stats().Status429)
}
