package okta

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestLimitsAgainstAModel sends, delays, reorders and loses calls to a model of Okta's
// windows, which other clients use, too:
//   - no call is answered 429 unless others have used more than the reserve since what
//     was known when it was sent; in a window of which nothing was known, calls whose
//     answers were lost count as others';
//   - of a window in which nobody else calls the reserve is never used;
//   - when every answer is in, a call is let through if and only if more than the reserve
//     is left;
//   - after the wait that a refused call is told, it is let through.
func TestLimitsAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"send": m.send, "send again": m.send, "arrive": m.arrive, "arrive again": m.arrive, "answer": m.answer, "answer again": m.answer,
			"lose": m.lose, "others": m.others, "pass": m.pass, "": m.settled,
		})
		for len(m.calls) > 0 {
			m.calls[0].ticket.done()
			m.calls = m.calls[1:]
		}
		if _, d, _ := m.l.try(modelKey, m.percent, 0); d != nil {
			require.LessOrEqual(t, d.wait, maxWait)
			m.now = m.now.Add(d.wait)
			require.NotNil(t, m.ask(), "the window is over")
		}
	})
}

var modelKey = bucketKey{1, "b"}

// model is an org with one bucket, and the limiter that is tested.
type model struct {
	l       *Limits
	now     time.Time // the org's
	limit   int
	percent int
	current *modelWindow // nil: none yet
	told    *modelWindow // the newest of which an answer has told
	calls   []*modelCall // on their way
}

type modelWindow struct {
	number, used int
	end          time.Time
	others       int // of used, calls of others
	lost         int // of used, calls whose answers were lost
	told         int // of others, those that an answer has told of
}

type modelCall struct {
	ticket *ticket
	// When it was sent: the newest window that an answer had told of, and what of others.
	saw       *modelWindow
	sawOthers int

	by     *modelWindow // that has counted it; nil: on its way to Okta
	others int          // of that window, then
	status int
	rate   Rate
	date   time.Time
}

func newModel(t *rapid.T) *model {
	skew := time.Duration(rapid.IntRange(-3600, 3600).Draw(t, "skew")) * time.Second
	m := &model{
		now:     noon.Add(time.Duration(rapid.IntRange(0, 999).Draw(t, "ms")) * time.Millisecond),
		limit:   rapid.SampledFrom([]int{1, 2, 5, 10, 20}).Draw(t, "limit"),
		percent: rapid.SampledFrom([]int{0, 10, 50, 90}).Draw(t, "percent"),
	}
	m.l = &Limits{now: func() time.Time { return m.now.Add(-skew) }}
	return m
}

func (m *model) reserve() int { return reserve(m.limit, m.percent) }

func (m *model) ask() *ticket {
	t, _, _ := m.l.try(modelKey, m.percent, 0)
	return t
}

func (m *model) send(t *rapid.T) {
	ticket := m.ask()
	if ticket == nil {
		t.Skip("not let through")
	}
	call := &modelCall{ticket: ticket, saw: m.told}
	if m.told != nil {
		call.sawOthers = m.told.told
	}
	m.calls = append(m.calls, call)
}

// pick returns a call on its way to Okta, or back.
func (m *model) pick(t *rapid.T, back bool) *modelCall {
	var some []*modelCall
	for _, c := range m.calls {
		if (c.by != nil) == back {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		t.Skip("no such call")
	}
	return rapid.SampledFrom(some).Draw(t, "call")
}

func (m *model) end(c *modelCall) {
	c.ticket.done()
	m.calls = slices.DeleteFunc(m.calls, func(other *modelCall) bool { return other == c })
}

// window returns the one that runs, which the first call opens.
func (m *model) window() *modelWindow {
	if m.current == nil || !m.now.Before(m.current.end) {
		number := 0
		if m.current != nil {
			number = m.current.number + 1
		}
		m.current = &modelWindow{number: number, end: m.now.Add(time.Minute)}
	}
	return m.current
}

func (m *model) arrive(t *rapid.T) {
	c, w := m.pick(t, false), m.window()
	c.by, c.status, c.others, c.date = w, http.StatusOK, w.others, m.now.Truncate(time.Second)
	if w.used < m.limit {
		w.used++
	} else {
		c.status = http.StatusTooManyRequests
		unseen := w.others + w.lost
		if c.saw == w {
			unseen = w.others - c.sawOthers
		}
		require.Greater(t, unseen, m.reserve(), "a 429")
	}
	if w.others == 0 && w.lost == 0 {
		require.LessOrEqual(t, w.used, m.limit-m.reserve(), "the reserve is used")
	}
	c.rate = Rate{Bucket: "b", Limit: m.limit, Remaining: m.limit - w.used, Reset: w.end.Truncate(time.Second), Known: true}
}

func (m *model) answer(t *rapid.T) {
	c := m.pick(t, true)
	c.ticket.observe(c.status, c.rate, c.date)
	m.end(c)
	if m.told == nil || c.by.number > m.told.number {
		m.told = c.by
	}
	c.by.told = max(c.by.told, c.others)
}

// lose ends a call that Okta never sees, or whose answer never comes.
func (m *model) lose(t *rapid.T) {
	c := m.pick(t, rapid.Bool().Draw(t, "counted"))
	if c.by != nil {
		c.by.lost++
	}
	m.end(c)
}

func (m *model) others(t *rapid.T) {
	w := m.window()
	n := rapid.IntRange(0, m.limit-w.used).Draw(t, "calls")
	w.used += n
	w.others += n
}

func (m *model) pass(t *rapid.T) {
	for _, limit := range []int{10, 1000, 60_000} { // mostly little
		if rapid.Bool().Draw(t, "little") {
			m.now = m.now.Add(time.Duration(rapid.IntRange(1, limit).Draw(t, "ms")) * time.Millisecond)
			return
		}
	}
	if m.current != nil { // about when the window ends
		m.now = later(m.now, m.current.end.Add(time.Duration(rapid.IntRange(-1500, 1500).Draw(t, "ms"))*time.Millisecond))
	}
}

// settled is checked after each step: nothing on its way, nothing unseen.
func (m *model) settled(t *rapid.T) {
	b := m.l.bucket(modelKey)
	w := m.current
	if len(m.calls) > 0 || w == nil || w != m.told || w.others > w.told || w.lost > 0 || b.lost > b.told || !m.now.Before(w.end) {
		return
	}
	v, _ := b.ask(m.l.time(), m.percent, 0)
	if m.limit-w.used > m.reserve() {
		require.Equal(t, send, v, "%d of %d left", m.limit-w.used, m.limit)
	} else {
		require.Equal(t, refuse, v, "%d of %d left", m.limit-w.used, m.limit)
	}
}
