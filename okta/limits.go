package okta

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits is the rate-limit state of one org: what is left in each bucket, the calls in
// flight, and the org's clock. The clients of one org share one, so that all of them
// together stop before a 429: a call is sent only while Remaining, less the calls that
// are not answered yet, is above the reserve of [Options.RateLimitReserve]. The zero value
// is ready to use.
//
// Every token and every service app has buckets of its own: by default Okta gives each a
// share of the org's (facts.md §5), and the headers speak of that share.
type Limits struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	slots   slots
	clock   orgClock
	seq     uint64           // of the newest call
	news    chan struct{}    // closed when a call was answered or has ended; nil: nobody waits
	now     func() time.Time // the local clock; nil: time.Now; tests replace it
}

// bucketKey is a bucket as one token or app sees it.
type bucketKey struct {
	account uint64
	name    string
}

// How long a call is held before it is sent. What has not been decided by then is
// decided without the answers that are still on their way.
const (
	maxAskHold  = 500 * time.Millisecond // for the first answer of a bucket
	maxHold     = 2 * time.Second        // for answers that tell what is left
	maxSlotHold = 5 * time.Second        // for a call in flight to end
)

// NewLimits returns an empty state.
func NewLimits() *Limits { return &Limits{} }

// Snapshot returns the newest rate of every bucket, sorted by bucket; with several
// tokens, that of the one with the smallest share left. A rate whose Reset has passed is
// still shown.
func (l *Limits) Snapshot() []Rate {
	l.mu.Lock()
	defer l.mu.Unlock()
	rates := make([]Rate, 0, len(l.buckets))
	for _, b := range l.buckets {
		if b.rate.Known {
			rates = append(rates, b.rate)
		}
	}
	slices.SortFunc(rates, func(a, b Rate) int {
		return cmp.Or(strings.Compare(a.Bucket, b.Bucket), cmp.Compare(a.share(), b.share()), a.Reset.Compare(b.Reset))
	})
	return slices.CompactFunc(rates, func(a, b Rate) bool { return a.Bucket == b.Bucket })
}

// Left is Snapshot with what may be left now: a window that is over counts as full.
func (l *Limits) Left() []Rate {
	rates := l.Snapshot()
	now := l.time()
	for i, r := range rates {
		if r.Reset.Add(windowMargin).Before(now) {
			rates[i].Remaining = r.Limit
		}
	}
	return rates
}

// InFlight returns the calls in flight and how many there may be at most; 0 is no cap. A
// cap comes from Okta's concurrency 429s, and goes by itself.
func (l *Limits) InFlight() (calls, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slots.inFlight, l.slots.limit(l.localNow())
}

// ticket is one call that may be sent. Its done must be called when the call has ended.
type ticket struct {
	limits   *Limits
	bucket   *bucket
	seq      uint64
	sent     time.Time // local
	at       time.Time // the same on the org's clock
	lost     int       // of the bucket, when it was sent
	answered bool
}

// denial says why a call may not be sent, and how long not.
type denial struct {
	wait     time.Duration
	rate     Rate
	reserve  int
	inFlight int // above 0: no slot has become free
	pending  int // above 0: so many are on their way in the bucket, and leave no room
}

// admit lets a call through, and holds it for a moment where an answer on its way
// decides. Exactly one of the results is not nil; err is the end of ctx.
func (l *Limits) admit(ctx context.Context, key bucketKey, percent int) (*ticket, *denial, error) {
	began := time.Now()
	for {
		t, d, h := l.try(key, percent, time.Since(began))
		if t != nil || d != nil {
			return t, d, nil
		}
		timer := time.NewTimer(h.atMost - time.Since(began))
		select {
		case <-h.news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ctx.Err()
		}
		timer.Stop()
	}
}

// held is a call that waits for news, no longer than atMost since it began to wait.
type held struct {
	news   <-chan struct{}
	atMost time.Duration
}

