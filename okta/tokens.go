package okta

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Tokens keeps the access tokens of service apps, so that all clients of a process
// share one: it is fetched once, and renewed before it ends. The zero value is ready to
// use, and safe for concurrent use.
//
// It holds no private key. What it holds of one is the thumbprint of its public part: a
// client that comes with another key, because the secret was replaced, gets a token that
// was fetched with that key.
type Tokens struct {
	mu      sync.Mutex
	sources map[tokenKey]*tokenSource
}

// tokenKey tells apart what may not share a token.
type tokenKey struct {
	origin, clientID, keyID, thumbprint string
	scopes                              string // joined by spaces, as asked for
}

// unusedFor is how long a source is kept that no client was made for: longer than a
// token lives.
const unusedFor = 2 * time.Hour

// of returns the source of a key.
func (t *Tokens) of(key tokenKey) (*tokenSource, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if s := t.sources[key]; s != nil {
		s.used = now
		return s, nil
	}
	for k, s := range t.sources {
		if now.Sub(s.used) > unusedFor {
			delete(t.sources, k)
		}
	}
	p, err := newProver()
	if err != nil {
		return nil, err
	}
	if t.sources == nil {
		t.sources = make(map[tokenKey]*tokenSource)
	}
	s := &tokenSource{prover: p, used: now}
	t.sources[key] = s
	return s, nil
}

// accessToken is one that Okta granted.
type accessToken struct {
	value    hidden
	dpop     bool // bound to the source's key, else a bearer token
	scopes   []string
	lifetime time.Duration
	// When it ends and from when on it is renewed, on the org's clock.
	expires, renew time.Time
	scrub          func(string) string
}

// renewBefore is how long before its end a token is renewed; a short-lived one at nine
// tenths of its life.
const renewBefore = 5 * time.Minute

// newAccessToken returns a token that was granted at a time of the org's clock.
func newAccessToken(value string, dpop bool, scopes []string, at time.Time, lifetime time.Duration) *accessToken {
	expires := at.Add(lifetime)
	return &accessToken{
		value: hide(value), dpop: dpop, scopes: scopes, lifetime: lifetime,
		expires: expires, renew: expires.Add(-min(renewBefore, lifetime/10)),
		scrub: newScrubber(value),
	}
}

// lacks returns the scopes of those that the token does not have.
func (t *accessToken) lacks(scopes []string) []string {
	var missing []string
	for _, s := range scopes {
		if !slices.Contains(t.scopes, s) {
			missing = append(missing, s)
		}
	}
	return missing
}

// tokenSource is the token of one app, and the key to which it is bound.
type tokenSource struct {
	prover *prover
	used   time.Time // by Tokens.mu

	mu     sync.Mutex
	token  *accessToken
	before *accessToken // the last one; answers and errors may still name it
	flight *flight
	// notBefore is when the next early renewal is tried after one has failed.
	notBefore time.Time
}

// flight is a fetch under way, for all who wait for it.
type flight struct {
	done  chan struct{} // closed at its end; then the rest is set
	token *accessToken
	err   error
	// left says that the one who fetched gave up for reasons of its own.
	left bool
}

// retryRenewal is the pause after an early renewal that failed; the token still lives.
const retryRenewal = 30 * time.Second

// get returns the token, fetched by one of those who ask at the same time. now tells
// the org's time.
func (s *tokenSource) get(ctx context.Context, now func() time.Time, fetch func(context.Context) (*accessToken, error)) (*accessToken, error) {
	for {
		token, f, mine := s.join(now())
		if token != nil {
			return token, nil
		}
		if mine {
			s.fly(ctx, f, now, fetch)
		} else {
			select {
			case <-f.done:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if f.left {
				continue
			}
		}
		return f.token, f.err
	}
}

// join returns a token that is good at a time, else the fetch to wait for; mine says
// that the caller is the one to fetch.
func (s *tokenSource) join(at time.Time) (token *accessToken, f *flight, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.token; t != nil && at.Before(t.expires) && (at.Before(t.renew) || at.Before(s.notBefore) || s.flight != nil) {
		return t, nil, false // while one renews it early, the others use what is left of it
	}
	if s.flight != nil {
		return nil, s.flight, false
	}
	s.flight = &flight{done: make(chan struct{}), left: true}
	return nil, s.flight, true
}

// fly fetches. A passing failure to renew early is none while the old token lives.
func (s *tokenSource) fly(ctx context.Context, f *flight, now func() time.Time, fetch func(context.Context) (*accessToken, error)) {
	defer func() { // also after a panic
		s.mu.Lock()
		defer s.mu.Unlock()
		s.flight = nil
		close(f.done)
	}()
	token, err := fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.token, f.err = token, err
	f.left = err != nil && ctx.Err() != nil
	switch at := now(); {
	case err == nil:
		s.keep(token)
	case s.token != nil && at.Before(s.token.expires) && passes(err):
		s.notBefore = at.Add(retryRenewal)
		f.token, f.err = s.token, nil
	}
}

// passes says whether a failure may pass by itself.
func passes(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == RetryLater
}

// keep needs s.mu.
func (s *tokenSource) keep(t *accessToken) {
	if s.token != nil {
		s.before = s.token
	}
	s.token, s.notBefore = t, time.Time{}
}

// drop forgets a token that Okta refused, unless a newer one has come since.
func (s *tokenSource) drop(t *accessToken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == t {
		s.before, s.token = t, nil
	}
}

// scrub replaces the tokens in a text, the last one and the one before.
func (s *tokenSource) scrub(text string) string {
	s.mu.Lock()
	known := [2]*accessToken{s.token, s.before}
	s.mu.Unlock()
	for _, t := range known {
		if t != nil {
			text = t.scrub(text)
		}
	}
	return text
}
