package okta

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// No key, assertion, proof or access token shows up anywhere, whatever a server echoes
// and however things are printed.
func TestServiceAppCanary(t *testing.T) {
	t.Parallel()
	const token = "CANARY-access~token/that+must=never.show"
	var texts, secrets []string
	show := func(values ...any) {
		for _, v := range values {
			texts = append(texts, fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v))
		}
	}
	for _, status := range []int{200, 302, 400, 401, 403, 404, 429, 500} {
		for _, at := range []string{http.MethodPost, http.MethodGet} { // which of the two goes wrong
			for _, form := range []string{"%s", `{"errorCode":"%[1]s","errorSummary":"%[1]s","error":"%[1]s","error_description":"%[1]s"}`, `["%s"]`, `[{"id":"%s"}]`, `{"token_type":"%[1]s","access_token":""}`} {
				o := newAppOrg(t)
				secrets = append(secrets, pieces(o.app.PrivateKey)...)
				o.wire = func(r *http.Request) *http.Response {
					echo := token
					if r.Method == http.MethodPost {
						body, err := io.ReadAll(r.Body)
						require.NoError(t, err)
						values, err := url.ParseQuery(string(body))
						require.NoError(t, err)
						secrets = append(secrets, values.Get("client_assertion"))
						echo = string(body) + " " + values.Get("client_assertion")
					}
					secrets = append(secrets, r.Header.Get("DPoP"))
					echo = strings.ReplaceAll(echo+" "+r.Header.Get("DPoP")+" "+r.Header.Get("Authorization"), `"`, "'")
					if r.Method != at {
						return response(http.StatusOK, fmt.Sprintf(`{"token_type":"DPoP","access_token":%q,"expires_in":3600}`, token), nil)
					}
					header := map[string]string{
						"X-Okta-Request-Id": echo, "Link": "</x?" + url.QueryEscape(token) + `>; rel="next"`, "Location": "https://" + token + "/",
						"Www-Authenticate": `DPoP error="` + echo + `", error_description="` + echo + `", scope="` + echo + `"`, "X-Rate-Limit-Limit": echo,
					}
					return response(status, fmt.Sprintf(form, echo), header)
				}
				client := o.client()
				_, page, err := client.ListUsers(t.Context(), ListUsers{}, "")
				show(err, page)
				if e, ok := errors.AsType[*Error](err); ok {
					show(*e, e.Err)
				}
				g, err := client.Grant(t.Context())
				show(g, err)
				credentials, err := o.app.Credentials()
				require.NoError(t, err)
				options := Options{BaseURL: "https://contoso.okta.com", Credentials: credentials}
				show(client, *client, struct{ C *Client }{client}, struct{ c Client }{*client}, o.app, &o.app, struct{ A ServiceApp }{o.app},
					credentials, options, &options, o.app.Tokens, client.signer, o.calls)
				app, err := json.Marshal(o.app)
				require.NoError(t, err)
				texts = append(texts, string(app), o.app.GoString())
				for _, c := range o.calls {
					show(c, c.Err)
				}
			}
		}
	}
	secrets = append(secrets, token, url.QueryEscape(token))
	require.Greater(t, len(secrets), 200)
	all := strings.Join(texts, "\n")
	for _, s := range secrets {
		require.NotEmpty(t, s)
		require.False(t, strings.Contains(all, s), "%.12s… is shown", s)
		if parts := strings.Split(s, "."); len(parts) == 3 { // of a JWT, no part either
			require.False(t, strings.Contains(all, parts[2]), "a signature is shown")
		}
	}
}

// A next link with the access token is not followed, and not stored.
func TestANextLinkWithTheAccessToken(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	o.wire = func(r *http.Request) *http.Response {
		if r.Method == http.MethodPost {
			return nil
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "DPoP ")
		return response(http.StatusOK, `[]`, map[string]string{"Link": "<https://contoso.okta.com/api/v1/users?after=" + token + `>; rel="next"`})
	}
	_, _, err := o.client().ListUsers(t.Context(), ListUsers{}, "")
	require.ErrorContains(t, err, "the next link holds the token")
}
