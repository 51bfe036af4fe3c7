package workflows_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// TestNothingIsDeletedOnAWrongAnswer: whatever Okta says that is not so, at worst the
// run fails or its deletes wait for an operator.
func TestNothingIsDeletedOnAWrongAnswer(t *testing.T) {
	t.Parallel()
	const users, groups = "/api/v1/users", "/api/v1/groups"
	for _, tc := range []struct {
		name  string
		cfg   map[string]any // of the run that meets the fault
		fault oktasim.Fault
		mode  workflows.Mode
		err   string // "": the run completes
	}{
		{"the service account lost its role", nil, oktasim.Fault{Name: oktasim.FaultRoleLost}, workflows.Full, "empty list is never trusted"},
		{"the service account lost its role, delta", nil, oktasim.Fault{Name: oktasim.FaultRoleLost}, workflows.Delta, "empty list is never trusted"},
		{"an empty user list", nil, oktasim.Fault{Name: oktasim.FaultRoleLost, Path: users}, workflows.Full, "listed no users"},
		{"an empty group list", nil, oktasim.Fault{Name: oktasim.FaultRoleLost, Path: groups}, workflows.Full, "listed no groups"},
		{"half of the users missing", nil, oktasim.Fault{Name: oktasim.FaultDropRows, Path: users}, workflows.Full, "listing was incomplete"},
		{"half of the groups missing", nil, oktasim.Fault{Name: oktasim.FaultDropRows, Path: groups}, workflows.Full, "listing was incomplete"},
		{"a page without its next link", nil, oktasim.Fault{Name: oktasim.FaultPageLies, Path: users, Count: 1}, workflows.Full, "listing was incomplete"},
		{"a filter that matches nobody", map[string]any{"UserSearchFilter": `status eq "ACTVE"`}, oktasim.Fault{}, workflows.Delta, "UserSearchFilter matches somebody"},
		{"look-ups that answer nobody", nil, oktasim.Fault{Name: oktasim.FaultLookupEmpty}, workflows.Full, ""},
		{"look-ups without the control", nil, oktasim.Fault{Name: oktasim.FaultControlMissing}, workflows.Full, ""},
		{"look-ups by id forbidden", nil, oktasim.Fault{Name: oktasim.FaultForbiddenLookup}, workflows.Full, ""},
		{"a search that stands still", nil, oktasim.Fault{Name: oktasim.FaultStaleSearch}, workflows.Delta, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 40, map[string]any{"PageSize": 50})
			before := p.live()
			if tc.cfg != nil {
				p.define(tc.cfg)
			}
			if tc.fault.Name != "" {
				require.NoError(t, p.sim.SetFault(tc.fault))
			}
			_, err := p.run(workflows.ImportInput{Mode: tc.mode})
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			require.Equal(t, before, p.live())
			p.checkFeed(true)
		})
	}
}

// TestARoleLostBetweenDeltas: an empty answer is no quiet tick, so that what changes
// meanwhile is not skipped.
func TestARoleLostBetweenDeltas(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, path string
		cfg        map[string]any
	}{
		{"everything", "", nil},
		{"everything, with a filter", "", map[string]any{"UserSearchFilter": everybody}},
		{"groups only", "", map[string]any{"ImportUsers": false, "ImportMemberships": false}},
		{"the right to users", "/api/v1/users", nil},
		{"the right to groups", "/api/v1/groups", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 50, 5, tc.cfg)
			require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultRoleLost, Path: tc.path}))
			edit(t, p.org)
			group := p.org.GroupIDsByType("OKTA_GROUP")[0]
			require.NoError(t, p.org.ReplaceGroup(group, map[string]any{"name": "edited"}))
			failed := 0
			for range 3 {
				p.clock.Advance(15 * time.Minute)
				if _, err := p.run(workflows.ImportInput{Mode: workflows.Delta}); err != nil {
					require.ErrorContains(t, err, "empty list is never trusted")
					failed++
				}
			}
			require.GreaterOrEqual(t, failed, 2, "the types take turns")
			p.sim.ClearFaults()
			p.clock.Advance(time.Hour)
			p.must(workflows.Delta, mesh.Completed)
			live := p.live()
			require.Equal(t, "edited", live["Group "+group]["name"])
			if tc.cfg["ImportUsers"] == nil {
				require.Equal(t, "edited", live["User "+p.org.UserIDsByStatus("ACTIVE")[0]]["title"])
			}
			p.checkFeed(false)
		})
	}
}

