package okta

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// proofClaims are those of a DPoP proof (RFC 9449 §4.2).
type proofClaims struct {
	ID       string           `json:"jti"`
	Method   string           `json:"htm"`
	URL      string           `json:"htu"`
	IssuedAt *jwt.NumericDate `json:"iat"`
	// Hash is that of the access token, of calls that carry one.
	Hash  string `json:"ath,omitempty"`
	Nonce string `json:"nonce,omitempty"`
}

// prover proves that whoever calls has the key to which an access token is bound. The
// key is made for this process, and is another one than the app's.
type prover struct {
	prove func(proofClaims) (string, error) // closes over the key
	// The nonces that Okta wants in proofs. It hands them out for its two roles apart.
	token, api nonce
}

func newProver() (*prover, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("okta: no key for DPoP can be made: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key},
		(&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		return nil, fmt.Errorf("okta: no DPoP proof can be made: %w", err)
	}
	return &prover{prove: func(c proofClaims) (string, error) { return jwt.Signed(signer).Claims(c).Serialize() }}, nil
}

// set puts a fresh proof into a request; token is "" where there is none yet.
func (p *prover) set(req *http.Request, now time.Time, token, nonce string) error {
	claims := proofClaims{
		ID: uuid.NewString(), Method: req.Method, URL: proofURL(req.URL), IssuedAt: jwt.NewNumericDate(now), Nonce: nonce,
	}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims.Hash = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	proof, err := p.prove(claims)
	if err != nil {
		return err
	}
	req.Header.Set("DPoP", proof)
	return nil
}

// proofURL is a URL as "htu" holds it: without query and fragment, and escaped no more
// than it must be, since Okta compares what it decoded (okta-sdk-python issue 541).
func proofURL(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return (&url.URL{Scheme: u.Scheme, Host: host, Path: u.Path}).String()
}

// nonce is the newest one that an answer named.
type nonce struct {
	mu    sync.Mutex
	value string
}

// maxNonce is far longer than any nonce of Okta.
const maxNonce = 512

func (n *nonce) get() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.value
}

// take keeps the nonce of an answer, whatever its status: the next proof carries it.
func (n *nonce) take(h http.Header) {
	value := h.Get("DPoP-Nonce")
	if value == "" || len(value) > maxNonce || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.value = value
}

// refused forgets a nonce that was refused, unless an answer has named a newer one. It
// says whether there is a newer one.
func (n *nonce) refused(used string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.value == used {
		n.value = ""
	}
	return n.value != ""
}
