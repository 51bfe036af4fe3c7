package okta

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

const (
	remedyDNS   = "check OrgDomain and this machine's name resolution"
	remedyProxy = "check the proxy that HTTPS_PROXY names, and NO_PROXY"
	remedyTLS   = "check OrgDomain, this machine's clock and its root certificates; the root of a proxy that inspects TLS belongs into the trust store, or into the bundle that IDENTITYMESH_CA_FILE names"
)

// transportError turns a failure below HTTP into an error. The caller's own
// cancellation is returned as it is.
func (x *exchange) transportError(err error) error {
	if own := x.caller.Err(); own != nil {
		return own
	}
	e := x.failure(x.request, "")
	e.Kind = RetryLater
	x.explainTransport(e, err)
	return e
}

func (x *exchange) explainTransport(e *Error, err error) {
	if errors.Is(x.call.Err(), context.DeadlineExceeded) {
		e.Err, e.SmallerPage = timeoutError{x.timeout}, x.list
		return
	}
	// url.Error prints the URL, whose query may hold a search for a person.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	e.Err = x.clean(err)
	if refused, ok := errors.AsType[writeError](err); ok {
		e.Kind, e.Err = Permanent, refused
		return
	}
	switch {
	case isProxy(err):
		e.remedy = remedyProxy
	case strings.Contains(err.Error(), "Location header"):
		e.Kind, e.Err = Permanent, nil
		e.detail, e.remedy = "redirect to a malformed URL refused", remedyNoOkta
	case isTLS(err):
		e.Kind, e.remedy = Permanent, remedyTLS
	case isDNS(err):
		e.remedy = remedyDNS
	}
}

func isDNS(err error) bool {
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

// isProxy says whether the call got no further than the proxy. net/http passes on the
// words of a proxy that refuses, and names its address only, not the user and password.
func isProxy(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "proxyconnect" || op.Op == "socks connect") || err.Error() == http.StatusText(http.StatusProxyAuthRequired)
}

// isTLS says whether the peer failed to prove who it is, or speaks no TLS.
func isTLS(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, authority := errors.AsType[x509.UnknownAuthorityError](err)
	_, name := errors.AsType[x509.HostnameError](err)
	_, invalid := errors.AsType[x509.CertificateInvalidError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return verification || authority || name || invalid || record || alert || errors.Is(err, http.ErrSchemeMismatch)
}

// bodyError turns a failure to read or decode the body of a 200 into an error.
func (x *exchange) bodyError(err error, b *body, page *Page) error {
	if own := x.caller.Err(); own != nil {
		return own
	}
	e := x.answered(page, "")
	if row, ok := errors.AsType[*rowError](err); ok {
		row.id = x.tidy(row.id, maxQuote)
		e.detail, e.remedy = x.scrub(row.Error()), remedyRow
		return e
	}
	if bound, ok := errors.AsType[*boundError](err); ok {
		e.detail, e.SmallerPage, e.remedy = bound.Error(), x.list && bound.smaller, remedyRow
		if e.SmallerPage {
			x.askForLess(e)
		}
		return e
	}
	if errors.Is(b.err, errTooLarge) {
		e.Err, e.SmallerPage, e.remedy = errTooLarge, x.list, remedyRow
		if x.list {
			x.askForLess(e)
		}
		return e
	}
	e.Kind = RetryLater
	switch {
	case b.err != nil && !errors.Is(b.err, io.EOF) && !errors.Is(b.err, io.ErrUnexpectedEOF):
		e.detail = "the answer broke off"
		x.explainTransport(e, b.err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.detail, e.Err = "only half an answer arrived", io.ErrUnexpectedEOF
	default:
		x.explainText(e, err, b.head)
	}
	return e
}

// askForLess makes an error of a page that is too large. Member lists are tried again
// with smaller pages by themselves; of the others, PageSize is the size.
func (x *exchange) askForLess(e *Error) {
	e.remedy = remedySmallerPage
	if x.template == membersEndpoint.template {
		e.Kind = RetryLater
	}
}

// explainText says how a body fails to be the JSON that was asked for. A body that
// looks like JSON is not quoted: it may hold people's data.
func (x *exchange) explainText(e *Error, err error, head []byte) {
	if shape, ok := errors.AsType[*shapeError](err); ok {
		e.detail = shape.Error()
		return
	}
	if x.secret {
		e.detail = "the answer cannot be read"
		return
	}
	head = bytes.TrimSpace(head)
	if len(head) > 0 && !looksLikeJSON(head) {
		e.detail = "non-JSON answer " + x.quote(head)
		return
	}
	e.detail, e.Err = "malformed JSON", x.clean(err)
}
