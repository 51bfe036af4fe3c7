package oktasim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	tokenPath     = "/oauth2/v1/token" // #nosec G101 -- a path
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	// maxAssertion is how far in the future an assertion's exp may be.
	maxAssertion = time.Hour
)

// oauthError is a refusal of the token endpoint.
type oauthError struct {
	status     int
	code, text string
}

func (e *oauthError) Error() string { return e.code + ": " + e.text }

func badClient(text string) *oauthError {
	return &oauthError{http.StatusUnauthorized, "invalid_client", text}
}

func (e *oauthError) write(c *call) {
	_ = c.writeBytes(e.status, encode(struct {
		Error string `json:"error"`
		Text  string `json:"error_description"`
	}{e.code, e.text}))
}

// assertionBody is the claims of a client assertion.
type assertionBody struct {
	ID       string           `json:"jti"`
	Issuer   string           `json:"iss"`
	Subject  string           `json:"sub"`
	Audience jwt.Audience     `json:"aud"`
	Expires  *jwt.NumericDate `json:"exp"`
	IssuedAt *jwt.NumericDate `json:"iat"`
}

// grantToken is POST /oauth2/v1/token of the org authorization server. The assertion is
// judged and used up before the proof is looked at [3P].
func grantToken(c *call) error {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxBody)
	if kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return &oauthError{http.StatusBadRequest, "invalid_request", "The request must be form-encoded."} // [OWN]
	}
	if err := c.r.ParseForm(); err != nil {
		return &oauthError{http.StatusBadRequest, "invalid_request", "The request cannot be read."} // [OWN]
	}
	form := c.r.Form // Okta's own SDK posts what it has to say in the query
	if form.Get("grant_type") != "client_credentials" {
		return &oauthError{http.StatusBadRequest, "unsupported_grant_type", "The authorization grant type is not supported by the authorization server."} // [OWN]
	}
	o := c.s.oauth
	o.mu.Lock()
	defer o.mu.Unlock()
	if form.Get("client_assertion_type") != assertionType {
		return badClient("The client_assertion_type is invalid.") // [3P]
	}
	app, refused := o.readAssertion(c, form.Get("client_assertion"))
	if refused != nil {
		return refused
	}
	jkt, kind := "", "Bearer"
	if !app.NoDPoP {
		body, thumbprint, problem := o.readProof(c)
		if problem == nil && !o.takes(body.Nonce) {
			problem = &proofError{codeUseNonce, "Authorization server requires nonce in DPoP proof."} // [REC]
		}
		if problem == nil || problem.code == codeUseNonce {
			c.w.Header().Set("DPoP-Nonce", o.nonce()) // [REC] with 400 and 200, not with a missing proof
		}
		if problem != nil {
			return &oauthError{http.StatusBadRequest, problem.code, problem.text}
		}
		jkt, kind = thumbprint, "DPoP"
	}
	scopes, refused := app.grants(form.Get("scope"))
	if refused != nil {
		return refused
	}
	token, err := o.mint(c, app, scopes, jkt)
	if err != nil {
		return err
	}
	return c.writeBytes(http.StatusOK, encode(struct {
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
		Token   string `json:"access_token"`
		Scope   string `json:"scope"`
	}{kind, int(o.life.Seconds()), token, strings.Join(scopes, " ")}))
}

