package oktasim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestGenerateIsDeterministic(t *testing.T) {
	t.Parallel()
	spec := oktasim.Spec{Users: 300, Groups: 40, Memberships: 2000, Seed: 3, Now: testNow}
	first, err := oktasim.Generate(spec)
	require.NoError(t, err)
	second, err := oktasim.Generate(spec)
	require.NoError(t, err)
	require.Equal(t, first.Snapshot(), second.Snapshot())
	spec.Seed++
	third, err := oktasim.Generate(spec)
	require.NoError(t, err)
	require.NotEqual(t, first.Snapshot().Users, third.Snapshot().Users)
}

func TestGeneratedUsers(t *testing.T) {
	t.Parallel()
	org := generated(t, 3000, 60)
	snapshot := org.Snapshot()
	require.Len(t, snapshot.Users, 3000)
	require.InDelta(t, 150, len(org.UserIDsByStatus(oktasim.Deprovisioned)), 3, "about 5 %%")
	for _, status := range oktasim.Statuses {
		require.NotEmpty(t, org.UserIDsByStatus(status), status)
	}
	require.True(t, slices.IsSorted(org.UserIDs()))

	youngest := testNow.Add(-24 * time.Hour)
	logins, emails, attributes, scripts, years := map[string]bool{}, map[string]bool{}, map[string]int{}, map[string]bool{}, map[int]bool{}
	lastCreated := ""
	for _, raw := range snapshot.Users {
		u := object(t, raw)
		require.Regexp(t, `^00u[0-9A-Za-z]{17}$`, u["id"])
		for _, name := range []string{"created", "activated", "statusChanged", "lastLogin", "lastUpdated", "passwordChanged"} {
			text, ok := u[name].(string)
			if !ok {
				continue
			}
			require.True(t, strings.HasSuffix(text, ".000Z"), text)
			at, err := time.Parse(time.RFC3339, text)
			require.NoError(t, err)
			require.True(t, at.Before(youngest), "%s %s is younger than a day", name, text)
			require.GreaterOrEqual(t, text, u["created"])
			years[at.Year()] = true
		}
		require.GreaterOrEqual(t, u["created"], lastCreated, "ids follow creation")
		lastCreated = u["created"].(string)

		p := profileOf(t, u)
		login, email := p["login"].(string), p["email"].(string)
		for _, s := range []string{login, email} {
			require.NotContains(t, strings.ToLower(s), " ")
			require.False(t, strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII }), s)
		}
		require.False(t, logins[strings.ToLower(login)], "login %s twice", login)
		require.False(t, emails[email], "e-mail %s twice", email)
		logins[strings.ToLower(login)], emails[email] = true, true
		for name, value := range p {
			if value != nil {
				attributes[name]++
			}
		}
		for _, r := range p["firstName"].(string) + p["lastName"].(string) {
			for name, table := range unicode.Scripts {
				if unicode.Is(table, r) {
					scripts[name] = true
				}
			}
		}
	}
	for _, name := range []string{"Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Han", "Hiragana", "Katakana", "Hangul", "Devanagari", "Thai", "Inherited" /* combining marks */} {
		require.True(t, scripts[name], "%s in %v", name, scripts)
	}
	require.GreaterOrEqual(t, len(years), 7, "stamps are spread over years")

	// 31 base attributes, ten custom ones, and only the four required are everywhere.
	require.Len(t, attributes, 31+10)
	for name, n := range attributes {
		required := slices.Contains([]string{"login", "email", "firstName", "lastName"}, name)
		require.Equal(t, required, n == 3000, "%s: %d", name, n)
	}
}

func TestGeneratedSchemaKnowsTheCustomAttributes(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 200, 1))
	properties := s.get("/api/v1/meta/schemas/user/default").ok(200)["definitions"].(map[string]any)["custom"].(map[string]any)["properties"].(map[string]any)
	types := map[string]bool{}
	for _, p := range properties {
		p := p.(map[string]any)
		kind := fmt.Sprint(p["type"])
		if items, ok := p["items"].(map[string]any); ok {
			kind += " of " + fmt.Sprint(items["type"])
		}
		types[kind] = true
	}
	require.Equal(t, map[string]bool{"string": true, "boolean": true, "integer": true, "number": true, "array of string": true, "array of integer": true, "array of number": true}, types)
}

