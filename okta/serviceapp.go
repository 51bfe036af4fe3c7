package okta

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ServiceApp is an OAuth 2.0 service app of the org, which signs in with a private key
// (RFC 7523) and may read what its scopes and its admin role allow. Printing it never
// shows the key.
type ServiceApp struct {
	// ClientID is Okta's id of the app, such as 0oa1gjh63g214q0Hq0g4.
	ClientID string
	// PrivateKey is an RSA key of 2048 bits or more, or an EC key on P-256, P-384 or
	// P-521, as PEM (PKCS#1, PKCS#8, SEC 1) or JWK. It signs with RS256, RS384 or RS512
	// as the "alg" of a JWK says, RS256 without one; an EC key with that of its curve.
	PrivateKey string `json:"-"`
	// KeyID is the key's "kid" at Okta; "" takes that of a JWK, if it has one. An app
	// with one key needs none.
	KeyID string
	// Scopes are asked for, such as "okta.users.read", and all of them must be granted.
	Scopes []string
	// Tokens are shared by the clients of a process; nil: the token is for this client.
	Tokens *Tokens
}

// String hides the key.
func (a ServiceApp) String() string { return fmt.Sprintf("[service app %s]", a.ClientID) }

// GoString is String.
func (a ServiceApp) GoString() string { return a.String() }

// Format writes String for every verb.
func (a ServiceApp) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, a.String()) }

// Credentials checks the app and returns its credentials. They keep the key as long as
// they live. It does not touch the network. No error holds a part of the key.
func (a ServiceApp) Credentials() (Credentials, error) {
	switch {
	case a.ClientID == "":
		return nil, errors.New("okta: the service app has no ClientID")
	case len(a.Scopes) == 0:
		return nil, errors.New("okta: the service app has no Scopes to ask for")
	}
	for _, s := range append([]string{a.ClientID}, a.Scopes...) {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("okta: the service app's ClientID or one of its Scopes is empty, or holds a space or a non-ASCII character")
		}
	}
	key, err := parseKey(a.PrivateKey, a.KeyID)
	if err != nil {
		return nil, fmt.Errorf("okta: %w", err)
	}
	tokens := a.Tokens
	if tokens == nil {
		tokens = new(Tokens)
	}
	return &appCredentials{clientID: a.ClientID, scopes: slices.Clone(a.Scopes), key: key, tokens: tokens}, nil
}

type appCredentials struct {
	clientID string
	scopes   []string
	key      *signingKey
	tokens   *Tokens
}

// String names the app.
func (a *appCredentials) String() string { return fmt.Sprintf("[service app %s]", a.clientID) }

func (a *appCredentials) open(c *Client) (signer, error) {
	source, err := a.tokens.of(tokenKey{
		origin: c.origin(), clientID: a.clientID, keyID: a.key.id, thumbprint: a.key.thumbprint,
		scopes: strings.Join(a.scopes, " "),
	})
	if err != nil {
		return nil, err
	}
	return &appSigner{appCredentials: a, client: c, source: source}, nil
}

// appSigner signs with access tokens that a service app is granted.
type appSigner struct {
	*appCredentials

	client *Client
	source *tokenSource
}

// Where an administrator of the org finds the app.
const appConsole = "in Okta's Admin Console under Applications > Applications > (the app)"

var appAdvice = &advice{
	unauthorized: "Okta refuses the service app's access token, a new one too: check " + appConsole +
		" that the app is active, then run again; if that does not help, give Okta's support the request id",
	feature: "the access token itself is valid, but the service app may not use this feature: assign it the Read-Only Administrator role " +
		appConsole + " > Admin roles, and check that the org has the feature",
	forbidden: "the service app has no admin role that may read this: assign it Read-Only Administrator, or another role that may read users and groups, " +
		appConsole + " > Admin roles",
	scope: func(scope string) string {
		return fmt.Sprintf("grant the service app the scope %s %s > Okta API Scopes", scope, appConsole)
	},
}

func (a *appSigner) advice() *advice { return appAdvice }

