package activities_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// slowStore keeps the first page of users from being written until somebody lets it.
type slowStore struct {
	mesh.Store
	write chan struct{}
}

func (s slowStore) WriteObjects(ctx context.Context, f mesh.Fence, p mesh.ObjectPage) (mesh.Progress, error) {
	if p.Stream == "users" && p.Number == 1 {
		select {
		case <-s.write:
		case <-time.After(5 * time.Second):
		}
	}
	return s.Store.WriteObjects(ctx, f, p)
}

// TestAWalkAsksForThePageAhead has the first page written only once the second one is
// asked for; the third waits for that.
func TestAWalkAsksForThePageAhead(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 2, map[string]any{"MaxInFlight": 3})
	slow := slowStore{b.store, make(chan struct{})}
	b.acts = activities.New(activities.Config{Store: slow, Secrets: fixed("oktasim-token")})
	begun := b.begin()
	require.Equal(t, 3, begun.Plan.MaxInFlight)
	asked, ahead := 0, false
	b.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if asked++; asked == 2 {
			run, err := b.store.Run(r.Context(), begun.Fence.RunID)
			ahead = err == nil && run.Counts[mesh.User].Seen == 0
			close(slow.write)
		}
		return false
	})
	r, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 2})
	require.NoError(t, err)
	require.True(t, ahead, "the second page was asked for before the first was written")
	require.Equal(t, 2, r.Page)
	require.Equal(t, 2, asked, "no page is asked for beyond the budget")
}

// brokenStore fails to write the first page of users once somebody asks for the second.
type brokenStore struct {
	mesh.Store
	asked, failed chan struct{}
}

func (s brokenStore) WriteObjects(ctx context.Context, f mesh.Fence, p mesh.ObjectPage) (mesh.Progress, error) {
	if p.Stream != "users" {
		return s.Store.WriteObjects(ctx, f, p)
	}
	select {
	case <-s.asked:
	case <-time.After(5 * time.Second):
	}
	close(s.failed)
	return mesh.Progress{}, errors.New("disk full")
}

// TestTheCallForALostPageAheadCounts has a page fail while the next one is on its way.
func TestTheCallForALostPageAheadCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 2, nil)
	broken := brokenStore{b.store, make(chan struct{}), make(chan struct{})}
	b.acts = activities.New(activities.Config{Store: broken, Secrets: fixed("oktasim-token")})
	begun := b.begin()
	b.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("after") {
			close(broken.asked)
			<-broken.failed
			time.Sleep(50 * time.Millisecond) // after the activity, if it does not wait for this
		}
		return false
	})
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 50})
	require.ErrorContains(t, err, "disk full")
	run, err := b.store.Run(t.Context(), begun.Fence.RunID)
	require.NoError(t, err)
	require.Equal(t, 2, run.APICalls)
}

// TestATurnEnds: an activity whose turn is over records one page and hands over.
func TestATurnEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 4, nil)
	b.acts = activities.New(activities.Config{Store: b.store, Secrets: fixed("oktasim-token"), Turn: time.Nanosecond})
	begun := b.begin()
	in := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 50}
	for page := 1; page <= 2; page++ {
		users, err := do[activities.WalkResult](b, b.acts.ReadUsers, in)
		require.NoError(t, err)
		require.Equal(t, page, users.Page)
		require.False(t, users.Done)
		require.Equal(t, page, b.sim.Stats().Total, "no page ahead is asked for in vain")
	}
	_, err := do[activities.WalkResult](b, b.acts.ReadGroups, in)
	require.NoError(t, err)
	members, err := do[activities.MembersResult](b, b.acts.ReadMembers, activities.MembersInput{Fence: begun.Fence, Plan: begun.Plan, Lane: 1, MaxPages: 50})
	require.NoError(t, err)
	require.Equal(t, 1, members.Groups)
	require.Equal(t, 1, members.Pages)
	require.False(t, members.Done)
}
