package preflight

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
	"github.com/identitymesh/okta-connector/secrets"
)

// MaxCalls is the most calls that a check makes to Okta: eight to the API, with every pass
// on and a UserSearchFilter, and for a service app two to four for its token and DPoP nonces.
const MaxCalls = 12

// callTimeout limits one call, which asks for one page at most.
const callTimeout = 20 * time.Second

// Store is what a check reads of the mesh.
type Store interface {
	Shared() bool
	Connector(ctx context.Context, name string) (*mesh.Connector, error)
	RawWatermark(ctx context.Context, connector string) (string, error)
	ReadState(ctx context.Context, connector string) (mesh.ReadState, error)
	Runs(ctx context.Context, connector string, limit int) ([]mesh.Run, error)
	Holder(ctx context.Context, connector string) (string, error)
	LiveCounts(ctx context.Context, connector string) (map[mesh.ObjectType]int, error)
	Close() error
}

// Config says what is checked, and with what. Only HTTP, UserAgent and Now may be left out.
type Config struct {
	// Name is the connector. Where Definition is nil, its definition is the mesh's.
	Name string
	// Definition is one that is not applied yet. It is valid.
	Definition *connector.Definition
	// Inspect looks at the mesh database without opening it for good.
	Inspect func(ctx context.Context) (mesh.Inspection, error)
	// Open opens the mesh. It is called only when Inspect has found nothing that Open would
	// create or migrate.
	Open func(ctx context.Context) (Store, error)
	// Secrets opens the backend of the secrets; the store is nil where there is no mesh
	// database yet.
	Secrets func(store Store) (secrets.Backend, error)
	// HTTP returns the transport of an import; nil means [okta.NewHTTPClient].
	HTTP func() (*http.Client, error)
	// UserAgent is what Okta's System Log shows of the calls; "" means the client's default.
	UserAgent string
	// Now is the local clock; nil means time.Now.
	Now func() time.Time
}

// check is one check under way.
type check struct {
	Config

	report *Report
	store  Store // nil without a mesh database
	def    *connector.Definition
	ref    secrets.Ref
	marks  string // the stored watermark
	use    string // what is known of the last use of the token, for the advice after a 401
	calls  atomic.Int64

	client *okta.Client
	limits *okta.Limits
	grant  *okta.Grant // of a service app
	probe  *probe
	date   time.Time // the Date of the newest answer
	dated  time.Time // when it arrived, on the local clock
}

// Run checks, and returns what it found. A context that ends makes the steps under way fail:
// look at its Err before using the report.
func Run(ctx context.Context, cfg Config) *Report {
	c := &check{Config: cfg, report: &Report{Connector: cfg.Name, Result: OK, Steps: []Step{}}, limits: okta.NewLimits()}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = func() (*http.Client, error) { return okta.NewHTTPClient(), nil }
	}
	c.mesh(ctx)
	if c.store != nil {
		defer func() { _ = c.store.Close() }() // it was only read
	}
	c.okta(ctx)
	c.report.Calls = int(c.calls.Load())
	return c.report
}

// oktaSteps are the steps that need an answer of Okta, in their order, as far as the
// definition takes them.
func (c *check) oktaSteps() []ID {
	ids := []ID{IsOkta, Clock, Credential}
	if c.oauth() {
		ids = append(ids, Scopes)
	}
	ids = append(ids, c.rights()...)
	return append(ids, RateLimit, FullImport)
}

// oauth says whether a service app signs in.
func (c *check) oauth() bool { return c.def.Auth.Mode == connector.ModeOAuth }

// rights are the steps about what Okta lets the credential read.
func (c *check) rights() []ID {
	var ids []ID
	cfg := &c.def.Config
	if cfg.ImportUsers {
		ids = append(ids, ListUsers)
	}
	if cfg.ImportGroups || cfg.ImportMemberships {
		ids = append(ids, ListGroups, GetGroup, Everyone)
	}
	if cfg.ImportMemberships {
		ids = append(ids, Members)
	}
	if cfg.ImportUsers {
		ids = append(ids, GetUser, SearchIDs)
		if cfg.UserSearchFilter != nil {
			ids = append(ids, UserFilter)
		}
	}
	if cfg.GroupFilter != nil {
		ids = append(ids, GroupScope)
	}
	return ids
}

// okta checks everything from the secret on.
func (c *check) okta(ctx context.Context) {
	if c.def == nil {
		c.skip(Connector, Secret, Proxy, DNS, TCP, TLS, IsOkta, Clock, Credential)
		return
	}
	c.report.Org, c.report.TaskQueue = c.def.Config.BaseURL(), c.def.Config.TaskQueue
	credentials, ok := c.secret(ctx)
	if !ok {
		c.skip(Secret, append([]ID{Proxy, DNS, TCP, TLS}, c.oktaSteps()...)...)
		return
	}
	transport, err := c.HTTP()
	if err != nil { // its text names the variable of the environment
		c.fail(Proxy, err.Error(), "")
		c.skip(Proxy, append([]ID{DNS, TCP, TLS}, c.oktaSteps()...)...)
		return
	}
	c.client, err = okta.New(okta.Options{
		BaseURL: c.def.Config.BaseURL(), Credentials: credentials,
		HTTPClient: transport, UserAgent: c.UserAgent, Timeout: callTimeout, Limits: c.limits,
		RateLimitReserve: c.def.Config.RateLimitReserve,
		OnCall:           func(okta.Call) { c.calls.Add(1) },
	})
	if err != nil { // the secret and the definition were looked at already
		c.fail(Credential, err.Error(), "store the secret again with `starter secret set "+c.ref.String()+"`")
		return
	}
	c.probe = newProbe(transport, c.def.Config.BaseURL())
	c.ask(c.probe.watch(ctx))
}
