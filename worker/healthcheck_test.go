package main

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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

// A worker that starts a moment before its namespace is known everywhere has its first poll
// refused. It is ready as soon as the next one waits for work, not when that ends.
func TestReadyAgainWhileAPollWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const method = "/temporal.api.workflowservice.v1.WorkflowService/PollWorkflowTaskQueue"
		var p polls
		poll := func(lasts time.Duration, err error) {
			got := p.watch(t.Context(), method, nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				time.Sleep(lasts)
				return err
			})
			require.Equal(t, err, got)
		}
		refused := status.Error(codes.NotFound, "no such namespace")
		go poll(time.Minute, nil) // began before the refusal and says nothing about it
		time.Sleep(time.Second)
		poll(time.Millisecond, refused)
		time.Sleep(10 * time.Second)
		require.Equal(t, refused, p.failing())
		go poll(time.Minute, nil)
		time.Sleep(acceptedAfter)
		require.Equal(t, refused, p.failing())
		time.Sleep(time.Second)
		require.NoError(t, p.failing())
		poll(time.Millisecond, refused) // while the other still waits
		require.Equal(t, refused, p.failing())
		time.Sleep(2 * time.Minute)
		require.NoError(t, p.failing(), "the newest that ended was none that failed")
	})
}
