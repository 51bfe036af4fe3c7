package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"time"

	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"go.temporal.io/server/common/config"
)

const (
	// innerName is the name in the certificate of the server's own parts.
	innerName = "temporal-dev"
	// innerLife outlives any process.
	innerLife = 10 * 365 * 24 * time.Hour
	// refreshCertificates is how soon a renewed file counts.
	refreshCertificates = 5 * time.Second
)

// certificates are those of a server with TLS: the user's for the frontend, and one that is
// made at each start, kept in memory and known to nobody else, with which the server's parts
// prove to each other that they are parts. So neither a local process nor a client whose
// certificate the user's authority has signed can talk to an inner service.
type certificates struct {
	leaf       *x509.Certificate // the frontend's
	inner      tls.Certificate
	innerRoots *x509.CertPool
	cert, key  string // inner, as PEM in base64, for Temporal's configurations
}

// loadCertificates reads and checks the files of cfg; nil when it wants no TLS.
func loadCertificates(cfg Config) (*certificates, error) {
	if !cfg.TLS() {
		return nil, nil //nolint:nilnil // no TLS is no certificates
	}
	leaf, err := serverCertificate(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, err
	}
	if cfg.TLSClientCA != "" {
		text, err := os.ReadFile(cfg.TLSClientCA)
		if err != nil {
			return nil, fmt.Errorf("--tls-client-ca: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--tls-client-ca %s: no certificate in it: name a PEM file of the clients' authorities", cfg.TLSClientCA)
		}
	}
	c := &certificates{leaf: leaf}
	if err := c.makeInner(); err != nil {
		return nil, fmt.Errorf("make the inner certificate: %w", err)
	}
	return c, nil
}

// serverCertificate reads a pair and returns its leaf, when clients could accept it.
func serverCertificate(certFile, keyFile string) (*x509.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s with --tls-key %s: %w: name a certificate and its own key, both as PEM, without a passphrase", certFile, keyFile, err)
	}
	if len(pair.Leaf.DNSNames)+len(pair.Leaf.IPAddresses) == 0 {
		return nil, fmt.Errorf("--tls-cert %s is for no DNS name and no IP address, so no client would accept it: issue one with subject alternative names", certFile)
	}
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots}); err != nil {
		return nil, fmt.Errorf("--tls-cert %s cannot serve: %w", certFile, err)
	}
	return pair.Leaf, nil
}

func (c *certificates) makeInner() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: innerName}, DNSNames: []string{innerName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(innerLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if c.inner, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return err
	}
	c.innerRoots = x509.NewCertPool()
	c.innerRoots.AddCert(c.inner.Leaf)
	c.cert, c.key = base64.StdEncoding.EncodeToString(certPEM), base64.StdEncoding.EncodeToString(keyPEM)
	return nil
}

// root is Temporal's configuration: the user's files towards clients, the inner certificate
// in every other direction.
func (c *certificates) root(cfg Config) config.RootTLS {
	root := config.RootTLS{
		Internode: config.GroupTLS{
			Server: config.ServerTLS{CertData: c.cert, KeyData: c.key, ClientCAData: []string{c.cert}, RequireClientAuth: true},
			Client: config.ClientTLS{ServerName: innerName, RootCAData: []string{c.cert}},
		},
		Frontend:        config.GroupTLS{Server: config.ServerTLS{CertFile: cfg.TLSCert, KeyFile: cfg.TLSKey}},
		RefreshInterval: refreshCertificates,
	}
	if cfg.TLSClientCA != "" {
		root.Frontend.Server.ClientCAFiles = []string{cfg.TLSClientCA}
		root.Frontend.Server.RequireClientAuth = true
	}
	return root
}

// check shakes hands with the frontend at address and expects its certificate. Whether it
// wants one of us it says later.
func (c *certificates) check(ctx context.Context, address string) error {
	roots := x509.NewCertPool()
	roots.AddCert(c.leaf)
	conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, NextProtos: []string{"h2"}}
	if len(c.leaf.DNSNames) > 0 {
		conf.ServerName = c.leaf.DNSNames[0]
	} else {
		conf.ServerName = c.leaf.IPAddresses[0].String()
	}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// access is how the server's own parts reach it.
type access struct {
	address string
	certs   *certificates // nil without TLS
}

// client is TLS for a Temporal client, nil without.
func (a access) client() *tls.Config {
	if a.certs == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: innerName,
		Certificates: []tls.Certificate{a.certs.inner}, RootCAs: a.certs.innerRoots,
	}
}

// ui is TLS for the Web UI, zero without.
func (a access) ui() uiconfig.TLS {
	if a.certs == nil {
		return uiconfig.TLS{}
	}
	return uiconfig.TLS{
		CaData: a.certs.cert, CertData: a.certs.cert, KeyData: a.certs.key,
		ServerName: innerName, EnableHostVerification: true,
	}
}

// security says behind an address how it is served.
func (c *Config) security() string {
	switch {
	case c.TLSClientCA != "":
		return " (TLS, with client certificates)"
	case c.TLS():
		return " (TLS)"
	default:
		return ""
	}
}
