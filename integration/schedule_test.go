package integration

import (
	"database/sql"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// scheduleRow is what `schedule show -o json` prints.
type scheduleRow struct {
	Cadence       workflows.Cadence
	Paused        bool
	Note          string
	Next          []time.Time
	Running, Last []struct {
		At         *time.Time
		RunID      string
		WorkflowID string
		Mode       string
		Outcome    string
	}
	OverlapPolicy string
	Jitter        string
	Ticks         int
	Skipped       int
}

// appliedRow is what `schedule apply -o json` prints.
type appliedRow struct {
	Result  string
	Paused  bool
	Changes []struct{ What, From, To string }
}

func (w *world) schedule() (s scheduleRow) {
	w.Helper()
	decode(w, w.ok(w.starter("", "schedule", "show", w.name, "-o", "json")), &s)
	return s
}

func (w *world) applySchedule(args ...string) (a appliedRow) {
	w.Helper()
	decode(w, w.ok(w.starter("", append([]string{"schedule", "apply", w.name, "-o", "json"}, args...)...)), &a)
	return a
}

// runs returns the run rows, the oldest first.
func (w *world) runs() []mesh.Run {
	w.Helper()
	all, err := w.store().Runs(w.Context(), w.name, 0)
	require.NoError(w, err)
	slices.Reverse(all)
	return all
}

// ended counts the runs of a mode and outcome.
func (w *world) ended(mode string, outcome mesh.Outcome) (n int) {
	w.Helper()
	for _, r := range w.runs() {
		if r.Mode == mode && r.Outcome == outcome {
			n++
		}
	}
	return n
}

// missedSlot is a weekly slot that was some hours ago.
func missedSlot() string { return time.Now().UTC().Add(-5 * time.Hour).Format("Mon 15:04") }

// backdate makes every run so far one of last week.
func (w *world) backdate() {
	w.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.stack.Dir, "mesh.db")+"?_pragma=busy_timeout(10000)")
	require.NoError(w, err)
	const week = 7 * 24 * int64(time.Hour/time.Millisecond)
	_, err = db.ExecContext(w.Context(), "UPDATE im_runs SET started_at = started_at - ?1, ended_at = ended_at - ?1", week)
	require.NoError(w, err)
	require.NoError(w, db.Close())
}

