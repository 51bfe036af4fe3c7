package workflows_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/workflows"
)

const (
	oauthClient = "0oaapp1d7"
	tokenCalls  = "POST /oauth2/v1/token"
)

// keySecret is a secret that can be replaced.
type keySecret struct {
	mu   sync.Mutex
	text string
}

func (s *keySecret) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return secrets.NewValue([]byte(s.text)), nil
}

func (s *keySecret) set(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = text
}

// newKey returns a private key as PEM, and the set of its public part.
func newKey(t require.TestingT) (text string, public jose.JSONWebKeySet) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	text = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return text, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey}}}
}

// asServiceApp has a pipeline sign in as a service app. Its activities read a page each.
func asServiceApp(change ...func(*oktasim.App)) func(*pipeline) {
	return func(p *pipeline) {
		text, public := newKey(p)
		app := oktasim.App{ClientID: oauthClient, Keys: public, Scopes: []string{"okta.users.read", "okta.groups.read"}}
		for _, f := range change {
			f(&app)
		}
		p.apps, p.secrets, p.turn = []oktasim.App{app}, &keySecret{text: text}, time.Nanosecond
		p.auth = map[string]any{"Mode": "OAuth", "ClientId": oauthClient, "PrivateKey": "secret://okta/sim/privatekey"}
	}
}

// twoImports returns an org imported with an API token, and a pipeline that is to import
// an equal one as a service app.
func twoImports(t *testing.T, change ...func(*oktasim.App)) (withToken, withApp *pipeline) {
	t.Helper()
	start := time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC)
	store := openStore(t)
	one := func(edit ...func(*pipeline)) *pipeline {
		org, err := oktasim.Generate(oktasim.Spec{Users: 230, Groups: 12, Seed: 5, Now: start})
		require.NoError(t, err)
		return newPipeline(t, store, org, oktasim.StandingClock(start), map[string]any{"PageSize": 20}, edit...)
	}
	withToken = one()
	withToken.must(workflows.Full, mesh.Completed)
	return withToken, one(asServiceApp(change...))
}

// TestAServiceAppImportsTheSame: the mode of signing in changes nothing of an import but
// the token requests, and there are three of them however many activities read: one that
// is told the org's time, which is not this machine's, one that is told the nonce, and
// one that has both.
func TestAServiceAppImportsTheSame(t *testing.T) {
	t.Parallel()
	for name, noDPoP := range map[string]bool{"DPoP": false, "bearer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := twoImports(t, func(app *oktasim.App) { app.NoDPoP = noDPoP })
			b.must(workflows.Full, mesh.Completed)
			require.Equal(t, a.live(), b.live())
			b.checkFeed(true)
			with, without := b.sim.Stats().ByEndpoint, a.sim.Stats().ByEndpoint
			want := 3
			if noDPoP {
				want = 2
			}
			require.Equal(t, want, with[tokenCalls])
			delete(with, tokenCalls)
			require.Equal(t, without, with)

			deltaTokens := func() int {
				b.sim.ResetStats()
				b.must(workflows.Delta, mesh.Completed)
				return b.sim.Stats().ByEndpoint[tokenCalls]
			}
			b.clock.Advance(15 * time.Minute)
			require.Zero(t, deltaTokens(), "the worker still has the token")
			b.clock.Advance(time.Hour)
			require.Equal(t, 1, deltaTokens(), "it has ended")
		})
	}
}

// TestATokenEndsInMidRun: the token ends, is revoked, and the nonces change while a run
// reads; nothing is read twice for it but what was refused, and the mesh is the same.
func TestATokenEndsInMidRun(t *testing.T) {
	t.Parallel()
	a, b := twoImports(t)
	// One call at a time, so that no answer of before overtakes the first one that tells the
	// new time.
	b.define(map[string]any{"PageSize": 20, "MaxInFlight": 1})
	requests := 0
	b.before(func() {
		switch requests++; requests {
		case 6:
			b.clock.Advance(61 * time.Minute) // the client's clock does not know yet
		case 12:
			b.sim.RotateNonce(true) // of the next token request
			b.sim.RevokeTokens()
		case 18:
			b.sim.RequireNonce(true)
		case 24:
			b.sim.RotateNonce(true)
		}
	})
	b.must(workflows.Full, mesh.Completed)
	require.Greater(t, requests, 30)
	require.Equal(t, a.live(), b.live())
	b.checkFeed(true)
	require.Equal(t, 3+1+2, b.sim.Stats().ByEndpoint[tokenCalls], "at the start, after the end, after the revocation with a new nonce")
}

