package okta

import (
	"context"
	"crypto/elliptic"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestServiceAppReads(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	users, page, err := c.ListUsers(t.Context(), ListUsers{Limit: 20}, "")
	require.NoError(t, err)
	_, _, err = c.ListUsers(t.Context(), ListUsers{}, page.Next)
	require.NoError(t, err, "a next link has a query, which is no part of a proof's htu")
	_, _, err = c.GetUser(t.Context(), users[0].ID)
	require.NoError(t, err)
	_, _, err = c.ListGroups(t.Context(), ListGroups{}, "")
	require.NoError(t, err)
	require.Equal(t, []string{
		"POST /oauth2/v1/token Bad Request", "POST /oauth2/v1/token OK", "GET /api/v1/users OK", "GET /api/v1/users OK",
		"GET /api/v1/users OK", "GET /api/v1/users/{id} OK", "GET /api/v1/groups OK",
	}, o.endpoints(), "the first request learns the nonce")
	require.Equal(t, o.server.Stats().Total, len(o.calls), "OnCall is told of token requests")
	for _, call := range o.calls {
		require.True(t, call.Rate.Known, call.Endpoint)
		require.Equal(t, call.Endpoint == TokenEndpoint, call.Rate.Bucket == "/oauth2/v1")
	}
	g, err := c.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, &Grant{Scheme: "DPoP", Scopes: appScopes, Lifetime: time.Hour, Expires: appNow.Add(time.Hour)}, g)
	require.Equal(t, 2, o.tokens())
}

func TestServiceAppWithoutDPoP(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t, func(c *oktasim.Config) { c.Apps[0].NoDPoP = true })
	c := o.client()
	o.reads(c)
	o.reads(c)
	require.Equal(t, 1, o.tokens())
	last := o.requests[len(o.requests)-1]
	require.True(t, strings.HasPrefix(last.Header.Get("Authorization"), "Bearer "))
	require.Empty(t, last.Header.Get("DPoP"))
	g, err := c.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, "Bearer", g.Scheme)
}

func TestGrantOfAnAPIToken(t *testing.T) {
	t.Parallel()
	client := failing(t, context.Canceled)
	g, err := client.Grant(t.Context())
	require.NoError(t, err)
	require.Equal(t, &Grant{Scheme: "SSWS"}, g)
}

// Many clients that start at the same time fetch one token.
func TestOneFetchForManyClients(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	var wg sync.WaitGroup
	for range 20 {
		c := o.client()
		for range 3 {
			wg.Go(func() {
				if _, _, err := c.ListUsers(t.Context(), ListUsers{Limit: 1}, ""); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	require.Equal(t, 2, o.tokens(), "one without a nonce, one with it")
	require.Equal(t, 60, o.server.Stats().ByEndpoint["GET /api/v1/users"])
}

// Who gives up while it fetches for others leaves them to fetch for themselves.
func TestTheOneWhoFetchesGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &tokenSource{}
		now := time.Now
		first, cancel := context.WithCancel(t.Context())
		fetches := 0
		slow := func(ctx context.Context) (*accessToken, error) {
			fetches++
			<-ctx.Done()
			return nil, ctx.Err()
		}
		quick := func(context.Context) (*accessToken, error) {
			fetches++
			return newAccessToken("t", true, nil, time.Now(), time.Hour), nil
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.get(first, now, slow)
			if err == nil {
				t.Error("the one who gave up got a token")
			}
		})
		synctest.Wait()
		for range 5 {
			wg.Go(func() {
				token, err := s.get(t.Context(), now, quick)
				if err != nil || token.value() != "t" {
					t.Error(token, err)
				}
			})
		}
		impatient, stop := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := s.get(impatient, now, quick); err != context.Canceled { //nolint:errorlint // as it is
				t.Error(err)
			}
		})
		synctest.Wait()
		stop()
		synctest.Wait()
		cancel()
		wg.Wait()
		require.Equal(t, 2, fetches)
	})
}

// A token is renewed at five minutes before its end, by Okta's clock, and never used
// after it.
func TestTokensAreRenewedBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	require.Equal(t, 2, o.tokens())
	o.clock.Advance(55*time.Minute - 2*time.Second)
	o.reads(c)
	require.Equal(t, 2, o.tokens())
	o.clock.Advance(3 * time.Second)
	o.reads(c)
	require.Equal(t, 3, o.tokens(), "with the nonce that is known one request is enough")
	o.reads(o.client())
	require.Equal(t, 3, o.tokens())
	o.clock.Advance(2 * time.Hour)
	o.reads(o.client())
	require.Equal(t, 4, o.tokens())
}

