//go:build unix

package mesh

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFilesAreTheUsersAlone opens a fresh mesh under the most generous umask.
func TestFilesAreTheUsersAlone(t *testing.T) { //nolint:paralleltest // the umask is the process's
	old := syscall.Umask(0)
	t.Cleanup(func() { syscall.Umask(old) })
	dir := filepath.Join(t.TempDir(), "state", "identitymesh")
	store, err := OpenSQLite(t.Context(), filepath.Join(dir, "mesh.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.PutSecret(t.Context(), "secret://a/b", []byte("sealed")))
	files := 0
	require.NoError(t, filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		require.Equal(t, want, info.Mode().Perm(), path)
		return nil
	}))
	require.Equal(t, 4, files, "the database, its log, its index and the lock of the migration")
}

func TestOpenFilesAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mesh.db")
	store, err := OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, store.Close())
	for mode, ok := range map[fs.FileMode]bool{0o600: true, 0o660: true, 0o640: true, 0o644: false, 0o602: false, 0o666: false} {
		require.NoError(t, os.Chmod(path, mode))
		store, err := OpenSQLite(t.Context(), path)
		if ok {
			require.NoError(t, err, "%o", mode)
			require.NoError(t, store.Close())
			continue
		}
		require.ErrorContains(t, err, "chmod 600 "+path, "%o", mode)
	}
	require.NoError(t, os.Chmod(path, 0o600))
	require.NoError(t, os.WriteFile(path+"-wal", nil, 0o600))
	require.NoError(t, os.Chmod(path+"-wal", 0o644)) //nolint:gosec // the mode to refuse
	_, err = OpenSQLite(t.Context(), path)
	require.ErrorContains(t, err, "mesh.db-wal is open")
}
