package okta

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// canary is the token of every test: it must show up nowhere.
const canary = "00CANARY-token_that.must=never/show"

// setup serves handler and returns a client of it. Options may be changed by edit.
func setup(t testing.TB, handler http.HandlerFunc, edit ...func(*Options)) (*Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	o := Options{BaseURL: server.URL, Credentials: APIToken(canary), HTTPClient: server.Client()}
	for _, f := range edit {
		f(&o)
	}
	client, err := New(o)
	require.NoError(t, err)
	return client, server
}

// answer returns a handler that always answers the same. Header lines are "Name: value".
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, line := range header {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// clock is a settable time for [Limits].
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// shared returns a path below ../shared of the repository, or skips the test.
func shared(t testing.TB, path string) string {
	t.Helper()
	dir := os.Getenv("IDENTITYMESH_SHARED")
	if dir == "" {
		dir = filepath.Join(repoRoot(t), "..", "shared")
	}
	full := filepath.Join(dir, path)
	if _, err := os.Stat(full); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no ../shared/%s, and CI=true", path)
		}
		t.Skipf("SKIPPED: no ../shared/%s: the recorded answers of real orgs were not checked", path)
	}
	return full
}

func repoRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/identitymesh/okta-connector\n") {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, parent, dir, "no go.mod of the connector above the test")
		dir = parent
	}
}

// exchanged is one recorded exchange of a .http file.
type exchanged struct {
	method string
	url    *url.URL
	status int
	header http.Header
	body   string
}

// recorded reads the exchanges of a recording: "> METHOD URL", "< HTTP status",
// "< Name: value" lines, then the body; comments start with "# ".
func recorded(t testing.TB, name string) []exchanged {
	t.Helper()
	f, err := os.Open(shared(t, "okta/recorded/"+name))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var all []exchanged
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		last := len(all) - 1
		switch {
		case strings.HasPrefix(line, "# "), strings.HasPrefix(line, "> body:"), line == "":
		case strings.HasPrefix(line, "> "):
			method, raw, ok := strings.Cut(line[2:], " ")
			if u, err := url.Parse(raw); ok && err == nil && u.IsAbs() {
				all = append(all, exchanged{method: method, url: u, header: http.Header{}})
			}
		case strings.HasPrefix(line, "< HTTP "):
			all[last].status, err = strconv.Atoi(strings.Fields(line)[2])
			require.NoError(t, err)
		case strings.HasPrefix(line, "< "):
			name, value, ok := strings.Cut(line[2:], ": ")
			require.True(t, ok, line)
			all[last].header.Add(name, value)
		default:
			all[last].body += line
		}
	}
	require.NoError(t, scanner.Err())
	require.NotEmpty(t, all, "no exchange in %s", name)
	return all
}

// replay serves the recorded answers through httptest and returns a client that
// believes to talk to the recorded host.
func replay(t *testing.T, host string, answers func(*url.URL) exchanged) *Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := answers(r.URL)
		for name, values := range x.header {
			switch name {
			case "Connection", "Content-Encoding", "Transfer-Encoding": // of the recorder's wire
			default:
				w.Header()[name] = values
			}
		}
		w.WriteHeader(x.status)
		_, _ = w.Write([]byte(x.body))
	}))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	client, err := New(Options{
		BaseURL: "https://" + host, Credentials: APIToken(canary),
		HTTPClient: &http.Client{Transport: rewriting{to: address.Host, rt: server.Client().Transport}},
	})
	require.NoError(t, err)
	return client
}

// rewriting sends every request to one plain-http host.
type rewriting struct {
	to string
	rt http.RoundTripper
}

func (r rewriting) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = "http", r.to
	return r.rt.RoundTrip(req)
}

func ptr[T any](v T) *T { return &v }
