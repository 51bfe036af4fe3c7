package integration

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// ingress is the shared Temporal behind TLS that wants a client certificate, as a cluster's
// ingress does.
type ingress struct {
	addr string

	mu      sync.Mutex
	serials map[string]bool // of the certificates that were let in
	conns   []net.Conn
}

// newIngress serves until the test ends.
func newIngress(w *world, ca *stack.CA) *ingress {
	w.Helper()
	config, err := ca.ServerConfig()
	require.NoError(w, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(w, err)
	g := &ingress{addr: l.Addr().String(), serials: map[string]bool{}}
	w.Cleanup(func() { _ = l.Close(); g.cut() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if c, ok := c.(*tls.Conn); ok {
				go g.pass(w.Context(), c, w.stack.TemporalAddr)
			}
		}
	}()
	return g
}

func (g *ingress) pass(ctx context.Context, c *tls.Conn, to string) {
	defer c.Close() //nolint:errcheck // either side may be gone
	if err := c.HandshakeContext(ctx); err != nil {
		return
	}
	var d net.Dialer
	inside, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer inside.Close() //nolint:errcheck // either side may be gone
	g.mu.Lock()
	g.serials[c.ConnectionState().PeerCertificates[0].SerialNumber.String()] = true
	g.conns = append(g.conns, c)
	g.mu.Unlock()
	go func() { _, _ = io.Copy(inside, c); _ = inside.Close() }()
	_, _ = io.Copy(c, inside)
}

// cut ends every connection.
func (g *ingress) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// seen is how many certificates have been let in.
func (g *ingress) seen() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.serials)
}

// TestCertificateIsRenewed runs imports over mTLS through a renewal of the client's
// certificate in the middle of one, without a restart of the worker.
func TestCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 40, 4)}, nil)
	ca, err := stack.NewCA("contoso")
	require.NoError(t, err)
	g := newIngress(w, ca)
	file := func(name string) string { return filepath.Join(w.stack.Dir, name) }
	require.NoError(t, os.WriteFile(file("ca.pem"), ca.PEM, 0o600))
	require.NoError(t, ca.IssueFiles("worker", file("tls.crt"), file("tls.key")))
	w.vars = []string{
		"TEMPORAL_ADDRESS=" + g.addr, "TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + file("ca.pem"),
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + file("tls.crt"), "TEMPORAL_TLS_CLIENT_KEY_PATH=" + file("tls.key"),
	}
	worker := w.worker()
	w.completed()
	require.Equal(t, 1, g.seen())

	answers := w.hold(0, listing)
	run := w.start()
	<-answers.Held
	require.NoError(t, ca.IssueFiles("worker", file("tls.crt"), file("tls.key")))
	g.cut()
	answers.Open()
	require.Equal(t, "Completed", w.wait(run).Outcome)
	require.Equal(t, 2, g.seen(), "the worker and the starter have taken the new one")
	select {
	case <-worker.Done():
		require.Fail(t, "the worker has ended")
	default:
	}

	stranger, err := stack.NewCA("stranger")
	require.NoError(t, err)
	require.NoError(t, stranger.IssueFiles("worker", file("tls.crt"), file("tls.key")))
	r := w.starter("", "run", w.name)
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, "client certificate")
	require.Contains(t, r.Stderr, "stranger")
}
