package meshtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var claimTests = map[string]func(t *testing.T, b *bench){
	"AnotherAttemptTakesALaneOver": func(t *testing.T, b *bench) {
		r := b.begin()
		r.list(mesh.QueueRule{All: true}, minute(0), group("g1"), group("g2"))
		require.Len(t, r.claimGroups("first"), 2)
		page := mesh.MemberPage{Page: pageOf("members/g1", 1, false), GroupID: "g1", Members: []mesh.Member{{OktaID: "u1"}}}
		page.Owner = "first"
		_, err := b.store.WriteMembers(b.ctx, r.fence, page)
		require.NoError(t, err)

		groups := r.claimGroups("second")
		require.Len(t, groups, 2)
		require.Equal(t, 1, groups[0].Progress.Page)
		require.Equal(t, page.Next, groups[0].Progress.Next)
		require.Equal(t, 1, groups[0].Progress.Seen)
		page.Page = pageOf("members/g1", 2, true)
		page.Owner = "first"
		_, err = b.store.WriteMembers(b.ctx, r.fence, page)
		var fenced *mesh.FencedError
		require.ErrorAs(t, err, &fenced)
	},
	"ALaneTakesABoundedNumber": func(t *testing.T, b *bench) {
		r := b.begin()
		r.list(mesh.QueueRule{All: true}, minute(0), group("g1"), group("g2"), group("g3"), group("g4"), group("g5"))
		got, err := b.store.ClaimGroups(b.ctx, r.fence, mesh.ClaimGroups{Lane: 1, Prefix: "members/", Owner: "me", Share: 1, Most: 3})
		require.NoError(t, err)
		require.Len(t, got.Groups, 3)
	},
	"LanesShareTheQueue": func(t *testing.T, b *bench) {
		r := b.begin()
		var groups []mesh.Object
		for i := range 20 {
			groups = append(groups, group(fmt.Sprintf("g%02d", i)))
		}
		r.list(mesh.QueueRule{All: true}, minute(0), groups[:19]...)
		claim := func(lane int) (ordinals []int) {
			got, err := b.store.ClaimGroups(b.ctx, r.fence, mesh.ClaimGroups{Lane: lane, Prefix: "members/", Owner: fmt.Sprint("lane", lane), Share: 4, Most: 4})
			require.NoError(t, err)
			require.Equal(t, 19, got.Queued)
			for _, g := range got.Groups {
				ordinals = append(ordinals, g.Ordinal)
			}
			return ordinals
		}
		require.Equal(t, []int{1, 2, 3, 4}, claim(1), "19 / 4")
		require.Equal(t, []int{1, 2, 3, 4}, claim(1), "the lane has not read them yet")
		require.Equal(t, []int{5, 6, 7}, claim(2), "15 / 4")
		page := mesh.MemberPage{Page: pageOf("members/g00", 1, true), GroupID: "g00"}
		page.Owner = "lane1"
		_, err := b.store.WriteMembers(b.ctx, r.fence, page)
		require.NoError(t, err)
		require.Equal(t, []int{2, 3, 4}, claim(1))
		all := 7
		for lane := 3; ; lane++ {
			got := claim(lane)
			if len(got) == 0 {
				break
			}
			require.Equal(t, all+1, got[0])
			all = got[len(got)-1]
		}
		require.Equal(t, 19, all)
	},
}
