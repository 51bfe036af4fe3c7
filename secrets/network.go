package secrets

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// IsTLS says whether a call failed because the server is not the one that was meant, as
// far as its certificate tells. That does not pass by itself.
func IsTLS(err error) bool {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &record)
}

// IsUnreached says whether a call ended without an answer.
func IsUnreached(err error) bool {
	var network interface{ Timeout() bool } // *url.Error, and the errors of package net
	return errors.As(err, &network)
}
