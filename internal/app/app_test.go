package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

// clean gives the test a state folder of its own and none of the caller's settings.
func clean(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(dir, "none.toml"))
	t.Setenv(EnvDB, "")
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		switch {
		case name == EnvDB, name == "TEMPORAL_CONFIG_FILE":
		case strings.HasPrefix(name, "IDENTITYMESH_"), strings.HasPrefix(name, "VAULT_"), strings.HasPrefix(name, "AZURE_"),
			strings.HasPrefix(name, "TEMPORAL_"):
			t.Setenv(name, "") // has it put back
			require.NoError(t, os.Unsetenv(name))
		}
	}
	return dir
}

func TestStateLivesInOneFolder(t *testing.T) { //nolint:paralleltest // sets environment variables
	dir := clean(t)
	db, err := DatabaseURL()
	require.NoError(t, err)
	require.Equal(t, "sqlite://"+dir+"/identitymesh/mesh.db", db)
	key, err := KeyPath()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "identitymesh", "secrets.key"), key)
	require.Equal(t, DefaultTaskQueue, TaskQueue())
}

func TestTheEnvironmentOverrides(t *testing.T) {
	clean(t)
	t.Setenv(EnvDB, "postgres://mesh")
	t.Setenv(EnvKeyFile, "/keys/mesh")
	t.Setenv(EnvTaskQueue, "remote")
	db, err := DatabaseURL()
	require.NoError(t, err)
	require.Equal(t, "postgres://mesh", db)
	key, err := KeyPath()
	require.NoError(t, err)
	require.Equal(t, "/keys/mesh", key)
	require.Equal(t, "remote", TaskQueue())
	t.Setenv(EnvDB, "postgres://mesh:hush@127.0.0.1:1/mesh?connect_timeout=5")
	_, err = OpenStore(t.Context())
	var away *mesh.UnavailableError
	require.ErrorAs(t, err, &away)
	require.NotContains(t, err.Error(), "hush")
}

// TestFirstOpenerMakesEverything opens a store and a secret where nothing is yet.
func TestFirstOpenerMakesEverything(t *testing.T) { //nolint:paralleltest // sets environment variables
	clean(t)
	store, err := OpenStore(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s, err := OpenTable(store)
	require.NoError(t, err)
	ref, err := secrets.ParseRef("secret://okta/contoso/apitoken")
	require.NoError(t, err)
	require.NoError(t, s.Set(t.Context(), ref, []byte("value\n")))
	v, err := s.Resolve(t.Context(), ref)
	require.NoError(t, err)
	require.Equal(t, "value", v.Reveal())
	require.NoError(t, CheckKey(t.Context(), store))
	key, err := KeyPath()
	require.NoError(t, err)
	require.NoError(t, os.Remove(key))
	require.ErrorContains(t, CheckKey(t.Context(), store), "secrets (1) are sealed")
	require.NoError(t, store.DeleteSecret(t.Context(), string(ref)))
	require.NoError(t, CheckKey(t.Context(), store))
	_, err = store.Connector(t.Context(), "contoso")
	require.ErrorAs(t, err, new(*mesh.NotFoundError))
}

func TestTemporalOptions(t *testing.T) {
	clean(t)
	o, err := TemporalOptions(nil)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7233", o.HostPort)
	require.Equal(t, "default", o.Namespace)
	t.Setenv("TEMPORAL_ADDRESS", "temporal.example:7233")
	t.Setenv("TEMPORAL_NAMESPACE", "identity")
	o, err = TemporalOptions(nil)
	require.NoError(t, err)
	require.Equal(t, "temporal.example:7233", o.HostPort)
	require.Equal(t, "identity", o.Namespace)
}

func TestNobodyAnswers(t *testing.T) {
	clean(t)
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
	o, err := TemporalOptions(TemporalLogger(zap.NewNop()))
	require.NoError(t, err)
	_, err = DialTemporal(t.Context(), o, 0)
	require.ErrorContains(t, err, "127.0.0.1:1")
	require.ErrorContains(t, err, "TEMPORAL_ADDRESS")
}

func TestLogger(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "console"} {
		l, err := NewLogger("warn", format)
		require.NoError(t, err)
		require.False(t, l.Core().Enabled(zap.InfoLevel))
	}
	_, err := NewLogger("loud", "json")
	require.ErrorContains(t, err, "--log-level")
	_, err = NewLogger("info", "xml")
	require.ErrorContains(t, err, "--log-format")

	core, logs := observer.New(zap.DebugLevel)
	l := TemporalLogger(zap.New(core, zap.AddCaller()))
	log.With(l, "run", "r1").Warn("Page recorded", "page", 3)
	entry := logs.All()[0]
	require.Equal(t, map[string]any{"run": "r1", "page": int64(3)}, entry.ContextMap())
	require.Contains(t, entry.Caller.File, "app_test.go")
	require.NotEmpty(t, VersionString())
}
