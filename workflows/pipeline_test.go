package workflows_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/workflows"
)

// testing is what a pipeline needs of *testing.T and *rapid.T.
type tb interface {
	require.TestingT
	Helper()
	Context() context.Context
}

// pipeline is one connector over one simulated org: the real workflows and activities,
// the real store, in this process and on the org's clock.
type pipeline struct {
	tb
	store mesh.Store
	name  string
	org   *oktasim.Org
	clock *oktasim.Clock
	sim   *oktasim.Server
	acts  *activities.Activities
	// between is called before each request of a run, one at a time.
	mu      sync.Mutex
	between func()
	// commit is called before a run commits.
	commit func()

	// What a service app has otherwise than an API token; the zero values are those of a
	// token.
	auth    map[string]any // AuthJson
	apps    []oktasim.App
	secrets secrets.Resolver
	turn    time.Duration
}

// pipelines numbers connectors and runs, which share a store.
var pipelines, pipelineRuns atomic.Int64

// simToken is what the simulator expects.
type simToken struct{}

func (simToken) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	return secrets.NewValue([]byte("oktasim-token")), nil
}

// fastDir is a folder for a store that need not survive the machine: in memory where
// the system has such a place.
func fastDir(t interface{ TempDir() string }) string {
	const memory = "/dev/shm"
	if info, err := os.Stat(memory); err == nil && info.IsDir() {
		if dir, err := os.MkdirTemp(memory, "identitymesh-"); err == nil {
			return dir
		}
	}
	return t.TempDir()
}

// openStore opens a store for many pipelines.
func openStore(t interface {
	require.TestingT
	TempDir() string
	Cleanup(func())
	Context() context.Context
}) mesh.Store {
	store, _ := openStoreFile(t)
	return store
}

// openStoreFile is openStore for those who look into the file.
func openStoreFile(t interface {
	require.TestingT
	TempDir() string
	Cleanup(func())
	Context() context.Context
}) (mesh.Store, string) {
	dir := fastDir(t)
	path := filepath.Join(dir, "mesh.db")
	store, err := mesh.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, store.Close())
		require.NoError(t, os.RemoveAll(dir))
	})
	return store, path
}

// newPipeline defines a connector over org; cfg overrides fields of ConfigJson, and edit
// what the pipeline is made of.
func newPipeline(t tb, store mesh.Store, org *oktasim.Org, clock *oktasim.Clock, cfg map[string]any, edit ...func(*pipeline)) *pipeline {
	t.Helper()
	p := &pipeline{tb: t, store: store, name: fmt.Sprintf("org-%d", pipelines.Add(1)), org: org, clock: clock,
		auth: map[string]any{"Mode": "ApiKey", "ApiKey": "secret://okta/sim/apitoken"}, secrets: simToken{}}
	for _, f := range edit {
		f(p)
	}
	p.serve(0)
	p.define(cfg)
	return p
}

// serve puts a new server before the org; a search of it shows searchCap rows at
// most, 0 for Okta's own limit.
func (p *pipeline) serve(searchCap int) {
	p.sim = oktasim.New(oktasim.Config{Org: p.org, Now: p.clock.Now, SearchCap: searchCap, Apps: p.apps})
	p.acts = activities.New(activities.Config{
		Store: p.store, Secrets: p.secrets, HTTP: &http.Client{Transport: p.transport()}, SearchCap: searchCap, Turn: p.turn,
	})
}

// before sets what is called before each request.
func (p *pipeline) before(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.between = f
}

// busy counts the activities under way: the test environment leaves those running that
// a failed workflow does not wait for, and they must not reach into the next step.
type busy struct {
	interceptor.WorkerInterceptorBase

	mu   sync.Mutex
	idle *sync.Cond
	n    int
}

func newBusy() *busy {
	b := &busy{}
	b.idle = sync.NewCond(&b.mu)
	return b
}

// InterceptActivity implements the SDK's WorkerInterceptor.
func (b *busy) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &busyActivity{busy: b}
	i.Next = next
	return i
}

func (b *busy) add(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n += n
	b.idle.Broadcast()
}

func (b *busy) wait() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.n > 0 {
		b.idle.Wait()
	}
}

type busyActivity struct {
	interceptor.ActivityInboundInterceptorBase

	busy *busy
}

func (a *busyActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	a.busy.add(1)
	defer a.busy.add(-1)
	return a.Next.ExecuteActivity(ctx, in)
}

