package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// everybody is a filter that matches everybody who is not DEPROVISIONED.
const everybody = `status eq "ACTIVE" or status eq "STAGED" or status eq "PROVISIONED" or status eq "RECOVERY" or status eq "PASSWORD_EXPIRED" or status eq "LOCKED_OUT" or status eq "SUSPENDED"`

// crowd is an org of more users than one search shows.
func crowd(t *testing.T, searchCap int, cfg map[string]any) *pipeline {
	t.Helper()
	clock := oktasim.StandingClock(start)
	org, err := oktasim.Generate(oktasim.Spec{Users: 150, Groups: 3, Seed: 5, Now: start})
	require.NoError(t, err)
	p := newPipeline(t, openStore(t), org, clock, cfg)
	p.serve(searchCap)
	return p
}

// TestAFilteredListLongerThanASearch is read by ranges of created, whole.
func TestAFilteredListLongerThanASearch(t *testing.T) {
	t.Parallel()
	whole := crowd(t, 0, nil)
	whole.must(workflows.Full, mesh.Completed)
	for _, size := range []int{10, 25, 40, 50} { // the cap is, or is not, the end of a page
		p := crowd(t, 50, map[string]any{"UserSearchFilter": everybody, "PageSize": size})
		p.must(workflows.Full, mesh.Completed)
		require.Equal(t, whole.live(), p.live(), "page size %d", size)
		p.clock.Advance(time.Hour)
		unsearched := p.sim.Stats().Total
		p.sim.ResetStats()
		p.must(workflows.Full, mesh.Completed)
		require.Less(t, p.sim.Stats().Total, unsearched, "it knows now that one search is too short")
		require.Equal(t, whole.live(), p.live())
		p.checkFeed(true)
	}
}

// TestManyUsersOfOneSecond are more than a search shows: the rest cannot be read, and
// nobody is deleted.
func TestManyUsersOfOneSecond(t *testing.T) {
	t.Parallel()
	p := crowd(t, 20, map[string]any{"UserSearchFilter": everybody, "PageSize": 10})
	for range 30 {
		hire(t, p.org)
		require.NoError(t, p.org.UpdateUser(p.org.UserIDByLogin("new@example.com"), map[string]any{"login": p.org.UserIDByLogin("new@example.com") + "@example.com"}))
	}
	_, err := p.run(workflows.ImportInput{Mode: workflows.Full})
	require.ErrorContains(t, err, "repeats an earlier one")
}

// TestADeltaLongerThanASearch becomes a full walk of the users.
func TestADeltaLongerThanASearch(t *testing.T) {
	t.Parallel()
	for _, filter := range []any{nil, everybody} {
		p := crowd(t, 60, map[string]any{"UserSearchFilter": filter})
		p.must(workflows.Full, mesh.Completed)
		p.clock.Advance(time.Hour)
		gone := massDeletion(t, p, 1)[0]
		for _, id := range p.org.UserIDsByStatus("ACTIVE")[:70] {
			require.NoError(t, p.org.UpdateUser(id, map[string]any{"title": "all change"}))
		}
		p.clock.Advance(time.Minute)
		r := p.must(workflows.Delta, mesh.Completed)
		require.Equal(t, 70, r.Counts[mesh.User].Updated)
		require.NotContains(t, p.live(), "User "+gone, "the full walk sweeps")
		p.checkFeed(true)
		p.clock.Advance(time.Hour)
		p.delta() // the overlap shows as many once more
		p.clock.Advance(time.Hour)
		require.LessOrEqual(t, p.delta(), 3)
	}
}
