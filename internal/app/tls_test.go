package app

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/internal/stack"
)

// apiCanary is an API key that no error may hold.
const apiCanary = "eyJCanaryOfTemporalsAPIKey.0123456789.abcdef"

// frontend is a Temporal that answers two calls and remembers who asked.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer

	addr string
	key  string // the API key it wants, "" for none

	mu      sync.Mutex
	serials []int64 // of the clients' certificates
	keys    []string
	conns   []net.Conn
}

// serve starts a frontend; a nil config is one without TLS.
func serve(t *testing.T, config *tls.Config) *frontend {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &frontend{addr: l.Addr().String()}
	var opts []grpc.ServerOption
	if config != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(config)))
	}
	s := grpc.NewServer(opts...)
	workflowservice.RegisterWorkflowServiceServer(s, f)
	go func() { _ = s.Serve(remembering{l, f}) }()
	t.Cleanup(s.Stop)
	return f
}

// remembering keeps the accepted connections, to cut them.
type remembering struct {
	net.Listener

	f *frontend
}

func (r remembering) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err == nil {
		r.f.mu.Lock()
		r.f.conns = append(r.f.conns, c)
		r.f.mu.Unlock()
	}
	return c, err
}

// cut ends every connection, as a server does that has had them for long enough.
func (f *frontend) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		_ = c.Close()
	}
	f.conns = nil
}

func (f *frontend) note(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			f.serials = append(f.serials, info.State.PeerCertificates[0].SerialNumber.Int64())
		}
	}
	md, _ := metadata.FromIncomingContext(ctx)
	key := strings.TrimPrefix(strings.Join(md.Get("authorization"), ""), "Bearer ")
	f.keys = append(f.keys, key)
	if f.key != "" && key != f.key {
		return status.Error(codes.Unauthenticated, "no such key: "+key) // echoes it
	}
	return nil
}

func (f *frontend) GetSystemInfo(ctx context.Context, _ *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{Capabilities: &workflowservice.GetSystemInfoResponse_Capabilities{}}, f.note(ctx)
}

func (f *frontend) DescribeNamespace(ctx context.Context, r *workflowservice.DescribeNamespaceRequest) (*workflowservice.DescribeNamespaceResponse, error) {
	if err := f.note(ctx); err != nil {
		return nil, err
	}
	return nil, serviceerror.ToStatus(serviceerror.NewNamespaceNotFound(r.GetNamespace())).Err()
}

// last are the serial and the key of the newest call.
func (f *frontend) last() (serial int64, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.serials) > 0 {
		serial = f.serials[len(f.serials)-1]
	}
	return serial, f.keys[len(f.keys)-1]
}

// certs are an authority and the files of a client of it.
type certs struct {
	*stack.CA

	ca, cert, key string
}

