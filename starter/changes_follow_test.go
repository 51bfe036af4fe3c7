package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// TestAFollowersPages: rows that fill pages to the last one are all followed, and those of
// another epoch are not.
func TestAFollowersPages(t *testing.T) {
	t.Parallel()
	b := seeded(t)
	b.withStore(func(ctx context.Context, store mesh.Store) {
		feed, err := store.Feed(ctx, "contoso")
		require.NoError(t, err)
		for limit := 1; limit <= int(feed.Last)+1; limit++ {
			var seqs []int64
			q := mesh.ChangeQuery{Connector: "contoso", Kept: true, Limit: limit}
			for n := limit; n == limit; {
				n, err = followOnce(ctx, store, &q, func(c mesh.Change) bool {
					seqs = append(seqs, c.Seq)
					return true
				})
				require.NoError(t, err)
			}
			require.Len(t, seqs, int(feed.Last), "pages of %d", limit)
			require.Equal(t, feed.Last, q.Since)
			require.Equal(t, feed.Epoch, q.Epoch)
		}
		q := mesh.ChangeQuery{Connector: "contoso", Since: feed.Last, Limit: 2}
		_, err = followOnce(ctx, store, &q, nil)
		require.NoError(t, err)
		_, err = store.Restored(ctx, mesh.Restore{Connector: "contoso", By: "ops"})
		require.NoError(t, err)
		_, err = followOnce(ctx, store, &q, nil)
		var other *mesh.EpochError
		require.ErrorAs(t, err, &other)
	})
}
