package oktasim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestGroupList(t *testing.T) {
	t.Parallel()
	org := generated(t, 40, 30)
	s := newSim(t, org)
	a := s.get("/api/v1/groups")
	require.Equal(t, org.GroupIDs(), ids(a.list()))
	require.Equal(t, s.http.URL+"/api/v1/groups?limit=10000", a.link("self"))
	require.Empty(t, a.link("next"))

	for _, g := range a.list() {
		links, _ := g["_links"].(map[string]any)
		require.NotContains(t, links, "self", "groups have no self link")
		require.Equal(t, map[string]any{"href": fmt.Sprintf("%s/api/v1/groups/%s/users", s.http.URL, g["id"])}, links["users"])
		require.Equal(t, g, s.get(fmt.Sprintf("/api/v1/groups/%s", g["id"])).ok(200))
		if g["type"] == oktasim.AppGroup {
			require.Contains(t, g, "source")
			require.Contains(t, links, "source")
			require.Equal(t, []any{"okta:windows_security_principal"}, g["objectClass"])
		}
	}
	require.Equal(t, org.GroupIDs(), ids(s.walk("/api/v1/groups?limit=7")))
	require.Len(t, s.get("/api/v1/groups?limit=20000").list(), 30, "capped, not refused")
	s.get("/api/v1/groups?after=nonsense").fails(400, "E0000029")

	everyone := s.get("/api/v1/groups/" + org.EveryoneID() + "?expand=stats").ok(200)
	require.InEpsilon(t, 40, everyone["_embedded"].(map[string]any)["stats"].(map[string]any)["usersCount"], 0)
	require.NotContains(t, string(a.body), "_embedded")
	require.Equal(t, 30, strings.Count(string(s.get("/api/v1/groups?expand=stats").body), `"usersCount"`))
	s.get("/api/v1/groups?expand=nonsense").fails(400, "E0000001")

	require.Equal(t, []string{org.EveryoneID()}, ids(s.get("/api/v1/groups?q=every").list()))
	require.Equal(t, s.http.URL+"/api/v1/groups?limit=300&q=every", s.get("/api/v1/groups?q=every").link("self"))
}

func TestGroupWrites(t *testing.T) {
	t.Parallel()
	org := generated(t, 20, 10)
	s := newSim(t, org)
	made := s.do("POST", "/api/v1/groups", `{"profile":{"name":"Night shift","description":"Who works at night"}}`).ok(200)
	require.Regexp(t, `^00g[0-9A-Za-z]{17}$`, made["id"])
	require.Equal(t, oktasim.OktaGroup, made["type"])
	require.Equal(t, []any{"okta:user_group"}, made["objectClass"])
	require.Equal(t, "2026-03-14T15:09:26.000Z", made["created"])
	require.Equal(t, made["created"], made["lastUpdated"])
	require.Equal(t, made["created"], made["lastMembershipUpdated"])
	id := fmt.Sprint(made["id"])

	s.clock.Advance(90 * time.Second)
	put := s.do("PUT", "/api/v1/groups/"+id, `{"profile":{"name":"Late shift","costCenter":"7"}}`).ok(200)
	require.Equal(t, map[string]any{"name": "Late shift", "costCenter": "7"}, put["profile"], "replaced, not merged")
	require.Equal(t, "2026-03-14T15:10:56.000Z", put["lastUpdated"])
	require.Equal(t, made["lastMembershipUpdated"], put["lastMembershipUpdated"])

	app := org.GroupIDsByType(oktasim.AppGroup)[0]
	for body, code := range map[string]string{
		`{"profile":{"name":"LATE SHIFT"}}`: "already exists",
		`{"profile":{}}`:                    "name: The field cannot be left blank",
		`{}`:                                "profile",
		`{"profile":{"name":"N","x":1}}`:    "Property name 'x' is not defined in profile",
		`{"profile":{"name":5}}`:            "type string",
	} {
		require.Contains(t, s.do("POST", "/api/v1/groups", body).fails(400, "E0000001"), code, body)
	}
	s.do("PUT", "/api/v1/groups/"+app, `{"profile":{"name":"X"}}`).fails(403, "E0000111")
	s.do("PUT", "/api/v1/groups/"+org.EveryoneID(), `{"profile":{"name":"X"}}`).fails(403, "E0000111")
	s.do("DELETE", "/api/v1/groups/"+org.EveryoneID(), "").fails(403, "E0000111")
	s.do("PUT", "/api/v1/groups/00gnone", `{"profile":{"name":"X"}}`).fails(404, "E0000007")
	s.do("DELETE", "/api/v1/groups/"+app, "").ok(204)

	s.do("DELETE", "/api/v1/groups/"+id, "").ok(204)
	require.Equal(t, "Not found: Resource not found: "+id+" (UserGroup)", s.get("/api/v1/groups/" + id).ok(404)["errorSummary"])
	s.get("/api/v1/groups/"+id+"/users").fails(404, "E0000007")
	require.NotContains(t, ids(s.walk("/api/v1/groups")), id)
}

