package integration

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// temporalDatabase is the URL of a database that Temporal is to make on a server, and of its
// second one, which go when the test ends. temporal-dev takes no password in a URL: that of a
// given server goes into a file.
func temporalDatabase(t *testing.T, server *pgtest.Server) string {
	t.Helper()
	name := "imtemporal_" + strings.ToLower(rand.Text())
	t.Cleanup(func() {
		for _, name := range []string{name, name + "_visibility"} {
			require.NoError(t, server.Exec(context.Background(), `DROP DATABASE IF EXISTS "`+name+`" WITH (FORCE)`))
		}
	})
	u, err := url.Parse(server.URL(name))
	require.NoError(t, err)
	if password, ok := u.User.Password(); ok {
		file := filepath.Join(t.TempDir(), "pgpass")
		escaped := strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password)
		require.NoError(t, os.WriteFile(file, []byte("*:*:*:*:"+escaped+"\n"), 0o600))
		u.User = url.User(u.User.Username())
		q := u.Query()
		q.Set("passfile", file)
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// cluster is a Temporal of one node on PostgreSQL that wants client certificates.
type cluster struct {
	*stack.Stack

	process *stack.Process
	args    []string
	ca      *stack.CA
	dir     string // of the certificates
}

func newCluster(t *testing.T, database string) *cluster {
	t.Helper()
	ca, err := stack.NewCA("cluster")
	require.NoError(t, err)
	c := &cluster{Stack: &stack.Stack{Bin: temporal.Bin, Dir: t.TempDir()}, ca: ca, dir: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	require.NoError(t, os.WriteFile(c.file("ca.pem"), ca.PEM, 0o600))
	require.NoError(t, ca.IssueFiles("temporal", c.file("server.crt"), c.file("server.key")))
	require.NoError(t, ca.IssueFiles("worker", c.file("client.crt"), c.file("client.key")))
	c.args = []string{
		"--db", database, "--tls-client-ca", c.file("ca.pem"),
		"--tls-cert", c.file("server.crt"), "--tls-key", c.file("server.key"),
	}
	c.process, err = c.Temporal(t.Context(), c.args...)
	require.NoError(t, err)
	return c
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// again starts a server that has ended on the port that it had.
func (c *cluster) again(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(c.TemporalAddr)
	require.NoError(t, err)
	c.process, err = c.Temporal(t.Context(), append(c.args, "--port", port)...)
	require.NoError(t, err)
}

// join has the processes of a world, and the client of its test, use the cluster.
func (c *cluster) join(w *world) {
	w.Helper()
	w.stack.TemporalAddr = c.TemporalAddr
	w.vars = append(w.vars, "TEMPORAL_TLS_SERVER_CA_CERT_PATH="+c.file("ca.pem"),
		"TEMPORAL_TLS_CLIENT_CERT_PATH="+c.file("client.crt"), "TEMPORAL_TLS_CLIENT_KEY_PATH="+c.file("client.key"))
	pair, err := tls.LoadX509KeyPair(c.file("client.crt"), c.file("client.key"))
	require.NoError(w, err)
	cl, err := client.DialContext(w.Context(), client.Options{HostPort: c.TemporalAddr, Logger: quiet{}, ConnectionOptions: client.ConnectionOptions{
		TLS: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: c.ca.Pool()},
	}})
	require.NoError(w, err)
	w.Cleanup(cl.Close)
	w.clients[w.namespace] = cl
}

// onLine is told each line that a process writes.
type onLine func(line string)

func (f onLine) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

// requireClientCertificate requires that a worker and a starter without one say what is
// missing.
func (c *cluster) requireClientCertificate(w *world) {
	w.Helper()
	const reason = "wants a client certificate"
	stranger := *w
	stranger.vars = append(slices.Clone(w.vars), "TEMPORAL_TLS_CLIENT_CERT_PATH=", "TEMPORAL_TLS_CLIENT_KEY_PATH=")
	r := stranger.starter("", "run", w.name)
	require.Equal(w, 1, r.Code)
	require.Contains(w, r.Stderr, reason)

	ctx, cancel := context.WithTimeout(w.Context(), waitLimit)
	defer cancel()
	s := &stack.Stack{Bin: c.Bin, Dir: w.TempDir(), TemporalAddr: c.TemporalAddr, DB: w.stack.DB, Log: onLine(func(line string) {
		if strings.Contains(line, reason) {
			cancel() // it goes on trying, which is not worth waiting for
		}
	})}
	p, err := s.Worker(ctx, stranger.env(), "--metrics-addr", "")
	require.Error(w, err)
	p.Kill()
	require.Contains(w, p.Output(), reason)
	require.Contains(w, p.Output(), "TEMPORAL_TLS_CLIENT_CERT_PATH")
}

// requireSeen requires that the Web UI shows a run.
func (c *cluster) requireSeen(w *world, runID string) {
	w.Helper()
	waitFor(w, "the Web UI shows run "+runID, func() bool {
		req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, c.UIURL+"/api/v1/namespaces/default/workflows", nil)
		require.NoError(w, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(w, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(w, errors.Join(err, resp.Body.Close()))
		return strings.Contains(string(body), runID)
	})
}

// changesArrive edits people and waits until the schedule's deltas have brought it.
func (w *world) changesArrive(people int) {
	w.Helper()
	edit(w, people)
	n := w.ended("Delta", mesh.Completed)
	waitFor(w, "the schedule's deltas bring it", func() bool { return w.ended("Delta", mesh.Completed) >= n+2 })
	w.requireTrue()
}

// TestTemporalOnPostgreSQL is the product as several machines have it: one PostgreSQL with the
// mesh and Temporal's databases, two workers, mutual TLS. The Temporal server is killed in
// the middle of a run.
func TestTemporalOnPostgreSQL(t *testing.T) {
	t.Parallel()
	server, _ := pgtest.Shared(t)
	c := newCluster(t, temporalDatabase(t, server))
	require.Contains(t, c.process.Output(), "set up Temporal's schema")
	w := newWorldOn(t, pgtest.URL(t), oktasim.Config{Org: generated(t, 300, 12)}, nil)
	c.join(w)
	c.requireClientCertificate(w)
	w.worker()
	w.worker()

	full := w.completed()
	w.requireTrue()
	c.requireSeen(w, full.RunID)

	w.applySchedule("--every", "1s")
	w.changesArrive(5)
	w.ok(w.starter("", "schedule", "pause", w.name))
	waitFor(w, "the last tick's run ends", func() bool { return len(w.schedule().Running) == 0 })
	schedule := w.schedule()

	removeUser(w)
	require.Zero(t, w.completedMode("delta").Counts["User"].Deleted)
	require.NotEmpty(t, w.differences(), "no delta sees a hard delete")
	require.Equal(t, 1, w.completed().Counts["User"].Deleted)
	w.requireTrue()

	answers := w.hold(0, listing)
	edit(w, 7)
	run := w.start()
	<-answers.Held
	c.process.Kill()
	c.again(t)
	require.NotContains(t, c.process.Output(), "schema", "the second start finds it all there")
	answers.Open()
	require.Equal(t, "Completed", w.wait(run).Outcome, "the run goes on")
	w.requireTrue()

	c.requireSeen(w, full.RunID)
	history := events(w, workflowID(w, full.RunID), full.RunID).GetEvents()
	require.Equal(t, enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, history[len(history)-1].GetEventType())
	require.Equal(t, schedule.Cadence, w.schedule().Cadence)
	require.True(t, w.schedule().Paused)
	w.ok(w.starter("", "schedule", "resume", w.name))
	w.changesArrive(9)
}
