package activities_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// TestLookUpsAreMadeSideBySide answers the look-ups of people who are gone only when as
// many are asked for at once as the run may have calls in flight.
func TestLookUpsAreMadeSideBySide(t *testing.T) {
	t.Parallel()
	const gone, inFlight = 30, 10
	b := newBench(t, 400, 3, nil)
	b.full()
	for _, id := range b.live(mesh.User)[:gone] {
		require.NoError(t, b.org.DeleteUser(id))
	}
	var mu sync.Mutex
	waiting, most := 0, 0
	full := make(chan struct{})
	b.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/api/v1/users/") {
			return false
		}
		mu.Lock()
		wait := full
		if waiting++; waiting%inFlight == 0 {
			most = max(most, b.sim.Stats().MaxInFlight)
			close(full)
			full = make(chan struct{})
		}
		mu.Unlock()
		select {
		case <-wait:
		case <-time.After(5 * time.Second): // they come one by one
		}
		return false
	})
	b.sim.ResetStats()
	r := b.full()
	require.Equal(t, inFlight, most)
	require.Equal(t, gone, waiting)
	require.Equal(t, gone, r.Counts[mesh.User].Deleted)
}

// TestAFailureAmongLookUps refuses one of many look-ups that are under way: the others
// keep their verdicts, and nothing is deleted.
func TestAFailureAmongLookUps(t *testing.T) {
	t.Parallel()
	b := newBench(t, 400, 3, nil)
	b.full()
	users := b.live(mesh.User)
	for _, id := range users[:30] {
		require.NoError(t, b.org.DeleteUser(id))
	}
	begun := b.begin()
	b.read(begun)
	b.sim.Intercept(onPath("/api/v1/users/"+users[7], status(http.StatusForbidden)))
	_, err := b.finish(begun, nil, nil)
	requireType(t, err, activities.ErrForbidden)
	require.Len(t, b.live(mesh.User), len(users))

	// A server that fails now and then costs tries, no verdict.
	failed := map[string]bool{}
	var mu sync.Mutex
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if !strings.HasPrefix(r.URL.Path, "/api/v1/users/") || len(failed) == 3 || failed[r.URL.Path] {
			return false
		}
		failed[r.URL.Path] = true
		w.WriteHeader(http.StatusBadGateway)
		return true
	})
	for err != nil { // as Temporal tries again
		_, err = b.finish(begun, nil, nil)
	}
	require.NotEmpty(t, failed)
	require.Len(t, b.live(mesh.User), len(users)-30)
}

// TestWhoLeftTheScopeIsNotAskedForAlone has more people leave the filter's scope than one
// search asks for: which of them search knows at all is asked for many at once.
func TestWhoLeftTheScopeIsNotAskedForAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, 1000, 3, map[string]any{"UserSearchFilter": `status eq "ACTIVE"`})
	b.full()
	left := b.live(mesh.User)[:okta.LookUpBatch+10]
	for _, id := range left {
		require.NoError(t, b.org.SetStatus(id, "SUSPENDED"))
	}
	var alone atomic.Int32
	b.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		search := r.URL.Query().Get("search")
		if strings.Count(search, "id eq") == 1 && !strings.Contains(search, "status") {
			alone.Add(1)
		}
		return false
	})
	r := b.full()
	require.Equal(t, len(left), r.Counts[mesh.User].Deleted)
	require.Zero(t, alone.Load())
}