// account is the app's, whatever its key: Okta counts the calls of an app.
func (a *appSigner) account() uint64 { return accountOf("app " + a.clientID) }

// jwtForm is what looks like a JWT, or a cut one: an assertion, a proof or a token.
var jwtForm = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){0,4}`)

func (a *appSigner) scrub(text string) string {
	return jwtForm.ReplaceAllString(a.source.scrub(text), "[token]")
}

func (a *appSigner) leaks(text string) bool { return a.source.scrub(text) != text }

func (a *appSigner) now() time.Time { return a.client.limits.time() }

func (a *appSigner) token(ctx context.Context) (*accessToken, error) {
	return a.source.get(ctx, a.now, a.fetch)
}

func (a *appSigner) call() signature { return &appCall{app: a} }

// appCall is one call to the API.
type appCall struct {
	app   *appSigner
	token *accessToken
	nonce string    // that the last exchange's proof carried
	at    time.Time // of that proof
	// What was tried already: a token fetched anew, a nonce that was asked for, the time
	// that a refusal told.
	renewed, challenged, timed bool
}

// prepare gets a token, and refuses one that lacks a scope before anything is read.
func (s *appCall) prepare(ctx context.Context) (err error) {
	if s.token, err = s.app.token(ctx); err != nil {
		return err
	}
	if missing := s.token.lacks(s.app.scopes); len(missing) > 0 {
		e := s.app.client.failure(s.app.tokenRequest(noForm), "not sent: Okta's token lacks the scope "+strings.Join(missing, " and "))
		e.Code, e.remedy = CodeInsufficientScope, appAdvice.scope(strings.Join(missing, " and "))
		return e
	}
	return nil
}

func (s *appCall) sign(req *http.Request) error {
	token := s.token.value()
	if !s.token.dpop {
		req.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	req.Header.Set("Authorization", "DPoP "+token)
	s.nonce, s.at = s.app.source.prover.api.get(), s.app.now()
	return s.app.source.prover.set(req, s.at, token, s.nonce)
}

func (s *appCall) answered(h http.Header) { s.app.source.prover.api.take(h) }

// again: a nonce that is asked for is put into the next proof, a proof of another time
// than Okta's is made anew, and a token that is refused in mid-run is fetched anew, each
// once.
func (s *appCall) again(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.asks(codeUseNonce) && s.token.dpop && !s.challenged:
		s.challenged = true
		return s.app.source.prover.api.refused(s.nonce)
	case e.asks(codeInvalidProof) && s.token.dpop && !s.timed:
		s.timed = true
		return s.app.mistimed(s.at)
	case e.Status == http.StatusUnauthorized && e.Code != codeNotPermitted && !e.asks(codeUseNonce) && !s.renewed:
		s.renewed = true
		s.app.source.drop(s.token)
		return true
	}
	return false
}

// Grant is what Okta lets the credentials of a client do.
type Grant struct {
	// Scheme is that of the Authorization header: "SSWS", "Bearer" or "DPoP".
	Scheme string
	// Scopes are those that a service app's token has, and Missing those that were asked
	// for in vain. An API token has none.
	Scopes, Missing []string
	// Lifetime is how long such a token lives, and Expires when this one ends, on Okta's
	// clock; both zero for an API token.
	Lifetime time.Duration
	Expires  time.Time
}

// Grant returns what the credentials may do. For a service app that costs a token
// request or two, unless a token is there; an API token is not tried: [Client.ListUsers]
// with a limit of 1 is the cheapest call that does. A missing scope is no error here.
func (c *Client) Grant(ctx context.Context) (*Grant, error) { return c.signer.grant(ctx) }

func (a *appSigner) grant(ctx context.Context) (*Grant, error) {
	t, err := a.token(ctx)
	if err != nil {
		return nil, err
	}
	g := &Grant{
		Scheme: "Bearer", Scopes: slices.Clone(t.scopes), Missing: t.lacks(a.scopes),
		Lifetime: t.lifetime, Expires: t.expires,
	}
	if t.dpop {
		g.Scheme = "DPoP"
	}
	return g, nil
}
