package okta

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// TokenEndpoint is the path at which the org authorization server grants tokens: the
// only one that grants scopes of Okta's API (facts.md §10).
const TokenEndpoint = "/oauth2/v1/token" //nolint:gosec // a path, no token

// The OAuth error codes that decide something.
const (
	codeUseNonce      = "use_dpop_nonce"
	codeInvalidClient = "invalid_client"
	codeInvalidProof  = "invalid_dpop_proof"

	codeInvalidScope    = "invalid_scope"
	codeConsentRequired = "consent_required"
)

// CodeInsufficientScope is the [Error.Code] of a call that was not sent because the
// service app's token lacks a scope.
const CodeInsufficientScope = "insufficient_scope"

var tokenEndpoint = endpoint{template: TokenEndpoint, bucket: "/oauth2/v1", secret: true}

const (
	// assertionLife is how long an assertion may be used, by Okta's clock; at most an
	// hour is allowed.
	assertionLife = 5 * time.Minute
	// backdate is how far before this machine's time an assertion says that it was made
	// while Okta's is not known.
	backdate = 5 * time.Second
	// usualLife is what Okta's tokens live ("fixed at one hour"), where an answer does
	// not say; longestLife bounds what one may say.
	usualLife, longestLife = time.Hour, 24 * time.Hour
	// maxTokenBytes is far more than a token answer has.
	maxTokenBytes = 64 << 10
)

// What to do about a refusal of the token endpoint, by its "error".
var tokenRemedies = map[string]string{
	codeInvalidClient: "Okta does not accept the service app's signature: check " + appConsole +
		" > General that ClientId is this app's, that its client authentication is \"Public key / Private key\", and that the public part of PrivateKey is there and active; with several keys KeyId must name it",
	"unauthorized_client": "the service app may not ask for tokens with a private key: make it an API Services integration, and activate it " + appConsole,
	codeInvalidScope:      "Okta does not know a scope that was asked for: correct AuthJson.Scopes, or leave it out",
	codeConsentRequired:   "the service app has none of the scopes: grant them " + appConsole + " > Okta API Scopes",
	"access_denied":       "Okta's policies refuse this service app a token: check its scopes and its network zone " + appConsole,
	codeInvalidProof:      "Okta does not accept the DPoP proof: look for a proxy that rewrites the host or drops the DPoP header, and check this machine's clock",
	"invalid_grant":       "Okta refuses the client credentials grant: make the app an API Services integration, which allows it",
	"unsupported_grant_type": "Okta refuses the client credentials grant: check OrgDomain, which must be the org's own host, " +
		"and make the app an API Services integration",
	"invalid_request": "Okta does not understand the token request: look for a proxy that rewrites it, or give Okta's support the request id",
}

const remedyToken400 = "check the service app " + appConsole

// tokenError completes a refusal of the token endpoint.
func (x *exchange) tokenError(e *Error) {
	switch {
	case e.Code == codeUseNonce || e.Code == "temporarily_unavailable":
		e.Kind = RetryLater // the nonce changed twice in a moment
	case e.Code == "" || e.Status == http.StatusNotFound:
		e.remedy = remedyNoOkta
	default:
		e.remedy = cmp.Or(tokenRemedies[e.Code], remedyToken400)
	}
}