// TestLookUpsAreAskedTwice: users whom a listing lost and whom the batch does not
// show either are read by id, one by one, and kept.
func TestLookUpsAreAskedTwice(t *testing.T) {
	t.Parallel()
	for _, fault := range []oktasim.Fault{{}, {Name: oktasim.FaultLookupEmpty}, {Name: oktasim.FaultControlMissing}} {
		t.Run("fault "+fault.Name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 5, nil)
			before := p.live()
			lost := p.org.UserIDsByStatus("ACTIVE")[3:8]
			require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultDropRows, Path: "/api/v1/users", IDs: lost, Count: 1}))
			if fault.Name != "" {
				require.NoError(t, p.sim.SetFault(fault))
			}
			p.sim.ResetStats()
			p.must(workflows.Full, mesh.Completed)
			require.Equal(t, before, p.live())
			byID := p.sim.Stats().ByEndpoint["GET /api/v1/users/{id}"]
			if fault.Name == "" {
				require.Zero(t, byID, "the batch acquits")
			} else {
				require.Equal(t, len(lost), byID, "what the batch does not show is read by id")
			}
		})
	}
}

// TestAUserReactivatedBeforeTheLookUp is missing from the plain list, and alive when
// he is asked for.
func TestAUserReactivatedBeforeTheLookUp(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 10, nil)
	before := p.live()
	id := p.org.UserIDsByStatus("ACTIVE")[0]
	require.NoError(t, p.org.SetStatus(id, "DEPROVISIONED"))
	p.clock.Advance(time.Minute)
	p.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/users/"+id) {
			require.NoError(t, p.org.SetStatus(id, "ACTIVE"))
		}
		return false
	})
	p.must(workflows.Full, mesh.Completed)
	after := p.live()
	require.Len(t, after, len(before))
	require.Equal(t, "ACTIVE", after["User "+id]["status"])
	p.checkFeed(true)
}

// massDeletion hard-deletes a share of the users, which a Full then holds.
func massDeletion(t *testing.T, p *pipeline, n int) []string {
	t.Helper()
	gone := p.org.UserIDsByStatus("ACTIVE")[:n]
	for _, id := range gone {
		require.NoError(t, p.org.DeleteUser(id))
		if _, there := p.org.Truth().Users[id]; there {
			require.NoError(t, p.org.DeleteUser(id))
		}
	}
	p.clock.Advance(10 * time.Minute)
	return gone
}

func held(t *testing.T, p *pipeline) *mesh.Hold {
	t.Helper()
	h, err := p.store.Hold(t.Context(), p.name, 3)
	require.NoError(t, err)
	return h
}

func TestAMassDeletionIsHeldAndApproved(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 20, nil)
	before := p.live()
	gone := massDeletion(t, p, 40)
	p.must(workflows.Full, mesh.HeldDeletes)
	require.Equal(t, before, p.live(), "held users stay, and their edges with them")
	h := held(t, p)
	require.Equal(t, 40, h.Deletes[mesh.User])
	require.Equal(t, 40, h.Reasons[mesh.HardDeleted])
	require.Zero(t, h.Deletes[mesh.GroupMember])

	p.clock.Advance(15 * time.Minute)
	p.must(workflows.Delta, mesh.Completed) // a hold blocks nothing
	require.Equal(t, before, p.live())

	p.sim.ResetStats()
	p.approve()
	require.GreaterOrEqual(t, p.sim.Stats().ByEndpoint["GET /api/v1/users/{id}"], 40, "each is looked up again")
	after := p.live()
	for _, id := range gone {
		require.NotContains(t, after, "User "+id)
		for key := range after {
			require.NotContains(t, key, id, "his edges go with him")
		}
	}
	p.checkFeed(true)
	p.must(workflows.Full, mesh.Completed)
	require.Equal(t, after, p.live())
}

