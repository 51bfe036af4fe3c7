package oktasim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exprOrg has users with values chosen for the expressions below.
const exprOrg = `{"users":[
 {"id":"00uaaaaaaaaaaaaaaaaa","status":"ACTIVE","created":"2024-01-01T00:00:00.000Z","activated":"2024-01-02T00:00:00.000Z","statusChanged":"2024-01-02T00:00:00.000Z","lastUpdated":"2024-05-05T10:00:00.000Z","type":{"id":"oty1"},
  "profile":{"login":"Isaac.Brock@example.com","email":"isaac@example.com","firstName":"Isaac","lastName":"Brock","department":"R\"D","mobilePhone":null,"secondEmail":null,"tags":["a","B"],"size":3,"ratio":0.5,"remote":true,"levels":[1,2]}},
 {"id":"00ubbbbbbbbbbbbbbbbb","status":"STAGED","created":"2024-02-01T00:00:00.000Z","activated":null,"statusChanged":null,"lastUpdated":"2024-06-05T10:00:00.000Z","type":{"id":"oty2"},
  "profile":{"login":"isáàc.bröck@example.com","email":"marks@example.com","firstName":"Isáàc","lastName":"Bröck","mobilePhone":"1","secondEmail":null,"tags":[],"size":10,"remote":false}},
 {"id":"00uccccccccccccccccc","status":"DEPROVISIONED","created":"2024-03-01T00:00:00.000Z","activated":null,"statusChanged":"2024-07-05T10:00:00.000Z","lastUpdated":"2024-07-05T10:00:00.000Z","type":{"id":"oty1"},
  "profile":{"login":"eve@example.com","email":"eve@example.com","firstName":"Eve","lastName":"Adams","mobilePhone":null,"secondEmail":null,"department":""}}],
"groups":[
 {"id":"00gaaaaaaaaaaaaaaaaa","type":"BUILT_IN","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-01-01T00:00:00.000Z","lastMembershipUpdated":"2024-09-01T00:00:00.000Z","objectClass":["okta:user_group"],"profile":{"name":"Everyone","description":"All"}},
 {"id":"00gbbbbbbbbbbbbbbbbb","type":"OKTA_GROUP","created":"2024-02-01T00:00:00.000Z","lastUpdated":"2024-08-01T00:00:00.000Z","lastMembershipUpdated":"2024-02-01T00:00:00.000Z","objectClass":["okta:user_group"],"profile":{"name":"West Coast users"}},
 {"id":"00gccccccccccccccccc","type":"APP_GROUP","source":{"id":"0oa1"},"created":"2024-03-01T00:00:00.000Z","lastUpdated":"2024-03-01T00:00:00.000Z","lastMembershipUpdated":"2024-03-01T00:00:00.000Z","objectClass":["okta:windows_security_principal"],"profile":{"name":"AD East","samAccountName":"east","dn":"CN=x"}}],
"members":{}}`

