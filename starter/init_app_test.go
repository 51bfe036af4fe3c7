package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
)

// someKey returns a private key as a JWK, and a piece of it that must not be shown.
func someKey(t *testing.T) (text, piece string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	b, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: "k1"})
	require.NoError(t, err)
	var members struct{ D string }
	require.NoError(t, json.Unmarshal(b, &members))
	return string(b), members.D
}

// pemOf is the same key as PEM, of several lines.
func pemOf(t *testing.T, text string) string {
	t.Helper()
	var jwk jose.JSONWebKey
	require.NoError(t, json.Unmarshal([]byte(text), &jwk))
	der, err := x509.MarshalPKCS8PrivateKey(jwk.Key)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func keyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key.jwk")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestConnectorInitOfAServiceApp(t *testing.T) {
	t.Parallel()
	key, piece := someKey(t)
	lines := pemOf(t, key)
	tests := map[string]struct {
		terminal bool
		stdin    string
		args     []string
		ref, kid string
		file     bool
	}{
		"PEM":                   {false, lines, []string{"--domain", "contoso.okta.com", "--client-id", "0oa1"}, "secret://okta/contoso/privatekey", "", false},
		"key on standard input": {false, key + "\n", []string{"--domain", "contoso.okta.com", "--client-id", "0oa1"}, "secret://okta/contoso/privatekey", "", false},
		"key in a file":         {false, "", []string{"--domain", "contoso.okta.com", "--client-id", "0oa1", "--key-id", "k2"}, "secret://okta/contoso/privatekey", "k2", true},
		"mode and reference":    {false, key, []string{"--domain", "contoso.okta.com", "--mode", "OAuth", "--client-id", "0oa1", "--ref", "secret://okta/other/key"}, "secret://okta/other/key", "", false},
		"asked":                 {true, "contoso.okta.com\noauth\n0oa1\nFILE\n\n", nil, "secret://okta/contoso/privatekey", "", false},
		"half asked":            {true, "FILE\nsecret://okta/a/b\n", []string{"--domain", "contoso.okta.com", "--client-id", "0oa1"}, "secret://okta/a/b", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			file := keyFile(t, key)
			b.tty = fakeTerminal{stdin: tt.terminal, password: "not asked for"}
			b.stdin = strings.NewReader(strings.ReplaceAll(tt.stdin, "FILE", file))
			args := append([]string{"connector", "init"}, tt.args...)
			if tt.file {
				args = append(args, "--key-file", file)
			}
			text := b.ok(args...)
			def, err := connector.Parse([]byte(text))
			require.NoError(t, err)
			require.Equal(t, connector.Auth{Mode: connector.ModeOAuth, ClientID: "0oa1", PrivateKey: tt.ref, KeyID: tt.kid}, def.Auth)
			stored := key
			if name == "PEM" {
				stored = strings.TrimSuffix(lines, "\n")
			}
			requireSecret(b, tt.ref, stored)
			require.NotContains(t, text+b.err.String(), piece)

			b.tty, b.stdin = fakeTerminal{}, strings.NewReader(text)
			require.Equal(t, "connector contoso created\n", b.ok("connector", "apply", "-f", "-"))
			require.NotContains(t, b.err.String(), "is not stored yet")
			shown := b.ok("connector", "show", "contoso")
			for _, want := range []string{"Service app", "0oa1", "Private key", tt.ref, "Scopes", "okta.users.read, okta.groups.read"} {
				require.Contains(t, shown, want)
			}
			b.ok("secret", "delete", tt.ref)
			require.Contains(t, b.err.String(), "still named by connector contoso")
		})
	}
}

func TestConnectorInitOfAServiceAppRefuses(t *testing.T) {
	t.Parallel()
	key, piece := someKey(t)
	tests := map[string]struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		"no client id":     {[]string{"--mode", "OAuth"}, key, exitUsage, "--client-id"},
		"key file alone":   {[]string{"--key-file", keyFile(t, key)}, "", exitUsage, "--client-id"},
		"another mode":     {[]string{"--mode", "ApiKey", "--client-id", "0oa1"}, key, exitUsage, "are of a service app"},
		"unknown mode":     {[]string{"--mode", "SAML"}, key, exitUsage, "--mode must be ApiKey or OAuth"},
		"odd client id":    {[]string{"--client-id", "0oa 1"}, key, exitUsage, "AuthJson.ClientId"},
		"no key":           {[]string{"--client-id", "0oa1"}, "\n", exitError, "is empty"},
		"no such file":     {[]string{"--client-id", "0oa1", "--key-file", "/nonexistent/key"}, "", exitError, "read the private key"},
		"empty file":       {[]string{"--client-id", "0oa1", "--key-file", keyFile(t, "\n")}, "", exitError, "is empty"},
		"a token":          {[]string{"--client-id", "0oa1"}, canary, exitError, "neither PEM"},
		"a public key":     {[]string{"--client-id", "0oa1"}, strings.Replace(key, `"d":"`+piece+`"`, `"x5u":"https://x.example"`, 1), exitError, "private key"},
		"kid with a space": {[]string{"--client-id", "0oa1", "--key-id", "a b"}, key, exitUsage, "AuthJson.KeyId"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.stdin = strings.NewReader(tt.stdin)
			b.fails(tt.code, tt.want, append([]string{"connector", "init", "--domain", "contoso.okta.com"}, tt.args...)...)
			require.NotContains(t, b.err.String(), piece)
			require.NotContains(t, b.err.String(), canary)
			require.JSONEq(t, `[]`, b.ok("secret", "list", "-o", "json"))
		})
	}
	b := newBench(t)
	b.tty = fakeTerminal{stdin: true}
	b.stdin = strings.NewReader("contoso.okta.com\nSAML\n")
	b.fails(exitError, "answer ApiKey or OAuth", "connector", "init")
}
