package app

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

const someRef = secrets.Ref("secret://okta/contoso/apitoken")

// TestTheBackendIsConfiguration asks every backend where one reference lies.
func TestTheBackendIsConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want string
	}{
		"default": {nil, "the im_secrets table"},
		"table":   {map[string]string{EnvSecrets: "table"}, "the im_secrets table"},
		"env":     {map[string]string{EnvSecrets: "env"}, "the environment, IDENTITYMESH_SECRET_OKTA__CONTOSO__APITOKEN"},
		"files":   {map[string]string{EnvSecrets: "FILES"}, "the secret files, /run/secrets/okta--contoso--apitoken"},
		"folder":  {map[string]string{EnvSecrets: "files", EnvFilesDir: "/mnt/im"}, "the secret files, /mnt/im/okta--contoso--apitoken"},
		"vault": {map[string]string{EnvSecrets: "vault", "VAULT_ADDR": "https://vault.contoso.com", "VAULT_TOKEN": "x"},
			"Vault at https://vault.contoso.com, secret/data/okta/contoso/apitoken"},
		"vault, elsewhere": {map[string]string{EnvSecrets: "vault", "VAULT_ADDR": "https://vault.contoso.com", EnvVaultMount: "kv", EnvVaultPrefix: "im",
			EnvVaultAuth: "approle", EnvVaultRoleID: "r", EnvVaultSecretIDFile: "/s"}, "Vault at https://vault.contoso.com, kv/data/im/okta/contoso/apitoken"},
		"azure": {map[string]string{EnvSecrets: "azure", EnvAzureVault: "https://contoso.vault.azure.net/"},
			"Azure Key Vault at https://contoso.vault.azure.net, okta--contoso--apitoken"},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			b, err := OpenSecrets(nil)
			require.NoError(t, err)
			place, err := b.Where(someRef)
			require.NoError(t, err)
			require.Equal(t, tt.want, place.String())
			require.NoError(t, b.Close())
		})
	}
}

func TestWrongSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		says []string
	}{
		"unknown":        {map[string]string{EnvSecrets: "dpapi"}, []string{EnvSecrets, "table, env, files, vault or azure"}},
		"no Key Vault":   {map[string]string{EnvSecrets: "azure"}, []string{EnvAzureVault}},
		"no login":       {map[string]string{EnvSecrets: "vault"}, []string{"VAULT_TOKEN", EnvVaultAuth}},
		"two keys":       {map[string]string{EnvKey: "{}", EnvKeyFile: "/k"}, []string{EnvKey, EnvKeyFile}},
		"two stores":     {map[string]string{EnvKey: "{}", EnvKeyStore: "os"}, []string{EnvKey, EnvKeyStore}},
		"file and store": {map[string]string{EnvKeyFile: "/k", EnvKeyStore: "os"}, []string{EnvKeyFile, EnvKeyStore}},
		"unknown store":  {map[string]string{EnvKeyStore: "tpm"}, []string{EnvKeyStore, "file or os"}},
	} {
		t.Run(name, func(t *testing.T) {
			clean(t)
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			_, err := OpenSecrets(nil)
			for _, part := range tt.says {
				require.ErrorContains(t, err, part)
			}
		})
	}
}

// TestTheKeyInAVariable moves a key file into $IDENTITYMESH_KEY.
func TestTheKeyInAVariable(t *testing.T) {
	dir := clean(t)
	store, err := OpenStore(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	b, err := OpenTable(store)
	require.NoError(t, err)
	require.NoError(t, b.Set(t.Context(), someRef, []byte(secretstest.Canary)))
	file := filepath.Join(dir, "identitymesh", "secrets.key")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	require.ErrorContains(t, CheckKey(t.Context(), store), file)
	t.Setenv(EnvKey, base64.StdEncoding.EncodeToString(text))
	b, err = OpenTable(store)
	require.NoError(t, err)
	v, err := b.Resolve(t.Context(), someRef)
	require.NoError(t, err)
	require.Equal(t, secretstest.Canary, v.Reveal())
	require.NoError(t, CheckKey(t.Context(), store))
	require.NoFileExists(t, file)
}