// TestAScheduleLives takes a schedule through its life: created, ticking, changed,
// paused, triggered, backfilled, resumed, deleted.
func TestAScheduleLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	w.worker()
	slot := missedSlot()
	a := w.applySchedule("--every", "1s", "--reconcile", slot)
	require.Equal(t, "created", a.Result)

	// The missed slot is made up for once, by a child workflow; then come deltas.
	waitFor(w, "a Full, then two deltas", func() bool { return w.ended("Delta", mesh.Completed) >= 2 })
	full := w.runs()[0]
	require.Equal(t, "Full", full.Mode)
	require.Equal(t, mesh.Completed, full.Outcome)
	require.Contains(t, full.Note, "reconcile")
	require.Equal(t, 1, w.ended("Full", mesh.Completed), "the slot is satisfied")
	require.True(t, strings.HasPrefix(full.WorkflowID, "import-"+w.name+"-auto-"), full.WorkflowID)
	c := child(events(w, full.WorkflowID, full.RunID))
	require.NotNil(t, c)
	require.True(t, strings.HasPrefix(c.GetWorkflowId(), "reconcile-"+w.name+"-"), c.GetWorkflowId())
	recordRun(w, full.RunID, "scheduled")
	edit(w, 3)
	n := w.ended("Delta", mesh.Completed)
	waitFor(w, "the change arrives", func() bool { return w.ended("Delta", mesh.Completed) >= n+2 })
	w.requireTrue()

	// A changed cadence lands; applying it again changes nothing.
	a = w.applySchedule("--every", "2s", "--reconcile", slot, "--timezone", "Europe/Berlin")
	require.Equal(t, "changed", a.Result)
	require.NotEmpty(t, a.Changes)
	var s scheduleRow
	waitFor(w, "the change has arrived", func() bool { // Temporal takes it in the background
		s = w.schedule()
		return s.Cadence.Every == "2s" && s.Cadence.Timezone == "Europe/Berlin"
	})
	require.Equal(t, "Skip", s.OverlapPolicy)
	require.GreaterOrEqual(t, len(s.Next), 3)
	for i := range s.Next[1:] {
		require.InDelta(t, 2, s.Next[i+1].Sub(s.Next[i]).Seconds(), 0.5)
	}
	require.Equal(t, "unchanged", w.applySchedule("--every", "2s", "--reconcile", slot, "--timezone", "Europe/Berlin").Result)
	require.Equal(t, "changed", w.applySchedule("--every", "1s").Result)
	waitFor(w, "and back", func() bool { return w.schedule().Cadence.Every == "1s" })

	// Paused: another connector's schedule goes on and tells the time.
	other := w.sibling(oktasim.Config{Org: generated(t, 30, 3)}, nil)
	w.ok(w.starter("", "schedule", "pause", w.name, "--note", "Okta maintenance"))
	waitFor(w, "it is paused", func() bool { s = w.schedule(); return s.Paused })
	require.Contains(t, s.Note, "Okta maintenance")
	require.Empty(t, s.Next)
	require.True(t, w.applySchedule("--every", "1s").Paused, "apply does not resume")
	waitFor(w, "the run under way ends", func() bool { return len(w.schedule().Running) == 0 })
	ticks := w.schedule().Ticks
	other.applySchedule("--every", "1s")
	waitFor(w, "the other schedule ticks", func() bool { return len(other.runs()) >= 3 })
	require.Equal(t, ticks, w.schedule().Ticks, "a paused schedule does not tick")
	other.ok(w.starter("", "schedule", "delete", other.name))

	w.ok(w.starter("", "schedule", "trigger", w.name))
	waitFor(w, "the trigger starts a run", func() bool { s := w.schedule(); return s.Ticks == ticks+1 && len(s.Running) == 0 })
	w.ok(w.starter("", "schedule", "backfill", w.name, "--from", stamp(time.Now().Add(-10*time.Second)), "--to", stamp(time.Now().Add(-5*time.Second))))
	waitFor(w, "the backfill starts its runs, one after the other", func() bool {
		s := w.schedule()
		return s.Ticks >= ticks+5 && len(s.Running) == 0
	})

	w.ok(w.starter("", "schedule", "resume", w.name))
	ticks = w.schedule().Ticks
	waitFor(w, "it ticks again", func() bool { return w.schedule().Ticks > ticks })
	w.ok(w.starter("", "schedule", "delete", w.name))
	r := w.starter("", "schedule", "show", w.name)
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, "schedule apply")
	w.requireTrue()
}

// stamp is a time as the command line wants it.
func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// TestTicksDuringARunAreSkipped lets a run take longer than the time between two ticks.
func TestTicksDuringARunAreSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	w.worker()
	w.completed()
	g := w.hold(0, listing)
	w.applySchedule("--every", "1s")
	<-g.Held
	waitFor(w, "ticks are skipped", func() bool { return w.schedule().Skipped >= 2 })
	s := w.schedule()
	require.Len(t, s.Running, 1)
	require.Len(t, w.runs(), 2, "the Full by hand and the one under way")
	r := w.starter("", "schedule", "trigger", w.name)
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, s.Running[0].WorkflowID)

	// A delta by hand gives way to it, too.
	row, r := w.runMode("delta")
	require.Equal(t, 4, r.Code)
	require.Contains(t, row.Note, s.Running[0].RunID)
	g.Open()
	waitFor(w, "the run ends and another follows", func() bool { return w.ended("Delta", mesh.Completed) >= 2 })
	require.Equal(t, 1, w.ended("Delta", mesh.Skipped), "Temporal's skipped ticks are no runs")
}

