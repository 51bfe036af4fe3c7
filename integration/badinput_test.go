package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// answer makes an interceptor of the user list.
func answer(f func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/users" {
			return false
		}
		f(w, r)
		return true
	}
}

func textAnswer(status int, contentType, body string) func(http.ResponseWriter, *http.Request) bool {
	return answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

const (
	oneUser   = `{"id":"00u1","status":"ACTIVE","lastUpdated":"2026-01-01T00:00:00.000Z","profile":{"login":"a@example.com"}}`
	forbidden = `{"errorCode":"E0000006","errorSummary":"You do not have permission to perform the requested action","errorLink":"E0000006","errorId":"oae1","errorCauses":[]}`
)

// TestBadInput imports once, then meets each kind of bad input: the run fails with a
// message that says what to do, and neither mesh nor feed nor watermark changes.
func TestBadInput(t *testing.T) {
	t.Parallel()
	link := func(next string) func(http.ResponseWriter, *http.Request) bool {
		return answer(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Add("Link", "<"+strings.ReplaceAll(next, "HOST", r.Host)+`>; rel="next"`)
			_, _ = io.WriteString(w, "["+oneUser+"]")
		})
	}
	for _, tc := range []struct {
		name   string
		fault  func(http.ResponseWriter, *http.Request) bool
		config map[string]any
		token  string
		calls  int // to the user list; -1: not counted
		want   []string
	}{
		{name: "wrong token", token: "wrong-token-canary", calls: -1, want: []string{"401", "E0000011", "Security", "starter secret set"}},
		{name: "no permission", fault: textAnswer(403, "application/json", forbidden), calls: 1, want: []string{"403", "E0000006", "Read-Only Administrator", "`starter connector check "}},
		{name: "unknown host", config: map[string]any{"OrgDomain": "no-such-org.invalid", "InsecureLoopback": false}, calls: -1, want: []string{"OrgDomain", "no-such-org.invalid"}},
		{name: "malformed JSON", fault: textAnswer(200, "application/json", `[{"id":`+"\x00"+`}]`), calls: 4, want: []string{"/api/v1/users", "3 retries"}},
		{name: "HTML 502", fault: textAnswer(502, "text/html", "<html>Bad Gateway</html>"), calls: 4, want: []string{"502", "3 retries"}},
		{name: "empty user list", fault: textAnswer(200, "application/json", "[]"), calls: 1, want: []string{"listed no users", "nothing was deleted"}},
		{name: "user without a profile", fault: textAnswer(200, "application/json", `[`+oneUser+`,{"id":"00u2","status":"ACTIVE"}]`), calls: 1, want: []string{"00u2", "profile"}},
		{name: "next link to another host", fault: link("https://evil.example/api/v1/users?after=1"), calls: 1, want: []string{"evil.example"}},
		{name: "next link that repeats itself", fault: link("http://HOST/api/v1/users?limit=200"), calls: -1, want: []string{"repeats"}},
		{name: "half a response", fault: answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "5000")
			_, _ = io.WriteString(w, "["+oneUser+",")
		}), calls: 4, want: []string{"/api/v1/users", "3 retries"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, oktasim.Config{Org: generated(t, 150, 5)}, nil)
			worker := w.worker()
			first := w.completed()
			objects, feed := w.objects(), w.changes(0)

			var calls atomic.Int64
			w.sim.Intercept(func(rw http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/api/v1/users" {
					calls.Add(1)
				}
				return tc.fault != nil && tc.fault(rw, r)
			})
			if tc.token != "" {
				w.ok(w.starter(tc.token, "secret", "set", "secret://okta/contoso/apitoken"))
			}
			if tc.config != nil {
				w.define(tc.config)
			}
			row, r := w.run()
			require.Equal(t, "Failed", row.Outcome)
			require.Equal(t, 1, r.Code)
			for _, want := range tc.want {
				require.Contains(t, row.Error, want)
			}
			if tc.token != "" {
				require.LessOrEqual(t, row.APICalls, 2, "each list was asked at most once: a 401 is not retried")
			}
			if tc.calls >= 0 {
				require.EqualValues(t, tc.calls, calls.Load(), "calls to the user list")
			}
			requireSame(t, objects, w.objects())
			requireSameFeed(t, feed, w.changes(0))
			require.Equal(t, first.Watermark, row.Watermark, "the watermark is unchanged")
			if tc.token != "" {
				require.NotContains(t, worker.Output()+r.Stderr+r.Stdout+string(history(w, row.RunID)), tc.token)
			}

			w.sim.Intercept(nil)
			if tc.token != "" {
				w.ok(w.starter("oktasim-token", "secret", "set", "secret://okta/contoso/apitoken"))
			}
			w.define(nil)
			healed := w.completed()
			require.Equal(t, 150-deprovisioned(w), healed.Counts["User"].Unchanged, "the next run is as if nothing had happened")
			requireSameFeed(t, feed, w.changes(0))
		})
	}
}

func deprovisioned(w *world) int {
	n := 0
	for _, u := range w.org().Snapshot().Users {
		if strings.Contains(string(u), `"status":"DEPROVISIONED"`) {
			n++
		}
	}
	return n
}

// TestUnusableConnector covers what is refused before a run begins.
func TestUnusableConnector(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 50, 3)}, nil)
	w.worker()
	t.Run("unknown connector", func(t *testing.T) {
		r := w.starter("", "run", "nobody", "--mode", "full", "--wait")
		require.Equal(t, 1, r.Code)
		require.Contains(t, r.Stderr, "nobody")
		require.Contains(t, r.Stderr, "contoso")
	})
	t.Run("missing secret", func(t *testing.T) {
		w.ok(w.starter("", "secret", "delete", "secret://okta/contoso/apitoken"))
		row, r := w.run()
		require.Equal(t, 1, r.Code)
		require.Equal(t, "Failed", row.Outcome)
		require.Contains(t, row.Error, "secret://okta/contoso/apitoken")
		require.Contains(t, row.Error, "starter secret set")
		require.Zero(t, w.sim.Stats().Total, "Okta was not called")
	})
	for _, bad := range []struct{ file, want string }{
		{`{`, "JSON"},
		{`{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"https://x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`, "OrgDomain"},
		{`{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com","PageSize":500},"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://a/b"}}`, "PageSize"},
		{`{"Name":"x","Type":"Okta","ConfigJson":{"OrgDomain":"x.okta.com"},"AuthJson":{"Mode":"ApiKey","ApiKey":"00plaintextcanary"}}`, "ApiKey"},
	} {
		t.Run(fmt.Sprint("apply ", bad.want), func(t *testing.T) {
			r := w.starter(bad.file, "connector", "apply", "-f", "-")
			require.NotZero(t, r.Code)
			require.Contains(t, r.Stderr, bad.want)
			require.NotContains(t, r.Stderr+r.Stdout, "00plaintextcanary")
			require.NotContains(t, w.ok(w.starter("", "connector", "list")), "x.okta.com")
		})
	}
}
