package mesh_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

func openTemp(t testing.TB) *mesh.SQLite {
	t.Helper()
	s, err := mesh.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "mesh.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestSQLiteConformance(t *testing.T) {
	t.Parallel()
	meshtest.Run(t, func(t *testing.T) mesh.Store { return openTemp(t) })
}

// TestSQLiteConformanceInTinySteps lets crashes hit every boundary of Settle.
func TestSQLiteConformanceInTinySteps(t *testing.T) {
	t.Parallel()
	meshtest.Run(t, func(t *testing.T) mesh.Store {
		s := openTemp(t)
		s.TinySteps()
		return s
	})
}
