package oktasim

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// App is an OAuth 2.0 service app (an "API Services" integration) of the org. It gets
// access tokens for a JWT that is signed with one of its keys, and may then do what its
// scopes and its admin role allow (facts.md §10).
//
// What answers it gets is marked at the code: [REC] stands for a text that was recorded
// of a real org, [KB] for one of Okta's support articles, [3P] for one that others report
// of a real org, and [OWN] for words of this simulator where Okta's are not known.
type App struct {
	// ClientID is Okta's id of the app, such as 0oa1gjh63g214q0Hq0g4.
	ClientID string
	// Keys are its public keys. With several, an assertion must name one by "kid".
	Keys jose.JSONWebKeySet
	// Scopes are granted. What is asked for beyond them is left out of the token.
	Scopes []string
	// NoDPoP lifts "Require Demonstrating Proof of Possession (DPoP) header in token
	// requests", which new apps have: the tokens are bearer tokens then.
	NoDPoP bool
	// NoRole takes the app's admin role away: lists of users and groups are empty then,
	// without an error.
	NoRole bool
}

// DefaultTokenLifetime is how long an access token lives: "fixed at one hour".
const DefaultTokenLifetime = time.Hour

const (
	// nonceLife is how long a nonce is the one that answers name, and nonceGrace how
	// long it is taken afterwards: "renews every 24 h, the old one works for three days".
	nonceLife  = 24 * time.Hour
	nonceGrace = 72 * time.Hour
)

// oauth is the org's authorization server.
type oauth struct {
	now  func() time.Time
	life time.Duration
	apps map[string]*App

	mu     sync.Mutex
	tokens map[string]*grant
	used   map[string]time.Time // jti of assertions and proofs, until when they are kept
	nonces []dpopNonce          // the newest last
	onAPI  bool                 // API calls need a nonce, too
	minter tokenMinter
	// purgeAt is how many ids in used are looked through for old ones.
	purgeAt int
}

// grant is what an access token stands for.
type grant struct {
	app     *App
	scopes  []string
	expires time.Time
	jkt     string // thumbprint of the key it is bound to; "" for a bearer token
}

type dpopNonce struct {
	value   string
	since   time.Time
	refused bool
}

func newOAuth(cfg Config) *oauth {
	o := &oauth{
		now: cfg.Now, life: cmp.Or(cfg.TokenLifetime, DefaultTokenLifetime), apps: map[string]*App{},
		tokens: map[string]*grant{}, used: map[string]time.Time{}, onAPI: cfg.NonceOnAPI,
	}
	for _, app := range cfg.Apps {
		app.Scopes = slices.Clone(app.Scopes)
		o.apps[app.ClientID] = &app
	}
	return o
}

// RotateNonce gives the authorization server a new DPoP nonce before its time. The old
// ones are taken for three more days, or refused at once.
func (s *Server) RotateNonce(refuseOld bool) {
	o := s.oauth
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.nonces {
		o.nonces[i].refused = o.nonces[i].refused || refuseOld
	}
	o.nonces = append(o.nonces, dpopNonce{value: randomName(), since: o.now()})
}

// RequireNonce makes API calls with DPoP need a nonce, as token requests do. Okta does
// not ask for it at present, and reserves it.
func (s *Server) RequireNonce(on bool) {
	s.oauth.mu.Lock()
	defer s.oauth.mu.Unlock()
	s.oauth.onAPI = on
}

// RevokeTokens makes every access token invalid that was granted so far, and returns how
// many there were.
func (s *Server) RevokeTokens() int {
	s.oauth.mu.Lock()
	defer s.oauth.mu.Unlock()
	n := len(s.oauth.tokens)
	clear(s.oauth.tokens)
	return n
}

// SetApp registers a service app, or replaces the one of that client id. Tokens that were
// granted go on as they are.
func (s *Server) SetApp(app App) {
	s.oauth.mu.Lock()
	defer s.oauth.mu.Unlock()
	app.Scopes = slices.Clone(app.Scopes)
	s.oauth.apps[app.ClientID] = &app
}

// nonce returns the nonce that answers name now. It needs o.mu.
func (o *oauth) nonce() string {
	now := o.now()
	o.nonces = slices.DeleteFunc(o.nonces, func(n dpopNonce) bool { return now.Sub(n.since) > nonceLife+nonceGrace })
	if len(o.nonces) == 0 || now.Sub(o.nonces[len(o.nonces)-1].since) >= nonceLife {
		o.nonces = append(o.nonces, dpopNonce{value: randomName(), since: now})
	}
	return o.nonces[len(o.nonces)-1].value
}

// takes says whether a nonce is good, and needs o.mu.
func (o *oauth) takes(value string) bool {
	o.nonce()
	return slices.ContainsFunc(o.nonces, func(n dpopNonce) bool { return n.value == value && !n.refused })
}

// once says whether an id is seen for the first time; it is kept until the given time.
// It needs o.mu.
func (o *oauth) once(id string, until time.Time) bool {
	if len(o.used) >= o.purgeAt {
		now := o.now()
		maps.DeleteFunc(o.used, func(_ string, t time.Time) bool { return t.Before(now) })
		o.purgeAt = max(1024, 2*len(o.used))
	}
	if _, seen := o.used[id]; seen {
		return false
	}
	o.used[id] = until
	return true
}

