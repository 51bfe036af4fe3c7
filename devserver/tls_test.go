package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

// authority signs certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := certificate(name, time.Hour)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	a := &authority{key: key, file: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// certificate is for 127.0.0.1, from a day ago until then.
func certificate(name string, until time.Duration) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(until),
		IPAddresses: []net.IP{loopback}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// issue signs a certificate and writes it and its key into dir.
func (a *authority) issue(t *testing.T, dir string, template *x509.Certificate) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	writePEM(t, keyFile, "PRIVATE KEY", pkcs8)
	writePEM(t, certFile, "CERTIFICATE", der)
	return certFile, keyFile
}

// client is TLS for a client that trusts the authority; with a certificate of signer's.
func (a *authority) client(t *testing.T, signer *authority) *tls.Config {
	t.Helper()
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), NextProtos: []string{"h2"}}
	conf.RootCAs.AddCert(a.cert)
	if signer != nil {
		pair, err := tls.LoadX509KeyPair(signer.issue(t, t.TempDir(), certificate("client", time.Hour)))
		require.NoError(t, err)
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf
}

func dialTLS(t *testing.T, address string, conf *tls.Config) error {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: address, ConnectionOptions: client.ConnectionOptions{TLS: conf},
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err == nil {
		c.Close()
	}
	return err
}

// TestServerWithTLS knocks on every door of a server that wants client certificates, and
// renews its own.
func TestServerWithTLS(t *testing.T) {
	t.Parallel()
	ours, stranger := newAuthority(t, "ours"), newAuthority(t, "stranger")
	dir := t.TempDir()
	cfg := testConfig(t)
	cfg.TLSCert, cfg.TLSKey = ours.issue(t, dir, certificate("first", time.Hour))
	cfg.TLSClientCA = ours.file
	srv, err := Start(t.Context(), cfg, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Stop(stopTimeout) })

	require.NoError(t, dialTLS(t, srv.Address(), ours.client(t, ours)))
	require.Error(t, dialTLS(t, srv.Address(), ours.client(t, nil)))
	require.Error(t, dialTLS(t, srv.Address(), ours.client(t, stranger)))
	require.ErrorContains(t, dialTLS(t, srv.Address(), stranger.client(t, ours)), "unknown authority")
	require.Error(t, dialTLS(t, srv.Address(), nil), "without TLS")

	// The inner door opens to nobody but the server's own parts.
	require.NotEqual(t, srv.Address(), srv.inner.address)
	require.NoError(t, dialTLS(t, srv.inner.address, srv.inner.client()))
	knock := srv.inner.client()
	knock.Certificates = ours.client(t, ours).Certificates
	require.Error(t, dialTLS(t, srv.inner.address, knock))
	require.Error(t, dialTLS(t, srv.inner.address, nil))
	inner := ours.client(t, nil)
	inner.Certificates = srv.inner.client().Certificates
	require.Error(t, dialTLS(t, srv.Address(), inner), "nor do the parts' certificates open the frontend")

	status, body := get(t, srv.UIURL()+"/api/v1/namespaces/other")
	require.Equal(t, 200, status)
	require.Contains(t, string(body), "NAMESPACE_STATE_REGISTERED")

	ours.issue(t, dir, certificate("second", time.Hour))
	require.Eventually(t, func() bool {
		conn, err := (&tls.Dialer{Config: ours.client(t, ours)}).DialContext(t.Context(), "tcp", srv.Address())
		if err != nil {
			return false // in the middle of the change
		}
		defer func() { _ = conn.Close() }() // only looked at
		secured, ok := conn.(*tls.Conn)
		return ok && secured.ConnectionState().PeerCertificates[0].Subject.CommonName == "second"
	}, 30*time.Second, 100*time.Millisecond)
}

// TestServerWithTLSAlone wants no client certificates. It listens on every address, and only
// its frontend does.
func TestServerWithTLSAlone(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	cert, key := ours.issue(t, t.TempDir(), certificate("server", time.Hour))
	p := launchReady(t, "--tls-cert", cert, "--tls-key", key, "--ip", "0.0.0.0")
	require.NoError(t, dialTLS(t, p.address, ours.client(t, nil)))
	if runtime.GOOS == "linux" { // else there is no /proc
		listening := listeners(t, p.cmd.Process.Pid)
		require.Len(t, listening, 6, "frontend, its inner door, three inner services, Web UI: %v", listening)
		_, port, err := net.SplitHostPort(p.address)
		require.NoError(t, err)
		for _, addr := range listening {
			require.True(t, strings.HasPrefix(addr, "127.0.0.1:") || strings.HasSuffix(addr, ":"+port), addr)
		}
	}
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	code, stderr := p.wait(t, 5*time.Second)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, "Temporal: "+p.address+" (TLS)\nWeb UI: "+p.uiURL+"\n", stderr, "nothing else is printed")
}

func TestCertificatesAreChecked(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t, "ours")
	good, goodKey := ours.issue(t, t.TempDir(), certificate("good", time.Hour))
	_, otherKey := ours.issue(t, t.TempDir(), certificate("other", time.Hour))
	old, oldKey := ours.issue(t, t.TempDir(), certificate("old", -time.Hour))
	nameless := certificate("nameless", time.Hour)
	nameless.IPAddresses = nil
	none, noneKey := ours.issue(t, t.TempDir(), nameless)
	clients := certificate("client", time.Hour)
	clients.ExtKeyUsage = clients.ExtKeyUsage[1:]
	clientOnly, clientKey := ours.issue(t, t.TempDir(), clients)
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for name, tc := range map[string]struct {
		cert, key, ca string
		want          []string
	}{
		"no certificate file": {missing, goodKey, "", []string{"--tls-cert", missing, "no such file"}},
		"no key file":         {good, missing, "", []string{"--tls-key", missing, "no such file"}},
		"no authority's file": {good, goodKey, missing, []string{"--tls-client-ca", missing, "no such file"}},
		"another key":         {good, otherKey, "", []string{"--tls-cert", good, "--tls-key", otherKey, "its own key"}},
		"no PEM":              {goodKey, goodKey, "", []string{"--tls-cert", "as PEM"}},
		"over":                {old, oldKey, "", []string{"--tls-cert", old, "expired"}},
		"for no name":         {none, noneKey, "", []string{"--tls-cert", none, "subject alternative names"}},
		"a client's":          {clientOnly, clientKey, "", []string{"--tls-cert", clientOnly, "incompatible key usage"}},
		"no authority in it":  {good, goodKey, goodKey, []string{"--tls-client-ca", goodKey, "no certificate in it"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"--port", "0", "--ui-port", "0", "--tls-cert", tc.cert, "--tls-key", tc.key, "--tls-client-ca", tc.ca}
			var stderr bytes.Buffer
			require.Equal(t, 1, run(t.Context(), args, io.Discard, &stderr))
			for _, want := range tc.want {
				require.Contains(t, stderr.String(), want)
			}
			require.NotContains(t, stderr.String(), "BEGIN")
		})
	}
}
