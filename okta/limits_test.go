package okta

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// limiter is a Limits with a clock that stands, and the calls of one token to one bucket.
type limiter struct {
	*Limits
	t       *testing.T
	local   *clock
	percent int
}

func newLimiter(t *testing.T) *limiter {
	t.Helper()
	local := &clock{now: noon}
	return &limiter{Limits: &Limits{now: local.Now}, t: t, local: local}
}

func (l *limiter) try() (*ticket, *denial) {
	t, d, _ := l.Limits.try(bucketKey{1, "b"}, l.percent, 0)
	return t, d
}

// send returns a call that must be let through.
func (l *limiter) send() *ticket {
	l.t.Helper()
	t, d := l.try()
	require.Nil(l.t, d)
	require.NotNil(l.t, t, "the call is held")
	return t
}

// answer ends a call with an answer of now.
func (l *limiter) answer(t *ticket, r Rate) {
	t.observe(http.StatusOK, r, l.local.Now())
	t.done()
}

// refused returns the wait of a call that must not be sent.
func (l *limiter) refused() time.Duration {
	l.t.Helper()
	t, d := l.try()
	require.Nil(l.t, t, "the call is sent")
	require.NotNil(l.t, d, "the call is held")
	return d.wait
}

func (l *limiter) held() {
	l.t.Helper()
	t, d := l.try()
	require.Nil(l.t, t, "the call is sent")
	require.Nil(l.t, d)
}

func left(limit, remaining int, reset time.Duration) Rate {
	return Rate{Bucket: "b", Limit: limit, Remaining: remaining, Reset: noon.Add(reset), Known: true}
}

// What is known of a bucket after an answer to a call that was sent before, or after,
// the answer before it arrived.
func TestAnswersOvertakeEachOther(t *testing.T) {
	t.Parallel()
	const soon, next = 10 * time.Second, 70 * time.Second
	for name, tt := range map[string]struct {
		first, second Rate
		late, newer   Rate // what is known when the second's call was sent before, or after, the first's answer
	}{
		"next window":           {left(600, 3, soon), left(600, 599, next), left(600, 599, next), left(600, 599, next)},
		"less left":             {left(600, 5, soon), left(600, 4, soon), left(600, 4, soon), left(600, 4, soon)},
		"more left":             {left(600, 4, soon), left(600, 5, soon), left(600, 4, soon), left(600, 4, soon)},
		"window before":         {left(600, 599, next), left(600, 5, soon), left(600, 599, next), left(600, 5, soon)},
		"window before, empty":  {left(600, 599, next), left(600, 0, soon), left(600, 599, next), left(600, 0, soon)},
		"Reset a little later":  {left(600, 5, soon), left(600, 6, soon+time.Second), left(600, 5, soon+time.Second), left(600, 5, soon+time.Second)},
		"Reset a little before": {left(600, 5, soon), left(600, 4, soon-time.Second), left(600, 4, soon), left(600, 4, soon)},
		"unbelievable Reset":    {left(600, 5, 1000*time.Hour), left(600, 4, soon), left(600, 5, 1000*time.Hour), left(600, 4, soon)},
		"a concurrency 429":     {left(600, 5, soon), left(0, 0, soon), left(600, 5, soon), left(600, 5, soon)},
		"no headers":            {left(600, 5, soon), Rate{Bucket: "b"}, left(600, 5, soon), left(600, 5, soon)},
		"raised limit":          {left(600, 5, soon), left(1200, 604, soon), left(600, 5, soon), left(1200, 604, soon)},
		"lowered limit":         {left(600, 500, soon), left(300, 199, soon), left(600, 500, soon), left(300, 199, soon)},
		"Reset in the past":     {left(600, 500, soon), left(600, 400, -soon), left(600, 500, soon), left(600, 400, -soon)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLimiter(t)
			l.answer(l.send(), left(600, 600, -50*time.Second)) // so that calls are not held
			one, other := l.send(), l.send()
			l.answer(one, tt.first)
			l.answer(other, tt.second)
			require.Equal(t, []Rate{tt.late}, l.Snapshot())

			l = newLimiter(t)
			l.answer(l.send(), tt.first)
			l.answer(l.send(), tt.second)
			require.Equal(t, []Rate{tt.newer}, l.Snapshot())
		})
	}
}