// TestExpressions evaluates expressions; want names the hits by the letter of
// their ids, "!" means refused with E0000031.
func TestExpressions(t *testing.T) {
	t.Parallel()
	s := newSim(t, loaded(t, exprOrg))
	tests := []struct{ list, expression, want string }{
		// filter of users: seven properties, eq, ranges on lastUpdated only, case-sensitive
		{"users?filter", `status eq "ACTIVE"`, "a"},
		{"users?filter", `status eq "active"`, ""},
		{"users?filter", `status EQ "ACTIVE" OR status eq "DEPROVISIONED"`, "ac"},
		{"users?filter", `id eq "00ubbbbbbbbbbbbbbbbb"`, "b"},
		{"users?filter", `profile.login eq "Isaac.Brock@example.com"`, "a"},
		{"users?filter", `profile.login eq "isaac.brock@example.com"`, ""},
		{"users?filter", `profile.firstName eq "Isaac" and profile.lastName eq "Brock" and profile.email eq "isaac@example.com"`, "a"},
		{"users?filter", `lastUpdated gt "2024-05-05T10:00:00.000Z"`, "bc"},
		{"users?filter", `lastUpdated ge "2024-05-05T10:00:00.000Z"`, "abc"},
		{"users?filter", `lastUpdated lt "2024-06-05T10:00:00.000Z"`, "a"},
		{"users?filter", `lastUpdated le "2024-06-05T10:00:00.000Z"`, "ab"},
		{"users?filter", `lastUpdated eq "2024-06-05T12:00:00.000+02:00"`, "b"},
		{"users?filter", `lastUpdated gt "2024-05-05T10:00:00.000Z" and (status eq "STAGED" or status eq "ACTIVE")`, "b"},
		{"users?filter", `status eq "ACTIVE" or status eq "STAGED" and lastUpdated gt "2024-06-06T00:00:00.000Z"`, "a"},
		{"users?filter", `profile.department eq "x"`, "!"},
		{"users?filter", `created gt "2024-05-05T10:00:00.000Z"`, "!"},
		{"users?filter", `status sw "A"`, "!"},
		{"users?filter", `status pr`, "!"},
		{"users?filter", `id gt "00u"`, "!"},
		{"users?filter", `profile.login gt "a"`, "!"},
		{"users?filter", `Status eq "ACTIVE"`, "!"},
		{"users?filter", `not (status eq "ACTIVE")`, "!"},
		{"users?filter", `lastUpdated gt "yesterday"`, "!"},
		{"users?filter", `lastUpdated gt 5`, "!"},

		// search of users
		{"users?search", `status pr`, "abc"},
		{"users?search", `STATUS pr`, "!"},
		{"users?search", `status PR`, "abc"},
		{"users?search", `profile.firstName eq "ISAAC"`, "a"},
		{"users?search", `profile.firstName eq "isáàc"`, "b"},
		{"users?search", `profile.login sw "isaac"`, "a"},
		{"users?search", `profile.lastName co "RÖ"`, "b"},
		{"users?search", `profile.email co "example"`, "abc"},
		{"users?search", `profile.department co "R"`, "!"},
		{"users?search", `profile.department eq "R\"D"`, "a"},
		{"users?search", `profile.department pr`, "a"},
		{"users?search", `profile.mobilePhone pr`, "b"},
		{"users?search", `profile.city pr`, ""},
		{"users?search", `profile.nonsense pr`, "!"},
		{"users?search", `profile.tags eq "b"`, "a"},
		{"users?search", `profile.tags sw "B"`, "a"},
		{"users?search", `profile.tags pr`, "a"},
		{"users?search", `profile.levels gt 1`, "a"},
		{"users?search", `profile.size eq 3`, "a"},
		{"users?search", `profile.size ge 3`, "ab"},
		{"users?search", `profile.size lt 3.5`, "a"},
		{"users?search", `profile.ratio eq 0.5`, "a"},
		{"users?search", `profile.size eq "3"`, "!"},
		{"users?search", `profile.remote eq true`, "a"},
		{"users?search", `profile.remote eq false`, "b"},
		{"users?search", `profile.remote gt true`, "!"},
		{"users?search", `type.id eq "oty2"`, "b"},
		{"users?search", `created gt "2024-01-15T00:00:00.000Z" and created lt "2024-02-15T00:00:00.000Z"`, "b"},
		{"users?search", `activated pr`, "a"},
		{"users?search", `statusChanged ge "2024-07-01T00:00:00.000Z"`, "c"},
		{"users?search", `(status lt "STAGED" or status gt "STAGED")`, "ac"},
		{"users?search", `id eq "00uaaaaaaaaaaaaaaaaa" or id eq "00uccccccccccccccccc"`, "ac"},
		{"users?search", `id eq "00uAAAAAAAAAAAAAAAAA"`, ""},
		{"users?search", `(profile.lastName eq "brock" or (status eq "STAGED")) and lastUpdated ge "2024-06-01T00:00:00.000Z"`, "b"},
		{"users?search", `  status   eq   "ACTIVE"  `, "a"},
		{"users?search", `id gt "00u"`, "!"},
		{"users?search", `status ne "STAGED"`, "!"},
		{"users?search", `profile.login ew "com"`, "!"},
		{"users?search", `not (status pr)`, "!"},
		{"users?search", `lastLogin gt "2024-01-01T00:00:00.000Z"`, "!"},
		{"users?search", `profile.tags[value eq "a"]`, "!"},
		{"users?search", `status eq`, "!"},
		{"users?search", `status eq "ACTIVE" trailing`, "!"},
		{"users?search", `(status pr`, "!"},
		{"users?search", `status eq "A" xor status pr`, "!"},
		{"users?search", `status = "ACTIVE"`, "!"},
		{"users?search", `status eq ACTIVE`, "!"},
		{"users?search", strings.Repeat(`status pr or `, 1000) + "status pr", "!"},

		// filter of groups
		{"groups?filter", `type eq "OKTA_GROUP"`, "b"},
		{"groups?filter", `id eq "00gccccccccccccccccc"`, "c"},
		{"groups?filter", `lastUpdated gt "2024-07-01T00:00:00.000Z" or lastMembershipUpdated gt "2024-07-01T00:00:00.000Z"`, "ab"},
		{"groups?filter", `type eq "OKTA_GROUP" and (lastUpdated lt "2024-01-01T00:00:00.000Z" or lastMembershipUpdated lt "2024-07-01T00:00:00.000Z")`, "b"},
		{"groups?filter", `(type eq "APP_GROUP") AND (lastUpdated gt "2024-01-01T00:00:00.000Z")`, "c"},
		{"groups?filter", `lastUpdated eq "2024-08-01T00:00:00.000Z"`, "b"},
		{"groups?filter", `lastUpdated ge "2024-08-01T00:00:00.000Z"`, "!"},
		{"groups?filter", `lastMembershipUpdated le "2024-08-01T00:00:00.000Z"`, "!"},
		{"groups?filter", `profile.name eq "Everyone"`, "!"},
		{"groups?filter", `type sw "OKTA"`, "!"},
		{"groups?filter", `created gt "2024-01-01T00:00:00.000Z"`, "!"},

		// search of groups
		{"groups?search", `profile.name sw "west"`, "b"},
		{"groups?search", `profile.name co "coast"`, "b"},
		{"groups?search", `profile.samAccountName eq "EAST"`, "c"},
		{"groups?search", `profile.dn co "x"`, "!"},
		{"groups?search", `source.id eq "0oa1"`, "c"},
		{"groups?search", `type eq "okta_group" or type eq "BUILT_IN"`, "ab"},
		{"groups?search", `lastMembershipUpdated ge "2024-03-01T00:00:00.000Z"`, "ac"},
		{"groups?search", `created lt "2024-02-15T00:00:00.000Z" and profile.description pr`, "a"},
		{"groups?search", `objectClass eq "okta:user_group"`, "!"},
	}
	for _, tt := range tests {
		name := tt.list + "=" + tt.expression[:min(60, len(tt.expression))]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, param, _ := strings.Cut(tt.list, "?")
			a := s.get("/api/v1/" + list + query(param, tt.expression))
			if tt.want == "!" {
				require.NotEmpty(t, a.fails(400, "E0000031"))
				return
			}
			var got strings.Builder
			for _, id := range ids(a.list()) {
				got.WriteString(id[3:4])
			}
			require.Equal(t, tt.want, got.String())
		})
	}
}

