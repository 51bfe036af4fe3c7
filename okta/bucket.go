package okta

import "time"

// windowMargin is how long after its Reset a window is over for certain: whether Okta
// rounds Reset up or down is not known.
const windowMargin = time.Second

// sameWindow is how far apart two answers of one window may put its end. Windows are a
// minute long, so it tells two of them apart with ease.
const sameWindow = 5 * time.Second

// freshFor is how long what an answer said is believed by a worker that has nothing on its
// way: meanwhile others may have used the bucket.
const freshFor = 100 * time.Millisecond

// shares is the number of parts that what is left of a window is divided into: a worker
// has no more than one part on its way, and one call at least. What several workers have
// on their way, and have sent since the answer that one of them goes by, is then less than
// what is left, as long as there are not many of them and they wait about equally long for
// their answers; the reserve covers the rest (docs/adr/0014).
const shares = 8

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
	pending int       // sent and not yet answered
	asked   bool      // some call was answered
	asker   uint64    // the pending call that was sent to learn what others have left; 0: none
	heard   time.Time // when the newest answer arrived, on the org's clock
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
	crowd          // not before a call on its way has ended
)

// ask says what may be done, at now on the org's clock, with a call that was held for
// waited, when percent of the window are left to others; a call that is to be held is so
// for atMost in all.
//
// What other workers have on their way to the bucket is not known. Two rules leave room
// for it: who has not heard of the bucket for a while lets one call ask, and nobody has
// more calls on their way than a share of what is left.
func (b *bucket) ask(now time.Time, percent int, waited time.Duration) (v verdict, atMost time.Duration) {
	if !b.rate.Known {
		// One call asks what the bucket holds. Where answers do not say, calls flow.
		if b.asked || b.pending == 0 || waited >= maxAskHold {
			return send, 0
		}
		return hold, maxAskHold
	}
	remaining, over := b.rate.Remaining, b.over(now)
	if over {
		if b.pending == 0 {
			return send, 0 // whatever was lost: somebody must ask
		}
		remaining = b.rate.Limit
	}
	left := remaining - reserve(b.rate.Limit, percent)
	switch {
	case left <= b.pending+b.lost-b.told && (left <= 0 || b.pending == 0 || waited >= maxHold):
		return refuse, 0
	case left <= b.pending+b.lost-b.told:
		return hold, maxHold
	case b.pending == 0 || over && b.asker == 0:
		return send, 0
	case b.asker > 0 && waited < maxSlotHold:
		return hold, maxSlotHold
	case b.pending < left/shares:
		return send, 0
	case waited >= maxSlotHold:
		return crowd, 0
	default:
		return hold, maxSlotHold
	}
}

// sent notes that the call seq was sent at now, on the org's clock.
func (b *bucket) sent(seq uint64, now time.Time) {
	idle := b.pending == 0 && now.Sub(b.heard) > freshFor
	if b.rate.Known && b.asker == 0 && (idle || b.over(now)) {
		b.asker = seq
	}
	b.pending++
}

// ended notes that the call seq has ended. An answer, or that there will be none, is what
// those who wait for the asking call wait for; that of a call before it tells nothing.
func (b *bucket) ended(seq uint64) {
	b.pending--
	if seq >= b.asker {
		b.asker = 0
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
