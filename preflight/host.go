package preflight

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/identitymesh/okta-connector/okta"
)

const (
	// certificateEnds is how long before its end a certificate is worth a warning.
	certificateEnds = 14 * 24 * time.Hour
	// clockTolerance is the skew that is worth a warning.
	clockTolerance = 30 * time.Second
)

const (
	adviceFirewall = "let this machine make outbound HTTPS connections to the org, or set HTTPS_PROXY to the proxy that does (runbook, Prerequisites)"
	adviceProxy    = "check HTTPS_PROXY and NO_PROXY in this environment, and that the proxy lets connections to the org through"
	adviceInspect  = "where a proxy inspects TLS, name its root certificate in IDENTITYMESH_CA_FILE, here and for the worker, or exempt the org from inspection; else check OrgDomain"
	adviceDomain   = "check OrgDomain: it is the host of the org's sign-in page, such as contoso.okta.com, not contoso-admin.okta.com"
)

// host says how the first call came through, from what was seen of it and how it ended. It
// returns the step that failed, "" when an answer arrived.
func (c *check) host(page *okta.Page, err error) ID {
	p := c.probe.seen()
	for _, step := range []struct {
		id   ID
		look func(*probe, bool, error) bool
	}{{Proxy, c.proxy}, {DNS, c.dns}, {TCP, c.tcp}, {TLS, c.tls}} {
		if !step.look(p, page != nil, err) {
			return step.id
		}
	}
	if page != nil {
		return ""
	}
	c.fail(IsOkta, message(err), cmp.Or(remedy(err), "run the check again; where this goes on, look at https://status.okta.com and at proxies and firewalls in between"))
	return IsOkta
}

func (c *check) proxy(p *probe, answered bool, err error) bool {
	switch {
	case p.proxyErr != nil: // its text quotes the variable, which may hold a password
		c.fail(Proxy, "the proxy in this environment is not a valid URL", "correct HTTPS_PROXY, HTTP_PROXY and NO_PROXY")
	case p.proxy == nil:
		c.ok(Proxy, "none for this org")
		return true
	// A proxy refuses before TLS with the org begins.
	case !answered && len(p.dialed) > 0 && p.tls && p.state == nil && !p.handshake:
		c.fail(Proxy, fmt.Sprintf("%s refuses the connection: %s", proxyName(p), cause(err)), adviceProxy)
	default:
		c.ok(Proxy, "%s, from the environment", proxyName(p))
		return true
	}
	c.skip(Proxy, DNS, TCP, TLS)
	return false
}

// proxyName leaves out the password that a proxy's URL may hold.
func proxyName(p *probe) string { return p.proxy.Scheme + "://" + p.proxy.Host }

func (c *check) dns(p *probe, answered bool, err error) bool {
	lookup, failed := errors.AsType[*net.DNSError](err)
	switch {
	case p.dnsErr != nil || failed && !answered:
		reason := "it does not resolve"
		if failed {
			reason = lookup.Err
		} else if p.dnsErr != nil {
			reason = p.dnsErr.Error()
		}
		advice := "check OrgDomain and this machine's name resolution"
		if p.proxy != nil {
			advice = adviceProxy
		}
		c.fail(DNS, fmt.Sprintf("%s: %s", p.whom(), reason), advice)
		c.skip(DNS, TCP, TLS)
		return false
	case p.isIP():
		c.ok(DNS, "%s is an address", p.whom())
	case len(p.addrs) > 0:
		c.ok(DNS, "%s is %s", p.whom(), list(p.addrs, 3))
	default:
		c.ok(DNS, "%s", p.whom())
	}
	return true
}

func (c *check) tcp(p *probe, answered bool, err error) bool {
	if answered || len(p.dialed) > 0 || p.connected {
		if len(p.dialed) > 0 {
			c.ok(TCP, "connected to %s", p.dialed[0])
		} else {
			c.ok(TCP, "connected")
		}
		return true
	}
	reason := cause(err)
	if p.dialErr != nil {
		reason = p.dialErr.Error()
	}
	advice := adviceFirewall
	if p.proxy != nil {
		advice = adviceProxy
	}
	c.fail(TCP, reason, advice)
	c.skip(TCP, TLS)
	return false
}

func (c *check) tls(p *probe, answered bool, err error) bool {
	if !p.tls {
		c.ok(TLS, "plain http to a loopback address, for a simulator (InsecureLoopback)")
		return true
	}
	cert := p.certificate(err)
	switch {
	case p.tlsErr != nil || !answered && (!p.handshake || p.state == nil):
		c.tlsFailed(p, cert, err)
		return false
	case cert == nil:
		c.ok(TLS, "%s", tls.VersionName(p.state.Version))
		return true
	}
	found := fmt.Sprintf("%s, issued by %s, valid until %s", tls.VersionName(p.state.Version), issuer(cert), cert.NotAfter.UTC().Format(time.DateOnly))
	if left := cert.NotAfter.Sub(c.Now()); left < certificateEnds {
		c.warn(TLS, found+", "+days(max(left, 0))+" from now", "whoever answers at "+p.host+" must renew it: Okta for its own domains, your administrators for a custom domain or an inspecting proxy")
		return true
	}
	c.ok(TLS, "%s", found)
	return true
}

