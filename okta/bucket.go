package okta

import "time"

// windowMargin is how long after its Reset a window is over for certain: whether Okta
// rounds Reset up or down is not known.
const windowMargin = time.Second

// sameWindow is how far apart two answers of one window may put its end. Windows are a
// minute long, so it tells two of them apart with ease.
const sameWindow = 5 * time.Second

// bucket is what is known of one rate-limit bucket. Okta counts a call when it arrives
// and says in the answer what remained, so the truth is Remaining of the newest answer
// less what is on its way: at worst all of the calls in flight.
//
// The zero value knows nothing.
type bucket struct {
	rate Rate      // of the newest window; its Remaining is the lowest seen
	end  time.Time // when that window is over for certain, on the org's clock
	// taken is the newest call when rate's window began to be known: a call sent later
	// knows better than it.
	taken   uint64
	pending int  // sent and not yet answered
	asked   bool // some call was answered
	// lost counts the calls that ended without telling Remaining, such as time-outs; told
	// of them were sent and given up before a call that was answered, whose Remaining
	// contains them.
	lost, told int
}

// verdict is what may be done with a call.
type verdict int

const (
	send   verdict = iota
	hold           // an answer on its way decides
	refuse         // not before the next window
)

// ask says what may be done with a call now, on the org's clock, when percent of the
// window are left to others.
func (b *bucket) ask(now time.Time, percent int) verdict {
	if !b.rate.Known {
		// One call asks what the bucket holds. Where answers do not say, calls flow.
		if b.asked || b.pending == 0 {
			return send
		}
		return hold
	}
	remaining := b.rate.Remaining
	if b.over(now) {
		if b.pending == 0 {
			return send // whatever was lost: somebody must ask
		}
		remaining = b.rate.Limit
	}
	left := remaining - reserve(b.rate.Limit, percent)
	switch {
	case left > b.pending+b.lost-b.told:
		return send
	case left > 0 && b.pending > 0:
		return hold
	default:
		return refuse
	}
}

// reserve is how many calls of a window are left to others; at least one is not.
func reserve(limit, percent int) int {
	return min((limit*percent+99)/100, limit-1)
}

// over says whether the window has ended. An end beyond [maxWait] is of a clock that
// was set back since.
func (b *bucket) over(now time.Time) bool {
	return !b.end.After(now) || b.end.After(now.Add(maxWait))
}

// wait is how long after now the window is over.
func (b *bucket) wait(now time.Time) time.Duration {
	if b.over(now) {
		return minWait
	}
	return b.end.Sub(now)
}

// learn takes in the rate of an answer that arrived now. Answers overtake each other,
// and windows change between a call and its answer; what an answer says is older than
// what is known unless its call was sent after that became known.
func (b *bucket) learn(t *ticket, r Rate, now time.Time) {
	b.told = max(b.told, t.lost)
	newer := t.seq > b.taken
	switch moved := r.Reset.Sub(b.rate.Reset); {
	case !b.rate.Known, moved > sameWindow:
		b.take(t, r, now)
	case moved < -sameWindow, r.Limit != b.rate.Limit:
		// A window or a limit of before. When a newer call says so, a clock was set, an
		// unbelievable Reset has gone, or the limit was changed.
		if newer {
			b.take(t, r, now)
		}
	case b.over(now) && !t.at.Before(b.end):
		// The window goes on after its end.
		b.take(t, r, now)
	default:
		b.rate.Remaining = min(b.rate.Remaining, r.Remaining)
		if moved > 0 {
			b.rate.Reset, b.end = r.Reset, later(b.end, endOf(t, r, now))
		}
	}
}

func (b *bucket) take(t *ticket, r Rate, now time.Time) {
	b.rate, b.end, b.taken = r, endOf(t, r, now), t.limits.seq
}

// endOf returns when the window of an answer is over. A Reset further away than any real
// one is not believed, lest one odd header stops the client for hours; one that had
// passed when the call was sent has a short wait, lest the client runs into 429s.
func endOf(t *ticket, r Rate, now time.Time) time.Time {
	end := r.Reset.Add(windowMargin)
	if latest := now.Add(maxWait); end.After(latest) {
		return latest
	}
	if !end.After(now) && !t.at.Before(end) {
		return now.Add(minWait)
	}
	return end
}
