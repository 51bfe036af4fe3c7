package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A key that was made before there was a database seals secrets, from a file and from
// standard output alike.
func TestSecretKeygen(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new.key")
	b := newBench(t)
	require.Empty(t, b.ok("secret", "keygen", file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	b.fails(exitError, "is not overwritten", "secret", "keygen", file)
	b.fails(exitUsage, "FILE", "secret", "keygen")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	printed := b.ok("secret", "keygen", "-")
	require.NotEqual(t, string(text), printed)

	for _, made := range []string{string(text), printed} {
		b := newBench(t)
		key := filepath.Join(b.dir, "secrets.key")
		require.NoError(t, os.WriteFile(key, []byte(made), 0o600))
		b.stdin = strings.NewReader(canary)
		b.ok("secret", "set", someRef)
		requireSecret(b, someRef, canary)
		after, err := os.ReadFile(key)
		require.NoError(t, err)
		require.Equal(t, made, string(after), "no other key was made")
	}
}
