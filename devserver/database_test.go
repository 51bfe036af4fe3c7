package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrepareFile(t *testing.T) {
	t.Parallel()
	// The name holds what SQLite's URIs give a meaning to.
	path := filepath.Join(t.TempDir(), "dev #1 50% ?x=y.db")
	require.NoError(t, prepareFile(t.Context(), path))
	require.FileExists(t, path)
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, prepareFile(t.Context(), path), "a second start uses the file as it is")
	second, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, first, second)
}

func TestPrepareFileTakesAnEmptyFile(t *testing.T) {
	t.Parallel()
	// What a kill before the first commit leaves, and what mktemp makes.
	path := filepath.Join(t.TempDir(), "empty.db")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, prepareFile(t.Context(), path))
}

func TestPrepareFileInterrupted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dev.db")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, prepareFile(ctx, path), context.Canceled)
	require.NoError(t, prepareFile(t.Context(), path), "an interrupted set-up leaves nothing behind")
}

func TestPrepareFileRefuses(t *testing.T) {
	t.Parallel()
	exec := func(t *testing.T, path, statement string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		_, err = db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
	}{
		"another database": {func(t *testing.T, path string) {
			t.Helper()
			exec(t, path, "CREATE TABLE im_objects (id INTEGER)")
		}, "is a database of something else"},
		"another schema": {func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, prepareFile(t.Context(), path))
			exec(t, path, "PRAGMA user_version = 1")
		}, "was made by another version of the Temporal server"},
		"not a database": {func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, os.WriteFile(path, []byte("this is a letter, not a database, and long enough to show it"), 0o600))
		}, "is not a SQLite database"},
		"a folder": {func(t *testing.T, path string) {
			t.Helper()
			require.NoError(t, os.Mkdir(path, 0o700))
		}, "cannot be opened"},
		"in use": {func(t *testing.T, path string) {
			t.Helper()
			db, err := sql.Open("sqlite", "file:"+uriPath(path)+"?_txlock=exclusive")
			require.NoError(t, err)
			tx, err := db.BeginTx(context.WithoutCancel(t.Context()), nil)
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, tx.Rollback())
				require.NoError(t, db.Close())
			})
		}, "is in use by another process"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "x.db")
			tc.prepare(t, path)
			before, _ := os.ReadFile(path)
			err := prepareFile(t.Context(), path)
			require.ErrorContains(t, err, tc.want)
			require.ErrorContains(t, err, path)
			after, _ := os.ReadFile(path)
			require.Equal(t, before, after, "a refused file stays as it was")
		})
	}
}

func TestPrepareFileWithoutFolder(t *testing.T) {
	t.Parallel()
	err := prepareFile(t.Context(), filepath.Join(t.TempDir(), "none", "x.db"))
	require.ErrorContains(t, err, "folder does not exist")
}

// TestFileIsTheUsersAlone makes a file under the most generous umask, and takes over one
// that an earlier release left open.
func TestFileIsTheUsersAlone(t *testing.T) { //nolint:paralleltest // the umask is the process's
	old := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(old) })
	path := filepath.Join(t.TempDir(), "dev.db")
	private := func() {
		t.Helper()
		require.NoError(t, prepareFile(t.Context(), path))
		files, err := filepath.Glob(path + "*")
		require.NoError(t, err)
		for _, file := range files {
			info, err := os.Stat(file)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
		}
	}
	private()
	require.NoError(t, os.Chmod(path, 0o644)) //nolint:gosec // what is to be mended
	private()
}
