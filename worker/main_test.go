package main

import (
	"bytes"
	"context"
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
		{"deployment", []string{"--deployment", "a.b"}, 2, "", "dot or a colon"},
		{"build id alone", []string{"--build-id", "v1"}, 2, "", "--deployment"},
		{"stop timeout", []string{"--stop-timeout", "-1s"}, 2, "", "want a time from 0"},
		{"turn", []string{"--turn", "-1s"}, 2, "", "want a time above 0"},
		{"no turn", []string{"--turn", "0"}, 2, "", "want a time above 0"},
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
		_, err := connect(ctx, zap.New(core), nil, &health{})
		done <- err
	}()
	require.Eventually(t, func() bool { return logs.FilterMessage("Waiting for Temporal").Len() > 0 }, waitLimit, waitStep)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}
