package oktasim_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestRecordedOrgIsServedAsItIs compares what the simulator serves with the file
// it was given, key by key; only links may differ, in their host and in what a
// list leaves out.
func TestRecordedOrgIsServedAsItIs(t *testing.T) {
	t.Parallel()
	data := shared(t, "okta/recorded/org.json")
	var file struct {
		Users   []map[string]any    `json:"users"`
		Groups  []map[string]any    `json:"groups"`
		Members map[string][]string `json:"members"`
	}
	require.NoError(t, json.Unmarshal(data, &file))
	org, err := oktasim.Load(bytes.NewReader(data))
	require.NoError(t, err)
	s := newSim(t, org)

	byID := map[any]map[string]any{}
	for _, u := range s.walk("/api/v1/users" + query("search", "status pr")) {
		delete(u, "_links")
		byID[u["id"]] = u
	}
	require.Len(t, byID, 129)
	live := 0
	for _, want := range file.Users {
		delete(want, "_links")
		require.Equal(t, want, byID[want["id"]])
		if want["status"] != oktasim.Deprovisioned {
			live++
		}
	}
	require.Equal(t, 125, live)
	require.Len(t, s.walk("/api/v1/users"), live)

	groups := map[any]map[string]any{}
	for _, g := range s.walk("/api/v1/groups") {
		groups[g["id"]] = g
	}
	require.Len(t, groups, 126)
	for _, want := range file.Groups {
		got := groups[want["id"]]
		text, err := json.Marshal(want["_links"])
		require.NoError(t, err)
		var links any
		require.NoError(t, json.Unmarshal(bytes.ReplaceAll(text, []byte("https://recorded.okta.example"), []byte(s.http.URL)), &links))
		want["_links"] = links
		require.Equal(t, want, got)
		id, _ := want["id"].(string)
		require.ElementsMatch(t, file.Members[id], ids(s.walk("/api/v1/groups/"+id+"/users")))
	}

	// The custom attributes are in the schema of their user type.
	custom := map[string]any{}
	for _, typ := range s.get("/api/v1/meta/types/user").list() {
		schema := s.get(typ["_links"].(map[string]any)["schema"].(map[string]any)["href"].(string)).ok(200)
		properties := schema["definitions"].(map[string]any)["custom"].(map[string]any)["properties"].(map[string]any)
		for name, p := range properties {
			custom[name] = p.(map[string]any)["type"]
		}
	}
	require.Equal(t, map[string]any{"array123": "array", "number123": "integer"}, custom)

	var again bytes.Buffer
	enc := json.NewEncoder(&again)
	enc.SetEscapeHTML(false)
	require.NoError(t, enc.Encode(org.Snapshot()))
	reloaded, err := oktasim.Load(&again)
	require.NoError(t, err)
	require.Equal(t, org.Snapshot(), reloaded.Snapshot(), "a snapshot is an org file")
}

// exchange is one recorded request and answer.
type exchange struct {
	method, path string
	status       string
	header       http.Header
	body         []byte
}

// exchanges reads a file of facts.md's recorded form.
func exchanges(t *testing.T, file string) []exchange {
	t.Helper()
	var all []exchange
	sc := bufio.NewScanner(bytes.NewReader(shared(t, "okta/recorded/"+file)))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		last := len(all) - 1
		switch {
		case strings.HasPrefix(line, "> body"):
		case strings.HasPrefix(line, "> "):
			method, address, _ := strings.Cut(line[2:], " ")
			_, path, _ := strings.Cut(address, "/api/")
			all = append(all, exchange{method: method, path: "/api/" + path, header: http.Header{}})
		case strings.HasPrefix(line, "< HTTP "):
			all[last].status = strings.Fields(line)[2]
		case strings.HasPrefix(line, "< "):
			name, value, _ := strings.Cut(line[2:], ": ")
			all[last].header.Add(name, value)
		case last >= 0 && (strings.HasPrefix(line, "{") || strings.HasPrefix(line, "[")):
			all[last].body = []byte(line)
		}
	}
	require.NoError(t, sc.Err())
	require.NotEmpty(t, all)
	return all
}

