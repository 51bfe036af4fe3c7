package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// How long a test waits for what happens in the background, and how often it looks.
const (
	waitLimit = 20 * time.Second
	waitStep  = 20 * time.Millisecond
)

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"help", []string{"--help"}, 0, "IDENTITYMESH_DB", ""},
		{"version", []string{"--version"}, 0, "worker version", ""},
		{"unknown flag", []string{"--nonsense"}, 2, "", "--help"},
		{"argument", []string{"contoso"}, 2, "", "contoso"},
		{"log level", []string{"--log-level", "loud"}, 1, "", "--log-level"},
		{"log format", []string{"--log-format", "xml"}, 1, "", "--log-format"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			require.Equal(t, tc.code, execute(t.Context(), tc.args, &stdout, &stderr))
			require.Contains(t, stdout.String(), tc.stdout)
			require.Contains(t, stderr.String(), tc.stderr)
		})
	}
}

// TestStopsWhileItWaitsForTemporal has a worker whose Temporal never answers.
func TestStopsWhileItWaitsForTemporal(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("IDENTITYMESH_DB", "sqlite://"+filepath.Join(dir, "mesh.db"))
	t.Setenv("TEMPORAL_CONFIG_FILE", filepath.Join(dir, "none.toml"))
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1") // nobody listens there
	ctx, cancel := context.WithCancel(t.Context())
	core, logs := observer.New(zap.WarnLevel)
	done := make(chan error, 1)
	go func() {
		_, err := connect(ctx, zap.New(core), nil)
		done <- err
	}()
	require.Eventually(t, func() bool { return logs.FilterMessage("Waiting for Temporal").Len() > 0 }, waitLimit, waitStep)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

func TestMetricsUseAnotherPortWhenTheirsIsTaken(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	core, logs := observer.New(zap.InfoLevel)
	m, err := startMetrics(t.Context(), taken.Addr().String(), zap.New(core))
	require.NoError(t, err)
	t.Cleanup(m.close)
	require.Equal(t, 1, logs.FilterLevelExact(zap.WarnLevel).Len())
	url, _ := logs.FilterMessage("Metrics").All()[0].ContextMap()["url"].(string)
	m.handler.WithTags(map[string]string{"endpoint": "/api/v1/groups/{id}/users"}).Counter("identitymesh_okta_calls").Inc(3)
	require.Eventually(t, func() bool { // tally reports once a second
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return bytes.Contains(body, []byte(`identitymesh_okta_calls_total{endpoint="/api/v1/groups/{id}/users"} 3`))
	}, waitLimit, waitStep)
}

func TestMetricsAddressIsChecked(t *testing.T) {
	t.Parallel()
	_, err := startMetrics(t.Context(), "9464", zap.NewNop())
	require.ErrorContains(t, err, "HOST:PORT")
	m, err := startMetrics(t.Context(), "", zap.NewNop())
	require.NoError(t, err)
	m.close()
}
