package okta

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var crowded = Rate{Bucket: "b", Known: true}

// tooMany ends a call with a concurrency 429.
func (l *limiter) tooMany(t *ticket) {
	t.observe(http.StatusTooManyRequests, crowded, l.local.Now())
	t.done()
}

func (l *limiter) requireCap(most int) {
	l.t.Helper()
	_, got := l.InFlight()
	require.Equal(l.t, most, got)
}

// The cap is halved once for a burst of 429s, and grows back until it is none.
func TestInFlightCap(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(6000, 6000, time.Hour))
	var calls []*ticket
	for range 10 {
		calls = append(calls, l.send())
	}
	l.requireCap(0)
	for _, call := range calls[4:] {
		l.tooMany(call)
		l.requireCap(5)
	}
	l.send()
	l.held() // 5 in flight
	last := calls[0]
	l.answer(last, left(6000, 5990, time.Hour))
	again := l.send()
	l.local.Add(9 * time.Second)
	l.tooMany(again)
	l.requireCap(2)
	l.local.Add(19 * time.Second)
	l.requireCap(3)
	l.held()
	l.local.Add(61 * time.Second)
	l.requireCap(0)
	for range 75 {
		l.send()
	}
	inFlight, _ := l.InFlight()
	require.Equal(t, 79, inFlight)
}

func TestTheCapIsAtLeastOne(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	for range 3 {
		l.tooMany(l.send())
		l.requireCap(1)
		l.local.Add(time.Second)
	}
	l.local.Add(time.Hour)
	l.requireCap(0)
	l.send().observe(http.StatusOK, crowded, noon)
	l.requireCap(0)
}

// The cap of trouble that is over does not come back with the next one.
func TestACapThatHasGone(t *testing.T) {
	t.Parallel()
	l := newLimiter(t)
	l.answer(l.send(), left(600, 600, time.Hour))
	var calls []*ticket
	for range 20 {
		calls = append(calls, l.send())
	}
	l.tooMany(calls[0])
	l.requireCap(10)
	for _, call := range calls[1:17] {
		l.answer(call, left(600, 590, time.Hour))
	}
	last := l.send()
	l.local.Add(10 * time.Minute) // it goes, though nobody looks
	l.tooMany(last)
	l.requireCap(2) // of 4
	l.local.Add(20 * time.Second)
	l.requireCap(0)
}

// A call waits for a slot: until one is free, its context ends or it has waited long.
func TestACallWaitsForASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits()
		key := bucketKey{1, "b"}
		admit := func(ctx context.Context) (*ticket, *denial, error) { return l.admit(ctx, key, 0) }
		first, _, _ := admit(t.Context())
		first.observe(http.StatusTooManyRequests, crowded, time.Now())
		began := time.Now()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := admit(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))

		got := make(chan *ticket)
		go func() {
			next, _, _ := admit(t.Context())
			got <- next
		}()
		time.Sleep(time.Second)
		first.done()
		second := <-got
		require.NotNil(t, second)
		require.Equal(t, 2*time.Second, time.Since(began))
		second.observe(http.StatusTooManyRequests, crowded, time.Now())
		inFlight, most := l.InFlight()
		require.Equal(t, []int{1, 1}, []int{inFlight, most})

		began = time.Now()
		_, d, err := admit(t.Context())
		require.NoError(t, err)
		require.Equal(t, maxSlotHold, time.Since(began))
		require.NotNil(t, d)
		require.Contains(t, d.reason(), "not sent: the 1 calls in flight, as many as Okta takes at present, do not end, wait 1s")
	})
}

// The error of a call for which no slot became free says so.
func TestNoSlotIsAConcurrencyError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken("token")})
		require.NoError(t, err)
		r := request{endpoint: groupsEndpoint}
		first, err := c.admit(t.Context(), r)
		require.NoError(t, err)
		first.observe(http.StatusTooManyRequests, crowded, time.Now())
		_, err = c.admit(t.Context(), r)
		requireKind(t, err, RetryLater)
		limited, ok := errors.AsType[*RateLimitError](err)
		require.True(t, ok)
		require.True(t, limited.Concurrency)
		first.done()
	})
}

