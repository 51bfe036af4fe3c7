package oktasim_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

const aliceBody = `{"profile":{"login":"alice@example.com","email":"alice@example.com","firstName":"Alice","lastName":"Liddell"}}`

func TestPlainUserListOmitsDeprovisioned(t *testing.T) {
	t.Parallel()
	org := generated(t, 450, 3)
	s := newSim(t, org)

	first := s.get("/api/v1/users")
	require.Len(t, first.list(), 200, "the default page")
	require.Equal(t, s.http.URL+"/api/v1/users?limit=200", first.link("self"))
	last := ids(first.list())[199]
	require.Equal(t, s.http.URL+"/api/v1/users?after=0"+last+"&limit=200", first.link("next"))

	all := ids(s.walk("/api/v1/users"))
	want := slices.DeleteFunc(org.UserIDs(), func(id string) bool {
		return slices.Contains(org.UserIDsByStatus(oktasim.Deprovisioned), id)
	})
	require.Equal(t, want, all)
	require.NotEmpty(t, org.UserIDsByStatus(oktasim.Deprovisioned))

	require.Equal(t, org.UserIDs(), ids(s.walk("/api/v1/users"+query("search", "status pr"))), "search includes them")
	require.Equal(t, org.UserIDsByStatus(oktasim.Deprovisioned), ids(s.walk("/api/v1/users"+query("filter", `status eq "DEPROVISIONED"`))), "filter includes them")
}

func TestUserListCursor(t *testing.T) {
	t.Parallel()
	org := generated(t, 30, 1)
	s := newSim(t, org)
	page := s.get("/api/v1/users?limit=5")
	last := ids(page.list())[4]

	// A keyset: what goes or comes before the cursor shifts nothing.
	require.NoError(t, org.DeleteUser(last))
	require.NoError(t, org.DeleteUser(ids(page.list())[0]))
	next := s.get(page.link("next"))
	require.Greater(t, ids(next.list())[0], last)
	require.Len(t, next.list(), 5)

	added, err := org.CreateUser(map[string]any{"login": "z@example.com", "email": "z@example.com", "firstName": "Z", "lastName": "Z"}, true)
	require.NoError(t, err)
	require.Equal(t, added, ids(s.walk("/api/v1/users"))[len(s.walk("/api/v1/users"))-1], "a new user sorts last")

	for _, after := range []string{"garbage", "", "00u", last /* without the 0 of the plain list */, "0" + org.GroupIDs()[0]} {
		require.Equal(t, "Invalid cursor.", s.get("/api/v1/users?limit=5&after="+after).fails(400, "E0000029"), "after=%q", after)
	}
}

func TestUserListLimit(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 260, 1))
	require.Len(t, s.get("/api/v1/users?limit=1000").list(), 200, "capped")
	require.Len(t, s.get("/api/v1/users?limit=3").list(), 3)
	for _, limit := range []string{"0", "-1", "x", ""} {
		s.get("/api/v1/users?limit="+limit).fails(400, "E0000001")
	}
}

func TestUserQuery(t *testing.T) {
	t.Parallel()
	org := loaded(t, `{"users":[`+strings.Join([]string{
		userJSON("00u1", "ACTIVE", `"login":"a1@example.com","firstName":"Anna","lastName":"Z","email":"x1@example.com"`),
		userJSON("00u2", "DEPROVISIONED", `"login":"a2@example.com","firstName":"Anna","lastName":"Z","email":"x2@example.com"`),
		userJSON("00u3", "ACTIVE", `"login":"a3@example.com","firstName":"B","lastName":"ANNAN","email":"x3@example.com"`),
		userJSON("00u4", "ACTIVE", `"login":"anna4@example.com","firstName":"B","lastName":"Joanna","email":"x4@example.com"`),
	}, ",")+`],"groups":[]}`)
	s := newSim(t, org)
	a := s.get("/api/v1/users?q=anna")
	require.Equal(t, []string{"00u1", "00u3"}, ids(a.list()), "starts with, first or last name or e-mail, no DEPROVISIONED")
	require.Equal(t, s.http.URL+"/api/v1/users?limit=10&q=anna", a.link("self"))
	one := s.get("/api/v1/users?q=anna&limit=1")
	require.Len(t, one.list(), 1)
	require.Empty(t, one.link("next"), "q does not page")
	s.get("/api/v1/users?q=anna&search=status+pr").fails(400, "E0000031")
}

