package oktasim

import (
	"maps"
	"sync"
)

// Stats counts what a [Server] was asked since it started or [Server.ResetStats].
// Requests to /_sim/ are not counted.
type Stats struct {
	Total       int            `json:"total"`       // every API request, refused ones included
	ByEndpoint  map[string]int `json:"byEndpoint"`  // by method and route, such as "GET /api/v1/groups/{id}/users"
	Status429   int            `json:"status429"`   // answers with status 429
	MaxInFlight int            `json:"maxInFlight"` // most requests under way at one moment
}

type counters struct {
	mu       sync.Mutex
	stats    Stats
	inFlight int
}

// begin counts a request and returns how many are now under way.
func (c *counters) begin(endpoint string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stats.ByEndpoint == nil {
		c.stats.ByEndpoint = map[string]int{}
	}
	c.stats.Total++
	c.stats.ByEndpoint[endpoint]++
	c.inFlight++
	c.stats.MaxInFlight = max(c.stats.MaxInFlight, c.inFlight)
	return c.inFlight
}

func (c *counters) end(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	if status == 429 {
		c.stats.Status429++
	}
}

func (c *counters) snapshot() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.ByEndpoint = maps.Clone(c.stats.ByEndpoint)
	if s.ByEndpoint == nil {
		s.ByEndpoint = map[string]int{}
	}
	return s
}

func (c *counters) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats = Stats{MaxInFlight: c.inFlight}
}
