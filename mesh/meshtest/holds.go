package meshtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// tenPercent are the default limits.
var tenPercent = &mesh.DeleteLimits{Percent: 10, Most: -1}

// people are n users: p000, p001 and so on.
func people(n int) []mesh.Object {
	all := make([]mesh.Object, n)
	for i := range all {
		all[i] = user(fmt.Sprintf("p%03d", i), "status", "ACTIVE")
	}
	return all
}

// gone are users as Okta shows them once they are deprovisioned.
func gone(users ...mesh.Object) []mesh.Object {
	all := make([]mesh.Object, len(users))
	for i, u := range users {
		all[i] = user(u.OktaID, "status", "DEPROVISIONED")
		all[i].Delete, all[i].Stamp = mesh.Deprovisioned, u.Stamp
	}
	return all
}

func oktaIDs(objects ...mesh.Object) []string {
	ids := make([]string, len(objects))
	for i, o := range objects {
		ids[i] = o.OktaID
	}
	return ids
}

// as makes the next runs of the bench of this mode.
func (b *bench) as(mode string) *bench { b.mode = mode; return b }

func (r *run) decideBy(limits *mesh.DeleteLimits) mesh.Decision {
	r.t.Helper()
	d, err := r.store.Decide(r.ctx, r.fence, r.scope, limits)
	require.NoError(r.t, err)
	again, err := r.store.Decide(r.ctx, r.fence, r.scope, limits)
	require.NoError(r.t, err)
	require.Equal(r.t, d, again, "asked again, it decides the same")
	return d
}

// guarded decides under the default limits, settles and commits.
func (r *run) guarded() *mesh.Run {
	r.t.Helper()
	limits := tenPercent
	if r.mode == "Approval" {
		limits = nil
	}
	r.decideBy(limits)
	return r.finish()
}

// tick is a delta that shows the users.
func (b *bench) tick(users ...mesh.Object) (*run, *mesh.Run) {
	b.t.Helper()
	r := b.as("Delta").begin()
	r.walk("users", users...)
	row := r.guarded()
	return r, row
}

// hold is the open hold, nil without one.
func (b *bench) hold() *mesh.Hold {
	b.t.Helper()
	h, err := b.store.Hold(b.ctx, b.name, 1000)
	require.NoError(b.t, err)
	return h
}

// held are the Okta ids that the open hold keeps.
func (b *bench) held() []string {
	b.t.Helper()
	ids := []string{}
	for d, err := range b.store.Held(b.ctx, b.name) {
		require.NoError(b.t, err)
		ids = append(ids, d.OktaID)
	}
	return ids
}

// staff is an org of n users, the first two of whom are in group g1.
func (b *bench) staff(n int) []mesh.Object {
	b.t.Helper()
	all := people(n)
	r := b.as("Full").begin()
	r.walk("users", all...)
	r.walk("groups", group("g1"))
	r.members("g1", "p000", "p001")
	require.Equal(b.t, mesh.Completed, r.guarded().Outcome)
	return all
}

// approved runs the approval of the hold; each candidate gets its reason of verdicts
// or is acquitted.
func (b *bench) approved(verdicts map[string]mesh.Reason) (*run, *mesh.Run) {
	b.t.Helper()
	h := b.hold()
	require.NoError(b.t, b.store.ApproveHold(b.ctx, b.name, h.RunID, "ann"))
	r := b.as("Approval").begin()
	for range 2 {
		_, err := b.store.StageHold(b.ctx, r.fence, h.RunID)
		require.NoError(b.t, err)
	}
	r.lookUp(verdicts)
	row := r.guarded()
	return r, row
}

func (r *run) lookUp(verdicts map[string]mesh.Reason) {
	r.t.Helper()
	found, err := r.store.Candidates(r.ctx, r.fence, 0)
	require.NoError(r.t, err)
	var all []mesh.Verdict
	for _, c := range found {
		v := mesh.Verdict{Type: c.Type, OktaID: c.OktaID, Reason: verdicts[c.OktaID]}
		if v.Reason == "" && c.Type == mesh.User {
			o := user(c.OktaID, "status", "ACTIVE")
			v.Found = &o
		}
		all = append(all, v)
	}
	require.NoError(r.t, r.store.Resolve(r.ctx, r.fence, all, nil, mesh.Calls{}))
}

