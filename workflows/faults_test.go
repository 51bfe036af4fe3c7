package workflows_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// TestNothingIsDeletedOnAWrongAnswer: whatever Okta says that is not so, at worst the
// run fails or its deletes wait for an operator.
func TestNothingIsDeletedOnAWrongAnswer(t *testing.T) {
	t.Parallel()
	const users, groups = "/api/v1/users", "/api/v1/groups"
	for _, tc := range []struct {
		name  string
		cfg   map[string]any // of the run that meets the fault
		fault oktasim.Fault
		mode  workflows.Mode
		lost  bool // a page of users lacks some, so that they are looked up
		more  oktasim.Fault
		err   string // "": the run completes
	}{
		{"the service account lost its role", nil, oktasim.Fault{Name: oktasim.FaultRoleLost}, workflows.Full, false, oktasim.Fault{}, "empty list is never trusted"},
		{"the service account lost its role, delta", nil, oktasim.Fault{Name: oktasim.FaultRoleLost}, workflows.Delta, false, oktasim.Fault{}, "empty list is never trusted"},
		{"an empty user list", nil, oktasim.Fault{Name: oktasim.FaultRoleLost, Path: users}, workflows.Full, false, oktasim.Fault{}, "listed no users"},
		{"an empty group list", nil, oktasim.Fault{Name: oktasim.FaultRoleLost, Path: groups}, workflows.Full, false, oktasim.Fault{}, "listed no groups"},
		{"half of the users missing", nil, oktasim.Fault{Name: oktasim.FaultDropRows, Path: users}, workflows.Full, false, oktasim.Fault{}, "listing was incomplete"},
		{"half of the groups missing", nil, oktasim.Fault{Name: oktasim.FaultDropRows, Path: groups}, workflows.Full, false, oktasim.Fault{}, "listing was incomplete"},
		{"a page without its next link", nil, oktasim.Fault{Name: oktasim.FaultPageLies, Path: users, Count: 1}, workflows.Full, false, oktasim.Fault{}, "listing was incomplete"},
		{"a filter that matches nobody", map[string]any{"UserSearchFilter": `status eq "ACTVE"`}, oktasim.Fault{}, workflows.Delta, false, oktasim.Fault{}, "UserSearchFilter matches somebody"},
		{"look-ups that answer nobody", nil, oktasim.Fault{Name: oktasim.FaultLookupEmpty}, workflows.Full, true, oktasim.Fault{}, ""},
		{"look-ups without the control", nil, oktasim.Fault{Name: oktasim.FaultControlMissing}, workflows.Full, true, oktasim.Fault{}, ""},
		{"look-ups by id forbidden", nil, oktasim.Fault{Name: oktasim.FaultForbiddenLookup}, workflows.Full, true, oktasim.Fault{Name: oktasim.FaultLookupEmpty}, "403"},
		{"a search that stands still", nil, oktasim.Fault{Name: oktasim.FaultStaleSearch}, workflows.Delta, false, oktasim.Fault{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 40, map[string]any{"PageSize": 50})
			before := p.live()
			if tc.cfg != nil {
				p.define(tc.cfg)
			}
			for _, f := range []oktasim.Fault{tc.fault, tc.more} {
				if f.Name != "" {
					require.NoError(t, p.sim.SetFault(f))
				}
			}
			if tc.lost {
				require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultDropRows, Path: users, IDs: p.org.UserIDsByStatus("ACTIVE")[:5]}))
			}
			if tc.fault.Name == oktasim.FaultStaleSearch { // what it does not show is not taken for gone
				p.clock.Advance(time.Minute)
				require.NoError(t, p.org.SetStatus(p.org.UserIDsByStatus("ACTIVE")[0], "DEPROVISIONED"))
				p.clock.Advance(time.Minute)
			}
			_, err := p.run(workflows.ImportInput{Mode: tc.mode})
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			require.Equal(t, before, p.live())
			p.checkFeed(true)
		})
	}
}