func (l *Limits) try(key bucketKey, percent int, waited time.Duration) (*ticket, *denial, held) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	local := l.localNow()
	now := l.clock.at(local)
	v, patience := b.ask(now, percent, waited)
	switch {
	case v == refuse:
		return nil, &denial{wait: b.wait(now), rate: b.rate, reserve: reserve(b.rate.Limit, percent)}, held{}
	case v == crowd:
		return nil, &denial{wait: minWait, rate: b.rate, pending: b.pending}, held{}
	case l.slots.full(local) && waited >= maxSlotHold:
		return nil, &denial{wait: minWait, rate: b.rate, inFlight: l.slots.inFlight}, held{}
	case v == hold:
		return nil, nil, l.wait(patience)
	case l.slots.full(local):
		return nil, nil, l.wait(maxSlotHold)
	}
	l.seq++
	l.slots.inFlight++
	b.sent(l.seq, now)
	return &ticket{limits: l, bucket: b, seq: l.seq, sent: local, at: now, lost: b.lost}, nil, held{}
}

// wait needs l.mu.
func (l *Limits) wait(atMost time.Duration) held {
	if l.news == nil {
		l.news = make(chan struct{})
	}
	return held{l.news, atMost}
}

// tell wakes those who wait. It needs l.mu.
func (l *Limits) tell() {
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// bucket needs l.mu.
func (l *Limits) bucket(key bucketKey) *bucket {
	if l.buckets == nil {
		l.buckets = make(map[bucketKey]*bucket)
	}
	b := l.buckets[key]
	if b == nil {
		b = new(bucket)
		l.buckets[key] = b
	}
	return b
}

// observe takes in the headers of the call's answer. date is zero without a Date.
func (t *ticket) observe(status int, r Rate, date time.Time) {
	l := t.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.tell()
	local := l.localNow()
	t.answered = true
	t.bucket.asked, t.bucket.heard = true, l.clock.at(local)
	t.bucket.ended(t.seq)
	if !r.Known || r.Limit == 0 {
		// A concurrency 429 says limit 0: that is no state of the bucket.
		l.clock.learn(date, time.Time{}, t.sent, local)
		t.bucket.lost++
		if r.Known && status == http.StatusTooManyRequests {
			l.slots.crowded(t.seq, l.seq, local)
		}
		return
	}
	l.clock.learn(date, r.Reset, t.sent, local)
	t.bucket.learn(t, r, l.clock.at(local))
}

// done ends the call. Without an answer it counts as one that Okta has counted.
func (t *ticket) done() {
	l := t.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slots.inFlight--
	if !t.answered {
		t.answered = true
		t.bucket.ended(t.seq)
		t.bucket.lost++
	}
	l.tell()
}

// time returns the time on the org's clock, the local time before the first answer.
func (l *Limits) time() time.Time {
	t, _ := l.OrgTime()
	return t
}

// OrgTime returns the time on the org's clock, by the Date headers of its answers; it may
// be behind by a second or as much as a call takes. known is false before the first such
// answer, and the time then the local one.
func (l *Limits) OrgTime() (t time.Time, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.at(l.localNow()), l.clock.dated
}

func (l *Limits) localNow() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}

// admit lets a call through, or returns the error of a call that is not sent.
func (c *Client) admit(ctx context.Context, r request) (*ticket, error) {
	t, d, err := c.limits.admit(ctx, bucketKey{c.signer.account(), r.bucket}, c.reserve)
	if d == nil {
		return t, err
	}
	e := c.failure(r, d.reason())
	e.Kind, e.RetryAfter = RetryLater, d.wait
	rate := d.rate
	rate.Bucket = r.bucket
	return nil, &RateLimitError{APIError: *e, Wait: d.wait, Rate: rate, Concurrency: d.inFlight > 0, Crowded: d.pending > 0}
}

func (d *denial) reason() string {
	wait := d.wait.Round(100 * time.Millisecond)
	switch {
	case d.inFlight > 0:
		return fmt.Sprintf("not sent: the %d calls in flight, as many as Okta takes at present, do not end, wait %s", d.inFlight, wait)
	case d.pending > 0:
		return fmt.Sprintf("not sent: one worker may have no more calls on their way than the %d there are, with what is left of this window, wait %s", d.pending, wait)
	case d.reserve == 0:
		return fmt.Sprintf("not sent: the %d calls of this window are used up, wait %s", d.rate.Limit, wait)
	default:
		return fmt.Sprintf("not sent: the %d calls of this window are used up, but for the %d that RateLimitReserve leaves to the org's other clients, wait %s",
			d.rate.Limit, d.reserve, wait)
	}
}
