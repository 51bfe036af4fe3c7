package okta

import (
	"crypto/elliptic"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

const appID = "0oaapp1d7"

var appScopes = []string{"okta.users.read", "okta.groups.read"}

// appOf returns the credentials of some service app.
func appOf(t testing.TB) Credentials {
	t.Helper()
	c, err := ServiceApp{ClientID: appID, PrivateKey: pkcs8(t, someEC(t, elliptic.P256())), Scopes: appScopes}.Credentials()
	require.NoError(t, err)
	return c
}

func requireError(t testing.TB, err error) *Error {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok, "%v", err)
	return e
}

// appOrg is a simulated org with a service app, and what its clients share.
type appOrg struct {
	testing.TB
	clock  *oktasim.Clock
	server *oktasim.Server
	app    ServiceApp
	limits *Limits
	// wire sees every request before the org does, and may answer in its place.
	wire func(*http.Request) *http.Response

	mu       sync.Mutex
	calls    []Call
	requests []*http.Request
}

var appNow = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// newAppOrg serves an org whose clock, and this machine's, stands.
func newAppOrg(t testing.TB, edit ...func(*oktasim.Config)) *appOrg {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: 30, Groups: 4, Seed: 1, Now: appNow})
	require.NoError(t, err)
	key := someEC(t, elliptic.P256())
	o := &appOrg{TB: t, clock: oktasim.StandingClock(appNow)}
	cfg := oktasim.Config{Org: org, Clock: o.clock, Apps: []oktasim.App{{
		ClientID: appID, Scopes: appScopes, Keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey}}},
	}}}
	for _, f := range edit {
		f(&cfg)
	}
	o.server = oktasim.New(cfg)
	o.app = ServiceApp{ClientID: appID, PrivateKey: pkcs8(t, key), Scopes: appScopes, Tokens: new(Tokens)}
	o.limits = NewLimits()
	o.limits.now = o.clock.Now
	return o
}

// client returns one more client of the app, as each activity has one.
func (o *appOrg) client() *Client {
	o.Helper()
	credentials, err := o.app.Credentials()
	require.NoError(o, err)
	inner := o.server.Transport()
	c, err := New(Options{
		BaseURL: "https://contoso.okta.com", Credentials: credentials, Limits: o.limits,
		OnCall: func(c Call) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.calls = append(o.calls, c)
		},
		HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			o.mu.Lock()
			o.requests = append(o.requests, r)
			o.mu.Unlock()
			if o.wire != nil {
				if resp := o.wire(r); resp != nil {
					return resp, nil
				}
			}
			return inner.RoundTrip(r)
		})},
	})
	require.NoError(o, err)
	return c
}

// tokens returns how many token requests were made.
func (o *appOrg) tokens() int { return o.server.Stats().ByEndpoint["POST "+TokenEndpoint] }

// reads lists users and requires that some are listed.
func (o *appOrg) reads(c *Client) {
	o.Helper()
	users, _, err := c.ListUsers(o.Context(), ListUsers{Limit: 5}, "")
	require.NoError(o, err)
	require.Len(o, users, 5)
}

// endpoints returns the calls so far as "METHOD endpoint status".
func (o *appOrg) endpoints() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []string
	for _, c := range o.calls {
		all = append(all, c.Method+" "+c.Endpoint+" "+http.StatusText(c.Status))
	}
	return all
}
