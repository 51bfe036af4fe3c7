package activities_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

func TestAFullImportTwice(t *testing.T) {
	t.Parallel()
	b := newBench(t, 500, 12, nil)
	first := b.full()
	require.Equal(t, activities.Completed, first.Outcome)
	require.Equal(t, len(b.live(mesh.User)), first.Counts[mesh.User].Added)
	require.Equal(t, 12, first.Counts[mesh.Group].Added)
	require.Equal(t, len(b.live(mesh.GroupMember)), first.Counts[mesh.GroupMember].Added)
	require.Equal(t, b.sim.Stats().Total, first.APICalls)
	n := len(b.feed(0))
	second := b.full()
	require.Empty(t, b.feed(int64(n)))
	require.Equal(t, first.Counts[mesh.User].Added, second.Counts[mesh.User].Unchanged)
	require.Equal(t, first.Counts[mesh.GroupMember].Added, second.Counts[mesh.GroupMember].Unchanged)
}

// TestALateAttemptWritesNothing holds an attempt's page back until a second attempt
// has read the whole list: what the first one then has is refused.
func TestALateAttemptWritesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 3, nil)
	begun := b.begin()
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 1000}
	held, release := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	b.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.RawQuery, "after=") && first.CompareAndSwap(false, true) {
			close(held)
			<-release
		}
		return false
	})
	late := make(chan error, 1)
	go func() {
		_, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
		late <- err
	}()
	<-held
	r, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
	require.NoError(t, err)
	require.True(t, r.Done)
	feed := b.feed(0)
	close(release)
	require.ErrorContains(t, <-late, "another attempt")
	require.Equal(t, feed, b.feed(0))
}

// TestAnOldRunWritesNothing lets a run lose its lease to another one.
func TestAnOldRunWritesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, 300, 3, nil)
	b.acts = activities.New(activities.Config{Store: b.store, Secrets: fixed("oktasim-token"), LeaseTTL: time.Millisecond})
	old := b.begin()
	var begun activities.BeginResult
	require.Eventually(t, func() bool { // the lease of the old run expires on the database's clock
		r, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "contoso", Mode: "Full", RunID: "new", StartedAt: time.Now()})
		begun = r
		return err == nil && r.HeldBy == ""
	}, 5*time.Second, 5*time.Millisecond)
	require.Greater(t, begun.Fence.Token, old.Fence.Token)
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: old.Fence, Plan: old.Plan, MaxPages: 5})
	requireType(t, err, activities.ErrFenced)
	require.Empty(t, b.feed(0))
}

func TestAHeldConnectorIsAResult(t *testing.T) {
	t.Parallel()
	b := newBench(t, 10, 1, nil)
	first := b.begin()
	r, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "contoso", Mode: "Full", RunID: "second", StartedAt: time.Now()})
	require.NoError(t, err)
	require.Equal(t, first.Fence.RunID, r.HeldBy)
}

// TestThreeRetriesWithoutAPage counts what Okta's failures cost: three retries, and
// a recorded page starts the count anew.
func TestThreeRetriesWithoutAPage(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 3, nil) // four pages
	begun := b.begin()
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 1}
	var broken atomic.Bool
	b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if broken.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		return broken.Load()
	})
	fail := func(delay time.Duration) {
		t.Helper()
		_, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
		var app *temporal.ApplicationError
		require.ErrorAs(t, err, &app)
		require.False(t, app.NonRetryable(), app.Message())
		require.Equal(t, delay, app.NextRetryDelay())
	}
	for page := 1; page <= 2; page++ {
		broken.Store(true)
		for _, delay := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			fail(delay)
		}
		broken.Store(false)
		r, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
		require.NoError(t, err)
		require.Equal(t, page, r.Page)
	}
	broken.Store(true)
	fail(time.Second)
	fail(2 * time.Second)
	fail(4 * time.Second)
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
	require.Contains(t, requireType(t, err, activities.ErrGaveUp).Message(), "after 3 retries")
	run, err := b.store.Run(t.Context(), begun.Fence.RunID)
	require.NoError(t, err)
	require.Equal(t, b.sim.Stats().Total, run.APICalls, "failed calls are counted too")
}

