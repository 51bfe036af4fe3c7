package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestALargeGroupIsReadWhole has groups of several pages of members: every member is
// in the mesh exactly once.
func TestALargeGroupIsReadWhole(t *testing.T) {
	t.Parallel()
	org := generated(t, 3500, 6) // Everyone has four pages
	w := newWorld(t, oktasim.Config{Org: org}, nil)
	w.worker()
	w.completed()
	live := map[string]bool{}
	for _, raw := range org.Snapshot().Users {
		var u struct{ ID, Status string }
		require.NoError(t, json.Unmarshal(raw, &u))
		live[u.ID] = u.Status != "DEPROVISIONED"
	}
	want := map[string]bool{}
	for g, members := range org.Snapshot().Members {
		for _, m := range members {
			if live[m] {
				want["GroupMember "+g+":"+m] = true
			}
		}
	}
	got := map[string]bool{}
	for key := range w.objects() {
		if strings.HasPrefix(key, "GroupMember ") {
			got[key] = true
		}
	}
	require.Greater(t, len(want), 3000)
	require.Equal(t, want, got)
	require.Greater(t, w.sim.Stats().ByEndpoint["GET /api/v1/groups/{id}/users"], 6)
}

// TestAGroupDeletedDuringTheRun is deleted between its listing and its reading: the
// run completes and the mesh deletes the group with its edges.
func TestAGroupDeletedDuringTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 300, 12)}, nil)
	w.worker()
	w.completed()
	own := w.org().GroupIDsByType("OKTA_GROUP")
	i := slices.IndexFunc(own, func(id string) bool { return hasEdges(w, id) })
	require.GreaterOrEqual(t, i, 0)
	victim := own[i]
	before := len(w.changes(0))

	var once sync.Once
	w.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/api/v1/groups/") { // the list has been answered
			once.Do(func() { require.NoError(t, w.org().DeleteGroup(victim)) })
		}
		return false
	})
	row := w.completed()
	require.Equal(t, 1, row.Counts["Group"].Deleted)
	feed := w.changes(before)
	for i, c := range feed {
		require.Equal(t, "Delete", c.Op)
		require.Equal(t, "group-deleted", c.Reason)
		require.Equal(t, i == len(feed)-1, c.Type == "Group", "the edges go before their group")
	}
	require.Equal(t, row.Counts["GroupMember"].Deleted, len(feed)-1)
	require.False(t, hasEdges(w, victim))
}

func hasEdges(w *world, group string) bool {
	for key := range w.objects() {
		if strings.HasPrefix(key, "GroupMember "+group+":") {
			return true
		}
	}
	return false
}

// TestEveryChangeArrives changes the org in every way that Okta's API offers and
// imports again: the feed says exactly what happened, with its reason.
func TestEveryChangeArrives(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, testEveryChangeArrives)
}