func TestARejectedHoldKeepsEverything(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 20, nil)
	before := p.live()
	massDeletion(t, p, 40)
	p.must(workflows.Full, mesh.HeldDeletes)
	require.NoError(t, p.store.CloseHold(t.Context(), p.name, held(t, p).RunID, mesh.HoldRejected, "ann"))
	p.must(workflows.Delta, mesh.Completed)
	require.Equal(t, before, p.live())
	require.Nil(t, held(t, p))
	p.must(workflows.Full, mesh.HeldDeletes) // a Full asks again
	require.Equal(t, before, p.live())
}

// TestAMassDeactivationIsHeldInADelta: the users' new status is shown at once, only
// their removal waits.
func TestAMassDeactivationIsHeldInADelta(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 20, nil)
	before := p.live()
	active := p.org.UserIDsByStatus("ACTIVE")
	for _, id := range active[:30] {
		require.NoError(t, p.org.SetStatus(id, "DEPROVISIONED"))
	}
	p.clock.Advance(time.Minute)
	p.must(workflows.Delta, mesh.HeldDeletes)
	after := p.live()
	require.Len(t, after, len(before))
	require.Equal(t, "DEPROVISIONED", after["User "+active[0]]["status"])
	require.Equal(t, false, after["User "+active[0]]["accountEnabled"])
	first := held(t, p)

	require.NoError(t, p.org.SetStatus(active[0], "ACTIVE")) // was a mistake
	require.NoError(t, p.org.SetStatus(active[31], "DEPROVISIONED"))
	p.clock.Advance(15 * time.Minute)
	p.must(workflows.Delta, mesh.HeldDeletes) // adds one, lets one go
	second := held(t, p)
	require.Equal(t, 30, second.Deletes[mesh.User])
	require.NotEqual(t, first.RunID, second.RunID)
	require.Error(t, p.store.ApproveHold(t.Context(), p.name, first.RunID, "ann"), "the hold has changed")
	require.Equal(t, "ACTIVE", p.live()["User "+active[0]]["status"])

	p.clock.Advance(time.Hour)
	p.must(workflows.Full, mesh.HeldDeletes)
	third := held(t, p)
	require.Equal(t, 30, third.Deletes[mesh.User])
	require.NotEqual(t, second.RunID, third.RunID, "a completed Full replaces the hold")

	p.approve()
	require.NotContains(t, p.live(), "User "+active[1])
	require.Contains(t, p.live(), "User "+active[0])
	p.checkFeed(true)
}

// TestAnApprovalKeepsWhoIsAlive: everybody is looked up again.
func TestAnApprovalKeepsWhoIsAlive(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 20, nil)
	active := p.org.UserIDsByStatus("ACTIVE")
	for _, id := range active[:30] {
		require.NoError(t, p.org.SetStatus(id, "DEPROVISIONED"))
	}
	p.clock.Advance(time.Minute)
	p.must(workflows.Delta, mesh.HeldDeletes)
	for _, id := range active[:12] {
		require.NoError(t, p.org.SetStatus(id, "ACTIVE"))
	}
	p.approve()
	live := p.live()
	require.Equal(t, "ACTIVE", live["User "+active[0]]["status"])
	require.NotContains(t, live, "User "+active[12])
	p.checkFeed(true)
}

// TestNinePercentATick: the guards count a day, not a run.
func TestNinePercentATick(t *testing.T) {
	t.Parallel()
	p := imported(t, 400, 5, nil)
	outcomes := []mesh.Outcome{}
	for range 3 {
		massDeletion(t, p, 30)
		r, err := p.run(workflows.ImportInput{Mode: workflows.Full})
		require.NoError(t, err)
		outcomes = append(outcomes, r.Outcome)
	}
	require.Equal(t, []mesh.Outcome{mesh.Completed, mesh.HeldDeletes, mesh.HeldDeletes}, outcomes)
}