func TestGeneratedGroups(t *testing.T) {
	t.Parallel()
	org := generated(t, 1000, 100)
	require.Len(t, org.GroupIDs(), 100)
	require.GreaterOrEqual(t, len(org.GroupIDsByType(oktasim.OktaGroup)), 70)
	require.NotEmpty(t, org.GroupIDsByType(oktasim.AppGroup))
	require.Equal(t, []string{org.EveryoneID()}, org.GroupIDsByType(oktasim.BuiltIn))
	require.Equal(t, org.UserIDs(), org.MemberIDs(org.EveryoneID()))

	large, small, empty := 0, 0, 0
	for _, id := range org.GroupIDs() {
		switch n := len(org.MemberIDs(id)); {
		case n == 0:
			empty++
		case n <= 20:
			small++
		case n >= 50 && id != org.EveryoneID():
			large++
		}
	}
	require.Positive(t, empty)
	require.Positive(t, large)
	require.Greater(t, small, 5*large, "sizes are skewed")

	for _, id := range org.GroupIDsByType(oktasim.AppGroup) {
		g := object(t, org.Group(id))
		require.Regexp(t, `^0oa[0-9A-Za-z]{17}$`, g["source"].(map[string]any)["id"])
		for _, name := range []string{"name", "samAccountName", "objectSid", "dn", "groupType", "groupScope", "windowsDomainQualifiedName", "externalId"} {
			require.NotEmpty(t, profileOf(t, g)[name], name)
		}
	}
	names := map[any]bool{}
	for _, raw := range org.Snapshot().Groups {
		g := object(t, raw)
		require.False(t, names[profileOf(t, g)["name"]])
		names[profileOf(t, g)["name"]] = true
		for _, stamp := range []string{"created", "lastUpdated", "lastMembershipUpdated"} {
			require.Less(t, g[stamp], testNow.Add(-24*time.Hour).Format("2006-01-02T15:04:05.000Z"))
		}
	}
}

func TestGenerateMemberships(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ users, groups, memberships int }{
		{100, 10, 100}, {100, 10, 101}, {100, 10, 350}, {100, 10, 999}, {100, 10, 1000}, {100, 1, 100},
		{1, 5, 3}, {50, 30, 1400}, {1000, 100, 12345}, {7, 13, 91},
	} {
		org, err := oktasim.Generate(oktasim.Spec{Users: tt.users, Groups: tt.groups, Memberships: tt.memberships, Seed: 5, Now: testNow})
		require.NoError(t, err)
		require.Equal(t, tt.memberships, org.Memberships(), "%+v", tt)
		for _, id := range org.GroupIDs() {
			members := org.MemberIDs(id)
			require.True(t, slices.IsSorted(members))
			require.Len(t, slices.Compact(members), len(members))
		}
	}
	for _, tt := range []oktasim.Spec{
		{Users: 100, Groups: 10, Memberships: 99}, {Users: 100, Groups: 10, Memberships: 1001}, {Users: 10, Memberships: 5},
		{Users: -1}, {Groups: -1}, {Users: 1, Groups: 1, Memberships: -1},
	} {
		_, err := oktasim.Generate(tt)
		require.Error(t, err, "%+v", tt)
	}
}

// TestGenerateMembershipsByClass has the org that imports are measured on: large,
// middle and small groups, none empty, the large ones not side by side.
func TestGenerateMembershipsByClass(t *testing.T) {
	t.Parallel()
	org, err := oktasim.Generate(oktasim.Spec{Users: 10_000, Groups: 500, Memberships: 89_960, Seed: 1, Now: testNow})
	require.NoError(t, err)
	bySize := map[int]int{}
	var large []int
	for i, id := range org.GroupIDs() {
		n := len(org.MemberIDs(id))
		bySize[n]++
		if n == 2000 {
			large = append(large, i)
		}
	}
	require.Equal(t, map[int]int{10_000: 1, 2000: 20, 300: 80, 40: 399}, bySize)
	require.Less(t, large[0], 125)
	require.Greater(t, large[len(large)-1], 375, "large groups are found everywhere: %v", large)

	org, err = oktasim.Generate(oktasim.Spec{Users: 100, Groups: 50, Memberships: 900, Seed: 1, Now: testNow})
	require.NoError(t, err)
	full := 0
	for _, id := range org.GroupIDs() {
		n := len(org.MemberIDs(id))
		require.Positive(t, n)
		if n == 100 {
			full++
		}
	}
	require.Equal(t, 1+2, full, "a large group cannot have more members than there are users")
}

func TestGenerateSmallOrgs(t *testing.T) {
	t.Parallel()
	for users := range 25 {
		for groups := range 8 {
			org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Seed: uint64(users)})
			require.NoError(t, err)
			require.Len(t, org.UserIDs(), users)
			require.Len(t, org.GroupIDs(), groups)
			if groups > 3 {
				require.GreaterOrEqual(t, 10*len(org.GroupIDsByType(oktasim.OktaGroup)), 6*groups)
			}
			data, err := json.Marshal(org.Snapshot())
			require.NoError(t, err)
			_, err = oktasim.Load(strings.NewReader(string(data)))
			require.NoError(t, err)
		}
	}
}

