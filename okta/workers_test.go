package okta

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// network takes its time on the way to the org, and on the way back.
type network struct {
	next      http.RoundTripper
	low, high time.Duration

	mu   sync.Mutex
	rand *rand.Rand
}

func (n *network) takes() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.low + time.Duration(n.rand.Int64N(int64(n.high-n.low)+1))
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(n.takes())
	resp, err := n.next.RoundTrip(r)
	time.Sleep(n.takes())
	return resp, err
}

// share lets worker processes use one bucket for some minutes, each with the calls of
// its connectors; it knows of the others through what Okta answers alone. between is the
// pause after each minute's first second of work of the last worker; 0: it works on.
func (y *yard) share(load [][]int, low, high, between time.Duration) {
	const minutes = 200 * time.Second
	var wg sync.WaitGroup
	for i, connectors := range load {
		limits := NewLimits() // of one process
		way := &http.Client{Transport: &network{next: y, low: low, high: high, rand: rand.New(rand.NewPCG(uint64(i), 1))}}
		for _, callers := range connectors {
			client := y.clientOver(way, limits, 10)
			wg.Go(func() {
				if between == 0 || i < len(load)-1 {
					y.work(client, callers, minutes)()
					return
				}
				for end := time.Now().Add(minutes); time.Now().Before(end); time.Sleep(between) {
					y.work(client, callers, time.Second)()
				}
			})
		}
	}
	wg.Wait()
}

// TestSeveralWorkers: whatever the bucket and the way to the org, none of the workers of
// two connectors with ten calls in flight each gets a 429, and together they use their
// budget.
func TestSeveralWorkers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		load    [][]int // callers of each connector, by worker
		between time.Duration
	}{
		"even":                  {load: [][]int{{4, 3}, {3, 4}, {3, 3}}},
		"uneven":                {load: [][]int{{9, 8}, {1, 1}, {0, 1}}},
		"a connector each":      {load: [][]int{{10, 0}, {0, 10}}},
		"one comes and goes":    {load: [][]int{{5, 0}, {0, 5}, {5, 5}}, between: 11 * time.Second},
		"one comes at the end":  {load: [][]int{{2, 0}, {0, 2}, {8, 8}}, between: 53 * time.Second},
		"a call in flight each": {load: [][]int{{1, 0}, {0, 1}, {1, 0}}},
		"six":                   {load: [][]int{{2, 2}, {2, 2}, {2, 1}, {2, 1}, {1, 2}, {1, 2}}},
	} {
		for _, rate := range []int{600, 300, 100, 60} {
			for way, d := range map[string][2]time.Duration{
				"near": {5 * time.Millisecond, 5 * time.Millisecond}, "fair": {100 * time.Millisecond, 100 * time.Millisecond},
				"uncertain": {5 * time.Millisecond, 300 * time.Millisecond}, "far": {200 * time.Millisecond, 1500 * time.Millisecond},
			} {
				t.Run(fmt.Sprintf("%s, %d, %s", name, rate, way), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						y := newYard(t, oktasim.Config{Rate: rate, Latency: 10 * time.Millisecond})
						y.share(tt.load, d[0], d[1], tt.between)
						use := (rate - reserve(rate, 10)) * 95 / 100
						if way == "far" { // few calls at one time cannot use it up
							use = min(use, 100)
						}
						y.requireWindows(3, use, rate, 5*time.Second)
					})
				})
			}
		}
	}
}
