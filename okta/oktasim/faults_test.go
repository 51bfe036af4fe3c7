package oktasim_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestFaultsOfListsAndLookUps(t *testing.T) {
	t.Parallel()
	org := generated(t, 40, 6)
	users := org.UserIDs()
	group := org.EveryoneID()
	lookup := "/api/v1/users" + query("search", `(status pr) and (id eq "`+users[0]+`" or id eq "`+users[1]+`")`)
	everyone := "/api/v1/users" + query("search", "status pr")
	live := 40 - len(org.UserIDsByStatus(oktasim.Deprovisioned))

	for _, tt := range []struct {
		name  string
		fault oktasim.Fault
		want  map[string]int // rows by path while the fault is set
	}{
		{"role lost", oktasim.Fault{Name: oktasim.FaultRoleLost}, map[string]int{
			everyone: 0, "/api/v1/users": 0, "/api/v1/groups": 0, lookup: 0, "/api/v1/groups/" + group + "/users": 0, "/api/v1/users/" + users[0] + "/groups": 0}},
		{"a half of the rows", oktasim.Fault{Name: oktasim.FaultDropRows}, map[string]int{everyone: 20, "/api/v1/groups": 3, lookup: 2}},
		{"a share of the rows of one path", oktasim.Fault{Name: oktasim.FaultDropRows, Share: 0.1, Path: "/api/v1/users"}, map[string]int{everyone: 36, "/api/v1/groups": 6, lookup: 2}},
		{"named rows", oktasim.Fault{Name: oktasim.FaultDropRows, IDs: users[:3]}, map[string]int{everyone: 37, "/api/v1/groups": 6, "/api/v1/groups/" + group + "/users": 37}},
		{"an early end", oktasim.Fault{Name: oktasim.FaultPageLies}, map[string]int{everyone + "&limit=7": 7, everyone: 40, "/api/v1/users?limit=100": live}},
		{"empty look-ups", oktasim.Fault{Name: oktasim.FaultLookupEmpty}, map[string]int{lookup: 0, everyone: 40,
			"/api/v1/groups" + query("filter", `id eq "`+group+`"`): 0, "/api/v1/users" + query("search", `type.id eq "x"`): 0, "/api/v1/users" + query("search", `type.id pr`): 40}},
		{"a missing control", oktasim.Fault{Name: oktasim.FaultControlMissing, IDs: users[1:2]}, map[string]int{lookup: 1, everyone: 40}},
		{"the first row missing", oktasim.Fault{Name: oktasim.FaultControlMissing}, map[string]int{lookup: 1, everyone: 40}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSim(t, org)
			require.NoError(t, s.srv.SetFault(tt.fault))
			for path, rows := range tt.want {
				a := s.walk(path)
				require.Len(t, a, rows, path)
				require.Equal(t, ids(a), ids(s.walk(path)), "the same rows every time")
			}
			for _, id := range users[:3] {
				s.get("/api/v1/users/" + id).ok(200)
			}
			s.srv.ClearFaults()
			require.Empty(t, s.srv.Faults())
			require.Len(t, s.walk(everyone+"&limit=7"), 40)
			require.Len(t, s.get(lookup).list(), 2)
		})
	}
}

func TestFaultsEndAfterTheirCount(t *testing.T) {
	t.Parallel()
	org := generated(t, 30, 3)
	s := newSim(t, org)
	everyone := "/api/v1/users" + query("search", "status pr")
	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultPageLies, Count: 1}))
	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultDropRows, Count: 2, IDs: org.UserIDs()[:1]}))
	s.get("/api/v1/groups").list()
	require.Equal(t, []oktasim.Fault{
		{Name: oktasim.FaultDropRows, Count: 2, IDs: org.UserIDs()[:1]}, {Name: oktasim.FaultPageLies, Count: 1},
	}, s.srv.Faults(), "an answer that had nothing to spoil spends nothing")
	require.Len(t, s.walk(everyone+"&limit=10"), 9)
	require.Len(t, s.walk(everyone+"&limit=10"), 29)
	require.Len(t, s.walk(everyone+"&limit=10"), 30)
	require.Empty(t, s.srv.Faults())
}

func TestForbiddenLookUp(t *testing.T) {
	t.Parallel()
	org := generated(t, 4, 3)
	s := newSim(t, org)
	user, group := "/api/v1/users/"+org.UserIDs()[0], "/api/v1/groups/"+org.EveryoneID()
	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultForbiddenLookup}))
	s.get(user).fails(403, "E0000006")
	s.get(group).fails(403, "E0000006")
	s.get("/api/v1/users").list()
	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultForbiddenLookup, IDs: org.UserIDs()[1:2], Count: 1}))
	s.get(user).ok(200)
	s.get("/api/v1/users/"+org.UserIDs()[1]).fails(403, "E0000006")
	s.get("/api/v1/users/" + org.UserIDs()[1]).ok(200)
}

func TestStaleSearchStandsStill(t *testing.T) {
	t.Parallel()
	org := generated(t, 6, 3)
	s := newSim(t, org)
	id := org.UserIDsByStatus(oktasim.Active)[0]
	byID := "/api/v1/users" + query("search", `id eq "`+id+`"`)
	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultStaleSearch}))
	s.clock.Advance(1)
	require.NoError(t, org.SetStatus(id, oktasim.Deprovisioned))
	for range 3 {
		s.clock.Advance(3_600_000_000_000)
		require.Equal(t, oktasim.Active, text(s.get(byID).list()[0], "status"))
		require.Equal(t, oktasim.Deprovisioned, text(s.get("/api/v1/users/"+id).ok(200), "status"))
	}
	s.srv.ClearFaults(oktasim.FaultStaleSearch)
	require.Equal(t, oktasim.Deprovisioned, text(s.get(byID).list()[0], "status"))

	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultStaleSearch, Count: 1}))
	s.clock.Advance(1)
	require.NoError(t, org.DeleteUser(id))
	s.get("/api/v1/users").list()
	require.Len(t, s.get(byID).list(), 1)
	require.Empty(t, s.get(byID).list())
}

func TestFaultsThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 1, 1))
	for _, f := range []oktasim.Fault{{}, {Name: "nonsense"}, {Name: oktasim.FaultDropRows, Share: 1.5}, {Name: oktasim.FaultDropRows, Share: -1}, {Name: oktasim.FaultPageLies, Count: -1}} {
		require.Error(t, s.srv.SetFault(f))
	}
	require.ErrorContains(t, s.srv.SetFault(oktasim.Fault{Name: "nonsense"}), strings.Join(oktasim.FaultNames, ", "))
	require.Empty(t, s.srv.Faults())
}

func TestInterceptComesBeforeFaults(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 4, 1))
	require.NoError(t, s.srv.SetFault(oktasim.Fault{Name: oktasim.FaultRoleLost, Count: 1}))
	s.srv.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusTeapot)
		return true
	})
	require.Equal(t, http.StatusTeapot, s.get("/api/v1/users").StatusCode)
	s.srv.Intercept(nil)
	require.Empty(t, s.get("/api/v1/users").list())
	require.NotEmpty(t, s.get("/api/v1/users").list())
}
