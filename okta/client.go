package okta

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// DefaultTimeout is the time limit of one call, its body included, when
// [Options.Timeout] is zero.
const DefaultTimeout = 60 * time.Second

// MaxResponseBytes is the largest answer that is read, after decompression. A
// page of 1,000 users with all attributes takes about 2 MiB.
const MaxResponseBytes = 64 << 20

// MaxRateLimitReserve is the largest [Options.RateLimitReserve].
const MaxRateLimitReserve = 90

// Options configure a [Client]. Only BaseURL and Credentials are required. Printing
// Options never shows a secret.
type Options struct {
	// BaseURL is the org: scheme, host and an optional port, such as
	// "https://contoso.okta.com", and nothing else. Plain http is accepted for a
	// loopback host only.
	BaseURL string
	// Credentials say who calls: [APIToken], or those of a [ServiceApp]. They stay in
	// memory.
	Credentials Credentials `json:"-"`
	// HTTPClient is the shared transport; nil means [NewHTTPClient]. It is copied, and
	// the copy follows no redirect and sends nothing but reads and token requests.
	HTTPClient *http.Client
	// Timeout limits one call, reading the body included; 0 means [DefaultTimeout]. A
	// shorter one of HTTPClient counts instead.
	Timeout time.Duration
	// UserAgent is "identitymesh-okta-connector/<version>" when empty.
	UserAgent string
	// Limits is the rate-limit state that the clients of one org share; nil means
	// a state of its own.
	Limits *Limits
	// RateLimitReserve is how many percent of each rate-limit bucket are left to the
	// org's other clients, 0 to 90; at least one call of a window is used.
	RateLimitReserve int
	// OnCall, when set, is told of every HTTP exchange, token requests too, after its
	// body was read. It is called from the goroutine of the call, so possibly from many
	// at once.
	OnCall func(Call)
}

// Call is one HTTP exchange, for logs and metrics. It holds no secret, no query
// string and no personal data.
type Call struct {
	Method   string
	Endpoint string // the template, such as "/api/v1/groups/{id}/users"
	Status   int    // 0 when no answer arrived
	Duration time.Duration
	Rate     Rate
	// RequestID is X-Okta-Request-Id, "" without one.
	RequestID string
	// Err is the error that the call returned, nil on success.
	Err error
}

// Client reads one Okta org. It is safe for concurrent use. Printing it never
// shows a secret.
type Client struct {
	base    *url.URL
	http    http.Client
	timeout time.Duration
	limits  *Limits
	reserve int // percent
	onCall  func(Call)
	// signer holds its secrets in closures, so that printing a struct that contains a
	// Client cannot show them.
	signer    signer
	userAgent string
	// jitter spreads a wait over time; tests replace it.
	jitter func(time.Duration) time.Duration
}

// New checks the options and returns a client. It does not touch the network.
func New(o Options) (*Client, error) {
	base, err := parseBase(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Credentials == nil {
		return nil, errors.New("okta: Credentials are missing: give an APIToken or those of a ServiceApp")
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("okta: Timeout %s is negative; leave it 0 for %s", o.Timeout, DefaultTimeout)
	}
	if o.RateLimitReserve < 0 || o.RateLimitReserve > MaxRateLimitReserve {
		return nil, fmt.Errorf("okta: RateLimitReserve must be from 0 to %d, not %d", MaxRateLimitReserve, o.RateLimitReserve)
	}
	agent := cmp.Or(o.UserAgent, defaultUserAgent())
	if strings.ContainsFunc(agent, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, errors.New("okta: UserAgent may hold printable ASCII only")
	}
	shared := o.HTTPClient
	if shared == nil {
		shared = NewHTTPClient()
	}
	c := &Client{
		base:      base,
		http:      *shared,
		timeout:   cmp.Or(o.Timeout, DefaultTimeout),
		limits:    o.Limits,
		reserve:   o.RateLimitReserve,
		onCall:    o.OnCall,
		userAgent: agent,
		jitter:    jitter,
	}
	// The time-out of the copy would end in context.DeadlineExceeded, as the caller's own does.
	if shared.Timeout > 0 {
		c.timeout = min(c.timeout, shared.Timeout)
	}
	c.http.Timeout = 0
	// A redirect is an answer like any other and is refused with a message of its own.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if c.limits == nil {
		c.limits = NewLimits()
	}
	if c.signer, err = o.Credentials.open(c); err != nil {
		return nil, err
	}
	c.http.Transport = c.readOnly(shared.Transport)
	return c, nil
}

// origin returns the scheme and the host of the org.
func (c *Client) origin() string { return c.base.Scheme + "://" + c.base.Host }

// scrub replaces what is secret in a text of the server or of an error.
func (c *Client) scrub(text string) string { return c.signer.scrub(text) }

// maxConcurrent is how many calls Okta takes at one time (facts.md §5).
const maxConcurrent = 75

// NewHTTPClient returns an HTTP client made for sharing: TLS 1.2 or newer, the
// proxy of the environment, HTTP/2, as many idle connections per host as Okta takes
// calls at one time, and time-outs for connecting. The time-out of a whole call is [Options.Timeout].
func NewHTTPClient(options ...TransportOption) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           2 * maxConcurrent,
		MaxIdleConnsPerHost:    maxConcurrent,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         32 << 10, // by default 4 KiB: a system call for every fourth member
		// A dead HTTP/2 connection would otherwise stall every call until its time-out.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	for _, option := range options {
		option(transport)
	}
	return &http.Client{Transport: transport}
}

// String names the org, never a secret.
func (o Options) String() string {
	who := "none"
	if o.Credentials != nil {
		who = o.Credentials.String()
	}
	return fmt.Sprintf("okta.Options{BaseURL: %q, Credentials: %s}", hostOnly(o.BaseURL), who)
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

// Format writes String for every verb.
func (o Options) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.String()) }

// String names the org, never a secret.
func (c *Client) String() string { return "okta.Client{" + c.origin() + "}" }

// GoString is String.
func (c *Client) GoString() string { return c.String() }

// Format writes String for every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// hostOnly drops what a BaseURL should not hold, such as credentials.
func hostOnly(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(malformed)"
	}
	return u.Scheme + "://" + u.Host
}

func parseBase(raw string) (*url.URL, error) {
	const want = `give scheme and host only, such as "https://contoso.okta.com"`
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("okta: BaseURL is no URL; %s", want)
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, fmt.Errorf("okta: BaseURL %q has no http(s) scheme or no host; %s", hostOnly(raw), want)
	case u.User != nil, u.Path != "", u.RawQuery != "", u.ForceQuery, u.Fragment != "", u.Opaque != "", strings.HasSuffix(raw, "#"):
		return nil, fmt.Errorf("okta: BaseURL %q is followed or preceded by more than a host and a port; %s", hostOnly(raw), want)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("okta: BaseURL %q would send the token unencrypted; use https (http is for loopback hosts only)", hostOnly(raw))
	}
	return u, nil
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func defaultUserAgent() string {
	version := "dev"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		version = info.Main.Version
	}
	return "identitymesh-okta-connector/" + version
}
