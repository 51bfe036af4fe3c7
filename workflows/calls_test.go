package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// imported is an org of the given size, imported in full and left alone for an hour.
func imported(t *testing.T, users, groups int, cfg map[string]any) *pipeline {
	t.Helper()
	start := time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC)
	clock := oktasim.StandingClock(start)
	org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Seed: 5, Now: start})
	require.NoError(t, err)
	p := newPipeline(t, openStore(t), org, clock, cfg)
	p.must(workflows.Delta, mesh.Completed) // without a watermark it is a Full
	clock.Advance(time.Hour)
	p.must(workflows.Delta, mesh.Completed)
	clock.Advance(15 * time.Minute)
	return p
}

// delta runs a delta and returns its calls.
func (p *pipeline) delta() int {
	return p.calls(func() { p.must(workflows.Delta, mesh.Completed) })
}

// TestDeltaCalls holds the exact price of small changes, with the default overlap. A
// type that shows no change is probed with one call, by turns: here it is the groups'.
func TestDeltaCalls(t *testing.T) {
	t.Parallel()
	filter := map[string]any{"UserSearchFilter": `status eq "ACTIVE" or status eq "SUSPENDED"`}
	for _, tc := range []struct {
		name   string
		cfg    map[string]any
		change func(t *testing.T, o *oktasim.Org)
		calls  int
	}{
		{"nothing", nil, func(*testing.T, *oktasim.Org) {}, 3},
		{"nothing, with a filter", filter, func(*testing.T, *oktasim.Org) {}, 3},
		{"one member more", nil, func(t *testing.T, o *oktasim.Org) { require.NoError(t, addOne(o)) }, 3},
		{"one member more, with a filter", filter, func(t *testing.T, o *oktasim.Org) { require.NoError(t, addOne(o)) }, 3},
		{"one user edited", nil, edit, 3},
		{"one user edited, with a filter", filter, edit, 4},
		{"one user created", nil, hire, 2},
		{"one user suspended", nil, func(t *testing.T, o *oktasim.Org) {
			require.NoError(t, o.SetStatus(o.UserIDsByStatus("ACTIVE")[0], "SUSPENDED"))
		}, 3},
		{"one user deactivated", nil, func(t *testing.T, o *oktasim.Org) {
			require.NoError(t, o.SetStatus(o.UserIDsByStatus("ACTIVE")[0], "DEPROVISIONED"))
		}, 3},
		{"one user out of scope", filter, func(t *testing.T, o *oktasim.Org) { // looked up, asked with the filter, and the search asked whether it knows him
			require.NoError(t, o.SetStatus(o.UserIDsByStatus("ACTIVE")[0], "LOCKED_OUT"))
		}, 7},
		{"one group created", nil, func(t *testing.T, o *oktasim.Org) {
			_, err := o.CreateGroup(map[string]any{"name": "new"})
			require.NoError(t, err)
		}, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 40, tc.cfg)
			tc.change(t, p.org)
			p.clock.Advance(time.Minute)
			require.Equal(t, tc.calls, p.delta())
			p.checkFeed(true)
		})
	}
}

func addOne(o *oktasim.Org) error {
	for _, g := range o.GroupIDsByType("OKTA_GROUP") {
		for _, u := range o.UserIDsByStatus("ACTIVE") {
			before := len(o.MemberIDs(g))
			if err := o.AddMember(g, u); err != nil {
				return err
			}
			if len(o.MemberIDs(g)) > before {
				return nil
			}
		}
	}
	return fmt.Errorf("everybody is in every group")
}

func edit(t *testing.T, o *oktasim.Org) {
	require.NoError(t, o.UpdateUser(o.UserIDsByStatus("ACTIVE")[0], map[string]any{"title": "edited"}))
}

func hire(t *testing.T, o *oktasim.Org) {
	_, err := o.CreateUser(map[string]any{"login": "new@example.com", "email": "new@example.com", "firstName": "New", "lastName": "Hire"}, true)
	require.NoError(t, err)
}

// TestIdleTicksAfterABulkChange: 200 groups change at once; they are read, read once
// more when their lists cannot lag any longer, and then never again.
func TestIdleTicksAfterABulkChange(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{time.Minute, 15 * time.Minute} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 260, nil)
			groups := p.org.GroupIDsByType("OKTA_GROUP")[:200]
			require.NoError(t, p.org.TouchMembership(groups...))
			p.clock.Advance(time.Minute)
			reads := p.delta() - 2
			require.Equal(t, 200, reads)
			again := 0
			for range 20 {
				p.clock.Advance(every)
				if calls := p.delta(); calls > 3 {
					again += calls - 3
				}
			}
			require.LessOrEqual(t, again, 201, "each group is read once more, and then never again")
			for range 5 {
				p.clock.Advance(every)
				require.LessOrEqual(t, p.delta(), 3)
			}
		})
	}
}
