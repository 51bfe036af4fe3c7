package okta

import "time"

// recoverEvery is how long no concurrency 429 has come before one more call may be in
// flight.
const recoverEvery = 10 * time.Second

// slots counts the calls in flight, of all buckets, and caps them when the org said that
// they are too many (a 429 with limit 0, facts.md §5). The zero value has no cap.
type slots struct {
	inFlight int
	most     int       // the cap; 0: none
	peak     int       // in flight when the trouble began: there the cap ends
	since    time.Time // local, of the last change of the cap
	newest   uint64    // the newest call when the cap was last lowered
}

// limit returns the cap at a local time, 0 for none.
func (s *slots) limit(now time.Time) int {
	if s.most == 0 {
		return 0
	}
	steps := int(max(now.Sub(s.since), 0) / recoverEvery)
	s.most += steps
	s.since = s.since.Add(time.Duration(steps) * recoverEvery)
	if steps > 0 && s.most >= s.peak {
		s.most, s.peak = 0, 0
	}
	return s.most
}

// full says whether another call has to wait for one to end.
func (s *slots) full(now time.Time) bool {
	most := s.limit(now)
	return most > 0 && s.inFlight >= most
}

// crowded halves what may be in flight after a concurrency 429 to the call seq. Calls
// that were sent before the last such cut say nothing new.
func (s *slots) crowded(seq, newest uint64, now time.Time) {
	if seq <= s.newest {
		return
	}
	s.limit(now)
	s.peak = max(s.peak, s.inFlight)
	s.most = max(s.inFlight/2, 1)
	s.since, s.newest = now, newest
}