func testEveryChangeArrives(t *testing.T, newDB func() string) {
	w := newWorldOn(t, newDB(), oktasim.Config{Org: generated(t, 400, 15)}, nil)
	w.worker()
	w.completed()
	active, groups := w.org().UserIDsByStatus(oktasim.Active), w.org().GroupIDsByType("OKTA_GROUP")
	edited, suspended, deactivated, deleted, added := active[0], active[1], active[2], active[3], active[4]
	join := slices.IndexFunc(groups, func(id string) bool { return !w.has("GroupMember " + id + ":" + added) })
	require.GreaterOrEqual(t, join, 0)
	joined, gone := groups[join], groups[(join+1)%len(groups)]
	before := len(w.changes(0))
	w.okta(http.MethodPost, "/api/v1/users/"+edited, map[string]any{"profile": map[string]any{"title": "Chief of Tests", "city": nil}})
	w.okta(http.MethodPost, "/api/v1/users/"+suspended+"/lifecycle/suspend", nil)
	w.okta(http.MethodPost, "/api/v1/users/"+deactivated+"/lifecycle/deactivate", nil)
	w.okta(http.MethodDelete, "/api/v1/users/"+deleted, nil)
	w.okta(http.MethodDelete, "/api/v1/users/"+deleted, nil)
	w.okta(http.MethodPut, "/api/v1/groups/"+joined+"/users/"+added, nil)
	w.okta(http.MethodDelete, "/api/v1/groups/"+gone, nil)
	var created struct{ ID string }
	require.NoError(t, json.Unmarshal(w.okta(http.MethodPost, "/api/v1/users?activate=true", map[string]any{"profile": map[string]any{
		"firstName": "New", "lastName": "Comer", "login": "new.comer@example.com", "email": "new.comer@example.com"}}), &created))
	w.completed()

	rows := map[string]change{}
	for _, c := range w.changes(before) {
		rows[c.Op+" "+c.Type+" "+c.ExternalID] = c
	}
	require.Contains(t, rows["Update User "+edited].Changed, "title")
	require.Equal(t, "Chief of Tests", rows["Update User "+edited].Attributes["title"])
	require.Nil(t, rows["Update User "+edited].Attributes["city"])
	require.Equal(t, "SUSPENDED", rows["Update User "+suspended].Attributes["status"])
	require.Equal(t, false, rows["Update User "+suspended].Attributes["accountEnabled"])
	require.Equal(t, "deprovisioned", rows["Delete User "+deactivated].Reason)
	require.Equal(t, "hard-deleted", rows["Delete User "+deleted].Reason)
	require.Equal(t, "group-deleted", rows["Delete Group "+gone].Reason)
	require.Contains(t, rows, "Add User "+created.ID)
	require.Contains(t, rows, "Add GroupMember "+joined+":"+added)
	objects := w.objects()
	for key, o := range objects {
		if o.Type == "GroupMember" {
			require.Contains(t, objects, fmt.Sprint("User ", o.Attributes["memberId"]), key)
			require.Contains(t, objects, fmt.Sprint("Group ", o.Attributes["groupId"]), key)
		}
	}
	require.NotContains(t, objects, "User "+deactivated)

	seq := before + len(rows)
	w.completed()
	require.Empty(t, w.changes(seq), "and then there is nothing left to say")
}

func (w *world) has(key string) bool {
	_, ok := w.objects()[key]
	return ok
}

// TestPassesSwitchedOffKeepWhatWasImported runs the runbook's split connectors.
func TestPassesSwitchedOffKeepWhatWasImported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 250, 10)}, nil)
	w.worker()
	w.completed()
	all := w.objects()
	feed := len(w.changes(0))
	for _, off := range []map[string]any{
		{"ImportUsers": false},
		{"ImportGroups": false},
		{"ImportMemberships": false},
		{"ImportUsers": false, "ImportGroups": false},
	} {
		w.define(off)
		w.completed()
		requireSame(t, all, w.objects())
		require.Empty(t, w.changes(feed), "%v", off)
	}
}

// TestRateLimit imports under a tight limit: the 429s are waited for, not failed on,
// and a wait of several seconds is a workflow timer.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	var ago atomic.Int64
	clock := func() time.Time { return time.Now().Add(-time.Duration(ago.Load())) }
	w := newWorld(t, oktasim.Config{Org: generated(t, 2000, 30), Rate: 25, Now: clock}, nil)
	w.worker()
	// The windows of a minute began 52 seconds ago.
	ago.Store(int64(52 * time.Second))
	w.okta(http.MethodGet, "/api/v1/users?limit=1", nil)
	w.okta(http.MethodGet, "/api/v1/groups?limit=1", nil)
	w.sim.ResetStats()
	// Eight seconds are left of them when the run's first call comes, however late that is.
	primed := time.Now()
	var first sync.Once
	w.sim.Intercept(func(http.ResponseWriter, *http.Request) bool {
		first.Do(func() { ago.Store(int64(time.Since(primed))) })
		return false
	})
	row := w.completed()
	require.Positive(t, row.RateLimitWaits)
	require.Equal(t, w.sim.Stats().Total, row.APICalls)
	require.LessOrEqual(t, w.sim.Stats().Status429, inFlight, "no call is sent into a bucket known to be empty")
	require.Contains(t, string(history(w, row.RunID)), "EVENT_TYPE_TIMER_STARTED")
}
