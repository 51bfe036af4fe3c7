package oktasim_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestParseKeys(t *testing.T) {
	t.Parallel()
	jwk := func(key any) string {
		text, err := jose.JSONWebKey{Key: key, KeyID: "k1"}.MarshalJSON()
		require.NoError(t, err)
		return string(text)
	}
	public := func(key any) string {
		der, err := x509.MarshalPKIXPublicKey(key)
		require.NoError(t, err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	ec := ecKey(t)
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // too short on purpose
	require.NoError(t, err)
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &ec.PublicKey, KeyID: "a"}, {Key: &rsaKey().PublicKey, KeyID: "b"}}})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		text string
		keys int
		want string
	}{
		"PEM":         {public(&rsaKey().PublicKey), 1, ""},
		"JWK":         {jwk(&ec.PublicKey), 1, ""},
		"JWKS":        {string(set), 2, ""},
		"private PEM": {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())})), 0, "that is the private key"},
		"private JWK": {jwk(ec), 0, "that is the private key"},
		"short":       {public(&short.PublicKey), 0, "1024 bits"},
		"Ed25519":     {public(ed), 0, "neither an RSA nor an EC key"},
		"symmetric":   {`{"kty":"oct","k":"AAAA"}`, 0, "neither an RSA nor an EC key"},
		"empty set":   {`{"keys":[]}`, 0, "holds no key"},
		"no key":      {`{"keys":[{}]}`, 0, "no valid set"},
		"no JWK":      {`{}`, 0, "no valid JWK"},
		"no JSON":     {`{`, 0, "no valid JSON"},
		"nothing":     {``, 0, "neither PEM nor JWK"},
		"other PEM":   {"-----BEGIN X-----\nAA==\n-----END X-----\n", 0, "no public key"},
	} {
		got, err := oktasim.ParseKeys([]byte(tt.text))
		if tt.want != "" {
			require.ErrorContains(t, err, tt.want, name)
			continue
		}
		require.NoError(t, err, name)
		require.Len(t, got.Keys, tt.keys)
	}
}