// TestAKeyReplacedInMidRun: the next activity signs with the new one, and one that is
// under way with the old one, which Okta no longer takes, is tried again with the new one.
func TestAKeyReplacedInMidRun(t *testing.T) {
	t.Parallel()
	a, b := twoImports(t)
	text, public := newKey(t)
	requests := 0
	b.before(func() {
		if requests++; requests == 8 {
			b.sim.SetApp(oktasim.App{ClientID: oauthClient, Keys: public, Scopes: []string{"okta.users.read", "okta.groups.read"}})
			b.sim.RevokeTokens()
			secret, ok := b.secrets.(*keySecret)
			require.True(t, ok)
			secret.set(text)
		}
	})
	b.must(workflows.Full, mesh.Completed)
	require.Greater(t, requests, 30)
	require.Equal(t, a.live(), b.live())
	b.checkFeed(true)
}

// TestATokenReplacedInMidRun: the same for an API token that is revoked as soon as the new
// one is stored. Without a new one the run ends.
func TestATokenReplacedInMidRun(t *testing.T) {
	t.Parallel()
	a, _ := twoImports(t)
	for _, stored := range []bool{true, false} {
		secret := &keySecret{text: "oktasim-token"}
		p := newPipeline(t, a.store, a.org, a.clock, map[string]any{"PageSize": 20}, func(p *pipeline) { p.secrets, p.turn = secret, time.Nanosecond })
		requests := 0
		p.before(func() {
			if requests++; requests != 8 {
				return
			}
			p.sim.SetToken("another-token")
			if stored {
				secret.set("another-token")
			}
		})
		_, err := p.run(workflows.ImportInput{Mode: workflows.Full})
		if stored {
			require.NoError(t, err)
			require.Equal(t, a.live(), p.live())
		} else {
			require.ErrorContains(t, err, "E0000011 Invalid token provided")
			require.ErrorContains(t, err, "create a new token")
		}
	}
}

// TestAServiceAppThatMayNot: what is missing is named, before anything is read.
func TestAServiceAppThatMayNot(t *testing.T) {
	t.Parallel()
	_, other := newKey(t)
	for name, tt := range map[string]struct {
		change func(*oktasim.App)
		typ    string
		says   []string
		reads  int
	}{
		"a scope": {func(a *oktasim.App) { a.Scopes = []string{"okta.users.read"} }, activities.ErrForbidden,
			[]string{"lacks the scope okta.groups.read", "Okta API Scopes"}, 0},
		"every scope": {func(a *oktasim.App) { a.Scopes = nil }, activities.ErrForbidden,
			[]string{"consent_required", "You are not allowed any of the requested scopes.", "Okta API Scopes"}, 0},
		"the key": {func(a *oktasim.App) { a.Keys = other }, activities.ErrUnauthorized,
			[]string{"invalid_client", "signature is invalid", "PrivateKey"}, 0},
		"the app": {func(a *oktasim.App) { a.ClientID = "0oaother" }, activities.ErrUnauthorized,
			[]string{"invalid_client", "ClientId"}, 0},
		"the role": {func(a *oktasim.App) { a.NoRole = true }, activities.ErrEmpty,
			[]string{"the service app has no admin role", "Read-Only Administrator", "nothing was deleted"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := oktasim.StandingClock(time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC))
			org, err := oktasim.Generate(oktasim.Spec{Users: 30, Groups: 4, Seed: 5, Now: clock.Now()})
			require.NoError(t, err)
			p := newPipeline(t, openStore(t), org, clock, nil, asServiceApp(tt.change))
			_, err = p.run(workflows.ImportInput{Mode: workflows.Full})
			for _, says := range tt.says {
				require.ErrorContains(t, err, says)
			}
			app, ok := errors.AsType[*temporal.ApplicationError](err)
			for ok && app.Type() != tt.typ {
				app, ok = errors.AsType[*temporal.ApplicationError](app.Unwrap())
			}
			require.True(t, ok, "%v is a %s", err, tt.typ)
			stats := p.sim.Stats()
			if tt.reads == 0 {
				require.Equal(t, stats.ByEndpoint[tokenCalls], stats.Total, "nothing was read")
			}
			require.Empty(t, p.live())
		})
	}
}
