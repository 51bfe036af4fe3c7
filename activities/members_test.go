package activities_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// TestAStuckListWhoseGroupIsDeleted reads a list of several pages in smaller ones, since
// its large ones time out, when the group is deleted.
func TestAStuckListWhoseGroupIsDeleted(t *testing.T) {
	t.Parallel()
	for _, pages := range []int{0, 1, 2} { // of the smaller ones, before the 404
		t.Run(fmt.Sprint(pages), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 3500, 1, nil)
			begun := b.begin()
			in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 50}
			users, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
			require.NoError(t, err)
			groups, err := do[activities.WalkResult](b, b.acts.ReadGroups, in)
			require.NoError(t, err)
			large, small, gone := 0, 0, 0
			b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
				w.Header().Set("Content-Type", "application/json")
				switch {
				case strings.HasPrefix(r.URL.Path, "/api/v1/users"):
					return false
				case limit == 1000 && r.URL.Query().Has("after"):
					large++
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = w.Write([]byte(`{"errorCode":"E0000009","errorSummary":"Internal Server Error","errorLink":"E0000009","errorId":"oae1","errorCauses":[]}`))
					return true
				case limit == 1000 || small < pages:
					if limit < 1000 {
						small++
					}
					return false
				}
				gone++
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(`{"errorCode":"E0000007","errorSummary":"Not found: Resource not found (UserGroup)","errorLink":"E0000007","errorId":"oae1","errorCauses":[]}`))
				return true
			})
			members := activities.MembersInput{Fence: begun.Fence, Plan: begun.Plan, Lane: 1, MaxPages: 50}
			for done := false; !done; { // as Temporal does
				r, err := do[activities.MembersResult](b, b.acts.ReadMembers, members)
				done = err == nil && r.Done
			}
			require.Equal(t, 2, large, "tries before the pages get smaller")
			require.Equal(t, pages, small)
			require.Equal(t, 1, gone)
			_, err = b.finish(begun, users.Mark, groups.Mark) // it is looked up, and gone there, too
			require.NoError(t, err)
			require.Empty(t, b.live(mesh.Group))
			require.Empty(t, b.live(mesh.GroupMember))
		})
	}
}

// TestAnEmptyGroupIsReadOnce: only a group that had members is read twice before it is
// believed that it has none.
func TestAnEmptyGroupIsReadOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, 30, 2, nil)
	id, err := b.org.CreateGroup(map[string]any{"name": "Nobody"})
	require.NoError(t, err)
	var calls atomic.Int32
	b.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/groups/"+id+"/users" {
			calls.Add(1)
		}
		return false
	})
	b.full()
	require.EqualValues(t, 1, calls.Load())
}
