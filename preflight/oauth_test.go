package preflight_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/secrets"
)

// serviceApp is a bench whose connector is a service app. token answers token requests; the rest
// of the org takes an access token for the API token.
func serviceApp(t *testing.T, token http.HandlerFunc) *bench {
	t.Helper()
	b := newBench(t)
	b.web.Close()
	b.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Okta-Request-Id", "req-1")
		if r.URL.Path == okta.TokenEndpoint {
			token(w, r)
			return
		}
		if strings.HasSuffix(r.Header.Get("Authorization"), " "+access) {
			r.Header.Set("Authorization", "SSWS "+canary)
		}
		b.sim.ServeHTTP(w, r)
	}))
	t.Cleanup(b.web.Close)
	b.auth = fmt.Sprintf(`{"Mode": "OAuth", "ClientId": "0oa1gjh63g214q0Hq0g4", "PrivateKey": %q}`, ref)
	b.applyAs(b.definition())
	b.vault(privatePEM(t, newKey(t)))
	return b
}

// vault gives the connector a secret.
func (b *bench) vault(value string) {
	b.keep(holding{value: value, place: secrets.Place{Name: "the folder /run/secrets"}, info: secrets.Info{Updated: time.Now().Add(-100 * day)}})
}

// access is an access token.
const access = "access-token-of-the-test-0123456789"

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func privatePEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// grants answers with a token.
func grants(scheme, scope string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"token_type":%q,"expires_in":3600,"access_token":%q,"scope":%q}`, scheme, access, scope)
	}
}

// declines answers with an error of OAuth.
func declines(status int, code, description string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":%q,"error_description":%q}`, code, description)
	}
}

const bothScopes = "okta.users.read okta.groups.read"

func TestServiceApp(t *testing.T) {
	t.Parallel()
	b := serviceApp(t, grants("DPoP", bothScopes))
	r := b.run()
	require.Equal(t, 1, r.Count(preflight.Warning), text(r)) // its age
	require.Zero(t, r.Count(preflight.Failed)+r.Count(preflight.Skipped), text(r))
	requireStep(t, r, preflight.Credential, preflight.OK, "Okta accepts the service app 0oa1gjh63g214q0Hq0g4; its access token is bound to a key by DPoP, and lives 3600 s", "")
	requireStep(t, r, preflight.Scopes, preflight.OK, "granted: okta.users.read, okta.groups.read", "")
	requireStep(t, r, preflight.SecretAge, preflight.Warning, "100 days ago", "make a new one in Okta")
	require.Nil(t, r.Step(preflight.SecretUse), "Okta revokes no unused key")
	require.Equal(t, 8, r.Calls, "one for the token")
	require.NotContains(t, text(r), access)

	b = serviceApp(t, grants("Bearer", bothScopes))
	requireStep(t, b.run(), preflight.Credential, preflight.OK, "a bearer token, since the app does not require DPoP", "")
}

