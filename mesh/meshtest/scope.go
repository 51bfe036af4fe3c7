package meshtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// limited is a run of a connector that imports only the users of its groups.
func (b *bench) limited(mode string) *run {
	b.t.Helper()
	r := b.as(mode).begin()
	r.scope.UsersInGroupsOnly = true
	return r
}

// club is an org of n users, all but the last of whom are in group g1.
func (b *bench) club(n int) []mesh.Object {
	b.t.Helper()
	all := people(n)
	r := b.limited("Full")
	r.membersOnly(all...)
	r.walk("groups", group("g1"), group("g2"))
	r.members("g1", oktaIDs(all[:n-1]...)...)
	r.members("g2")
	r.guarded()
	require.Equal(b.t, oktaIDs(all[:n-1]...), b.objects(mesh.User))
	return all
}

// lists is a delta that reads groups again.
func (b *bench) lists(members map[string][]string) (*run, *mesh.Run) {
	b.t.Helper()
	r := b.limited("Delta")
	for g, m := range members {
		r.members(g, m...)
	}
	row := r.guarded()
	return r, row
}

var scopeTests = map[string]func(t *testing.T, b *bench){
	"InAndOutAndBack": func(t *testing.T, b *bench) {
		all := b.club(4)
		r, row := b.lists(map[string][]string{"g1": {"p001", "p002", "p003"}})
		require.Equal(t, []string{
			"Delete GroupMember g1:p000 (out-of-scope)", "Delete User p000 (out-of-scope)",
			"Add User p003", "Add GroupMember g1:p003",
		}, r.feed())
		require.Equal(t, mesh.Counts{Added: 1, Deleted: 1}, row.Counts[mesh.User])
		// Nobody reads him again, but what a delta says of him is kept.
		r = b.limited("Delta")
		r.membersOnly(user("p000", "status", "ACTIVE", "n", 7), all[1])
		r.guarded()
		require.Empty(t, r.feed())
		r, _ = b.lists(map[string][]string{"g2": {"p000"}})
		require.Equal(t, []string{"Add User p000", "Add GroupMember g2:p000"}, r.feed())
		last := b.changes(0)
		require.Contains(t, string(last[len(last)-2].Attributes), `"n":7`)
		// From one group to the other he stays.
		r, _ = b.lists(map[string][]string{"g2": {}, "g1": {"p000", "p001", "p002", "p003"}})
		require.Equal(t, []string{"Delete GroupMember g2:p000 (member-removed)", "Add GroupMember g1:p000"}, r.feed())
		b.checkFeed()
	},
	"AGroupTakesItsUsersAlong": func(t *testing.T, b *bench) {
		all := b.club(4)
		b.lists(map[string][]string{"g2": {"p002"}})
		r := b.limited("Full")
		r.membersOnly(all...)
		r.walk("groups", group("g2"))
		r.members("g2", "p002")
		r.sweep(map[string]mesh.Reason{"g1": mesh.GroupDeleted})
		d, err := b.store.Decide(b.ctx, r.fence, r.scope, nil)
		require.NoError(t, err)
		require.Equal(t, map[mesh.ObjectType]int{mesh.User: 2, mesh.Group: 1}, d.Deletes)
		r.finish()
		require.Equal(t, []string{"p002"}, b.objects(mesh.User))
		require.Equal(t, []string{"g2:p002"}, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
	"UsersAreHeldThoughTheirGroupsGo": func(t *testing.T, b *bench) {
		all := b.club(4)
		r := b.limited("Full")
		r.membersOnly(all...)
		r.walk("groups")
		r.sweep(map[string]mesh.Reason{"g1": mesh.GroupDeleted, "g2": mesh.GroupDeleted})
		require.Equal(t, mesh.Decision{Deletes: map[mesh.ObjectType]int{mesh.Group: 2}, Held: map[mesh.ObjectType]int{mesh.User: 3}},
			r.decideBy(tenPercent), "two of two may go, three of three may not")
		require.Equal(t, mesh.HeldDeletes, r.finish().Outcome)
		require.Len(t, b.objects(mesh.User), 3)
		require.Empty(t, b.objects(mesh.GroupMember), "no edge outlives its group")
		b.checkFeed()
	},
	"AHeldGroupKeepsItsUsers": func(t *testing.T, b *bench) {
		all := people(4)
		r := b.limited("Full")
		r.membersOnly(all...)
		r.walk("groups", group("g1"), group("g2"), group("g3"))
		r.members("g1", oktaIDs(all...)...)
		r.members("g2")
		r.members("g3")
		r.guarded()
		r = b.limited("Full")
		r.membersOnly(all...)
		r.walk("groups", group("g3"))
		r.members("g3")
		r.sweep(map[string]mesh.Reason{"g1": mesh.GroupDeleted, "g2": mesh.GroupDeleted})
		require.Equal(t, map[mesh.ObjectType]int{mesh.Group: 2}, r.decideBy(tenPercent).Held)
		require.Equal(t, mesh.HeldDeletes, r.finish().Outcome)
		require.Empty(t, r.feed())
		require.Len(t, b.objects(mesh.User), 4)
		b.checkFeed()
	},
	"HeldForTheirGroups": func(t *testing.T, b *bench) {
		all := b.club(30)
		ids := oktaIDs(all...)
		r, row := b.lists(map[string][]string{"g1": ids[11:29]})
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Empty(t, r.feed())
		require.Equal(t, ids[:11], b.held(), "their edges follow them")
		require.Len(t, b.objects(mesh.GroupMember), 29)
		// That he is alive does not bring him back, that he is in a group does.
		r = b.limited("Delta")
		r.membersOnly(all[0])
		r.members("g2", "p001")
		require.Equal(t, mesh.Completed, r.guarded().Outcome)
		require.Equal(t, append([]string{"p000"}, ids[2:11]...), b.held())
		h := b.hold()
		require.NoError(t, b.store.CloseHold(b.ctx, b.name, h.RunID, mesh.HoldRejected, "ann"))
		r = b.limited("Delta")
		r.membersOnly(all[0])
		require.Equal(t, mesh.Completed, r.guarded().Outcome)
		require.Equal(t, []string{"Delete GroupMember g1:p001 (member-removed)"}, r.feed(), "an operator has decided of the others")
		// The next Full holds them again, and now they are let go.
		r = b.limited("Full")
		r.membersOnly(all...)
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", ids[11:29]...)
		r.members("g2", "p001")
		require.Equal(t, mesh.Completed, r.guarded().Outcome, "ten of thirty are none too many")
		require.Equal(t, append([]string{"p001"}, ids[11:29]...), b.objects(mesh.User))
		b.checkFeed()
	},
	"AnApprovalLetsThemOut": func(t *testing.T, b *bench) {
		ids := oktaIDs(b.club(30)...)
		b.lists(map[string][]string{"g1": ids[11:29]})
		h := b.hold()
		require.NoError(t, b.store.ApproveHold(b.ctx, b.name, h.RunID, "ann"))
		r := b.limited("Approval")
		n, err := b.store.StageHold(b.ctx, r.fence, h.RunID)
		require.NoError(t, err)
		require.Equal(t, 11, n)
		r.lookUp(nil) // all are alive
		require.Equal(t, mesh.Completed, r.guarded().Outcome)
		require.Equal(t, ids[11:29], b.objects(mesh.User))
		require.Nil(t, b.hold())
		r, _ = b.lists(map[string][]string{"g1": ids[10:29]})
		require.Equal(t, []string{"Add User p010", "Add GroupMember g1:p010"}, r.feed())
		b.checkFeed()
	},
	"TheSettingComesAndGoes": func(t *testing.T, b *bench) {
		all := b.club(4)
		full := func(r *run) {
			r.walk("groups", group("g1"), group("g2"))
			r.members("g1", "p000", "p001", "p002")
			r.members("g2")
			r.guarded()
		}
		r := b.as("Full").begin()
		r.walk("users", all...)
		full(r)
		require.Equal(t, []string{"Add User p003"}, r.feed())
		r = b.limited("Full")
		r.membersOnly(all...)
		full(r)
		require.Equal(t, []string{"Delete User p003 (out-of-scope)"}, r.feed())
		// He is gone unseen: nobody brings him back.
		r = b.limited("Full")
		r.membersOnly(all[:3]...)
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", "p000", "p001", "p002")
		r.members("g2", "p003")
		r.sweep(nil)
		r.guarded()
		require.Empty(t, r.feed())
		b.checkFeed()
	},
	"RenamedWhileOutside": func(t *testing.T, b *bench) {
		r := b.limited("Full")
		r.membersOnly(named("u1", "a@x"), named("u2", "b@x"))
		r.walk("groups", group("g1"))
		r.members("g1", "u1", "u2")
		r.guarded()
		r = b.limited("Delta")
		r.membersOnly(named("u1", "c@x"))
		r.members("g1", "u2")
		r.guarded()
		require.Equal(t, []string{"Delete GroupMember g1:u1 (out-of-scope)", "Delete User a@x (out-of-scope)"}, r.feed())
		r, _ = b.lists(map[string][]string{"g1": {"u1", "u2"}})
		require.Equal(t, []string{"Add User c@x", "Add GroupMember g1:u1"}, r.feed())
		// Another has taken his name meanwhile. His delete is held, so the other waits for it.
		b.lists(map[string][]string{"g1": {"u2"}})
		r = b.limited("Delta")
		r.membersOnly(named("u2", "C@x"))
		r.members("g1", "u1", "u2")
		_, err := b.store.Decide(b.ctx, r.fence, r.scope, nil)
		require.NoError(t, err)
		require.NoError(t, b.store.CheckExternalIDs(b.ctx, r.fence))
	},
	"OutsideAndOutOfTheFilter": func(t *testing.T, b *bench) {
		b.club(4)
		r := b.limited("Delta")
		r.changed(user("p003"))
		n, err := b.store.StageChanged(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		r.lookUp(map[string]mesh.Reason{"p003": mesh.OutOfScope})
		r.guarded()
		r, _ = b.lists(map[string][]string{"g2": {"p003"}})
		require.Empty(t, r.feed(), "he is not in the scope of the filter")
		// One who is still in it stays outside.
		b.lists(map[string][]string{"g1": {"p000", "p001"}})
		r = b.limited("Delta")
		r.changed(user("p002"))
		_, err = b.store.StageChanged(b.ctx, r.fence)
		require.NoError(t, err)
		r.lookUp(nil)
		row := r.guarded()
		require.Empty(t, r.feed())
		require.Zero(t, row.Counts[mesh.User].Added)
		b.checkFeed()
	},
}
