package oktasim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

const appID = "0oaapp1d7"

// rsaKey is made once: it takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// app is a service app of a simulated org, and whoever has its key. It signs by hand,
// so that it can do wrong what a client does right.
type app struct {
	*sim
	key   any // signs assertions
	proof *ecdsa.PrivateKey
	nonce string
}

func newApp(t *testing.T, change ...func(*oktasim.App, *oktasim.Config)) *app {
	t.Helper()
	a := &app{key: rsaKey(), proof: ecKey(t)}
	a.sim = newSim(t, generated(t, 20, 4), func(c *oktasim.Config) {
		registered := oktasim.App{
			ClientID: appID, Scopes: []string{"okta.users.read", "okta.groups.read"},
			Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &rsaKey().PublicKey, KeyID: "k1"}}},
		}
		for _, f := range change {
			f(&registered, c)
		}
		c.Apps = []oktasim.App{registered}
	})
	return a
}

// made is what is signed, and may be spoilt before.
type made struct {
	alg    jose.SignatureAlgorithm
	key    any
	header map[jose.HeaderKey]any
	claims map[string]any
	embed  bool
}

func (m *made) sign(t *testing.T) string {
	t.Helper()
	opts := &jose.SignerOptions{EmbedJWK: m.embed, ExtraHeaders: m.header}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: m.alg, Key: m.key}, opts)
	require.NoError(t, err)
	text, err := jwt.Signed(signer).Claims(m.claims).Serialize()
	require.NoError(t, err)
	return text
}

func (a *app) endpoint() string { return a.http.URL + "/oauth2/v1/token" }

