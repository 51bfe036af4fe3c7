package okta

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kind says what the caller should do about an [Error]. The zero value is
// Permanent: the same call would fail again.
type Kind int

// The kinds.
const (
	// Permanent needs a person or another request.
	Permanent Kind = iota
	// RetryLater may pass by itself; see [Error.RetryAfter] and [Error.SmallerPage].
	RetryLater
	// Gone means that Okta answered 404 E0000007 for the object [Error.ObjectID].
	Gone
	// Conflict means that the request contradicts the state of the object (409, 412).
	Conflict
)

// String returns "permanent", "retry later", "gone" or "conflict".
func (k Kind) String() string {
	switch k {
	case Permanent:
		return "permanent"
	case RetryLater:
		return "retry later"
	case Gone:
		return "gone"
	case Conflict:
		return "conflict"
	default:
		return fmt.Sprintf("Kind(%d)", int(k))
	}
}

// MaxRetryAfter is the longest explicit Retry-After that is waited for. A longer
// one makes the error Permanent: it "is treated as a control-plane issue worth
// surfacing" (runbook, Throttling and rate limits).
const MaxRetryAfter = 30 * time.Second

// Error is every error of a call, except the cancellation of the caller's own
// context, which is returned as it is. It holds no token, no query string and no
// profile data. A 429 and a call that was not sent lest there be one
// are a [RateLimitError], which is found as *Error too.
type Error struct {
	Kind     Kind
	Method   string
	Endpoint string // the template, such as "/api/v1/groups/{id}/users"
	Host     string // the org's host
	ObjectID string // the user or group that the call asked for, "" without one
	Status   int    // 0 when no answer arrived
	Code     string // Okta's errorCode, such as "E0000011", or an OAuth error, such as "invalid_client"
	Summary  string // Okta's errorSummary, or the description of an OAuth error
	Causes   []string
	// RequestID is X-Okta-Request-Id, else Okta's errorId.
	RequestID string
	// RetryAfter is how long to wait before the next try; 0 when the answer does not say.
	RetryAfter time.Duration
	// Explicit says that RetryAfter comes from a Retry-After header.
	Explicit bool
	// SmallerPage says that the same list with a smaller limit may succeed, whatever
	// the Kind: Okta timed out (facts.md §3), or the answer was too large.
	SmallerPage bool
	// Err is the cause, nil when Okta's answer is the cause.
	Err error

	detail    string // what is wrong with the answer
	remedy    string
	challenge string // the "error" of WWW-Authenticate
}

// LacksScope says whether a service app was not granted a scope that it needs.
func (e *Error) LacksScope() bool {
	return e.asks(CodeInsufficientScope) || e.Code == codeConsentRequired || e.Code == codeInvalidScope
}

// asks says whether the answer's OAuth error is code.
func (e *Error) asks(code string) bool { return e.Code == code || e.challenge == code }

// Error names the endpoint, the status, Okta's code, summary and causes, the
// request id, and the remedy of the runbook's Troubleshooting.
func (e *Error) Error() string {
	if e.remedy == "" {
		return e.Message()
	}
	return e.Message() + ": " + e.remedy
}

// Message is Error without the remedy.
func (e *Error) Message() string {
	var b strings.Builder
	fmt.Fprintf(&b, "okta: %s %s", e.Method, e.Endpoint)
	if e.ObjectID != "" {
		fmt.Fprintf(&b, " (%s)", e.ObjectID)
	}
	if e.Host != "" {
		fmt.Fprintf(&b, " at %s", e.Host)
	}
	if e.Status != 0 && e.Status != http.StatusOK {
		fmt.Fprintf(&b, ": %s", strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))))
	}
	if okta := strings.TrimSpace(e.Code + " " + e.Summary); okta != "" {
		fmt.Fprintf(&b, ": %s", okta)
	}
	if len(e.Causes) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(e.Causes, "; "))
	}
	if e.detail != "" {
		fmt.Fprintf(&b, ": %s", e.detail)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " [request %s]", e.RequestID)
	}
	return b.String()
}

// Remedy is what to do about the error, "" when only trying again can help.
func (e *Error) Remedy() string { return e.remedy }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// APIError is [Error] under the name that lets [RateLimitError] embed it.
type APIError = Error

// RateLimitError says that Okta's rate limit is used up: a 429, or a call that was not
// sent at all because no more than the reserve is left in its bucket, or too much is on its
// way (then Status is 0). Its Kind is RetryLater, but Permanent when an explicit
// Retry-After is longer than [MaxRetryAfter]: look at Kind before waiting.
type RateLimitError struct {
	APIError
	// Wait is how long to wait: the Retry-After header when there is one, else the
	// reset minus the server's Date plus a second, from 1 s to 5 min (10 s when the
	// answer does not say). A call that was not sent waits until the window is over for
	// certain on the org's clock, 5 min at most, or for others on their way (below). It equals RetryAfter.
	Wait time.Duration
	// Rate is what the answer said of the bucket, or what was known of it when the call was
	// not sent. Its Bucket is always set.
	Rate Rate
	// Concurrency says that too many calls were in flight, rather than too many a
	// minute; Wait is then 1 s to 10 s, with jitter after a 429.
	Concurrency bool
	// Crowded says that the call was not sent because this client's own calls on their way
	// are as many as it may have with what is left in the bucket, since other processes may
	// use the rest; Wait is then 1 s.
	Crowded bool
}

// Unwrap returns the embedded [Error], so that errors.As finds it.
func (e *RateLimitError) Unwrap() error { return &e.APIError }

// timeoutError is the end of the per-call time-out. It is not
// context.DeadlineExceeded, which a caller would take for the end of its own.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string { return fmt.Sprintf("no complete answer within %s", e.after) }

// Timeout makes it a net.Error-like time-out.
func (e timeoutError) Timeout() bool { return true }
