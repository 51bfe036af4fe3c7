package secrets_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

// The table is tried on every database of the mesh. A new one needs a line here.
var databases = map[string]func(t testing.TB) string{
	"SQLite": func(t testing.TB) string {
		return "sqlite://" + filepath.ToSlash(filepath.Join(t.TempDir(), "mesh.db"))
	},
	"PostgreSQL": func(t testing.TB) string { return pgtest.URL(t, "pool_max_conns=4") },
}

func TestTableConformance(t *testing.T) {
	t.Parallel()
	for name, url := range databases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secretstest.Run(t, func(t testing.TB) *secretstest.Harness {
				store, err := mesh.Open(t.Context(), url(t))
				require.NoError(t, err)
				t.Cleanup(func() { _ = store.Close() }) // a test may have closed it
				return tableHarness(t, store)
			})
		})
	}
}

func tableHarness(t testing.TB, store mesh.Store) *secretstest.Harness {
	path := filepath.Join(t.TempDir(), "secrets.key")
	b := secrets.NewTableStore(app.SecretTable(store), secrets.OpenKeys(secrets.KeyFile(path)))
	move := func(from, to string) func(testing.TB) {
		return func(t testing.TB) { require.NoError(t, os.Rename(from, to)) }
	}
	return &secretstest.Harness{
		Backend: b,
		Put: func(t testing.TB, ref secrets.Ref, raw []byte) {
			require.NoError(t, b.PutRaw(t.Context(), ref, raw))
		},
		Remove:       func(t testing.TB, ref secrets.Ref) { require.NoError(t, store.DeleteSecret(t.Context(), string(ref))) },
		KnowsCreated: true, KnowsUpdated: true,
		Failures: []secretstest.Failure{
			{Name: "KeyLost", Arrange: move(path, path+".away"), Recover: move(path+".away", path),
				Says: []string{"secret://okta/contoso/apitoken", "im_secrets table", path, "does not exist"}},
			{Name: "OtherKey", Arrange: func(t testing.TB) {
				require.NoError(t, os.Remove(path))
				require.NoError(t, b.Set(t.Context(), "secret://a/b", []byte("x"))) // makes another
			}, Says: []string{"secret://okta/contoso/apitoken", "sealed with another key"}},
			{Name: "KeyOpenToOthers", Arrange: func(t testing.TB) { require.NoError(t, os.Chmod(path, 0o644)) }, //nolint:gosec // that is what is refused
				Recover: func(t testing.TB) { require.NoError(t, os.Chmod(path, 0o600)) }, Says: []string{"open to other users", "chmod 600"}},
			{Name: "RowDamaged", Arrange: func(t testing.TB) {
				require.NoError(t, store.PutSecret(t.Context(), string(secretstest.Ref), []byte("damaged")))
			}, Says: []string{"the row was changed"}},
			{Name: "DatabaseGone", Arrange: func(t testing.TB) { require.NoError(t, store.Close()) },
				Kind: secrets.Unavailable, Says: []string{"cannot be read"}},
		},
	}
}

func TestEnvConformance(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, func(testing.TB) *secretstest.Harness {
		var mu sync.Mutex
		env := map[string]string{}
		return &secretstest.Harness{
			Backend: &secrets.Env{Lookup: func(name string) (string, bool) {
				mu.Lock()
				defer mu.Unlock()
				text, ok := env[name]
				return text, ok
			}},
			Put: func(_ testing.TB, ref secrets.Ref, raw []byte) {
				mu.Lock()
				defer mu.Unlock()
				env[secrets.EnvName(ref)] = string(raw)
			},
			Remove:         func(_ testing.TB, ref secrets.Ref) { delete(env, secrets.EnvName(ref)) },
			EmptyIsMissing: true, TextOnly: true,
		}
	})
}

func TestEnvReadsTheEnvironment(t *testing.T) {
	t.Setenv("IDENTITYMESH_SECRET_OKTA__CONTOSO__APITOKEN", canary)
	v, err := (&secrets.Env{}).Resolve(t.Context(), tokenRef)
	require.NoError(t, err)
	require.Equal(t, canary, v.Reveal())
}

