package activities_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// past is a run that was: of a mode, started so long ago, ended just now.
type past struct {
	mode    string
	ago     time.Duration
	outcome mesh.Outcome // "" is still running
}

// TestWhenAReconcileIsDue plans an Auto run two hours after the weekly slot.
func TestWhenAReconcileIsDue(t *testing.T) {
	t.Parallel()
	failed := func(n int) []past {
		all := make([]past, n)
		for i := range all {
			all[i] = past{"Full", time.Hour, mesh.Failed}
		}
		return all
	}
	weekly := func(slot string) *activities.Cadence {
		return &activities.Cadence{Every: "15m", Reconcile: slot}
	}
	for _, tc := range []struct {
		name    string
		runs    []past
		later   time.Duration // than the end of the runs
		cadence func(slot string) *activities.Cadence
		mode    string
		note    string
	}{
		{name: "nothing since the slot", mode: "Full", note: "is due"},
		{name: "a Full has completed", runs: []past{{"Full", time.Hour, mesh.Completed}}, mode: "Delta"},
		{name: "a Full has held deletes", runs: []past{{"Full", time.Hour, mesh.HeldDeletes}}, mode: "Delta"},
		{name: "a Full before the slot", runs: []past{{"Full", 3 * time.Hour, mesh.Completed}}, mode: "Full", note: "is due"},
		{name: "a delta since the slot", runs: []past{{"Delta", time.Hour, mesh.Completed}}, mode: "Full", note: "is due"},
		{name: "a Full was skipped", runs: []past{{"Full", time.Hour, mesh.Skipped}}, mode: "Full", note: "is due"},
		{name: "one failure, too soon", runs: failed(1), later: 14 * time.Minute, mode: "Delta"},
		{name: "one failure, a tick later", runs: failed(1), later: 16 * time.Minute, mode: "Full", note: "attempt 2"},
		{name: "two failures, too soon", runs: failed(2), later: 29 * time.Minute, mode: "Delta"},
		{name: "two failures, two ticks later", runs: failed(2), later: 31 * time.Minute, mode: "Full", note: "attempt 3"},
		{name: "three failures, too soon", runs: failed(3), later: 59 * time.Minute, mode: "Delta"},
		{name: "three failures, four ticks later", runs: failed(3), later: 61 * time.Minute, mode: "Full", note: "attempt 4"},
		{name: "many failures, too soon", runs: failed(30), later: 23 * time.Hour, mode: "Delta"},
		{name: "many failures, a day later", runs: failed(30), later: 24*time.Hour + time.Minute, mode: "Full", note: "attempt 31"},
		{name: "a failure, then success", runs: append(failed(1), past{"Full", 30 * time.Minute, mesh.Completed}), later: time.Hour, mode: "Delta"},
		{name: "cancelled", runs: []past{{"Full", time.Hour, mesh.Cancelled}}, later: time.Minute, mode: "Delta"},
		{name: "cancelled, a tick ago", runs: []past{{"Full", time.Hour, mesh.Cancelled}}, later: 16 * time.Minute, mode: "Full", note: "attempt 2"},
		{name: "no schedule", cadence: func(string) *activities.Cadence { return nil }, mode: "Delta"},
		{name: "no reconcile", cadence: func(string) *activities.Cadence { return &activities.Cadence{Every: "15m"} }, mode: "Delta"},
		{
			name: "the reconcile alone", mode: "Full", note: "attempt 2", runs: failed(1), later: 16 * time.Minute,
			cadence: func(slot string) *activities.Cadence { return &activities.Cadence{Reconcile: slot} },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := imported(t)
			for i, r := range tc.runs {
				b.past(fmt.Sprint("past-", i), r)
			}
			cadence := weekly
			if tc.cadence != nil {
				cadence = tc.cadence
			}
			r, err := b.auto(cadence(slotAgo(2*time.Hour)), time.Now().Add(tc.later))
			require.NoError(t, err)
			require.Equal(t, tc.mode, r.Plan.Mode, r.Plan.Note)
			require.Contains(t, r.Plan.Note, tc.note)
			if tc.note == "" {
				require.Empty(t, r.Plan.Note)
			}
		})
	}
}

// TestARunningReconcileSatisfiesItsSlot: an Auto run that meets it is a delta, and so
// gives way.
func TestARunningReconcileSatisfiesItsSlot(t *testing.T) {
	t.Parallel()
	b := imported(t)
	b.past("running", past{"Full", time.Hour, ""})
	r, err := b.auto(&activities.Cadence{Every: "15m", Reconcile: slotAgo(2 * time.Hour)}, time.Now())
	require.NoError(t, err)
	require.NotNil(t, r.Skipped)
	require.Equal(t, "Delta", r.Skipped.Mode)
	require.Contains(t, r.Skipped.Note, "running")
}

// TestACadenceThatCannotWork stops an Auto run with its remedy.
func TestACadenceThatCannotWork(t *testing.T) {
	t.Parallel()
	for _, c := range []activities.Cadence{
		{Reconcile: "Someday 02:00"}, {Reconcile: "Sun 25:00"}, {Reconcile: "Sun 02:00", Timezone: "Mars/Olympus"},
		{Every: "soon", Reconcile: "Sun 02:00"}, {Every: "1ms", Reconcile: "Sun 02:00"},
	} {
		b := imported(t)
		_, err := b.auto(&c, time.Now())
		require.ErrorContains(t, requireType(t, err, activities.ErrDefinition), "starter schedule apply", "%+v", c)
	}
}

