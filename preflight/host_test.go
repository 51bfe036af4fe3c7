package preflight_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/preflight"
)

// secure is a bench whose org is asked over TLS at domain, "" for the server's address,
// with a certificate that the client trusts or not.
func secure(t *testing.T, domain string, trusted bool, cert *tls.Certificate) *bench {
	t.Helper()
	b := newBench(t)
	web := httptest.NewUnstartedServer(b.sim)
	web.Config.ErrorLog = quiet
	if cert != nil {
		web.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	web.StartTLS()
	t.Cleanup(web.Close)
	address := strings.TrimPrefix(web.URL, "https://")
	if domain != "" {
		_, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		address = net.JoinHostPort(domain, port)
	}
	b.client()
	if trusted {
		pool := x509.NewCertPool()
		pool.AddCert(web.Certificate())
		b.transport().TLSClientConfig.RootCAs = pool
	}
	b.at(address)
	return b
}

// transport is that of the bench's own client.
func (b *bench) transport() *http.Transport { return b.http.Transport.(*http.Transport) }

// client gives the bench a client of its own.
func (b *bench) client() {
	b.http = okta.NewHTTPClient()
	b.cfg.HTTP = func() (*http.Client, error) { return b.http, nil }
}

// An environment that no import can use either is said so before anything is sent.
func TestATransportThatCannotBeMade(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply()
	b.cfg.HTTP = func() (*http.Client, error) {
		return nil, errors.New("IDENTITYMESH_CA_FILE: the CA bundle cannot be used")
	}
	r := b.run()
	requireStep(t, r, preflight.Proxy, preflight.Failed, "IDENTITYMESH_CA_FILE: the CA bundle cannot be used", "")
	requireStep(t, r, preflight.Credential, preflight.Skipped, "Proxy comes first", "")
	require.Zero(t, r.Calls)
}

// at stores a connector whose org is asked over TLS.
func (b *bench) at(domain string) {
	b.t.Helper()
	def, err := connector.Parse([]byte(`{"Name": "contoso", "Type": "Okta", "ConfigJson": {"OrgDomain": "` + domain + `"}, "AuthJson": {"Mode": "ApiKey", "ApiKey": "` + string(ref) + `"}}`))
	require.NoError(b.t, err)
	b.applyAs(def)
	b.store(canary)
}

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T, issuer string, from, until time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{issuer}, CommonName: "Inspection CA"},
		NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTheWayToOkta(t *testing.T) {
	t.Parallel()
	now := time.Now()
	noName := func(b *bench) {
		b.client()
		b.transport().DialContext = (&net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: func(context, string, string) (net.Conn, error) {
			return nil, errors.New("no name server")
		}}}).DialContext
	}
	for what, c := range map[string]struct {
		make          func(t *testing.T) *bench
		id            preflight.ID
		result        preflight.Result
		found, advice string
	}{
		"unknown name": {func(t *testing.T) *bench {
			b := newBench(t)
			noName(b)
			b.at("contoso.okta.example")
			return b
		}, preflight.DNS, preflight.Failed, "contoso.okta.example: no name server", "check OrgDomain and this machine's name resolution"},
		"refused": {func(t *testing.T) *bench {
			b := newBench(t)
			b.apply()
			b.web.Close()
			return b
		}, preflight.TCP, preflight.Failed, "connection refused", "let this machine make outbound HTTPS connections"},
		"a good certificate": {func(t *testing.T) *bench {
			return secure(t, "", true, certificate(t, "Acme Inspection", now.Add(-time.Hour), now.Add(100*day)))
		}, preflight.TLS, preflight.OK, "issued by Acme Inspection (Inspection CA), valid until", ""},
		"a certificate that ends soon": {func(t *testing.T) *bench {
			return secure(t, "", true, certificate(t, "Acme", now.Add(-time.Hour), now.Add(5*day+time.Hour)))
		}, preflight.TLS, preflight.Warning, ", 5 days from now", "must renew it"},
		"an inspecting proxy": {func(t *testing.T) *bench {
			return secure(t, "", false, certificate(t, "Acme Inspection", now.Add(-time.Hour), now.Add(100*day)))
		}, preflight.TLS, preflight.Failed, "the certificate, issued by Acme Inspection (Inspection CA), is not trusted", "where a proxy inspects TLS, name its root certificate in IDENTITYMESH_CA_FILE"},
		"an expired certificate": {func(t *testing.T) *bench {
			return secure(t, "", true, certificate(t, "Acme", now.Add(-2*day), now.Add(-day)))
		}, preflight.TLS, preflight.Failed, "the certificate, issued by Acme (Inspection CA), is valid from", "set this machine's clock"},
		"another name": {func(t *testing.T) *bench { return secure(t, "localhost", true, nil) },
			preflight.TLS, preflight.Failed, "is for example.com", "contoso.okta.com, not contoso-admin.okta.com"},
		"no TLS": {func(t *testing.T) *bench {
			b := newBench(t)
			b.at(strings.TrimPrefix(b.web.URL, "http://"))
			return b
		}, preflight.TLS, preflight.Failed, "server gave HTTP response to HTTPS client", "speaks no TLS"},
		"a proxy that refuses": {func(t *testing.T) *bench {
			return proxied(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusProxyAuthRequired) })
		}, preflight.Proxy, preflight.Failed, "refuses the connection: Proxy Authentication Required", "check HTTPS_PROXY and NO_PROXY"},
		"a proxy that forwards": {func(t *testing.T) *bench { return proxied(t, tunnel) },
			preflight.Proxy, preflight.OK, ", from the environment", ""},
		"a proxy that is down": {func(t *testing.T) *bench {
			b := proxied(t, tunnel)
			b.transport().Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1", User: url.UserPassword("ada", canary)})
			return b
		}, preflight.TCP, preflight.Failed, "connection refused", "check HTTPS_PROXY and NO_PROXY"},
		"a proxy that is no URL": {func(t *testing.T) *bench {
			b := proxied(t, tunnel)
			b.transport().Proxy = func(*http.Request) (*url.URL, error) { return nil, errors.New("invalid proxy address " + canary) }
			return b
		}, preflight.Proxy, preflight.Failed, "is not a valid URL", "correct HTTPS_PROXY"},
		"a cut line": {func(t *testing.T) *bench {
			b := newBench(t)
			b.apply()
			b.answer("", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			return b
		}, preflight.IsOkta, preflight.Failed, "EOF", "run the check again"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := c.make(t)
			r := b.run()
			requireStep(t, r, c.id, c.result, c.found, c.advice)
			if c.result == preflight.Failed {
				requireStep(t, r, preflight.ListUsers, preflight.Skipped, "comes first", "")
				require.Zero(t, b.sim.Stats().Status429)
			} else {
				require.NotEqual(t, preflight.Failed, r.Result, text(r))
			}
		})
	}
}

// proxied is a secure bench behind a proxy.
func proxied(t *testing.T, handle http.HandlerFunc) *bench {
	t.Helper()
	b := secure(t, "", true, certificate(t, "Acme", time.Now().Add(-time.Hour), time.Now().Add(100*day)))
	proxy := httptest.NewServer(handle)
	t.Cleanup(proxy.Close)
	u, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	u.User = url.UserPassword("ada", canary)
	b.transport().Proxy = http.ProxyURL(u)
	return b
}

// tunnel is a proxy that lets everything through.
func tunnel(w http.ResponseWriter, r *http.Request) {
	var d net.Dialer
	out, err := d.DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = out.Close() }()
	w.WriteHeader(http.StatusOK)
	in, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = in.Close() }()
	go func() { _, _ = io.Copy(out, bufio.NewReader(buffered)); _ = out.Close() }()
	_, _ = io.Copy(in, out)
}
