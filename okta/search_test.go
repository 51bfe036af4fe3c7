package okta_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// searchOrg has users with awkward values; the last letter of an id names the user.
const searchOrg = `{"users":[
 {"id":"00uaaaaaaaaaaaaaaaaa","status":"ACTIVE","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-05-05T10:00:00.000Z",
  "profile":{"login":"a@example.com","email":"a@example.com","firstName":"A","lastName":"O'Neil & Söhne + 50%","userType":"Employee","department":"Engineering","city":"New \"York\""}},
 {"id":"00ubbbbbbbbbbbbbbbbb","status":"SUSPENDED","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-05-05T10:00:01.000Z",
  "profile":{"login":"b@example.com","email":"b@example.com","firstName":"B","lastName":"李","userType":"Partner","department":"R&D (Graz)","city":"C:\\dir"}},
 {"id":"00uccccccccccccccccc","status":"DEPROVISIONED","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-05-05T10:00:02.000Z",
  "profile":{"login":"c@example.com","email":"c@example.com","firstName":"C","lastName":"Adams","userType":"Employee","department":"Sales","city":"x\") or (status pr"}}],
"groups":[
 {"id":"00gaaaaaaaaaaaaaaaaa","type":"OKTA_GROUP","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-05-05T10:00:00.000Z","lastMembershipUpdated":"2024-01-01T00:00:00.000Z","objectClass":["okta:user_group"],"profile":{"name":"A"}},
 {"id":"00gbbbbbbbbbbbbbbbbb","type":"OKTA_GROUP","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-01-01T00:00:00.000Z","lastMembershipUpdated":"2024-05-05T10:00:01.000Z","objectClass":["okta:user_group"],"profile":{"name":"B"}},
 {"id":"00gccccccccccccccccc","type":"OKTA_GROUP","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-05-05T09:59:59.000Z","lastMembershipUpdated":"2024-05-05T09:59:58.000Z","objectClass":["okta:user_group"],"profile":{"name":"C"}}],
"members":{}}`

// searching returns a client of a simulator of searchOrg.
func searching(t *testing.T) *okta.Client {
	t.Helper()
	org, err := oktasim.Load(strings.NewReader(searchOrg))
	require.NoError(t, err)
	return clientOf(t, oktasim.New(oktasim.Config{Org: org}))
}

func clientOf(t *testing.T, h http.Handler) *okta.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client, err := okta.New(okta.Options{BaseURL: server.URL, Credentials: okta.APIToken(oktasim.DefaultToken)})
	require.NoError(t, err)
	return client
}

// found lists by a search and returns the last letters of the ids.
func found(t *testing.T, c *okta.Client, o okta.ListUsers) string {
	t.Helper()
	users, _, err := c.ListUsers(t.Context(), o, "")
	require.NoError(t, err, o.Search)
	var letters []string
	for _, u := range users {
		letters = append(letters, u.ID[len(u.ID)-1:])
	}
	if o.SortBy == "" {
		slices.Sort(letters)
	}
	return strings.Join(letters, "")
}

var allIDs = []string{"00uaaaaaaaaaaaaaaaaa", "00ubbbbbbbbbbbbbbbbb", "00uccccccccccccccccc"}

