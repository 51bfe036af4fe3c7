package main

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// The health check of a container says what a worker's own probe says, by its exit code.
func TestHealthcheck(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // nobody listens there, and nobody is asked
	t.Setenv("NO_PROXY", "")
	m, h := newMetrics(zap.NewNop()), &health{}
	t.Cleanup(m.close)
	u, err := url.Parse(serve(t, m, h))
	require.NoError(t, err)
	check := func(args ...string) (int, string, string) {
		var stdout, stderr bytes.Buffer
		code := execute(t.Context(), append([]string{"healthcheck"}, args...), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	starting := func(args ...string) {
		code, stdout, stderr := check(args...)
		require.Equal(t, 1, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "503")
		require.Contains(t, stderr, "it has not answered yet")
	}
	starting("--metrics-addr", u.Host)
	starting("--metrics-addr", net.JoinHostPort("0.0.0.0", u.Port()))
	starting("--metrics-addr", net.JoinHostPort("", u.Port()))
	code, stdout, stderr := check("--live", "--metrics-addr", u.Host)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "alive")

	h.setDatabase(func(context.Context) error { return nil })
	h.setTemporal(func(context.Context) error { return nil })
	h.started()
	code, stdout, stderr = check("--metrics-addr", u.Host)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `"status":"ready"`)

	h.drain()
	code, _, stderr = check("--metrics-addr", u.Host)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "stopping")

	code, _, stderr = check("--metrics-addr", "127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "does not answer")
	code, _, stderr = check("--metrics-addr", "9464")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "HOST:PORT")
	code, _, _ = check("contoso")
	require.Equal(t, 2, code)
}