func TestReserve(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ limit, percent, want int }{
		{600, 10, 60}, {600, 0, 0}, {600, 90, 540}, {601, 10, 61}, {5, 10, 1}, {10, 10, 1}, {1, 10, 0}, {2, 90, 1}, {1, 90, 0},
	} {
		require.Equal(t, tt.want, reserve(tt.limit, tt.percent), "%d %% of %d", tt.percent, tt.limit)
	}
}

// Calls on their way count as used; where their answers decide, others are held.
func TestCallsInFlightCount(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.percent = 10
	first := l.send()
	l.held() // nothing is known of the bucket: one call asks
	l.answer(first, left(100, 34, 30*time.Second))
	a, b, c := l.send(), l.send(), l.send()
	l.held() // 34 left, 10 in reserve: three are an eighth of the rest
	l.answer(b, left(100, 10, 30*time.Second))
	require.Equal(t, 31*time.Second, l.refused(), "whatever the calls in flight say")
	a.done()
	c.done()

	l.local.Add(31 * time.Second)
	asks := l.send() // of a window of which nothing is known yet
	l.held()
	l.answer(asks, left(100, 99, 91*time.Second))
	var calls []*ticket
	for range 11 {
		calls = append(calls, l.send())
	}
	l.held() // 89 above the reserve
	l.answer(calls[10], left(100, 88, 91*time.Second))
	l.held() // 78 above the reserve, 10 in flight
	for _, call := range calls[:9] {
		l.answer(call, left(100, 12, 91*time.Second)) // others have been quick
	}
	l.held() // 2 above the reserve, 1 in flight
	l.answer(calls[9], left(100, 12, 91*time.Second))
	for i := range 2 {
		last := l.send()
		l.held()
		l.answer(last, left(100, 11-i, 91*time.Second))
	}
	l.refused()
}

// A worker that has not heard of a bucket for a while does not trust what it knew: one
// call asks, and what came before that call tells nothing.
func TestOneCallAsksAfterAPause(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 500, 30*time.Second))
	l.local.Add(freshFor)
	l.answer(l.send(), left(600, 499, 30*time.Second))
	l.answer(l.send(), left(600, 498, 30*time.Second))
	slow, slower := l.send(), l.send() // what is known is fresh
	l.local.Add(31 * time.Second)
	l.answer(slow, left(600, 497, 30*time.Second))
	asks := l.send() // of the next window
	l.held()
	asks.done() // no answer: another one asks, although one is on its way
	asks = l.send()
	l.held()
	l.answer(slower, left(600, 496, 30*time.Second))
	l.held()
	l.answer(asks, left(600, 599, 91*time.Second))
	l.answer(l.send(), left(600, 598, 91*time.Second))

	l.local.Add(freshFor + time.Millisecond)
	asks = l.send()
	l.held()
	asks.done() // no answer: the next one asks
	asks = l.send()
	l.held()
	l.answer(asks, left(600, 60, 91*time.Second))
	for range 7 {
		l.send()
	}
	l.held()
}

// What ended without an answer counts, until an answer to a later call contains it.
func TestLostCallsCount(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 20, 30*time.Second))
	for range 18 {
		l.send().done()
	}
	a, b := l.send(), l.send()
	l.held()
	b.done()
	l.held()
	l.answer(a, left(600, 2, 30*time.Second)) // it contains the first lost ones, perhaps not the last
	l.answer(l.send(), left(600, 1, 30*time.Second))
	l.send().done()
	require.Equal(t, 31*time.Second, l.refused())
	l.local.Add(31 * time.Second)
	for range 1000 { // Okta cannot be reached: still somebody asks
		l.send().done()
	}
	l.answer(l.send(), left(600, 500, 91*time.Second))
	for range 500 / shares {
		l.send()
	}
}