func TestFilesConformance(t *testing.T) {
	t.Parallel()
	secretstest.Run(t, func(t testing.TB) *secretstest.Harness {
		dir := t.TempDir()
		b := secrets.NewFiles(dir)
		path := func(ref secrets.Ref) string { return filepath.Join(dir, secrets.FlatName(ref)) }
		token := path(secretstest.Ref)
		chmod := func(mode fs.FileMode) func(testing.TB) {
			return func(t testing.TB) { require.NoError(t, os.Chmod(token, mode)) }
		}
		outside := filepath.Join(t.TempDir(), "outside")
		return &secretstest.Harness{
			Backend: b,
			Put: func(t testing.TB, ref secrets.Ref, raw []byte) {
				require.NoError(t, os.WriteFile(path(ref), raw, 0o600))
			},
			Remove:       func(t testing.TB, ref secrets.Ref) { require.NoError(t, os.Remove(path(ref))) },
			KnowsUpdated: true,
			Failures: []secretstest.Failure{
				{Name: "GroupWritable", Arrange: chmod(0o660), Recover: chmod(0o440), Kind: secrets.Denied, Says: []string{"can be written", "0660", "chmod go-w " + token}},
				{Name: "OthersWritable", Arrange: chmod(0o602), Recover: chmod(0o400), Kind: secrets.Denied, Says: []string{"can be written"}},
				{Name: "OthersReadable", Arrange: chmod(0o644), Recover: func(testing.TB) { b.SetReadOnly(true) }, Kind: secrets.Denied,
					Says: []string{"can be read by other users (mode 0644)", "chmod o-r " + token}},
				{Name: "Folder", Arrange: func(t testing.TB) {
					require.NoError(t, os.Remove(token))
					require.NoError(t, os.Mkdir(token, 0o700))
				}, Kind: secrets.Unusable, Says: []string{"is no regular file"}},
				{Name: "LinkOutOfTheFolder", Arrange: func(t testing.TB) {
					require.NoError(t, os.Rename(token, outside))
					require.NoError(t, os.Symlink(outside, token))
				}, Kind: secrets.Unusable, Says: []string{"a link must stay inside"}},
				{Name: "NoFolder", Arrange: func(t testing.TB) { require.NoError(t, os.Rename(dir, outside)) },
					Recover: func(t testing.TB) { require.NoError(t, os.Rename(outside, dir)) }, Kind: secrets.Missing, Says: []string{"install -m 0400"}},
			},
		}
	})
}

// Kubernetes replaces all files of a mounted Secret at once: each is a link into ..data,
// which is a link to a folder of one version.
func TestKubernetesMount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := secrets.FlatName(tokenRef)
	version := func(folder, value string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, folder, name), []byte(value+"\n"), 0o440))
		require.NoError(t, os.Symlink(folder, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	version("..2026_11_28_1", "one")
	require.NoError(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	b := secrets.NewFiles(dir)
	require.Equal(t, "one", must(b.Resolve(t.Context(), tokenRef)).Reveal())
	version("..2026_11_28_2", "two")
	require.Equal(t, "two", must(b.Resolve(t.Context(), tokenRef)).Reveal())
}

// A pipe in the place of a file must not keep the worker waiting.
func TestFilesPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := mkfifo(filepath.Join(dir, secrets.FlatName(tokenRef))); err != nil {
		t.Skip("SKIPPED:", err)
	}
	_, err := secrets.NewFiles(dir).Resolve(t.Context(), tokenRef)
	require.ErrorContains(t, err, "is no regular file")
}

// A real read-only mount, where the system has one: most containers have.
func TestReadOnlyMount(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: mounts are looked at on Linux only")
	}
	own, err := os.Open(os.Args[0])
	require.NoError(t, err)
	defer func() { _ = own.Close() }()
	require.False(t, secrets.OnReadOnlyMount(own), "this binary was just written")
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for _, line := range strings.Split(string(mounts), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[3]+",", "ro,") {
			continue
		}
		if f, err := os.Open(fields[1]); err == nil {
			require.True(t, secrets.OnReadOnlyMount(f), fields[1])
			require.NoError(t, f.Close())
			return
		}
	}
	t.Skip("SKIPPED: there is no read-only mount")
}
