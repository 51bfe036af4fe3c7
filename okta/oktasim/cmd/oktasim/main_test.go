package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// start runs the command until the test ends and returns its URL, what it wrote
// to standard error so far, and a function that stops it and returns the exit code.
func start(t *testing.T, args ...string) (url, said string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"--addr", "127.0.0.1:0"}, args...), io.Discard, w)
		_ = w.Close()
	}()
	line := make([]byte, 4096)
	n, err := r.Read(line)
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	said = string(line[:n])
	m := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(said)
	require.NotEmpty(t, m, said)
	return m, said, func() int {
		cancel()
		return <-code
	}
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "SSWS "+token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestServesUntilStopped(t *testing.T) {
	t.Parallel()
	addrFile := filepath.Join(t.TempDir(), "addr")
	url, said, stop := start(t, "--users", "30", "--groups", "4", "--memberships", "50", "--token", "secret-one", "--addr-file", addrFile)
	require.Equal(t, "oktasim: 30 users, 4 groups, 50 memberships on "+url+"\n", said)
	require.NotContains(t, said, "secret-one")
	written, err := os.ReadFile(addrFile) // #nosec G304 -- test data
	require.NoError(t, err)
	require.Equal(t, strings.TrimPrefix(url, "http://")+"\n", string(written))

	status, body := get(t, url+"/api/v1/users", "secret-one")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"status":"ACTIVE"`)
	status, _ = get(t, url+"/api/v1/users", "oktasim-token")
	require.Equal(t, 401, status)
	_, body = get(t, url+"/_sim/stats", "")
	require.JSONEq(t, `{"total":2,"byEndpoint":{"GET /api/v1/users":2},"status429":0,"maxInFlight":1}`, body)
	require.Equal(t, 0, stop())
}

func TestServesAFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "org.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"users":[],"groups":[{"id":"00g1","type":"OKTA_GROUP","created":"2024-01-01T00:00:00.000Z","lastUpdated":"2024-01-01T00:00:00.000Z","lastMembershipUpdated":"2024-01-01T00:00:00.000Z","profile":{"name":"G"}}],"members":{}}`), 0o600))
	url, said, stop := start(t, "--org", file, "--rate", "1")
	require.Contains(t, said, "0 users, 1 groups, 0 memberships")
	status, body := get(t, url+"/api/v1/groups", "oktasim-token")
	require.Equal(t, 200, status)
	require.Contains(t, body, `"name":"G"`)
	status, _ = get(t, url+"/api/v1/groups", "oktasim-token")
	require.Equal(t, 429, status)
	require.Equal(t, 0, stop())
}

func TestControl(t *testing.T) {
	t.Parallel()
	url, _, stop := start(t, "--users", "5", "--groups", "2", "--control")
	post := func(path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(answer)
	}
	status, body := post("/-/clock", `{"freeze":true,"set":"2030-01-31T12:00:00Z","advance":"15m"}`)
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"now":"2030-01-31T12:15:00Z"}`, body)
	status, _ = post("/-/lag", `{"search":"5s"}`)
	require.Equal(t, 200, status)
	status, _ = post("/-/fault", `{"name":"role-lost","count":1}`)
	require.Equal(t, 200, status)
	for _, want := range []string{"[]", `"id":"00u`} {
		status, body = get(t, url+"/api/v1/users", "oktasim-token")
		require.Equal(t, 200, status)
		require.Contains(t, body, want)
	}
	_, body = get(t, url+"/-/stats", "")
	require.Contains(t, body, `"total":2`)
	require.Equal(t, 0, stop())

	url, _, stop = start(t, "--users", "1")
	status, _ = post("/-/clock", `{"advance":"1m"}`)
	require.Equal(t, 401, status, "off unless asked")
	require.Equal(t, 0, stop())
}

func TestFaults(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	bad := filepath.Join(t.TempDir(), "bad.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"users":[{}],"groups":[]}`), 0o600))

	for _, tt := range []struct {
		args    []string
		code    int
		message string
	}{
		{[]string{"--addr", taken.Addr().String()}, 1, "choose another --addr"},
		{[]string{"--org", bad}, 1, `users[0]: user "": "id" must be a non-empty string`},
		{[]string{"--org", bad + ".none"}, 1, "no such file"},
		{[]string{"--org", bad, "--users", "5"}, 2, "--users generates an org and cannot be used with --org"},
		{[]string{"--nonsense"}, 2, "unknown flag"},
		{[]string{"--users", "x"}, 2, "invalid argument"},
		{[]string{"--users", "-1"}, 2, "--users cannot be negative, it is -1"},
		{[]string{"--rate", "-1"}, 2, "--rate cannot be negative"},
		{[]string{"--latency", "-1s"}, 2, "--latency cannot be negative"},
		{[]string{"--memberships", "5"}, 2, "5 memberships are impossible"},
		{[]string{"--token", ""}, 2, "--token cannot be empty"},
		{[]string{"--addr", "nowhere"}, 2, "--addr must be HOST:PORT"},
		{[]string{"--users", "1", "--addr", "127.0.0.1:0", "--addr-file", filepath.Join(bad, "x")}, 1, "not a directory"},
		{[]string{"--addr", "0.0.0.0:0", "--control"}, 2, "--control asks for no token and needs a loopback --addr"},
		{[]string{"--addr", ":0", "--control"}, 2, "needs a loopback --addr"},
		{[]string{"--oauth-key", bad}, 2, "--oauth-key describes a service app and needs --oauth-client"},
		{[]string{"--oauth-no-role"}, 2, "needs --oauth-client"},
		{[]string{"--oauth-client", "0oa1"}, 2, "needs the app's public key: --oauth-key FILE"},
		{[]string{"--oauth-client", "0oa1", "--oauth-key", bad + ".none"}, 1, "no such file"},
		{[]string{"--oauth-client", "0oa1", "--oauth-key", bad}, 1, "the key is no valid JWK"},
		{[]string{"--oauth-client", "0oa1", "--oauth-key", bad, "--token-lifetime", "1ms"}, 2, "--token-lifetime must be at least 1s"},
		{[]string{"keygen"}, 2, "--out NAME"},
		{[]string{"keygen", "--out", bad + "x", "--type", "dsa"}, 2, "--type must be rsa or ec"},
		{[]string{"keygen", "--out", filepath.Join(bad, "x")}, 1, "not a directory"},
		{[]string{"keygen", "x"}, 2, `unexpected argument "x"`},
		{[]string{"keygen", "--nonsense"}, 2, "unknown flag"},
		{[]string{"serve"}, 2, `unexpected argument "serve"`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			require.Equal(t, tt.code, run(t.Context(), tt.args, io.Discard, &stderr))
			require.Contains(t, stderr.String(), tt.message)
			require.NotContains(t, stderr.String(), "Usage:")
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, 0, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	for _, flag := range []string{"--org", "--users", "--groups", "--memberships", "--seed", "--latency", "--rate", "--addr", "--addr-file", "--token", "--concurrency", "--control", "--oauth-client", "--oauth-key", "--oauth-scopes", "--oauth-no-dpop", "--oauth-no-role", "--token-lifetime", "keygen", "--version", "Examples:"} {
		require.Contains(t, stdout.String(), flag)
	}
	stdout.Reset()
	require.Equal(t, 0, run(t.Context(), []string{"--version"}, &stdout, &stderr))
	require.Contains(t, stdout.String(), "oktasim version")
	require.Empty(t, stderr.String())
}