// TestAConnectorTakesItsScheduleAlong deletes a connector that has a schedule and an
// open hold.
func TestAConnectorTakesItsScheduleAlong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 120, 5)}, nil)
	w.worker()
	w.completed()
	deactivate(w, 40)
	held(w, "delta", 40)
	w.applySchedule("--every", "1h")
	r := w.starter("", "connector", "delete", w.name)
	require.Equal(t, 1, r.Code, "it has live objects")
	require.False(t, w.schedule().Paused, "a refused delete leaves the schedule")
	w.ok(w.starter("", "connector", "delete", w.name, "--purge"))
	_, err := w.client().ScheduleClient().GetHandle(t.Context(), "import-"+w.name).Describe(t.Context())
	require.ErrorAs(t, err, new(*serviceerror.NotFound))
	require.Error(t, w.client().GetWorkflow(t.Context(), workflows.HoldWorkflowID(w.name), "").Get(t.Context(), nil), "the hold's workflow has ended")
	require.Empty(t, w.objects())
}

// TestAFailedReconcileIsNotTriedAtEveryTick makes every reconcile of a schedule fail:
// it is tried again after 1, 2, 4 … ticks, deltas go on, and once it works it is done.
func TestAFailedReconcileIsNotTriedAtEveryTick(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	w.worker()
	w.completed()
	w.backdate() // the slot of this week is not satisfied
	w.sim.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/users" || r.URL.Query().Get("search") != "" {
			return false // deltas search
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = rw.Write([]byte(forbidden))
		return true
	})
	w.applySchedule("--every", "1s", "--reconcile", missedSlot())
	waitFor(w, "three reconciles fail", func() bool { return w.ended("Full", mesh.Failed) >= 3 })
	w.sim.Intercept(nil)
	waitFor(w, "one completes", func() bool { return w.ended("Full", mesh.Completed) >= 2 })
	n := w.ended("Delta", mesh.Completed)
	waitFor(w, "deltas go on", func() bool { return w.ended("Delta", mesh.Completed) >= n+2 })
	w.ok(w.starter("", "schedule", "delete", w.name))

	var fulls []mesh.Run
	for _, r := range w.runs() {
		if r.Mode == "Full" {
			fulls = append(fulls, r)
		}
	}
	require.Equal(t, mesh.Completed, fulls[len(fulls)-1].Outcome)
	fulls = fulls[1:] // the one of last week
	for i, r := range fulls[1:] {
		pause := r.StartedAt.Sub(*fulls[i].EndedAt)
		require.GreaterOrEqual(t, pause, time.Second<<i-10*time.Millisecond, "attempt %d waits %d ticks", i+2, 1<<i)
		require.Contains(t, r.Note, fmt.Sprintf("attempt %d", i+2))
	}
	require.Positive(t, n, "deltas go on meanwhile")
}

// TestMissedTicksAreMadeUpFor kills the Temporal server for longer than the time
// between two ticks: one of the missed ticks runs when it is back.
func TestMissedTicksAreMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 60, 5)}, nil)
	db := []string{"--db", filepath.Join(w.stack.Dir, "temporal.db")}
	server, err := w.stack.Temporal(t.Context(), db...)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(w.stack.TemporalAddr)
	require.NoError(t, err)
	w.worker()
	w.completed()
	w.applySchedule("--every", "6s")
	var due time.Time
	waitFor(w, "no tick's run is under way, and the next tick is not just now", func() bool {
		s := w.schedule()
		due = s.Next[0]
		return len(s.Running) == 0 && time.Until(due) > 2*time.Second
	})
	before := len(w.runs())
	server.Kill()
	edit(w, 4)
	<-time.After(time.Until(due.Add(time.Second))) // the tick is missed
	_, err = w.stack.Temporal(t.Context(), append(db, "--port", port)...)
	require.NoError(t, err)
	w.worker()                                                               // the other one takes its time to find the server again
	id := "import-" + w.name + "-auto-" + stamp(due.Truncate(6*time.Second)) // which says what tick it is
	var made mesh.Run
	waitFor(w, "the missed tick is made up for", func() bool {
		all := w.runs()[before:]
		if i := slices.IndexFunc(all, func(r mesh.Run) bool { return r.WorkflowID == id }); i >= 0 {
			made = all[i]
		}
		return made.Outcome == mesh.Completed
	})
	require.Equal(t, 4, made.Counts[mesh.User].Updated)
	w.requireTrue()
}
