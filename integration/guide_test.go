package integration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

const (
	// guideHome is the home of the guide's user, and guideDatabase the database's host, as
	// its pages show them.
	guideHome     = "/var/lib/identitymesh"
	guideDatabase = "db.internal"
	guideOrg      = "contoso.okta.com"
)

// TestGuide runs the operator's guide: every command of docs/guide.md and of the pages that
// it links, in that order and word for word, in one bash, and compares what they print with
// what the guide shows. A comment <!-- test: … --> has something happen before the next
// command: see guideDirectives.
//
// What the guide's reader has, the test gives by the environment alone: the org
// contoso.okta.com is a simulated one behind HTTPS_PROXY, with a certificate of
// IDENTITYMESH_CA_FILE; PGHOST and PGUSER name a PostgreSQL server of the test's own; HOME is
// an empty folder, in which okta-connector is the source with the binaries built. Those in
// its bin are scripts that give temporal-dev and worker free ports instead of their usual
// ones, and ~/.curlrc has curl find them.
func TestGuide(t *testing.T) {
	t.Parallel()
	pages, err := guidePages("..")
	require.NoError(t, err)
	g := newGuide(t)
	ran := map[string]bool{}
	for _, page := range pages {
		for _, step := range page.steps {
			if step.directive {
				require.NoError(t, g.direct(step.text), step.where)
				continue
			}
			began := time.Now()
			printed, err := g.shell.run(t.Context(), step)
			printed = strings.NewReplacer(g.home, guideHome, g.database.Dir(), guideDatabase).Replace(printed)
			require.NoError(t, err, "%s:\n%s%s%s", step.where, step.text, printed, g.logs())
			if testing.Verbose() {
				t.Logf("%s, %s\n%s%s", step.where, time.Since(began).Round(time.Millisecond), step.text, printed)
			}
			if step.shown {
				assert.NoError(t, matchOutput(step.output, printed), "%s:\n%s", step.where, step.text)
			}
			ran[step.text] = true
		}
	}
	require.NotEmpty(t, ran)
	for _, page := range pages {
		for _, span := range page.spans {
			assert.NoError(t, g.known(span.text, ran), span.where)
		}
	}
}

// guide is the world of the guide's reader.
type guide struct {
	*testing.T
	home     string
	shell    *guideShell
	sim      *oktasim.Server
	org      *oktasim.Org
	clock    oktasim.Clock
	database *pgtest.Server
	bin      string
	help     map[string]string // of our programs' commands

	deactivated []string // users
}

func newGuide(t *testing.T) *guide {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			guideNeeds(t, err)
		}
	}
	server, err := pgtest.StartOwn(t.Context(), "fsync=off")
	if errors.Is(err, pgtest.ErrNoServer) {
		guideNeeds(t, err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	// Everybody but the administrator needs his password.
	require.NoError(t, server.Exec(t.Context(), `DO $$
		BEGIN
			EXECUTE format('COPY (SELECT * FROM (VALUES (%L), (%L)) v) TO %L',
				'local all `+server.Superuser()+` trust', 'local all all scram-sha-256', current_setting('hba_file'));
		END $$`, `SELECT pg_reload_conf()`))

	g := &guide{T: t, home: t.TempDir(), database: server, bin: temporal.Bin, help: map[string]string{}}
	// The ids of the org are always the same, so that the guide may show them.
	g.org, err = oktasim.Generate(oktasim.Spec{Users: 400, Groups: 12, Seed: 7, Now: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.NoError(t, err)
	g.sim = oktasim.New(oktasim.Config{Org: g.org, Clock: &g.clock})
	proxy, authorities := g.serve()

	path := []string{server.Bin(), "/usr/local/bin", "/usr/bin", "/bin"}
	env := []string{
		"HOME=" + g.home, "USER=identitymesh", "LANG=C.UTF-8", "TZ=UTC", "PATH=" + strings.Join(path, ":"),
		"PGHOST=" + server.Dir(), "PGUSER=" + server.Superuser(),
		"HTTPS_PROXY=" + proxy, "IDENTITYMESH_CA_FILE=" + authorities,
		"TEMPORAL_ADDRESS=" + g.source(),
	}
	g.shell, err = newGuideShell(t.TempDir(), g.home, env)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, g.shell.close()) })
	return g
}

