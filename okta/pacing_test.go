package okta

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// yard is a simulated org with clients that have always work, in the time of a synctest
// bubble: minutes pass in no time.
type yard struct {
	*oktasim.Server
	t *testing.T

	mu      sync.Mutex
	windows map[int64]int       // answered calls by X-Rate-Limit-Reset
	lines   []int64             // the windows in order
	refused int                 // answers with status 429
	lose    func(call int) bool // says which answers get lost
	strip   string              // a header that a proxy takes away
	calls   int
}

func newYard(t *testing.T, c oktasim.Config) *yard {
	t.Helper()
	time.Sleep(345 * time.Millisecond) // a bubble's time begins with a whole second
	org, err := oktasim.Generate(oktasim.Spec{Users: 1, Groups: 2, Seed: 1, Now: time.Now()})
	require.NoError(t, err)
	c.Org, c.Now, c.Latency = org, time.Now, cmp.Or(c.Latency, 20*time.Millisecond)
	return &yard{Server: oktasim.New(c), t: t, windows: map[int64]int{}}
}

// RoundTrip asks the org and counts.
func (y *yard) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := y.Transport().RoundTrip(r)
	if err != nil {
		return nil, err
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.calls++
	reset, err := strconv.ParseInt(resp.Header.Get("X-Rate-Limit-Reset"), 10, 64)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		y.refused++
	} else {
		if y.windows[reset] == 0 {
			y.lines = append(y.lines, reset)
		}
		y.windows[reset]++
	}
	if y.lose != nil && y.lose(y.calls) {
		_ = resp.Body.Close()
		return nil, errors.New("lost")
	}
	resp.Header.Del(y.strip)
	return resp, nil
}

// nextWindow is when the window that is counted now is certainly over.
func (y *yard) nextWindow() time.Time {
	y.mu.Lock()
	defer y.mu.Unlock()
	return time.Unix(y.lines[len(y.lines)-1]+1, 0)
}

func (y *yard) client(limits *Limits, percent int) *Client {
	y.t.Helper()
	return y.clientOver(&http.Client{Transport: y}, limits, percent)
}

func (y *yard) clientOver(way *http.Client, limits *Limits, percent int) *Client {
	y.t.Helper()
	c, err := New(Options{
		BaseURL: "https://contoso.okta.com", Credentials: APIToken(oktasim.DefaultToken), HTTPClient: way,
		Limits: limits, RateLimitReserve: percent,
	})
	require.NoError(y.t, err)
	return c
}

// work has callers ask for d, each after the wait that it was told.
func (y *yard) work(c *Client, callers int, d time.Duration) (wait func()) {
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) {
				_, _, err := c.ListGroups(y.t.Context(), ListGroups{}, "")
				if rl, ok := errors.AsType[*RateLimitError](err); ok {
					time.Sleep(rl.Wait)
				} else if e, ok := errors.AsType[*Error](err); ok && e.Status == 0 {
					time.Sleep(time.Second)
				} else if err != nil {
					y.t.Error(err)
					return
				}
			}
		})
	}
	return wg.Wait
}

// requireWindows checks the calls of every window but the last, which the end cut off,
// and that a window follows the one before within gap.
func (y *yard) requireWindows(atLeast, low, high int, gap time.Duration) {
	y.t.Helper()
	require.Zero(y.t, y.refused, "429s")
	require.GreaterOrEqual(y.t, len(y.lines), atLeast)
	for i, reset := range y.lines[:len(y.lines)-1] {
		require.GreaterOrEqual(y.t, y.windows[reset], low, "window %d", i)
		require.LessOrEqual(y.t, y.windows[reset], high, "window %d", i)
		next := time.Duration(y.lines[i+1]-reset) * time.Second
		require.LessOrEqual(y.t, next, time.Minute+gap, "window %d", i+1)
	}
}

