package activities

import (
	"maps"
	"net/url"
	"slices"
	"sync"

	"github.com/identitymesh/okta-connector/okta"
)

// Budgets keeps one rate-limit state per org, shared by all activities of a worker. The
// zero value is ready to use.
type Budgets struct {
	mu   sync.Mutex
	orgs map[string]*okta.Limits
}

// Budget is what is left of an org's budget.
type Budget struct {
	Org   string // its host
	Rates []okta.Rate
	// InFlight is how many calls wait for an answer, and Cap how many may; 0: no cap.
	InFlight, Cap int
}

// All returns the budgets of the orgs that were called, by org.
func (b *Budgets) All() []Budget {
	b.mu.Lock()
	orgs := maps.Clone(b.orgs)
	b.mu.Unlock()
	all := make([]Budget, 0, len(orgs))
	for _, base := range slices.Sorted(maps.Keys(orgs)) {
		u, err := url.Parse(base)
		if err != nil {
			continue // no client could be made of it
		}
		left := Budget{Org: u.Host, Rates: orgs[base].Left()}
		left.InFlight, left.Cap = orgs[base].InFlight()
		all = append(all, left)
	}
	return all
}

func (b *Budgets) of(baseURL string) *okta.Limits {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.orgs == nil {
		b.orgs = make(map[string]*okta.Limits)
	}
	o := b.orgs[baseURL]
	if o == nil {
		o = okta.NewLimits()
		b.orgs[baseURL] = o
	}
	return o
}
