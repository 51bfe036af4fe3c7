package okta

import (
	"fmt"
	"net/http"
)

// readOnly is the lowest layer of a client: whatever is above it, nothing but a GET, and
// the POST of a token request, goes to the network. The connector imports; it cannot
// change the org.
type readOnly struct {
	next http.RoundTripper
	// token is the one URL that may be posted to; "": none.
	token string
}

// readOnly puts the layer around a transport; nil is Go's own.
func (c *Client) readOnly(next http.RoundTripper) readOnly {
	if next == nil {
		next = http.DefaultTransport
	}
	t := readOnly{next: next}
	if _, app := c.signer.(*appSigner); app {
		t.token = c.origin() + TokenEndpoint
	}
	return t
}

// RoundTrip refuses a request that might change something at Okta.
func (t readOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if problem := t.refuse(req); problem != "" {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, writeError{problem}
	}
	return t.next.RoundTrip(req)
}

func (t readOnly) refuse(req *http.Request) string {
	switch {
	case req.Method == http.MethodGet || req.Method == "":
		if req.Body != nil && req.Body != http.NoBody {
			return "a GET with a body is not sent"
		}
		return ""
	case req.Method == http.MethodPost && t.token != "" && req.URL.String() == t.token:
		return ""
	case req.Method == http.MethodPost:
		return "a POST is sent to nothing but the token endpoint of a service app"
	default:
		return fmt.Sprintf("a %.10q is not sent", req.Method)
	}
}

// writeError is a request that [readOnly] refused.
type writeError struct{ problem string }

func (e writeError) Error() string {
	return "this client only reads: " + e.problem
}
