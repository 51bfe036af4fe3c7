package oktasim

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// algorithms are those that Okta takes for assertions and proofs (facts.md §10).
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512}

const (
	codeUseNonce     = "use_dpop_nonce"
	codeInvalidProof = "invalid_dpop_proof"
)

// How far a proof's iat may be from the server's time. Okta's window is not known: these
// are narrow enough that a client with a wrong clock is found out.
const (
	proofAge   = 5 * time.Minute
	proofAhead = 30 * time.Second
)

// proofError is why a DPoP proof is refused.
type proofError struct{ code, text string }

// badClaim is a text of which 'htu' is recorded [REC], and the others are made like it.
func badClaim(name string) *proofError {
	return &proofError{codeInvalidProof, "'" + name + "' claim in the DPoP proof JWT is invalid."}
}

// proofBody is a proof's claims.
type proofBody struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URL      string           `json:"htu"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	Hash     string           `json:"ath"`
	Nonce    string           `json:"nonce"`
}

// readProof checks the proof of a request but for its binding, and returns the
// thumbprint of its key. It needs o.mu.
func (o *oauth) readProof(c *call) (body proofBody, jkt string, problem *proofError) {
	values := c.r.Header.Values("DPoP")
	switch len(values) {
	case 0:
		return body, "", &proofError{codeInvalidProof, "The DPoP proof JWT header is missing."} // [REC]
	case 1:
	default:
		return body, "", &proofError{codeInvalidProof, "There is more than one DPoP proof JWT header."} // [OWN]
	}
	malformed := &proofError{codeInvalidProof, "The DPoP proof JWT is invalid."} // [OWN]
	token, err := jwt.ParseSigned(values[0], algorithms)
	if err != nil || len(token.Headers) != 1 {
		return body, "", malformed
	}
	h := token.Headers[0]
	if typ, _ := h.ExtraHeaders[jose.HeaderType].(string); !strings.EqualFold(typ, "dpop+jwt") {
		return body, "", &proofError{codeInvalidProof, "'typ' header in the DPoP proof JWT is invalid."} // [OWN]
	}
	if h.JSONWebKey == nil || !h.JSONWebKey.Valid() || !h.JSONWebKey.IsPublic() {
		return body, "", &proofError{codeInvalidProof, "'jwk' header in the DPoP proof JWT is invalid."} // [OWN]
	}
	if err := token.Claims(h.JSONWebKey.Key, &body); err != nil {
		return body, "", &proofError{codeInvalidProof, "The DPoP proof JWT signature is invalid."} // [OWN]
	}
	now := o.now()
	switch {
	case body.Method != c.r.Method:
		return body, "", badClaim("htm")
	case body.URL != c.self():
		return body, "", badClaim("htu")
	case body.IssuedAt == nil || body.IssuedAt.Time().After(now.Add(proofAhead)) || body.IssuedAt.Time().Before(now.Add(-proofAge)):
		return body, "", badClaim("iat")
	}
	sum, err := h.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		return body, "", malformed
	}
	jkt = base64.RawURLEncoding.EncodeToString(sum)
	if body.ID == "" || !o.once("proof "+jkt+" "+body.ID, now.Add(proofAge+proofAhead)) {
		return body, "", badClaim("jti")
	}
	return body, jkt, nil
}

// prove checks the proof of an API call with a bound token. It needs o.mu.
func (o *oauth) prove(c *call, token string) *proofError {
	body, jkt, problem := o.readProof(c)
	if problem != nil {
		return problem
	}
	sum := sha256.Sum256([]byte(token))
	switch {
	case body.Hash != base64.RawURLEncoding.EncodeToString(sum[:]):
		return badClaim("ath")
	case jkt != o.tokens[token].jkt:
		return &proofError{codeInvalidProof, "The DPoP proof JWT key is not the one that the access token is bound to."} // [OWN]
	case o.onAPI && !o.takes(body.Nonce):
		return &proofError{codeUseNonce, "Resource server requires nonce in DPoP proof."} // RFC 9449 §9
	}
	return nil
}

// self is the request's own URL as "htu" and "aud" hold it: without a query, its path
// decoded as Okta compares it (okta-sdk-python issue 541).
func (c *call) self() string {
	u := url.URL{Scheme: strings.TrimSuffix(c.base, "://"+c.r.Host), Host: strings.ToLower(c.r.Host), Path: c.r.URL.Path}
	if p := u.Port(); u.Scheme == "https" && p == "443" || u.Scheme == "http" && p == "80" {
		u.Host = strings.TrimSuffix(u.Host, ":"+p)
	}
	return u.String()
}

// randomName is a nonce, or the id of a token.
func randomName() string {
	var b [16]byte
	randomBytes(b[:])
	return hex.EncodeToString(b[:])
}