func TestLoadRefusesBadFiles(t *testing.T) {
	t.Parallel()
	group := `{"id":"00g1","type":"OKTA_GROUP","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-01-01T00:00:00.000Z","lastMembershipUpdated":"2024-01-01T00:00:00.000Z","profile":{"name":"G"}}`
	user := userJSON("00u1", "ACTIVE", `"login":"a@example.com"`)
	for _, tt := range []struct{ name, file, message string }{
		{"empty", ``, "not the JSON object"},
		{"a list", `[]`, "not the JSON object"},
		{"cut off", `{"users":[`, "not the JSON object"},
		{"no keys", `{}`, `needs the keys "users" and "groups"`},
		{"no groups", `{"users":[]}`, `needs the keys`},
		{"user not an object", `{"users":[5],"groups":[]}`, "users[0]: not a JSON object"},
		{"no id", `{"users":[{"status":"ACTIVE"}],"groups":[]}`, `users[0]: user "": "id" must be a non-empty string`},
		{"id a number", `{"users":[{"id":5}],"groups":[]}`, `"id" must be a non-empty string, it is 5`},
		{"id with a slash", `{"users":[` + strings.Replace(user, "00u1", "a/b", 1) + `],"groups":[]}`, `cannot stand in a URL`},
		{"unknown status", `{"users":[` + strings.Replace(user, "ACTIVE", "AWAKE", 1) + `],"groups":[]}`, `status "AWAKE" is none of ACTIVE`},
		{"bad stamp", `{"users":[` + strings.Replace(user, "2024-01-01T00:00:00.000Z", "yesterday", 1) + `],"groups":[]}`, `"created" is not a time such as`},
		{"stamp absent", `{"users":[` + strings.Replace(user, `"lastUpdated"`, `"other"`, 1) + `],"groups":[]}`, `"lastUpdated" must be a non-empty string, it is absent`},
		{"profile a list", `{"users":[` + strings.Replace(user, `{"login":"a@example.com"}`, `[]`, 1) + `],"groups":[]}`, `"profile" must be an object`},
		{"attribute an object", `{"users":[` + strings.Replace(user, `"a@example.com"`, `"a@example.com","x":{"y":1}`, 1) + `],"groups":[]}`, `profile attribute "x" has a value that no Okta attribute can have`},
		{"user twice", `{"users":[` + user + "," + user + `],"groups":[]}`, `users[1]: user "00u1" stands in the file twice`},
		{"group twice", `{"users":[],"groups":[` + group + "," + group + `]}`, `group "00g1" stands in the file twice`},
		{"group type", `{"users":[],"groups":[` + strings.Replace(group, "OKTA_GROUP", "TEAM", 1) + `]}`, `type "TEAM" is none of`},
		{"group class", `{"users":[],"groups":[` + strings.Replace(group, `"profile"`, `"objectClass":"x","profile"`, 1) + `]}`, `"objectClass" must be a list of strings`},
		{"members of no group", `{"users":[],"groups":[],"members":{"00g9":[]}}`, `no group "00g9"`},
		{"no such member", `{"users":[],"groups":[` + group + `],"members":{"00g1":["00u9"]}}`, `members of group "00g1": no user "00u9"`},
		{"member twice", `{"users":[` + user + `],"groups":[` + group + `],"members":{"00g1":["00u1","00u1"]}}`, `user "00u1" stands there twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := oktasim.Load(strings.NewReader(tt.file))
			require.ErrorContains(t, err, tt.message)
		})
	}
}

func TestLoadKeepsWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	org := loaded(t, `{"source":"somewhere","users":[{"id":"u-1","status":"ACTIVE","created":"2024-01-01T00:00:00.123Z","lastUpdated":"2024-01-01T00:00:00Z","_embedded":{"a":[1]},"newField":"<&>"}],"groups":[],"members":{}}`)
	s := newSim(t, org)
	a := s.get("/api/v1/users/u-1")
	u := a.ok(200)
	require.Equal(t, "2024-01-01T00:00:00.123Z", u["created"], "a file's stamp is kept")
	require.Equal(t, "<&>", u["newField"])
	require.Contains(t, string(a.body), `"newField":"<&>"`, "no HTML escapes")
	require.Equal(t, map[string]any{"a": []any{1.0}}, u["_embedded"])
	require.NotContains(t, u, "profile", "a user without a profile stays without")
	require.NotContains(t, u, "credentials")
	require.Len(t, s.get("/api/v1/users?q=x").list(), 0)
	require.Len(t, s.get("/api/v1/users"+query("search", "profile.login pr")).list(), 0)
	s.do("POST", "/api/v1/users/u-1", `{"profile":{"title":"T"}}`).fails(400, "E0000001")

	id, err := org.CreateUser(map[string]any{"login": "new@example.com", "email": "new@example.com", "firstName": "N", "lastName": "N"}, false)
	require.NoError(t, err)
	require.Regexp(t, `^00u[0-9A-Za-z]{17}$`, id)
}