// TestPacing: no 429, all of the budget but the reserve is used, and nobody is late for
// the next window.
func TestPacing(t *testing.T) {
	t.Parallel()
	ahead := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	for name, tt := range map[string]struct {
		rate, percent, callers int
		now                    func() time.Time
		strip                  string
		lost                   int // every how manieth answer
		low, high              int
		gap                    time.Duration
	}{
		"600 a minute":       {rate: 600, percent: 10, callers: 10, low: 540, high: 540},
		"one caller":         {rate: 600, percent: 10, callers: 1, low: 540, high: 540},
		"75 callers":         {rate: 600, percent: 10, callers: 75, low: 540, high: 540},
		"no reserve":         {rate: 600, percent: 0, callers: 10, low: 600, high: 600},
		"half in reserve":    {rate: 600, percent: 50, callers: 10, low: 300, high: 300},
		"1 a minute":         {rate: 1, percent: 10, callers: 10, low: 1, high: 1},
		"5 a minute":         {rate: 5, percent: 10, callers: 10, low: 4, high: 4},
		"10 a minute":        {rate: 10, percent: 10, callers: 10, low: 9, high: 9},
		"50 a minute":        {rate: 50, percent: 10, callers: 10, low: 45, high: 45},
		"an hour fast":       {rate: 600, percent: 10, callers: 10, now: ahead(time.Hour), low: 540, high: 540},
		"an hour slow":       {rate: 600, percent: 10, callers: 10, now: ahead(-time.Hour), low: 540, high: 540},
		"no Date":            {rate: 600, percent: 10, callers: 10, strip: "Date", low: 540, high: 540},
		"no Date, hour fast": {rate: 600, percent: 10, callers: 10, strip: "Date", now: ahead(time.Hour), low: 540, high: 540},
		"lost answers":       {rate: 600, percent: 10, callers: 10, lost: 20, low: 538, high: 541},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, oktasim.Config{Rate: tt.rate})
				y.strip = tt.strip
				if tt.lost > 0 {
					y.lose = func(call int) bool { return call%tt.lost == 0 }
				}
				y.work(y.client(&Limits{now: tt.now}, tt.percent), tt.callers, 5*time.Minute)()
				y.requireWindows(5, tt.low, tt.high, 2*time.Second)
			})
		})
	}
}

// TestPacingBesideOthers: what other clients use is believed, and their haste is
// covered by the reserve.
func TestPacingBesideOthers(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{1, 10, 50} {
		t.Run(fmt.Sprint(burst), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, oktasim.Config{Rate: 600})
				stop := y.work(y.client(nil, 10), 10, 10*time.Minute)
				defer stop()
				for range 10 { // 100 calls in the second in which the connector uses its share
					time.Sleep(200 * time.Millisecond)
					for range 100 / burst {
						time.Sleep(800 * time.Millisecond * time.Duration(burst) / 100)
						spent, err := y.Spend("/api/v1/groups", burst)
						require.NoError(t, err)
						require.Equal(t, burst, spent, "the others are never short of calls")
					}
					time.Sleep(time.Until(y.nextWindow()))
				}
				stop()
				y.requireWindows(9, 440-burst, 540, 3*time.Second)
			})
		})
	}
}

// TestTwoWorkers: two states of one org see one another through Remaining alone.
func TestTwoWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, oktasim.Config{Rate: 600})
		one := y.work(y.client(nil, 10), 10, 10*time.Minute)
		other := y.work(y.client(nil, 10), 10, 10*time.Minute)
		one()
		other()
		y.requireWindows(10, 540, 560, 2*time.Second)
	})
}

// TestTwoConnectors: on one worker the smaller reserve uses what the larger one leaves.
func TestTwoConnectors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, oktasim.Config{Rate: 600})
		limits := NewLimits()
		one := y.work(y.client(limits, 10), 5, 10*time.Minute)
		other := y.work(y.client(limits, 50), 5, 10*time.Minute)
		one()
		other()
		y.requireWindows(10, 540, 540, 2*time.Second)
	})
}

// TestConcurrencyLimit: the cap finds what the org takes, with few 429s, and goes when
// the org takes more.
func TestConcurrencyLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, oktasim.Config{Concurrency: 4, Latency: 500 * time.Millisecond})
		limits := NewLimits()
		client := y.client(limits, 10)
		_, _, err := client.ListGroups(t.Context(), ListGroups{}, "")
		require.NoError(t, err)
		stop := y.work(client, 10, 13*time.Minute)
		defer stop()
		time.Sleep(time.Second)
		_, most := limits.InFlight()
		require.LessOrEqual(t, y.Stats().Status429, 7, "6 of the first 10, and one that finds 5 to be too many")
		require.LessOrEqual(t, most, 5)
		time.Sleep(20 * time.Second)
		require.LessOrEqual(t, y.Stats().Status429, 7)
		y.ResetStats()
		time.Sleep(10 * time.Minute)
		// 2 grows to 5 in 30 s, which is one too many; now and then another call is sent
		// before that is known.
		require.LessOrEqual(t, y.Stats().Status429, 2*21)
		require.GreaterOrEqual(t, y.Stats().Total, 10*60*2*3, "three calls of 500 ms at a time, most of the time")

		y.SetLimits(0, 75)
		time.Sleep(100 * time.Second)
		_, most = limits.InFlight()
		require.Zero(t, most, "no cap any more")
		y.ResetStats()
		stop()
		require.Equal(t, 10, y.Stats().MaxInFlight)
		require.Zero(t, y.Stats().Status429)
	})
}
