package oktasim

import (
	"sync"
	"time"
)

// Clock is a clock that can be moved, for [Config].Clock. The zero value runs
// with the system's clock; [StandingClock] makes one that stands until it is
// moved. It is safe for concurrent use.
//
// Everything of a simulated org follows it: stamps, the Date header, rate
// windows and [Lag]. Only [Config].Latency is waited in real time.
type Clock struct {
	mu       sync.Mutex
	offset   time.Duration // of a running clock, to the system's
	standing bool
	at       time.Time // where a standing clock stands
}

// StandingClock returns a clock that stands at t.
func StandingClock(t time.Time) *Clock { return &Clock{standing: true, at: t} }

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	if c.standing {
		return c.at
	}
	return time.Now().Add(c.offset)
}

// Advance moves the clock by d, back when d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
	c.at = c.at.Add(d)
}

// Set moves the clock to t. A running one goes on from there.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset = time.Until(t)
	c.at = t
}

// Freeze makes the clock stand where it is; Advance and Set still move it.
func (c *Clock) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.standing = c.now(), true
}
