package okta

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// counted serves handler to a client of [NewHTTPClient] and counts the connections.
func counted(t *testing.T, handler http.HandlerFunc) (*Client, *atomic.Int64) {
	t.Helper()
	var opened atomic.Int64
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client, err := New(Options{BaseURL: server.URL, Credentials: APIToken(canary)})
	require.NoError(t, err)
	return client, &opened
}

// Every answer is read to its end, so that its connection serves the next call.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	page := benchPage(100)
	zipped := zip(t, page)
	for name, handler := range map[string]http.HandlerFunc{
		"list":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) },
		"space":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(bytes.Clone(page), "\r\n  \n"...)) },
		"refusal": answer(403, oktaBody("E0000006", "no")),
		"limited": answer(429, oktaBody("E0000047", "slow down"), "Retry-After: 0"),
		"gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, opened := counted(t, handler)
			for range 20 {
				_, _, _ = client.ListGroupMembers(t.Context(), "00g1", 0, "")
			}
			require.EqualValues(t, 1, opened.Load())
		})
	}
}

// Ten calls at a time keep ten connections, not more.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const calls = 10
	var arrived sync.WaitGroup
	client, opened := counted(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived.Done()
		arrived.Wait() // for the other nine
		_, _ = w.Write([]byte(`[]`))
	})
	for range 5 {
		arrived.Add(calls)
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				if _, _, err := client.ListGroups(t.Context(), ListGroups{}, ""); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	require.EqualValues(t, calls, opened.Load())
}

// Answers are asked for compressed, and limited by what they unpack to.
func TestGzip(t *testing.T) {
	t.Parallel()
	page := benchPage(3)
	rows := bytes.Repeat([]byte(`{"id":"00u1","profile":{},"_links":"`+strings.Repeat("x", 1<<19)+`"},`), 2)
	bomb := append(zip(t, []byte("[")), bytes.Repeat(zip(t, rows), 65)...)
	serve := func(text []byte) *Client {
		client, _ := setup(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				http.Error(w, "asked for without compression", http.StatusNotAcceptable)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(text)
		}, func(o *Options) { o.HTTPClient = NewHTTPClient() })
		return client
	}
	users, _, err := serve(zip(t, page)).ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
	require.Len(t, users, 3)

	_, _, err = serve(bomb).ListUsers(t.Context(), ListUsers{}, "")
	require.True(t, requireKind(t, err, Permanent).SmallerPage)
	require.ErrorContains(t, err, "larger than 64 MiB")

	whole := zip(t, page)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-5] ^= 1 // its checksum or length
	for name, text := range map[string][]byte{"cut": whole[:len(whole)-9], "damaged": damaged} {
		users, _, err = serve(text).ListUsers(t.Context(), ListUsers{}, "")
		requireKind(t, err, RetryLater)
		require.Nil(t, users, name)
	}
}
