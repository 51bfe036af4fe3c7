package okta

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// minRSABits is the shortest RSA key that is used; Okta asks for as much.
const minRSABits = 2048

// signingKey is a service app's private key: what signs with it, and what may be known
// of it. It holds the key in closures only.
type signingKey struct {
	// sign returns the claims as a signed JWT.
	sign func(claims any) (string, error)
	// thumbprint is that of the public key (RFC 7638): the same for the same key,
	// however it is written, and no secret.
	thumbprint string
	id         string // "kid", "" without one
}

// parseKey reads a private key: PEM (PKCS#1, PKCS#8, SEC 1) or JWK. kid counts before
// that of a JWK. No error holds a part of the text.
func parseKey(text, kid string) (*signingKey, error) {
	text = strings.TrimSpace(text)
	var key any
	var alg jose.SignatureAlgorithm
	var err error
	switch {
	case text == "":
		return nil, errors.New("the private key is empty")
	case strings.HasPrefix(text, "{"):
		var jwk *jose.JSONWebKey
		if jwk, err = parseJWK(text); err != nil {
			return nil, err
		}
		key, alg = jwk.Key, jose.SignatureAlgorithm(jwk.Algorithm)
		if kid == "" {
			kid = jwk.KeyID
		}
	case strings.Contains(text, "-----BEGIN "):
		if key, err = parsePEM(text); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New(`the private key is neither PEM ("-----BEGIN PRIVATE KEY-----") nor a JWK ({"kty": …})`)
	}
	return newSigningKey(key, alg, kid)
}

func newSigningKey(key any, alg jose.SignatureAlgorithm, kid string) (*signingKey, error) {
	fits, err := algorithms(key)
	if err != nil {
		return nil, err
	}
	if alg == "" {
		alg = fits[0]
	}
	if !slices.Contains(fits, alg) {
		return nil, fmt.Errorf("the JWK's \"alg\" does not fit its key, which signs with %s", joinAlgorithms(fits))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, errors.New("the private key cannot sign")
	}
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256) // of the public part
	if err != nil {
		return nil, errors.New("the private key has no thumbprint")
	}
	return &signingKey{
		sign:       func(claims any) (string, error) { return jwt.Signed(signer).Claims(claims).Serialize() },
		thumbprint: base64.RawURLEncoding.EncodeToString(sum),
		id:         kid,
	}, nil
}

// algorithms returns what Okta takes from a key of this kind, the usual one first
// (facts.md §10).
func algorithms(key any) ([]jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if bits := k.N.BitLen(); bits < minRSABits {
			return nil, fmt.Errorf("the RSA key has %d bits; make one of at least %d", bits, minRSABits)
		}
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512}, nil
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}, nil
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}, nil
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}, nil
		}
		return nil, errors.New("the EC key is on a curve that Okta does not take; make one on P-256")
	case *rsa.PublicKey, *ecdsa.PublicKey:
		return nil, errors.New("the key is the public one; the private key is needed, of which Okta holds the public part")
	case []byte:
		return nil, errors.New("the JWK is symmetric (\"oct\"); an RSA or EC private key is needed")
	default:
		return nil, errors.New("the key is of a kind that Okta does not take; make an RSA key of 2048 bits or more, or an EC key on P-256")
	}
}

func joinAlgorithms(all []jose.SignatureAlgorithm) string {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

func parseJWK(text string) (*jose.JSONWebKey, error) {
	var shape struct {
		Keys json.RawMessage `json:"keys"`
		Type string          `json:"kty"`
		Use  string          `json:"use"`
	}
	if json.Unmarshal([]byte(text), &shape) != nil {
		return nil, errors.New("the private key is no valid JSON, so no JWK")
	}
	switch {
	case shape.Type == "" && len(shape.Keys) > 0:
		return nil, errors.New(`the private key is a set of JWKs ("keys"); give the one private key alone`)
	case shape.Type == "oct":
		_, err := algorithms([]byte{})
		return nil, err
	case shape.Use != "" && shape.Use != "sig":
		return nil, errors.New(`the JWK is not for signing; its "use" must be "sig"`)
	}
	var key jose.JSONWebKey
	if key.UnmarshalJSON([]byte(text)) != nil || !key.Valid() {
		return nil, errors.New("the private key is no valid JWK of an RSA or EC key")
	}
	return &key, nil
}

// parsePEM reads the one private key of a PEM text.
func parsePEM(text string) (any, error) {
	if !strings.Contains(text, "\n") { // one line, as environment variables hold it
		text = strings.ReplaceAll(text, `\n`, "\n")
	}
	var key any
	rest := []byte(text)
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type == "EC PARAMETERS" { // openssl ecparam writes it before the key
			continue
		}
		if key != nil {
			return nil, errors.New("the PEM text holds more than one block; give the private key alone")
		}
		var err error
		if key, err = parseBlock(block); err != nil {
			return nil, err
		}
	}
	if key == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("the private key is no complete PEM text, from -----BEGIN to -----END with its line breaks")
	}
	return key, nil
}

func parseBlock(block *pem.Block) (key any, err error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the private key is protected by a passphrase; the secret store protects it: " +
			"store it without one (openssl pkcs8 -topk8 -nocrypt -in key.pem -out plain.pem)")
	}
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE":
		return algorithms(&rsa.PublicKey{})
	case "OPENSSH PRIVATE KEY":
		return nil, errors.New("the private key is in OpenSSH's own form; convert it (ssh-keygen -p -m PKCS8 -f key)")
	default:
		return nil, errors.New("the PEM text is no private key (PKCS#1, PKCS#8 or SEC 1)")
	}
	if err != nil {
		return nil, errors.New("the private key is damaged: its PEM block does not hold what it says")
	}
	return key, nil
}