func (a *app) assertion() *made {
	now := a.clock.Now()
	return &made{
		alg: jose.RS256, key: a.key, header: map[jose.HeaderKey]any{"kid": "k1"},
		claims: map[string]any{
			"iss": appID, "sub": appID, "aud": a.endpoint(), "jti": uuid.NewString(),
			"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		},
	}
}

func (a *app) dpop(method, target, token string) *made {
	claims := map[string]any{"htm": method, "htu": target, "iat": a.clock.Now().Unix(), "jti": uuid.NewString()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if a.nonce != "" {
		claims["nonce"] = a.nonce
	}
	return &made{alg: jose.ES256, key: a.proof, embed: true, header: map[jose.HeaderKey]any{"typ": "dpop+jwt"}, claims: claims}
}

// ask posts a token request; an empty proof sends none.
func (a *app) ask(assertion, proof string, form map[string]string, change ...func(*http.Request)) answer {
	a.t.Helper()
	values := url.Values{
		"grant_type": {"client_credentials"}, "scope": {"okta.users.read okta.groups.read"}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	for name, value := range form {
		values.Set(name, value)
	}
	return a.do(http.MethodPost, "/oauth2/v1/token", values.Encode(), append([]func(*http.Request){func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if proof != "" {
			r.Header.Set("DPoP", proof)
		}
	}}, change...)...)
}

// refuses asserts an OAuth error.
func (a answer) refuses(status int, code, text string) {
	a.t.Helper()
	require.Equal(a.t, status, a.StatusCode, "%s", a.body)
	var v map[string]string
	require.NoError(a.t, json.Unmarshal(a.body, &v), "%s", a.body)
	require.Equal(a.t, code, v["error"])
	require.Contains(a.t, v["error_description"], text)
}

// token dances for a token.
func (a *app) token() string {
	a.t.Helper()
	if a.nonce == "" {
		first := a.ask(a.assertion().sign(a.t), a.dpop("POST", a.endpoint(), "").sign(a.t), nil)
		first.refuses(400, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof.")
		a.nonce = first.Header.Get("DPoP-Nonce")
	}
	v := a.ask(a.assertion().sign(a.t), a.dpop("POST", a.endpoint(), "").sign(a.t), nil).ok(200)
	text, _ := v["access_token"].(string)
	require.NotEmpty(a.t, text)
	return text
}

// call sends an API call with a bound token, whose proof may be spoilt.
func (a *app) call(method, path, token string, spoil ...func(*made)) answer {
	a.t.Helper()
	plain, _, _ := strings.Cut(path, "?")
	m := a.dpop(method, a.http.URL+plain, token)
	for _, f := range spoil {
		f(m)
	}
	return a.do(method, path, "", func(r *http.Request) {
		r.Header.Set("Authorization", "DPoP "+token)
		r.Header.Set("DPoP", m.sign(a.t))
	})
}

func TestTokenAnswerIsLikeTheRecordedOne(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.token()
	got := a.ask(a.assertion().sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil)
	v := got.ok(200)
	require.Equal(t, "DPoP", v["token_type"])
	require.EqualValues(t, 3600, v["expires_in"])
	require.Equal(t, "okta.users.read okta.groups.read", v["scope"])
	require.Len(t, v, 4)
	seen := 0
	for _, x := range exchanges(t, "oauth_token_dpop.http") {
		if x.method != http.MethodPost {
			continue
		}
		var want map[string]any
		require.NoError(t, json.Unmarshal(x.body, &want))
		var same answer
		switch {
		case x.status == "200":
			same = got
		case want["error"] == "use_dpop_nonce":
			nonce := a.nonce
			a.nonce = ""
			same = a.ask(a.assertion().sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil)
			a.nonce = nonce
		default:
			same = a.ask(a.assertion().sign(t), "", nil)
		}
		require.Equal(t, x.status, same.Status[:3])
		answer := same.ok(same.StatusCode)
		require.ElementsMatch(t, keys(want), keys(answer))
		if x.status == "400" {
			require.Equal(t, want, answer)
		}
		require.Equal(t, x.header.Get("Dpop-Nonce") != "", same.Header.Get("DPoP-Nonce") != "", "a nonce is named where Okta names one")
		for _, name := range []string{"X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset", "Date", "X-Okta-Request-Id", "Content-Type", "Cache-Control"} {
			require.NotEmpty(t, same.Header.Get(name), name)
		}
		seen++
	}
	require.Equal(t, 4, seen)
}

func keys(m map[string]any) []string {
	var names []string
	for name := range maps.Keys(m) {
		names = append(names, name)
	}
	return names
}

func TestAssertionsAreJudged(t *testing.T) {
	t.Parallel()
	now := testNow
	for name, tt := range map[string]struct {
		spoil func(*made)
		text  string
	}{
		"unknown app":        {func(m *made) { m.claims["iss"], m.claims["sub"] = "0oaother", "0oaother" }, "Invalid value for 'client_id' parameter."},
		"another subject":    {func(m *made) { m.claims["sub"] = "0oaother" }, "must be the client_id"},
		"no subject":         {func(m *made) { delete(m.claims, "sub") }, "must be the client_id"},
		"issuer as audience": {func(m *made) { m.claims["aud"] = "http://contoso.okta.example" }, "The audience claim for client_assertion must be the endpoint invoked for the request."},
		"two audiences":      {func(m *made) { m.claims["aud"] = []any{m.claims["aud"], "x"} }, "The audience claim"},
		"a trailing slash":   {func(m *made) { m.claims["aud"] = m.claims["aud"].(string) + "/" }, "The audience claim"},
		"expired":            {func(m *made) { m.claims["exp"] = now.Unix() }, "The client_assertion token is expired."},
		"no end":             {func(m *made) { delete(m.claims, "exp") }, "The client_assertion token is expired."},
		"more than an hour":  {func(m *made) { m.claims["exp"] = now.Add(time.Hour + time.Second).Unix() }, "The client_assertion token has an expiration too far into the future."},
		"of the future":      {func(m *made) { m.claims["iat"] = now.Add(time.Second).Unix() }, "must be issued before current time"},
		"another kid":        {func(m *made) { m.header["kid"] = "k2" }, "The client_assertion JWT kid is invalid."},
		"another key":        {func(m *made) { m.alg, m.key = jose.RS256, otherRSA() }, "The client_assertion signature is invalid."},
		"a key of a kind":    {func(m *made) { m.alg, m.key = jose.ES256, ecKey(t) }, "The client_assertion signature is invalid."},
		"PS256":              {func(m *made) { m.alg = jose.PS256 }, "no JWT that is signed with a supported algorithm"},
		"HS256":              {func(m *made) { m.alg, m.key = jose.HS256, []byte(strings.Repeat("k", 32)) }, "no JWT that is signed with a supported algorithm"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			m := a.assertion()
			tt.spoil(m)
			a.ask(m.sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil).refuses(401, "invalid_client", tt.text)
			require.Equal(t, 1, a.srv.Stats().ByEndpoint["POST /oauth2/v1/token"])
		})
	}
	t.Run("what is taken", func(t *testing.T) {
		t.Parallel()
		a := newApp(t)
		a.token()
		for _, change := range []func(*made){
			func(m *made) { m.claims["exp"] = now.Add(time.Hour).Unix() },
			func(m *made) { delete(m.header, "kid") },
			func(m *made) { delete(m.claims, "iat"); delete(m.claims, "jti") },
			func(m *made) { m.alg = jose.RS384 },
			func(m *made) { m.alg = jose.RS512 },
		} {
			m := a.assertion()
			change(m)
			a.ask(m.sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil).ok(200)
		}
	})
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		a := newApp(t)
		text := a.assertion().sign(t)
		first := a.ask(text, a.dpop("POST", a.endpoint(), "").sign(t), nil)
		first.refuses(400, "use_dpop_nonce", "")
		a.nonce = first.Header.Get("DPoP-Nonce")
		a.ask(text, a.dpop("POST", a.endpoint(), "").sign(t), nil).refuses(401, "invalid_client", "The client_assertion token has already been used.")
	})
	t.Run("several keys", func(t *testing.T) {
		t.Parallel()
		second := ecKey(t)
		a := newApp(t, func(app *oktasim.App, _ *oktasim.Config) {
			app.Keys.Keys = append(app.Keys.Keys, jose.JSONWebKey{Key: &second.PublicKey, KeyID: "k2"})
		})
		a.token()
		m := a.assertion()
		delete(m.header, "kid")
		a.ask(m.sign(t), "", nil).refuses(401, "invalid_client", "The client_assertion JWT kid is invalid.")
		m = a.assertion()
		m.alg, m.key, m.header["kid"] = jose.ES256, second, "k2"
		a.ask(m.sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil).ok(200)
	})
}

var otherRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func TestTokenRequestsAreJudged(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.token()
	ask := func(form map[string]string, change ...func(*http.Request)) answer {
		return a.ask(a.assertion().sign(t), a.dpop("POST", a.endpoint(), "").sign(t), form, change...)
	}
	ask(map[string]string{"grant_type": "authorization_code"}).refuses(400, "unsupported_grant_type", "not supported")
	ask(map[string]string{"client_assertion_type": "jwt"}).refuses(401, "invalid_client", "The client_assertion_type is invalid.")
	ask(map[string]string{"client_assertion": ""}).refuses(401, "invalid_client", "no JWT")
	ask(map[string]string{"scope": ""}).refuses(400, "invalid_scope", "'scope' must be provided.")
	ask(map[string]string{"scope": "okta.users.read profile"}).refuses(400, "invalid_scope", "One or more scopes are not configured for the authorization server resource.")
	ask(map[string]string{"scope": "okta.apps.read okta.logs.read"}).refuses(400, "consent_required", "You are not allowed any of the requested scopes.")
	ask(nil, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }).refuses(400, "invalid_request", "form-encoded")
	require.Equal(t, "okta.users.read", ask(map[string]string{"scope": "okta.users.read okta.logs.read"}).ok(200)["scope"], "an ungranted scope is left out without a word")
	a.do(http.MethodGet, "/oauth2/v1/token", "").fails(405, "E0000022")
}

