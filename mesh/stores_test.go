package mesh_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
)

// openStore opens an empty store, closed by the test's clean-up.
type openStore func(t testing.TB) mesh.Store

// onEachStore runs a test or benchmark on both databases.
func onEachStore[T interface {
	testing.TB
	Run(name string, f func(t T)) bool
}](t T, run func(t T, open openStore)) {
	t.Helper()
	t.Run("sqlite", func(t T) {
		run(t, func(t testing.TB) mesh.Store { s, _ := openTemp(t); return s })
	})
	t.Run("postgres", func(t T) {
		run(t, func(t testing.TB) mesh.Store { s, _ := openPostgres(t); return s })
	})
}

// onEachURL runs a test on a new database of each kind, which it opens as it likes.
func onEachURL(t *testing.T, run func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		run(t, "sqlite://"+filepath.ToSlash(t.TempDir())+"/state/mesh.db")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		run(t, pgtest.URL(t))
	})
}

func openURL(t testing.TB, url string) mesh.Store {
	t.Helper()
	s, err := mesh.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func readScript(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