func TestListItemsAndSingleUser(t *testing.T) {
	t.Parallel()
	org := generated(t, 60, 1)
	s := newSim(t, org)
	for _, u := range s.walk("/api/v1/users" + query("search", "status pr")) {
		id, _ := u["id"].(string)
		require.Equal(t, map[string]any{"self": map[string]any{"href": s.http.URL + "/api/v1/users/" + id}}, u["_links"])
		for _, name := range []string{"mobilePhone", "secondEmail"} {
			require.Contains(t, profileOf(t, u), name, "null when unset, never absent")
		}
		for name, value := range profileOf(t, u) {
			if name != "mobilePhone" && name != "secondEmail" {
				require.NotNil(t, value, "%s is absent when unset", name)
			}
		}

		a := s.get("/api/v1/users/" + id)
		single := a.ok(200)
		require.Regexp(t, `^W/"[0-9a-f]{64}"$`, a.Header.Get("ETag"))
		links, _ := single["_links"].(map[string]any)
		require.Contains(t, links, "schema")
		require.Contains(t, links, "type")
		switch u["status"] {
		case oktasim.Deprovisioned:
			require.Contains(t, links, "delete")
			require.NotContains(t, links, "deactivate")
		case oktasim.Staged:
			require.Contains(t, links, "activate")
		case oktasim.Active:
			require.Contains(t, links, "suspend")
			require.Contains(t, links, "changePassword")
		}
		single["_links"], u["_links"] = nil, nil
		require.Equal(t, u, single)

		byLogin := s.get("/api/v1/users/" + strings.ToUpper(fmt.Sprint(profileOf(t, u)["login"])))
		require.Equal(t, id, byLogin.ok(200)["id"])
	}
	require.Equal(t, "Not found: Resource not found: 00unobody (User)", s.get("/api/v1/users/00unobody").ok(404)["errorSummary"])
}

func TestShortLogin(t *testing.T) {
	t.Parallel()
	org := loaded(t, `{"users":[`+userJSON("00u1", "ACTIVE", `"login":"ann@a.example"`)+","+userJSON("00u2", "ACTIVE", `"login":"bob@a.example"`)+
		","+userJSON("00u3", "ACTIVE", `"login":"bob@b.example"`)+`],"groups":[]}`)
	s := newSim(t, org)
	require.Equal(t, "00u1", s.get("/api/v1/users/ann").ok(200)["id"])
	s.get("/api/v1/users/bob").fails(404, "E0000007")
}

func TestTrimmedUsers(t *testing.T) {
	t.Parallel()
	org := loaded(t, `{"users":[{"id":"00u1","status":"STAGED","transitioningToStatus":"PROVISIONED","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-01-01T00:00:00.000Z",
		"profile":{"login":"a@example.com"},"credentials":{"provider":{"type":"OKTA","name":"OKTA"}}}],"groups":[],"members":{}}`)
	s := newSim(t, org)
	header := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Content-Type", v) }
	}
	all := header(`application/json; okta-response="omitCredentials,omitCredentialsLinks, omitTransitioningToStatus"`)
	two := header(`application/json; okta-response="omitCredentials,omitCredentialsLinks"`)
	for _, path := range []string{"/api/v1/users", "/api/v1/users/00u1"} {
		full, trimmed, partly := string(s.get(path).body), string(s.do("GET", path, "", all).body), string(s.do("GET", path, "", two).body)
		require.Equal(t, full, partly, "two of three parameters have no effect")
		for _, word := range []string{"credentials", "transitioningToStatus"} {
			require.Contains(t, full, word)
			require.NotContains(t, trimmed, word)
		}
		require.Contains(t, trimmed, `"_links":{`)
		require.NotContains(t, trimmed, "reset_factors")
	}
}