// challenge is an answer to an API call whose reason stands in WWW-Authenticate. Its body
// is that of err; nil stands for an empty one, as of a refused proof [3P].
type challenge struct {
	status      int
	scheme      string // Bearer or DPoP
	code, text  string
	err         *Error
	needsScopes []string
}

func (ch *challenge) Error() string { return ch.code + ": " + ch.text }

// write writes the answer. The header's form is that of okta-sdk-nodejs issue 453 for
// DPoP and of Okta's article on insufficient_scope for Bearer, the http of its URLs too.
func (ch *challenge) write(c *call) {
	algs := ""
	if ch.scheme == "DPoP" {
		algs = `algs="RS256 RS384 RS512 ES256 ES384 ES512", `
	}
	c.w.Header().Set("WWW-Authenticate", fmt.Sprintf(
		`%s %sauthorization_uri="http://%[3]s/oauth2/v1/authorize", realm="http://%[3]s", scope="%[4]s", error="%[5]s", error_description="%[6]s", resource="%[7]s"`,
		ch.scheme, algs, c.r.Host, strings.Join(ch.needsScopes, " "), ch.code, ch.text, c.r.URL.Path))
	if ch.err != nil {
		c.writeError(ch.err)
		return
	}
	c.w.WriteHeader(ch.status)
}

func errInvalidToken() *Error {
	return &Error{http.StatusUnauthorized, "E0000011", "Invalid token provided", nil}
}

func errNoPermission() *Error {
	return &Error{http.StatusForbidden, "E0000006", "You do not have permission to perform the requested action", nil}
}

// authenticate finds out who calls: nobody known is 401 E0000011, as for an API token.
func (s *Server) authenticate(c *call, rt *route) error {
	scheme, token, ok := strings.Cut(c.r.Header.Get("Authorization"), " ")
	switch {
	case !ok:
		return errInvalidToken()
	case strings.EqualFold(scheme, "SSWS"):
		if !s.isToken(token) {
			return errInvalidToken()
		}
		return nil
	case strings.EqualFold(scheme, "Bearer"), strings.EqualFold(scheme, "DPoP"):
		return s.oauth.authenticate(c, rt, strings.EqualFold(scheme, "DPoP"), token)
	}
	return errInvalidToken()
}

// authenticate checks an access token, and the proof that goes with a bound one.
func (o *oauth) authenticate(c *call, rt *route, dpop bool, token string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.tokens[token]
	scopes := rt.scopes(c.r.Method)
	invalid := &challenge{
		status: http.StatusUnauthorized, scheme: "Bearer", code: "invalid_token", text: "The access token is invalid.",
		err: errInvalidToken(), needsScopes: scopes,
	}
	// A bound token is no bearer token (RFC 9449 §7.1); which error Okta answers then is
	// not known.
	if g == nil || !o.now().Before(g.expires) || dpop != (g.jkt != "") {
		return invalid
	}
	if dpop {
		if p := o.prove(c, token); p != nil {
			// A refused proof is 400 (okta-sdk-python issue 541); a missing nonce is 401 as in
			// RFC 9449 §9, since Okta asks for none yet.
			ch := &challenge{status: http.StatusBadRequest, scheme: "DPoP", code: p.code, text: p.text, needsScopes: scopes}
			if p.code == codeUseNonce {
				ch.status = http.StatusUnauthorized
				c.w.Header().Set("DPoP-Nonce", o.nonce())
			}
			return ch
		}
	}
	if o.onAPI && dpop {
		c.w.Header().Set("DPoP-Nonce", o.nonce()) // "supply a new nonce in a success answer" (RFC 9449 §8.2)
	}
	c.grant = g
	return nil
}

// allow refuses what the caller's scopes and role do not cover. An API token may do
// everything.
func (c *call) allow(rt *route) error {
	g := c.grant
	if g == nil || rt.handlers == nil {
		return nil
	}
	needs := rt.scopes(c.r.Method)
	if !slices.ContainsFunc(needs, func(s string) bool { return slices.Contains(g.scopes, s) }) {
		return &challenge{
			status: http.StatusForbidden, scheme: "Bearer", code: "insufficient_scope", // [KB]
			text: "The access token provided does not contain the required scopes.",
			err:  errNoPermission(), needsScopes: needs[:1],
		}
	}
	// Without a role GET /users is 200 [] and GET /devices 403 (facts.md §10); that of
	// those two every other path is like /devices is a choice.
	if g.app.NoRole && (c.r.Method != http.MethodGet || rt.path != "/api/v1/users" && rt.path != "/api/v1/groups") {
		return errNoPermission()
	}
	return nil
}

// blind says whether the caller's lists are empty.
func (c *call) blind() bool { return c.grant != nil && c.grant.app.NoRole }

// scopes returns the scopes of which a call needs one, the least one first.
func (rt *route) scopes(method string) []string {
	area := ""
	for _, a := range []struct{ path, scope string }{
		{"/api/v1/users", "okta.users"}, {"/api/v1/groups", "okta.groups"}, {"/api/v1/apps", "okta.apps"},
		{"/api/v1/meta/schemas", "okta.schemas"}, {"/api/v1/meta/types", "okta.userTypes"},
		{"/api/v1/logs", "okta.logs"}, {"/api/v1/org", "okta.orgs"},
	} {
		if rt.path == a.path || strings.HasPrefix(rt.path, a.path+"/") {
			area = a.scope
		}
	}
	if method == http.MethodGet {
		return []string{area + ".read", area + ".manage"}
	}
	return []string{area + ".manage"}
}