// The error of a call that its own client's calls leave no room for says so, and is no end
// of the window.
func TestOwnCallsLeaveNoRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{BaseURL: "https://contoso.okta.com", Credentials: APIToken("token")})
		require.NoError(t, err)
		r := request{endpoint: groupsEndpoint}
		sent := func() *ticket {
			first, err := c.admit(t.Context(), r)
			require.NoError(t, err)
			return first
		}
		knows := sent()
		knows.observe(http.StatusOK, Rate{Limit: 600, Remaining: 5, Reset: time.Now().Add(50 * time.Second), Known: true}, time.Now())
		knows.done()
		first := sent()
		_, err = c.admit(t.Context(), r)
		requireKind(t, err, RetryLater)
		limited, ok := errors.AsType[*RateLimitError](err)
		require.True(t, ok)
		require.True(t, limited.Crowded)
		require.False(t, limited.Concurrency)
		require.Equal(t, time.Second, limited.Wait)
		first.observe(http.StatusOK, Rate{Limit: 600, Remaining: 0, Reset: time.Now().Add(45 * time.Second), Known: true}, time.Now())
		_, err = c.admit(t.Context(), r)
		limited, ok = errors.AsType[*RateLimitError](err)
		require.True(t, ok)
		require.False(t, limited.Crowded, "used up")
		first.done()
	})
}

// The headers of an answer decide about those who wait, not the end of its body.
func TestACallIsHeldUntilTheHeaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits()
		key := bucketKey{1, "b"}
		first, _, _ := l.admit(t.Context(), key, 0)
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, func() {
			first.observe(http.StatusOK, Rate{Limit: 3, Remaining: 1, Reset: began.Add(30 * time.Second), Known: true}, time.Now())
		})
		second, _, _ := l.admit(t.Context(), key, 0)
		require.NotNil(t, second)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		first.done()
		second.done()
	})
}

// Where answers do not come, a call is not held for long.
func TestACallIsNotHeldForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits()
		key := bucketKey{1, "b"}
		first, _, _ := l.admit(t.Context(), key, 0)
		began := time.Now()
		second, _, _ := l.admit(t.Context(), key, 0)
		require.NotNil(t, second, "nothing is known: it is sent")
		require.Equal(t, maxAskHold, time.Since(began))
		second.observe(http.StatusOK, Rate{Limit: 3, Remaining: 1, Reset: began.Add(30 * time.Second), Known: true}, time.Now())
		_, d, _ := l.admit(t.Context(), key, 0)
		require.NotNil(t, d, "it may be used up: it is not sent")
		require.Equal(t, maxAskHold+maxHold, time.Since(began))
		require.Equal(t, 28500*time.Millisecond, d.wait)
		first.done()
		second.done()
	})
}

// A call that was sent to ask holds the others up for as long as a call may wait for a slot,
// and no longer than until a later call is answered.
func TestACallThatAsksInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits()
		key := bucketKey{1, "b"}
		tells := func(c *ticket, remaining int) {
			c.observe(http.StatusOK, Rate{Limit: 600, Remaining: remaining, Reset: time.Now().Add(50 * time.Second), Known: true}, time.Now())
			c.done()
		}
		waits := func(d time.Duration) (*ticket, *denial) {
			began := time.Now()
			c, denied, err := l.admit(t.Context(), key, 10)
			require.NoError(t, err)
			require.Equal(t, d, time.Since(began))
			return c, denied
		}
		first, _ := waits(0)
		tells(first, 500)
		time.Sleep(2 * freshFor)
		asks, _ := waits(0) // and is never answered
		second, denied := waits(maxSlotHold)
		require.Nil(t, denied, "there is room")
		tells(second, 498)
		third, _ := waits(0)
		tells(third, 67) // 7 above the reserve: one call at a time
		_, denied = waits(maxSlotHold)
		require.NotNil(t, denied, "the call in flight does not end")
		require.Equal(t, time.Second, denied.wait, "not until the window ends: there is some left")
		require.Equal(t, "not sent: one worker may have no more calls on their way than the 1 there are, with what is left of this window, wait 1s", denied.reason())
		asks.done()
		fourth, _ := waits(0)
		tells(fourth, 60)
		_, denied = waits(0)
		require.Contains(t, denied.reason(), "are used up", "down to the reserve")
	})
}
