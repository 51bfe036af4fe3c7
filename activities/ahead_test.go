package activities_test

import (
	"context"
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