// guideNeeds skips the test for want of a program, loudly; in CI it fails.
func guideNeeds(t *testing.T, err error) {
	t.Helper()
	fmt.Fprintln(os.Stderr, "\nNOTE: the commands of the operator's guide are NOT TESTED:", err)
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip("SKIPPED: ", err)
}

// source makes the folder okta-connector and returns Temporal's address.
func (g *guide) source() (temporalAddr string) {
	g.Helper()
	root, err := filepath.Abs("..")
	require.NoError(g, err)
	src := filepath.Join(g.home, "okta-connector")
	require.NoError(g, os.MkdirAll(filepath.Join(src, "bin"), 0o700))
	for _, name := range []string{"scripts", "deploy"} {
		require.NoError(g, os.Symlink(filepath.Join(root, name), filepath.Join(src, name)))
	}
	ports := freePorts(g, 3)
	for name, flags := range map[string]string{
		"starter":      "",
		"worker":       fmt.Sprintf("--metrics-addr 127.0.0.1:%d", ports[0]),
		"temporal-dev": fmt.Sprintf("--port %d --ui-port %d", ports[1], ports[2]),
	} {
		script := fmt.Sprintf("#!/bin/sh\nexec %s %s \"$@\"\n", filepath.Join(g.bin, name), flags)
		require.NoError(g, os.WriteFile(filepath.Join(src, "bin", name), []byte(script), 0o700))
	}
	rc := fmt.Sprintf("connect-to = \"127.0.0.1:9464:127.0.0.1:%d\"\n", ports[0])
	require.NoError(g, os.WriteFile(filepath.Join(g.home, ".curlrc"), []byte(rc), 0o600))
	return fmt.Sprintf("127.0.0.1:%d", ports[1])
}

// freePorts are ports of loopback that nobody listens on now. They are none of those that the
// kernel gives to whoever asks for any, so that they are still free when a program of the guide
// is started a minute later.
func freePorts(t require.TestingT, n int) []int {
	var ports []int
	var open []net.Listener
	for tries := 0; len(ports) < n; tries++ {
		port := 20_000 + rand.IntN(10_000)                             // #nosec G404 -- no secret
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // it returns at once
		if err != nil {
			require.Less(t, tries, 100, "%v", err)
			continue
		}
		ports, open = append(ports, port), append(open, l)
	}
	for _, l := range open { // all at one time, so that they are different
		require.NoError(t, l.Close())
	}
	return ports
}

// serve gives the org an address, under its own name, behind a proxy.
func (g *guide) serve() (proxy, authorities string) {
	g.Helper()
	ca, err := stack.NewCA("Contoso Root CA")
	require.NoError(g, err)
	cert, key, err := ca.Issue(guideOrg, time.Now().Add(90*24*time.Hour), guideOrg)
	require.NoError(g, err)
	pair, err := tls.X509KeyPair(cert, key)
	require.NoError(g, err)
	org := httptest.NewUnstartedServer(g.sim)
	org.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}}
	org.Config.ErrorLog = quietLog()
	org.StartTLS()
	g.Cleanup(org.Close)
	authorities = filepath.Join(g.TempDir(), "contoso-ca.pem")
	require.NoError(g, os.WriteFile(authorities, ca.PEM, 0o600))
	return tunnel(g.T, map[string]string{guideOrg + ":443": org.Listener.Addr().String()}), authorities
}

// tunnel is a proxy that lets through to the named hosts alone.
func tunnel(t *testing.T, to map[string]string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr, known := to[r.Host]
		if r.Method != http.MethodConnect || !known {
			http.Error(w, "not through here", http.StatusForbidden)
			return
		}
		var d net.Dialer
		far, err := d.DialContext(r.Context(), "tcp", addr)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer far.Close() //nolint:errcheck // either side may be gone
		near, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer near.Close() //nolint:errcheck // either side may be gone
		if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(far, near) // until one side ends
			_ = far.Close()
		}()
		_, _ = io.Copy(near, far)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// logs are the ends of the logs that the guide has written, for a failure's message.
func (g *guide) logs() string {
	var b strings.Builder
	files, _ := filepath.Glob(filepath.Join(g.home, "*.log"))
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		fmt.Fprintf(&b, "\n--- the end of %s\n%s", filepath.Base(f), text[max(0, len(text)-4000):])
	}
	return b.String()
}

// command runs a program of ours to its end, for its help.
func (g *guide) command(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(g.bin, name), args...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