// Filters that a definition accepts mean the same alone, and narrowed to ids or to
// changes.
func TestUserSearchFilters(t *testing.T) {
	t.Parallel()
	client := searching(t)
	since := time.Date(2024, 5, 5, 10, 0, 1, 0, time.UTC)
	for filter, want := range map[string]string{
		`status eq "ACTIVE"`:                  "a", // the runbook's three
		`profile.userType eq "Employee"`:      "ac",
		`profile.department eq "Engineering"`: "a",

		`status eq "ACTIVE" or status eq "SUSPENDED"`:                                "ab",
		`(status eq "ACTIVE") or (status eq "SUSPENDED")`:                            "ab",
		`(profile.userType eq "Employee" and status eq "ACTIVE") or status sw "SUS"`: "ab",
		` status  pr `:                               "abc",
		`profile.lastName eq "李"`:                    "b",
		`profile.department eq "R&D (Graz)"`:         "b",
		`profile.lastName sw "O'Neil & Söhne + 5"`:   "a",
		`profile.lastName eq "O'Neil & Söhne + 50%"`: "a",
		`profile.city eq "New \"York\""`:             "a",
		`profile.city eq "C:\\dir"`:                  "b",
		`profile.city eq "x\") or (status pr"`:       "c",
	} {
		d := connector.Template("contoso", "contoso.okta.com", "secret://okta/contoso/apitoken")
		d.Config.UserSearchFilter = &filter
		require.NoError(t, d.Validate(), filter)

		require.Equal(t, want, found(t, client, okta.ListUsers{Search: filter}), filter)
		require.Equal(t, want, found(t, client, okta.ListUsers{Search: okta.And(filter, okta.IDs(allIDs...))}), filter)
		require.Equal(t, strings.Trim(want, "bc"), found(t, client, okta.ListUsers{Search: okta.And(filter, okta.IDs(allIDs[0]))}), filter)
		require.Equal(t, strings.Trim(want, "a"), found(t, client, okta.ListUsers{Search: okta.And(filter, okta.SearchSince(since))}), filter)
	}
}

// A filter that would break out of And's parentheses is refused by the definition,
// or by Okta: never does it find one who does not match.
func TestUserSearchFilterInjection(t *testing.T) {
	t.Parallel()
	client := searching(t)
	for _, c := range []struct {
		filter  string
		refused string // by the definition; "": by Okta
	}{
		{`status eq "ACTIVE") or (status eq "DEPROVISIONED"`, "closes a parenthesis"},
		{`status eq "ACTIVE")`, "closes a parenthesis"},
		{`(status eq "ACTIVE"`, "parenthesis that is not closed"},
		{`status eq "ACTIVE`, "quote that is not closed"},
		{`status eq ACTIVE"`, "quote that is not closed"},
		{`status eq "ACTIVE\"`, "quote that is not closed"},
		{`status eq "ACTIVE" \") or (status eq "x"`, "backslash outside of quotes"},
		{`status eq \"ACTIVE\"`, "backslash outside of quotes"},
		{"status eq \"ACTIVE\"\n", "line break"},
		{"status eq \"ACTIVE\"\x00", "control character"},
		{"status eq \"ACTIVE\"\u0085", "control character"},
		{"  ", "is empty"},
		{`status eq “ACTIVE”`, ""},
		{`status eq 'ACTIVE'`, ""},
		{`status eq "ACTIVE" or`, ""},
		{`status eq "ACTIVE" status eq "SUSPENDED"`, ""},
		{`status eq "ACTIVE" --`, ""},
		{`status ne "ACTIVE"`, ""},
		{`not (status eq "ACTIVE")`, ""},
		{`statsu eq "ACTIVE"`, ""},
		{`profile.city eq "\x"`, ""},
		{`status eq "ACTIVE"&limit=1`, ""},
		{"()", ""},
	} {
		d := connector.Template("contoso", "contoso.okta.com", "secret://okta/contoso/apitoken")
		d.Config.UserSearchFilter = &c.filter
		err := d.Validate()
		if c.refused != "" {
			require.ErrorContains(t, err, "ConfigJson.UserSearchFilter: ", "%q", c.filter)
			require.ErrorContains(t, err, c.refused, "%q", c.filter)
			continue
		}
		require.NoError(t, err, "%q", c.filter)
		for _, search := range []string{c.filter, okta.And(c.filter, okta.IDs(allIDs[2]))} {
			_, _, err = client.ListUsers(t.Context(), okta.ListUsers{Search: search}, "")
			var e *okta.Error
			require.ErrorAs(t, err, &e, "%q", search)
			require.Equal(t, okta.Permanent, e.Kind, "%v", err)
			require.ErrorContains(t, err, "400 Bad Request: E0000031 Invalid search criteria. (")
			require.ErrorContains(t, err, "correct UserSearchFilter in the connector's definition")
		}
	}
}