// TestProgressIsReturnedNotLost fails a page after others were recorded: the activity
// returns what it has.
func TestProgressIsReturnedNotLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 3, nil)
	begun := b.begin()
	var pages atomic.Int64
	b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if pages.Add(1) == 3 {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}
		return false
	})
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 100}
	r, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
	require.NoError(t, err)
	require.Equal(t, 2, r.Page)
	require.False(t, r.Done)
	r, err = do[activities.WalkResult](b, b.acts.ReadUsers, in)
	require.NoError(t, err)
	require.True(t, r.Done)
	require.Equal(t, 4, r.Page)
}

func TestWhatOktaRefusesIsNotRetried(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		answer http.HandlerFunc
		typ    string
		want   string
	}{
		{"401", status(401), activities.ErrUnauthorized, "`starter connector check "},
		{"403", status(403), activities.ErrForbidden, "Read-Only Administrator"},
		{"403, what next", status(403), activities.ErrForbidden, "`starter connector check "},
		{"400", status(400), activities.ErrRefused, "400"},
		{"404", status(404), activities.ErrRefused, "404"},
		{"a long Retry-After", status(429, "Retry-After: 31"), activities.ErrRefused, "31"},
		{"empty list", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("[]"))
		}, activities.ErrEmpty, "nothing was deleted"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 30, 2, nil)
			begun := b.begin()
			b.sim.Intercept(onPath("/api/v1/users", tc.answer))
			_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
			require.Contains(t, requireType(t, err, tc.typ).Message(), tc.want)
			run, err := b.store.Run(t.Context(), begun.Fence.RunID)
			require.NoError(t, err)
			require.Equal(t, 1, run.APICalls)
			require.Empty(t, b.feed(0))
		})
	}
}

// TestALongRateLimitWaitLeavesTheWorker returns the wait to the workflow, with the
// lease renewed beyond it; a short one is sat out.
func TestALongRateLimitWaitLeavesTheWorker(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		reset time.Duration
		long  bool
	}{{"long", 40 * time.Second, true}, {"short", 0, false}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 30, 2, nil)
			begun := b.begin()
			var once sync.Once
			b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) (limited bool) {
				once.Do(func() {
					limited = true
					now := time.Now()
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					w.Header().Set("X-Rate-Limit-Limit", "600")
					w.Header().Set("X-Rate-Limit-Remaining", "0")
					w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(now.Add(tc.reset).Unix(), 10))
					w.WriteHeader(http.StatusTooManyRequests)
				})
				return limited
			})
			r, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
			answered := time.Now()
			require.NoError(t, err)
			require.Equal(t, 1, r.Waits)
			require.Equal(t, !tc.long, r.Done)
			require.Equal(t, tc.long, r.Wait > 30*time.Second, r.Wait)
			var held *mesh.LeaseHeldError
			_, err = b.store.Begin(t.Context(), mesh.BeginRun{Connector: "contoso", RunID: "another", LeaseTTL: time.Minute})
			require.ErrorAs(t, err, &held)
			require.Equal(t, tc.long, held.Until.After(answered.Add(30*time.Second+activities.DefaultLeaseTTL)), "the lease outlives the wait")
			run, err := b.store.Run(t.Context(), begun.Fence.RunID)
			require.NoError(t, err)
			require.Equal(t, 1, run.RateLimitWaits)
		})
	}
}

func TestAChangedDefinitionStopsTheRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, 30, 2, nil)
	begun := b.begin()
	b.define(map[string]any{"UserSearchFilter": `status eq "ACTIVE"`})
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
	requireType(t, err, activities.ErrDefinition)
	require.Zero(t, b.sim.Stats().Total)
}