// tlsFailed names who answers in Okta's place, where that can be seen.
func (c *check) tlsFailed(p *probe, cert *x509.Certificate, err error) {
	if cert == nil {
		c.fail(TLS, cause(err), "something between this machine and the org speaks no TLS, or breaks it: check OrgDomain, firewalls and proxies")
		return
	}
	_, wrongName := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case isInvalid && invalid.Reason == x509.Expired:
		c.fail(TLS, fmt.Sprintf("the certificate, issued by %s, is valid from %s until %s, and this machine's clock says %s", issuer(cert),
			cert.NotBefore.UTC().Format(time.DateTime), cert.NotAfter.UTC().Format(time.DateTime), c.Now().UTC().Format(time.DateTime)),
			"set this machine's clock; if it is right, whoever answers at "+p.host+" must renew the certificate")
	case wrongName:
		c.fail(TLS, fmt.Sprintf("the certificate, issued by %s, is for %s, not for %s", issuer(cert), list(cert.DNSNames, 3), p.host), adviceDomain)
	default:
		c.fail(TLS, fmt.Sprintf("the certificate, issued by %s, is not trusted: %s", issuer(cert), cause(err)), adviceInspect)
	}
}

// unverified is the certificate that was refused, nil when the error is about none.
func unverified(err error) *x509.Certificate {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		return e.UnverifiedCertificates[0]
	}
	return nil
}

// issuer names who issued a certificate.
func issuer(cert *x509.Certificate) string {
	name := strings.Join(cert.Issuer.Organization, ", ")
	if cn := cert.Issuer.CommonName; cn != "" && cn != name {
		if name != "" {
			return fmt.Sprintf("%s (%s)", name, cn)
		}
		return cn
	}
	return cmp.Or(name, "nobody with a name")
}

// isOkta says whether the answer is Okta's own.
func (c *check) isOkta(page *okta.Page, err error) bool {
	e, failed := errors.AsType[*okta.Error](err)
	byOkta := failed && strings.HasPrefix(e.Code, "E0")
	switch {
	case failed && !byOkta && !oauthCode(e):
		advice := cmp.Or(e.Remedy(), adviceDomain)
		switch {
		case strings.Contains(strings.SplitN(c.def.Config.OrgDomain, ".", 2)[0], "-admin"):
			advice = adviceDomain
		case page.RequestID != "" && page.Status >= 500:
			advice = "Okta itself has trouble: run the check again, and look at https://status.okta.com"
		case page.Status == http.StatusProxyAuthRequired:
			advice = adviceProxy
		}
		c.fail(IsOkta, message(err), advice)
		return false
	case page.RequestID == "":
		c.warn(IsOkta, "the answer has Okta's form, but no X-Okta-Request-Id", "a gateway in between removes Okta's headers; without the rate-limit headers a run cannot keep clear of Okta's limits")
	default:
		c.ok(IsOkta, "request %s", page.RequestID)
	}
	return true
}

// oauthCode says whether Okta refused with an error of OAuth, which has another form.
func oauthCode(e *okta.Error) bool {
	return e.Code != "" && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden || e.Status == http.StatusBadRequest)
}

// clock compares Okta's Date with the local clock. The Date is cut to a whole second, and
// was written between the call and its answer.
func (c *check) clock(page *okta.Page, sent, answered time.Time) {
	if page.Date.IsZero() {
		c.warn(Clock, "the answer has no Date", "a gateway in between removes Okta's headers; watermarks then rest on the stamps of what was read")
		return
	}
	ahead := page.Date.Sub(answered)                 // Okta's clock is ahead by this at least
	behind := sent.Sub(page.Date.Add(time.Second))   // or the local one by this
	skew := max(ahead, behind, 0).Round(time.Second) // what is certain
	if skew <= clockTolerance {
		c.ok(Clock, "within %s of Okta's", seconds(max(skew, time.Second)))
		return
	}
	word := "behind"
	if behind > 0 {
		word = "ahead of"
	}
	c.warn(Clock, fmt.Sprintf("this machine's clock is %s %s Okta's", seconds(skew), word),
		"set it by NTP: an API token works all the same, since imports keep time by Okta's clock, but Okta refuses the assertions and DPoP proofs of an OAuth service app that are dated wrong")
}

// look asks and measures.
func (c *check) look(ctx context.Context, call func(ctx context.Context) (*okta.Page, error)) (page *okta.Page, sent, answered time.Time, err error) {
	sent = c.Now()
	page, err = call(ctx)
	answered = c.Now()
	if page != nil && !page.Date.IsZero() {
		c.date, c.dated = page.Date, answered
	}
	return page, sent, answered, err
}

// message is an error without its remedy and the package's name.
func message(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*okta.Error](err); ok {
		text = e.Message()
	}
	return strings.TrimPrefix(text, "okta: ")
}

// remedy is what an error of Okta advises.
func remedy(err error) string {
	if e, ok := errors.AsType[*okta.Error](err); ok {
		return e.Remedy()
	}
	return ""
}

// cause is what lies below an error of the client.
func cause(err error) string {
	if e, ok := errors.AsType[*okta.Error](err); ok && e.Err != nil {
		return e.Err.Error()
	}
	return message(err)
}

// list names a few of many.
func list(all []string, most int) string {
	if len(all) <= most {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
}