func TestQuote(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"": `""`, "a b": `"a b"`, `a"b\c`: `"a\"b\\c"`, "R&D <x>": `"R&D <x>"`, "李": `"李"`, "a\nb\x00": `"a\nb\u0000"`, "\xff": `"�"`,
	} {
		got := okta.Quote(value)
		if want == `"�"` { // what is no text cannot match
			require.Contains(t, []string{want, `"\ufffd"`}, got)
			continue
		}
		require.Equal(t, want, got)
	}
	client := searching(t)
	for _, city := range []string{`New "York"`, `C:\dir`, `x") or (status pr`} {
		require.Len(t, found(t, client, okta.ListUsers{Search: "profile.city eq " + okta.Quote(city)}), 1, city)
	}
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 5, 12, 0, 1, 999_999_999, time.FixedZone("", 2*60*60))
	require.Equal(t, `lastUpdated ge "2024-05-05T10:00:01.999Z"`, okta.SearchSince(at))
	require.Equal(t, `lastUpdated gt "2024-05-05T10:00:00.000Z" or lastMembershipUpdated gt "2024-05-05T10:00:00.000Z"`, okta.GroupsSince(at))
	require.Equal(t, `id eq "a" or id eq "b\""`, okta.IDs("a", `b"`))
	require.Equal(t, `(x or y) and (id eq "a" or id eq "b")`, okta.And("x or y", okta.IDs("a", "b")))
	require.Equal(t, `id eq "a"`, okta.And("", okta.IDs("a")))
}

func TestSearchAgainstTheSimulator(t *testing.T) {
	t.Parallel()
	client := searching(t)
	second := time.Date(2024, 5, 5, 10, 0, 1, 0, time.UTC)
	require.Equal(t, "bc", found(t, client, okta.ListUsers{Search: okta.SearchSince(second)}), "the second itself counts")
	require.Equal(t, "ac", found(t, client, okta.ListUsers{Search: okta.IDs(allIDs[0], allIDs[2], "00unobody")}))
	require.Empty(t, found(t, client, okta.ListUsers{Search: okta.IDs()}), "no ids, nobody")
	require.Equal(t, "cba", found(t, client, okta.ListUsers{Search: "status pr", SortBy: "lastUpdated", SortOrder: "desc"}))
	require.Equal(t, "abc", found(t, client, okta.ListUsers{Search: "status pr", SortBy: "lastUpdated", SortOrder: "asc"}))

	for at, want := range map[time.Time]string{
		second.Add(-time.Second):              "ab", // 10:00:00, the second of A's stamp
		second.Add(-time.Millisecond):         "ab",
		second:                                "b",
		second.Add(999 * time.Millisecond):    "b",
		second.Add(time.Second):               "",
		second.Add(-2 * time.Second):          "abc",
		second.In(time.FixedZone("", 5*3600)): "b",
	} {
		groups, _, err := client.ListGroups(t.Context(), okta.ListGroups{Filter: okta.GroupsSince(at)}, "")
		require.NoError(t, err)
		var got string
		for _, g := range groups {
			got += strings.ToLower(g.Profile["name"].(string))
		}
		require.Equal(t, want, got, at)
	}
}

// A full batch beside a filter stays below the request line that servers take, and
// reaches Okta exactly as it was built.
func TestLookUpBatchOnTheWire(t *testing.T) {
	t.Parallel()
	ids := slices.Repeat([]string{"00uAbCdEfGhIjKlMnOp5"}, okta.LookUpBatch)
	search := okta.And(`profile.lastName eq "O'Neil & Söhne + 50% \"李\" #?;="`, okta.IDs(ids...))
	client := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("search") != search || r.URL.Query().Get("limit") != "200" || len(r.URL.Query()) != 2 || len(r.RequestURI) > 2100 {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = w.Write([]byte("[]"))
	}))
	_, _, err := client.ListUsers(t.Context(), okta.ListUsers{Limit: 200, Search: search}, "")
	require.NoError(t, err)
}
