package integration

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// living is an org on a clock of its own, and what happens to it: two of them, changed
// in the same way, are the same to the last stamp.
func living(t *testing.T, users, groups int, latency time.Duration) (oktasim.Config, *oktasim.Clock) {
	t.Helper()
	clock := oktasim.StandingClock(orgNow.Add(time.Hour))
	return oktasim.Config{Org: generated(t, users, groups), Clock: clock, Now: clock.Now, Latency: latency}, clock
}

// change does a bit of everything to the org, in the same way each time.
func (w *world) change(clock *oktasim.Clock, users, groups int) {
	w.Helper()
	clock.Advance(time.Hour)
	active := w.org().UserIDsByStatus("ACTIVE")
	for i, id := range active[:users] {
		require.NoError(w, w.org().UpdateUser(id, map[string]any{"title": fmt.Sprint("title ", i)}))
	}
	for _, id := range active[users : users+8] {
		require.NoError(w, w.org().SetStatus(id, "DEPROVISIONED"))
	}
	all := w.org().GroupIDsByType("OKTA_GROUP")
	for i, g := range all[:min(groups, len(all))] {
		for _, u := range active[i*7 : i*7+7] {
			if i%2 == 0 {
				require.NoError(w, w.org().AddMember(g, u))
			} else {
				require.NoError(w, w.org().RemoveMember(g, u))
			}
		}
	}
	for i := range 20 {
		login := fmt.Sprintf("new%d@example.com", i)
		_, err := w.org().CreateUser(map[string]any{"login": login, "email": login, "firstName": "New", "lastName": "Hire"}, true)
		require.NoError(w, err)
	}
	clock.Advance(time.Minute)
}

// TestARestartDuringADeltaAndAReconcile stops and kills the worker in the middle of a
// delta, and kills it in the middle of a reconcile: nothing is read or written twice
// but a page for each call in flight, and nothing is lost.
func TestARestartDuringADeltaAndAReconcile(t *testing.T) {
	t.Parallel()
	const users, groups = 900, 60
	cfg, clock := living(t, users, groups, 0)
	calm := newWorld(t, cfg, nil)
	calm.worker()
	calm.completed()
	calm.change(clock, 500, 50)
	calmRow := calm.completedMode("delta")

	cfg, clock = living(t, users, groups, 40*time.Millisecond)
	w := newWorld(t, cfg, nil)
	worker := w.worker()
	full := w.completed()
	w.change(clock, 500, 50)
	w.sim.ResetStats()
	runID := w.startMode("delta")
	waitFor(w, "the delta is under way", func() bool { return w.sim.Stats().Total >= calmRow.APICalls/3 })
	require.NoError(t, worker.Stop())
	worker = w.worker()
	waitFor(w, "the delta goes on", func() bool { return w.sim.Stats().Total >= calmRow.APICalls*2/3 })
	worker.Kill()
	worker = w.worker()
	row := w.wait(runID)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	require.Equal(t, "Delta", row.Mode)
	require.LessOrEqual(t, w.sim.Stats().Total, calmRow.APICalls+inFlight)
	require.Equal(t, calmRow.Counts, row.Counts)
	requireSame(t, calm.objects(), w.objects())
	requireSameFeed(t, feedOf(calm), feedOf(w))
	w.requireTrue()
	recordRun(w, row.RunID, "delta-resumed")

	const gone = 9
	for _, id := range w.org().UserIDsByStatus("ACTIVE")[:gone] {
		require.NoError(t, w.org().DeleteUser(id)) // which only a reconcile finds
	}
	w.sim.ResetStats()
	runID = w.startMode("full")
	waitFor(w, "the reconcile is under way", func() bool { return w.sim.Stats().Total >= full.APICalls/2 })
	worker.Kill()
	w.worker()
	row = w.wait(runID)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	require.Equal(t, gone, row.Counts["User"].Deleted)
	const lookUps = 8 + gone + 2 // those that were deactivated and those that are gone one by one, a search for each lot
	require.LessOrEqual(t, w.sim.Stats().Total, full.APICalls+lookUps+inFlight)
	w.requireTrue()
}

// TestADryRunTellsWhatADeltaDoes runs a delta with a bit of everything, first dry.
func TestADryRunTellsWhatADeltaDoes(t *testing.T) {
	t.Parallel()
	cfg, clock := living(t, 200, 12, 0)
	w := newWorld(t, cfg, nil)
	w.worker()
	w.completed()
	w.change(clock, 30, 6)
	feed := len(w.changes(0))
	dry, r := w.rowOf(w.starter("", "run", w.name, "--mode", "delta", "--dry-run", "-o", "json"))
	require.Zero(t, r.Code, r.Stderr)
	require.Empty(t, w.changes(feed), "a dry run writes nothing")
	recordRun(w, dry.RunID, "dry-run")
	row := w.completedMode("delta")
	require.Equal(t, row.Counts, dry.Counts, "it said what the run does")
	require.Equal(t, "Delta", row.Mode)
	require.Equal(t, 20, row.Counts["User"].Added)
	require.Equal(t, 8, row.Counts["User"].Deleted)
	recordRun(w, row.RunID, "delta")
	require.Positive(t, requireNobody(w, string(history(w, row.RunID))))
	w.requireTrue()
}
