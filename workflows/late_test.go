package workflows_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// TestWhatOktaShowsLateIsSeen: a delta runs while the index does not show the changes
// yet; the overlap of a later one finds them, with stamps from before the watermark.
func TestWhatOktaShowsLateIsSeen(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]map[string]any{"everybody": nil, "filtered": {"UserSearchFilter": everybody}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 50, 10, cfg)
			p.org.SetLag(oktasim.Lag{Search: 2 * time.Minute, MembershipStamp: 2 * time.Minute, GroupStamp: 2 * time.Minute})
			active := p.org.UserIDsByStatus("ACTIVE")
			edit(t, p.org)
			require.NoError(t, p.org.SetStatus(active[1], "DEPROVISIONED"))
			require.NoError(t, addOne(p.org))
			group := p.org.GroupIDsByType("OKTA_GROUP")[0]
			require.NoError(t, p.org.ReplaceGroup(group, map[string]any{"name": "late"}))
			for range 4 { // each moves the watermark
				p.clock.Advance(20 * time.Second)
				p.must(workflows.Delta, mesh.Completed)
				require.NotEqual(t, "edited", p.live()["User "+active[0]]["title"])
			}
			p.clock.Advance(2 * time.Minute)
			p.must(workflows.Delta, mesh.Completed)
			live := p.live()
			require.Equal(t, "edited", live["User "+active[0]]["title"])
			require.NotContains(t, live, "User "+active[1])
			require.Equal(t, "late", live["Group "+group]["name"])
			edges := 0
			for pair := range p.org.Truth().Pairs {
				if pair.User != active[1] && p.org.Truth().Users[pair.User].Status != "DEPROVISIONED" {
					require.Contains(t, live, "GroupMember "+pair.Group+":"+pair.User)
					edges++
				}
			}
			require.Positive(t, edges)
			p.checkFeed(true)
		})
	}
}

// TestAReactivatedUserHasHisEdgesBack, although no group's stamp has moved.
func TestAReactivatedUserHasHisEdgesBack(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]map[string]any{
		"default":              nil,
		"users in groups only": {"GroupFilter": map[string]any{"Exclude": map[string]any{"Types": []string{"BUILT_IN"}}, "UsersInGroupsOnly": true}},
		"users not imported":   {"ImportUsers": false, "MembershipRefresh": "all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 50, 10, cfg)
			before := p.live()
			var user string
			for key := range before { // somebody with an edge beside that to Everyone
				if group, member, ok := strings.Cut(strings.TrimPrefix(key, "GroupMember "), ":"); ok && group != p.org.EveryoneID() {
					if p.org.Truth().Users[member].Status == "ACTIVE" {
						user = member
					}
				}
			}
			require.NotEmpty(t, user)
			require.NoError(t, p.org.SetStatus(user, "DEPROVISIONED"))
			p.clock.Advance(15 * time.Minute)
			p.must(workflows.Delta, mesh.Completed)
			require.Less(t, len(p.live()), len(before))
			for key := range p.live() {
				require.NotContains(t, key, user)
			}
			p.clock.Advance(15 * time.Minute)
			require.NoError(t, p.org.SetStatus(user, "ACTIVE"))
			p.clock.Advance(15 * time.Minute)
			p.must(workflows.Delta, mesh.Completed)
			after := p.live()
			require.Len(t, after, len(before))
			for key := range before {
				require.Contains(t, after, key)
			}
			p.checkFeed(cfg["ImportUsers"] == nil)
		})
	}
}