// TestMemberPagesHalveAfterAFailure asks for fewer members after a server time-out.
func TestMemberPagesHalveAfterAFailure(t *testing.T) {
	t.Parallel()
	b := newBench(t, 60, 2, nil)
	begun := b.begin()
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5}
	_, err := do[activities.WalkResult](b, b.acts.ReadGroups, in)
	require.NoError(t, err)
	var limits []string
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		limits = append(limits, r.URL.Query().Get("limit"))
		if len(limits) <= 2 {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}
		return false
	})
	members := activities.MembersInput{Fence: begun.Fence, Plan: begun.Plan, Lane: 1, MaxPages: 1}
	for range 2 {
		_, err = do[activities.MembersResult](b, b.acts.ReadMembers, members)
		require.Error(t, err)
	}
	_, err = do[activities.MembersResult](b, b.acts.ReadMembers, members)
	require.NoError(t, err)
	require.Equal(t, []string{"1000", "500", "250"}, limits)
}

// TestShortWaitsAreBounded never lets a page through: an activity sits a few short
// waits out and then leaves the worker.
func TestShortWaitsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, 30, 2, nil)
	begun := b.begin()
	b.sim.Intercept(onPath("/api/v1/users", status(http.StatusTooManyRequests, "Retry-After: 1")))
	r, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
	require.NoError(t, err)
	require.False(t, r.Done)
	require.GreaterOrEqual(t, r.Wait, 5*time.Second, "what was sat out counts too")
	require.LessOrEqual(t, r.APICalls, 7)
}

// TestRetryAfterHoldsAfterAPage asks for a pause once a page was recorded.
func TestRetryAfterHoldsAfterAPage(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 2, nil)
	begun := b.begin()
	var calls atomic.Int64
	b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		if calls.Add(1) != 2 {
			return false
		}
		w.Header().Set("Retry-After", "25")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	r, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
	require.NoError(t, err)
	require.Equal(t, 1, r.Page)
	require.Equal(t, 25*time.Second, r.Wait)
}

// TestCallsOfABadPageAreCounted fetches a page that cannot be mapped.
func TestCallsOfABadPageAreCounted(t *testing.T) {
	t.Parallel()
	b := newBench(t, 30, 2, map[string]any{"ExternalIdAttribute": "login"})
	begun := b.begin()
	b.sim.Intercept(onPath("/api/v1/users", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`[{"id":"00u1","status":"ACTIVE","profile":{}}]`))
	}))
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 5})
	requireType(t, err, activities.ErrBadData)
	run, err := b.store.Run(t.Context(), begun.Fence.RunID)
	require.NoError(t, err)
	require.Equal(t, 1, run.APICalls)
}

// TestAStuckMemberListIsReadInSmallerPages lets every large page after the first time
// out: its size is in Okta's own link, so the walk begins again with less.
func TestAStuckMemberListIsReadInSmallerPages(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1500, 1, nil) // Everyone has two pages
	begun := b.begin()
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 50}
	users, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
	require.NoError(t, err)
	groups, err := do[activities.WalkResult](b, b.acts.ReadGroups, in)
	require.NoError(t, err)
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		large, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		if large <= 500 || !r.URL.Query().Has("after") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write([]byte(`{"errorCode":"E0000009","errorSummary":"Internal Server Error","errorLink":"E0000009","errorId":"oae1","errorCauses":[]}`))
		return true
	})
	members := activities.MembersInput{Fence: begun.Fence, Plan: begun.Plan, Lane: 1, MaxPages: 50}
	require.Eventually(t, func() bool { // as Temporal does
		r, err := do[activities.MembersResult](b, b.acts.ReadMembers, members)
		return err == nil && r.Done
	}, 20*time.Second, time.Millisecond)
	b.sim.Intercept(nil)
	_, err = b.finish(begun, users.Mark, groups.Mark)
	require.NoError(t, err)
	require.Len(t, b.live(mesh.GroupMember), len(b.live(mesh.User)))
}