// slotAgo is the weekly slot of that long ago.
func slotAgo(d time.Duration) string { return time.Now().UTC().Add(-d).Format("Mon 15:04") }

// imported is a bench whose connector was imported in full last month.
func imported(t *testing.T) *testBench {
	t.Helper()
	b := newBench(t, 5, 2, nil)
	begun, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{
		Connector: "contoso", Mode: "Full", RunID: "last-month", StartedAt: time.Now().Add(-30 * 24 * time.Hour),
	})
	require.NoError(t, err)
	users, groups := b.read(begun)
	_, err = b.finish(begun, users, groups)
	require.NoError(t, err)
	return b
}

// past writes the row of a run that was.
func (b *testBench) past(id string, r past) {
	b.Helper()
	row := mesh.BeginRun{Connector: "contoso", RunID: id, WorkflowID: "import-" + id, Mode: r.mode, StartedAt: time.Now().Add(-r.ago), LeaseTTL: time.Minute}
	if r.outcome == mesh.Skipped {
		_, err := b.store.Skip(b.Context(), row, "gave way")
		require.NoError(b, err)
		return
	}
	_, err := b.store.Begin(b.Context(), row)
	require.NoError(b, err)
	if r.outcome != "" {
		_, err = b.store.End(b.Context(), id, r.outcome, "")
		require.NoError(b, err)
	}
}

// auto plans an Auto run at now.
func (b *testBench) auto(c *activities.Cadence, now time.Time) (activities.BeginResult, error) {
	b.Helper()
	return do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{
		Connector: "contoso", Mode: "Auto", RunID: "auto", WorkflowID: "import-auto", StartedAt: now, Now: now, Cadence: c,
	})
}

// TestSlotsThroughTheYear walks through a year hour by hour, with the days on which
// clocks change: one slot a week, none comes back, none is in the future.
func TestSlotsThroughTheYear(t *testing.T) {
	t.Parallel()
	for _, c := range []activities.Cadence{
		{Reconcile: "Sun 02:30", Timezone: "Europe/Berlin"}, // which is skipped in March and comes twice in October
		{Reconcile: "Sun 02:00", Timezone: "Europe/Berlin"},
		{Reconcile: "sunday 01:30", Timezone: "America/New_York"},
		{Reconcile: "Sun 00:15", Timezone: "America/Santiago"}, // midnight is skipped
		{Reconcile: "Sat 23:59", Timezone: "Pacific/Kiritimati"},
		{Reconcile: "Mon 9:00"},
	} {
		s, err := c.Slot()
		require.NoError(t, err)
		start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		last, slots := s.Last(start), 0
		for now := start; now.Before(start.AddDate(1, 0, 0)); now = now.Add(30 * time.Minute) {
			at := s.Last(now)
			require.False(t, at.After(now), "%v: %s is after %s", c, at, now)
			require.Less(t, now.Sub(at), 7*24*time.Hour+2*time.Hour, "%v at %s", c, now)
			require.False(t, at.Before(last), "%v at %s: %s comes back", c, now, at)
			if at.After(last) {
				require.InDelta(t, 7*24, at.Sub(last).Hours(), 2, "%v at %s", c, now)
				last = at
				slots++
			}
		}
		require.InDelta(t, 52, slots, 1, "%v", c)
	}
}

// TestARestoredDatabaseIsReadInFull, until a Full has completed, and approves nothing.
func TestARestoredDatabaseIsReadInFull(t *testing.T) {
	t.Parallel()
	b := imported(t)
	_, err := b.store.Restored(t.Context(), mesh.Restore{By: "ops"})
	require.NoError(t, err)
	_, err = do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "contoso", Mode: "Approval", RunID: "approval", StartedAt: time.Now()})
	require.ErrorContains(t, requireType(t, err, activities.ErrRestored), "run a Full")
	_, err = b.store.End(t.Context(), "approval", mesh.Failed, "x")
	require.NoError(t, err)
	for _, mode := range []string{"Auto", "Delta"} {
		r, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "contoso", Mode: mode, RunID: mode, StartedAt: time.Now(), Now: time.Now()})
		require.NoError(t, err)
		require.Equal(t, "Full", r.Plan.Mode)
		require.Contains(t, r.Plan.Note, "restored from a backup")
		if mode == "Auto" {
			_, err = b.store.End(t.Context(), mode, mesh.Failed, "x")
			require.NoError(t, err)
			continue
		}
		users, groups := b.read(r)
		_, err = b.finish(r, users, groups)
		require.NoError(t, err)
	}
	r, err := b.auto(nil, time.Now())
	require.NoError(t, err)
	require.Equal(t, "Delta", r.Plan.Mode, r.Plan.Note)
}

// TestARunTheDatabaseForgotSaysSo stops a run whose row a restore has taken.
func TestARunTheDatabaseForgotSaysSo(t *testing.T) {
	t.Parallel()
	b := imported(t)
	r, err := b.auto(nil, time.Now())
	require.NoError(t, err)
	lost := mesh.Fence{Connector: "contoso", RunID: "lost", Token: r.Fence.Token}
	_, err = do[activities.SettleResult](b, b.acts.Settle, activities.SettleInput{Fence: lost, Plan: r.Plan})
	require.ErrorContains(t, requireType(t, err, activities.ErrRestored), "starter restored")
}
