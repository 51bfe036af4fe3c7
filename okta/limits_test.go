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

func TestReadRate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		limit, remaining, reset []string
		want                    Rate
	}{
		"plain":        {[]string{"600"}, []string{"574"}, []string{"1598552424"}, Rate{Limit: 600, Remaining: 574, Reset: time.Unix(1598552424, 0).UTC(), Known: true}},
		"sent twice":   {[]string{"300", "600"}, []string{"7", "9"}, []string{"100", "200"}, Rate{Limit: 300, Remaining: 7, Reset: time.Unix(100, 0).UTC(), Known: true}},
		"joined":       {[]string{"300, 300"}, []string{"7,7"}, []string{"100 , 100"}, Rate{Limit: 300, Remaining: 7, Reset: time.Unix(100, 0).UTC(), Known: true}},
		"concurrency":  {[]string{"0"}, []string{"0"}, []string{"100"}, Rate{Reset: time.Unix(100, 0).UTC(), Known: true}},
		"none":         {nil, nil, nil, Rate{}},
		"no reset":     {[]string{"600"}, []string{"1"}, nil, Rate{Limit: 600, Remaining: 1}},
		"nonsense":     {[]string{"many"}, []string{"-1"}, []string{"100"}, Rate{Reset: time.Unix(100, 0).UTC()}},
		"out of range": {[]string{"99999999999999"}, []string{"1"}, []string{"100"}, Rate{Remaining: 1, Reset: time.Unix(100, 0).UTC()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{"X-Rate-Limit-Limit": tt.limit, "X-Rate-Limit-Remaining": tt.remaining, "X-Rate-Limit-Reset": tt.reset}
			tt.want.Bucket = "b"
			require.Equal(t, tt.want, readRate(h, "b"))
		})
	}
}

// Answers overtake each other; the state stays that of the newest window.
func TestObserve(t *testing.T) {
	t.Parallel()
	at := func(limit, remaining int, reset time.Duration) Rate {
		return Rate{Bucket: "b", Limit: limit, Remaining: remaining, Reset: noon.Add(reset), Known: true}
	}
	for name, tt := range map[string]struct {
		rates []Rate
		want  Rate
	}{
		"newer window":                    {[]Rate{at(600, 3, 10*time.Second), at(600, 599, 70*time.Second)}, at(600, 599, 70*time.Second)},
		"overtaken in one window":         {[]Rate{at(600, 3, 10*time.Second), at(600, 4, 10*time.Second)}, at(600, 3, 10*time.Second)},
		"late answer of the last window":  {[]Rate{at(600, 599, 70*time.Second), at(600, 5, 10*time.Second)}, at(600, 599, 70*time.Second)},
		"exhausted counts, reset earlier": {[]Rate{at(600, 5, 11*time.Second), at(600, 0, 10*time.Second)}, at(600, 0, 10*time.Second)},
		"unbelievable reset is replaced":  {[]Rate{at(600, 5, 1000*time.Hour), at(600, 4, 10*time.Second)}, at(600, 4, 10*time.Second)},
		"concurrency 429 says nothing":    {[]Rate{at(600, 5, 10*time.Second), at(0, 0, 10*time.Second)}, at(600, 5, 10*time.Second)},
		"raised limit":                    {[]Rate{at(600, 5, 10*time.Second), at(1200, 1199, 70*time.Second)}, at(1200, 1199, 70*time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l Limits
			for _, r := range tt.rates {
				l.observe(r, noon)
			}
			require.Equal(t, []Rate{tt.want}, l.Snapshot())
		})
	}
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
	local.Add(10 * time.Second)
	_, _, err = other.ListGroups(t.Context(), ListGroups{}, "")
	require.NoError(t, err, "the window is over")
	require.EqualValues(t, 4, calls.Load())
}

// A reset far in the future blocks for five minutes, not for hours.
func TestUnbelievableReset(t *testing.T) {
	t.Parallel()
	local := &clock{now: noon}
	l := &Limits{now: local.Now}
	l.observe(Rate{Bucket: "b", Limit: 5, Reset: noon.Add(24 * time.Hour), Known: true}, time.Time{})
	wait, _, ok := l.admit("b")
	require.False(t, ok)
	require.Equal(t, 5*time.Minute, wait)
	local.Add(5 * time.Minute)
	_, _, ok = l.admit("b")
	require.True(t, ok)
	_, _, ok = l.admit("unknown")
	require.True(t, ok)
}

func TestJitter(t *testing.T) {
	t.Parallel()
	for range 1000 {
		got := jitter(10 * time.Second)
		require.GreaterOrEqual(t, got, 5*time.Second)
		require.LessOrEqual(t, got, 10*time.Second)
	}
}
