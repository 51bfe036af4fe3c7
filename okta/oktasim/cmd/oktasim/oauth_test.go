package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta"
)

// A pair that keygen made serves the client of a service app.
func TestServiceApp(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"rsa", "ec"} {
		name := filepath.Join(t.TempDir(), "sim")
		var stdout, stderr bytes.Buffer
		require.Equal(t, 0, run(t.Context(), []string{"keygen", "--out", name, "--type", kind}, &stdout, &stderr), stderr.String())
		require.Equal(t, name+".pem\n"+name+".jwks.json\n", stdout.String())
		private, err := os.ReadFile(name + ".pem")
		require.NoError(t, err)
		public, err := os.ReadFile(name + ".jwks.json")
		require.NoError(t, err)
		require.NotContains(t, string(public), `"d"`)
		info, err := os.Stat(name + ".pem")
		require.NoError(t, err)
		require.EqualValues(t, 0o600, info.Mode().Perm())
		require.Equal(t, 1, run(t.Context(), []string{"keygen", "--out", name}, io.Discard, &stderr), "nothing is overwritten")
		same, err := os.ReadFile(name + ".pem")
		require.NoError(t, err)
		require.Equal(t, private, same)

		url, _, stop := start(t, "--users", "20", "--groups", "3", "--oauth-client", "0oaoktasim", "--oauth-key", name+".jwks.json", "--oauth-scopes", "okta.users.read")
		for scope, want := range map[string]string{"okta.users.read": "", "okta.groups.read": "consent_required"} {
			credentials, err := okta.ServiceApp{ClientID: "0oaoktasim", PrivateKey: string(private), Scopes: []string{scope}}.Credentials()
			require.NoError(t, err)
			client, err := okta.New(okta.Options{BaseURL: url, Credentials: credentials})
			require.NoError(t, err)
			users, _, err := client.ListUsers(t.Context(), okta.ListUsers{Limit: 5}, "")
			if want != "" {
				require.ErrorContains(t, err, want)
				continue
			}
			require.NoError(t, err)
			require.Len(t, users, 5)
		}
		require.Equal(t, 0, stop())

		require.Equal(t, 1, run(t.Context(), []string{"--oauth-client", "0oa1", "--oauth-key", name + ".pem"}, io.Discard, &stderr))
		require.Contains(t, stderr.String(), "that is the private key")
	}
}

func TestKeygenKid(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "sim")
	require.Equal(t, 0, run(t.Context(), []string{"keygen", "--out", name, "--type", "ec", "--kid", "SIM-1"}, io.Discard, io.Discard))
	public, err := os.ReadFile(name + ".jwks.json")
	require.NoError(t, err)
	require.Contains(t, string(public), `"kid": "SIM-1"`)
}
