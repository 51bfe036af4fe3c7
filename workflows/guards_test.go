package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

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

// TestADryRunPlansAsTheRunWould: a reconcile is due for both or for neither.
func TestADryRunPlansAsTheRunWould(t *testing.T) {
	t.Parallel()
	p := imported(t, 20, 3, nil)
	slot := p.clock.Now().Add(-20 * time.Minute).UTC()
	auto := workflows.ImportInput{Mode: workflows.Auto, Cadence: &workflows.Cadence{Every: "15m", Reconcile: slot.Format("Mon 15:04")}}
	dry := auto
	dry.DryRun = true
	for _, want := range []string{"Full", "Delta"} {
		for _, in := range []workflows.ImportInput{dry, auto} {
			r, err := p.run(in)
			require.NoError(t, err)
			require.Equal(t, want, r.Mode, "%+v", in)
			require.Equal(t, p.name, r.Connector)
			require.Equal(t, in.DryRun, r.Watermark == nil)
		}
	}
	set(t, p, `{"u": "2999-01-01T00:00:00.000Z", "g": "2999-01-01T00:00:00.000Z"}`)
	_, err := p.run(dry)
	require.ErrorContains(t, err, "in the future")
	require.NotContains(t, err.Error(), "~dry")
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
