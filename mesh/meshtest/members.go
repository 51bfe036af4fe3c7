package meshtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var memberTests = map[string]func(t *testing.T, b *bench){
	"MembershipsAreDerivedAtTheEnd": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("groups", group("g1"))
		r.members("g1", "u1", "u2", "u1", "stranger", "left!")
		r.walk("users", user("u1"), user("u2"))
		require.Equal(t, []string{"Add Group g1", "Add User u1", "Add User u2"}, r.feed())
		row := r.finish()
		require.Equal(t, []string{"g1:u1", "g1:u2"}, b.objects(mesh.GroupMember), "strangers and the deprovisioned are no members")
		require.Equal(t, mesh.Counts{Seen: 5, Added: 2}, row.Counts[mesh.GroupMember])
		b.checkFeed()
		// The stranger comes into scope: the evidence is there.
		r = b.begin()
		r.walk("users", user("stranger"))
		r.finish()
		require.Equal(t, []string{"Add User stranger", "Add GroupMember g1:stranger"}, r.feed())
		b.checkFeed()
	},
	"MemberRemovedAndBack": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.members("g1", "u2")
		row := r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u1 (member-removed)"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Deleted: 1, Unchanged: 1}, row.Counts[mesh.GroupMember])
		r = b.begin()
		r.members("g1", "u2", "u1")
		row = r.finish()
		require.Equal(t, []string{"Add GroupMember g1:u1"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 2, Added: 1, Unchanged: 1}, row.Counts[mesh.GroupMember])
		r = b.begin()
		r.members("g1")
		r.finish()
		require.Empty(t, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
	"SeveralPages": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"), user("u2"), user("u3"), user("u4"))
		r.walk("groups", group("g1"))
		r.memberPage("g1", 1, false, "u1", "u2")
		r.memberPage("g1", 2, false, "u2", "u3")
		r.memberPage("g1", 2, false, "u4") // a repeat writes nothing
		r.memberPage("g1", 3, true, "u3")
		r.finish()
		require.Equal(t, []string{"g1:u1", "g1:u2", "g1:u3"}, b.objects(mesh.GroupMember))
		r = b.begin()
		r.memberPage("g1", 1, false, "u4")
		r.memberPage("g1", 2, true, "u2")
		r.finish()
		require.ElementsMatch(t, []string{
			"Delete GroupMember g1:u1 (member-removed)", "Delete GroupMember g1:u3 (member-removed)", "Add GroupMember g1:u4",
		}, r.feed())
		b.checkFeed()
	},
	"UnfinishedListTakesNothingAway": func(t *testing.T, b *bench) {
		b.imported()
		r := b.beginFor(shortLease)
		r.memberPage("g1", 1, false, "u2")
		r = b.begin()
		r.finish()
		require.Equal(t, []string{"g1:u1", "g1:u2"}, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
	"EvidenceOfADeadRunIsSettledByTheNext": func(t *testing.T, b *bench) {
		b.imported()
		r := b.beginFor(shortLease)
		r.members("g1", "u1")
		r = b.begin()
		r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u2 (member-removed)"}, r.feed())
		b.checkFeed()
	},
	"GroupGone": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", user("u1", "n", 1), user("u2", "n", 2))
		r.walk("groups", group("g1", "name", "One"), group("g2"))
		for _, id := range []string{"g1", "g2"} {
			r.claim("members/"+id, "me")
			for range 2 {
				require.NoError(t, b.store.GroupGone(b.ctx, r.fence, pageOf("members/"+id, 1, true), id))
			}
			require.True(t, r.claim("members/"+id, "me").Done)
		}
		require.Empty(t, r.claimGroups("me"))
		r.sweep(map[string]mesh.Reason{"g1": mesh.GroupDeleted, "g2": mesh.GroupDeleted})
		row := r.finish()
		require.Equal(t, []string{
			"Add Group g2", "Delete GroupMember g1:u1 (group-deleted)", "Delete GroupMember g1:u2 (group-deleted)",
			"Delete Group g1 (group-deleted)", "Delete Group g2 (group-deleted)",
		}, r.feed())
		require.Equal(t, 4, row.APICalls, "users, groups, two 404s")
		b.checkFeed()
	},
}
