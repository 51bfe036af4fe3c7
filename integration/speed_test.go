package integration

import (
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// These tests count what an import costs. How long it takes is measured by `make bench`,
// never asserted: that is a matter of the machine.

// The org of docs/benchmarks.md, and what a full import of it costs at least: 9,500
// users who are not DEPROVISIONED and 500 groups by 200, and the members by 1,000, of
// Everyone, 20 groups of 2,000, 80 of 300 and 399 of 40.
const (
	measuredUsers       = 10_000
	measuredGroups      = 500
	measuredMemberships = 89_960

	userCalls   = 48
	groupCalls  = 3
	memberCalls = 10 + 20*2 + 80 + 399
	fullCalls   = userCalls + groupCalls + memberCalls
	// A kill may cost a page for each activity in flight, and one more for each of the two
	// walks, which ask for a page ahead.
	killCalls = inFlight + 2
)

// sized is an org with a given number of memberships.
func sized(t *testing.T, users, groups, memberships int) *oktasim.Org {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Memberships: memberships, Seed: 7, Now: orgNow})
	require.NoError(t, err)
	return org
}

// written is how many rows a run wrote to the feed.
func (r runRow) written() (n int) {
	for _, c := range r.Counts {
		n += c.Added + c.Updated + c.Deleted
	}
	return n
}

// TestTheFewestCalls imports the measured org when Okta allows 600 calls a minute. The
// groups' bucket allows 540 of them above the reserve, and 532 are needed: nothing is
// refused and nothing waits.
func TestTheFewestCalls(t *testing.T) {
	t.Parallel()
	clock := oktasim.StandingClock(orgNow)
	org := sized(t, measuredUsers, measuredGroups, measuredMemberships)
	w := newWorld(t, oktasim.Config{Org: org, Rate: 600, Latency: 5 * time.Millisecond, Clock: clock, Now: clock.Now}, nil)
	worker := w.worker()

	first := w.completed()
	w.requireFullCalls(first)
	require.Equal(t, measuredUsers*95/100, first.Counts["User"].Added)
	require.Equal(t, measuredGroups, first.Counts["Group"].Added)
	feed := first.written()

	clock.Advance(2 * time.Minute) // the next minute has calls of its own
	w.sim.ResetStats()
	second := w.completed()
	w.requireFullCalls(second)
	require.Zero(t, second.written())

	clock.Advance(2 * time.Minute)
	w.sim.ResetStats()
	delta := w.completedMode("delta")
	require.Equal(t, "Delta", delta.Mode)
	require.LessOrEqual(t, w.sim.Stats().Total, 3)
	require.Zero(t, delta.written())
	require.Empty(t, w.changes(feed), "the feed has the rows of the first import alone")
	if runtime.GOOS == "linux" { // the peak is read from /proc
		u, err := worker.Usage()
		require.NoError(t, err)
		require.LessOrEqual(t, u.PeakRSS, int64(100<<20))
	}
}

// requireFullCalls requires that a full import of the measured org cost what it has to.
func (w *world) requireFullCalls(row runRow) {
	w.Helper()
	stats := w.sim.Stats()
	require.Equal(w, map[string]int{
		"GET /api/v1/users":             userCalls,
		"GET /api/v1/groups":            groupCalls,
		"GET /api/v1/groups/{id}/users": memberCalls,
	}, stats.ByEndpoint)
	require.Equal(w, fullCalls, stats.Total)
	require.Equal(w, fullCalls, row.APICalls)
	require.Zero(w, stats.Status429)
	require.Zero(w, row.RateLimitWaits)
	require.LessOrEqual(w, stats.MaxInFlight, inFlight)
}

// TestAKilledWorkerCostsAPageForEachCall kills -9 the worker twice in the middle of a
// full import of the measured org.
func TestAKilledWorkerCostsAPageForEachCall(t *testing.T) {
	t.Parallel()
	const kills = 2
	org := sized(t, measuredUsers, measuredGroups, measuredMemberships)
	w := newWorld(t, oktasim.Config{Org: org, Latency: 20 * time.Millisecond}, nil)
	worker := w.worker()
	runID := w.start()
	for k := 1; k <= kills; k++ {
		waitFor(w, "a part of the import is done", func() bool { return w.sim.Stats().Total >= fullCalls*k/(kills+1) })
		worker.Kill()
		worker = w.worker()
	}
	row := w.wait(runID)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	stats := w.sim.Stats()
	t.Logf("calls with %d kills: %d", kills, stats.Total)
	require.LessOrEqual(t, stats.Total, fullCalls+kills*killCalls)
	require.LessOrEqual(t, stats.MaxInFlight, inFlight)
	w.requireEverything()
}

// requireEverything requires that the mesh and the feed of a first full import have
// exactly the users, groups and edges of the org, each once. requireTrue also compares
// attributes and order, in this process: with the race detector SQLite takes minutes
// for as many rows.
func (w *world) requireEverything() {
	w.Helper()
	truth := w.org().Truth()
	want := map[string]int{}
	for id, u := range truth.Users {
		if u.Status != oktasim.Deprovisioned {
			want["User "+id]++
		}
	}
	for id := range truth.Groups {
		want["Group "+id]++
	}
	for pair := range truth.Pairs {
		if want["User "+pair.User] > 0 {
			want["GroupMember "+pair.Group+":"+pair.User]++
		}
	}
	for _, command := range []string{"objects", "changes"} {
		got := map[string]int{}
		for _, row := range lines[struct{ Type, ExternalID string }](w, w.ok(w.starter("", command, w.name, "-o", "jsonl"))) {
			got[row.Type+" "+row.ExternalID]++
		}
		require.True(w, maps.Equal(want, got), "%s: want %d rows, got %d", command, len(want), len(got)) // a difference of large maps is not printed
	}
}

// TestMaxInFlight has a connector that may have three calls under way.
func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	const most = 3
	w := newWorld(t, oktasim.Config{Org: generated(t, 600, 40), Latency: 20 * time.Millisecond}, map[string]any{"MaxInFlight": most})
	w.worker()
	w.completed()
	w.completedMode("delta")
	require.LessOrEqual(t, w.sim.Stats().MaxInFlight, most)
	w.requireEverything()
}

// memoryLimit is the target for an org of 100,000 users, which this machine has no time
// for in every test: a worker that holds a list of the org, or a whole group, in memory
// is above it with a third of them too. A worker without work has some 40 MB; the Go
// runtime, SQLite's cache and ten pages of 200 users make up most of the rest.
const memoryLimit = 130 << 20

// TestMemoryDoesNotGrowWithTheOrg measures the worker's peak memory at a large org. The
// binary is built without the race detector, under which memory says nothing.
func TestMemoryDoesNotGrowWithTheOrg(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("reads the peak of the memory from /proc")
	}
	w := newWorld(t, oktasim.Config{Org: generated(t, 1, 1)}, nil)
	w.serveByProcess("--users", "30000", "--groups", "1500", "--memberships", "300000")
	worker := w.worker()
	row := w.completed()
	require.Equal(t, 30_000*95/100, row.Counts["User"].Added)
	u, err := worker.Usage()
	require.NoError(t, err)
	t.Logf("peak memory: %d MB", u.PeakRSS>>20)
	require.LessOrEqual(t, u.PeakRSS, int64(memoryLimit))
}

// serveByProcess gives the world an org that a process of its own generates and serves,
// faster than this one does with the race detector.
func (w *world) serveByProcess(args ...string) {
	w.Helper()
	_, addr, err := w.stack.Oktasim(w.Context(), args...)
	require.NoError(w, err)
	w.addr = addr
	w.define(nil)
}
