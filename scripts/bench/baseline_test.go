package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestBareLoop(t *testing.T) {
	t.Parallel()
	org, err := oktasim.Generate(oktasim.Spec{Users: 1500, Groups: 20, Memberships: 6000})
	require.NoError(t, err)
	sim := oktasim.New(oktasim.Config{Org: org})
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)

	calls, err := newBareLoop(server.URL).fetch(t.Context(), org.GroupIDs())
	require.NoError(t, err)
	stats := sim.Stats()
	require.EqualValues(t, stats.Total, calls)
	require.Equal(t, 8, stats.ByEndpoint["GET /api/v1/users"], "95 %% of 1,500 by 200")
	require.Equal(t, 1, stats.ByEndpoint["GET /api/v1/groups"])
	pages := 0
	for _, g := range org.GroupIDs() {
		pages += max(1, (len(org.MemberIDs(g))+999)/1000)
	}
	require.Equal(t, pages, stats.ByEndpoint["GET /api/v1/groups/{id}/users"])
	require.LessOrEqual(t, stats.MaxInFlight, inFlight)
}

func TestBareLoopStopsAtAnError(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	_, err := newBareLoop(server.URL).fetch(t.Context(), []string{"00g1"})
	require.ErrorContains(t, err, "404")
}
