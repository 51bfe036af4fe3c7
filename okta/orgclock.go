package okta

import "time"

// orgClock tells the time on the org's clock by the local one, which may be wrong by
// hours (facts.md §5). Every answer says between which two times the org's clock stood:
// its Date is cut to a whole second, and it was written between the sending of the call
// and the arrival of the answer. The clock keeps what all of these have in common and
// tells the earliest possible time, so that nobody is back before a window is over; with
// some calls a second, that is late by little more than a call takes. The zero value
// knows nothing.
type orgClock struct {
	base time.Time // a local time, with Go's monotonic reading
	// The org's time at base is from lo on and before hi.
	lo, hi time.Time
	dated  bool // some answer had a Date
}

// assumedWindow is how long a window is taken to be where no answer has a Date.
const assumedWindow = time.Minute

// learn takes in an answer to a call that was sent and answered at the given local
// times. Either of date and reset may be zero.
func (c *orgClock) learn(date, reset, sent, answered time.Time) {
	switch {
	case !date.IsZero():
		if !c.dated {
			c.base, c.dated = answered, true
			c.set(date, date.Add(time.Second), sent, answered)
			return
		}
		c.narrow(date, date.Add(time.Second), sent, answered)
	case c.dated || reset.IsZero():
	default: // the answer is of the window that ends at reset
		from, to := reset.Add(-assumedWindow), reset.Add(windowMargin)
		if c.base.IsZero() {
			c.base = answered
			c.set(from, to, sent, answered)
			return
		}
		c.narrow(from, to, sent, answered)
	}
}

func (c *orgClock) set(from, to, sent, answered time.Time) {
	c.lo, c.hi = from.Add(c.base.Sub(answered)), to.Add(c.base.Sub(sent))
}

// narrow keeps what an answer and the earlier ones agree on. Where they contradict each
// other a clock was set or has drifted, and the newest is right.
func (c *orgClock) narrow(from, to, sent, answered time.Time) {
	old := *c
	c.set(from, to, sent, answered)
	lo, hi := later(old.lo, c.lo), c.hi
	if old.hi.Before(hi) {
		hi = old.hi
	}
	if lo.Before(hi) {
		c.lo, c.hi = lo, hi
	}
}

// at returns the org's time at a local time: the local time itself before the first answer.
func (c *orgClock) at(local time.Time) time.Time {
	if c.base.IsZero() {
		return local
	}
	return c.lo.Add(local.Sub(c.base))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
