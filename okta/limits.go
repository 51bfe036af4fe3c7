package okta

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
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

// The waits of a [RateLimitError].
const (
	minWait            = time.Second
	maxWait            = 5 * time.Minute
	maxConcurrencyWait = 10 * time.Second
	unknownWait        = 10 * time.Second // no header says anything
)

// Limits is the rate-limit state of one org: the newest [Rate] of each bucket, and
// the org's clock. The zero value is ready to use; clients of one org share one.
//
// A call passes admit before it is sent, and observe when it is answered. A
// pacing limiter (waiting while Remaining is at a reserve) has its place there.
type Limits struct {
	mu      sync.Mutex
	buckets map[string]bucket
	// The org's clock is known as a pair: its Date, and the local monotonic time at
	// which that Date arrived.
	date, at time.Time
	now      func() time.Time // nil: time.Now; tests replace it
}

type bucket struct {
	rate Rate
	seen time.Time // on the org's clock
}

// until returns when the window ends. A reset further away than any real window
// is not believed, lest one odd header stops the client for hours.
func (b bucket) until() time.Time {
	if limit := b.seen.Add(maxWait); b.rate.Reset.After(limit) {
		return limit
	}
	return b.rate.Reset
}

// NewLimits returns an empty state.
func NewLimits() *Limits { return &Limits{} }

// Snapshot returns the newest rate of every bucket, sorted by bucket. A rate whose
// Reset has passed is still shown.
func (l *Limits) Snapshot() []Rate {
	l.mu.Lock()
	defer l.mu.Unlock()
	rates := make([]Rate, 0, len(l.buckets))
	for _, b := range l.buckets {
		rates = append(rates, b.rate)
	}
	slices.SortFunc(rates, func(a, b Rate) int { return strings.Compare(a.Bucket, b.Bucket) })
	return rates
}

// admit says whether a call on the bucket may be sent now. When it may not, rate is
// the exhausted one and wait the time until its reset.
func (l *Limits) admit(name string) (wait time.Duration, rate Rate, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.buckets[name]
	if !known || b.rate.Limit <= 0 || b.rate.Remaining > 0 {
		return 0, b.rate, true
	}
	now := l.serverNow()
	if !b.until().After(now) {
		return 0, b.rate, true
	}
	return clamp(b.until().Sub(now)+time.Second, minWait, maxWait), b.rate, false
}

// observe takes in the rate and the Date of an answer. Answers overtake each
// other, so an older window or a larger Remaining of the same one is ignored.
func (l *Limits) observe(r Rate, date time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !date.IsZero() {
		l.date, l.at = date, l.localNow()
	}
	// A concurrency 429 says limit 0: that is no state of the bucket.
	if !r.Known || r.Limit == 0 {
		return
	}
	now := l.serverNow()
	if old, ok := l.buckets[r.Bucket]; ok && old.until().After(now) {
		exhausted := r.Remaining == 0 && r.Reset.After(now)
		if r.Reset.Before(old.rate.Reset) && old.rate.Reset.Equal(old.until()) && !exhausted {
			return
		}
		if r.Reset.Equal(old.rate.Reset) {
			r.Remaining = min(r.Remaining, old.rate.Remaining)
		}
	}
	if l.buckets == nil {
		l.buckets = make(map[string]bucket)
	}
	l.buckets[r.Bucket] = bucket{rate: r, seen: now}
}

// clock returns the time on the org's clock, the local time before the first answer.
func (l *Limits) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.serverNow()
}

func (l *Limits) localNow() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}

func (l *Limits) serverNow() time.Time {
	if l.date.IsZero() {
		return l.localNow()
	}
	return l.date.Add(l.localNow().Sub(l.at))
}

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
