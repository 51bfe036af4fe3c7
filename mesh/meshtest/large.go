package meshtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

func numbered(prefix string, i int) string { return fmt.Sprintf("%s%05d", prefix, i) }

// largeTests fill more than one transaction of Settle.
var largeTests = map[string]func(t *testing.T, b *bench){
	"LargeGroupInWindows": func(t *testing.T, b *bench) {
		// More edges than Settle looks at in one transaction.
		const n, few = 10_400, 300
		ids, objects := make([]string, n), make([]mesh.Object, n)
		for i := range ids {
			ids[i] = numbered("u", i)
			objects[i] = user(ids[i])
		}
		r := b.begin()
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", ids...)
		r.members("g2", ids[:few]...)
		r.walk("users", objects...)
		res, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
		require.NoError(t, err)
		require.False(t, res.Done, "a budget of nothing is one step")
		row := r.finish()
		require.Equal(t, mesh.Counts{Seen: n + few, Added: n + few}, row.Counts[mesh.GroupMember])
		b.checkFeed()
		r = b.begin()
		r.members("g1", ids[few:]...)
		for done := false; !done; {
			res, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
			require.NoError(t, err)
			done = res.Done
		}
		row = r.finish()
		require.Equal(t, mesh.Counts{Seen: n - few, Deleted: few, Unchanged: n - few}, row.Counts[mesh.GroupMember])
		b.checkFeed()
	},
	"ManyRenamesAreBounded": func(t *testing.T, b *bench) {
		before, after := make([]mesh.Object, 1200), make([]mesh.Object, 1200)
		for i := range before {
			id := numbered("u", i)
			before[i], after[i] = named(id, id+"@old"), named(id, numbered("u", len(before)-1-i)+"@new")
		}
		r := b.begin()
		r.walk("users", before...)
		r.walk("groups", group("g1"))
		r.members("g1", "u00000", "u01199")
		r.finish()
		r = b.begin()
		r.walk("users", after...)
		// Stop between the Deletes of the old names and the Adds of the new ones, as a
		// crash would, and once more look at the edges.
		for deleted := 0; deleted < len(after); {
			res, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
			require.NoError(t, err)
			deleted += res.Other
		}
		_, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
		require.NoError(t, err)
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "crash")
		require.NoError(t, err)
		require.Empty(t, b.objects(mesh.User))
		// A run that does not see them leaves no edge dangling.
		b.begin().finish()
		require.Empty(t, b.objects(mesh.GroupMember))
		r = b.begin()
		r.walk("users", after...)
		r.finish()
		require.Len(t, b.objects(mesh.User), 1200)
		require.Equal(t, []string{"g1:u00000", "g1:u01199"}, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
}
