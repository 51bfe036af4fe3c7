package okta

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// response makes an answer that did not come from a server.
func response(status int, body string, header map[string]string) *http.Response {
	w := httptest.NewRecorder()
	for name, value := range header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(status)
	_, _ = w.WriteString(body)
	return w.Result()
}

// proofOf reads the proof of a request, and checks it with the key it carries.
func proofOf(t testing.TB, r *http.Request) proofClaims {
	t.Helper()
	require.Len(t, r.Header.Values("DPoP"), 1)
	token, err := jwt.ParseSigned(r.Header.Get("DPoP"), []jose.SignatureAlgorithm{jose.ES256})
	require.NoError(t, err)
	h := token.Headers[0]
	require.Equal(t, "dpop+jwt", h.ExtraHeaders[jose.HeaderType])
	require.True(t, h.JSONWebKey.IsPublic())
	require.Empty(t, h.KeyID)
	var claims proofClaims
	require.NoError(t, token.Claims(h.JSONWebKey.Key, &claims))
	require.NotEmpty(t, claims.ID)
	return claims
}

// The dance as it was recorded: a proof without a nonce is answered with one, and then
// the token comes; calls carry it with proofs of their own.
func TestRecordedDance(t *testing.T) {
	t.Parallel()
	var noNonce, granted, users exchanged
	for _, x := range recorded(t, "oauth_token_dpop.http") {
		switch {
		case strings.Contains(x.body, "use_dpop_nonce") && noNonce.url == nil:
			noNonce = x
		case strings.Contains(x.body, "access_token"):
			granted = x
		case x.method == http.MethodGet:
			users = x
		}
	}
	require.NotNil(t, noNonce.url)
	require.NotNil(t, granted.url)
	require.NotNil(t, users.url)

	o := newAppOrg(t)
	var seen []string
	o.wire = func(r *http.Request) *http.Response {
		proof := proofOf(t, r)
		require.Equal(t, r.Method, proof.Method)
		require.Equal(t, "https://test.okta.com"+r.URL.Path, proof.URL)
		seen = append(seen, r.Method+" "+r.URL.String()+" "+proof.Nonce)
		x := users
		switch {
		case r.Method == http.MethodGet:
			require.Equal(t, "DPoP <jwt>", r.Header.Get("Authorization"))
			require.Equal(t, "xfHTMUl4vyvZL15yeehZrEteurFOSX4cXFp472-sWG0", proof.Hash, "base64url(SHA-256(<jwt>))")
		case proof.Nonce == "":
			x = noNonce
		default:
			x = granted
		}
		if r.Method == http.MethodPost {
			require.NoError(t, r.ParseForm())
			require.Equal(t, "client_credentials", r.PostForm.Get("grant_type"))
			require.Equal(t, "okta.users.read okta.apps.read okta.groups.read", r.PostForm.Get("scope"))
			require.Equal(t, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", r.PostForm.Get("client_assertion_type"))
			require.Len(t, r.PostForm, 4)
			require.Empty(t, r.URL.RawQuery)
			require.Empty(t, proof.Hash)
		}
		header := map[string]string{}
		for name := range x.header {
			if !slices.Contains([]string{"Connection", "Content-Encoding", "Transfer-Encoding"}, name) {
				header[name] = x.header.Get(name)
			}
		}
		return response(x.status, x.body, header)
	}
	date, err := http.ParseTime(noNonce.header.Get("Date"))
	require.NoError(t, err)
	o.limits.now = func() time.Time { return date }
	o.app.Scopes = []string{"okta.users.read", "okta.apps.read", "okta.groups.read"}
	credentials, err := o.app.Credentials()
	require.NoError(t, err)
	c, err := New(Options{BaseURL: "https://test.okta.com", Credentials: credentials, Limits: o.limits,
		HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return o.wire(r), nil })}})
	require.NoError(t, err)
	rows, page, err := c.ListUsers(t.Context(), ListUsers{Limit: 1}, "")
	require.NoError(t, err)
	require.Empty(t, rows)
	require.Equal(t, 50, page.Rate.Limit)
	require.Equal(t, []string{
		"POST https://test.okta.com/oauth2/v1/token ",
		"POST https://test.okta.com/oauth2/v1/token sanitized_dpop_nonce",
		"GET https://test.okta.com/api/v1/users?limit=1 ",
	}, seen)
	g, err := c.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, "DPoP", g.Scheme)
	require.Equal(t, time.Hour, g.Lifetime)
	require.Empty(t, g.Missing)
}

