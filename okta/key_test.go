package okta

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

// someRSA is made once: it takes a while.
var someRSA = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func someEC(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pemOf("PRIVATE KEY", der)
}

func sec1(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return pemOf("EC PRIVATE KEY", der)
}

// jwkOf is a key as a JWK, with the given members besides its own.
func jwkOf(t testing.TB, key any, more map[string]any) string {
	t.Helper()
	text, err := jose.JSONWebKey{Key: key}.MarshalJSON()
	require.NoError(t, err)
	members := map[string]any{}
	require.NoError(t, json.Unmarshal(text, &members))
	for k, v := range more {
		members[k] = v
	}
	text, err = json.MarshalIndent(members, "", "  ")
	require.NoError(t, err)
	return string(text)
}

func TestKeysThatSign(t *testing.T) {
	t.Parallel()
	r, p256, p384, p521 := someRSA(), someEC(t, elliptic.P256()), someEC(t, elliptic.P384()), someEC(t, elliptic.P521())
	parameters := pemOf("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7})
	for name, tt := range map[string]struct {
		text, kid string
		alg       jose.SignatureAlgorithm
		wantKid   string
		public    any
	}{
		"PKCS#1":              {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), "", jose.RS256, "", &r.PublicKey},
		"PKCS#8 RSA":          {pkcs8(t, r), "k1", jose.RS256, "k1", &r.PublicKey},
		"PKCS#8 EC":           {pkcs8(t, p256), "", jose.ES256, "", &p256.PublicKey},
		"SEC 1":               {sec1(t, p384), "", jose.ES384, "", &p384.PublicKey},
		"openssl ecparam":     {parameters + sec1(t, p256), "", jose.ES256, "", &p256.PublicKey},
		"JWK RSA":             {jwkOf(t, r, nil), "", jose.RS256, "", &r.PublicKey},
		"JWK of the console":  {jwkOf(t, r, map[string]any{"kid": "SIGN-1", "use": "sig"}), "", jose.RS256, "SIGN-1", &r.PublicKey},
		"KeyID goes first":    {jwkOf(t, r, map[string]any{"kid": "SIGN-1"}), "k2", jose.RS256, "k2", &r.PublicKey},
		"JWK RS384":           {jwkOf(t, r, map[string]any{"alg": "RS384"}), "", jose.RS384, "", &r.PublicKey},
		"JWK RS512":           {jwkOf(t, r, map[string]any{"alg": "RS512"}), "", jose.RS512, "", &r.PublicKey},
		"JWK EC":              {jwkOf(t, p521, map[string]any{"alg": "ES512"}), "", jose.ES512, "", &p521.PublicKey},
		"no last line break":  {strings.TrimSpace(pkcs8(t, r)), "", jose.RS256, "", &r.PublicKey},
		"Windows line breaks": {strings.ReplaceAll(pkcs8(t, r), "\n", "\r\n"), "", jose.RS256, "", &r.PublicKey},
		"one line":            {strings.ReplaceAll(pkcs8(t, r), "\n", `\n`), "", jose.RS256, "", &r.PublicKey},
		"text before it":      {"Bag Attributes\n" + pkcs8(t, r), "", jose.RS256, "", &r.PublicKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, err := parseKey(tt.text, tt.kid)
			require.NoError(t, err)
			text, err := key.sign(map[string]any{"iss": "me"})
			require.NoError(t, err)
			token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{tt.alg})
			require.NoError(t, err)
			var claims map[string]any
			require.NoError(t, token.Claims(tt.public, &claims))
			require.Equal(t, "me", claims["iss"])
			require.Equal(t, tt.wantKid, token.Headers[0].KeyID)
			require.Equal(t, tt.wantKid, key.id)
			sum, err := (&jose.JSONWebKey{Key: tt.public}).Thumbprint(crypto.SHA256)
			require.NoError(t, err)
			require.Len(t, sum, 32)
			require.NotEmpty(t, key.thumbprint)
		})
	}
	one, err := parseKey(pkcs8(t, r), "")
	require.NoError(t, err)
	two, err := parseKey(jwkOf(t, r, nil), "x")
	require.NoError(t, err)
	require.Equal(t, one.thumbprint, two.thumbprint, "the same key, written otherwise")
	three, err := parseKey(pkcs8(t, p256), "")
	require.NoError(t, err)
	require.NotEqual(t, one.thumbprint, three.thumbprint)
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	short, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // too short on purpose
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r, p256 := someRSA(), someEC(t, elliptic.P256())
	publicDER, err := x509.MarshalPKIXPublicKey(&r.PublicKey)
	require.NoError(t, err)
	whole := pkcs8(t, r)
	legacy := strings.Replace(pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r)), "KEY-----\n",
		"KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n", 1)
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":          {"", "is empty"},
		"blank":            {" \n", "is empty"},
		"a token":          {canary, "neither PEM"},
		"1024 bits":        {pkcs8(t, short), "has 1024 bits; make one of at least 2048"},
		"P-224":            {pkcs8(t, someEC(t, elliptic.P224())), "curve that Okta does not take"},
		"Ed25519":          {pkcs8(t, ed), "of a kind that Okta does not take"},
		"public PEM":       {pemOf("PUBLIC KEY", publicDER), "is the public one"},
		"a certificate":    {pemOf("CERTIFICATE", []byte{1}), "is the public one"},
		"public JWK":       {jwkOf(t, &r.PublicKey, nil), "is the public one"},
		"symmetric":        {`{"kty":"oct","k":"` + strings.Repeat("A", 43) + `"}`, "symmetric"},
		"encrypted PKCS#8": {pemOf("ENCRYPTED PRIVATE KEY", []byte{1}), "protected by a passphrase"},
		"encrypted PKCS#1": {legacy, "protected by a passphrase"},
		"OpenSSH":          {pemOf("OPENSSH PRIVATE KEY", []byte{1}), "OpenSSH's own form"},
		"DSA":              {pemOf("DSA PRIVATE KEY", []byte{1}), "no private key (PKCS#1"},
		"damaged":          {pemOf("PRIVATE KEY", []byte("x")), "is damaged"},
		"cut":              {whole[:len(whole)/2], "no complete PEM text"},
		"no line breaks":   {strings.ReplaceAll(whole, "\n", ""), "no complete PEM text"},
		"two keys":         {whole + whole, "more than one block"},
		"text after it":    {whole + canary, "no complete PEM text"},
		"no JSON":          {`{"kty":`, "no valid JSON"},
		"a set":            {`{"keys":[` + jwkOf(t, r, nil) + `]}`, "a set of JWKs"},
		"no kty":           {`{}`, "no valid JWK"},
		"half a JWK":       {`{"kty":"EC","crv":"P-256","d":"AQ"}`, "no valid JWK"},
		"for encryption":   {jwkOf(t, r, map[string]any{"use": "enc"}), `"use" must be "sig"`},
		"another alg":      {jwkOf(t, r, map[string]any{"alg": "ES256"}), "signs with RS256, RS384, RS512"},
		"PS256":            {jwkOf(t, r, map[string]any{"alg": "PS256"}), "signs with RS256, RS384, RS512"},
		"alg of a curve":   {jwkOf(t, p256, map[string]any{"alg": "ES512"}), "signs with ES256"},
		"alg none":         {jwkOf(t, p256, map[string]any{"alg": "none"}), "signs with ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ServiceApp{ClientID: "0oa1", PrivateKey: tt.text, Scopes: []string{"okta.users.read"}}.Credentials()
			require.ErrorContains(t, err, tt.want)
			for _, piece := range pieces(tt.text) {
				require.NotContains(t, err.Error(), piece)
			}
		})
	}
}