// An answer that arrives late takes back nothing of what a newer one has told.
func TestALostCallIsToldOnce(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 16, 30*time.Second))
	early := l.send()
	l.send().done()
	l.answer(l.send(), left(600, 2, 30*time.Second)) // it contains the lost one
	l.answer(early, left(600, 4, 30*time.Second))
	l.answer(l.send(), left(600, 1, 30*time.Second))
	l.send()
	l.held()
}

// Whether Okta counts a call that it refuses for the calls at one time is not known: it
// counts until a later answer tells.
func TestAConcurrency429Counts(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 1, 30*time.Second))
	l.tooMany(l.send())
	require.Equal(t, 31*time.Second, l.refused())
}

// An answer that took longer than its window has the next call wait for nothing.
func TestAnAnswerSlowerThanItsWindow(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	slow := l.send()
	l.local.Add(40 * time.Second)
	l.answer(slow, left(600, 0, 30*time.Second))
	l.send()
}

// Without the headers nothing is known and calls flow.
func TestNoHeaders(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.send().done()
	l.answer(l.send(), Rate{Bucket: "b"})
	for range 100 {
		l.send()
	}
	require.Empty(t, l.Snapshot())
}

// A window that goes on after its end, and one whose Reset had passed.
func TestResetInThePast(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 0, 30*time.Second))
	l.local.Add(31 * time.Second)
	one := l.send()
	l.held()
	l.answer(one, left(600, 0, 30*time.Second))
	require.Equal(t, time.Second, l.refused())
	l.local.Add(time.Second)
	l.send()
}

// A slow answer of a window that is over does not close the next one.
func TestALateAnswerOfTheWindowBefore(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 20, 30*time.Second))
	slow, slower := l.send(), l.send()
	l.local.Add(31 * time.Second)
	l.answer(slow, left(600, 0, 30*time.Second))
	l.answer(l.send(), left(600, 599, 91*time.Second))
	l.answer(slower, left(600, 0, 30*time.Second))
	l.send()
	require.Equal(t, []Rate{left(600, 599, 91*time.Second)}, l.Snapshot())
}

// A token has buckets of its own; Snapshot shows the tighter one.
func TestTokensHaveBucketsOfTheirOwn(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(300, 0, 30*time.Second))
	l.refused()
	other, d, _ := l.Limits.try(bucketKey{2, "b"}, 0, 0)
	require.Nil(t, d)
	l.answer(other, left(600, 300, 50*time.Second))
	l.refused()
	require.Equal(t, []Rate{left(300, 0, 30*time.Second)}, l.Snapshot())
}

// Clients share a bucket when they have the same token, and only then.
func TestClientsOfOneToken(t *testing.T) {
	t.Parallel()
	limits := NewLimits()
	with := func(token string) *Client {
		c, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken(token), Limits: limits})
		require.NoError(t, err)
		return c
	}
	r := request{endpoint: groupsEndpoint}
	call, err := with("one").admit(t.Context(), r)
	require.NoError(t, err)
	call.observe(http.StatusOK, left(600, 0, 30*time.Second), noon)
	call.done()
	_, err = with("one").admit(t.Context(), r)
	requireKind(t, err, RetryLater)
	call, err = with("other").admit(t.Context(), r)
	require.NoError(t, err)
	call.done()
}