func TestServiceAppThatCannotSignIn(t *testing.T) {
	t.Parallel()
	broken := func(b *bench) { b.vault("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n") }
	for what, c := range map[string]struct {
		token         http.HandlerFunc
		spoil         func(*bench)
		id            preflight.ID
		result        preflight.Result
		found, advice string
	}{
		"no key":             {nil, broken, preflight.Secret, preflight.Failed, "in the folder /run/secrets cannot be used", "take the private key of the service app, as PEM or JWK"},
		"an API token":       {nil, func(b *bench) { b.vault(canary) }, preflight.Secret, preflight.Failed, "cannot be used", "take the private key"},
		"unknown key":        {declines(401, "invalid_client", "The client_assertion signature is invalid."), nil, preflight.Credential, preflight.Failed, "401 Unauthorized: invalid_client The client_assertion signature is invalid.", "check in Okta's Admin Console"},
		"it is Okta":         {declines(401, "invalid_client", "The client_assertion signature is invalid."), nil, preflight.IsOkta, preflight.OK, "request req-1", ""},
		"nothing is read":    {declines(401, "invalid_client", "x"), nil, preflight.ListUsers, preflight.Skipped, "Credential comes first", ""},
		"no scope at all":    {declines(400, "consent_required", "x"), nil, preflight.Credential, preflight.Failed, "400 Bad Request: consent_required", "Okta API Scopes"},
		"one scope":          {grants("DPoP", "okta.users.read"), nil, preflight.Scopes, preflight.Failed, "granted: okta.users.read; not granted: okta.groups.read", "Okta API Scopes"},
		"not one":            {grants("DPoP", ""), nil, preflight.Scopes, preflight.Failed, "granted: none; not granted: okta.users.read, okta.groups.read", "Okta API Scopes"},
		"then no right":      {grants("DPoP", ""), nil, preflight.ListUsers, preflight.Skipped, "Scopes comes first", ""},
		"another server":     {html(404), nil, preflight.IsOkta, preflight.Failed, "404 Not Found", "the answer is not Okta's"},
		"trouble":            {refuse(500, "E0000009", "Internal Server Error"), nil, preflight.Credential, preflight.Failed, "500 Internal Server Error", "check again"},
		"a used up limit":    {refuse(429, "E0000047", "API call exceeded rate limit"), nil, preflight.Credential, preflight.Failed, "429", "check again in "},
		"nobody":             {nil, func(b *bench) { b.web.Close() }, preflight.TCP, preflight.Failed, "refused", "outbound HTTPS"},
		"no admin role":      {grants("DPoP", bothScopes), func(b *bench) { fault(b, "role-lost") }, preflight.ListUsers, preflight.Failed, "Okta lists nobody", "a service app without an admin role gets exactly this"},
		"forbidden":          {grants("DPoP", bothScopes), func(b *bench) { b.answer(groupsPath, denied) }, preflight.ListGroups, preflight.Failed, forbidden, "the service app has no admin role that may read this"},
		"refused by the API": {grants("Bearer", bothScopes), func(b *bench) { b.answer("", refuse(401, "E0000011", "Invalid token provided")) }, preflight.Credential, preflight.Failed, "401 Unauthorized: E0000011", "Okta refuses the service app's access token"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := serviceApp(t, c.token)
			if c.spoil != nil {
				c.spoil(b)
			}
			requireStep(t, b.run(), c.id, c.result, c.found, c.advice)
		})
	}
}

// The org's own authorization server, as strict as Okta's.
func TestServiceAppOfAStrictOrg(t *testing.T) {
	t.Parallel()
	const clientID = "0oa1gjh63g214q0Hq0g4"
	scopes := strings.Fields(bothScopes)
	for what, c := range map[string]struct {
		app           oktasim.App
		nonceOnAPI    bool
		calls         int
		id            preflight.ID
		result        preflight.Result
		found, advice string
	}{
		"DPoP":          {oktasim.App{Scopes: scopes}, false, 10, preflight.Credential, preflight.OK, "bound to a key by DPoP, and lives 3600 s", ""},
		"nonces":        {oktasim.App{Scopes: scopes}, true, 11, preflight.ListUsers, preflight.OK, "allowed", ""},
		"bearer":        {oktasim.App{Scopes: scopes, NoDPoP: true}, false, 9, preflight.Credential, preflight.OK, "a bearer token", ""},
		"no role":       {oktasim.App{Scopes: scopes, NoRole: true}, false, 4, preflight.ListUsers, preflight.Failed, "Okta lists nobody", "a service app without an admin role gets exactly this"},
		"no right":      {oktasim.App{Scopes: scopes[:1]}, false, 2, preflight.Scopes, preflight.Failed, "granted: okta.users.read; not granted: okta.groups.read", "Okta API Scopes"},
		"another's key": {oktasim.App{Scopes: scopes, Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &newKey(t).PublicKey}}}}, false, 1, preflight.Credential, preflight.Failed, "invalid_client", "check in Okta's Admin Console"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			key := newKey(t)
			c.app.ClientID = clientID
			if c.app.Keys.Keys == nil {
				c.app.Keys = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey}}}
			}
			b := newBench(t, func(o *oktasim.Config) { o.Apps, o.NonceOnAPI = []oktasim.App{c.app}, c.nonceOnAPI })
			b.auth = fmt.Sprintf(`{"Mode": "OAuth", "ClientId": %q, "PrivateKey": %q}`, clientID, ref)
			b.applyAs(b.definition(`"UserSearchFilter": "status pr"`))
			b.vault(privatePEM(t, key))
			r := b.run()
			requireStep(t, r, c.id, c.result, c.found, c.advice)
			require.Equal(t, c.calls, r.Calls, text(r))
		})
	}
}
