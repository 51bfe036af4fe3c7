package activities_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// TestDeletesAreLookedUp covers each verdict on a user that a listing did not show.
func TestDeletesAreLookedUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, 300, 6, map[string]any{"UserSearchFilter": `status eq "ACTIVE"`})
	b.full()
	users := b.live(mesh.User)
	gone, deprovisioned, suspended := users[0], users[1], users[2]
	n := int64(len(b.feed(0)))
	require.NoError(t, b.org.DeleteUser(gone))
	require.NoError(t, b.org.SetStatus(deprovisioned, "DEPROVISIONED"))
	require.NoError(t, b.org.SetStatus(suspended, "SUSPENDED"))
	r := b.full()
	require.Equal(t, 3, r.Counts[mesh.User].Deleted)
	reasons := map[string]mesh.Reason{}
	for _, c := range b.feed(n) {
		require.Equal(t, mesh.Delete, c.Op)
		if c.Type == mesh.User {
			reasons[c.ExternalID] = c.Reason
		}
	}
	require.Equal(t, map[string]mesh.Reason{gone: mesh.HardDeleted, deprovisioned: mesh.Deprovisioned, suspended: mesh.OutOfScope}, reasons)
}

// TestAListingThatMissedPeople acquits those whom Okta still has: few are kept and
// the run completes; many mean that the listing was incomplete.
func TestAListingThatMissedPeople(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		missed int
		fails  bool
	}{{"a few", 4, false}, {"many", 30, true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 100, 4, nil)
			b.full()
			users := b.live(mesh.User)
			n := int64(len(b.feed(0)))
			missing := map[string]bool{}
			for _, id := range users[:tc.missed] {
				missing[id] = true
			}
			b.sim.Intercept(shortList(b, missing))
			begun := b.begin()
			b.read(begun)
			_, err := b.finish(begun, nil, nil)
			if tc.fails {
				require.Contains(t, requireType(t, err, activities.ErrIncomplete).Message(), "nothing was deleted")
			} else {
				require.NoError(t, err)
			}
			require.Empty(t, b.feed(n))
			require.Equal(t, users, b.live(mesh.User))
		})
	}
}

// shortList answers the user list without the missing ones, on one page.
func shortList(b *testBench, missing map[string]bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/users" {
			return false
		}
		var rows []string
		for _, raw := range b.org.Snapshot().Users {
			if at := strings.Index(string(raw), "00u"); !missing[string(raw[at:at+20])] && !strings.Contains(string(raw), `"status":"DEPROVISIONED"`) {
				rows = append(rows, string(raw))
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[" + strings.Join(rows, ",") + "]"))
		return true
	}
}

// TestALookUpThatIsRefusedDeletesNothing answers 403 to the look-ups.
func TestALookUpThatIsRefusedDeletesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100, 4, nil)
	b.full()
	users := b.live(mesh.User)
	n := int64(len(b.feed(0)))
	require.NoError(t, b.org.DeleteUser(users[0]))
	b.sim.Intercept(onPath("/api/v1/users/", status(http.StatusForbidden)))
	begun := b.begin()
	b.read(begun)
	_, err := b.finish(begun, nil, nil)
	requireType(t, err, activities.ErrForbidden)
	require.Empty(t, b.feed(n))
	require.Equal(t, users, b.live(mesh.User))
}

// TestALostPageIsNoticed leaves the member lists unread, as after a restored backup:
// the run must not decide from what it did not see.
func TestALostPageIsNoticed(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100, 4, nil)
	begun := b.begin()
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 100}
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
	require.NoError(t, err)
	_, err = do[activities.WalkResult](b, b.acts.ReadGroups, in)
	require.NoError(t, err)
	_, err = b.finish(begun, nil, nil)
	require.Contains(t, requireType(t, err, activities.ErrIncomplete).Message(), "members of 4 groups")
	_, err = do[activities.SettleResult](b, b.acts.Settle, activities.SettleInput{Fence: begun.Fence, Plan: begun.Plan})
	requireType(t, err, activities.ErrIncomplete)
}