// A bucket that is used up is not asked again before its reset, on the org's clock.
func TestExhaustedBucketIsNotAsked(t *testing.T) {
	t.Parallel()
	local := &clock{now: noon.Add(-48 * time.Hour)} // the local clock is two days slow
	limits := &Limits{now: local.Now}
	var calls atomic.Int32
	var remaining atomic.Int32
	serve := func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Date", noon.Format(http.TimeFormat))
		w.Header().Set("X-Rate-Limit-Limit", "500")
		w.Header().Set("X-Rate-Limit-Remaining", fmt.Sprint(remaining.Load()))
		w.Header().Set("X-Rate-Limit-Reset", fmt.Sprint(noon.Add(30*time.Second).Unix()))
		_, _ = w.Write([]byte(`[]`))
	}
	var told atomic.Int32
	withLimits := func(o *Options) { o.Limits = limits; o.OnCall = func(Call) { told.Add(1) } }
	client, _ := setup(t, serve, withLimits)
	other, _ := setup(t, serve, withLimits)

	remaining.Store(1)
	_, page, err := client.ListGroups(t.Context(), ListGroups{}, "")
	require.NoError(t, err)
	require.Equal(t, Rate{Bucket: "/api/v1/groups", Limit: 500, Remaining: 1, Reset: noon.Add(30 * time.Second), Known: true}, page.Rate)
	remaining.Store(0)
	_, _, err = client.ListGroups(t.Context(), ListGroups{}, "")
	require.NoError(t, err, "the call that used up the bucket was answered")
	require.EqualValues(t, 2, calls.Load())

	local.Add(10 * time.Second)
	// Member lists share the bucket of the group list, and clients share the limits.
	_, page, err = other.ListGroupMembers(t.Context(), "00g1", 0, "")
	e := requireKind(t, err, RetryLater)
	rl, ok := errors.AsType[*RateLimitError](err)
	require.True(t, ok)
	require.Nil(t, page)
	require.Zero(t, e.Status)
	require.Equal(t, 21*time.Second, rl.Wait, "reset − now on the org's clock + 1 s")
	require.Contains(t, err.Error(), "not sent: the 500 calls of this window are used up, wait 21s")
	require.EqualValues(t, 2, calls.Load(), "no network call")
	require.EqualValues(t, 2, told.Load(), "no exchange to tell of")

	// Other buckets are free.
	_, _, err = other.ListUsers(t.Context(), ListUsers{}, "")
	require.NoError(t, err)
	require.Equal(t, []string{"/api/v1/groups", "/api/v1/users"}, []string{limits.Snapshot()[0].Bucket, limits.Snapshot()[1].Bucket})

	local.Add(20 * time.Second) // the users' answer brought Date noon again: 30 s from now
	_, _, err = other.ListGroups(t.Context(), ListGroups{}, "")
	requireKind(t, err, RetryLater)
	local.Add(11 * time.Second)
	_, _, err = other.ListGroups(t.Context(), ListGroups{}, "")
	require.NoError(t, err, "the window is over")
	require.EqualValues(t, 4, calls.Load())
}

// A reset far in the future blocks for five minutes, not for hours.
func TestUnbelievableReset(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(5, 0, 24*time.Hour))
	require.Equal(t, 5*time.Minute, l.refused())
	l.local.Add(5 * time.Minute)
	l.send()
}

// The org's clock set back by hours does not stop the client for hours.
func TestTheOrgsClockIsSetBack(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(5, 1, 30*time.Second))
	a := l.send()
	a.observe(http.StatusOK, left(5, 0, 30*time.Second), noon)
	b, _, _ := l.Limits.try(bucketKey{1, "other"}, 0, 0)
	b.observe(http.StatusOK, Rate{Bucket: "other"}, noon.Add(-3*time.Hour))
	l.send()
}

func TestLeft(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 100, 30*time.Second))
	require.Equal(t, 100, l.Left()[0].Remaining)
	l.local.now = noon.Add(32 * time.Second)
	require.Equal(t, 600, l.Left()[0].Remaining, "the window is over")
	require.Equal(t, 100, l.Snapshot()[0].Remaining)
}
