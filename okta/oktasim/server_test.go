package oktasim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

func TestToken(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 3, 1), func(c *oktasim.Config) { c.Token = "right"; c.Rate = 5 })
	auth := func(v string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Del("Authorization")
			if v != "" {
				r.Header.Set("Authorization", v)
			}
		}
	}
	for _, v := range []string{"", "SSWS", "SSWS wrong", "SSWS  right", "Bearer right", "right", "SSWS " + oktasim.DefaultToken} {
		a := s.do("GET", "/api/v1/users", "", auth(v))
		require.Equal(t, "Invalid token provided", a.ok(401)["errorSummary"], v)
		require.Equal(t, "5", a.Header.Get("X-Rate-Limit-Remaining"), "a refused token spends nothing")
		require.NotContains(t, string(a.body), "right")
	}
	require.Len(t, s.do("GET", "/api/v1/users", "", auth("SSWS right")).list(), 3)
	require.Equal(t, 8, s.srv.Stats().Total)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 3, 2))
	requestIDs := map[string]bool{}
	for _, path := range []string{"/api/v1/users", "/api/v1/users/nobody", "/api/v1/nothing", "/api/v1/groups?limit=x", "/api/v1/org"} {
		a := s.get(path)
		require.Equal(t, "Sat, 14 Mar 2026 15:09:26 GMT", a.Header.Get("Date"), "the clock of the config")
		require.Equal(t, "application/json", a.Header.Get("Content-Type"))
		require.Equal(t, "no-cache, no-store", a.Header.Get("Cache-Control"))
		require.Equal(t, "10000", a.Header.Get("X-Rate-Limit-Limit"))
		require.Equal(t, "9999", a.Header.Get("X-Rate-Limit-Remaining"))
		require.Equal(t, strconv.FormatInt(testNow.Unix()+60, 10), a.Header.Get("X-Rate-Limit-Reset"))
		require.Regexp(t, "^[0-9a-f]{32}$", a.Header.Get("X-Okta-Request-Id"))
		requestIDs[a.Header.Get("X-Okta-Request-Id")] = true
	}
	require.Len(t, requestIDs, 5)

	a := s.do("GET", "/api/v1/users?limit=1", "", func(r *http.Request) { r.Host = "contoso.okta.example" })
	require.Contains(t, a.link("next"), "http://contoso.okta.example/api/v1/users?after=0")
	require.Contains(t, string(a.body), `"href":"http://contoso.okta.example/api/v1/users/`)
	secure := httptest.NewTLSServer(s.srv)
	t.Cleanup(secure.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL+"/api/v1/users?limit=1", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
	resp, err := secure.Client().Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Contains(t, resp.Header.Get("Link"), "<https://")
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 3, 2))
	for _, path := range []string{"/", "/api/v1", "/api/v1/user", "/api/v1/users/", "/api/v1/groups/a/b", "/api/v2/users", "/oauth2/v1/authorize"} {
		s.get(path).fails(404, "E0000007")
	}
	for path, method := range map[string]string{"/api/v1/users": "DELETE", "/api/v1/groups/rules": "PUT", "/api/v1/groups/00g1/users": "POST", "/api/v1/users/00u1/lifecycle/suspend": "GET"} {
		s.do(method, path, "").fails(405, "E0000022")
	}
	require.Equal(t, 7, s.srv.Stats().ByEndpoint["GET (unknown path)"])
	s.get("/api/v1/users?%zz").fails(400, "E0000001")
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	org := generated(t, 10, 5)
	s := newSim(t, org, func(c *oktasim.Config) { c.Rate = 3 })
	user, group := org.UserIDs()[0], org.GroupIDs()[1]
	begin := testNow.Unix()
	s.clock.Advance(17 * time.Second) // no wall-clock minute

	for i := range 3 {
		a := s.get("/api/v1/users")
		a.list()
		require.Equal(t, strconv.Itoa(2-i), a.Header.Get("X-Rate-Limit-Remaining"))
		require.Equal(t, "3", a.Header.Get("X-Rate-Limit-Limit"))
		require.Equal(t, strconv.FormatInt(begin+17+60, 10), a.Header.Get("X-Rate-Limit-Reset"))
		s.clock.Advance(time.Second)
	}
	a := s.do("POST", "/api/v1/users", aliceBody)
	a.fails(429, "E0000047")
	require.Equal(t, "0", a.Header.Get("X-Rate-Limit-Remaining"))
	require.Equal(t, strconv.FormatInt(begin+77, 10), a.Header.Get("X-Rate-Limit-Reset"))
	require.Empty(t, a.Header.Get("Retry-After"))
	require.Empty(t, a.Header.Values("Link"))

	// The other buckets are untouched; members share that of /groups.
	s.get("/api/v1/users/" + user).ok(200)
	s.get("/api/v1/groups/" + group).ok(200)
	s.get("/api/v1/groups").list()
	s.get("/api/v1/groups/" + group + "/users").list()
	s.do("PUT", "/api/v1/groups/"+group+"/users/"+user, "").ok(204)
	s.get("/api/v1/groups").fails(429, "E0000047")
	s.get("/api/v1/org").ok(200)
	require.Equal(t, 2, s.srv.Stats().Status429)

	s.clock.Advance(56 * time.Second) // 76 s after the beginning: one second early
	s.get("/api/v1/users").fails(429, "E0000047")
	s.clock.Advance(time.Second)
	fresh := s.get("/api/v1/users")
	fresh.list()
	require.Equal(t, "2", fresh.Header.Get("X-Rate-Limit-Remaining"))
	require.Equal(t, strconv.FormatInt(begin+77+60, 10), fresh.Header.Get("X-Rate-Limit-Reset"), "the window starts with its first request")
}

