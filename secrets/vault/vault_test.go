package vault

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

// TestMain takes the settings of whoever runs the tests away.
func TestMain(m *testing.M) {
	for _, e := range os.Environ() {
		if strings.HasPrefix(e, "VAULT_") {
			name, _, _ := strings.Cut(e, "=")
			_ = os.Unsetenv(name)
		}
	}
	// One token for all tests that use it; each stand-in has an address of its own.
	_ = os.Setenv("VAULT_TOKEN", "root-token")
	os.Exit(m.Run())
}

// open returns a backend of the stand-in.
func open(t testing.TB, standIn *secretstest.Vault, cfg Config) *Vault {
	t.Helper()
	v, err := Open(cfg)
	require.NoError(t, err)
	require.NoError(t, v.client.SetAddress(standIn.URL))
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

func harness(t testing.TB) *secretstest.Harness {
	s := secretstest.NewVault(t)
	v := open(t, s, Config{})
	path := secretstest.Ref.Path()
	set := func(f func(s *secretstest.Vault)) func(testing.TB) {
		return func(testing.TB) { s.Change(f) }
	}
	return &secretstest.Harness{
		Backend:      v,
		Put:          func(_ testing.TB, ref secrets.Ref, raw []byte) { s.Put(ref.Path(), string(raw)) },
		Remove:       func(_ testing.TB, ref secrets.Ref) { s.Remove(ref.Path()) },
		KnowsVersion: true, KnowsUpdated: true,
		TextOnly: true, // JSON
		Failures: []secretstest.Failure{
			{Name: "Sealed", Arrange: set(func(s *secretstest.Vault) { s.Sealed = true }), Recover: set(func(s *secretstest.Vault) { s.Sealed = false }),
				Kind: secrets.Unavailable, Says: []string{"Vault is sealed", "unseal"}},
			{Name: "Slow", Arrange: func(testing.TB) {
				s.Change(func(s *secretstest.Vault) { s.Slow = true })
				v.timeout = 50 * time.Millisecond
			},
				Recover: func(testing.TB) {
					s.Change(func(s *secretstest.Vault) { s.Slow = false })
					v.timeout = secrets.CallTimeout
				},
				Kind: secrets.Unavailable, Says: []string{"has not answered for 50ms"}},
			{Name: "Failing", Arrange: set(func(s *secretstest.Vault) { s.Failing = true }), Recover: set(func(s *secretstest.Vault) { s.Failing = false }),
				Kind: secrets.Unavailable, Says: []string{"HTTP 500, internal error"}},
			{Name: "Quota", Arrange: set(func(s *secretstest.Vault) { s.Busy = true }), Recover: set(func(s *secretstest.Vault) { s.Busy = false }),
				Kind: secrets.Unavailable, Says: []string{"HTTP 429", "quota"}},
			{Name: "Down", Arrange: func(testing.TB) { s.Close() }, Kind: secrets.Unavailable, Says: []string{"is not reached", "VAULT_ADDR"}},
			{Name: "Forbidden", Arrange: set(func(s *secretstest.Vault) { s.Forbidden = true }), Recover: set(func(s *secretstest.Vault) { s.Forbidden = false }),
				Kind: secrets.Denied, Says: []string{"policies do not allow", `path "secret/data/okta/contoso/apitoken" { capabilities = ["read"] }`, "HTTP 403"}},
			{Name: "BadToken", Arrange: func(testing.TB) { s.RevokeAll() }, Recover: func(testing.TB) { s.AddToken("root-token", 0) },
				Kind: secrets.Denied, Says: []string{"does not take the token of VAULT_TOKEN", "expired or was revoked"}},
			{Name: "KVVersion1", Arrange: set(func(s *secretstest.Vault) { s.KVVersion = "1" }),
				Kind: secrets.Unusable, Says: []string{"KV engine of version 1", "vault kv enable-versioning secret"}},
			{Name: "NoMount", Arrange: set(func(s *secretstest.Vault) { s.Mount = "kv" }),
				Kind: secrets.Denied, Says: []string{"HTTP 403"}},
			{Name: "WrongNamespace", Arrange: set(func(s *secretstest.Vault) { s.Namespace = "team" }),
				Kind: secrets.Missing, Says: []string{"VAULT_NAMESPACE"}},
			{Name: "DeletedVersion", Arrange: func(testing.TB) { s.Delete(path, false) },
				Kind: secrets.Unusable, Says: []string{"was deleted: its version 1", "vault kv undelete -mount=secret -versions=1 okta/contoso/apitoken"}},
			{Name: "DestroyedVersion", Arrange: func(testing.TB) { s.Delete(path, true) },
				Kind: secrets.Unusable, Says: []string{"was destroyed: its version 1", "vault kv put"}},
			{Name: "OtherField", Arrange: func(testing.TB) { v.cfg.Field = "token" },
				Kind: secrets.Unusable, Says: []string{`no text in its field "token"`, "IDENTITYMESH_VAULT_FIELD"}},
			{Name: "NoVault", Arrange: set(func(s *secretstest.Vault) { s.Strange = true }),
				Kind: secrets.Unusable, Says: []string{"none of a KV engine"}},
			{Name: "Endless", Arrange: set(func(s *secretstest.Vault) { s.Huge = true }), Kind: secrets.Unusable, Says: []string{"larger than any secret"}},
		},
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, harness)
}

func TestAppRole(t *testing.T) {
	t.Parallel()
	s := secretstest.NewVault(t)
	s.Put("im/okta/contoso/apitoken", secretstest.Canary)
	s.Change(func(s *secretstest.Vault) { s.Mount, s.Field = "team/kv", "token" })
	file := filepath.Join(t.TempDir(), "secret-id")
	require.NoError(t, os.WriteFile(file, []byte("secret-id\n"), 0o600))
	v := open(t, s, Config{Auth: AuthAppRole, RoleID: "role-id", SecretIDFile: file, Mount: "/team/kv/", Prefix: "/im/", Field: "token"})
	place, err := v.Where(secretstest.Ref)
	require.NoError(t, err)
	require.Equal(t, "Vault at "+s.URL+", team/kv/data/im/okta/contoso/apitoken", place.String())
	require.Equal(t, "store it with: vault kv put -mount=team/kv im/okta/contoso/apitoken token=- < FILE", v.HowToStore(secretstest.Ref))

	requireCanary := func() {
		t.Helper()
		value, err := v.Resolve(t.Context(), secretstest.Ref)
		require.NoError(t, err)
		require.Equal(t, secretstest.Canary, value.Reveal())
	}
	requireCanary()
	requireCanary()
	require.Equal(t, 1, s.Calls("PUT auth/approle/login"), "one login for many reads")
	require.Equal(t, "hvs.login-1", <-s.Renewed, "its token is renewed")

	s.RevokeAll() // while the process lives
	requireCanary()
	require.Equal(t, 2, s.Calls("PUT auth/approle/login"), "and replaced when Vault takes it no more")

	s.Change(func(s *secretstest.Vault) { s.Forbidden = true })
	_, err = v.Resolve(t.Context(), secretstest.Ref)
	require.ErrorContains(t, err, "policies")
	require.Equal(t, 2, s.Calls("PUT auth/approle/login"), "a login gives no rights")
	s.Change(func(s *secretstest.Vault) { s.Forbidden = false })

	require.Equal(t, 1, s.Tokens())
	require.NoError(t, v.Close())
	require.Zero(t, s.Tokens(), "the token ends with the process")
	_, err = v.Resolve(t.Context(), secretstest.Ref)
	require.ErrorContains(t, err, "closed")
}

// A token that cannot be renewed any more is replaced by a new login before it ends.
func TestLoginAgainAtTheEnd(t *testing.T) {
	t.Parallel()
	s := secretstest.NewVault(t)
	s.Put(secretstest.Ref.Path(), secretstest.Canary)
	s.Change(func(s *secretstest.Vault) { s.Renewable, s.TTL = false, time.Second })
	v := open(t, s, Config{Auth: AuthAppRole, RoleID: "role-id", SecretID: "secret-id"})
	_, err := v.Resolve(t.Context(), secretstest.Ref)
	require.NoError(t, err)
	<-v.session.done
	_, err = v.Resolve(t.Context(), secretstest.Ref)
	require.NoError(t, err)
	require.Equal(t, 2, s.Calls("PUT auth/approle/login"))
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	s := secretstest.NewVault(t)
	s.Put(secretstest.Ref.Path(), secretstest.Canary)
	s.Change(func(s *secretstest.Vault) { s.Namespace = "team" })
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("pod.jwt.sig"), 0o600))
	v := open(t, s, Config{Auth: AuthKubernetes, Role: "identitymesh", JWTFile: file})
	v.client.SetNamespace("team")
	value, err := v.Resolve(t.Context(), secretstest.Ref)
	require.NoError(t, err)
	require.Equal(t, secretstest.Canary, value.Reveal())
}