func TestCreateUser(t *testing.T) {
	t.Parallel()
	org := generated(t, 20, 8)
	s := newSim(t, org)
	everyone, other := org.EveryoneID(), org.GroupIDsByType(oktasim.OktaGroup)[0]
	stamp := "2026-03-14T15:09:26.000Z"

	made := s.do("POST", "/api/v1/users", strings.Replace(aliceBody, `{"profile"`, `{"groupIds":["`+other+`"],"profile"`, 1)).ok(200)
	require.Equal(t, oktasim.Provisioned, made["status"], "activated by default, but without a password")
	require.Equal(t, stamp, made["created"])
	require.Equal(t, stamp, made["lastUpdated"])
	require.Equal(t, stamp, made["activated"])
	require.Nil(t, made["passwordChanged"])
	require.Regexp(t, `^00u[0-9A-Za-z]{17}$`, made["id"])
	id, _ := made["id"].(string)
	require.Contains(t, org.MemberIDs(everyone), id, "a new user is in Everyone")
	require.Contains(t, org.MemberIDs(other), id)
	require.Equal(t, stamp, object(t, org.Group(everyone))["lastMembershipUpdated"])

	staged := s.do("POST", "/api/v1/users?activate=false", strings.ReplaceAll(aliceBody, "alice@", "staged@")).ok(200)
	require.Equal(t, oktasim.Staged, staged["status"])
	require.Nil(t, staged["activated"])
	require.Nil(t, staged["statusChanged"])

	withPassword := strings.Replace(aliceBody, `{"profile"`, `{"credentials":{"password":{"value":"Abcd1234!"}},"profile"`, 1)
	active := s.do("POST", "/api/v1/users", strings.ReplaceAll(withPassword, "alice@", "pw@")).ok(200)
	require.Equal(t, oktasim.Active, active["status"])
	require.Equal(t, stamp, active["passwordChanged"])
	require.NotContains(t, fmt.Sprint(active), "Abcd1234!")
	expired := s.do("POST", "/api/v1/users?nextLogin=changePassword", strings.ReplaceAll(withPassword, "alice@", "expired@")).ok(200)
	require.Equal(t, oktasim.PasswordExpired, expired["status"])
}

func TestCreateUserRefusals(t *testing.T) {
	t.Parallel()
	org := generated(t, 20, 5)
	s := newSim(t, org)
	s.do("POST", "/api/v1/users", aliceBody).ok(200)
	many := strings.Repeat(`"00gx",`, 21)
	tests := []struct {
		name, body   string
		status       int
		code, causes string
	}{
		{"login taken, other case", strings.ReplaceAll(aliceBody, "alice@", "ALICE@"), 400, "E0000001", "login: An object with this field already exists in the current organization"},
		{"login taken, other marks", strings.ReplaceAll(aliceBody, `"login":"alice@`, `"login":"Alícé@`), 400, "E0000001", "already exists"},
		{"unknown attribute", strings.Replace(aliceBody, `"login"`, `"notValid":"x","login"`, 1), 400, "E0000001", "Property name 'notValid' is not defined in profile"},
		{"nothing required", `{"profile":{}}`, 400, "E0000001", "login: The field cannot be left blank; firstName: The field cannot be left blank; lastName: The field cannot be left blank; email: The field cannot be left blank"},
		{"no profile", `{}`, 400, "E0000001", "profile"},
		{"login without @", strings.Replace(aliceBody, `"login":"alice@example.com"`, `"login":"alice"`, 1), 400, "E0000001", "login: Username must be in the form of an email address"},
		{"bad e-mail", strings.Replace(aliceBody, `"email":"alice@example.com"`, `"email":"no mail"`, 1), 400, "E0000001", "email: Does not match required pattern"},
		{"wrong type", strings.Replace(aliceBody, `"login"`, `"isRemote":"yes","login"`, 1), 400, "E0000001", "isRemote: The value must be of type boolean"},
		{"wrong element", strings.Replace(aliceBody, `"login"`, `"skills":[1],"login"`, 1), 400, "E0000001", "skills"},
		{"not in the enumeration", strings.Replace(aliceBody, `"login"`, `"shirtSize":"XXXL","login"`, 1), 400, "E0000001", "shirtSize"},
		{"too long", strings.Replace(aliceBody, "Alice", strings.Repeat("é", 51), 1), 400, "E0000001", "firstName: The field is too long"},
		{"malformed", `{"profile":`, 400, "E0000003", ""},
		{"not an object", `[]`, 400, "E0000003", ""},
		{"too many groups", strings.Replace(aliceBody, `{"profile"`, `{"groupIds":[`+strings.TrimSuffix(many, ",")+`],"profile"`, 1), 400, "E0000093", ""},
		{"unknown group", strings.Replace(aliceBody, `{"profile"`, `{"groupIds":["00gnone"],"profile"`, 1), 404, "E0000007", ""},
		{"Everyone by hand", strings.Replace(aliceBody, `{"profile"`, `{"groupIds":["`+org.EveryoneID()+`"],"profile"`, 1), 501, "E0000060", ""},
		{"unknown type", strings.Replace(aliceBody, `{"profile"`, `{"type":{"id":"otynone"},"profile"`, 1), 400, "E0000001", "type"},
	}
	before := len(org.UserIDs())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := tt.body
			if !strings.HasPrefix(tt.name, "login taken") {
				body = strings.Replace(body, `"login":"alice@`, `"login":"new@`, 1)
			}
			require.Contains(t, s.do("POST", "/api/v1/users", body).fails(tt.status, tt.code), tt.causes)
		})
	}
	t.Cleanup(func() { require.Len(t, org.UserIDs(), before) })
	s.do("POST", "/api/v1/users", aliceBody, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }).fails(415, "E0000021")
}

