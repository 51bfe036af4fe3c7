package integration

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// inFlight is the most calls that a worker has open at one time.
const inFlight = 10

// TestKilledWorkerLosesNothing kills -9 the worker several times in the middle of an
// import. Mesh and feed must be those of an undisturbed run, and no more than one
// page per call in flight, two of a walk, may be read again.
func TestKilledWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, testKilledWorkerLosesNothing)
}

func testKilledWorkerLosesNothing(t *testing.T, newDB func() string) {
	const users, groups, kills = 3000, 60, 3
	calm := newWorldOn(t, newDB(), oktasim.Config{Org: generated(t, users, groups)}, nil)
	calm.worker()
	calmRow := calm.completed()

	w := newWorldOn(t, newDB(), oktasim.Config{Org: generated(t, users, groups), Latency: 60 * time.Millisecond}, nil)
	worker := w.worker()
	runID := w.start()
	for k := 1; k <= kills; k++ {
		calls := calmRow.APICalls * k / (kills + 1)
		require.Eventually(t, func() bool { return w.sim.Stats().Total >= calls }, time.Minute, time.Millisecond)
		worker.Kill()
		worker = w.worker()
	}
	row := w.wait(runID)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	recordRun(w, runID, "resumed")

	total := w.sim.Stats().Total
	t.Logf("calls: %d undisturbed, %d with %d kills", calmRow.APICalls, total, kills)
	require.Equal(t, calm.sim.Stats().Total, calmRow.APICalls)
	require.LessOrEqual(t, total, calmRow.APICalls+kills*killCalls)
	require.LessOrEqual(t, w.sim.Stats().MaxInFlight, inFlight)
	require.Equal(t, calmRow.Counts, row.Counts)
	requireSame(t, calm.objects(), w.objects())
	requireSameFeed(t, feedOf(calm), feedOf(w))
}

// feedOf returns a feed without what differs between two equal runs: the order in
// which the walks of users and groups met, and the run ids.
func feedOf(w *world) []change {
	rows := w.changes(0)
	for i := range rows {
		rows[i].Seq, rows[i].RunID = 0, ""
	}
	slices.SortFunc(rows, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ExternalID, b.ExternalID), cmp.Compare(a.Op, b.Op))
	})
	return rows
}

// requireSameFeed requires equal rows, one by one.
func requireSameFeed(t *testing.T, want, got []change) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, want[i], got[i])
	}
}

// TestStoppedWorkerHandsOver stops the worker with SIGTERM: it finishes the pages in
// hand, so nothing at all is read again.
func TestStoppedWorkerHandsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 2000, 40), Latency: 60 * time.Millisecond}, nil)
	worker := w.worker()
	runID := w.start()
	require.Eventually(t, func() bool { return w.sim.Stats().Total >= 15 }, time.Minute, time.Millisecond)
	require.NoError(t, worker.Stop())
	w.worker()
	row := w.wait(runID)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	require.Equal(t, w.sim.Stats().Total, row.APICalls)

	calm := newWorld(t, oktasim.Config{Org: generated(t, 2000, 40)}, nil)
	calm.worker()
	require.Equal(t, calm.completed().APICalls, row.APICalls)
}

// TestCancelStopsAfterThePagesInHand cancels a run: what was read stays, the
// watermark does not move, and the next run brings the mesh up to date.
func TestCancelStopsAfterThePagesInHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 3000, 40), Latency: 50 * time.Millisecond}, nil)
	w.worker()
	g := w.hold(0, func(*http.Request) bool { return w.sim.Stats().Total >= 8 })
	runID := w.start()
	<-g.Held
	w.ok(w.starter("", "cancel", runID)) // however long it takes, the run does not end before
	g.Open()
	row := w.wait(runID)
	require.Equal(t, "Cancelled", row.Outcome)
	require.Nil(t, row.Watermark)
	require.Zero(t, row.Counts["GroupMember"].Added, "nothing was settled")
	calls := w.sim.Stats().Total
	require.Equal(t, calls, row.APICalls, "each page in hand was finished and counted")
	for _, c := range w.changes(0) {
		require.Equal(t, "Add", c.Op)
	}
	recordRun(w, runID, "cancelled")

	r := w.starter("", "cancel", runID)
	require.Equal(t, 1, r.Code, "a run that has ended cannot be cancelled: %s", r.Stderr)

	w.completed()
	fresh := newWorld(t, oktasim.Config{Org: generated(t, 3000, 40)}, nil)
	fresh.worker()
	fresh.completed()
	requireSame(t, fresh.objects(), w.objects())
}

// TestCancelWaitsForASlowPage cancels while a page takes longer than the heartbeat
// time-out: it is finished and counted all the same.
func TestCancelWaitsForASlowPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 300, 3)}, nil)
	w.worker()
	held := make(chan struct{})
	var once sync.Once
	w.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/users" {
			once.Do(func() { close(held) })
			<-time.After(20 * time.Second) // the heartbeat time-out is 15
		}
		return false
	})
	runID := w.start()
	<-held
	w.ok(w.starter("", "cancel", runID))
	row := w.wait(runID)
	require.Equal(t, "Cancelled", row.Outcome, row.Error)
	require.Equal(t, w.sim.Stats().Total, row.APICalls)
	require.Positive(t, row.Counts["User"].Added, "the page in hand was recorded")
}

// TestCancelOfAFailingRun cancels a run whose every call fails: it ends as cancelled.
func TestCancelOfAFailingRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 100, 3)}, nil)
	w.worker()
	failing := make(chan struct{}, 100)
	w.sim.Intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		failing <- struct{}{}
		rw.WriteHeader(http.StatusBadGateway)
		return true
	})
	runID := w.start()
	<-failing
	w.ok(w.starter("", "cancel", runID))
	require.Equal(t, "Cancelled", w.wait(runID).Outcome)
}
