package preflight

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
)

// probe watches how the first call finds its way to Okta: the import's own client makes
// the connection, so that what is seen is what a run will meet. A dial may outlive its call,
// hence the lock.
type probe struct {
	host     string   // of the org, without a port
	tls      bool     // the org is asked over TLS
	proxy    *url.URL // nil: none
	proxyErr error

	mu        sync.Mutex
	looked    bool // a name was asked for
	addrs     []string
	dnsErr    error
	dialed    []string // addresses that answered
	dialErr   error
	handshake bool
	state     *tls.ConnectionState
	tlsErr    error
	connected bool
}

// newProbe finds out whether the transport goes through a proxy.
func newProbe(client *http.Client, base string) *probe {
	p := &probe{}
	u, err := url.Parse(base)
	if err != nil { // a definition is checked for this
		return p
	}
	p.host, p.tls = u.Hostname(), u.Scheme == "https"
	transport, ok := client.Transport.(*http.Transport)
	if ok && transport.Proxy != nil {
		p.proxy, p.proxyErr = transport.Proxy(&http.Request{URL: u})
	}
	return p
}

// watch returns a context whose calls are watched.
func (p *probe) watch(ctx context.Context) context.Context {
	locked := func(f func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { locked(func() { p.looked = true }) },
		DNSDone: func(i httptrace.DNSDoneInfo) {
			locked(func() {
				p.dnsErr = i.Err
				for _, a := range i.Addrs {
					p.addrs = append(p.addrs, a.String())
				}
			})
		},
		ConnectDone: func(_, addr string, err error) {
			locked(func() {
				if err != nil {
					p.dialErr = err
					return
				}
				p.dialed = append(p.dialed, addr)
			})
		},
		TLSHandshakeStart: func() { locked(func() { p.handshake = true }) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			// Behind a proxy that is reached by TLS itself, the last handshake is the org's.
			locked(func() { p.state, p.tlsErr = &s, err })
		},
		GotConn: func(httptrace.GotConnInfo) { locked(func() { p.connected = true }) },
	})
}

// seen is a copy of what was seen so far.
func (p *probe) seen() *probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &probe{
		host: p.host, tls: p.tls, proxy: p.proxy, proxyErr: p.proxyErr, looked: p.looked,
		addrs: slices.Clone(p.addrs), dnsErr: p.dnsErr, dialed: slices.Clone(p.dialed), dialErr: p.dialErr,
		handshake: p.handshake, state: p.state, tlsErr: p.tlsErr, connected: p.connected,
	}
}

// whom is the host that is connected to: the org's or the proxy's.
func (p *probe) whom() string {
	if p.proxy != nil {
		return p.proxy.Hostname()
	}
	return p.host
}

// isIP says whether there is a name to resolve at all.
func (p *probe) isIP() bool { return net.ParseIP(p.whom()) != nil }

// certificate is the one that the org, or whoever answers for it, showed; nil for none.
func (p *probe) certificate(err error) *x509.Certificate {
	if p.state != nil && len(p.state.PeerCertificates) > 0 {
		return p.state.PeerCertificates[0]
	}
	return unverified(err)
}