// TestARoleLostBetweenDeltas: an empty answer is no quiet tick, so that what changes
// meanwhile is not skipped.
func TestARoleLostBetweenDeltas(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, path string
		cfg        map[string]any
	}{
		{"everything", "", nil},
		{"everything, with a filter", "", map[string]any{"UserSearchFilter": everybody}},
		{"groups only", "", map[string]any{"ImportUsers": false, "ImportMemberships": false}},
		{"memberships only", "", map[string]any{"ImportUsers": false, "ImportGroups": false}},
		{"the right to users", "/api/v1/users", nil},
		{"the right to groups", "/api/v1/groups", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 50, 5, tc.cfg)
			require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultRoleLost, Path: tc.path}))
			edit(t, p.org)
			group := p.org.GroupIDsByType("OKTA_GROUP")[0]
			require.NoError(t, p.org.ReplaceGroup(group, map[string]any{"name": "edited"}))
			failed := 0
			for range 3 {
				p.clock.Advance(15 * time.Minute)
				if _, err := p.run(workflows.ImportInput{Mode: workflows.Delta}); err != nil {
					require.ErrorContains(t, err, "empty list is never trusted")
					failed++
				}
			}
			require.GreaterOrEqual(t, failed, 2, "the types take turns")
			p.sim.ClearFaults()
			p.clock.Advance(time.Hour)
			p.must(workflows.Delta, mesh.Completed)
			live := p.live()
			if tc.cfg["ImportGroups"] == nil {
				require.Equal(t, "edited", live["Group "+group]["name"])
			}
			if tc.cfg["ImportUsers"] == nil {
				require.Equal(t, "edited", live["User "+p.org.UserIDsByStatus("ACTIVE")[0]]["title"])
			}
			p.checkFeed(false)
		})
	}
}

// TestLookUpsAreAskedTwice: users whom a listing lost and whom the batch does not
// show either are read by id, one by one, and kept.
func TestLookUpsAreAskedTwice(t *testing.T) {
	t.Parallel()
	for _, fault := range []oktasim.Fault{{}, {Name: oktasim.FaultLookupEmpty}, {Name: oktasim.FaultControlMissing}} {
		t.Run("fault "+fault.Name, func(t *testing.T) {
			t.Parallel()
			p := imported(t, 120, 5, nil)
			before := p.live()
			lost := p.org.UserIDsByStatus("ACTIVE")[3:8]
			require.NoError(t, p.sim.SetFault(oktasim.Fault{Name: oktasim.FaultDropRows, Path: "/api/v1/users", IDs: lost, Count: 1}))
			if fault.Name == oktasim.FaultControlMissing {
				fault.IDs = slices.DeleteFunc(p.org.UserIDs(), func(id string) bool { return slices.Contains(lost, id) })
			}
			if fault.Name != "" {
				require.NoError(t, p.sim.SetFault(fault))
			}
			p.sim.ResetStats()
			p.must(workflows.Full, mesh.Completed)
			require.Equal(t, before, p.live())
			byID := p.sim.Stats().ByEndpoint["GET /api/v1/users/{id}"]
			if fault.Name == "" {
				require.Zero(t, byID, "the batch acquits")
			} else {
				require.Equal(t, len(lost), byID, "what the batch does not show is read by id")
			}
		})
	}
}

// TestAUserReactivatedBeforeTheLookUp is missing from the plain list, and alive when
// he is asked for.
func TestAUserReactivatedBeforeTheLookUp(t *testing.T) {
	t.Parallel()
	p := imported(t, 120, 10, nil)
	before := p.live()
	id := p.org.UserIDsByStatus("ACTIVE")[0]
	require.NoError(t, p.org.SetStatus(id, "DEPROVISIONED"))
	p.clock.Advance(time.Minute)
	p.sim.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/users/"+id) {
			require.NoError(t, p.org.SetStatus(id, "ACTIVE"))
		}
		return false
	})
	p.must(workflows.Full, mesh.Completed)
	after := p.live()
	require.Len(t, after, len(before))
	require.Equal(t, "ACTIVE", after["User "+id]["status"])
	p.checkFeed(true)
}
