package okta

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// setupPages serves lists by path, size rows a page, with Okta's two Link lines.
func setupPages(t testing.TB, lists map[string][]json.RawMessage, size int) *Client {
	t.Helper()
	client, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
		rows, ok := lists[r.URL.Path]
		if !ok {
			http.Error(w, `{"errorCode":"E0000007","errorSummary":"Not found"}`, http.StatusNotFound)
			return
		}
		after, _ := strconv.Atoi(r.URL.Query().Get("after"))
		end := min(after+size, len(rows))
		self := "http://" + r.Host + r.URL.Path
		w.Header().Add("Link", fmt.Sprintf(`<%s?limit=%d>; rel="self"`, self, size))
		if end < len(rows) {
			w.Header().Add("Link", fmt.Sprintf(`<%s?after=%d&limit=%d>; rel="next"`, self, end, size))
		}
		_ = json.NewEncoder(w).Encode(rows[after:end])
	})
	return client
}

func rawRows(n int, format string) []json.RawMessage {
	rows := make([]json.RawMessage, n)
	for i := range rows {
		rows[i] = json.RawMessage(fmt.Sprintf(format, i))
	}
	return rows
}

func TestPaging(t *testing.T) {
	t.Parallel()
	client := setupPages(t, map[string][]json.RawMessage{
		"/api/v1/users":            rawRows(7, `{"id":"00u%d","profile":{"n":12345678901234567890}}`),
		"/api/v1/groups":           rawRows(6, `{"id":"00g%d","profile":{}}`),
		"/api/v1/groups/00g/users": rawRows(5, `{"id":"00u%d","status":"DEPROVISIONED","profile":{}}`),
	}, 3)

	var pages []int
	next, seen := "", []string{}
	for {
		users, page, err := client.ListUsers(t.Context(), ListUsers{Limit: 3}, next)
		require.NoError(t, err)
		pages = append(pages, len(users))
		for _, u := range users {
			seen = append(seen, u.ID)
			require.Equal(t, json.Number("12345678901234567890"), u.Profile["n"], "numbers keep their digits")
		}
		if next = page.Next; next == "" {
			break
		}
	}
	require.Equal(t, []int{3, 3, 1}, pages)
	require.Equal(t, []string{"00u0", "00u1", "00u2", "00u3", "00u4", "00u5", "00u6"}, seen)

	n := 0
	for g, err := range client.Groups(t.Context(), ListGroups{}) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("00g%d", n), g.ID)
		n++
	}
	require.Equal(t, 6, n)
	n = 0
	for m, err := range client.GroupMembers(t.Context(), "00g", 3) {
		require.NoError(t, err)
		require.Equal(t, Member{ID: fmt.Sprintf("00u%d", n), Status: "DEPROVISIONED"}, m)
		n++
	}
	require.Equal(t, 5, n)
	for _, err := range client.Users(t.Context(), ListUsers{}) {
		require.NoError(t, err)
		break // a consumer that stops early stops the walk
	}
	var last error
	for _, err := range client.GroupMembers(t.Context(), "00gone", 3) {
		last = err
	}
	e, ok := errors.AsType[*Error](last)
	require.True(t, ok)
	require.Equal(t, Gone, e.Kind)
	require.Equal(t, "00gone", e.ObjectID)
}