func TestLoginFails(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for name, tt := range map[string]struct {
		cfg  Config
		kind secrets.Kind
		says []string
	}{
		"wrong secret id":  {Config{Auth: AuthAppRole, RoleID: "role-id", SecretID: "wrong-canary"}, secrets.Denied, []string{"refuses the login at auth/approle", "invalid role or secret ID", "secret id"}},
		"no secret id":     {Config{Auth: AuthAppRole, RoleID: "role-id", SecretIDFile: none}, secrets.Misconfigured, []string{none, "nothing to log in"}},
		"wrong role":       {Config{Auth: AuthKubernetes, Role: "other", JWTFile: os.Args[0]}, secrets.Denied, []string{"auth/kubernetes", "IDENTITYMESH_VAULT_ROLE"}},
		"outside a pod":    {Config{Auth: AuthKubernetes, Role: "identitymesh", JWTFile: none}, secrets.Misconfigured, []string{none}},
		"no token file":    {Config{TokenFile: none}, secrets.Misconfigured, []string{none}},
		"empty token file": {Config{TokenFile: os.DevNull}, secrets.Misconfigured, []string{"is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.cfg.JWTFile == os.Args[0] {
				tt.cfg.JWTFile = filepath.Join(t.TempDir(), "jwt")
				require.NoError(t, os.WriteFile(tt.cfg.JWTFile, []byte("pod.jwt.sig"), 0o600))
			}
			v := open(t, secretstest.NewVault(t), tt.cfg)
			_, err := v.Resolve(t.Context(), secretstest.Ref)
			var e *secrets.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tt.kind, e.Kind, "%v", err)
			for _, part := range tt.says {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

// A token file is read again when Vault takes its token no more, as Vault Agent replaces it.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	s := secretstest.NewVault(t)
	s.Put(secretstest.Ref.Path(), secretstest.Canary)
	file := filepath.Join(t.TempDir(), "token")
	v := open(t, s, Config{TokenFile: file})
	for _, token := range []string{"agent-1", "agent-2"} {
		s.RevokeAll()
		s.AddToken(token, time.Hour)
		require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
		_, err := v.Resolve(t.Context(), secretstest.Ref)
		require.NoError(t, err)
	}
	require.NoError(t, v.Close())
	require.Equal(t, 1, s.Tokens(), "not ours to revoke")
}

// A given token with an end is renewed for as long as the process lives.
func TestGivenTokenIsRenewed(t *testing.T) {
	s := secretstest.NewVault(t)
	s.Put(secretstest.Ref.Path(), secretstest.Canary)
	s.AddToken("short-lived", time.Minute)
	t.Setenv("VAULT_TOKEN", "short-lived")
	v := open(t, s, Config{})
	s.Change(func(s *secretstest.Vault) { s.Sealed = true }) // at first
	_, err := v.Resolve(t.Context(), secretstest.Ref)
	require.ErrorContains(t, err, "sealed")
	s.Change(func(s *secretstest.Vault) { s.Sealed = false })
	_, err = v.Resolve(t.Context(), secretstest.Ref)
	require.NoError(t, err)
	require.Equal(t, "short-lived", <-s.Renewed)
	require.NoError(t, v.Close())
	require.Equal(t, 2, s.Tokens(), "not ours to revoke")
}

func TestSettings(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		cfg  Config
		says string
	}{
		"skip verify":      {map[string]string{"VAULT_SKIP_VERIFY": "true"}, Config{}, "VAULT_CACERT"},
		"in the clear":     {map[string]string{"VAULT_ADDR": "http://vault.contoso.com:8200"}, Config{}, "in the clear"},
		"bad time-out":     {map[string]string{"VAULT_CLIENT_TIMEOUT": "soon"}, Config{}, "VAULT_CLIENT_TIMEOUT"},
		"no CA":            {map[string]string{"VAULT_CACERT": "/none/ca.pem"}, Config{}, "/none/ca.pem"},
		"no token":         {map[string]string{"VAULT_TOKEN": ""}, Config{}, "VAULT_TOKEN"},
		"unknown login":    {nil, Config{Auth: "ldap"}, "token, approle or kubernetes"},
		"half an AppRole":  {nil, Config{Auth: AuthAppRole, RoleID: "r"}, "IDENTITYMESH_VAULT_SECRET_ID_FILE"},
		"two secret ids":   {nil, Config{Auth: AuthAppRole, RoleID: "r", SecretID: "a", SecretIDFile: "b"}, "one of"},
		"Kubernetes, bare": {nil, Config{Auth: AuthKubernetes}, "IDENTITYMESH_VAULT_ROLE"},
		"strange mount":    {nil, Config{Mount: "a/../b"}, "IDENTITYMESH_VAULT_MOUNT"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range tt.env {
				t.Setenv(k, v)
			}
			_, err := Open(tt.cfg)
			require.ErrorContains(t, err, tt.says)
		})
	}
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:8100") // Vault Agent
	_, err := Open(Config{})
	require.NoError(t, err)
	t.Setenv("VAULT_ADDR", "https://vault.contoso.com")
	v, err := Open(Config{})
	require.NoError(t, err)
	_, err = v.Where("secret://a/b..c")
	require.ErrorContains(t, err, "two dots")
}

// A server that is not the one that was meant gets no token.
func TestCertificate(t *testing.T) {
	s := secretstest.NewVaultTLS(t)
	s.Put(secretstest.Ref.Path(), secretstest.Canary)
	t.Setenv("VAULT_ADDR", s.URL)
	v, err := Open(Config{})
	require.NoError(t, err)
	_, err = v.Resolve(t.Context(), secretstest.Ref)
	var e *secrets.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, secrets.Misconfigured, e.Kind, "%v", err)
	require.ErrorContains(t, err, "VAULT_CACERT")

	t.Setenv("VAULT_CACERT", s.CAFile(t))
	v, err = Open(Config{})
	require.NoError(t, err)
	value, err := v.Resolve(t.Context(), secretstest.Ref)
	require.NoError(t, err)
	require.Equal(t, secretstest.Canary, value.Reveal())
}