func TestProofsOfTokenRequestsAreJudged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil      func(*made)
		code, text string
	}{
		"typ":           {func(m *made) { m.header["typ"] = "JWT" }, "invalid_dpop_proof", "'typ' header"},
		"no jwk":        {func(m *made) { m.embed = false }, "invalid_dpop_proof", "'jwk' header"},
		"htm":           {func(m *made) { m.claims["htm"] = "GET" }, "invalid_dpop_proof", "'htm' claim in the DPoP proof JWT is invalid."},
		"htu":           {func(m *made) { m.claims["htu"] = m.claims["htu"].(string) + "?x" }, "invalid_dpop_proof", "'htu' claim in the DPoP proof JWT is invalid."},
		"double slash":  {func(m *made) { m.claims["htu"] = strings.Replace(m.claims["htu"].(string), "/oauth2", "//oauth2", 1) }, "invalid_dpop_proof", "'htu' claim"},
		"iat too old":   {func(m *made) { m.claims["iat"] = testNow.Add(-6 * time.Minute).Unix() }, "invalid_dpop_proof", "'iat' claim"},
		"iat ahead":     {func(m *made) { m.claims["iat"] = testNow.Add(time.Minute).Unix() }, "invalid_dpop_proof", "'iat' claim"},
		"no iat":        {func(m *made) { delete(m.claims, "iat") }, "invalid_dpop_proof", "'iat' claim"},
		"no jti":        {func(m *made) { delete(m.claims, "jti") }, "invalid_dpop_proof", "'jti' claim"},
		"missing nonce": {func(m *made) { delete(m.claims, "nonce") }, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof."},
		"wrong nonce":   {func(m *made) { m.claims["nonce"] = "n" }, "use_dpop_nonce", "Authorization server requires nonce in DPoP proof."},
		"HS256":         {func(m *made) { m.alg, m.key, m.embed = jose.HS256, []byte(strings.Repeat("k", 32)), false }, "invalid_dpop_proof", "The DPoP proof JWT is invalid."},
		"signature": {func(m *made) {
			public := jose.JSONWebKey{Key: &ecKey(t).PublicKey}
			m.header["jwk"], m.embed = public, false
		}, "invalid_dpop_proof", "signature is invalid"},
		"private jwk": {func(m *made) {
			m.header["jwk"], m.embed = jose.JSONWebKey{Key: m.key}, false
		}, "invalid_dpop_proof", "The DPoP proof JWT is invalid."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.token()
			m := a.dpop("POST", a.endpoint(), "")
			tt.spoil(m)
			got := a.ask(a.assertion().sign(t), m.sign(t), nil)
			got.refuses(400, tt.code, tt.text)
			require.Equal(t, tt.code == "use_dpop_nonce", got.Header.Get("DPoP-Nonce") != "")
		})
	}
	a := newApp(t)
	a.token()
	proof := a.dpop("POST", a.endpoint(), "").sign(t)
	a.ask(a.assertion().sign(t), proof, nil).ok(200)
	a.ask(a.assertion().sign(t), proof, nil).refuses(400, "invalid_dpop_proof", "'jti' claim")
	a.ask(a.assertion().sign(t), proof, nil, func(r *http.Request) { r.Header.Add("DPoP", proof) }).refuses(400, "invalid_dpop_proof", "more than one")
	a.ask(a.assertion().sign(t), "x", nil).refuses(400, "invalid_dpop_proof", "The DPoP proof JWT is invalid.")
}

