package activities_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/secrets"
)

// testBench is one connector over one simulated org, with the real store, and
// activities run as Temporal would run them.
type testBench struct {
	*testing.T
	store mesh.Store
	sim   *oktasim.Server
	org   *oktasim.Org
	addr  string
	acts  *activities.Activities
	runs  int
}

// fixed resolves every reference to the simulator's token.
type fixed string

func (f fixed) Resolve(context.Context, secrets.Ref) (secrets.Value, error) {
	return secrets.NewValue([]byte(f)), nil
}

func newBench(t *testing.T, users, groups int, cfg map[string]any) *testBench {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Seed: 3, Now: time.Now()})
	require.NoError(t, err)
	store, err := mesh.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "mesh.db"))
	require.NoError(t, err)
	b := &testBench{T: t, store: store, org: org, sim: oktasim.New(oktasim.Config{Org: org})}
	server := httptest.NewServer(b.sim)
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, store.Close())
	})
	b.addr = strings.TrimPrefix(server.URL, "http://")
	b.acts = activities.New(activities.Config{Store: store, Secrets: fixed("oktasim-token"), Turn: time.Hour}) // one activity reads a whole list
	b.define(cfg)
	return b
}

// define stores the connector.
func (b *testBench) define(cfg map[string]any) {
	b.Helper()
	config := map[string]any{"OrgDomain": b.addr, "InsecureLoopback": true}
	for k, v := range cfg {
		config[k] = v
	}
	raw, err := json.Marshal(map[string]any{"Name": "contoso", "Type": "Okta", "ConfigJson": config,
		"AuthJson": map[string]any{"Mode": "ApiKey", "ApiKey": "secret://okta/contoso/apitoken"}})
	require.NoError(b, err)
	d, err := connector.Parse(raw)
	require.NoError(b, err)
	_, err = b.store.ApplyConnector(b.Context(), mesh.Connector{Name: d.Name, Type: d.Type, ConfigJSON: d.ConfigJSON(), AuthJSON: d.AuthJSON()})
	require.NoError(b, err)
}

// do runs one activity once, as one attempt, in an environment of its own.
func do[Out any](b *testBench, fn, in any) (Out, error) {
	b.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	activities.Register(env, b.acts)
	var out Out
	v, err := env.ExecuteActivity(fn, in)
	if err != nil {
		return out, err
	}
	if v.HasValue() {
		require.NoError(b, v.Get(&out))
	}
	return out, nil
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// begin starts a run.
func (b *testBench) begin() activities.BeginResult {
	b.Helper()
	b.runs++
	r, err := do[activities.BeginResult](b, b.acts.BeginRun, activities.BeginInput{
		Connector: "contoso", Mode: "Full", RunID: fmt.Sprintf("run-%d", b.runs), WorkflowID: "import-contoso", StartedAt: time.Now(),
	})
	require.NoError(b, err)
	require.Empty(b, r.HeldBy)
	return r
}

// full runs a whole import, an activity at a time.
func (b *testBench) full() *activities.RunResult {
	b.Helper()
	begun := b.begin()
	users, groups := b.read(begun)
	r, err := b.finish(begun, users, groups)
	require.NoError(b, err)
	return r
}

// read reads everything planned and returns the marks.
func (b *testBench) read(begun activities.BeginResult) (users, groups *time.Time) {
	b.Helper()
	walk := activities.WalkInput{Fence: begun.Fence, Plan: begun.Plan, MaxPages: 1000}
	if begun.Plan.Users {
		r, err := do[activities.WalkResult](b, b.acts.ReadUsers, walk)
		require.NoError(b, err)
		require.True(b, r.Done)
		users = r.Mark
	}
	if begun.Plan.ReadsGroups() {
		r, err := do[activities.WalkResult](b, b.acts.ReadGroups, walk)
		require.NoError(b, err)
		require.True(b, r.Done)
		groups = r.Mark
		if begun.Plan.Memberships {
			members, err := do[activities.MembersResult](b, b.acts.ReadMembers, activities.MembersInput{Fence: begun.Fence, Plan: begun.Plan, Lane: 1, MaxPages: 10000})
			require.NoError(b, err)
			require.True(b, members.Done)
			require.Equal(b, r.Queued, members.Groups)
		}
	}
	return users, groups
}

// finish sweeps, looks up, settles and commits.
func (b *testBench) finish(begun activities.BeginResult, users, groups *time.Time) (*activities.RunResult, error) {
	b.Helper()
	if _, err := do[activities.SweepResult](b, b.acts.StageSweep, activities.SweepInput{Fence: begun.Fence, Plan: begun.Plan}); err != nil {
		return nil, err
	}
	for done := false; !done; {
		l, err := do[activities.LookUpResult](b, b.acts.LookUp, activities.LookUpInput{Fence: begun.Fence, Plan: begun.Plan})
		if err != nil {
			return nil, err
		}
		done = l.Done
	}
	if _, err := do[activities.SettleResult](b, b.acts.Settle, activities.SettleInput{Fence: begun.Fence, Plan: begun.Plan}); err != nil {
		return nil, err
	}
	r, err := do[activities.RunResult](b, b.acts.CommitRun, activities.CommitInput{Fence: begun.Fence, Plan: begun.Plan, Users: users, Groups: groups})
	return &r, err
}

// feed returns the change rows after since.
func (b *testBench) feed(since int64) []mesh.Change {
	b.Helper()
	var rows []mesh.Change
	for c, err := range b.store.Changes(b.Context(), mesh.ChangeQuery{Connector: "contoso", Since: since}) {
		require.NoError(b, err)
		rows = append(rows, c)
	}
	return rows
}

// live returns the external ids of the live objects of a type.
func (b *testBench) live(typ mesh.ObjectType) []string {
	b.Helper()
	var ids []string
	for o, err := range b.store.Objects(b.Context(), mesh.ObjectQuery{Connector: "contoso", Type: typ}) {
		require.NoError(b, err)
		ids = append(ids, o.ExternalID)
	}
	return slices.Sorted(slices.Values(ids))
}

// requireType requires a non-retryable error of the given type.
func requireType(t *testing.T, err error, typ string) *temporal.ApplicationError {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, typ, app.Type(), app.Message())
	require.True(t, app.NonRetryable())
	return app
}

// onPath intercepts requests whose path has the given prefix.
func onPath(prefix string, f http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, prefix) {
			return false
		}
		f(w, r)
		return true
	}
}

// status answers with a status, headers ("Name: value") and no body.
func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			k, v, _ := strings.Cut(h, ": ")
			w.Header().Set(k, v)
		}
		w.WriteHeader(code)
	}
}
