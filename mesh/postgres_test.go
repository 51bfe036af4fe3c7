package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

func openPostgres(t testing.TB) (*mesh.Postgres, string) {
	t.Helper()
	url := pgtest.URL(t, "pool_max_conns=4")
	return openPostgresURL(t, url), url
}

func openPostgresURL(t testing.TB, url string) *mesh.Postgres {
	t.Helper()
	s, err := mesh.OpenPostgres(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestPostgresConformance(t *testing.T) {
	t.Parallel()
	meshtest.Run(t, func(t *testing.T) mesh.Store {
		s, _ := openPostgres(t)
		return s
	})
}

func TestPostgresConformanceInTinySteps(t *testing.T) {
	t.Parallel()
	meshtest.RunSmall(t, func(t *testing.T) mesh.Store {
		s, _ := openPostgres(t)
		s.TinySteps()
		return s
	})
}
