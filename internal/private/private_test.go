package private_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/private"
)

func TestRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
	for mode, ok := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o640: true, 0o440: true, // as Kubernetes mounts it
		0o660: false, 0o644: false, 0o602: false, 0o610: false, 0o666: false,
	} {
		require.NoError(t, os.Chmod(path, mode))
		text, err := private.Read(path)
		if ok {
			require.NoError(t, err, "%o", mode)
			require.Equal(t, "text", string(text))
			continue
		}
		require.ErrorContains(t, err, "chmod 600 "+path, "%o", mode)
	}
	_, err := private.Read(t.TempDir())
	require.ErrorContains(t, err, "no regular file")
	_, err = private.Read(path + "x")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, "key")
	require.NoError(t, private.Write(path, []byte("one"), true))
	require.ErrorIs(t, private.Write(path, []byte("two"), true), fs.ErrExist)
	require.NoError(t, private.Write(path, []byte("three"), false))
	text, err := private.Read(path)
	require.NoError(t, err)
	require.Equal(t, "three", string(text))
	for name, mode := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm(), name)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}
