package oktasim_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestSearchEndsAtItsCap(t *testing.T) {
	t.Parallel()
	org := generated(t, 60, 30)
	s := newSim(t, org, func(c *oktasim.Config) { c.SearchCap = 25 })
	for path, rows := range map[string]int{
		"/api/v1/users" + query("search", "status pr"):                             25,
		"/api/v1/users" + query("search", "status pr") + "&limit=10":               25,
		"/api/v1/users" + query("search", "status pr") + "&limit=5":                25,
		"/api/v1/users" + query("search", "status pr") + "&limit=7&sortBy=created": 25,
		"/api/v1/groups" + query("search", "type pr") + "&limit=9":                 25,
		"/api/v1/users" + query("filter", `lastUpdated gt "2000-01-01T00:00:00Z"`): 60,
		"/api/v1/users":  60 - len(org.UserIDsByStatus(oktasim.Deprovisioned)),
		"/api/v1/groups": 30,
		"/api/v1/users" + query("search", `status eq "DEPROVISIONED"`) + "&limit=1": len(org.UserIDsByStatus(oktasim.Deprovisioned)),
	} {
		require.Len(t, s.walk(path), rows, path)
	}
	byID := s.walk("/api/v1/users" + query("search", "status pr") + "&limit=7")
	require.Equal(t, org.UserIDs()[:25], ids(byID))
	require.Equal(t, 50_000, oktasim.DefaultSearchCap)
}

// TestSearchesOfAnImporter are the expressions that a delta import and its
// look-ups send.
func TestSearchesOfAnImporter(t *testing.T) {
	t.Parallel()
	org := generated(t, 150, 8)
	s := newSim(t, org)
	all := org.UserIDs()
	anyOf := func(ids []string) string {
		parts := make([]string, len(ids))
		for i, id := range ids {
			parts[i] = `id eq "` + id + `"`
		}
		return strings.Join(parts, " or ")
	}
	search := func(expression string) []string { return ids(s.walk("/api/v1/users" + query("search", expression))) }
	require.Equal(t, all[:100], search(anyOf(all[:100])))
	require.Equal(t, all[5:6], search(`(status pr) and id eq "`+all[5]+`"`))
	require.Equal(t, all[5:7], search(`(status pr or profile.login pr) and (`+anyOf(all[5:7])+`)`))
	require.Empty(t, search(`(profile.department eq "None\"of these \\ ") and id eq "`+all[5]+`"`))

	u := org.Truth().Users[all[70]]
	require.Contains(t, search(`(profile.login eq "`+fmt.Sprint(u.Profile["login"])+`") and lastUpdated ge "`+wire(u.LastUpdated)+`"`), all[70])
	require.NotContains(t, search(`(status pr) and lastUpdated gt "`+wire(u.LastUpdated)+`"`), all[70])
	created := func(i int) string { return fmt.Sprint(object(t, org.User(all[i]))["created"]) }
	require.Equal(t, all[20:40], search(`created ge "`+created(20)+`" and created lt "`+created(40)+`"`))

	groups := org.GroupIDs()
	filter := query("filter", `id eq "`+groups[1]+`" or id eq "`+groups[3]+`"`)
	require.Equal(t, []string{groups[1], groups[3]}, ids(s.walk("/api/v1/groups"+filter)))
	// Injection: the quote ends in the value, not in the expression.
	require.Empty(t, search(`profile.title eq "x\" or status pr or profile.title eq \"y"`))
	require.Contains(t, s.get("/api/v1/users"+query("search", `profile.title eq "x" or status ne "STAGED"`)).fails(400, "E0000031"), "'ne'")
	require.Equal(t, "Invalid search criteria.", s.get("/api/v1/users" + query("search", "x")).ok(400)["errorSummary"])
	require.Equal(t, ids(s.walk("/api/v1/users")), ids(s.walk("/api/v1/users?sortBy=created&sortOrder=desc")), "the plain list ignores the order")
	// A search that stands unescaped in the next link would lose its end.
	next := s.get("/api/v1/users" + query("search", `status pr and profile.email co "@"`) + "&limit=2").link("next")
	parsed, err := url.Parse(next)
	require.NoError(t, err)
	require.Equal(t, `status pr and profile.email co "@"`, parsed.Query().Get("search"))
}

func TestTouchMembership(t *testing.T) {
	t.Parallel()
	org := generated(t, 5, 12)
	s := newSim(t, org)
	s.clock.Advance(time.Hour)
	before := org.Truth()
	require.NoError(t, org.TouchMembership(org.GroupIDs()...))
	after := org.Truth()
	require.Equal(t, before.Pairs, after.Pairs)
	for id, g := range after.Groups {
		require.Equal(t, testNow.Add(time.Hour).Truncate(time.Second), g.LastMembershipUpdated)
		require.Equal(t, before.Groups[id].LastUpdated, g.LastUpdated)
	}
	var e *oktasim.Error
	s.clock.Advance(time.Hour)
	require.ErrorAs(t, org.TouchMembership(org.GroupIDs()[0], "00gnone"), &e)
	require.Equal(t, "E0000007", e.Code)
	require.Equal(t, after, org.Truth(), "all or nothing")
}

