package mesh_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
)

// files lists a folder with the sizes and times of its files.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	found := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		found[e.Name()] = string(text)
	}
	return found
}

func TestInspectChangesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "mesh.db")
	i, err := mesh.Inspect(t.Context(), "sqlite://"+filepath.ToSlash(path))
	require.NoError(t, err)
	require.False(t, i.Exists)
	require.NoDirExists(t, dir)

	s, err := mesh.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	before := files(t, dir)
	i, err = mesh.Inspect(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	require.Equal(t, mesh.Inspection{Name: path, Exists: true, Version: i.Wants, Wants: i.Wants, Newest: i.Wants + 1}, i)
	require.Positive(t, i.Wants)
	require.Equal(t, before, files(t, dir))
}

func TestInspectDoesNotMigrate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "mesh.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	i, err := mesh.Inspect(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	require.True(t, i.Exists)
	require.Zero(t, i.Version)
	require.Equal(t, map[string]string{"mesh.db": ""}, files(t, dir))
}

func TestInspectFindsANewerSchema(t *testing.T) {
	t.Parallel()
	_, path := openTemp(t)
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	require.NoError(t, err)
	i, err := mesh.Inspect(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	require.EqualValues(t, 9999, i.Version)
	require.Less(t, i.Wants, i.Version)
}

func TestInspectFindsALock(t *testing.T) {
	t.Parallel()
	_, path := openTemp(t)
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	i, err := mesh.InspectSQLite(t.Context(), path, time.Millisecond)
	require.NoError(t, err)
	require.True(t, i.Locked)
	require.Equal(t, i.Wants, i.Version)

	require.NoError(t, tx.Rollback())
	i, err = mesh.InspectSQLite(t.Context(), path, time.Millisecond)
	require.NoError(t, err)
	require.False(t, i.Locked)
}

func TestInspectFindsAReadOnlyFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("SKIPPED: this user may write everywhere")
	}
	path := filepath.Join(t.TempDir(), "mesh.db")
	s, err := mesh.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.Chmod(path, 0o400))
	i, err := mesh.Inspect(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	require.True(t, i.ReadOnly)
}

func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := filepath.Join(dir, "notes.txt")
	require.NoError(t, os.WriteFile(text, []byte("this is no database, whatever its name says\n"), 0o600))
	for url, want := range map[string]string{
		"sqlite:" + dir:              "is no file",
		"sqlite:" + text:             "not a database",
		"sqlite:":                    "has no file name",
		"sqlite://host/path":         "names a host",
		"mysql://user:secret@host/d": "no known scheme",
		text + "/x":                  "no known scheme",
		"sqlite:" + text + "/x":      "look at the mesh database",
	} {
		_, err := mesh.Inspect(t.Context(), url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestInspectPostgres(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, "pool_max_conns=4")
	i, err := mesh.Inspect(t.Context(), url)
	require.NoError(t, err)
	require.False(t, i.Exists)
	require.Zero(t, i.Version, "nothing was migrated")

	openPostgresURL(t, url)
	i, err = mesh.Inspect(t.Context(), url)
	require.NoError(t, err)
	require.True(t, i.Exists)
	require.False(t, i.ReadOnly)
	require.Equal(t, i.Wants, i.Version)
	require.Contains(t, i.Name, "the database ")

	i, err = mesh.Inspect(t.Context(), url+"&default_transaction_read_only=on")
	require.NoError(t, err)
	require.True(t, i.ReadOnly)
	_, err = mesh.Inspect(t.Context(), "postgres://ada:secret@127.0.0.1:1/mesh?connect_timeout=2")
	require.ErrorContains(t, err, `look at the mesh database "mesh" on 127.0.0.1`)
	require.NotContains(t, err.Error(), "secret")
}