// pieces are the parts of a key that would give it away: the lines of a PEM text, the
// values of a JWK.
func pieces(text string) []string {
	var long []string
	for _, p := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\\\"{}:, ", r) }) {
		if len(p) > 24 && !strings.HasPrefix(p, "-----") {
			long = append(long, p, p[:20])
		}
	}
	return long
}

func FuzzParseKey(f *testing.F) {
	f.Add(pkcs8(f, someEC(f, elliptic.P256())), "")
	f.Add(sec1(f, someEC(f, elliptic.P384())), "k")
	f.Add(jwkOf(f, someEC(f, elliptic.P256()), map[string]any{"kid": "k", "alg": "ES256", "use": "sig"}), "")
	f.Add(`{"kty":"RSA","n":"AQAB","e":"AQAB","d":"AQ","p":"Aw","q":"Aw"}`, "")
	f.Add(`{"keys":[]}`, "")
	f.Add("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", "")
	f.Fuzz(func(t *testing.T, text, kid string) {
		key, err := parseKey(text, kid)
		if err != nil {
			for _, piece := range pieces(text) {
				if strings.Contains(err.Error(), piece) {
					t.Fatalf("the error shows a part of the key: %v", err)
				}
			}
			return
		}
		if key.thumbprint == "" {
			t.Fatal("a key without a thumbprint")
		}
		if _, err := key.sign(map[string]any{"iss": "x"}); err != nil {
			t.Fatalf("a key that was taken cannot sign: %v", err)
		}
		_ = fmt.Sprintf("%+v", key)
	})
}
