package mesh

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// testContext is the context of a test or of a rapid check.
func testContext(t require.TestingT) context.Context {
	if c, ok := t.(interface{ Context() context.Context }); ok {
		return c.Context()
	}
	return context.Background()
}

// edgeOrg is an org whose edges are settled.
type edgeOrg struct {
	users  map[string]string // state: live, dead (deprovisioned at its listing)
	groups map[string][]Member
}

// then is what the mesh knows after o and later were imported, without a sweep.
func (o edgeOrg) then(later edgeOrg) edgeOrg {
	both := edgeOrg{users: maps.Clone(o.users), groups: maps.Clone(o.groups)}
	maps.Copy(both.users, later.users)
	maps.Copy(both.groups, later.groups)
	return both
}

// importEdgeOrg imports the org into a connector of its own and returns what the feed says of
// edges, in its order.
func importEdgeOrg(t require.TestingT, s *SQLite, connector, run string, o edgeOrg, scope Scope) (feed []string, end int64) {
	ctx := testContext(t)
	_, err := s.ApplyConnector(ctx, Connector{Name: connector, Type: "Okta"})
	require.NoError(t, err)
	f, err := s.Begin(ctx, BeginRun{Connector: connector, RunID: run, Mode: "Full", LeaseTTL: time.Hour})
	require.NoError(t, err)
	page := func(stream string) Page {
		_, err := s.Claim(ctx, f, stream, "me")
		require.NoError(t, err)
		return Page{Stream: stream, Owner: "me", Number: 1, Done: true}
	}
	users := ObjectPage{Page: page("users"), Import: scope.Users}
	for _, id := range slices.Sorted(maps.Keys(o.users)) {
		u := Object{Type: User, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte{1}}
		if o.users[id] == "dead" {
			u.Delete = Deprovisioned
		}
		users.Objects = append(users.Objects, u)
	}
	_, err = s.WriteObjects(ctx, f, users)
	require.NoError(t, err)
	groups := ObjectPage{Page: page("groups"), Import: scope.Groups}
	for _, id := range slices.Sorted(maps.Keys(o.groups)) {
		groups.Objects = append(groups.Objects, Object{Type: Group, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte{1}})
	}
	_, err = s.WriteObjects(ctx, f, groups)
	require.NoError(t, err)
	for _, id := range slices.Sorted(maps.Keys(o.groups)) {
		_, err := s.WriteMembers(ctx, f, MemberPage{Page: page("members/" + id), GroupID: id, Members: o.groups[id]})
		require.NoError(t, err)
	}
	_, err = s.Decide(ctx, f, scope, nil)
	require.NoError(t, err)
	res, err := s.Settle(ctx, f, scope, time.Hour)
	require.NoError(t, err)
	require.True(t, res.Done)
	_, err = s.Commit(ctx, f, CommitRun{Watermark: Watermark{}, UsersFull: true, GroupsFull: true})
	require.NoError(t, err)
	for c, err := range s.Changes(ctx, ChangeQuery{Connector: connector}) {
		require.NoError(t, err)
		end++
		require.Equal(t, end, c.Seq)
		if c.Type == GroupMember {
			feed = append(feed, fmt.Sprint(c.Op, " ", c.ExternalID, " ", c.Reason))
		}
	}
	return feed, end
}

// TestEdgesOfAnyWindow settles random orgs twice, in windows of different sizes: whole
// groups are marked at once in some and each edge in others, and the feed is the same.
func TestEdgesOfAnyWindow(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	connectors := 0
	draw := rapid.Custom(func(t *rapid.T) edgeOrg {
		o := edgeOrg{users: map[string]string{}, groups: map[string][]Member{}}
		odd := rapid.SampledFrom([]int{0, 0, 8}).Draw(t, "odd users") // of a hundred
		var members []Member
		for n := range 40 {
			m := Member{OktaID: fmt.Sprintf("u%02d", n)}
			if state := rapid.SampledFrom([]string{"live", "dead", "stranger"}).Draw(t, "state"); rapid.IntRange(1, 100).Draw(t, "odd") > odd {
				o.users[m.OktaID] = "live"
			} else if state != "stranger" {
				o.users[m.OktaID] = state
				m.Deprovisioned = true // of a live one: the list is behind
			}
			members = append(members, m)
		}
		for g := range rapid.IntRange(1, 4).Draw(t, "groups") {
			var list []Member
			for _, m := range members {
				if rapid.IntRange(0, 3).Draw(t, "member") > 0 {
					list = append(list, m)
				}
			}
			o.groups[fmt.Sprint("g", g)] = list
		}
		return o
	})
	rapid.Check(t, func(t *rapid.T) {
		before, after := draw.Draw(t, "before"), draw.Draw(t, "after")
		scope := Scope{Users: rapid.IntRange(0, 3).Draw(t, "users") > 0, Groups: rapid.IntRange(0, 3).Draw(t, "groups") > 0}
		var want []string
		var wantEnd int64
		for i, window := range []int{10_000, 50, 7} {
			connectors++
			name := fmt.Sprint("c", connectors)
			s.edgeWindow, s.indexWindow = window, max(window, 5)
			importEdgeOrg(t, s, name, name+"-1", before, scope)
			feed, end := importEdgeOrg(t, s, name, name+"-2", after, scope)
			if i == 0 {
				want, wantEnd = feed, end
			}
			require.Equal(t, want, feed, "window of %d", window)
			require.Equal(t, wantEnd, end)
			require.Equal(t, liveEdges(before.then(after), scope), edgesOf(t, s, name), "window of %d", window)
		}
	})
}

// liveEdges are the edges that the org must have.
func liveEdges(o edgeOrg, scope Scope) (edges []string) {
	for _, group := range slices.Sorted(maps.Keys(o.groups)) {
		for _, m := range o.groups[group] {
			stays := !m.Deprovisioned
			if scope.Users {
				stays = o.users[m.OktaID] == "live"
			}
			if stays {
				edges = append(edges, edgeID(group, m.OktaID))
			}
		}
	}
	return edges
}

func edgesOf(t require.TestingT, s *SQLite, connector string) (edges []string) {
	for o, err := range s.Objects(testContext(t), ObjectQuery{Connector: connector, Type: GroupMember}) {
		require.NoError(t, err)
		edges = append(edges, o.ExternalID)
	}
	return edges
}
