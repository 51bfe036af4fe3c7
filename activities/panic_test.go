package activities_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
)

// panicking is a transport that panics on the requests that it is for.
type panicking func(r *http.Request) bool

func (p panicking) RoundTrip(r *http.Request) (*http.Response, error) {
	if p(r) {
		panic("what a pity")
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestAPanicBesideTheActivity: a defect costs an attempt, not the worker with the runs of
// every connector.
func TestAPanicBesideTheActivity(t *testing.T) {
	t.Parallel()
	b := newBench(t, 700, 3, nil)
	b.full()
	require.NoError(t, b.org.DeleteUser(b.live(mesh.User)[0]))
	begun := b.begin()
	with := func(p panicking) {
		b.acts = activities.New(activities.Config{Store: b.store, Secrets: fixed("oktasim-token"), HTTP: &http.Client{Transport: p}})
	}

	with(func(r *http.Request) bool { return r.URL.Query().Has("after") }) // the page ahead
	_, err := do[activities.WalkResult](b, b.acts.ReadUsers, activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 50})
	require.ErrorContains(t, err, "what a pity")

	with(func(*http.Request) bool { return false })
	b.read(begun)
	with(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/v1/users/") })
	_, err = b.finish(begun, nil, nil)
	require.ErrorContains(t, err, "what a pity")
}