func TestSortedSearch(t *testing.T) {
	t.Parallel()
	org := generated(t, 70, 20)
	s := newSim(t, org)
	for _, tt := range []struct{ list, by, order string }{
		{"users", "profile.lastName", ""}, {"users", "profile.lastName", "desc"}, {"users", "created", "desc"},
		{"users", "status", "asc"}, {"users", "profile.deskNumber", "asc"}, {"users", "id", "desc"},
		{"groups", "profile.name", ""}, {"groups", "lastMembershipUpdated", "desc"},
	} {
		t.Run(tt.list+" "+tt.by+" "+tt.order, func(t *testing.T) {
			t.Parallel()
			pr := map[string]string{"users": "status pr", "groups": "type pr"}[tt.list]
			target := fmt.Sprintf("/api/v1/%s%s&sortBy=%s&sortOrder=%s", tt.list, query("search", pr), tt.by, tt.order)
			paged, whole := s.walk(target+"&limit=6"), s.walk(target)
			require.Equal(t, ids(whole), ids(paged))
			require.ElementsMatch(t, ids(s.walk("/api/v1/"+tt.list+query("search", pr))), ids(paged), "every row once")
			key := func(item map[string]any) any {
				v := item
				path := strings.Split(tt.by, ".")
				for _, name := range path[:len(path)-1] {
					v, _ = v[name].(map[string]any)
				}
				return v[path[len(path)-1]]
			}
			if tt.by == "created" || tt.by == "lastMembershipUpdated" {
				require.True(t, slices.IsSortedFunc(paged, func(a, b map[string]any) int {
					return strings.Compare(fmt.Sprint(key(b)), fmt.Sprint(key(a)))
				}))
			}
			if tt.by == "profile.deskNumber" {
				last := -1e9
				for _, item := range paged {
					if n, ok := key(item).(float64); ok {
						require.LessOrEqual(t, last, n)
						last = n
					}
				}
				require.Nil(t, key(paged[len(paged)-1]), "absent ones last")
			}
		})
	}
	base := "/api/v1/users" + query("search", "status pr")
	s.get(base+"&sortBy=nonsense").fails(400, "E0000031")
	s.get(base+"&sortBy=status&sortOrder=up").fails(400, "E0000001")
	require.Len(t, s.get(base+"&sortOrder=0").list(), 70, "ignored without sortBy")
	s.get(base+"&sortBy=status&after=garbage").fails(400, "E0000029")
	require.Equal(t, org.UserIDs(), ids(s.walk(base+"&limit=9")), "the cursor of a search is the bare id")
}
