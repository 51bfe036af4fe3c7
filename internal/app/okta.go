package app

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/identitymesh/okta-connector/okta"
)

// EnvCAFile is a PEM bundle of certificate authorities that are trusted in calls to Okta
// beside the system's: a proxy that inspects TLS shows certificates of its own.
const EnvCAFile = "IDENTITYMESH_CA_FILE"

// maxCAFile bounds what is read of it; the bundle of a whole system has some 250 kB.
const maxCAFile = 4 << 20

// OktaHTTP returns the HTTP client for calls to Okta, made for sharing: with the
// system's roots and those of $IDENTITYMESH_CA_FILE, through the proxy of HTTPS_PROXY
// and NO_PROXY. An unusable bundle or proxy is an error here, rather than a call that
// goes around the proxy, or fails later.
func OktaHTTP() (*http.Client, error) {
	if err := checkProxies(); err != nil {
		return nil, err
	}
	path := os.Getenv(EnvCAFile)
	if path == "" {
		return okta.NewHTTPClient(), nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's root certificates: %w", err)
	}
	bundle, err := readBundle(path)
	if err == nil {
		err = okta.AddRoots(roots, bundle)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: the CA bundle %s cannot be used: %w", EnvCAFile, path, err)
	}
	return okta.NewHTTPClient(okta.WithRoots(roots)), nil
}

func readBundle(path string) ([]byte, error) {
	f, err := os.Open(path) // #nosec G304 G703 -- the operator names it
	if err != nil {
		return nil, errors.Unwrap(err) // the path is in the message already
	}
	defer f.Close() //nolint:errcheck // it was only read
	bundle, err := io.ReadAll(io.LimitReader(f, maxCAFile+1))
	switch {
	case err != nil:
		return nil, errors.Unwrap(err)
	case len(bundle) > maxCAFile:
		return nil, fmt.Errorf("it is larger than %d MiB", maxCAFile>>20)
	}
	return bundle, nil
}

// proxyVariables are those that net/http reads; a malformed one it ignores in silence.
var proxyVariables = []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}

// checkProxies refuses a proxy that net/http would ignore. The message does not show
// the value, which may hold a password.
func checkProxies() error {
	for _, name := range proxyVariables {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		if !strings.Contains(value, "://") { // net/http takes host:port, too
			value = "http://" + value
		}
		if !usableProxy(value) {
			return fmt.Errorf("%s is no proxy: it must look like http://proxy.example:3128 or http://user:password@proxy.example:3128, with special characters of the password as %%XX", name)
		}
	}
	return nil
}

func usableProxy(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}