// transport reaches the simulator without a socket.
func (p *pipeline) transport() http.RoundTripper {
	inner := p.sim.Transport()
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		p.mu.Lock()
		if p.between != nil {
			p.between()
		}
		p.mu.Unlock()
		return inner.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// define stores the connector's definition.
func (p *pipeline) define(cfg map[string]any) {
	p.Helper()
	config := map[string]any{"OrgDomain": "127.0.0.1:1", "InsecureLoopback": true}
	for k, v := range cfg {
		config[k] = v
	}
	raw, err := json.Marshal(map[string]any{"Name": p.name, "Type": "Okta", "ConfigJson": config,
		"AuthJson": p.auth})
	require.NoError(p, err)
	d, err := connector.Parse(raw)
	require.NoError(p, err)
	_, err = p.store.ApplyConnector(p.Context(), mesh.Connector{Name: d.Name, Type: d.Type, ConfigJSON: d.ConfigJSON(), AuthJSON: d.AuthJSON()})
	require.NoError(p, err)
}

// run imports and returns how it ended and the calls it made.
func (p *pipeline) run(in workflows.ImportInput) (*workflows.ImportResult, error) {
	p.Helper()
	in.Connector = p.name
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(patient())
	env.SetStartTime(p.clock.Now())
	env.SetTestTimeout(time.Minute)
	workflows.Register(env)
	activities.Register(env, p.acts)
	// The test environment gives every run one and the same id.
	id := fmt.Sprintf("run-%d", pipelineRuns.Add(1))
	env.OnActivity(p.acts.BeginRun, mock.Anything, mock.Anything).Return(func(ctx context.Context, in activities.BeginInput) (*activities.BeginResult, error) {
		in.RunID, in.WorkflowID = id, "import-"+id
		return p.acts.BeginRun(ctx, in)
	})
	env.OnActivity(p.acts.CommitRun, mock.Anything, mock.Anything).Return(func(ctx context.Context, in activities.CommitInput) (*activities.RunResult, error) {
		if p.commit != nil {
			p.commit()
		}
		return p.acts.CommitRun(ctx, in)
	})
	env.OnActivity(p.acts.EndRun, mock.Anything, mock.Anything).Return(func(ctx context.Context, in activities.EndInput) (*activities.EndResult, error) {
		in.RunID = id
		return p.acts.EndRun(ctx, in)
	})
	env.OnWorkflow(workflows.HoldWorkflow, mock.Anything, mock.Anything).Return(
		func(workflow.Context, workflows.HoldInput) (*workflows.HoldResult, error) {
			return &workflows.HoldResult{}, nil
		}).Maybe()
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything).Return(nil).Maybe()
	b := newBusy()
	env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{b}})
	env.ExecuteWorkflow(workflows.ImportWorkflow, in)
	b.wait()
	require.True(p, env.IsWorkflowCompleted())
	if err := env.GetWorkflowError(); err != nil {
		return nil, err
	}
	var result workflows.ImportResult
	require.NoError(p, env.GetWorkflowResult(&result))
	return &result, nil
}

// must is run for one that ends with outcome.
func (p *pipeline) must(mode workflows.Mode, outcome mesh.Outcome) *workflows.ImportResult {
	p.Helper()
	r, err := p.run(workflows.ImportInput{Mode: mode})
	require.NoError(p, err)
	require.Equal(p, outcome, r.Outcome, "%s %s", r.Mode, r.Note)
	return r
}

// approve has the open hold carried out, if there is one.
func (p *pipeline) approve() {
	p.Helper()
	hold, err := p.store.Hold(p.Context(), p.name, 0)
	require.NoError(p, err)
	if hold == nil {
		return
	}
	require.NoError(p, p.store.ApproveHold(p.Context(), p.name, hold.RunID, "the test"))
	r, err := p.run(workflows.ImportInput{Mode: workflows.Approval, Hold: hold.RunID})
	require.NoError(p, err)
	require.Equal(p, mesh.Completed, r.Outcome)
	hold, err = p.store.Hold(p.Context(), p.name, 0)
	require.NoError(p, err)
	require.Nil(p, hold, "an approval that was carried out leaves no hold")
}

// calls returns how many requests f costs.
func (p *pipeline) calls(f func()) int {
	p.sim.ResetStats()
	f()
	return p.sim.Stats().Total
}

// live returns the mesh's live objects: "User 00u…" and so on to their attributes.
func (p *pipeline) live() map[string]map[string]any {
	p.Helper()
	live := map[string]map[string]any{}
	for o, err := range p.store.Objects(p.Context(), mesh.ObjectQuery{Connector: p.name}) {
		require.NoError(p, err)
		var attributes map[string]any
		require.NoError(p, json.Unmarshal(o.Attributes, &attributes))
		live[string(o.Type)+" "+o.ExternalID] = attributes
	}
	return live
}

// checkFeed replays the feed from its beginning and compares it with the mesh: no
// Add of what is live, no Update or Delete of what is not, an edge only between live
// ends, and at the end the same objects.
func (p *pipeline) checkFeed(ends bool) {
	p.Helper()
	live := map[string]map[string]any{}
	users := map[string]bool{} // by Okta's id, which edges hold
	var last int64
	for c, err := range p.store.Changes(p.Context(), mesh.ChangeQuery{Connector: p.name}) {
		require.NoError(p, err)
		require.Equal(p, last+1, c.Seq, "the feed counts 1, 2, 3 …")
		last = c.Seq
		key := string(c.Type) + " " + c.ExternalID
		var attributes map[string]any
		require.NoError(p, json.Unmarshal(c.Attributes, &attributes))
		_, is := live[key]
		require.Equal(p, c.Op != mesh.Add, is, "%d: %s %s", c.Seq, c.Op, key)
		if c.Op == mesh.Delete {
			require.NotEmpty(p, c.Reason, "%d: %s", c.Seq, key)
			delete(live, key)
		} else {
			live[key] = attributes
		}
		switch {
		case c.Type == mesh.User:
			id := c.ExternalID
			if oktaID, ok := attributes["oktaId"].(string); ok {
				id = oktaID
			}
			users[id] = c.Op != mesh.Delete
		case c.Type == mesh.GroupMember && c.Op == mesh.Add && ends:
			require.True(p, users[fmt.Sprint(attributes["memberId"])], "%d: the Add of %s precedes its member's", c.Seq, key)
			require.Contains(p, live, fmt.Sprintf("Group %s", attributes["groupId"]), "%d: the Add of %s precedes its group's", c.Seq, key)
		}
	}
	require.Equal(p, p.live(), live, "replaying the feed rebuilds the mesh")
}
