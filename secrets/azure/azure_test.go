package azure

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

// TestMain takes the settings of whoever runs the tests away, and leaves one credential
// of the chain: that of the environment.
func TestMain(m *testing.M) {
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "AZURE_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AZURE_TENANT_ID": secretstest.TenantID, "AZURE_CLIENT_ID": secretstest.ClientID, "AZURE_CLIENT_SECRET": secretstest.ClientSecret,
		"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
	} {
		_ = os.Setenv(name, value)
	}
	os.Exit(m.Run())
}

// open returns a backend of the stand-in, which is Entra, too. The chain reads its
// authority when it is made.
func open(t testing.TB, s *secretstest.KeyVault) *KeyVault {
	t.Helper()
	k, err := Open(Config{VaultURL: s.URL + "/", transport: s.Client(), local: true, authority: s.URL})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, k.Close()) })
	return k
}

func harness(t testing.TB) *secretstest.Harness {
	s := secretstest.NewKeyVault(t)
	k := open(t, s)
	name := secrets.FlatName(secretstest.Ref)
	set := func(f func(s *secretstest.KeyVault)) func(testing.TB) {
		return func(testing.TB) { s.Change(f) }
	}
	return &secretstest.Harness{
		Backend:      k,
		Put:          func(_ testing.TB, ref secrets.Ref, raw []byte) { s.Put(secrets.FlatName(ref), string(raw)) },
		Remove:       func(_ testing.TB, ref secrets.Ref) { s.Remove(secrets.FlatName(ref)) },
		KnowsVersion: true, KnowsCreated: true, KnowsUpdated: true,
		TextOnly: true, // JSON
		Failures: []secretstest.Failure{
			{Name: "Disabled", Arrange: func(testing.TB) { s.Disable(name, true) }, Recover: func(testing.TB) { s.Disable(name, false) },
				Kind: secrets.Unusable, Says: []string{"is disabled", "set-attributes --enabled true", name}},
			{Name: "ForbiddenByRbac", Arrange: set(func(s *secretstest.KeyVault) { s.Denied = "ForbiddenByRbac" }),
				Recover: set(func(s *secretstest.KeyVault) { s.Denied = "" }),
				Kind:    secrets.Denied, Says: []string{"Key Vault Secrets User", "ForbiddenByRbac"}},
			{Name: "ForbiddenByFirewall", Arrange: set(func(s *secretstest.KeyVault) { s.Denied = "ForbiddenByFirewall" }),
				Kind: secrets.Denied, Says: []string{"firewall"}},
			{Name: "Throttled", Arrange: set(func(s *secretstest.KeyVault) { s.Status, s.Retry = 429, 7 }),
				Recover: set(func(s *secretstest.KeyVault) { s.Status, s.Retry = 0, 0 }),
				Kind:    secrets.Unavailable, Says: []string{"HTTP 429", "Throttled"}, After: 7 * time.Second},
			{Name: "Failing", Arrange: set(func(s *secretstest.KeyVault) { s.Status = 503 }), Recover: set(func(s *secretstest.KeyVault) { s.Status = 0 }),
				Kind: secrets.Unavailable, Says: []string{"HTTP 503"}},
			{Name: "Slow", Arrange: func(testing.TB) {
				s.Change(func(s *secretstest.KeyVault) { s.Slow = true })
				k.cfg.timeout = 50 * time.Millisecond
			}, Recover: func(testing.TB) {
				s.Change(func(s *secretstest.KeyVault) { s.Slow = false })
				k.cfg.timeout = secrets.CallTimeout
			}, Kind: secrets.Unavailable, Says: []string{"has not answered for 50ms"}},
			{Name: "Down", Arrange: func(testing.TB) { s.Close() }, Kind: secrets.Unavailable, Says: []string{"is not reached"}},
			{Name: "OtherTenant", Arrange: set(func(s *secretstest.KeyVault) { s.NoTenant = true }),
				Kind: secrets.Denied, Says: []string{"AZURE_TENANT_ID", "AKV10032"}},
			{Name: "EntraFails", Arrange: set(func(s *secretstest.KeyVault) { s.Login, s.Retry = 503, 3 }),
				Recover: set(func(s *secretstest.KeyVault) { s.Login, s.Retry = 0, 0 }),
				Kind:    secrets.Unavailable, Says: []string{"Entra ID does not log in now"}, After: 3 * time.Second},
			{Name: "WrongVersion", Arrange: set(func(s *secretstest.KeyVault) { s.Status = 400 }),
				Kind: secrets.Misconfigured, Says: []string{"HTTP 400", "AZURE_KEYVAULT_URL"}},
			{Name: "NoKeyVault", Arrange: set(func(s *secretstest.KeyVault) { s.Challenge = `Basic realm="intranet"` }),
				Kind: secrets.Misconfigured, Says: []string{"no Azure Key Vault", "AZURE_KEYVAULT_URL"}},
			{Name: "StrangeChallenge", Arrange: set(func(s *secretstest.KeyVault) {
				s.Challenge = `Bearer authorization="x", resource="https://vault.azure.net"`
			}),
				Kind: secrets.Misconfigured, Says: []string{"AZURE_KEYVAULT_URL"}},
			{Name: "Endless", Arrange: set(func(s *secretstest.KeyVault) { s.Huge = true }), Kind: secrets.Unusable, Says: []string{"larger than any secret"}},
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, harness)
}

func TestOneLoginForManyReads(t *testing.T) {
	t.Parallel()
	s := secretstest.NewKeyVault(t)
	k := open(t, s)
	s.Put("OKTA--CONTOSO--APITOKEN", secretstest.Canary) // Key Vault knows no case
	for range 3 {
		_, err := k.Resolve(t.Context(), secretstest.Ref)
		require.NoError(t, err)
	}
	require.Equal(t, 1, s.Logins())
	place, err := k.Where(secretstest.Ref)
	require.NoError(t, err)
	require.Equal(t, "Azure Key Vault at "+s.URL+", okta--contoso--apitoken", place.String())
}

func TestEntraRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		says []string
	}{
		"wrong secret": {map[string]string{"AZURE_CLIENT_SECRET": "wrong-canary"}, []string{"Entra ID refuses the login", "AADSTS7000215", "AZURE_CLIENT_ID"}},
		"nothing":      {map[string]string{"AZURE_CLIENT_ID": "", "AZURE_CLIENT_SECRET": ""}, []string{"nothing to log in to Azure with", "AZURE_CLIENT_SECRET"}},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			s := secretstest.NewKeyVault(t)
			_, err := open(t, s).Resolve(t.Context(), secretstest.Ref)
			var e *secrets.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, secrets.Denied, e.Kind, "%v", err)
			for _, part := range tt.says {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestSettings(t *testing.T) {
	for _, bad := range []string{"", "contoso", "http://contoso.vault.azure.net", "https://", "https://contoso.vault.azure.net/secrets/canary"} {
		_, err := Open(Config{VaultURL: bad})
		require.ErrorContains(t, err, "AZURE_KEYVAULT_URL")
		require.NotContains(t, err.Error(), "canary")
	}
	k, err := Open(Config{VaultURL: "https://contoso.vault.azure.net/"})
	require.NoError(t, err)
	require.Equal(t, "store it with: az keyvault secret set --vault-name contoso --name okta--contoso--apitoken --encoding utf-8 --file FILE", k.HowToStore(secretstest.Ref))
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "nonsense")
	_, err = Open(Config{VaultURL: "https://contoso.vault.azure.net/"})
	require.ErrorContains(t, err, "AZURE_TOKEN_CREDENTIALS")
}

// A server that is not the one that was meant gets no token.
func TestCertificate(t *testing.T) {
	t.Parallel()
	s := secretstest.NewKeyVault(t)
	k, err := Open(Config{VaultURL: s.URL, local: true, authority: s.URL})
	require.NoError(t, err)
	_, err = k.Resolve(t.Context(), secretstest.Ref)
	var e *secrets.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, secrets.Misconfigured, e.Kind, "%v", err)
	require.ErrorContains(t, err, "SSL_CERT_FILE")
}
