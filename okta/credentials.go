package okta

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
)

// Credentials tell Okta who calls: those of [APIToken] or of [ServiceApp.Credentials].
// They may be used for several clients. Printing them never shows a secret.
type Credentials interface {
	// String names them without a secret.
	String() string
	// open checks them and signs the calls of a client that is being made.
	open(c *Client) (signer, error)
}

// signer signs the calls of one client.
type signer interface {
	// call signs one call; it may be used by one goroutine at a time.
	call() signature
	// account tells the rate-limit buckets of these credentials from those of others.
	account() uint64
	// scrub replaces what is secret in a text of the server or of an error.
	scrub(text string) string
	// leaks says whether a text holds a secret of the client, word for word.
	leaks(text string) bool
	advice() *advice
	grant(ctx context.Context) (*Grant, error)
}

// signature is how one call is signed, over the one to three exchanges it takes.
type signature interface {
	// prepare gets what the next exchange needs; it may ask Okta for a token.
	prepare(ctx context.Context) error
	sign(req *http.Request) error
	// answered reads the headers of the exchange's answer.
	answered(h http.Header)
	// again says whether another exchange, signed anew, may succeed where this one failed.
	again(err error) bool
}

// advice is what to do about refusals, which depends on who calls.
type advice struct {
	unauthorized string // 401
	feature      string // 401 E0000015
	forbidden    string // 403
	scope        func(scope string) string
}

// hidden keeps a secret in a closure, into which no printing of a struct can look.
type hidden func() string

func hide(s string) hidden { return func() string { return s } }

// APIToken returns the credentials of an SSWS API token, given without "SSWS". It
// stays in memory. [New] refuses one that cannot be a token.
func APIToken(token string) Credentials { return apiToken{hide(token)} }

type apiToken struct{ token hidden }

// String hides the token.
func (apiToken) String() string { return "[API token]" }

func (t apiToken) open(*Client) (signer, error) {
	token := t.token()
	if token == "" {
		return nil, errors.New("okta: the API token is empty; create one in Okta under Security > API > Tokens")
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return nil, errors.New(`okta: the API token holds a space, a line break or a non-ASCII character; give the token value alone, without "SSWS"`)
		}
	}
	return &tokenSigner{token: t.token, replace: newScrubber(token), id: accountOf(token)}, nil
}

// tokenSigner signs with an API token: every call the same way.
type tokenSigner struct {
	token   hidden
	replace func(string) string
	id      uint64
}

var tokenAdvice = &advice{
	unauthorized: remedyToken,
	feature:      remedyPermission,
	forbidden:    remedyReadAccess,
	scope:        func(string) string { return remedyReadAccess },
}

func (s *tokenSigner) call() signature                       { return s }
func (s *tokenSigner) account() uint64                       { return s.id }
func (s *tokenSigner) scrub(text string) string              { return s.replace(text) }
func (s *tokenSigner) leaks(text string) bool                { return s.replace(text) != text }
func (s *tokenSigner) advice() *advice                       { return tokenAdvice }
func (s *tokenSigner) grant(context.Context) (*Grant, error) { return &Grant{Scheme: "SSWS"}, nil }

func (s *tokenSigner) prepare(context.Context) error { return nil }
func (s *tokenSigner) answered(http.Header)          {}
func (s *tokenSigner) again(error) bool              { return false }

func (s *tokenSigner) sign(req *http.Request) error {
	req.Header.Set("Authorization", "SSWS "+s.token())
	return nil
}

// accountSeed makes an account of a token or an app, from which nobody can find it.
var accountSeed = maphash.MakeSeed()

func accountOf(name string) uint64 { return maphash.String(accountSeed, name) }