// The requests are those of facts.md: paths, parameters and headers.
func TestRequests(t *testing.T) {
	t.Parallel()
	const trim = `application/json; okta-response="omitCredentials,omitCredentialsLinks, omitTransitioningToStatus"`
	const next = "/api/v1/users?search=x+%22y%22&after=a%2Bb&limit=2"
	tests := map[string]struct {
		call        func(ctx context.Context, c *Client) error
		uri         string
		contentType string
	}{
		"plain list": {
			call: func(ctx context.Context, c *Client) error { _, _, err := c.ListUsers(ctx, ListUsers{}, ""); return err },
			uri:  "/api/v1/users", contentType: trim,
		},
		"search": {
			call: func(ctx context.Context, c *Client) error {
				_, _, err := c.ListUsers(ctx, ListUsers{Limit: 200, Search: `status eq "ACTIVE"`, Filter: "f&g"}, "")
				return err
			},
			uri: "/api/v1/users?filter=f%26g&limit=200&search=status+eq+%22ACTIVE%22", contentType: trim,
		},
		"next is opaque": {
			call: func(ctx context.Context, c *Client) error {
				_, _, err := c.ListUsers(ctx, ListUsers{Limit: 9}, c.base.String()+next)
				return err
			},
			uri: "/api/v1/users?search=x+%22y%22&after=a%2Bb&limit=2", contentType: trim,
		},
		"groups": {
			call: func(ctx context.Context, c *Client) error {
				_, _, err := c.ListGroups(ctx, ListGroups{Limit: 200, Filter: `lastUpdated gt "x"`}, "")
				return err
			},
			uri: "/api/v1/groups?filter=lastUpdated+gt+%22x%22&limit=200",
		},
		"members": {
			call: func(ctx context.Context, c *Client) error {
				_, _, err := c.ListGroupMembers(ctx, "00g1", 1000, "")
				return err
			},
			uri: "/api/v1/groups/00g1/users?limit=1000", contentType: trim,
		},
		"user": {
			call: func(ctx context.Context, c *Client) error { _, _, err := c.GetUser(ctx, "00u1"); return err },
			uri:  "/api/v1/users/00u1", contentType: trim,
		},
		"group": {
			call: func(ctx context.Context, c *Client) error { _, _, err := c.GetGroup(ctx, "00g1"); return err },
			uri:  "/api/v1/groups/00g1",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got *http.Request
			client, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
				got = r
				body := "[]"
				if id := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/api/v1/users/"), "/api/v1/groups/"); id == "00u1" || id == "00g1" {
					body = fmt.Sprintf(`{"id":%q,"profile":{}}`, id)
				}
				_, _ = w.Write([]byte(body))
			})
			require.NoError(t, tt.call(t.Context(), client))
			require.Equal(t, http.MethodGet, got.Method)
			require.Equal(t, tt.uri, got.RequestURI)
			require.Equal(t, "SSWS "+canary, got.Header.Get("Authorization"))
			require.Equal(t, "application/json", got.Header.Get("Accept"))
			require.Equal(t, tt.contentType, got.Header.Get("Content-Type"))
			require.Regexp(t, `^identitymesh-okta-connector/\S+$`, got.Header.Get("User-Agent"))
		})
	}
}

// A next link of another origin is an error of its page, and the token goes nowhere.
func TestForeignNext(t *testing.T) {
	t.Parallel()
	var leaked bool
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked = true }))
	t.Cleanup(thief.Close)
	thiefURL, err := url.Parse(thief.URL)
	require.NoError(t, err)
	for name, link := range map[string]string{
		"other host":         "https://evil.example/api/v1/users?after=1",
		"other port":         thief.URL + "/api/v1/users?after=1",
		"other scheme":       "https://HOST/api/v1/users?after=1",
		"scheme-relative":    "//" + thiefURL.Host + "/api/v1/users?after=1",
		"user name trick":    "http://HOST@" + thiefURL.Host + "/api/v1/users?after=1",
		"user name":          "http://me:pw@HOST/api/v1/users?after=1",
		"backslash trick":    `http://HOST\@evil.example/api/v1/users`,
		"opaque":             "http:api/v1/users?after=1",
		"file":               "file:///etc/passwd",
		"no port":            "http://127.0.0.1/api/v1/users?after=1",
		"suffix of the host": "http://HOST.evil.example/api/v1/users?after=1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Add("Link", "<"+strings.ReplaceAll(link, "HOST", r.Host)+`>; rel="next"`)
				_, _ = w.Write([]byte(`[]`))
			})
			users, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
			e := requireKind(t, err, Permanent)
			require.Nil(t, users)
			require.NotNil(t, page)
			require.Empty(t, page.Next)
			require.Contains(t, e.Error(), "next link")
			require.NotContains(t, e.Error(), "after=1")

			// The same link handed in as a stored one.
			_, page, err = client.ListUsers(t.Context(), ListUsers{}, strings.ReplaceAll(link, "HOST", client.base.Host))
			requireKind(t, err, Permanent)
			require.Nil(t, page)
		})
	}
	t.Cleanup(func() { require.False(t, leaked) })
}

func TestForeignNextNamesBothHosts(t *testing.T) {
	t.Parallel()
	client, server := setup(t, answer(200, `[]`, "Link: <https://evil.example/x?after=1>; rel=next"))
	_, _, err := client.ListGroupMembers(t.Context(), "00g1", 0, "")
	require.ErrorContains(t, err, "https://evil.example")
	require.ErrorContains(t, err, server.URL)
	require.ErrorContains(t, err, "00g1")
}

