package okta

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
)

// TransportOption changes the transport of [NewHTTPClient].
type TransportOption func(*http.Transport)

// WithRoots trusts the given certificate authorities, and no others.
func WithRoots(roots *x509.CertPool) TransportOption {
	return func(t *http.Transport) { t.TLSClientConfig.RootCAs = roots }
}

// AddRoots adds the certificates of a PEM bundle to roots. It is stricter than
// [x509.CertPool.AppendCertsFromPEM], which skips in silence what it cannot read: a
// bundle without a certificate, with a damaged one or with anything else in it is an
// error, and then roots may hold a part of it. The error quotes nothing of the bundle,
// which may hold a private key by mistake.
func AddRoots(roots *x509.CertPool, bundle []byte) error {
	count := 0
	for {
		block, rest := pem.Decode(bundle)
		if block == nil {
			break
		}
		count++
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("PEM block %d is no certificate (its lines must say BEGIN CERTIFICATE and END CERTIFICATE); keep nothing else in the bundle, a private key least of all", count)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("certificate %d is damaged", count)
		}
		roots.AddCert(cert)
		bundle = rest
	}
	if count == 0 {
		return errors.New("it holds no certificate in PEM form (lines from BEGIN CERTIFICATE to END CERTIFICATE)")
	}
	return nil
}
