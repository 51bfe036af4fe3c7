package okta

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Rate is what the X-Rate-Limit-* headers of one answer said (facts.md §5).
type Rate struct {
	// Bucket is the name that this client gives to the bucket, such as "/api/v1/users".
	Bucket    string    `json:"bucket"`
	Limit     int       `json:"limit"`     // calls per window; 0 in a concurrency 429
	Remaining int       `json:"remaining"` // calls left in this window
	Reset     time.Time `json:"reset"`     // when the window ends, on Okta's clock, whole seconds
	// Known is false when the answer did not carry all three headers.
	Known bool `json:"known"`
}

// share is what is left of the window, from 0 to 1.
func (r Rate) share() float64 { return float64(r.Remaining) / float64(max(r.Limit, 1)) }

// The waits of a [RateLimitError].
const (
	minWait            = time.Second
	maxWait            = 5 * time.Minute
	maxConcurrencyWait = 10 * time.Second
	unknownWait        = 10 * time.Second // no header says anything
)

// readRate reads the X-Rate-Limit-* headers. Okta has sent them twice
// (okta-sdk-java issue 259): the first value counts, of lines or of a joined one.
func readRate(h http.Header, name string) Rate {
	limit, okLimit := headerNumber(h, "X-Rate-Limit-Limit")
	remaining, okRemaining := headerNumber(h, "X-Rate-Limit-Remaining")
	reset, okReset := headerNumber(h, "X-Rate-Limit-Reset")
	r := Rate{Bucket: name, Limit: int(limit), Remaining: int(remaining), Known: okLimit && okRemaining && okReset}
	if okReset {
		r.Reset = time.Unix(reset, 0).UTC()
	}
	return r
}

func headerNumber(h http.Header, name string) (int64, bool) {
	first, _, _ := strings.Cut(h.Get(name), ",")
	n, err := strconv.ParseInt(strings.TrimSpace(first), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0, false
	}
	return n, true
}

// readRetryAfter reads Retry-After: seconds or an HTTP date, judged by now, the
// server's clock. A value of neither form counts as absent.
func readRetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if n, ok := headerNumber(h, "Retry-After"); ok {
		return time.Duration(min(n, 1<<30)) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}

// limitWait returns how long to wait after a 429 without Retry-After.
func limitWait(r Rate, now time.Time, jitter func(time.Duration) time.Duration) (wait time.Duration, concurrency bool) {
	untilReset := r.Reset.Sub(now) + time.Second
	switch {
	case r.Known && r.Limit == 0:
		// The reset of a concurrency 429 is "only a suggested value".
		return max(jitter(clamp(untilReset, minWait, maxConcurrencyWait)), minWait), true
	case r.Reset.IsZero():
		return unknownWait, false
	default:
		return clamp(untilReset, minWait, maxWait), false
	}
}

func clamp(d, low, high time.Duration) time.Duration { return min(max(d, low), high) }

// jitter returns a random duration from half of d to d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreading waits needs no secret randomness
}
