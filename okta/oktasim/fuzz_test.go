package oktasim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fuzzNow is the time of fuzzed orgs, so that an input means the same each time.
func fuzzNow() time.Time { return time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC) }

// ask sends one request; a panic of the server fails the test.
func ask(t *testing.T, s *Server, method, path, query, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", strings.NewReader(body))
	r.Header.Set("Authorization", "SSWS "+DefaultToken)
	r.URL.Path, r.URL.RawPath, r.URL.RawQuery = path, "", query
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Less(t, w.Code, 500, "%s %s?%s: %s", method, path, query, w.Body)
	if w.Code >= 400 {
		var e struct {
			Code string `json:"errorCode"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e), w.Body)
		require.NotEmpty(t, e.Code)
	}
	return w
}

// FuzzRequest: whatever is asked, the answer is Okta's or an error of its form.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/api/v1/users", "limit=2&search=profile.login+pr&sortBy=created", "")
	f.Add("GET", "/api/v1/users", `search=status+eq+"ACTIVE"+and+(lastUpdated+ge+"2020-01-01T00:00:00.000Z"+or+id+sw+"0")`, "")
	f.Add("GET", "/api/v1/users", "after=x&limit=-1&filter=x&q=a", "")
	f.Add("GET", "/api/v1/groups", `filter=type+eq+"OKTA_GROUP"+and+lastMembershipUpdated+gt+"2020-01-01T00:00:00.000Z"`, "")
	f.Add("GET", "/api/v1/groups", `search=profile.name+co+"a"&expand=stats,app`, "")
	f.Add("POST", "/api/v1/users", "activate=false", `{"profile":{"login":"a@b.c","email":"a@b.c","firstName":"A","lastName":"B"},"groupIds":["x"]}`)
	f.Add("PUT", "/api/v1/groups/x/users/y", "", "")
	f.Add("POST", "/api/v1/groups", "", `{"profile":{"name":"x","description":null}}`)
	f.Add("POST", "/api/v1/meta/schemas/user/default", "", `{"definitions":{"custom":{"properties":{"a":{"type":"string"}}}}}`)
	f.Add("DELETE", "/api/v1/users/..", "sendEmail=%zz", "{")
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		if _, err := http.NewRequestWithContext(t.Context(), method, "http://x/", http.NoBody); err != nil || method == "" || !strings.HasPrefix(path, "/api/") {
			return // net/http lets no such method in
		}
		org, err := Generate(Spec{Users: 5, Groups: 2, Seed: 1, Now: fuzzNow()})
		require.NoError(t, err)
		s := New(Config{Org: org, Now: fuzzNow})
		path = strings.NewReplacer("/x", "/"+org.GroupIDs()[1], "/y", "/"+org.UserIDs()[0]).Replace(path)
		ask(t, s, method, path, query, body)
		list := ask(t, s, "GET", "/api/v1/users", "", "") // it is still an org
		require.True(t, json.Valid(list.Body.Bytes()))
	})
}

// FuzzLoad: an org file is an error, or an org that can be served and is saved as what
// was loaded.
func FuzzLoad(f *testing.F) {
	const user = `{"id":"00u1","status":"ACTIVE","created":"2026-01-01T00:00:00.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","type":{"id":"oty1"},"profile":{"login":"a@b.c","x":[1,"é\u0000"]}}`
	const group = `{"id":"00g1","type":"OKTA_GROUP","created":"2026-01-01T00:00:00.000Z","lastUpdated":"2026-01-01T00:00:00.000Z","lastMembershipUpdated":"2026-01-01T00:00:00.000Z","objectClass":["okta:user_group"],"profile":{"name":"g","description":null}}`
	f.Add(`{"users":[` + user + `],"groups":[` + group + `],"members":{"00g1":["00u1"]}}`)
	f.Add(`{"users":[` + user + `,` + user + `],"groups":[]}`)
	f.Add(`{"users":[],"groups":[],"members":{"x":["y"]}}`)
	f.Add(`{"users":[{"id":"a/b","profile":{"a":1,"a":2}}],"groups":[null]}`)
	f.Add(`{"users":null,"groups":7}`)
	f.Fuzz(func(t *testing.T, text string) {
		org, err := Load(strings.NewReader(text))
		if err != nil {
			require.Contains(t, err.Error(), "org file")
			return
		}
		saved, err := json.Marshal(org.Snapshot())
		require.NoError(t, err)
		again, err := Load(bytes.NewReader(saved))
		require.NoError(t, err, "%s", saved)
		savedAgain, err := json.Marshal(again.Snapshot())
		require.NoError(t, err)
		require.JSONEq(t, string(saved), string(savedAgain))
		s := New(Config{Org: org, Now: fuzzNow})
		for _, path := range []string{"/api/v1/users", "/api/v1/groups"} {
			w := ask(t, s, "GET", path, "limit=200", "")
			require.Equal(t, 200, w.Code)
			require.True(t, json.Valid(w.Body.Bytes()), "%s", w.Body)
		}
		for _, id := range org.UserIDs() {
			w := ask(t, s, "GET", "/api/v1/users/"+id, "", "")
			require.True(t, json.Valid(w.Body.Bytes()), "%s", w.Body)
		}
	})
}

// FuzzExpression: a filter or search is refused as Okta does, or judges any object, and
// the same way each time.
func FuzzExpression(f *testing.F) {
	for _, e := range []string{
		`status eq "ACTIVE"`, `profile.login sw "a" and (created ge "2020-01-01T00:00:00.000Z" or id eq "x")`, `not (status pr)`, `profile.n gt 1.5e3`,
		`profile.list eq "a"`, `emails[type eq "work"]`, `profile.x co "\"é\u0000"`, `((((id pr))))`, `id eq`, `"`, `lastUpdated lt "x"`, `profile.b eq true`, `type.id eq "oty"`,
	} {
		f.Add(e)
	}
	org, err := Generate(Spec{Users: 5, Groups: 2, Seed: 1, Now: fuzzNow()})
	require.NoError(f, err)
	s := New(Config{Org: org, Now: fuzzNow})
	f.Fuzz(func(t *testing.T, expression string) {
		for _, path := range []string{"/api/v1/users", "/api/v1/groups"} {
			for _, parameter := range []string{"search", "filter"} {
				query := parameter + "=" + url.QueryEscape(expression)
				first, second := ask(t, s, "GET", path, query, ""), ask(t, s, "GET", path, query, "")
				require.Equal(t, first.Code, second.Code)
				if first.Code == 200 {
					require.JSONEq(t, first.Body.String(), second.Body.String())
				}
			}
		}
	})
}
