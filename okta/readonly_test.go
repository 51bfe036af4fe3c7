package okta

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// methods are those of HTTP and WebDAV, and some that are none.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
	http.MethodConnect, http.MethodOptions, http.MethodTrace, "get", "post", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "PURGE", "X",
}

// Whatever is asked of the lowest layer of a client, nothing but a GET and the POST of a
// token request comes through.
func TestOnlyReadsComeThrough(t *testing.T) {
	t.Parallel()
	const org = "https://contoso.okta.com"
	paths := []string{
		TokenEndpoint, TokenEndpoint + "/", TokenEndpoint + "?a=b", "//oauth2/v1/token", "/oauth2/v1/token/../revoke", "/oauth2/v1/revoke", "/oauth2/default/v1/token",
		"/api/v1/users", "/api/v1/users/00u1/lifecycle/deactivate", "/api/v1/groups/00g1/users/00u1", "/",
	}
	for name, credentials := range map[string]Credentials{"API token": APIToken(canary), "service app": appOf(t)} {
		var sent []string
		inner := roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.Method+" "+r.URL.String())
			w := httptest.NewRecorder()
			w.WriteHeader(http.StatusNoContent)
			return w.Result(), nil
		})
		client, err := New(Options{BaseURL: org, Credentials: credentials, HTTPClient: &http.Client{Transport: inner}})
		require.NoError(t, err)
		var want []string
		for _, method := range methods {
			for _, host := range []string{org, "https://evil.example", "http://contoso.okta.com", "https://user@contoso.okta.com", "https://contoso.okta.com:443"} {
				for _, path := range paths {
					for _, body := range []string{"", "x"} {
						var req *http.Request
						if body == "" {
							req, err = http.NewRequestWithContext(t.Context(), method, host+path, http.NoBody)
						} else {
							req, err = http.NewRequestWithContext(t.Context(), method, host+path, strings.NewReader(body))
						}
						require.NoError(t, err)
						token := name == "service app" && method == http.MethodPost && host+path == org+TokenEndpoint
						resp, err := client.http.Transport.RoundTrip(req)
						if method == http.MethodGet && body == "" || token {
							require.NoError(t, err)
							require.NoError(t, resp.Body.Close())
							want = append(want, method+" "+host+path)
							continue
						}
						require.ErrorContains(t, err, "this client only reads", "%s %s", method, path)
						_, refused := err.(writeError) //nolint:errorlint // a transport's error is not wrapped
						require.True(t, refused)
					}
				}
			}
		}
		require.Equal(t, want, sent, name)
		require.NotEmpty(t, sent)
	}
}

func TestAWriteIsAPermanentError(t *testing.T) {
	t.Parallel()
	client, _ := setup(t, answer(http.StatusOK, `[]`))
	r := request{endpoint: usersEndpoint, path: "/api/v1/users", form: noForm}
	_, err := client.do(t.Context(), r, nil)
	e := requireError(t, err)
	require.Equal(t, Permanent, e.Kind)
	require.Equal(t, http.MethodPost, e.Method)
	require.ErrorContains(t, err, "this client only reads: a POST is sent to nothing but the token endpoint")
}
