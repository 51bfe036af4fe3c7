package activities_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// TestConnectorsOfOneOrgShareItsRateLimit: what one connector has learnt spares the
// other the 429, and their runs do not hold each other up.
func TestConnectorsOfOneOrgShareItsRateLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, 30, 2, map[string]any{"ImportGroups": false, "ImportMemberships": false})
	other, err := b.store.Connector(t.Context(), "contoso")
	require.NoError(t, err)
	_, err = b.store.ApplyConnector(t.Context(), mesh.Connector{Name: "other", Type: other.Type, ConfigJSON: other.ConfigJSON, AuthJSON: other.AuthJSON})
	require.NoError(t, err)
	first := b.begin()
	second, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{Connector: "other", Mode: "Full", RunID: "other-1", StartedAt: time.Now()})
	require.NoError(t, err)
	require.Empty(t, second.HeldBy, "another connector's lease is another one")
	b.sim.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		now := time.Now()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		w.Header().Set("X-Rate-Limit-Limit", "600")
		w.Header().Set("X-Rate-Limit-Remaining", "0")
		w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(now.Add(40*time.Second).Unix(), 10))
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	r, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: first.Fence, Plan: first.Plan, MaxPages: 5})
	require.NoError(t, err)
	require.Positive(t, r.Wait)
	require.Equal(t, 1, b.sim.Stats().Total)
	r, err = do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: second.Fence, Plan: second.Plan, MaxPages: 5})
	require.NoError(t, err)
	require.Positive(t, r.Wait)
	require.Equal(t, 1, b.sim.Stats().Total, "the second connector waits without a call")
}