func TestSameOrigin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"https://contoso.okta.com", "https://contoso.okta.com:443/x", true},
		{"https://contoso.okta.com", "HTTPS://Contoso.Okta.COM", true},
		{"http://localhost:80", "http://localhost", true},
		{"https://contoso.okta.com", "https://contoso.okta.com:444", false},
		{"https://contoso.okta.com", "http://contoso.okta.com:443", false},
		{"https://contoso.okta.com", "https://contoso.okta.com.evil.example", false},
		{"https://[::1]:8443", "https://[::1]:8443/x", true},
	} {
		a, err := url.Parse(tt.a)
		require.NoError(t, err)
		b, err := url.Parse(tt.b)
		require.NoError(t, err)
		require.Equal(t, tt.want, sameOrigin(a, b), "%s %s", tt.a, tt.b)
	}
}

func TestNextForms(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		links []string
		want  string // HOST stands for the server
	}{
		"two lines":       {[]string{`<http://HOST/api/v1/users?limit=1>; rel="self"`, `<http://HOST/api/v1/users?after=a&limit=1>; rel="next"`}, "http://HOST/api/v1/users?after=a&limit=1"},
		"joined":          {[]string{`<http://HOST/api/v1/users?limit=1>; rel="self", <http://HOST/api/v1/users?after=a,b;c>; rel=next`}, "http://HOST/api/v1/users?after=a,b;c"},
		"absolute path":   {[]string{`</api/v1/users?after=a>; rel="next"`}, "http://HOST/api/v1/users?after=a"},
		"query only":      {[]string{`<?after=a>; rel="next"`}, "http://HOST/api/v1/users?after=a"},
		"odd spelling":    {[]string{`<http://HOST/api/v1/users?after=%7e+%2f&z>; rel="next"`}, "http://HOST/api/v1/users?after=%7e+%2f&z"},
		"self only":       {[]string{`<http://HOST/api/v1/users?limit=1>; rel="self"`}, ""},
		"foreign self":    {[]string{`<https://evil.example/>; rel="self"`}, ""},
		"no link at all":  {nil, ""},
		"same link twice": {[]string{`</api/v1/users?after=a>; rel="next"`, `</api/v1/users?after=a>; rel="next"`}, "http://HOST/api/v1/users?after=a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := setup(t, func(w http.ResponseWriter, r *http.Request) {
				for _, l := range tt.links {
					w.Header().Add("Link", strings.ReplaceAll(l, "HOST", r.Host))
				}
				_, _ = w.Write([]byte(`[]`))
			})
			_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(tt.want, "HOST", strings.TrimPrefix(server.URL, "http://")), page.Next)
		})
	}
}

func TestRepeatedNext(t *testing.T) {
	t.Parallel()
	client, server := setup(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("after") {
		case "2": // the same request, its parameters in another order
			w.Header().Add("Link", `</api/v1/users?limit=1&after=2>; rel="next"`)
		case "3":
			w.Header().Add("Link", `</api/v1/users?after=4>; rel="next"`)
		case "4":
			w.Header().Add("Link", `</api/v1/users?after=3>; rel="next"`)
		}
		_, _ = w.Write([]byte(`[{"id":"00u1","profile":{}}]`))
	})
	_, page, err := client.ListUsers(t.Context(), ListUsers{}, server.URL+"/api/v1/users?after=2&limit=1")
	e := requireKind(t, err, Permanent)
	require.Contains(t, e.Error(), "repeats itself")
	require.Empty(t, page.Next)

	// A loop over two pages is no error of one page, but of a walk.
	n := 0
	var last error
	walk(client, request{endpoint: usersEndpoint}, func(next string) ([]User, *Page, error) {
		if next == "" {
			next = server.URL + "/api/v1/users?after=3"
		}
		return client.ListUsers(t.Context(), ListUsers{}, next)
	})(func(_ User, err error) bool { n++; last = err; return n < 100 })
	requireKind(t, last, Permanent)
	require.Contains(t, last.Error(), "repeats an earlier one")
	require.Less(t, n, 10)
}

// requireKind asserts the kind of an error and returns it.
func requireKind(t *testing.T, err error, want Kind) *Error {
	t.Helper()
	require.Error(t, err)
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok, "%T %v", err, err)
	require.Equal(t, want, e.Kind, "%v", err)
	require.NotContains(t, err.Error(), canary)
	return e
}