// TestDryRun says what a run would do, exactly, and does nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for _, mode := range []workflows.Mode{workflows.Full, workflows.Delta} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 20, nil)
			active := p.org.UserIDsByStatus("ACTIVE")
			require.NoError(t, p.org.SetStatus(active[0], "DEPROVISIONED"))
			require.NoError(t, p.org.UpdateUser(active[1], map[string]any{"title": "new"}))
			hire(t, p.org)
			require.NoError(t, addOne(p.org))
			p.clock.Advance(time.Minute)
			before := p.live()
			runs, err := p.store.Runs(t.Context(), p.name, 0)
			require.NoError(t, err)
			dry, err := p.run(workflows.ImportInput{Mode: mode, DryRun: true})
			require.NoError(t, err)
			require.Equal(t, before, p.live())
			after, err := p.store.Runs(t.Context(), p.name, 0)
			require.NoError(t, err)
			require.Equal(t, runs, after)
			wet, err := p.run(workflows.ImportInput{Mode: mode})
			require.NoError(t, err)
			require.Equal(t, wet.Counts, dry.Counts)
			require.Positive(t, wet.Counts[mesh.GroupMember].Added)
			list, err := p.store.ListConnectors(t.Context())
			require.NoError(t, err)
			require.Len(t, list, 1)
		})
	}
}

// successor deletes a user for good and gives his login to a new one.
func successor(t *testing.T, p *pipeline, id string) (login string) {
	t.Helper()
	login = p.org.Truth().Users[id].Profile["login"].(string)
	for range 2 {
		if _, there := p.org.Truth().Users[id]; there {
			require.NoError(t, p.org.DeleteUser(id))
		}
	}
	_, err := p.org.CreateUser(map[string]any{"login": login, "email": login, "firstName": "Next", "lastName": "One"}, true)
	require.NoError(t, err)
	return login
}

// TestALoginGoesToASuccessor: a delta does not see that its old holder is gone, so it
// asks for him.
func TestALoginGoesToASuccessor(t *testing.T) {
	t.Parallel()
	p := imported(t, 50, 10, map[string]any{"ExternalIdAttribute": "login"})
	old := p.org.UserIDsByStatus("ACTIVE")[0]
	login := successor(t, p, old)
	p.clock.Advance(time.Minute)
	r := p.must(workflows.Delta, mesh.Completed)
	require.Equal(t, 1, r.Counts[mesh.User].Deleted)
	require.Equal(t, 1, r.Counts[mesh.User].Added)
	require.NotEqual(t, old, p.live()["User "+login]["oktaId"])
	p.checkFeed(true)
}

// TestALoginOfAHeldUserGoesToASuccessor: the hold blocks nothing, the successor waits
// for it, and an approval brings him in.
func TestALoginOfAHeldUserGoesToASuccessor(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{false, true} {
		p := imported(t, 50, 10, map[string]any{"ExternalIdAttribute": "login",
			"GroupFilter": map[string]any{"Include": map[string]any{"Types": []string{"OKTA_GROUP", "BUILT_IN"}}, "UsersInGroupsOnly": only}})
		logins := map[string]string{} // to the old holder
		for _, id := range p.org.UserIDsByStatus("ACTIVE")[:20] {
			logins[successor(t, p, id)] = id
		}
		p.clock.Advance(10 * time.Minute)
		p.must(workflows.Full, mesh.HeldDeletes)
		edit(t, p.org)
		p.clock.Advance(15 * time.Minute)
		p.must(workflows.Delta, mesh.Completed)
		for login, old := range logins {
			require.Equal(t, old, p.live()["User "+login]["oktaId"])
		}
		p.approve()
		for login, old := range logins {
			require.Contains(t, p.live(), "User "+login)
			require.NotEqual(t, old, p.live()["User "+login]["oktaId"])
		}
		p.checkFeed(true)
		before := p.live()
		p.clock.Advance(15 * time.Minute)
		p.must(workflows.Full, mesh.Completed)
		require.Equal(t, before, p.live())
	}
}