// TestAGroupThatWasOnlyMissingForAMoment answers 404 once to each member list: the
// groups exist, so their members are read after all.
func TestAGroupThatWasOnlyMissingForAMoment(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100, 4, nil)
	want := newBench(t, 100, 4, nil)
	want.full()
	once := map[string]bool{}
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/users") || !strings.HasPrefix(r.URL.Path, "/api/v1/groups/") || once[r.URL.Path] {
			return false
		}
		once[r.URL.Path] = true
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errorCode":"E0000007","errorSummary":"Not found: Resource not found (UserGroup)","errorLink":"E0000007","errorId":"oae1","errorCauses":[]}`))
		return true
	})
	b.full()
	require.Equal(t, want.live(mesh.GroupMember), b.live(mesh.GroupMember))
	require.Equal(t, want.live(mesh.Group), b.live(mesh.Group))
}

// TestMembershipsAlone takes the edges of a deleted group away although no Group is imported.
func TestMembershipsAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100, 6, map[string]any{"ImportUsers": false, "ImportGroups": false, "MaxDeletePercent": 100})
	b.full()
	edges := b.live(mesh.GroupMember)
	require.NotEmpty(t, edges)
	var victim string
	for _, id := range b.org.GroupIDsByType("OKTA_GROUP") {
		if len(b.org.MemberIDs(id)) > 0 {
			victim = id
			break
		}
	}
	require.NoError(t, b.org.DeleteGroup(victim))
	r := b.full()
	require.Positive(t, r.Counts[mesh.GroupMember].Deleted)
	for _, edge := range b.live(mesh.GroupMember) {
		require.False(t, strings.HasPrefix(edge, victim), edge)
	}
}

// TestALostAttemptStillCounts repeats a look-up whose answer was lost.
func TestALostAttemptStillCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100, 4, nil)
	b.full()
	missing := map[string]bool{}
	for _, id := range b.live(mesh.User)[:15] {
		missing[id] = true
	}
	b.sim.Intercept(shortList(b, missing))
	begun := b.begin()
	b.read(begun)
	_, err := do[activities.SweepResult](b, b.acts.StageSweep, activities.SweepInput{Fence: begun.Fence, Plan: begun.Plan})
	require.NoError(t, err)
	for range 2 {
		_, err = do[activities.LookUpResult](b, b.acts.LookUp, activities.LookUpInput{Fence: begun.Fence, Plan: begun.Plan})
		requireType(t, err, activities.ErrIncomplete)
	}
}

// TestASearchThatKnowsNobodyDeletesNobody answers every search with nothing, while
// the users are still there by id.
func TestASearchThatKnowsNobodyDeletesNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, 100, 4, map[string]any{"UserSearchFilter": `status eq "ACTIVE"`})
	b.full()
	users := b.live(mesh.User)
	suspended := users[0]
	require.NoError(t, b.org.SetStatus(suspended, "SUSPENDED"))
	begun := b.begin()
	b.read(begun)
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/users" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]"))
		return true
	})
	_, err := b.finish(begun, nil, nil)
	require.ErrorContains(t, err, "out of scope")
	require.Equal(t, users, b.live(mesh.User))
}

// TestLoginsAsExternalIDs swaps two logins and renames a third: the feed, applied in
// order by external id, ends where the mesh ends.
func TestLoginsAsExternalIDs(t *testing.T) {
	t.Parallel()
	b := newBench(t, 60, 3, map[string]any{"ExternalIdAttribute": "login"})
	b.full()
	n := int64(len(b.feed(0)))
	var ids, logins []string
	for o, err := range b.store.Objects(t.Context(), mesh.ObjectQuery{Connector: "contoso", Type: mesh.User, Limit: 3}) {
		require.NoError(t, err)
		logins = append(logins, o.ExternalID)
		_, after, _ := strings.Cut(string(o.Attributes), `"oktaId":"`)
		ids = append(ids, after[:20])
	}
	rename := func(id, login string) {
		require.NoError(t, b.org.UpdateUser(id, map[string]any{"login": login}))
	}
	rename(ids[0], "parked@example.com")
	rename(ids[1], logins[0])
	rename(ids[0], logins[1])
	rename(ids[2], "renamed@example.com")
	b.full()
	state := map[string]bool{}
	for _, c := range b.feed(0) {
		if c.Type != mesh.User {
			continue
		}
		if c.Op == mesh.Delete {
			require.Equal(t, mesh.Renamed, c.Reason)
			delete(state, c.ExternalID)
			continue
		}
		state[c.ExternalID] = true
	}
	live := b.live(mesh.User)
	require.Len(t, state, len(live))
	for _, id := range live {
		require.True(t, state[id], id)
	}
	require.Len(t, b.feed(n), 6, "three renames, no edge moves")
}