func newCerts(t *testing.T) *certs {
	t.Helper()
	ca, err := stack.NewCA("authority of " + t.Name())
	require.NoError(t, err)
	dir := t.TempDir()
	c := &certs{ca, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key")}
	require.NoError(t, os.WriteFile(c.ca, ca.PEM, 0o600))
	require.NoError(t, ca.IssueFiles("worker", c.cert, c.key))
	return c
}

func (c *certs) server(t *testing.T) *tls.Config {
	t.Helper()
	config, err := c.ServerConfig()
	require.NoError(t, err)
	return config
}

// use sets the environment of a client; the test is not parallel.
func (c *certs) use(t *testing.T, f *frontend) {
	t.Helper()
	for name, value := range map[string]string{
		"TEMPORAL_ADDRESS": f.addr, "TEMPORAL_TLS_SERVER_CA_CERT_PATH": c.ca,
		"TEMPORAL_TLS_CLIENT_CERT_PATH": c.cert, "TEMPORAL_TLS_CLIENT_KEY_PATH": c.key,
	} {
		t.Setenv(name, value)
	}
}

func dial(t *testing.T) (client.Client, client.Options, error) {
	t.Helper()
	o, err := TemporalOptions(TemporalLogger(zap.NewNop()))
	require.NoError(t, err)
	c, err := DialTemporal(t.Context(), o, 3*time.Second)
	if err == nil {
		t.Cleanup(c.Close)
	}
	return c, o, err
}

// TestCertificatesAreReadAgain renews a client's certificate, its authority and the
// server's, each while the client is connected.
func TestCertificatesAreReadAgain(t *testing.T) { //nolint:paralleltest // sets environment variables
	clean(t)
	c := newCerts(t)
	f := serve(t, c.server(t))
	c.use(t, f)
	core, logs := observer.New(zap.WarnLevel)
	o, err := TemporalOptions(TemporalLogger(zap.New(core)))
	require.NoError(t, err)
	temporal, err := DialTemporal(t.Context(), o, 0)
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	ask := func() int64 {
		f.cut()
		require.Eventually(t, func() bool { // until the client has noticed
			_, err := temporal.CheckHealth(t.Context(), nil)
			_, serr := temporal.WorkflowService().GetSystemInfo(t.Context(), &workflowservice.GetSystemInfoRequest{})
			_ = err // the health service is not there
			return serr == nil
		}, 20*time.Second, 10*time.Millisecond)
		serial, _ := f.last()
		return serial
	}
	first := ask()
	require.Equal(t, first, ask(), "unchanged files, the same certificate")

	require.NoError(t, c.IssueFiles("worker", c.cert, c.key))
	second := ask()
	require.NotEqual(t, first, second)

	// Half a renewal: the certificate is there, its key is not yet.
	key, err := os.ReadFile(c.key)
	require.NoError(t, err)
	require.NoError(t, c.IssueFiles("worker", c.cert, c.key))
	whole, err := os.ReadFile(c.key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(c.key, key, 0o600))
	require.Equal(t, second, ask(), "the pair before stays in use")
	require.Positive(t, logs.FilterMessageSnippet("certificates for Temporal cannot be read").Len())
	require.NoError(t, os.WriteFile(c.key, whole, 0o600))
	require.NotEqual(t, second, ask())
}

// TestAuthorityIsReadAgain has the server move to another authority.
func TestAuthorityIsReadAgain(t *testing.T) { //nolint:paralleltest // sets environment variables
	clean(t)
	c, next := newCerts(t), newCerts(t)
	config := c.server(t)
	var mu sync.Mutex
	moved := config.Clone()
	f := serve(t, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		return moved, nil
	}})
	c.use(t, f)
	temporal, _, err := dial(t)
	require.NoError(t, err)
	mu.Lock()
	moved = next.server(t)
	moved.ClientCAs = config.ClientCAs
	mu.Unlock()
	require.NoError(t, os.WriteFile(c.ca, slices.Concat(c.PEM, next.PEM), 0o600))
	f.cut()
	require.Eventually(t, func() bool {
		_, err := temporal.WorkflowService().GetSystemInfo(t.Context(), &workflowservice.GetSystemInfoRequest{})
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}

// TestConnectionErrors names what is wrong and what to check.
func TestConnectionErrors(t *testing.T) {
	yesterday := time.Now().Add(-time.Hour)
	expired := func(t *testing.T, c *certs) (cert, key []byte) {
		t.Helper()
		cert, key, err := c.Issue("worker", yesterday)
		require.NoError(t, err)
		return cert, key
	}
	for _, tc := range []struct {
		name  string
		plain bool // the server speaks no TLS
		set   func(t *testing.T, c *certs, server *tls.Config)
		want  []string
	}{
		{"another authority", false, func(t *testing.T, c *certs, _ *tls.Config) {
			require.NoError(t, os.WriteFile(c.ca, newCerts(t).PEM, 0o600))
		}, []string{"unknown authority", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"}},
		{"the server's certificate is over", false, func(t *testing.T, c *certs, server *tls.Config) {
			pair, err := tls.X509KeyPair(expired(t, c))
			require.NoError(t, err)
			server.Certificates = []tls.Certificate{pair}
		}, []string{"expired", "server's certificate is not valid now"}},
		{"another name", false, func(t *testing.T, _ *certs, _ *tls.Config) {
			t.Setenv("TEMPORAL_TLS_SERVER_NAME", "temporal.example")
		}, []string{"TEMPORAL_TLS_SERVER_NAME"}},
		{"no TLS there", true, func(*testing.T, *certs, *tls.Config) {}, []string{"does not speak TLS", "TEMPORAL_TLS=false"}},
		{"no TLS here", false, func(t *testing.T, _ *certs, _ *tls.Config) {
			t.Setenv("TEMPORAL_TLS", "false")
		}, []string{"wants? TLS|want TLS", "TEMPORAL_TLS=true"}},
		{"old TLS", false, func(_ *testing.T, _ *certs, server *tls.Config) {
			server.MinVersion, server.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, []string{"protocol version"}},
		{"no certificate", false, func(t *testing.T, _ *certs, _ *tls.Config) {
			t.Setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", "")
			t.Setenv("TEMPORAL_TLS_CLIENT_KEY_PATH", "")
		}, []string{"wants a client certificate"}},
		{"a stranger's certificate", false, func(t *testing.T, c *certs, _ *tls.Config) {
			require.NoError(t, newCerts(t).IssueFiles("stranger", c.cert, c.key))
		}, []string{"refuses the client certificate", `subject \\?"stranger`, "trusts"}},
		{"a certificate that is over", false, func(t *testing.T, c *certs, _ *tls.Config) {
			cert, key := expired(t, c)
			require.NoError(t, os.WriteFile(c.cert, cert, 0o600))
			require.NoError(t, os.WriteFile(c.key, key, 0o600))
		}, []string{"client certificate", "has expired", yesterday.UTC().Format(time.RFC3339)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clean(t)
			c := newCerts(t)
			config := c.server(t)
			c.use(t, &frontend{})
			tc.set(t, c, config)
			if tc.plain {
				config = nil
			}
			f := serve(t, config)
			t.Setenv("TEMPORAL_ADDRESS", f.addr)
			_, _, err := dial(t)
			require.Error(t, err)
			require.ErrorContains(t, err, f.addr)
			for _, want := range tc.want {
				require.Regexp(t, want, err.Error())
			}
		})
	}
}

// TestFilesThatAreNotThere are errors before anything is dialed.
func TestFilesThatAreNotThere(t *testing.T) { //nolint:paralleltest // sets environment variables
	clean(t)
	c := newCerts(t)
	for _, name := range []string{"TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"} {
		c.use(t, &frontend{})
		t.Setenv(name, c.cert+"x")
		_, err := TemporalOptions(nil)
		require.ErrorContains(t, err, c.cert+"x")
		require.ErrorContains(t, err, "check TEMPORAL_TLS_CLIENT_CERT_PATH")
	}
}

// TestAPIKeyFile replaces the key while the client is connected.
func TestAPIKeyFile(t *testing.T) {
	dir := clean(t)
	c := newCerts(t)
	f := serve(t, c.server(t))
	f.key = apiCanary
	c.use(t, f)
	file := filepath.Join(dir, "api.key")
	require.NoError(t, os.WriteFile(file, []byte(apiCanary+"\n"), 0o600))
	t.Setenv(EnvAPIKeyFile, file)
	temporal, o, err := dial(t)
	require.NoError(t, err)

	const next = "eyJTheNextKeyOfTemporal.0123456789"
	require.NoError(t, os.WriteFile(file, []byte(next), 0o600))
	_, err = temporal.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	_, key := f.last()
	require.Equal(t, next, key)
	err = ExplainTemporal(err, o)
	require.ErrorContains(t, err, "no such key: [API key]", "what the server echoed")
	require.ErrorContains(t, err, "TEMPORAL_API_KEY")
	require.NotContains(t, err.Error(), next)

	f.key = next
	_, err = temporal.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	err = ExplainTemporal(err, o)
	require.ErrorContains(t, err, `no namespace "default"`)
	require.ErrorContains(t, err, "TEMPORAL_NAMESPACE")
}

func TestWrongAPIKey(t *testing.T) {
	clean(t)
	c := newCerts(t)
	f := serve(t, c.server(t))
	f.key = "another"
	c.use(t, f)
	t.Setenv("TEMPORAL_API_KEY", apiCanary+"\n")
	_, _, err := dial(t)
	require.ErrorContains(t, err, "refuses the API key")
	require.NotContains(t, err.Error(), "Canary")
	_, key := f.last()
	require.Equal(t, apiCanary, key, "without the newline")
}

// TestBadSettings are refused before anything is sent, without a word of the key.
func TestBadSettings(t *testing.T) {
	dir := clean(t)
	file := filepath.Join(dir, "api.key")
	require.NoError(t, os.WriteFile(file, []byte(apiCanary), 0o600))
	open := filepath.Join(dir, "open.key")
	require.NoError(t, os.WriteFile(open, []byte(apiCanary), 0o600))
	require.NoError(t, os.Chmod(open, 0o644)) //nolint:gosec // the mode to refuse
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for _, tc := range []struct {
		name, want string
		env        map[string]string
	}{
		{"both", "keep one", map[string]string{EnvAPIKeyFile: file, "TEMPORAL_API_KEY": apiCanary}},
		{"no file", "cannot be opened", map[string]string{EnvAPIKeyFile: file + "x"}},
		{"open file", "chmod 600", map[string]string{EnvAPIKeyFile: open}},
		{"empty file", "holds no API key", map[string]string{EnvAPIKeyFile: write("empty", "\n")}},
		{"two lines", "more than one API key", map[string]string{EnvAPIKeyFile: write("two", apiCanary+"\n"+apiCanary)}},
		{"two words", "more than one API key", map[string]string{"TEMPORAL_API_KEY": "Bearer " + apiCanary}},
		{"no TLS", "in the clear", map[string]string{"TEMPORAL_API_KEY": apiCanary, "TEMPORAL_TLS": "false"}},
		{"no TLS for the file", "in the clear", map[string]string{EnvAPIKeyFile: file, "TEMPORAL_TLS": "0"}},
		{"no quotes", "not valid TOML", map[string]string{"TEMPORAL_CONFIG_FILE": write("bad.toml", "[profile.default]\napi_key = "+apiCanary)}},
		{"a number", "not valid TOML, or has a value of the wrong kind", map[string]string{"TEMPORAL_CONFIG_FILE": write("number.toml", "[profile.default]\naddress = 4\napi_key = \""+apiCanary+"\"")}},
		{"no such profile", "profile other", map[string]string{"TEMPORAL_PROFILE": "other"}},
		{"codec", "holds no keys", map[string]string{codec.EnvKeys: apiCanary}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for name, value := range tc.env {
				t.Setenv(name, value)
			}
			_, err := TemporalOptions(nil)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "Canary")
		})
	}
}

// TestProfile reads a config profile of Temporal's tools.
func TestProfile(t *testing.T) {
	dir := clean(t)
	c := newCerts(t)
	f := serve(t, c.server(t))
	f.key = apiCanary
	path := filepath.Join(dir, "temporal.toml")
	require.NoError(t, os.WriteFile(path, []byte(`[profile.cloud]
address = "`+f.addr+`"
namespace = "identity.a1b2c"
api_key = "`+apiCanary+`"
[profile.cloud.tls]
server_ca_cert_path = "`+c.ca+`"
client_cert_path = "`+c.cert+`"
client_key_path = "`+c.key+`"
`), 0o600))
	t.Setenv("TEMPORAL_CONFIG_FILE", path)
	t.Setenv("TEMPORAL_PROFILE", "cloud")
	_, o, err := dial(t)
	require.NoError(t, err)
	require.Equal(t, "identity.a1b2c", o.Namespace)
}