// Reset is cut to whole seconds: at Reset itself the window may still run.
func TestAWindowRunsToItsLastMillisecond(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 1, 1), func(c *oktasim.Config) { c.Rate = 1 })
	s.get("/api/v1/users").list()
	s.clock.Set(time.Unix(testNow.Unix()+60, 0))
	a := s.get("/api/v1/users")
	a.fails(429, "E0000047")
	require.Equal(t, a.Header.Get("X-Rate-Limit-Reset"), strconv.FormatInt(s.clock.Now().Unix(), 10))
	s.clock.Advance(535 * time.Millisecond)
	s.get("/api/v1/users").list()
}

func TestOtherClientsSpend(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 1, 1), func(c *oktasim.Config) { c.Rate = 10 })
	spent, err := s.srv.Spend("/api/v1/users", 4)
	require.NoError(t, err)
	require.Equal(t, 4, spent)
	require.Equal(t, "5", s.get("/api/v1/users").Header.Get("X-Rate-Limit-Remaining"))
	require.Equal(t, "9", s.get("/api/v1/groups").Header.Get("X-Rate-Limit-Remaining"))
	spent, err = s.srv.Spend("/api/v1/users", 100)
	require.NoError(t, err)
	require.Equal(t, 5, spent)
	s.get("/api/v1/users").fails(429, "E0000047")
	require.Equal(t, 3, s.srv.Stats().Total, "what others do is not counted")

	s.srv.SetLimits(20, 0)
	a := s.get("/api/v1/users")
	a.list()
	require.Equal(t, "9", a.Header.Get("X-Rate-Limit-Remaining"), "a raised limit counts at once")
}

func TestConcurrencyLimitAndStats(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 3, 1), func(c *oktasim.Config) { c.Concurrency = 2 })
	entered, release := make(chan struct{}, 2), make(chan struct{})
	s.srv.Intercept(func(http.ResponseWriter, *http.Request) bool {
		entered <- struct{}{}
		<-release
		return false
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { s.get("/api/v1/users") })
		<-entered
	}
	a := s.get("/api/v1/groups")
	a.fails(429, "E0000047")
	require.Equal(t, "0", a.Header.Get("X-Rate-Limit-Limit"), "the mark of a concurrency 429")
	require.Equal(t, "0", a.Header.Get("X-Rate-Limit-Remaining"))
	close(release)
	wg.Wait()
	s.srv.Intercept(nil)
	s.get("/api/v1/groups").list()

	want := oktasim.Stats{Total: 4, ByEndpoint: map[string]int{"GET /api/v1/users": 2, "GET /api/v1/groups": 2}, Status429: 1, MaxInFlight: 3}
	require.Equal(t, want, s.srv.Stats())
	noToken := func(r *http.Request) { r.Header.Del("Authorization") }
	var got oktasim.Stats
	require.NoError(t, json.Unmarshal(s.do("GET", "/_sim/stats", "", noToken).body, &got))
	require.Equal(t, want, got, "/_sim needs no token and is not counted")
	require.Equal(t, 204, s.do("POST", "/_sim/stats/reset", "", noToken).StatusCode)
	require.JSONEq(t, `{"total":0,"byEndpoint":{},"status429":0,"maxInFlight":0}`, string(s.get("/_sim/stats").body))
	require.Equal(t, 404, s.get("/_sim/other").StatusCode)
	require.Equal(t, 404, s.get("/_sim").StatusCode)
	require.Equal(t, 405, s.get("/_sim/stats/reset").StatusCode)
}

func TestLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		org, err := oktasim.Generate(oktasim.Spec{Users: 3, Seed: 1})
		require.NoError(t, err)
		srv := oktasim.New(oktasim.Config{Org: org, Latency: 80 * time.Millisecond})
		began := time.Now()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/users", nil)
		r.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code)
		require.Equal(t, 80*time.Millisecond, time.Since(began))

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.PanicsWithError(t, http.ErrAbortHandler.Error(), func() { srv.ServeHTTP(httptest.NewRecorder(), r.WithContext(ctx)) })
		require.Equal(t, 1, srv.Stats().MaxInFlight, "a request that was given up does not stay in flight")
	})
}

func TestIntercept(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 5, 1))
	s.srv.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/api/v1/groups" {
			return false
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte("<html>bad gateway</html>"))
		return true
	})
	a := s.get("/api/v1/users")
	require.Equal(t, 502, a.StatusCode)
	require.Equal(t, "<html>bad gateway</html>", string(a.body))
	require.Len(t, s.get("/api/v1/groups").list(), 1)

	s.srv.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte(`[{"id":`))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler) // half an answer
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.http.URL+"/api/v1/users", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	_, err = new(bytes.Buffer).ReadFrom(resp.Body)
	require.Error(t, err)
	require.NoError(t, resp.Body.Close())
	s.srv.Intercept(nil)
	require.Len(t, s.get("/api/v1/users").list(), 5)
	require.Equal(t, 4, s.srv.Stats().Total, "intercepted requests are counted")
}

func TestLogHoldsNothingPersonal(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	org := generated(t, 2, 1)
	s := newSim(t, org, func(c *oktasim.Config) {
		c.Token = "very-secret"
		c.Log = slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	login := profileOf(t, object(t, org.User(org.UserIDs()[0])))["login"].(string)
	s.do("GET", "/api/v1/users/"+login, "", func(r *http.Request) { r.Header.Set("Authorization", "SSWS very-secret") }).ok(200)
	s.http.Close()
	require.Contains(t, buf.String(), `endpoint="GET /api/v1/users/{id}" status=200`)
	require.NotContains(t, buf.String(), "secret")
	require.NotContains(t, buf.String(), login)
}

func TestLogsEndpoint(t *testing.T) {
	t.Parallel()
	s := newSim(t, generated(t, 2, 1))
	a := s.get("/api/v1/logs")
	require.Empty(t, a.list())
	next := a.link("next")
	require.NotEmpty(t, next, "a polling request always has a next link")
	require.Equal(t, next, s.get(next).link("next"), "at the end the cursor stays")
	require.Empty(t, s.get("/api/v1/logs?since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00Z").link("next"))
	require.NotContains(t, s.get("/api/v1/logs?since=2026-03-01T00:00:00Z").link("next"), "since")
	s.get("/api/v1/logs?since=2025-01-01T00:00:00Z").fails(400, "E0000053")
	s.get("/api/v1/logs?since=yesterday").fails(400, "E0000001")
	s.get("/api/v1/logs?since=2026-03-01T00:00:00Z&after=x").fails(400, "E0000001")
	s.get("/api/v1/logs?sortOrder=up").fails(400, "E0000001")
}

func TestNewNeedsAnOrg(t *testing.T) {
	t.Parallel()
	require.Panics(t, func() { oktasim.New(oktasim.Config{}) })
}