// readAssertion finds the app that a client assertion proves. It needs o.mu.
func (o *oauth) readAssertion(c *call, text string) (*App, *oauthError) {
	token, err := jwt.ParseSigned(text, algorithms)
	if err != nil || len(token.Headers) != 1 {
		return nil, badClient("The client_assertion is no JWT that is signed with a supported algorithm.") // [OWN]
	}
	var claimed assertionBody
	if err := token.UnsafeClaimsWithoutVerification(&claimed); err != nil {
		return nil, badClient("The client_assertion is no JWT that is signed with a supported algorithm.") // [OWN]
	}
	app := o.apps[claimed.Issuer]
	if app == nil {
		return nil, badClient("Invalid value for 'client_id' parameter.") // [3P]
	}
	keys := app.Keys.Keys
	if kid := token.Headers[0].KeyID; kid != "" || len(keys) != 1 {
		keys = app.Keys.Key(kid)
	}
	if len(keys) != 1 {
		return nil, badClient("The client_assertion JWT kid is invalid.") // [KB]
	}
	var body assertionBody
	if token.Claims(keys[0].Key, &body) != nil {
		return nil, badClient("The client_assertion signature is invalid.") // [KB]
	}
	now := o.now()
	switch {
	case body.Subject != body.Issuer:
		return nil, badClient("The issuer and the subject of the client_assertion must be the client_id.") // [OWN]
	case len(body.Audience) != 1 || body.Audience[0] != c.self():
		return nil, badClient("The audience claim for client_assertion must be the endpoint invoked for the request.") // [REC], lighthouse
	case body.Expires == nil || !body.Expires.Time().After(now):
		return nil, badClient("The client_assertion token is expired.") // [3P]
	case body.Expires.Time().After(now.Add(maxAssertion)):
		return nil, badClient("The client_assertion token has an expiration too far into the future.") // [3P]
	case body.IssuedAt != nil && body.IssuedAt.Time().After(now):
		return nil, badClient("The client_assertion token must be issued before current time.") // [3P]
	case body.ID != "" && !o.once("assertion "+app.ClientID+" "+body.ID, body.Expires.Time()):
		return nil, badClient("The client_assertion token has already been used.") // [3P]
	}
	return app, nil
}

// oktaScope is what a scope of Okta's API looks like.
var oktaScope = regexp.MustCompile(`^okta\.[A-Za-z]+(\.[A-Za-z]+)*\.(read|manage)$`)

// grants returns the scopes of those asked for that the app has.
func (a *App) grants(asked string) ([]string, *oauthError) {
	bad := func(code, text string) *oauthError { return &oauthError{http.StatusBadRequest, code, text} }
	scopes := strings.Fields(asked)
	if len(scopes) == 0 {
		return nil, bad("invalid_scope", "The authorization server resource does not have any configured default scopes, 'scope' must be provided.") // [3P]
	}
	var granted []string
	for _, s := range scopes {
		switch {
		case !oktaScope.MatchString(s):
			return nil, bad("invalid_scope", "One or more scopes are not configured for the authorization server resource.") // [KB]
		case slices.Contains(a.Scopes, s) && !slices.Contains(granted, s):
			granted = append(granted, s)
		}
	}
	if len(granted) == 0 {
		return nil, bad("consent_required", "You are not allowed any of the requested scopes.") // [3P]
	}
	return granted, nil // the others are missing without a word [3P]
}

// tokenMinter signs access tokens. Clients may not look into them, but they look like
// Okta's.
type tokenMinter struct{ signer jose.Signer }

// mint grants an access token. It needs o.mu.
func (o *oauth) mint(c *call, app *App, scopes []string, jkt string) (string, error) {
	if o.minter.signer == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", err
		}
		opts := (&jose.SignerOptions{}).WithType("application/okta-internal-at+jwt").WithHeader("kid", randomName())
		if o.minter.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, opts); err != nil {
			return "", err
		}
	}
	now := o.now()
	claims := map[string]any{
		"ver": 1, "jti": "AT." + randomName(), "iss": c.base, "aud": c.base, "sub": app.ClientID, "cid": app.ClientID,
		"iat": now.Unix(), "exp": now.Add(o.life).Unix(), "scp": scopes,
	}
	if jkt != "" {
		claims["cnf"] = map[string]string{"jkt": jkt}
	}
	token, err := jwt.Signed(o.minter.signer).Claims(claims).Serialize()
	if err != nil {
		return "", err
	}
	for t, g := range o.tokens {
		if !now.Before(g.expires) {
			delete(o.tokens, t)
		}
	}
	o.tokens[token] = &grant{app: app, scopes: scopes, expires: now.Add(o.life), jkt: jkt}
	return token, nil
}
