package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc/credentials"
)

// remedyMark begins every remedy of a handshake. gRPC keeps an error's text only, and
// by this the text is known again.
const remedyMark = "to check: "

const (
	remedyTLSFiles   = "check TEMPORAL_TLS_CLIENT_CERT_PATH, TEMPORAL_TLS_CLIENT_KEY_PATH and TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	remedyAuthority  = remedyMark + "the server's certificate is not signed by a CA that is trusted here; TEMPORAL_TLS_SERVER_CA_CERT_PATH names the right CA's file"
	remedyServerTime = remedyMark + "the server's certificate is not valid now: it has to be renewed, or this machine's clock is wrong"
	remedyServerName = remedyMark + "the server's certificate is for another name; TEMPORAL_TLS_SERVER_NAME is the name to expect"
	remedyNoTLS      = remedyMark + "the server does not speak TLS; TEMPORAL_TLS=false turns it off"
	remedyNoClient   = remedyMark + "the server wants a client certificate, it seems; TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH name its files"
)

// reloading is gRPC's TLS with the certificate files read again for each connection, so
// that renewed ones count without a restart: Temporal ends a connection every few
// minutes. Files that do not fit each other, because their replacement is under way,
// leave the ones before in use.
type reloading struct {
	credentials.TransportCredentials // of the first load; what is not about a handshake

	profile envconfig.ClientConfigProfile
	logger  log.Logger

	mu   *sync.Mutex
	last **tls.Config // the newest that could be loaded
}

func newReloading(profile envconfig.ClientConfigProfile, first *tls.Config, logger log.Logger) *reloading {
	first = strict(first)
	return &reloading{credentials.NewTLS(first), profile, logger, new(sync.Mutex), &first}
}

// strict allows no version of TLS before 1.2, whatever GODEBUG says.
func strict(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.MinVersion = tls.VersionTLS12
	return c
}

// config is the newest configuration.
func (r *reloading) config() *tls.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, err := r.profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err == nil && o.ConnectionOptions.TLS != nil {
		*r.last = strict(o.ConnectionOptions.TLS)
	} else if err != nil && r.logger != nil {
		r.logger.Warn("The certificates for Temporal cannot be read; the ones before stay in use", "Error", err)
	}
	return *r.last
}

// ClientHandshake implements [credentials.TransportCredentials].
func (r *reloading) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c := r.config()
	conn, info, err := credentials.NewTLS(c).ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, explainTLS(err, c)
	}
	e := &explained{Conn: conn, config: c}
	if raw, ok := conn.(syscall.Conn); ok { // gRPC sets the socket's time-outs through it
		return struct {
			*explained
			syscall.Conn
		}{e, raw}, info, nil
	}
	return e, info, nil
}

// Clone implements [credentials.TransportCredentials].
func (r *reloading) Clone() credentials.TransportCredentials {
	c := *r
	c.TransportCredentials = r.TransportCredentials.Clone()
	return &c
}

// explained adds the remedy to the server's refusal of a client certificate, which with
// TLS 1.3 arrives after the handshake.
type explained struct {
	net.Conn

	config *tls.Config
	heard  atomic.Bool // something else than a refusal has arrived
}

// Read adds the remedy.
func (e *explained) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	if n > 0 {
		e.heard.Store(true)
	}
	return n, e.explain(err)
}

// Write adds the remedy: a server that refuses may have hung up before we have said
// anything, and its reason is then still to be read.
func (e *explained) Write(b []byte) (int, error) {
	n, err := e.Conn.Write(b)
	if err == nil || e.heard.Load() {
		return n, err
	}
	if derr := e.SetReadDeadline(time.Now().Add(time.Second)); derr == nil {
		if _, reason := e.Conn.Read(make([]byte, 1)); refused(reason) {
			err = reason
		}
	}
	return n, e.explain(err)
}

func (e *explained) explain(err error) error {
	switch {
	case err == nil || e.heard.Load():
		return err
	case refused(err):
		return explainTLS(err, e.config)
	default: // a reset overtakes the reason
		return fmt.Errorf("%w; %s", err, remedyClient(e.config))
	}
}

func refused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "remote error: tls:")
}

// explainTLS adds to a failed handshake what to check.
func explainTLS(err error, c *tls.Config) error {
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case authority:
		return fmt.Errorf("%w; %s", err, remedyAuthority)
	case name:
		return fmt.Errorf("%w; %s", err, remedyServerName)
	case isInvalid && invalid.Reason == x509.Expired:
		return fmt.Errorf("%w; %s", err, remedyServerTime)
	case record:
		return fmt.Errorf("%w; %s", err, remedyNoTLS)
	case refused(err):
		return fmt.Errorf("%w; %s", err, remedyClient(c))
	default:
		return err
	}
}

// remedyClient is about the certificate that a server did not accept.
func remedyClient(c *tls.Config) string {
	if len(c.Certificates) == 0 {
		return remedyNoClient
	}
	leaf := c.Certificates[0].Leaf
	if leaf == nil {
		return remedyMark + "the server refuses the client certificate"
	}
	what := fmt.Sprintf("the client certificate (subject %q, issuer %q, valid from %s until %s)",
		leaf.Subject.CommonName, leaf.Issuer.CommonName, leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339))
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		return remedyMark + what + " has expired: renew it; the file is read again, no restart is needed"
	case now.Before(leaf.NotBefore):
		return remedyMark + what + " is not valid yet: is this machine's clock right?"
	default:
		return remedyMark + "the server refuses " + what + ", it seems: is it from a CA that the server (on Temporal Cloud: the namespace) trusts?"
	}
}