// waiting is a connector by login with 20 held users, one of whose logins has gone to a
// successor, who waits.
func waiting(t *testing.T) (p *pipeline, login string) {
	t.Helper()
	p = imported(t, 50, 10, map[string]any{"ExternalIdAttribute": "login"})
	old := p.org.UserIDsByStatus("ACTIVE")[:20]
	for _, id := range old {
		require.NoError(t, p.org.SetStatus(id, "DEPROVISIONED"))
	}
	p.must(workflows.Delta, mesh.HeldDeletes)
	p.clock.Advance(15 * time.Minute)
	login = successor(t, p, old[0])
	p.clock.Advance(time.Minute)
	r := p.must(workflows.Delta, mesh.Completed)
	require.Contains(t, r.Note, "users who wait for an external id that a hold keeps: 1")
	return p, login
}

// TestWhoWaitsIsLookedUpBeforeHeComesIn: he may be gone by then, and another may wait
// for the same login.
func TestWhoWaitsIsLookedUpBeforeHeComesIn(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		p, login := waiting(t)
		gone := p.org.UserIDByLogin(login)
		want := ""
		if again {
			successor(t, p, gone)
			want = p.org.UserIDByLogin(login)
			p.clock.Advance(time.Minute)
			p.must(workflows.Delta, mesh.Completed)
		} else {
			for range 2 {
				if _, there := p.org.Truth().Users[gone]; there {
					require.NoError(t, p.org.DeleteUser(gone))
				}
			}
		}
		p.approve()
		user, there := p.live()["User "+login]
		require.Equal(t, again, there)
		if again {
			require.Equal(t, want, user["oktaId"])
		}
		p.checkFeed(true)
	}
}

// TestAnApprovalThatFailedIsForgotten: who approves the second time is recorded.
func TestAnApprovalThatFailedIsForgotten(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 20, nil)
	massDeletion(t, p, 40)
	p.must(workflows.Full, mesh.HeldDeletes)
	run := held(t, p).RunID
	require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultForbiddenLookup}))
	require.NoError(t, p.store.ApproveHold(t.Context(), p.name, run, "alice"))
	_, err := p.run(workflows.ImportInput{Mode: workflows.Approval, Hold: run})
	require.Error(t, err)
	require.Empty(t, held(t, p).ApprovedBy)
	p.sim.ClearFaults()
	require.NoError(t, p.store.ApproveHold(t.Context(), p.name, run, "bob"))
	require.Equal(t, "bob", held(t, p).ApprovedBy)
	_, err = p.run(workflows.ImportInput{Mode: workflows.Approval, Hold: run})
	require.NoError(t, err)
	require.Nil(t, held(t, p))
}

// TestAnApprovalOfAPassThatIsOff is refused: its objects would stay, and their edges go.
func TestAnApprovalOfAPassThatIsOff(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 20, nil)
	massDeletion(t, p, 40)
	p.must(workflows.Full, mesh.HeldDeletes)
	before := p.live()
	p.define(map[string]any{"ImportUsers": false})
	run := held(t, p).RunID
	require.NoError(t, p.store.ApproveHold(t.Context(), p.name, run, "ann"))
	_, err := p.run(workflows.ImportInput{Mode: workflows.Approval, Hold: run})
	require.ErrorContains(t, err, "turn the pass on again, or reject the deletes")
	require.Equal(t, before, p.live())
}

// TestARejectionDuringADelta is not undone by it.
func TestARejectionDuringADelta(t *testing.T) {
	t.Parallel()
	p := imported(t, 50, 10, nil)
	for _, id := range p.org.UserIDsByStatus("ACTIVE")[:20] {
		require.NoError(t, p.org.SetStatus(id, "DEPROVISIONED"))
	}
	p.clock.Advance(time.Minute)
	p.must(workflows.Delta, mesh.HeldDeletes)
	run := held(t, p).RunID
	p.clock.Advance(time.Minute) // the overlap shows them again
	p.commit = func() {
		require.NoError(t, p.store.CloseHold(t.Context(), p.name, run, mesh.HoldRejected, "ann"))
	}
	p.must(workflows.Delta, mesh.Completed)
	require.Nil(t, held(t, p))
}