// While a token lives, trouble with its renewal is no trouble of the call; and it is not
// tried again with each call.
func TestAnEarlyRenewalMayFail(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	o.clock.Advance(56 * time.Minute)
	down := true
	o.wire = func(r *http.Request) *http.Response {
		if r.URL.Path != TokenEndpoint || !down {
			return nil
		}
		return response(http.StatusServiceUnavailable, "", nil)
	}
	o.reads(c)
	o.reads(c)
	require.Equal(t, 2, o.tokens())
	count := func() (n int) {
		for _, r := range o.requests {
			if r.Method == http.MethodPost {
				n++
			}
		}
		return n
	}
	require.Equal(t, 3, count())
	o.clock.Advance(31 * time.Second)
	o.reads(c)
	require.Equal(t, 4, count())
	o.clock.Advance(4 * time.Minute)
	_, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
	e := requireError(t, err)
	require.Equal(t, RetryLater, e.Kind)
	require.Equal(t, TokenEndpoint, e.Endpoint)
	require.Equal(t, http.MethodPost, e.Method)
	down = false
	o.reads(c)
}

// A token that is refused in mid-run is fetched once more; when Okta refuses the new one
// too, the 401 surfaces.
func TestARefusedTokenIsFetchedOnceMore(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	o.server.RevokeTokens()
	o.reads(c)
	require.Equal(t, 3, o.tokens())

	o.wire = func(r *http.Request) *http.Response {
		if r.Method == http.MethodGet {
			return response(http.StatusUnauthorized, oktaBody("E0000011", "Invalid token provided"), nil)
		}
		return nil
	}
	before := len(o.requests)
	_, page, err := c.ListUsers(t.Context(), ListUsers{}, "")
	e := requireError(t, err)
	require.Equal(t, Permanent, e.Kind)
	require.Equal(t, http.StatusUnauthorized, e.Status)
	require.Equal(t, http.StatusUnauthorized, page.Status)
	require.ErrorContains(t, err, "refuses the service app's access token, a new one too")
	require.NotContains(t, err.Error(), "starter secret set")
	require.Equal(t, 4, o.tokens())
	require.Len(t, o.requests[before:], 3, "the call, the token, the call")

	o.wire = func(r *http.Request) *http.Response {
		if r.Method == http.MethodGet {
			return response(http.StatusUnauthorized, oktaBody("E0000015", "You do not have permission to access the feature you are requesting"), nil)
		}
		return nil
	}
	_, _, err = c.ListUsers(t.Context(), ListUsers{}, "")
	require.ErrorContains(t, err, "the access token itself is valid, but the service app may not use this feature")
	require.Equal(t, 4, o.tokens(), "that is not about the token")
}

// Many calls whose token is refused at the same time fetch one new token.
func TestManyRefusalsOneFetch(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	o.server.RevokeTokens()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, _, err := c.ListUsers(t.Context(), ListUsers{Limit: 1}, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 3, o.tokens())
}

func TestNoncesAreRenewed(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	c := o.client()
	o.reads(c)
	// The authorization server's: at the next fetch.
	o.server.RotateNonce(true)
	o.reads(c)
	o.server.RevokeTokens()
	o.reads(c)
	require.Equal(t, 4, o.tokens(), "one with the old nonce, one with the new one")
	// The API's: at once.
	before := len(o.requests)
	o.server.RequireNonce(true)
	o.reads(c)
	o.reads(o.client())
	require.Len(t, o.requests[before:], 3, "once refused, then known to all clients")
	o.server.RotateNonce(true)
	o.reads(c)
	require.Len(t, o.requests[before:], 5)
	// A success names a new one, which the next call has.
	o.server.RotateNonce(false)
	o.reads(c)
	o.server.RotateNonce(true)
	o.reads(c)
	require.Equal(t, 4, o.tokens())
}

