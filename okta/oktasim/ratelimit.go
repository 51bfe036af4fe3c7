package oktasim

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// rateWindow is how long a bucket's counter runs. It starts with the first
// request after the last window, not on the wall clock's minute (facts.md §5).
// Whether Okta rounds X-Rate-Limit-Reset up or down is not known: here a window
// runs to its last millisecond and the header cuts the fraction off, so that a
// client that comes back at Reset exactly may still be too early.
const rateWindow = 60 * time.Second

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
	bucketOAuth  = "/oauth2/v1"
)

// rate is what the three X-Rate-Limit headers say.
type rate struct {
	limit, remaining int
	reset            int64 // Unix seconds
}

// bucketNames lists the buckets.
var bucketNames = []string{bucketUsers, bucketUser, bucketGroups, bucketGroup, bucketOther, bucketOAuth}

type rateLimiter struct {
	mu          sync.Mutex
	limit       int // per window and bucket; 0 limits nothing
	concurrency int // at one time; 0 limits nothing
	buckets     map[string]*bucket
}

type bucket struct {
	end  time.Time
	used int
}

// SetLimits changes [Config].Rate and [Config].Concurrency of a running server.
// What a window has used stays used.
func (s *Server) SetLimits(rate, concurrency int) {
	s.limiter.mu.Lock()
	defer s.limiter.mu.Unlock()
	s.limiter.limit, s.limiter.concurrency = max(rate, 0), max(concurrency, 0)
}

// Spend uses up calls of a bucket, such as "/api/v1/users", as other clients of the
// org do, and returns how many of them were left to use. It opens a window where
// none runs, and is not counted in [Stats].
func (s *Server) Spend(bucket string, calls int) (spent int, err error) {
	if !slices.Contains(bucketNames, bucket) {
		return 0, fmt.Errorf("oktasim: bucket %q is none of %s", bucket, strings.Join(bucketNames, ", "))
	}
	if calls < 0 {
		return 0, fmt.Errorf("oktasim: calls are spent, not given back: %d is negative", calls)
	}
	if rate, _ := s.limiter.limits(); rate == 0 {
		return 0, nil
	}
	for spent < calls {
		if _, ok := s.limiter.take(bucket, s.cfg.Now()); !ok {
			break
		}
		spent++
	}
	return spent, nil
}

func (l *rateLimiter) limits() (rate, concurrency int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit, l.concurrency
}

// crowded says whether so many requests are too many at one time.
func (l *rateLimiter) crowded(inFlight int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.concurrency > 0 && inFlight > l.concurrency
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
	if b == nil || !now.Before(b.end) || b.end.After(now.Add(rateWindow)) {
		b = &bucket{end: now.Add(rateWindow)}
		if cost > 0 {
			l.buckets[name] = b
		}
	}
	reset := b.end.Unix()
	if l.limit <= 0 {
		// Remaining never falls, so that no client slows down for it.
		return rate{openLimit, openLimit - 1, reset}, true
	}
	if b.used+cost > l.limit {
		return rate{l.limit, 0, reset}, false
	}
	b.used += cost
	return rate{l.limit, l.limit - b.used, reset}, true
}
