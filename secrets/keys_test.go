package secrets_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/secrets"
)

// childEnv makes the test binary one of several processes that need the first key
// at the same time; see TestMain.
const childEnv = "IDENTITYMESH_TEST_SET_SECRET"

// TestMain runs the child of TestProcessesMakeOneKey: it waits for its standard
// input to end, which starts all children at once, seals the canary with the key
// file it was given, and prints the row.
func TestMain(m *testing.M) {
	path := os.Getenv(childEnv)
	if path == "" {
		code := m.Run()
		if err := pgtest.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the tests' PostgreSQL:", err)
			code = 1
		}
		os.Exit(code)
	}
	var start [1]byte
	_, _ = os.Stdin.Read(start[:])
	table := &memory{rows: map[string][]byte{}}
	store := secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(path)))
	if err := store.Set(context.Background(), tokenRef, []byte(canary)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = os.Stdout.Write(table.rows[string(tokenRef)])
	os.Exit(0)
}

// requireOneKey checks that one key file opens every row and that nothing else is
// left in its folder.
func requireOneKey(t *testing.T, path string, rows [][]byte) {
	t.Helper()
	for _, row := range rows {
		table := &memory{rows: map[string][]byte{string(tokenRef): row}}
		v, err := secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(path))).Resolve(t.Context(), tokenRef)
		require.NoError(t, err)
		require.Equal(t, canary, v.Reveal())
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 2, "only the key file and its lock are left: %v", entries)
	require.Equal(t, filepath.Base(path), entries[0].Name())
	require.Equal(t, filepath.Base(path)+".lock", entries[1].Name())
}

func TestProcessesMakeOneKey(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a", "b", "key.json")
	const processes = 6
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	outs, errs := make([]bytes.Buffer, processes), make([]bytes.Buffer, processes)
	commands := make([]*exec.Cmd, processes)
	for i := range commands {
		commands[i] = exec.CommandContext(t.Context(), self)
		commands[i].Env = append(os.Environ(), childEnv+"="+path)
		commands[i].Stdin, commands[i].Stdout, commands[i].Stderr = reader, &outs[i], &errs[i]
		require.NoError(t, commands[i].Start())
	}
	require.NoError(t, writer.Close()) // all children read the end of the pipe
	rows := make([][]byte, processes)
	for i, c := range commands {
		require.NoError(t, c.Wait(), errs[i].String())
		rows[i] = outs[i].Bytes()
	}
	require.NoError(t, reader.Close())
	requireOneKey(t, path, rows)
}

func TestGoroutinesMakeOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "key.json")
	rows := make([][]byte, 32)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range rows {
		wg.Go(func() {
			table := &memory{rows: map[string][]byte{}}
			store := secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(path)))
			<-start
			if err := store.Set(t.Context(), tokenRef, []byte(canary)); err != nil {
				t.Error(err)
			}
			rows[i] = table.rows[string(tokenRef)]
		})
	}
	close(start)
	wg.Wait()
	requireOneKey(t, path, rows)
}

func TestKeyFileIsMadeLazilyAndPrivate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "key.json")
	keys := secrets.OpenKeys(secrets.KeyFile(path))
	require.Equal(t, "key file "+path, keys.String())
	require.False(t, keys.Exists())
	table := &memory{rows: map[string][]byte{}}
	store := secrets.NewTableStore(table, keys)
	require.Error(t, second(store.Resolve(t.Context(), tokenRef)))
	require.NoDirExists(t, filepath.Dir(path), "a read makes no key")

	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	if runtime.GOOS != "windows" {
		require.Equal(t, fs.FileMode(0o600), mode(t, path))
		require.Equal(t, fs.FileMode(0o700), mode(t, filepath.Dir(path)))
	}
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, store.Set(t.Context(), otherRef, []byte(canary)))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "the key is kept")
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode().Perm()
}

func TestKeyFileOpenToOthers(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: Windows has no mode bits")
	}
	store, _, path := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	for _, open := range []fs.FileMode{0o604, 0o620, 0o660, 0o610, 0o601, 0o644} {
		require.NoError(t, os.Chmod(path, open))
		for _, err := range []error{
			second(store.Resolve(t.Context(), tokenRef)), store.Set(t.Context(), tokenRef, []byte(canary)),
		} {
			var e *secrets.KeyError
			require.ErrorAs(t, err, &e)
			require.EqualError(t, err, fmt.Sprintf("key file %s is open to other users (mode %04o); run: chmod 600 %s", path, open, path))
		}
	}
	for _, fine := range []fs.FileMode{0o600, 0o400, 0o640, 0o440} { // its group may read: Kubernetes, Compose
		require.NoError(t, os.Chmod(path, fine))
		require.NoError(t, second(store.Resolve(t.Context(), tokenRef)))
	}
}

// A lost key file and a wrong one are told apart, and a new key does not hide the
// loss of the old.
func TestLostAndWrongKey(t *testing.T) {
	t.Parallel()
	store, _, path := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	saved := path + ".saved"
	require.NoError(t, os.Rename(path, saved))
	err := second(store.Resolve(t.Context(), tokenRef))
	requireSealed(t, err, path, true)
	require.ErrorContains(t, err, "does not exist; restore it")
	require.NoFileExists(t, path, "a read makes no key")

	require.NoError(t, store.Set(t.Context(), otherRef, []byte(canary)))
	err = second(store.Resolve(t.Context(), tokenRef))
	requireSealed(t, err, path, false)
	require.ErrorContains(t, err, "sealed with another key")

	require.NoError(t, os.Rename(saved, path))
	require.Equal(t, canary, must(store.Resolve(t.Context(), tokenRef)).Reveal(), "the restored key is read at once")
}

func TestDamagedKeyFile(t *testing.T) {
	t.Parallel()
	store, _, path := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, text := range map[string]string{
		"empty": "", "cut": string(good[:len(good)/2]), "no JSON": "hello", "no keys": `{"primaryKeyId":1,"key":[]}`,
		"another kind": strings.ReplaceAll(string(good), "XChaCha20Poly1305Key", "HmacKey"),
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		for _, err := range []error{
			second(store.Resolve(t.Context(), tokenRef)), store.Set(t.Context(), tokenRef, []byte(canary)),
		} {
			var e *secrets.KeyError
			require.ErrorAs(t, err, &e, name)
			require.Equal(t, "key file "+path, e.Key)
			require.ErrorContains(t, err, "restore it from a backup", name)
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(got), "%s: a damaged key file is never replaced", name)
	}
}

func TestKeyFileThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]string{
		dir:                             "is no regular file",
		filepath.Join(file, "key.json"): "key file " + filepath.Join(file, "key.json") + " cannot be opened: ",
		dir + "/x\x00y":                 "cannot be opened",
	} {
		store := secrets.NewTableStore(&memory{rows: map[string][]byte{}}, secrets.OpenKeys(secrets.KeyFile(path)))
		err := store.Set(t.Context(), tokenRef, []byte(canary))
		var e *secrets.KeyError
		require.ErrorAs(t, err, &e)
		require.ErrorContains(t, err, want)
	}
}