// Every DPoP-Nonce that an answer names is taken, whatever its status (peers.md,
// complaint 19).
func TestNoStaleNonce(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusTooManyRequests, http.StatusInternalServerError} {
		o := newAppOrg(t)
		c := o.client()
		var nonces []string
		o.wire = func(r *http.Request) *http.Response {
			if r.Method != http.MethodPost {
				return nil
			}
			nonces = append(nonces, proofOf(t, r).Nonce)
			switch len(nonces) {
			case 1:
				return response(http.StatusBadRequest, `{"error":"use_dpop_nonce"}`, map[string]string{"DPoP-Nonce": "n1"})
			case 2:
				return response(status, `{"error":"invalid_request"}`, map[string]string{"DPoP-Nonce": "n2"})
			default:
				return response(http.StatusOK, `{"token_type":"DPoP","access_token":"t","expires_in":3600}`, map[string]string{"DPoP-Nonce": "n3"})
			}
		}
		_, _, err := c.ListUsers(t.Context(), ListUsers{}, "")
		require.Error(t, err)
		o.clock.Advance(time.Minute)
		_, err = c.token(t)
		require.NoError(t, err)
		require.Equal(t, []string{"", "n1", "n2"}, nonces)
	}
}

func (c *Client) token(t *testing.T) (*accessToken, error) {
	t.Helper()
	app, ok := c.signer.(*appSigner)
	require.True(t, ok)
	return app.token(t.Context())
}

// Without a nonce to try, and with one that is refused again, the call ends; later it may
// succeed.
func TestNonceDanceEnds(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]map[string]string{
		"none": nil, "always another": {"DPoP-Nonce": "other"}, "malformed": {"DPoP-Nonce": "a b"}, "too long": {"DPoP-Nonce": strings.Repeat("n", 600)},
	} {
		o := newAppOrg(t)
		n := 0
		o.wire = func(*http.Request) *http.Response {
			n++
			return response(http.StatusBadRequest, `{"error":"use_dpop_nonce","error_description":"Authorization server requires nonce in DPoP proof."}`, header)
		}
		_, _, err := o.client().ListUsers(t.Context(), ListUsers{}, "")
		require.Equal(t, RetryLater, requireError(t, err).Kind, name)
		want := 1
		if name == "always another" {
			want = 2
		}
		require.Equal(t, want, n, name)
	}
}

// A call of the API that asks for a nonce is repeated once, however it asks.
func TestNonceOfTheAPI(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]struct {
		status          int
		body, challenge string
	}{
		"401, RFC 9449": {http.StatusUnauthorized, "", `DPoP error="use_dpop_nonce", error_description="Resource server requires nonce in DPoP proof"`},
		"400":           {http.StatusBadRequest, `{"error":"use_dpop_nonce"}`, ""},
	} {
		o := newAppOrg(t)
		c := o.client()
		o.reads(c)
		var nonces []string
		o.wire = func(r *http.Request) *http.Response {
			nonces = append(nonces, proofOf(t, r).Nonce)
			if len(nonces) == 1 {
				return response(refusal.status, refusal.body, map[string]string{"DPoP-Nonce": "n1", "Www-Authenticate": refusal.challenge})
			}
			return nil
		}
		o.reads(c)
		require.Equal(t, []string{"", "n1"}, nonces, name)
		require.Equal(t, 2, o.tokens(), "the token is not to blame")
	}
}

// A machine whose clock is hours off signs by Okta's, from the first refusal on.
func TestAWrongClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-26 * time.Hour, -time.Hour, 20 * time.Second, time.Hour, 26 * time.Hour} {
		o := newAppOrg(t)
		o.limits.now = func() time.Time { return o.clock.Now().Add(off) }
		c := o.client()
		o.reads(c)
		require.Equal(t, 3, o.tokens(), "%s: refused, without a nonce, with it", off)
		o.clock.Advance(time.Hour)
		o.reads(c)
		require.Equal(t, 4, o.tokens())
	}
	o := newAppOrg(t)
	o.limits.now = func() time.Time { return o.clock.Now().Add(3 * time.Second) }
	o.reads(o.client())
	require.Equal(t, 2, o.tokens(), "a few seconds ahead are allowed for")

	o = newAppOrg(t)
	o.app.PrivateKey = pkcs8(t, someEC(t, elliptic.P256()))
	_, _, err := o.client().ListUsers(t.Context(), ListUsers{}, "")
	require.ErrorContains(t, err, "signature is invalid")
	require.Equal(t, 1, o.tokens(), "with the right clock there is nothing to try again")
}