func TestCallsWithABoundToken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*made)
		text  string
	}{
		"htm":         {func(m *made) { m.claims["htm"] = "POST" }, "'htm' claim in the DPoP proof JWT is invalid."},
		"htu":         {func(m *made) { m.claims["htu"] = m.claims["htu"].(string) + "?limit=1" }, "'htu' claim in the DPoP proof JWT is invalid."},
		"iat":         {func(m *made) { m.claims["iat"] = testNow.Add(-time.Hour).Unix() }, "'iat' claim"},
		"no ath":      {func(m *made) { delete(m.claims, "ath") }, "'ath' claim in the DPoP proof JWT is invalid."},
		"wrong ath":   {func(m *made) { m.claims["ath"] = "x" }, "'ath' claim"},
		"another key": {func(m *made) { m.key = ecKey(t) }, "not the one that the access token is bound to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			token := a.token()
			got := a.call("GET", "/api/v1/users?limit=1", token, tt.spoil)
			require.Equal(t, 400, got.StatusCode)
			require.Empty(t, got.body)
			host := strings.TrimPrefix(a.http.URL, "http://")
			require.Regexp(t, `^DPoP algs="RS256 RS384 RS512 ES256 ES384 ES512", authorization_uri="http://`+host+`/oauth2/v1/authorize", realm="http://`+host+`", `+
				`scope="okta.users.read okta.users.manage", error="invalid_dpop_proof", error_description="[^"]+", resource="/api/v1/users"$`, got.Header.Get("WWW-Authenticate"))
			require.Contains(t, got.Header.Get("WWW-Authenticate"), tt.text)
		})
	}
	a := newApp(t)
	token := a.token()
	require.Len(t, a.call("GET", "/api/v1/users?limit=5", token).list(), 5)
	id := a.org.UserIDs()[0]
	require.Equal(t, id, a.call("GET", "/api/v1/users/"+id, token).ok(200)["id"])

	bearer := a.do("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
	bearer.fails(401, "E0000011")
	require.Contains(t, bearer.Header.Get("WWW-Authenticate"), `error="invalid_token"`)
	missing := a.do("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "DPoP "+token) })
	require.Equal(t, 400, missing.StatusCode)
	require.Contains(t, missing.Header.Get("WWW-Authenticate"), "The DPoP proof JWT header is missing.")
	a.do("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "SSWS "+token) }).fails(401, "E0000011")
	require.Len(t, a.get("/api/v1/users?limit=5").list(), 5, "the API token goes on")
}

func TestScopesOfCalls(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(app *oktasim.App, _ *oktasim.Config) { app.Scopes = []string{"okta.users.read"} })
	token := a.token()
	host := strings.TrimPrefix(a.http.URL, "http://")
	got := a.call("GET", "/api/v1/groups", token)
	got.fails(403, "E0000006")
	require.Equal(t, `Bearer authorization_uri="http://`+host+`/oauth2/v1/authorize", realm="http://`+host+`", scope="okta.groups.read", `+
		`error="insufficient_scope", error_description="The access token provided does not contain the required scopes.", resource="/api/v1/groups"`, got.Header.Get("WWW-Authenticate"))
	a.call("POST", "/api/v1/users/"+a.org.UserIDs()[0]+"/lifecycle/deactivate", token).fails(403, "E0000006")
	a.call("GET", "/api/v1/nothing", token).fails(404, "E0000007")
}

func TestAnAppWithoutARole(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(app *oktasim.App, _ *oktasim.Config) { app.NoRole = true })
	token := a.token()
	require.Empty(t, a.call("GET", "/api/v1/users", token).list())
	require.Empty(t, a.call("GET", "/api/v1/groups?limit=1", token).list())
	a.call("GET", "/api/v1/users/"+a.org.UserIDs()[0], token).fails(403, "E0000006")
	require.NotEmpty(t, a.get("/api/v1/users").list(), "the token's owner has one")
}

func TestAnAppWithoutDPoP(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(app *oktasim.App, _ *oktasim.Config) { app.NoDPoP = true })
	for _, proof := range []string{"", a.dpop("POST", a.endpoint(), "").sign(t)} {
		got := a.ask(a.assertion().sign(t), proof, nil)
		v := got.ok(200)
		require.Equal(t, "Bearer", v["token_type"])
		require.Empty(t, got.Header.Get("DPoP-Nonce"))
		token, _ := v["access_token"].(string)
		require.NotEmpty(t, a.do("GET", "/api/v1/users", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }).list())
		a.call("GET", "/api/v1/users", token).fails(401, "E0000011")
	}
}