// shape returns the keys of an object, those of its profile left out.
func shape(v map[string]any) []string {
	var keys []string
	for key, value := range v {
		keys = append(keys, key)
		if inner, ok := value.(map[string]any); ok && key != "profile" && key != "_embedded" && key != "credentials" {
			for name := range inner {
				keys = append(keys, key+"."+name)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// TestShapesAreThoseOfTheRecordings holds the keys of answers against recorded ones.
func TestShapesAreThoseOfTheRecordings(t *testing.T) {
	t.Parallel()
	org, err := oktasim.Load(bytes.NewReader(shared(t, "okta/recorded/org.json")))
	require.NoError(t, err)
	s := newSim(t, org)

	t.Run("list items and links", func(t *testing.T) {
		t.Parallel()
		for _, e := range exchanges(t, "users_list_search_next_link.http") {
			var want []map[string]any
			require.NoError(t, json.Unmarshal(e.body, &want))
			a := s.get("/api/v1/users?limit=1&search=profile.lastName+eq+%22Smith%22+and+profile.firstName+eq+%22TestAcc%22")
			got := a.list()[0]
			got["realmId"] = "" // newer orgs have one
			require.Equal(t, shape(want[0]), shape(got))
			require.Len(t, a.Header.Values("Link"), len(e.header.Values("Link")))
			require.Equal(t, "application/json", a.Header.Get("Content-Type"))
		}
		self := exchanges(t, "users_list_search_next_link.http")[0].header.Values("Link")[0]
		require.Equal(t, strings.ReplaceAll(self, "https://oie-00.dne-okta.com", s.http.URL),
			s.get("/api/v1/users?search=profile.lastName+eq+%22Smith%22+and+profile.firstName+eq+%22TestAcc%22&limit=1").Header.Values("Link")[0])
	})
	t.Run("self link of a filter", func(t *testing.T) {
		t.Parallel()
		for _, e := range exchanges(t, "groups_list.http") {
			want := e.header.Get("Link")
			host, _, _ := strings.Cut(want[len("<https://"):], "/")
			require.Equal(t, strings.ReplaceAll(want, "https://"+host, s.http.URL), s.get(e.path).Header.Get("Link"))
		}
	})
	t.Run("a user by status", func(t *testing.T) {
		t.Parallel()
		seen := map[any]bool{}
		for _, file := range []string{"user_create_update.http", "user_deactivate_then_delete.http"} {
			for _, e := range exchanges(t, file) {
				var want map[string]any
				if json.Unmarshal(e.body, &want) != nil || want["status"] == nil {
					continue
				}
				seen[want["status"]] = true
				id := org.UserIDsByStatus(want["status"].(string))[0]
				got := s.get("/api/v1/users/" + id).ok(200)
				// Newer orgs have a realm, and a reset of factors for everybody.
				for _, v := range []map[string]any{want, got} {
					v["realmId"] = ""
					v["_links"].(map[string]any)["resetFactors"] = nil
				}
				require.Equal(t, shape(want), shape(got), "%v", want["status"])
			}
		}
		require.Len(t, seen, 3)
	})
	t.Run("errors", func(t *testing.T) {
		t.Parallel()
		for file, a := range map[string]answer{
			"error_404_user_deleted.http":    s.get("/api/v1/users/00usfhrjbkppPBkoY4x6"),
			"error_400_user_validation.http": s.do("POST", "/api/v1/users", strings.Replace(aliceBody, `"login"`, `"notValid":"x","login"`, 1)),
		} {
			all := exchanges(t, file)
			var want, got map[string]any
			require.NoError(t, json.Unmarshal(all[1].body, &want))
			require.NoError(t, json.Unmarshal(a.body, &got))
			for _, key := range []string{"errorCode", "errorSummary", "errorLink", "errorCauses"} {
				require.Equal(t, want[key], got[key])
			}
		}
	})
	t.Run("user types and schema", func(t *testing.T) {
		t.Parallel()
		var types []map[string]any
		require.NoError(t, json.Unmarshal(exchanges(t, "user_types.http")[0].body, &types))
		require.Equal(t, shape(types[0]), shape(s.get("/api/v1/meta/types/user").list()[0]))

		var want map[string]any
		require.NoError(t, json.Unmarshal(exchanges(t, "schema_user_default.http")[0].body, &want))
		got := s.get("/api/v1/meta/schemas/user/default").ok(200)
		delete(want, "description")
		require.Equal(t, shape(want), shape(got))
		base := func(v map[string]any) []string {
			return shape(v["definitions"].(map[string]any)["base"].(map[string]any)["properties"].(map[string]any))
		}
		names := func(keys []string) []string {
			return slices.DeleteFunc(keys, func(k string) bool { return strings.Contains(k, ".") })
		}
		require.Equal(t, names(base(want)), names(base(got)), "the 31 base attributes")
		require.Len(t, names(base(got)), 31)
	})
}

// TestHeadersOfARecordedLimit holds a 429 against the recorded ones.
func TestHeadersOfARecordedLimit(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 5, 1), func(c *oktasim.Config) { c.Rate = 1 })
	s.get("/api/v1/org").ok(200)
	a := s.get("/api/v1/org")
	for _, e := range exchanges(t, "error_429_org_rate_limit.http") {
		for name := range e.header {
			if strings.HasPrefix(strings.ToLower(name), "x-rate-limit") || name == "Date" || name == "x-okta-request-id" {
				require.NotEmpty(t, a.Header.Get(name), name)
			}
		}
		var want, got map[string]any
		require.NoError(t, json.Unmarshal(e.body, &want))
		require.NoError(t, json.Unmarshal(a.body, &got))
		delete(want, "errorId")
		delete(got, "errorId")
		require.Equal(t, want, got)
	}
	require.Empty(t, a.Header.Values("Retry-After"))
}