// Assertions are made anew for every request, and say what Okta wants to read.
func TestAssertions(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	o.app.KeyID = "k1"
	o.server.SetApp(oktasim.App{ClientID: appID, Scopes: appScopes})
	ids := map[string]bool{}
	o.wire = func(r *http.Request) *http.Response {
		require.NoError(t, r.ParseForm())
		token, err := jwt.ParseSigned(r.PostForm.Get("client_assertion"), []jose.SignatureAlgorithm{jose.ES256})
		require.NoError(t, err)
		require.Equal(t, "k1", token.Headers[0].KeyID)
		require.Nil(t, token.Headers[0].JSONWebKey)
		var c assertionClaims
		require.NoError(t, token.UnsafeClaimsWithoutVerification(&c))
		require.Equal(t, appID, c.Issuer)
		require.Equal(t, appID, c.Subject)
		require.Equal(t, "https://contoso.okta.com/oauth2/v1/token", c.Audience)
		require.LessOrEqual(t, c.Expires.Time().Sub(appNow), 10*time.Minute)
		require.False(t, c.IssuedAt.Time().After(appNow))
		require.False(t, ids[c.ID])
		ids[c.ID] = true
		return response(http.StatusBadRequest, `{"error":"use_dpop_nonce"}`, map[string]string{"DPoP-Nonce": fmt.Sprint("n", len(ids))})
	}
	_, _, err := o.client().ListUsers(t.Context(), ListUsers{}, "")
	require.Error(t, err)
	require.Len(t, ids, 2)
}

// Each refusal of the token endpoint says what to do about it.
func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		kind   Kind
		says   []string
	}{
		"invalid_client":      {401, `{"error":"invalid_client","error_description":"The client_assertion JWT kid is invalid."}`, Permanent, []string{"401 Unauthorized: invalid_client The client_assertion JWT kid is invalid.", "ClientId is this app's", "KeyId must name it"}},
		"invalid_scope":       {400, `{"error":"invalid_scope"}`, Permanent, []string{"correct AuthJson.Scopes"}},
		"consent_required":    {400, `{"error":"consent_required","error_description":"You are not allowed any of the requested scopes."}`, Permanent, []string{"grant them in Okta's Admin Console", "Okta API Scopes"}},
		"invalid_dpop_proof":  {400, `{"error":"invalid_dpop_proof"}`, Permanent, []string{"does not accept the DPoP proof", "proxy"}},
		"unauthorized_client": {400, `{"error":"unauthorized_client"}`, Permanent, []string{"API Services integration"}},
		"invalid_grant":       {400, `{"error":"invalid_grant"}`, Permanent, []string{"client credentials grant"}},
		"invalid_request":     {400, `{"error":"invalid_request"}`, Permanent, []string{"does not understand the token request"}},
		"access_denied":       {403, `{"error":"access_denied"}`, Permanent, []string{"policies refuse"}},
		"unsupported":         {400, `{"error":"unsupported_grant_type"}`, Permanent, []string{"OrgDomain"}},
		"something new":       {400, `{"error":"brand_new"}`, Permanent, []string{"brand_new", "check the service app"}},
		"not Okta":            {404, `<html>nothing here</html>`, Permanent, []string{"not Okta's", "OrgDomain"}},
		"a proxy":             {403, `<html>blocked</html>`, Permanent, []string{"not Okta's"}},
		"rate limit":          {429, oktaBody("E0000047", "API call exceeded rate limit due to too many requests."), RetryLater, []string{"429", "E0000047"}},
		"5xx":                 {503, oktaBody("E0000010", "Service is in read only mode"), RetryLater, []string{"503"}},
		"redirect":            {302, ``, Permanent, []string{"refused"}},
		"no JSON":             {200, `<html>`, RetryLater, []string{"the answer cannot be read"}},
		"a list":              {200, `[]`, RetryLater, []string{"the answer is JSON, but not a token of Okta"}},
		"far too much":        {200, `{"access_token":"` + strings.Repeat("a", maxTokenBytes) + `"}`, RetryLater, []string{"the answer cannot be read"}},
		"no token":            {200, `{"token_type":"DPoP"}`, Permanent, []string{"holds no access token"}},
		"an odd token":        {200, `{"token_type":"DPoP","access_token":"a b"}`, Permanent, []string{"holds no access token"}},
		"an odd type":         {200, `{"token_type":"MAC","access_token":"ab"}`, Permanent, []string{"neither DPoP nor Bearer"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newAppOrg(t)
			o.wire = func(*http.Request) *http.Response {
				return response(tt.status, tt.body, map[string]string{"X-Okta-Request-Id": "Xreq1", "Location": "https://evil.example/"})
			}
			_, page, err := o.client().ListUsers(t.Context(), ListUsers{}, "")
			require.Nil(t, page, "no call was made")
			e := requireError(t, err)
			require.Equal(t, tt.kind, e.Kind)
			require.Equal(t, tt.status, e.Status)
			require.Equal(t, TokenEndpoint, e.Endpoint)
			require.True(t, strings.HasPrefix(err.Error(), "okta: POST /oauth2/v1/token at contoso.okta.com"), err.Error())
			require.ErrorContains(t, err, "[request Xreq1]")
			for _, says := range tt.says {
				require.ErrorContains(t, err, says)
			}
			require.Len(t, o.requests, 1)
		})
	}
}

