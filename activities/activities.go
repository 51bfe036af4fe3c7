// Package activities is the only place where Okta, the mapping, the secrets and
// the mesh meet. Each activity takes one Input, returns one Result, and may die at
// any point and run again: the resume point is in the mesh, not in the activity
// (design invariant 1). Pages go from Okta to the mesh inside one activity and
// never through Temporal (invariant 7).
package activities

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/secrets"
)

// Store is what the activities need of the mesh.
type Store interface {
	mesh.Connectors
	mesh.Writer
	mesh.Reader
	mesh.Operator
}

// Activities are the steps of an import. The zero value is not usable: see [New].
type Activities struct {
	store   Store
	secrets secrets.Resolver
	http    *http.Client
	limits  *Budgets
	tokens  okta.Tokens // of service apps: all activities of the worker share one each
	metrics client.MetricsHandler
	waits   waitBook
	agent   string
	// closed asks Temporal whether a run's workflow is closed; nil: never known.
	closed Closed
	// searchCap is how many rows one search shows at most.
	searchCap int
	// leaseTTL is how long a run holds its connector without writing a page.
	leaseTTL time.Duration
	turn     time.Duration
}

// DefaultLeaseTTL outlives the longest silence of a healthy run: one call's time-out
// and the retry back-off before the next page.
const DefaultLeaseTTL = 5 * time.Minute

// DefaultTurn is how long an activity reads before it hands over to the next one, which
// shows the workflow, and so whoever watches, how far the run is.
const DefaultTurn = 3 * time.Second

// Config is what [New] wires together.
type Config struct {
	Store   Store
	Secrets secrets.Resolver
	// HTTP is the transport shared by all calls to Okta; nil means [okta.NewHTTPClient].
	HTTP *http.Client
	// UserAgent is what Okta's System Log shows of the calls; "" means the client's default.
	UserAgent string
	// LeaseTTL is [DefaultLeaseTTL] when zero.
	LeaseTTL time.Duration
	// Turn is [DefaultTurn] when zero. An activity records one page at least.
	Turn time.Duration
	// Closed lets a run take over from one whose workflow was terminated, before the
	// lease of that one runs out. nil: it waits for that.
	Closed Closed
	// Metrics counts calls, pages and waits; nil: nobody does.
	Metrics client.MetricsHandler
	// Budgets is what is known of the orgs' rate limits; nil means a state of its own.
	Budgets *Budgets
	// SearchCap is how many rows Okta shows of one search at most; 0 means the 50,000
	// that are reported of it. Only tests set it.
	SearchCap int
}

// Closed says whether Temporal knows for certain that the workflow of a run, which
// began with the Temporal run runID, is closed.
type Closed func(ctx context.Context, namespace, workflowID, runID string) bool

// New returns the activities of a worker.
func New(c Config) *Activities {
	a := &Activities{store: c.Store, secrets: c.Secrets, http: c.HTTP, agent: c.UserAgent, limits: c.Budgets, metrics: c.Metrics,
		leaseTTL: c.LeaseTTL, turn: cmp.Or(c.Turn, DefaultTurn), closed: c.Closed, searchCap: cmp.Or(c.SearchCap, searchCap)}
	if a.http == nil {
		a.http = okta.NewHTTPClient()
	}
	if a.limits == nil {
		a.limits = &Budgets{}
	}
	if a.metrics == nil {
		a.metrics = client.MetricsNopHandler
	}
	if a.leaseTTL == 0 {
		a.leaseTTL = DefaultLeaseTTL
	}
	return a
}

// Register registers every activity, for the worker and for every test.
func Register(r worker.ActivityRegistry, a *Activities) { r.RegisterActivity(a) }

// waitBook counts the waits for a rate limit: activities side by side that wait for
// the same window wait once. The zero value is ready.
type waitBook struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// extend notes a wait of d from now on for what key names, and returns what is new
// about it: 1 and d for a wait of its own, less where another one is under way.
func (b *waitBook) extend(key string, now time.Time, d time.Duration) (waits int, more time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.until, func(_ string, t time.Time) bool { return t.Before(now) })
	if b.until == nil {
		b.until = make(map[string]time.Time)
	}
	until, under := b.until[key]
	end := now.Add(d)
	if !under {
		b.until[key] = end
		return 1, d
	}
	if end.After(until) {
		b.until[key] = end
		return 0, end.Sub(until)
	}
	return 0, 0
}

// pageTimeout bounds the work on one page after a cancel or a stop: the page in
// hand is finished, not thrown away.
const pageTimeout = 2 * time.Minute

// detach returns a context that outlives the activity's cancellation, so that the
// page in hand can be finished (issue: cancel stops after the pages in hand).
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), pageTimeout)
}