// assertionClaims are those of a client assertion (RFC 7523 §3).
type assertionClaims struct {
	ID       string           `json:"jti"`
	Issuer   string           `json:"iss"`
	Subject  string           `json:"sub"`
	Audience string           `json:"aud"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Expires  *jwt.NumericDate `json:"exp"`
}

// fetch asks Okta for a token: one exchange, one more when Okta wants a nonce in the
// proof, and one more when its clock is another than this machine's.
func (a *appSigner) fetch(ctx context.Context) (*accessToken, error) {
	f := &tokenFetch{app: a}
	r := a.tokenRequest(f.form)
	var err error
	if f.target, err = a.client.target(r); err != nil {
		return nil, err
	}
	var answer *tokenAnswer
	page, err := a.client.signed(ctx, r, f.target, f, func(body io.Reader) (err error) {
		answer, err = readTokenAnswer(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return a.accept(r, page, answer)
}

// noForm stands in the request of an error about a token request.
func noForm() (url.Values, error) { return nil, nil } //nolint:nilnil // it is never sent

// mistimed says whether what was signed as of a time may have been refused for that: the
// refusal has told Okta's time, and it is another. This machine's clock may be wrong, or
// have stood still while the machine slept.
func (a *appSigner) mistimed(at time.Time) bool {
	now, known := a.client.limits.OrgTime()
	return known && now.Sub(at).Abs() > 2*backdate
}

func (a *appSigner) tokenRequest(form func() (url.Values, error)) request {
	return request{endpoint: tokenEndpoint, path: TokenEndpoint, form: form}
}

// accept makes a token of an answer.
func (a *appSigner) accept(r request, page *Page, answer *tokenAnswer) (*accessToken, error) {
	x := &exchange{Client: a.client, request: r}
	dpop := strings.EqualFold(answer.Type, "DPoP")
	switch value := answer.Token; {
	case value == "" || len(value) > maxTokenBytes || strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, x.answered(page, "the answer holds no access token")
	case !dpop && !strings.EqualFold(answer.Type, "Bearer"):
		return nil, x.answered(page, "the answer holds a token that is neither DPoP nor Bearer")
	}
	lifetime := usualLife
	if answer.ExpiresIn > 0 {
		lifetime = time.Duration(min(answer.ExpiresIn, longestLife.Seconds()) * float64(time.Second))
	}
	granted := a.scopes // "optional, if identical" (RFC 6749 §5.1)
	if answer.Scope != nil {
		granted = strings.Fields(*answer.Scope)
	}
	at := page.Date
	if at.IsZero() {
		at = a.now()
	}
	return newAccessToken(answer.Token, dpop, slices.Clone(granted), at, lifetime), nil
}

// tokenAnswer is the answer of the token endpoint.
type tokenAnswer struct {
	Type      string  `json:"token_type"`
	Token     string  `json:"access_token"`
	ExpiresIn float64 `json:"expires_in"` // seconds
	Scope     *string `json:"scope"`
}

func readTokenAnswer(body io.Reader) (*tokenAnswer, error) {
	text, err := io.ReadAll(io.LimitReader(body, maxTokenBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTokenBytes || !json.Valid(text) {
		return nil, errors.New("no JSON, or too much of it")
	}
	var answer tokenAnswer
	if json.Unmarshal(text, &answer) != nil {
		return nil, &shapeError{"a token of Okta"}
	}
	return &answer, nil
}

// tokenFetch signs a token request: the app with an assertion, and the key to which the
// token is to be bound with a proof. An app that does not ask for DPoP gets a bearer
// token all the same.
type tokenFetch struct {
	app      *appSigner
	target   *url.URL
	nonce    string
	issuedAt time.Time
	// What was tried already.
	challenged, timed bool
}

// form is made anew for each exchange: Okta takes an assertion once.
func (f *tokenFetch) form() (url.Values, error) {
	known := false
	if f.issuedAt, known = f.app.client.limits.OrgTime(); !known {
		f.issuedAt = f.issuedAt.Add(-backdate)
	}
	assertion, err := f.app.key.sign(assertionClaims{
		ID: uuid.NewString(), Issuer: f.app.clientID, Subject: f.app.clientID,
		Audience: proofURL(f.target),
		IssuedAt: jwt.NewNumericDate(f.issuedAt), Expires: jwt.NewNumericDate(f.issuedAt.Add(assertionLife)),
	})
	if err != nil {
		return nil, err
	}
	return url.Values{
		"grant_type":            {"client_credentials"},
		"scope":                 {strings.Join(f.app.scopes, " ")},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}, nil
}

func (f *tokenFetch) prepare(context.Context) error { return nil }

func (f *tokenFetch) sign(req *http.Request) error {
	f.nonce = f.app.source.prover.token.get()
	return f.app.source.prover.set(req, f.issuedAt, "", f.nonce)
}

func (f *tokenFetch) answered(h http.Header) { f.app.source.prover.token.take(h) }

func (f *tokenFetch) again(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case e.Code == codeUseNonce && !f.challenged:
		f.challenged = true
		return f.app.source.prover.token.refused(f.nonce)
	case (e.Code == codeInvalidClient || e.Code == codeInvalidProof) && !f.timed:
		f.timed = true
		return f.app.mistimed(f.issuedAt)
	}
	return false
}