func TestARateLimitOfTheTokenEndpoint(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t, func(c *oktasim.Config) { c.Rate = 2 })
	c := o.client()
	o.reads(c)
	o.server.RevokeTokens()
	_, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
	var limited *RateLimitError
	require.ErrorAs(t, err, &limited)
	require.Equal(t, TokenEndpoint, limited.Endpoint)
	require.Positive(t, limited.Wait)
	require.Equal(t, 2, o.tokens(), "not sent: the headers had said so")
}

// A scope that is missing is found before anything is read.
func TestMissingScopes(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t, func(c *oktasim.Config) { c.Apps[0].Scopes = []string{"okta.users.read"} })
	c := o.client()
	for range 2 {
		_, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
		e := requireError(t, err)
		require.Equal(t, Permanent, e.Kind)
		require.Equal(t, CodeInsufficientScope, e.Code)
		require.ErrorContains(t, err, "not sent: Okta's token lacks the scope okta.groups.read")
		require.ErrorContains(t, err, "grant the service app the scope okta.groups.read in Okta's Admin Console under Applications > Applications > (the app) > Okta API Scopes")
	}
	require.Equal(t, o.tokens(), o.server.Stats().Total, "nothing was read")
	g, err := c.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"okta.users.read"}, g.Scopes)
	require.Equal(t, []string{"okta.groups.read"}, g.Missing)
	require.Equal(t, 2, o.tokens())

	// An answer that names no scope grants what was asked for (RFC 6749 §5.1).
	o.wire = func(*http.Request) *http.Response {
		return response(http.StatusOK, `{"token_type":"bearer","access_token":"t"}`, nil)
	}
	o.app.Tokens = nil
	g, err = o.client().Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, &Grant{Scheme: "Bearer", Scopes: appScopes, Lifetime: time.Hour, Expires: appNow.Add(time.Hour)}, g)
}

// What Okta says with a 403 names what is missing: a scope, or the role.
func TestForbiddenServiceApp(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	o.wire = func(r *http.Request) *http.Response {
		if r.Method == http.MethodPost {
			return nil
		}
		return response(http.StatusForbidden, oktaBody("E0000006", "You do not have permission to perform the requested action"), map[string]string{
			"Www-Authenticate": `Bearer authorization_uri="http://contoso.okta.com/oauth2/v1/authorize", realm="http://contoso.okta.com", scope="okta.groups.read", error="insufficient_scope", error_description="The access token provided does not contain the required scopes.", resource="/api/v1/groups"`,
		})
	}
	_, _, err := c.ListGroups(t.Context(), ListGroups{}, "")
	require.ErrorContains(t, err, "grant the service app the scope okta.groups.read")
	require.ErrorContains(t, err, "insufficient_scope: The access token provided does not contain the required scopes.")

	o = newAppOrg(t, func(c *oktasim.Config) { c.Apps[0].NoRole = true })
	c = o.client()
	_, _, err = c.GetUser(t.Context(), "00u1")
	require.Equal(t, http.StatusForbidden, requireError(t, err).Status)
	require.ErrorContains(t, err, "the service app has no admin role that may read this")
	require.ErrorContains(t, err, "Admin roles")
	users, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
	require.Empty(t, users, "which an import refuses")
}

func TestProofURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"https://contoso.okta.com/api/v1/users?limit=1#x":          "https://contoso.okta.com/api/v1/users",
		"https://Contoso.okta.com/api/v1/users/a%40b":              "https://contoso.okta.com/api/v1/users/a@b",
		"https://contoso.okta.com:443/oauth2/v1/token":             "https://contoso.okta.com/oauth2/v1/token",
		"https://contoso.okta.com:8443/x":                          "https://contoso.okta.com:8443/x",
		"http://127.0.0.1:80/x":                                    "http://127.0.0.1/x",
		"http://[::1]:18080/x":                                     "http://[::1]:18080/x",
		"https://contoso.okta.com/api/v1/groups/00g1/users?after=": "https://contoso.okta.com/api/v1/groups/00g1/users",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, want, proofURL(u), in)
	}
}