func TestUpdateUser(t *testing.T) {
	t.Parallel()
	org := generated(t, 20, 2)
	s := newSim(t, org)
	made := s.do("POST", "/api/v1/users", strings.Replace(aliceBody, `"login"`, `"title":"T","nickName":"Al","isRemote":true,"login"`, 1)).ok(200)
	path := "/api/v1/users/" + fmt.Sprint(made["id"])
	etag := s.get(path).Header.Get("ETag")

	s.clock.Advance(time.Minute)
	after := s.do("POST", path, `{"profile":{"title":"Director","nickName":null,"city":""}}`).ok(200)
	p := profileOf(t, after)
	require.Equal(t, "Director", p["title"])
	require.NotContains(t, p, "nickName", "null clears")
	require.Equal(t, "", p["city"], "an empty value stays")
	require.Equal(t, true, p["isRemote"], "what is not named stays")
	require.Equal(t, "2026-03-14T15:10:26.000Z", after["lastUpdated"])
	require.Equal(t, made["statusChanged"], after["statusChanged"])
	require.NotEqual(t, etag, s.get(path).Header.Get("ETag"))

	ifMatch := func(r *http.Request) { r.Header.Set("If-Match", etag) }
	s.do("POST", path, `{"profile":{"title":"X"}}`, ifMatch).ok(412)

	replaced := s.do("PUT", path, aliceBody).ok(200)
	require.Equal(t, map[string]any{"login": "alice@example.com", "email": "alice@example.com", "firstName": "Alice", "lastName": "Liddell", "mobilePhone": nil, "secondEmail": nil}, replaced["profile"])
	require.Contains(t, s.do("PUT", path, `{"profile":{"login":"alice@example.com"}}`).fails(400, "E0000001"), "firstName")

	s.do("POST", path, `{"profile":{"title":"T","nope":1}}`).fails(400, "E0000001")
	require.NotContains(t, profileOf(t, s.get(path).ok(200)), "title", "one unknown key fails the whole call")
	other := object(t, org.User(org.UserIDsByStatus(oktasim.Active)[0]))
	s.do("POST", path, `{"profile":{"login":"`+fmt.Sprint(profileOf(t, other)["login"])+`"}}`).fails(400, "E0000001")
	s.do("POST", path, `{"profile":{"login":"renamed@example.com"}}`).ok(200)
	s.get("/api/v1/users/alice@example.com").fails(404, "E0000007")
	s.get("/api/v1/users/renamed@example.com").ok(200)

	gone := org.UserIDsByStatus(oktasim.Deprovisioned)[0]
	s.do("POST", "/api/v1/users/"+gone, `{"profile":{"title":"T"}}`).fails(404, "E0000007")

	contractor := s.do("PUT", path, strings.Replace(aliceBody, `{"profile"`, `{"type":{"id":"`+secondType(s)+`"},"profile"`, 1)).ok(200)
	require.Equal(t, map[string]any{"id": secondType(s)}, contractor["type"])
	require.Contains(t, s.do("POST", path, `{"profile":{"isRemote":true}}`).fails(400, "E0000001"), "isRemote", "another type, another schema")
	first := s.get("/api/v1/meta/types/user").list()[0]["id"]
	s.do("POST", path, fmt.Sprintf(`{"type":{"id":%q}}`, first)).fails(400, "E0000001")
}

