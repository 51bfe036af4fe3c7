package oktasim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// testNow is the present of most tests; it has a fraction of a second, which no
// stamp may show.
var testNow = time.Date(2026, 3, 14, 15, 9, 26, 535_000_000, time.UTC)

// sim is a simulated org behind a real HTTP server.
type sim struct {
	t     *testing.T
	org   *oktasim.Org
	srv   *oktasim.Server
	http  *httptest.Server
	clock *oktasim.Clock
}

func newSim(t *testing.T, org *oktasim.Org, change ...func(*oktasim.Config)) *sim {
	t.Helper()
	s := &sim{t: t, org: org, clock: oktasim.StandingClock(testNow)}
	cfg := oktasim.Config{Org: org, Clock: s.clock}
	for _, f := range change {
		f(&cfg)
	}
	s.srv = oktasim.New(cfg)
	s.http = httptest.NewServer(s.srv)
	t.Cleanup(s.http.Close)
	return s
}

func generated(t *testing.T, users, groups int) *oktasim.Org {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Seed: 7, Now: testNow})
	require.NoError(t, err)
	return org
}

func loaded(t *testing.T, file string) *oktasim.Org {
	t.Helper()
	org, err := oktasim.Load(strings.NewReader(file))
	require.NoError(t, err)
	return org
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	t    *testing.T
	body []byte
}

// do sends a request to a path or to a whole URL. body is JSON text or "".
func (s *sim) do(method, target, body string, change ...func(*http.Request)) answer {
	s.t.Helper()
	if !strings.HasPrefix(target, "http") {
		target = s.http.URL + target
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, target, reader)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "SSWS "+oktasim.DefaultToken)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, f := range change {
		f(req)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, s.t, read}
}

func (s *sim) get(target string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, target, "")
}

// ok asserts the status and returns the object.
func (a answer) ok(status int) map[string]any {
	a.t.Helper()
	require.Equal(a.t, status, a.StatusCode, "%s", a.body)
	if len(a.body) == 0 {
		return nil
	}
	var v map[string]any
	require.NoError(a.t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// list asserts 200 and returns the items.
func (a answer) list() []map[string]any {
	a.t.Helper()
	require.Equal(a.t, http.StatusOK, a.StatusCode, "%s", a.body)
	var v []map[string]any
	require.NoError(a.t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// fails asserts Okta's error and returns the causes in one string.
func (a answer) fails(status int, code string) string {
	a.t.Helper()
	v := a.ok(status)
	require.Equal(a.t, code, v["errorCode"], "%s", a.body)
	require.Equal(a.t, code, v["errorLink"])
	require.NotEmpty(a.t, v["errorSummary"])
	require.Regexp(a.t, `^oae[\w-]{22}$`, v["errorId"])
	var causes []string
	list, isList := v["errorCauses"].([]any)
	require.True(a.t, isList, "errorCauses is always a list")
	for _, c := range list {
		cause, _ := c.(map[string]any)
		text, _ := cause["errorSummary"].(string)
		causes = append(causes, text)
	}
	return strings.Join(causes, "; ")
}

var linkForm = regexp.MustCompile(`^<([^>]+)>; rel="(\w+)"$`)

// link returns the URL of a relation, "" when there is none.
func (a answer) link(rel string) string {
	a.t.Helper()
	for _, line := range a.Header.Values("Link") {
		m := linkForm.FindStringSubmatch(line)
		require.NotNil(a.t, m, "each Link line holds one link: %q", line)
		if m[2] == rel {
			return m[1]
		}
	}
	return ""
}

// walk follows next links and returns all items.
func (s *sim) walk(target string) []map[string]any {
	s.t.Helper()
	var all []map[string]any
	for pages := 0; target != ""; pages++ {
		require.Less(s.t, pages, 1000, "the pages do not end")
		a := s.get(target)
		all = append(all, a.list()...)
		target = a.link("next")
	}
	return all
}

func ids(items []map[string]any) []string {
	out := make([]string, len(items))
	for i, item := range items {
		out[i], _ = item["id"].(string)
	}
	return out
}

func query(name, value string) string { return "?" + url.Values{name: {value}}.Encode() }

func object(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(raw, &v))
	return v
}

// profileOf returns an object's profile.
func profileOf(t *testing.T, v map[string]any) map[string]any {
	t.Helper()
	p, ok := v["profile"].(map[string]any)
	require.True(t, ok, "a profile in %v", v)
	return p
}

// shared returns a file of the third-party material that is not in the
// repository. Without it the test is skipped, or fails where CI=true.
func shared(t *testing.T, path string) []byte {
	t.Helper()
	root := os.Getenv("IDENTITYMESH_SHARED")
	if root == "" {
		root = filepath.Join(moduleRoot(t), "..", "shared")
	}
	data, err := os.ReadFile(filepath.Join(root, path)) // #nosec G304 -- test data
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no ../shared/%s: in CI this test must run; set IDENTITYMESH_SHARED", path)
		}
		t.Skipf("SKIPPED: no ../shared/%s; set IDENTITYMESH_SHARED to where it is", path)
	}
	return data
}

// moduleRoot walks up to the go.mod of the main module.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod")) // #nosec G304 -- test data
		if err == nil && strings.HasPrefix(string(mod), "module github.com/identitymesh/okta-connector\n") {
			return dir
		}
		require.NotEqual(t, filepath.Dir(dir), dir, "no go.mod of the main module above the working directory")
		dir = filepath.Dir(dir)
	}
}
