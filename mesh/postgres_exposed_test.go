package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

func TestExposed(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE", "PGPASSWORD"} {
		t.Setenv(name, "")
	}
	for url, says := range map[string]string{
		"sqlite:///mesh.db":                                    "",
		"postgres:///mesh?host=/run/postgresql":                "",
		"postgres://w@localhost/mesh":                          "",
		"postgres://w@127.0.0.1/mesh?sslmode=disable":          "",
		"postgres://w@[::1]/mesh":                              "",
		"postgres://w@db.internal/mesh?sslmode=verify-full":    "",
		"postgres://w@db.internal/mesh":                        "db.internal takes the certificate of another", // prefer
		"postgres://w@db.internal/mesh?sslmode=allow":          "db.internal may go without TLS",
		"postgres://w@db.internal/mesh?sslmode=disable":        "db.internal may go without TLS",
		"postgres://w:Canary@db.internal/mesh?sslmode=require": "takes the certificate of another",
		"postgres://w@db.internal/mesh?sslmode=verify-ca":      "takes the certificate of another",
		"postgres://w@localhost,db2.internal/mesh":             "db2.internal takes the certificate of another",
		"postgres://w@db.internal/mesh?sslmode=nonsense":       "", // opening it says what is wrong
	} {
		got := mesh.Exposed(url)
		if says == "" {
			require.Empty(t, got, url)
		} else {
			require.Contains(t, got, says, url)
		}
		require.NotContains(t, got, "Canary")
	}
	t.Setenv("PGSSLMODE", "verify-full")
	require.Empty(t, mesh.Exposed("postgres://w@db.internal/mesh"))
}