func secondType(s *sim) string {
	return fmt.Sprint(s.get("/api/v1/meta/types/user").list()[1]["id"])
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	type step struct {
		call   string
		status int
		code   string
		then   string
	}
	forbidden := func(call, then string) step { return step{call, 403, "E0000038", then} }
	tests := map[string][]step{
		oktasim.Active: {{"activate", 403, "E0000016", oktasim.Active}, forbidden("unsuspend", oktasim.Active),
			{"suspend", 200, "", oktasim.Suspended}, forbidden("suspend", oktasim.Suspended), {"unsuspend", 200, "", oktasim.Active},
			{"deactivate", 200, "", oktasim.Deprovisioned}, {"deactivate", 404, "E0000007", oktasim.Deprovisioned},
			forbidden("suspend", oktasim.Deprovisioned), {"activate", 200, "", oktasim.Provisioned}},
		oktasim.Staged:          {forbidden("suspend", oktasim.Staged), {"activate", 200, "", oktasim.Provisioned}, {"deactivate", 200, "", oktasim.Deprovisioned}},
		oktasim.Provisioned:     {forbidden("suspend", oktasim.Provisioned), {"activate", 403, "E0000016", oktasim.Provisioned}},
		oktasim.Suspended:       {{"deactivate", 200, "", oktasim.Deprovisioned}},
		oktasim.LockedOut:       {forbidden("unsuspend", oktasim.LockedOut), {"deactivate", 200, "", oktasim.Deprovisioned}},
		oktasim.PasswordExpired: {forbidden("suspend", oktasim.PasswordExpired)},
		oktasim.Recovery:        {forbidden("unsuspend", oktasim.Recovery)},
	}
	for from, steps := range tests {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			org := generated(t, 120, 3)
			s := newSim(t, org)
			id := org.UserIDsByStatus(from)[0]
			path, groups := "/api/v1/users/"+id, ids(s.get("/api/v1/users/"+id+"/groups").list())
			etag := s.get(path).Header.Get("ETag")
			for _, st := range steps {
				s.clock.Advance(time.Hour)
				before := s.get(path).ok(200)
				a := s.do("POST", path+"/lifecycle/"+st.call, "")
				after := s.get(path).ok(200)
				require.Equal(t, st.then, after["status"], st.call)
				if st.code != "" {
					a.fails(st.status, st.code)
					require.Equal(t, before, after)
					continue
				}
				require.Equal(t, map[string]any{}, a.ok(st.status))
				require.Equal(t, s.clock.Now().Truncate(time.Second).Format("2006-01-02T15:04:05.000Z"), after["lastUpdated"])
				require.Equal(t, after["lastUpdated"], after["statusChanged"])
			}
			require.Equal(t, groups, ids(s.get(path+"/groups").list()), "memberships stay")
			require.Equal(t, etag, s.get(path).Header.Get("ETag"), "the ETag follows the profile only")
		})
	}
	s := newSim(t, generated(t, 40, 1))
	token := s.do("POST", "/api/v1/users/"+s.org.UserIDsByStatus(oktasim.Staged)[0]+"/lifecycle/activate?sendEmail=false", "").ok(200)
	require.Contains(t, token, "activationUrl")
	s.do("POST", "/api/v1/users/00unone/lifecycle/suspend", "").fails(404, "E0000007")
}

func TestDeleteUserTakesTwoCalls(t *testing.T) {
	t.Parallel()
	org := generated(t, 40, 4)
	s := newSim(t, org)
	id := org.UserIDsByStatus(oktasim.Active)[0]
	path := "/api/v1/users/" + id
	stamps := ids2stamps(t, org)

	require.Nil(t, s.do("DELETE", path, "").ok(204))
	require.Equal(t, oktasim.Deprovisioned, s.get(path).ok(200)["status"])
	require.Contains(t, org.MemberIDs(org.EveryoneID()), id)
	require.NotContains(t, ids(s.walk("/api/v1/users")), id)
	require.Contains(t, ids(s.walk("/api/v1/groups/"+org.EveryoneID()+"/users")), id, "a deactivated member is listed")

	require.Nil(t, s.do("DELETE", path, "").ok(204))
	require.Equal(t, "Not found: Resource not found: "+id+" (User)", s.get(path).ok(404)["errorSummary"])
	s.do("DELETE", path, "").fails(404, "E0000007")
	require.NotContains(t, org.MemberIDs(org.EveryoneID()), id)
	require.Equal(t, stamps, ids2stamps(t, org), "no group's stamp tells of it")
}

// ids2stamps returns the groups with their stamps.
func ids2stamps(t *testing.T, org *oktasim.Org) map[string]any {
	t.Helper()
	out := map[string]any{}
	for _, id := range org.GroupIDs() {
		g := object(t, org.Group(id))
		out[id] = []any{g["lastUpdated"], g["lastMembershipUpdated"]}
	}
	return out
}

// userJSON is a user of an org file.
func userJSON(id, status, profile string) string {
	return fmt.Sprintf(`{"id":%q,"status":%q,"created":"2024-01-01T00:00:00.000Z","activated":null,"statusChanged":null,"lastLogin":null,`+
		`"lastUpdated":"2024-01-01T00:00:00.000Z","passwordChanged":null,"type":{"id":"oty1"},"profile":{%s},"credentials":{"provider":{"type":"OKTA","name":"OKTA"}}}`, id, status, profile)
}