// While a machine sleeps its clock stands still: the next proof is too old, and so is the
// next assertion.
func TestAMachineThatSlept(t *testing.T) {
	t.Parallel()
	var asleep time.Duration
	o := newAppOrg(t)
	o.limits.now = func() time.Time { return o.clock.Now().Add(-asleep) }
	c := o.client()
	o.reads(c)
	asleep = 30 * time.Minute
	o.clock.Advance(asleep)
	before := len(o.requests)
	o.reads(c)
	require.Len(t, o.requests[before:], 2, "refused for its time, and right")
	asleep += 2 * time.Hour
	o.clock.Advance(2 * time.Hour)
	before = len(o.requests)
	o.reads(c)
	require.Equal(t, 3, o.tokens())
	require.Len(t, o.requests[before:], 3, "the ended token, a new one, the call")

	o.server.RevokeTokens()
	asleep += 2 * time.Hour
	o.clock.Advance(2 * time.Hour)
	o.limits.clock.lo, o.limits.clock.hi = o.limits.clock.lo.Add(time.Hour), o.limits.clock.hi.Add(time.Hour) // the token ended for us, too
	o.reads(c)
	require.Equal(t, 5, o.tokens(), "an assertion of another time, and a right one")
}

// A secret that was replaced counts from the next activity on: its client has another
// key, and so a token of its own.
func TestAReplacedKey(t *testing.T) {
	t.Parallel()
	o := newAppOrg(t)
	old := o.client()
	o.reads(old)
	second := someEC(t, elliptic.P256())
	o.server.SetApp(oktasim.App{ClientID: appID, Scopes: appScopes, Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &second.PublicKey}}}})
	o.app.PrivateKey = jwkOf(t, second, nil)
	o.reads(o.client())
	require.Equal(t, 4, o.tokens(), "another key, another dance")
	o.app.PrivateKey = pkcs8(t, second)
	o.reads(o.client())
	require.Equal(t, 4, o.tokens(), "the same key, written otherwise")
	o.reads(old)
	require.Equal(t, 4, o.tokens(), "the old token goes on while it lives")
}

// What may not share a token does not, and what was not used for long is forgotten.
func TestTokensAreKeptApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var tokens Tokens
		seen := map[*tokenSource]bool{}
		for _, k := range []tokenKey{
			{"a", "b", "c", "d", "e"}, {"x", "b", "c", "d", "e"}, {"a", "x", "c", "d", "e"}, {"a", "b", "x", "d", "e"},
			{"a", "b", "c", "x", "e"}, {"a", "b", "c", "d", "x"},
		} {
			s, err := tokens.of(k)
			require.NoError(t, err)
			again, err := tokens.of(k)
			require.NoError(t, err)
			require.Same(t, s, again)
			require.False(t, seen[s])
			seen[s] = true
		}
		time.Sleep(unusedFor + time.Second)
		_, err := tokens.of(tokenKey{origin: "new"})
		require.NoError(t, err)
		require.Len(t, tokens.sources, 1)
	})
}

// The buckets are the app's, whatever its key, and not those of a token.
func TestAccounts(t *testing.T) {
	t.Parallel()
	one, two := appOf(t), appOf(t)
	account := func(c Credentials) uint64 {
		client, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: c})
		require.NoError(t, err)
		return client.signer.account()
	}
	require.Equal(t, account(one), account(two))
	require.NotEqual(t, account(one), account(APIToken(appID)))
	require.Equal(t, account(APIToken(canary)), account(APIToken(canary)))
}

func TestServiceAppOptions(t *testing.T) {
	t.Parallel()
	key := pkcs8(t, someEC(t, elliptic.P256()))
	for name, tt := range map[string]struct {
		app  ServiceApp
		want string
	}{
		"no id":       {ServiceApp{PrivateKey: key, Scopes: appScopes}, "has no ClientID"},
		"no scopes":   {ServiceApp{ClientID: appID, PrivateKey: key}, "has no Scopes"},
		"odd id":      {ServiceApp{ClientID: "a b", PrivateKey: key, Scopes: appScopes}, "holds a space"},
		"odd scope":   {ServiceApp{ClientID: appID, PrivateKey: key, Scopes: []string{"a b"}}, "holds a space"},
		"empty scope": {ServiceApp{ClientID: appID, PrivateKey: key, Scopes: []string{""}}, "is empty"},
		"no key":      {ServiceApp{ClientID: appID, Scopes: appScopes}, "the private key is empty"},
	} {
		_, err := tt.app.Credentials()
		require.ErrorContains(t, err, tt.want, name)
	}
	_, err := New(Options{BaseURL: "https://contoso.okta.com"})
	require.ErrorContains(t, err, "Credentials are missing")
}