func requireConflict(t *testing.T, err error) {
	t.Helper()
	var conflict *mesh.ConflictError
	require.ErrorAs(t, err, &conflict)
}

var holdTests = map[string]func(t *testing.T, b *bench){
	"HeldUsersAreUpdatedAndKeepTheirEdges": func(t *testing.T, b *bench) {
		all := b.staff(30)
		require.Nil(t, b.hold())
		r, row := b.tick(gone(all[:11]...)...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Equal(t, mesh.Counts{Seen: 11, Updated: 11, Held: 11}, row.Counts[mesh.User])
		require.Equal(t, "Update User p000 [status]", r.feed()[0])
		require.Len(t, b.objects(mesh.User), 30)
		require.Len(t, b.objects(mesh.GroupMember), 2)
		h := b.hold()
		require.Equal(t, r.id, h.RunID)
		require.Equal(t, mesh.HoldOpen, h.State)
		require.Equal(t, map[mesh.ObjectType]int{mesh.User: 11}, h.Deletes)
		require.Equal(t, map[mesh.ObjectType]int{mesh.User: 30}, h.Live)
		require.Equal(t, map[mesh.Reason]int{mesh.Deprovisioned: 11}, h.Reasons)
		require.Equal(t, mesh.HeldDelete{Type: mesh.User, ExternalID: "p000", OktaID: "p000", Reason: mesh.Deprovisioned, RunID: r.id}, h.Sample[0])
		require.Equal(t, 72*time.Hour, h.ExpiresAt.Sub(h.OpenedAt))
		// Okta takes them out of their groups, and shows them again.
		r = b.as("Delta").begin()
		r.walk("users", gone(all[:11]...)...)
		r.members("g1")
		row = r.guarded()
		require.Empty(t, r.feed())
		require.Equal(t, mesh.Completed, row.Outcome, "it held nothing new")
		require.Zero(t, row.Counts[mesh.User].Held)
		require.Equal(t, []string{"g1:p000", "g1:p001"}, b.objects(mesh.GroupMember))
		require.Equal(t, h, b.hold())
		b.checkFeed()
	},
	"ADeltaAddsToTheHold": func(t *testing.T, b *bench) {
		all := b.staff(30)
		first, _ := b.tick(gone(all[:11]...)...)
		opened := b.hold()
		second, row := b.tick(append(gone(all[5:12]...), all[20])...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Equal(t, 1, row.Counts[mesh.User].Held)
		h := b.hold()
		require.Equal(t, second.id, h.RunID)
		require.Equal(t, opened.ExpiresAt, h.ExpiresAt)
		require.Equal(t, oktaIDs(all[:12]...), b.held())
		require.Equal(t, first.id, h.Sample[10].RunID)
		require.Equal(t, second.id, h.Sample[11].RunID)
		requireConflict(t, b.store.ApproveHold(b.ctx, b.name, first.id, "ann"))
		b.checkFeed()
	},
	"AFullReplacesTheHold": func(t *testing.T, b *bench) {
		all := b.staff(30)
		first, _ := b.tick(gone(all[:12]...)...)
		full := func(users ...mesh.Object) (*run, *mesh.Run) {
			r := b.as("Full").begin()
			r.walk("users", users...)
			r.walk("groups", group("g1"))
			r.members("g1", "p000", "p001")
			row := r.guarded()
			return r, row
		}
		r, row := full(append(gone(all[1:12]...), append(all[12:], all[0])...)...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Equal(t, oktaIDs(all[1:12]...), b.held())
		require.Equal(t, r.id, b.hold().RunID)
		require.Equal(t, first.id, b.hold().Sample[0].RunID)
		// Fewer are no reason to hold: they go, and the hold is over.
		r, row = full(append(gone(all[1:4]...), append(all[4:], all[0])...)...)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Contains(t, r.feed(), "Delete User p001 (deprovisioned)")
		require.Contains(t, r.feed(), "Delete GroupMember g1:p001 (deprovisioned)")
		require.Nil(t, b.hold())
		require.Len(t, b.objects(mesh.User), 27)
		b.checkFeed()
	},
	"TheReactivatedLeaveTheHold": func(t *testing.T, b *bench) {
		all := b.staff(30)
		first, _ := b.tick(gone(all[:11]...)...)
		require.NoError(t, b.store.ApproveHold(b.ctx, b.name, first.id, "ann"))
		r, row := b.tick(all[0])
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, []string{"Update User p000 [status]"}, r.feed())
		require.Equal(t, oktaIDs(all[1:11]...), b.held())
		require.Equal(t, r.id, b.hold().RunID)
		require.Empty(t, b.hold().ApprovedBy, "what was approved is no more")
		_, row = b.tick(all...)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Nil(t, b.hold())
		require.Empty(t, b.held())
		b.checkFeed()
	},
	"AnApprovalDeletesWhatIsStillDue": func(t *testing.T, b *bench) {
		all := b.staff(30)
		b.tick(gone(all[:11]...)...)
		r := b.as("Delta").begin()
		r.members("g1", "p020")
		r.guarded()
		// p002 is back by now.
		verdicts := map[string]mesh.Reason{"p002": ""}
		for _, u := range append(all[:2:2], all[3:11]...) {
			verdicts[u.OktaID] = mesh.Deprovisioned
		}
		r, row := b.approved(verdicts)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, []string{"Update User p002 [status]", "Delete GroupMember g1:p000 (deprovisioned)", "Delete GroupMember g1:p001 (deprovisioned)"}, r.feed()[:3])
		require.Equal(t, 10, row.Counts[mesh.User].Deleted)
		require.Nil(t, b.hold())
		// What was approved is not counted by the guards of the next runs.
		_, row = b.tick(gone(all[11])...)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, 1, row.Counts[mesh.User].Deleted)
		b.checkFeed()
	},
	"ApprovalsThatAreRefused": func(t *testing.T, b *bench) {
		all := b.staff(30)
		requireConflict(t, b.store.ApproveHold(b.ctx, b.name, "contoso-run-1", "ann"))
		requireConflict(t, b.store.CloseHold(b.ctx, b.name, "contoso-run-1", mesh.HoldRejected, "ann"))
		first, _ := b.tick(gone(all[:11]...)...)
		r := b.as("Approval").begin()
		_, err := b.store.StageHold(b.ctx, r.fence, first.id)
		requireConflict(t, err)
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "not approved")
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, b.store.ApproveHold(b.ctx, b.name, first.id, "ann"))
		}
		h := b.hold()
		require.Equal(t, "ann", h.ApprovedBy)
		require.NotNil(t, h.ApprovedAt)
		second, _ := b.tick(gone(all[11])...)
		r = b.as("Approval").begin()
		for _, id := range []string{first.id, second.id} { // changed, and not approved as it is now
			_, err = b.store.StageHold(b.ctx, r.fence, id)
			requireConflict(t, err)
		}
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "changed")
		require.NoError(t, err)
		require.NoError(t, b.store.ApproveHold(b.ctx, b.name, second.id, "ann"))
		r = b.as("Approval").begin()
		requireConflict(t, b.store.CloseHold(b.ctx, b.name, second.id, mesh.HoldRejected, "bob"))
		n, err := b.store.StageHold(b.ctx, r.fence, second.id)
		require.NoError(t, err)
		require.Equal(t, 12, n)
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "crash")
		require.NoError(t, err)
		require.Len(t, b.held(), 12, "it stays open when its approval fails")
		requireConflict(t, b.store.CloseHold(b.ctx, b.name, second.id, mesh.HoldApproved, "bob"))
		require.NoError(t, b.store.CloseHold(b.ctx, b.name, second.id, mesh.HoldRejected, "bob"))
		require.Nil(t, b.hold())
		b.checkFeed()
	},
	"TheRejectedAreLeftAloneUntilTheNextFull": func(t *testing.T, b *bench) {
		all := b.staff(30)
		for i := range all {
			all[i] = at(all[i], 1)
		}
		r, _ := b.tick(gone(all[:11]...)...)
		for range 2 { // the answer to the first was lost
			require.NoError(t, b.store.CloseHold(b.ctx, b.name, r.id, mesh.HoldRejected, "ann"))
		}
		require.Nil(t, b.hold())
		r = b.as("Delta").begin()
		r.walk("users", gone(all[:11]...)...)
		r.members("g1")
		row := r.guarded()
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Empty(t, r.feed())
		require.Nil(t, b.hold())
		require.Len(t, b.objects(mesh.GroupMember), 2, "the edges of those are left alone too")
		// What Okta says anew is decided anew.
		newer := gone(at(all[3], 2))
		r, row = b.tick(newer...)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, []string{"Delete User p003 (deprovisioned)"}, r.feed())
		r = b.as("Full").begin()
		r.walk("users", append(append(gone(all[:3]...), gone(all[4:12]...)...), all[12:]...)...)
		r.walk("groups", group("g1"))
		r.members("g1")
		row = r.guarded()
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Len(t, b.held(), 11)
		require.Len(t, b.objects(mesh.GroupMember), 2)
		// Once more: a Full that holds the same replaces the hold.
		r = b.as("Full").begin()
		r.walk("users", append(append(gone(all[:3]...), gone(all[4:12]...)...), all[12:]...)...)
		r.walk("groups", group("g1"))
		r.members("g1")
		require.Equal(t, mesh.HeldDeletes, r.guarded().Outcome)
		require.Equal(t, r.id, b.hold().RunID)
		b.checkFeed()
	},
	"WhoWantsTheIDOfAHeldObjectWaits": func(t *testing.T, b *bench) {
		var all []mesh.Object
		for i := range 12 {
			all = append(all, named(fmt.Sprintf("p%03d", i), fmt.Sprintf("p%d@x", i)))
		}
		r := b.begin()
		r.walk("users", all...)
		r.guarded()
		left := gone(all[:11]...)
		for i := range left {
			left[i].ExternalID = all[i].ExternalID
		}
		r = b.as("Delta").begin()
		r.walk("users", append(left, named("new", "P0@x"))...)
		require.NoError(t, b.store.CheckExternalIDs(b.ctx, r.fence))
		row := r.guarded()
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Contains(t, row.Note, "users who wait for an external id that a hold keeps: 1")
		require.Len(t, r.feed(), 11, "the held ones' new status")
		live, err := b.store.LiveCounts(b.ctx, b.name)
		require.NoError(t, err)
		require.Equal(t, 12, live[mesh.User], "the newcomer waits outside")
		hold := b.hold().RunID

		// A rename waits too, and with it the one who wants the old name of the renamed.
		r = b.as("Delta").begin()
		renamed := named("p011", "p1@x")
		renamed.Attributes, renamed.Hash = []byte(`{"n":7}`), []byte("another")
		r.walk("users", renamed, named("newer", "p11@x"))
		require.Equal(t, mesh.Completed, r.guarded().Outcome)
		require.Len(t, r.feed(), 1)
		require.Contains(t, r.feed()[0], "Update User p11@x", "only the name waits")

		require.NoError(t, b.store.ApproveHold(b.ctx, b.name, hold, "ann"))
		verdicts := map[string]mesh.Reason{}
		for _, o := range all[:11] {
			verdicts[o.OktaID] = mesh.Deprovisioned
		}
		r, row = b.approved(verdicts)
		require.Equal(t, mesh.Counts{Deleted: 12, Added: 3}, row.Counts[mesh.User])
		require.Contains(t, r.feed(), "Add User P0@x")
		require.Contains(t, r.feed(), "Delete User p11@x (renamed)")
		require.Empty(t, row.Note)
		b.checkFeed()
		require.Equal(t, []string{"P0@x", "p11@x", "p1@x"}, b.objects(mesh.User))
		b.checkFeed()
	},
	"AHolderThatNobodySawIsAskedFor": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"), named("u2", "bob@x"))
		r.finish()
		r = b.as("Delta").begin()
		r.walk("users", named("u2", "bob@x"), named("u3", "ANN@x"))
		for range 2 {
			n, err := b.store.StageHolders(b.ctx, r.fence)
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
		found, err := b.store.Candidates(b.ctx, r.fence, 0)
		require.NoError(t, err)
		require.Equal(t, []mesh.Candidate{{Type: mesh.User, OktaID: "u1"}}, found)
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u1", Reason: mesh.HardDeleted}}, nil, mesh.Calls{}))
		r.finish()
		require.Equal(t, []string{"Delete User ann@x (hard-deleted)", "Add User ANN@x"}, r.feed())

		// One whom the run saw has the id: that is a collision.
		r = b.begin()
		r.walk("users", named("u2", "bob@x"), named("u4", "bob@x"))
		n, err := b.store.StageHolders(b.ctx, r.fence)
		require.NoError(t, err)
		require.Zero(t, n)
		var collision *mesh.CollisionError
		require.ErrorAs(t, b.store.CheckExternalIDs(b.ctx, r.fence), &collision)
		b.checkFeed()
	},
}
