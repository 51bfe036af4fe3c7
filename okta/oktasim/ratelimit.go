package oktasim

import (
	"sync"
	"time"
)

// rateWindow is how long a bucket's counter runs. It starts with the first
// request after the last window, not on the wall clock's minute (facts.md §5).
const rateWindow = 60

// openLimit is the limit that the headers show when nothing is limited.
const openLimit = 10000

// The buckets of the rate limits: the most specific path wins; the member
// endpoints share the bucket of /groups (facts.md §5).
const (
	bucketUsers  = "/api/v1/users"
	bucketUser   = "/api/v1/users/{id}"
	bucketGroups = "/api/v1/groups"
	bucketGroup  = "/api/v1/groups/{id}"
	bucketOther  = "/api/v1"
)

// rate is what the three X-Rate-Limit headers say.
type rate struct {
	limit, remaining int
	reset            int64 // Unix seconds
}

type rateLimiter struct {
	limit int // per window and bucket; 0 limits nothing

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	reset int64
	used  int
}

// take spends one request of a bucket. ok is false when none is left.
func (l *rateLimiter) take(name string, now time.Time) (r rate, ok bool) {
	return l.look(name, now, 1)
}

// peek tells a bucket's state without spending anything.
func (l *rateLimiter) peek(name string, now time.Time) rate {
	r, _ := l.look(name, now, 0)
	return r
}

func (l *rateLimiter) look(name string, now time.Time, cost int) (rate, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		l.buckets = map[string]*bucket{}
	}
	b := l.buckets[name]
	// A clock that was set back must not leave a window open for hours.
	if b == nil || now.Unix() >= b.reset || b.reset > now.Unix()+rateWindow {
		b = &bucket{reset: now.Unix() + rateWindow}
		if cost > 0 {
			l.buckets[name] = b
		}
	}
	if l.limit <= 0 {
		// Remaining never falls, so that no client slows down for it.
		return rate{openLimit, openLimit - 1, b.reset}, true
	}
	if b.used+cost > l.limit {
		return rate{l.limit, 0, b.reset}, false
	}
	b.used += cost
	return rate{l.limit, l.limit - b.used, b.reset}, true
}