func TestMembers(t *testing.T) {
	t.Parallel()
	org := generated(t, 30, 10)
	s := newSim(t, org)
	id, err := org.CreateGroup(map[string]any{"name": "Empty"})
	require.NoError(t, err)
	path := "/api/v1/groups/" + id + "/users"
	require.Empty(t, s.get(path).list())
	require.Equal(t, "[]", string(s.get(path).body))
	require.Equal(t, s.http.URL+path+"?limit=1000", s.get(path).link("self"))

	user, gone := org.UserIDsByStatus(oktasim.Active)[3], org.UserIDsByStatus(oktasim.Deprovisioned)[0]
	before := object(t, org.User(user))
	s.clock.Advance(time.Hour)
	s.do("PUT", path+"/"+user, "").ok(204)
	s.do("PUT", path+"/"+gone, "").ok(204)
	stamp := object(t, org.Group(id))["lastMembershipUpdated"]
	require.Equal(t, "2026-03-14T16:09:26.000Z", stamp)
	require.Equal(t, "2026-03-14T15:09:26.000Z", object(t, org.Group(id))["lastUpdated"])
	require.Equal(t, before, object(t, org.User(user)), "a membership does not touch the user")
	require.ElementsMatch(t, []string{user, gone}, ids(s.get(path).list()), "DEPROVISIONED members are listed")
	require.Contains(t, ids(s.get("/api/v1/users/"+user+"/groups").list()), id)
	require.Contains(t, ids(s.get("/api/v1/users/"+user+"/groups").list()), org.EveryoneID())
	require.Contains(t, s.get("/api/v1/users/"+user+"/groups").link("self"), "/groups?limit=200")

	s.clock.Advance(time.Hour)
	s.do("PUT", path+"/"+user, "").ok(204)
	require.Equal(t, stamp, object(t, org.Group(id))["lastMembershipUpdated"], "nothing changed")
	s.do("DELETE", path+"/"+user, "").ok(204)
	require.Equal(t, "2026-03-14T17:09:26.000Z", object(t, org.Group(id))["lastMembershipUpdated"])
	s.do("DELETE", path+"/"+user, "").ok(204)
	require.Equal(t, []string{gone}, ids(s.get(path).list()))

	s.do("PUT", path+"/00unone", "").fails(404, "E0000007")
	s.do("PUT", "/api/v1/groups/00gnone/users/"+user, "").fails(404, "E0000007")
	s.do("PUT", "/api/v1/groups/"+org.EveryoneID()+"/users/"+user, "").fails(501, "E0000060")
	s.do("DELETE", "/api/v1/groups/"+org.EveryoneID()+"/users/"+user, "").fails(501, "E0000060")
	s.do("PUT", "/api/v1/groups/"+org.GroupIDsByType(oktasim.AppGroup)[0]+"/users/"+user, "").fails(403, "E0000111")
}

func TestMemberPages(t *testing.T) {
	t.Parallel()
	org := generated(t, 1205, 2)
	s := newSim(t, org)
	path := "/api/v1/groups/" + org.EveryoneID() + "/users"
	a := s.get(path)
	require.Len(t, a.list(), 1000)
	require.Equal(t, s.http.URL+path+"?after="+ids(a.list())[999]+"&limit=1000", a.link("next"))
	require.Len(t, s.get(path+"?limit=5000").list(), 1000, "capped")
	require.Equal(t, org.UserIDs(), ids(s.walk(path+"?limit=201")))
	require.Equal(t, 6, s.srv.Stats().ByEndpoint["GET /api/v1/groups/{id}/users"]-2)
	require.Contains(t, string(a.body), `"credentials"`)
	s.get(path+"?after=0"+org.UserIDs()[0]).fails(400, "E0000029")
	for _, u := range a.list() {
		require.Len(t, u["_links"], 1)
	}
}
