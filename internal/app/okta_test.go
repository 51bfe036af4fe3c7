package app

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta"
)

func noProxy(t *testing.T) {
	t.Helper()
	for _, name := range append(proxyVariables, "NO_PROXY", "no_proxy") {
		t.Setenv(name, "")
	}
}

// inspected serves as a TLS endpoint whose certificate no system trusts, and returns it
// with its bundle.
func inspected(t *testing.T) (server *httptest.Server, bundle string) {
	t.Helper()
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[]`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}

func listUsers(t *testing.T, c *http.Client, base string) error {
	t.Helper()
	client, err := okta.New(okta.Options{BaseURL: base, Credentials: okta.APIToken("a-token"), HTTPClient: c})
	require.NoError(t, err)
	_, _, err = client.ListUsers(t.Context(), okta.ListUsers{}, "")
	return err
}

func TestTheCABundleIsTrustedBesideTheSystems(t *testing.T) {
	noProxy(t)
	server, bundle := inspected(t)
	t.Setenv(EnvCAFile, "")
	c, err := OktaHTTP()
	require.NoError(t, err)
	require.ErrorContains(t, listUsers(t, c, server.URL), EnvCAFile, "the remedy names the variable")

	path := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(path, []byte("the proxy's root\n"+bundle), 0o600))
	t.Setenv(EnvCAFile, path)
	c, err = OktaHTTP()
	require.NoError(t, err)
	require.NoError(t, listUsers(t, c, server.URL))
	transport, ok := c.Transport.(*http.Transport)
	require.True(t, ok)
	require.EqualValues(t, 0x0303, transport.TLSClientConfig.MinVersion)
	roots, err := x509.SystemCertPool()
	require.NoError(t, err)
	roots.AddCert(server.Certificate())
	require.True(t, roots.Equal(transport.TLSClientConfig.RootCAs), "the system's roots and that one")
}

func TestAnUnusableCABundle(t *testing.T) { //nolint:paralleltest // sets environment variables
	noProxy(t)
	_, bundle := inspected(t)
	dir := t.TempDir()
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("canary")}))
	damaged := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("canary")}))
	for name, tc := range map[string]struct{ text, says string }{
		"empty":       {"", "no certificate in PEM form"},
		"binary":      {"\x30\x82\x01", "no certificate in PEM form"},
		"a key":       {bundle + key, "PEM block 2 is no certificate"},
		"damaged":     {bundle + damaged, "certificate 2 is damaged"},
		"much":        {strings.Repeat("x", maxCAFile+1), "larger than 4 MiB"},
		"not there":   {"-", "no such file"},
		"a directory": {"/", "is a directory"},
	} {
		path := filepath.Join(dir, name)
		switch tc.text {
		case "-":
		case "/":
			require.NoError(t, os.Mkdir(path, 0o700))
		default:
			require.NoError(t, os.WriteFile(path, []byte(tc.text), 0o600))
		}
		t.Setenv(EnvCAFile, path)
		_, err := OktaHTTP()
		require.ErrorContains(t, err, tc.says, name)
		require.ErrorContains(t, err, EnvCAFile+": the CA bundle "+path)
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestAProxyThatNobodyCanUse(t *testing.T) { //nolint:paralleltest // sets environment variables
	for _, name := range proxyVariables {
		for _, value := range []string{
			"http://user:pa%ssword-canary@proxy:3128", "http://user:password-canary@proxy:port", "ftp://password-canary@proxy", "http://user:password-canary@", ":",
		} {
			noProxy(t)
			t.Setenv(name, value)
			_, err := OktaHTTP()
			require.ErrorContains(t, err, name+" is no proxy", value)
			require.NotContains(t, err.Error(), "canary")
		}
		for _, value := range []string{"http://proxy:3128", "proxy:3128", "socks5://user:secret@proxy:1080", "https://proxy"} {
			noProxy(t)
			t.Setenv(name, value)
			_, err := OktaHTTP()
			require.NoError(t, err, value)
		}
	}
}

// TestAProxysPasswordIsInNoError has the proxy of the transport itself, since net/http
// reads the environment once for a process.
func TestAProxysPasswordIsInNoError(t *testing.T) {
	t.Parallel()
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(refuse.Close)
	closed, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, host := range map[string]string{
		"Proxy Authentication Required": refuse.Listener.Addr().String(),
		"connection refused":            closed.Addr().String(),
		"no-such-proxy.invalid":         "no-such-proxy.invalid:3128",
	} {
		for _, scheme := range []string{"http", "socks5"} {
			if scheme == "socks5" && host == refuse.Listener.Addr().String() {
				continue // it speaks HTTP
			}
			c := okta.NewHTTPClient(func(tr *http.Transport) {
				tr.Proxy = func(r *http.Request) (*url.URL, error) {
					return r.URL.Parse(scheme + "://user-canary:password-canary@" + host)
				}
			})
			err := listUsers(t, c, "https://contoso.okta.com")
			require.ErrorContains(t, err, name)
			require.ErrorContains(t, err, "HTTPS_PROXY")
			require.NotContains(t, err.Error(), "canary")
		}
	}
}