func TestSetMembers(t *testing.T) {
	t.Parallel()
	org := generated(t, 6, 6)
	s := newSim(t, org)
	users, group := org.UserIDs(), org.GroupIDsByType(oktasim.AppGroup)[0]
	require.NoError(t, org.SetMembers(group, users[4], users[1]))
	require.Equal(t, []string{users[1], users[4]}, org.MemberIDs(group))
	stamp := org.Truth().Groups[group].LastMembershipUpdated
	require.Equal(t, testNow.Truncate(time.Second), stamp)
	s.clock.Advance(time.Hour)
	require.NoError(t, org.SetMembers(group, users[1], users[4]))
	require.Equal(t, stamp, org.Truth().Groups[group].LastMembershipUpdated, "without a difference nothing moves")
	require.NoError(t, org.SetMembers(group))
	require.Empty(t, org.MemberIDs(group))

	for _, err := range []error{org.SetMembers("00gnone"), org.SetMembers(group, "00unone"), org.SetMembers(org.EveryoneID(), users[0])} {
		var e *oktasim.Error
		require.True(t, errors.As(err, &e), "%v", err)
	}
	require.Empty(t, org.MemberIDs(group))
}

func TestRemoveAttribute(t *testing.T) {
	t.Parallel()
	org := generated(t, 60, 1)
	s := newSim(t, org)
	before := org.Truth()
	having := func(name string) (n int) {
		for _, u := range org.Truth().Users {
			if u.Profile[name] != nil {
				n++
			}
		}
		return n
	}
	require.Positive(t, having("badgeNumber"))
	require.NoError(t, org.RemoveAttribute("badgeNumber"))
	require.NoError(t, org.RemoveAttribute("department"))
	require.NoError(t, org.RemoveAttribute("mobilePhone"))
	for _, name := range []string{"badgeNumber", "department", "mobilePhone"} {
		require.Zero(t, having(name))
	}
	for id, u := range org.Truth().Users {
		require.Equal(t, before.Users[id].LastUpdated, u.LastUpdated, "nobody announces it")
		require.Equal(t, before.Users[id].Profile["title"], u.Profile["title"])
		require.Contains(t, u.Profile, "mobilePhone", "shown as null")
		require.NotContains(t, u.Profile, "department")
	}
	s.get("/api/v1/users"+query("search", "profile.badgeNumber pr")).fails(400, "E0000031")
	s.get("/api/v1/users" + query("search", "profile.department pr")).list()
	schema := s.get("/api/v1/meta/schemas/user/default").ok(200)
	require.Equal(t, wire(testNow.Truncate(time.Second)), schema["lastUpdated"])
	require.NotContains(t, fmt.Sprint(schema["definitions"]), "badgeNumber")

	other := generated(t, 60, 1)
	require.NoError(t, other.RemoveAttribute("badgeNumber"), "another org has its own schema")
	for _, name := range []string{"badgeNumber", "nonsense", "login"} {
		require.Error(t, other.RemoveAttribute(name))
	}
}

func TestTruth(t *testing.T) {
	t.Parallel()
	org := generated(t, 20, 5)
	newSim(t, org)
	org.SetLag(oktasim.Lag{Search: time.Hour, Members: time.Hour, MembershipStamp: time.Hour, GroupStamp: time.Hour, Everyone: time.Hour})
	id, err := org.CreateUser(map[string]any{"login": "truth@example.com", "email": "truth@example.com", "firstName": "T", "lastName": "T"}, true)
	require.NoError(t, err)
	truth := org.Truth()
	require.Len(t, truth.Users, 21)
	require.Len(t, truth.Groups, 5)
	require.Len(t, truth.Pairs, org.Memberships())
	u := truth.Users[id]
	require.Equal(t, oktasim.Provisioned, u.Status)
	require.Equal(t, testNow.Truncate(time.Second), u.LastUpdated)
	require.Equal(t, "truth@example.com", u.Profile["login"])
	require.Contains(t, truth.Pairs, oktasim.Pair{Group: org.EveryoneID(), User: id})
	everyone := truth.Groups[org.EveryoneID()]
	require.Equal(t, oktasim.BuiltIn, everyone.Type)
	require.Equal(t, "Everyone", everyone.Profile["name"])
	require.Equal(t, testNow.Truncate(time.Second), everyone.LastMembershipUpdated)
	u.Profile["login"] = "changed"
	require.Equal(t, "truth@example.com", org.Truth().Users[id].Profile["login"], "a copy")
	require.Equal(t, id, org.UserIDByLogin("TRUTH@example.com"))
	require.Equal(t, org.EveryoneID(), org.GroupIDByName("Everyone"))
	require.Empty(t, org.UserIDByLogin("nobody@example.com")+org.GroupIDByName("nothing"))
}
