package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var externalIDTests = map[string]func(t *testing.T, b *bench){
	"RenameIsDeleteAndAdd": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"), named("u2", "bob@x"))
		r.walk("groups", group("g1"))
		r.members("g1", "u1")
		r.finish()
		r = b.begin()
		r.walk("users", named("u1", "anna@x"), named("u2", "bob@x"))
		require.Empty(t, r.feed(), "renames are settled at the end")
		row := r.finish()
		require.Equal(t, []string{"Delete User ann@x (renamed)", "Add User anna@x"}, r.feed(), "edges keep Okta ids")
		require.Equal(t, mesh.Counts{Seen: 2, Added: 1, Deleted: 1, Unchanged: 1}, row.Counts[mesh.User])
		require.Equal(t, []string{"anna@x", "bob@x"}, b.objects(mesh.User))
		b.checkFeed()
	},
	"RenameBackWithinARun": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"))
		r.finish()
		r = b.begin()
		r.walk("users", at(named("u1", "anna@x"), 1))
		r.walk("more", at(named("u1", "ann@x"), 2))
		r.finish()
		require.Empty(t, r.feed())
	},
	"CaseOnlyRename": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "Ann@x"))
		r.finish()
		r = b.begin()
		r.walk("users", named("u1", "ann@x"))
		r.finish()
		require.Equal(t, []string{"Delete User Ann@x (renamed)", "Add User ann@x"}, r.feed())
		b.checkFeed()
	},
	"SwappedLogins": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"), named("u2", "bob@x"))
		r.finish()
		r = b.begin()
		r.walk("users", named("u1", "bob@x"), named("u2", "ann@x"))
		r.finish()
		require.Equal(t, []string{
			"Delete User ann@x (renamed)", "Delete User bob@x (renamed)", "Add User bob@x", "Add User ann@x",
		}, r.feed())
		b.checkFeed()
	},
	"LoginOfADeletedUserIsFree": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"))
		r.finish()
		r = b.begin()
		gone := named("u1", "ann@x")
		gone.Delete = mesh.Deprovisioned
		r.walk("users", named("u2", "ann@x"), gone)
		require.Empty(t, r.feed(), "the login is taken until the end")
		row := r.finish()
		require.Equal(t, []string{"Delete User ann@x (deprovisioned)", "Add User ann@x"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 2, Added: 1, Deleted: 1}, row.Counts[mesh.User])
		b.checkFeed()
	},
	"Collisions": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"), named("u3", "eve@x"))
		r.finish()
		for name, objects := range map[string][]mesh.Object{
			"new takes a live one's":      {named("u1", "ann@x"), named("u2", "ann@x")},
			"differs in case":             {named("u2", "ANN@x")},
			"rename to a live one's":      {named("u3", "ann@x")},
			"two new take one that falls": {named("u1", "free@x"), named("u2", "ann@x"), named("u4", "ann@x")},
			"two renames to one":          {named("u1", "new@x"), named("u3", "NEW@x")},
			"rename to a new one's":       {named("u4", "new@x"), named("u1", "new@x")},
		} {
			// u4 may be live from an earlier case: only what is staged is compared.
			r := b.begin()
			r.walk("users", objects...)
			feed := b.changes(0)
			var collision *mesh.CollisionError
			require.ErrorAs(t, b.store.CheckExternalIDs(b.ctx, r.fence), &collision, name)
			require.Less(t, collision.OktaIDs[0], collision.OktaIDs[1], name)
			_, err := b.store.Settle(b.ctx, r.fence, r.scope, time.Second)
			require.ErrorAs(t, err, &collision, name)
			require.Equal(t, feed, b.changes(0), name)
			_, err = b.store.End(b.ctx, r.id, mesh.Failed, err.Error())
			require.NoError(t, err)
		}
		b.checkFeed()
	},
	"CollisionWithinAFirstPage": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "ann@x"), named("u2", "ann@x"))
		var collision *mesh.CollisionError
		require.ErrorAs(t, b.store.CheckExternalIDs(b.ctx, r.fence), &collision)
		require.Equal(t, mesh.CollisionError{Type: mesh.User, ExternalID: "ann@x", OktaIDs: [2]string{"u1", "u2"}}, *collision)
	},
	"IdsAreCaseSensitive": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("00uA"), user("00ua"))
		r.finish()
		require.Equal(t, []string{"00uA", "00ua"}, b.objects(mesh.User))
	},
	"UserAndGroupMayShareAnExternalID": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "x"))
		r.walk("groups", object(mesh.Group, "g1", "x", nil))
		r.finish()
		require.Equal(t, []string{"Add User x", "Add Group x"}, r.feed())
	},
}