func TestTokensEnd(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	token := a.token()
	a.clock.Advance(time.Hour - time.Second)
	require.NotEmpty(t, a.call("GET", "/api/v1/users", token).list())
	a.clock.Advance(time.Second)
	a.call("GET", "/api/v1/users", token).fails(401, "E0000011")

	token = a.token()
	require.Equal(t, 1, a.srv.RevokeTokens(), "the ended one is forgotten")
	a.call("GET", "/api/v1/users", token).fails(401, "E0000011")

	short := newApp(t, func(_ *oktasim.App, c *oktasim.Config) { c.TokenLifetime = time.Minute })
	token = short.token()
	short.clock.Advance(time.Minute)
	short.call("GET", "/api/v1/users", token).fails(401, "E0000011")
}

func TestNoncesRotate(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.token()
	old := a.nonce
	ask := func() answer { return a.ask(a.assertion().sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil) }
	a.clock.Advance(24 * time.Hour)
	got := ask()
	got.ok(200)
	require.NotEqual(t, old, got.Header.Get("DPoP-Nonce"), "a new one is named")
	a.clock.Advance(72*time.Hour - time.Second)
	ask().ok(200) // the old one is taken for three days
	a.clock.Advance(2 * time.Second)
	ask().refuses(400, "use_dpop_nonce", "")

	a.nonce = ""
	a.token()
	a.srv.RotateNonce(false)
	ask().ok(200)
	a.srv.RotateNonce(true)
	got = ask()
	got.refuses(400, "use_dpop_nonce", "")
	a.nonce = got.Header.Get("DPoP-Nonce")
	ask().ok(200)

	token := a.token()
	a.nonce = ""
	require.NotEmpty(t, a.call("GET", "/api/v1/users", token).list(), "API calls need none")
	a.srv.RequireNonce(true)
	got = a.call("GET", "/api/v1/users", token)
	require.Equal(t, 401, got.StatusCode)
	require.Contains(t, got.Header.Get("WWW-Authenticate"), `error="use_dpop_nonce"`)
	a.nonce = got.Header.Get("DPoP-Nonce")
	got = a.call("GET", "/api/v1/users", token)
	require.NotEmpty(t, got.list())
	require.Equal(t, a.nonce, got.Header.Get("DPoP-Nonce"))
}

func TestControlOAuth(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(_ *oktasim.App, c *oktasim.Config) { c.Control = true })
	a.token()
	old := a.nonce
	require.Equal(t, map[string]any{"apps": []any{appID}, "tokens": 1.0, "nonceOnAPI": false}, a.do("GET", "/-/oauth", "").ok(200))
	require.Equal(t, map[string]any{"apps": []any{appID}, "tokens": 0.0, "nonceOnAPI": true},
		a.do("POST", "/-/oauth", `{"rotateNonce":true,"refuseOld":true,"nonceOnAPI":true,"revokeTokens":true}`).ok(200))
	require.Equal(t, old, a.nonce)
	a.ask(a.assertion().sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil).refuses(400, "use_dpop_nonce", "")
	require.Equal(t, 400, a.do("POST", "/-/oauth", `{"refuseOld":true}`).StatusCode)
	require.Equal(t, 400, a.do("POST", "/-/oauth", `{"rotate":true}`).StatusCode)
	require.Equal(t, 405, a.do("DELETE", "/-/oauth", "").StatusCode)
}

func TestSetAppReplaces(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	token := a.token()
	a.srv.SetApp(oktasim.App{ClientID: appID, Scopes: []string{"okta.users.read"}, Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &otherRSA().PublicKey}}}})
	m := a.assertion()
	delete(m.header, "kid")
	a.ask(m.sign(t), "", nil).refuses(401, "invalid_client", "signature")
	m.key = otherRSA()
	a.ask(m.sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil).ok(200)
	require.NotEmpty(t, a.call("GET", "/api/v1/users", token).list(), "a token goes on as it was granted")
}

func TestTokenEndpointHasABucket(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(_ *oktasim.App, c *oktasim.Config) { c.Rate = 2 })
	a.token()
	a.ask(a.assertion().sign(t), a.dpop("POST", a.endpoint(), "").sign(t), nil).fails(429, "E0000047")
	require.NotEmpty(t, a.get("/api/v1/users").list())
}
