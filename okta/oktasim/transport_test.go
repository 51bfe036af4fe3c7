package oktasim_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestTransportAnswersAsTheSocketDoes asks both for the same and compares.
func TestTransportAnswersAsTheSocketDoes(t *testing.T) {
	t.Parallel()
	org := generated(t, 30, 5)
	s := newSim(t, org)
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "/api/v1/users?limit=7", ""},
		{"GET", "/api/v1/users/" + org.UserIDs()[3], ""},
		{"GET", "/api/v1/users" + query("search", `profile.department eq "R&D / \"x\" +"`), ""},
		{"GET", "/api/v1/users/b%C3%BCr%2Fo%20x", ""},
		{"GET", "/api/v1/nothing", ""},
		{"POST", "/api/v1/groups", `{"profile":{"name":""}}`},
		{"PUT", "/api/v1/groups/" + org.GroupIDs()[1] + "/users/" + org.UserIDs()[0], ""},
	} {
		over := s.do(tt.method, tt.path, tt.body)
		within := func() answer {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, s.http.URL+tt.path, strings.NewReader(tt.body))
			require.NoError(t, err)
			req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
			if tt.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			client := http.Client{Transport: s.srv.Transport()}
			resp, err := client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, req, resp.Request)
			return answer{resp, t, body}
		}()
		require.Equal(t, over.Status, within.Status, tt.path)
		for _, a := range []answer{over, within} {
			a.Header.Del("X-Okta-Request-Id")
			a.Header.Del("Content-Length")
		}
		require.Equal(t, over.Header, within.Header, tt.path)
		same := func(a answer) string {
			head, _, _ := strings.Cut(string(a.body), `"errorId"`)
			return head
		}
		require.Equal(t, same(over), same(within))
	}
}

func TestTransportNamesTheHostThatWasAsked(t *testing.T) {
	t.Parallel()
	srv := oktasim.New(oktasim.Config{Org: generated(t, 5, 1)})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://acme.okta.test/api/v1/users?limit=1", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
	resp, err := srv.Transport().RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	for _, line := range resp.Header.Values("Link") {
		require.Contains(t, line, "<https://acme.okta.test/api/v1/users?")
	}
}

func TestTransportBreaks(t *testing.T) {
	t.Parallel()
	srv := oktasim.New(oktasim.Config{Org: generated(t, 5, 1)})
	client := http.Client{Transport: srv.Transport()}
	ask := func(ctx context.Context) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://okta.test/api/v1/users", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
		return client.Do(req)
	}
	fails := func(ctx context.Context) error {
		resp, err := ask(ctx)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}

	srv.Intercept(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	require.ErrorIs(t, fails(t.Context()), io.ErrUnexpectedEOF)
	srv.Intercept(func(http.ResponseWriter, *http.Request) bool { panic("a bug of a test") })
	require.ErrorContains(t, fails(t.Context()), "a bug of a test")

	srv.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(w, `[{"id":`)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, `"never sent"`)
		panic(http.ErrAbortHandler)
	})
	resp, err := ask(t.Context())
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, `[{"id":`, string(body))
	require.NoError(t, resp.Body.Close())

	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	srv.Intercept(func(http.ResponseWriter, *http.Request) bool {
		cancel()
		<-release
		return true
	})
	require.ErrorIs(t, fails(ctx), context.Canceled, "a request that is given up does not wait for its handler")
	close(release)
	require.ErrorIs(t, fails(ctx), context.Canceled)

	srv.Intercept(func(http.ResponseWriter, *http.Request) bool { return true })
	resp, err = ask(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "as a handler that writes nothing")
	require.NoError(t, resp.Body.Close())
}

// TestTinyOrgsAreCheap guards the property tests that make thousands of orgs. The
// bound is far above what BenchmarkTinyOrg measures (0.05 ms), for a busy machine
// and the race detector.
func TestTinyOrgsAreCheap(t *testing.T) {
	t.Parallel()
	best := time.Hour
	for i := range 20 {
		began := time.Now()
		org, err := oktasim.Generate(oktasim.Spec{Users: 5, Groups: 3, Seed: uint64(i), Now: testNow}) // #nosec G115 -- 0 to 19
		require.NoError(t, err)
		client := http.Client{Transport: oktasim.New(oktasim.Config{Org: org}).Transport()}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://okta.test/api/v1/users", nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		best = min(best, time.Since(began))
	}
	require.Less(t, best, 5*time.Millisecond)
}

func BenchmarkTinyOrg(b *testing.B) {
	for b.Loop() {
		org, err := oktasim.Generate(oktasim.Spec{Users: 5, Groups: 3, Seed: 1, Now: testNow})
		require.NoError(b, err)
		oktasim.New(oktasim.Config{Org: org})
	}
}

func BenchmarkTransport(b *testing.B) {
	org, err := oktasim.Generate(oktasim.Spec{Users: 5, Groups: 3, Seed: 1, Now: testNow})
	require.NoError(b, err)
	get := asker(b, oktasim.New(oktasim.Config{Org: org}))
	for b.Loop() {
		get("/api/v1/users")
	}
}
