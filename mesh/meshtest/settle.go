package meshtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var settleTests = map[string]func(t *testing.T, b *bench){
	"SettleOrder": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "a@x"), named("u2", "b@x"), named("u3", "c@x"))
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", "u1", "u2", "u3")
		r.members("g2", "u1")
		r.finish()
		r = b.begin()
		// u1 is gone, u2 takes its login, u4 takes u2's and joins, u3 leaves g1, g2 is gone.
		r.walk("users", named("u2", "a@x"), named("u4", "b@x"), named("u3", "c@x"))
		r.walk("groups", group("g1"))
		r.members("g1", "u2", "u4")
		r.sweep(map[string]mesh.Reason{"u1": mesh.HardDeleted, "g2": mesh.GroupDeleted})
		r.finish()
		require.Equal(t, []string{
			"Delete GroupMember g1:u1 (hard-deleted)", "Delete GroupMember g1:u3 (member-removed)", "Delete GroupMember g2:u1 (hard-deleted)",
			"Delete User a@x (hard-deleted)", "Delete Group g2 (group-deleted)",
			"Delete User b@x (renamed)", "Add User a@x", "Add User b@x",
			"Add GroupMember g1:u4",
		}, r.feed())
		b.checkFeed()
	},
	"SettleAgainWritesNothing": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", deprovisioned("u1"))
		r.settle()
		feed := b.changes(0)
		require.Equal(t, mesh.SettleResult{Done: true}, r.settle())
		require.Equal(t, feed, b.changes(0))
	},
	"CrashBetweenEdgesAndTheirEnd": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", deprovisioned("u1"))
		res, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
		require.NoError(t, err)
		require.Equal(t, mesh.SettleResult{Edges: 1}, res)
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "crash")
		require.NoError(t, err)
		require.Equal(t, []string{"g1:u2"}, b.objects(mesh.GroupMember))
		// By the next run the user is active again: his edge must be too.
		r = b.begin()
		r.walk("users", user("u1", "n", 1), user("u2", "n", 2))
		r.finish()
		require.Equal(t, []string{"Add GroupMember g1:u1"}, r.feed())
		b.checkFeed()
	},
	"UserLeavesWhileAnotherGroupIsDue": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"), user("u2"))
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", "u1", "u2")
		r.members("g2", "u2")
		r.finish()
		r = b.begin()
		r.members("g2", "u1")
		r.walk("users", user("u1"))
		r.walk("groups", group("g1"), group("g2"))
		r.sweep(map[string]mesh.Reason{"u2": mesh.OutOfScope})
		r.finish()
		require.Equal(t, []string{
			"Delete GroupMember g2:u2 (out-of-scope)", "Delete GroupMember g1:u2 (out-of-scope)", "Delete User u2 (out-of-scope)",
			"Add GroupMember g2:u1",
		}, r.feed())
		b.checkFeed()
	},
	"StagedBetweenTwoSettles": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"), user("u2"), user("u3"), user("u4"), user("u5"))
		r.walk("groups", group("g1"))
		r.members("g1", "u1", "u2", "u3", "u4", "u5")
		r.finish()
		r = b.begin()
		r.members("g1", "u1", "u2", "u3", "u4")
		_, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
		require.NoError(t, err)
		r.walk("users", deprovisioned("u1"))
		r.finish()
		require.ElementsMatch(t, []string{
			"Delete GroupMember g1:u5 (member-removed)", "Delete GroupMember g1:u1 (deprovisioned)", "Delete User u1 (deprovisioned)",
		}, r.feed())
		b.checkFeed()
	},
	"EndsThatAreNotImportedAreNotChecked": func(t *testing.T, b *bench) {
		// Memberships alone: the group list is read without Import.
		list := func(r *run, groups ...mesh.Object) {
			r.scope = mesh.Scope{}
			r.claim("groups", "me")
			p := objectPage("groups", 1, true, groups...)
			p.Import, p.Queue = false, &mesh.QueueRule{All: true}
			_, err := b.store.WriteObjects(b.ctx, r.fence, p)
			require.NoError(t, err)
		}
		r := b.begin()
		list(r, group("g1"), group("g2"))
		r.members("g1", "u1", "u2!")
		r.members("g2", "u1")
		r.finish()
		require.Equal(t, []string{"Add GroupMember g1:u1", "Add GroupMember g2:u1"}, r.feed())
		r = b.begin()
		list(r, group("g1"))
		r.members("g1", "u1!", "u2")
		r.sweep(map[string]mesh.Reason{"g2": mesh.GroupDeleted})
		r.finish()
		require.Equal(t, []string{
			"Delete GroupMember g1:u1 (deprovisioned)", "Delete GroupMember g2:u1 (group-deleted)", "Add GroupMember g1:u2",
		}, r.feed())
		r = b.begin()
		list(r, group("g1"))
		r.members("g1", "u1!", "u2")
		r.sweep(nil)
		r.finish()
		require.Empty(t, r.feed())
		b.checkFeed()
	},
	"ScopeChangeDerivesAllAgain": func(t *testing.T, b *bench) {
		r := b.begin()
		r.scope = mesh.Scope{}
		r.members("g1", "u1", "u2")
		r.members("g2", "u1")
		r.finish()
		require.Len(t, b.objects(mesh.GroupMember), 3)
		r = b.begin()
		r.walk("users", user("u1"))
		r.walk("groups", group("g1"))
		r.finish()
		require.Equal(t, []string{"g1:u1"}, b.objects(mesh.GroupMember))
		r = b.begin()
		r.scope = mesh.Scope{}
		r.finish()
		require.Equal(t, []string{"g1:u1", "g1:u2", "g2:u1"}, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
	"TheGoneHaveNoEvidence": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("groups", group("g1", "name", "One"))
		r.sweep(map[string]mesh.Reason{"u1": mesh.HardDeleted, "u2": mesh.Deprovisioned})
		r.finish()
		r = b.begin()
		r.scope = mesh.Scope{Groups: true} // ImportUsers turned off
		r.finish()
		require.Empty(t, r.feed(), "nobody asks the users any more, but they are known to be gone")
		r = b.begin()
		r.walk("users", user("u2", "n", 2)) // turned on again, and u2 is active
		r.finish()
		require.Equal(t, []string{"Add User u2", "Add GroupMember g1:u2"}, r.feed())
		r = b.begin()
		r.scope = mesh.Scope{Groups: true} // and off once more
		r.finish()
		require.Empty(t, r.feed(), "u2 came back since he was deprovisioned")
		b.checkFeed()
	},
	"EmptyRunChangesNothing": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		row := r.finish()
		require.Empty(t, r.feed())
		require.Equal(t, mesh.Counts{}, row.Counts[mesh.GroupMember])
	},
}
