package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	sdkworkflow "go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/internal/codec"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/workflows"
)

// canary is a token that no output may hold.
const canary = "00canaryCANARYcanary-T0KEN_never_shown_42x"

// someRun is a run id as Temporal makes them.
const someRun = "0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11"

// fixedNow is the clock of the commands under test.
var fixedNow = time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC)

// bench runs command lines against a real mesh in a folder of the test's own and a
// Temporal of the test's making.
type bench struct {
	t        *testing.T
	dir      string
	temporal *fakeTemporal
	tty      fakeTerminal
	now      time.Time
	hold     *mesh.Hold      // of every connector
	shared   bool            // the mesh stands for one that several machines share
	consumer bool            // the database role may not read definitions
	backend  secrets.Backend // nil: the table
	dialErr  error
	payloads *codec.Codec
	dialed   []string // the namespaces
	stdin    io.Reader
	out, err bytes.Buffer
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), temporal: &fakeTemporal{}, now: fixedNow, stdin: strings.NewReader("")}
	b.temporal.schedules.b = b
	return b
}

func (b *bench) url() string { return "sqlite://" + filepath.ToSlash(filepath.Join(b.dir, "mesh.db")) }

func (b *bench) openStore(ctx context.Context) (mesh.Store, error) {
	store, err := mesh.Open(ctx, b.url())
	if err != nil {
		return nil, err
	}
	if b.shared {
		store = sharedMesh{store}
	}
	if b.consumer {
		store = consumers{store}
	}
	if b.hold == nil {
		return store, nil
	}
	return holding{store, b.hold}, nil
}

// sharedMesh is a mesh that says it is no file.
type sharedMesh struct{ mesh.Store }

func (sharedMesh) Shared() bool { return true }

// holding is a mesh with a hold.
type holding struct {
	mesh.Store

	hold *mesh.Hold
}

func (h holding) Hold(_ context.Context, connector string, sample int) (*mesh.Hold, error) {
	if connector != h.hold.Connector {
		return nil, nil
	}
	shown := *h.hold
	shown.Sample = shown.Sample[:min(sample, len(shown.Sample))]
	return &shown, nil
}

// openSecrets is the backend under test.
func (b *bench) openSecrets(store mesh.Store) secrets.Backend {
	if b.backend != nil {
		return b.backend
	}
	return b.secrets(store)
}

func (b *bench) secrets(store mesh.Store) *secrets.TableStore {
	return secrets.NewTableStore(app.SecretTable(store), secrets.OpenKeys(secrets.KeyFile(filepath.Join(b.dir, "secrets.key"))))
}

// cli returns a cli that writes into b, whose outputs it empties.
func (b *bench) cli() *cli {
	b.out.Reset()
	b.err.Reset()
	return &cli{
		stdin:        b.stdin,
		stdout:       &output{w: &b.out},
		stderr:       &b.err,
		tty:          b.tty,
		openStore:    b.openStore,
		database:     func() (string, error) { return b.url(), nil },
		openSecrets:  func(s mesh.Store) (secrets.Backend, error) { return b.openSecrets(s), nil },
		inspectStore: func(ctx context.Context) (mesh.Inspection, error) { return mesh.Inspect(ctx, b.url()) },
		dial: func(_ context.Context, namespace string) (temporalClient, error) {
			b.dialed = append(b.dialed, namespace)
			return b.temporal, b.dialErr
		},
		taskQueue: func() string { return "test-queue" },
		payloads:  func() (*codec.Codec, error) { return b.payloads, nil },
		operator:  func() string { return "ada@desk" },
		now:       func() time.Time { return b.now },
	}
}

// run executes a command line and returns its exit code.
func (b *bench) run(args ...string) int {
	b.t.Helper()
	return b.cli().run(b.t.Context(), args)
}

// ok executes a command line that must succeed and returns its standard output.
func (b *bench) ok(args ...string) string {
	b.t.Helper()
	code := b.run(args...)
	require.Zero(b.t, code, "starter %v\nstdout: %s\nstderr: %s", args, b.out.String(), b.err.String())
	return b.out.String()
}

// fails executes a command line that must end with code, print nothing on standard
// output, and say want on standard error.
func (b *bench) fails(code int, want string, args ...string) {
	b.t.Helper()
	got := b.run(args...)
	require.Equal(b.t, code, got, "starter %v\nstdout: %s\nstderr: %s", args, b.out.String(), b.err.String())
	require.Empty(b.t, b.out.String())
	require.Contains(b.t, b.err.String(), want)
}

// withStore runs f on the mesh.
func (b *bench) withStore(f func(ctx context.Context, store mesh.Store)) {
	b.t.Helper()
	store, err := b.openStore(b.t.Context())
	require.NoError(b.t, err)
	f(b.t.Context(), store)
	require.NoError(b.t, store.Close())
}

// definition is a definition file.
func definition(name string) string {
	return fmt.Sprintf(`{"Name": %q, "Type": "Okta",
		"ConfigJson": {"OrgDomain": "%s.okta.com"},
		"AuthJson": {"Mode": "ApiKey", "ApiKey": "secret://okta/%s/apitoken"}}`, name, name, name)
}

// apply creates a connector.
func (b *bench) apply(name string) {
	b.t.Helper()
	b.stdin = strings.NewReader(definition(name))
	b.ok("connector", "apply", "-f", "-")
	b.stdin = strings.NewReader("")
}

// begin starts a run of a connector in the mesh.
func (b *bench) begin(connector, runID string) mesh.Fence {
	b.t.Helper()
	var fence mesh.Fence
	b.withStore(func(ctx context.Context, store mesh.Store) {
		var err error
		fence, err = store.Begin(ctx, mesh.BeginRun{
			Connector: connector, RunID: runID, WorkflowID: "import-" + connector + "-full-x", Namespace: "identity",
			Mode: "Full", StartedAt: time.Now().Add(-time.Second), LeaseTTL: time.Hour,
		})
		require.NoError(b.t, err)
	})
	return fence
}

// object is a mesh object with some attributes.
func object(typ mesh.ObjectType, id string, attributes map[string]any) mesh.Object {
	var text bytes.Buffer
	if err := encoder(&text).Encode(attributes); err != nil {
		panic(err)
	}
	return mesh.Object{Type: typ, OktaID: id, ExternalID: id, Attributes: bytes.TrimSpace(text.Bytes()), Hash: []byte(id)}
}

// seed imports one group with the given users as its members, and completes the run.
func (b *bench) seed(connector, runID string, users ...mesh.Object) {
	b.t.Helper()
	fence := b.begin(connector, runID)
	b.withStore(func(ctx context.Context, store mesh.Store) {
		members := make([]mesh.Member, len(users))
		for i, u := range users {
			members[i] = mesh.Member{OktaID: u.OktaID}
		}
		page := func(stream string) mesh.Page {
			_, err := store.Claim(ctx, fence, stream, "test")
			require.NoError(b.t, err)
			return mesh.Page{Stream: stream, Owner: "test", Number: 1, Done: true, Calls: mesh.Calls{API: 1}}
		}
		_, err := store.WriteObjects(ctx, fence, mesh.ObjectPage{Page: page("users"), Rows: len(users), Objects: users, Import: true})
		require.NoError(b.t, err)
		group := object(mesh.Group, "00g1", map[string]any{"name": "Engineers", "type": "OKTA_GROUP"})
		_, err = store.WriteObjects(ctx, fence, mesh.ObjectPage{Page: page("groups"), Rows: 1,
			Objects: []mesh.Object{group}, Import: true, Queue: &mesh.QueueRule{All: true}})
		require.NoError(b.t, err)
		_, err = store.WriteMembers(ctx, fence, mesh.MemberPage{Page: page("members/00g1"), GroupID: "00g1", Members: members})
		require.NoError(b.t, err)
		for done := false; !done; {
			r, err := store.Settle(ctx, fence, mesh.Scope{Users: true, Groups: true}, time.Second)
			require.NoError(b.t, err)
			done = r.Done
		}
		_, err = store.Commit(ctx, fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mesh.NewMark(fixedNow), Groups: mesh.NewMark(fixedNow)}, UsersFull: true, GroupsFull: true})
		require.NoError(b.t, err)
	})
}

// fakeTerminal answers as a terminal would.
type fakeTerminal struct {
	stdin          bool
	password       string
	stdout, stderr int
}

func (f fakeTerminal) StdinIsTerminal() bool { return f.stdin }
func (f fakeTerminal) StdoutWidth() int      { return f.stdout }
func (f fakeTerminal) StderrWidth() int      { return f.stderr }
func (f fakeTerminal) ReadPassword(ctx context.Context) ([]byte, error) {
	return []byte(f.password), ctx.Err()
}

// fakeTemporal is a Temporal with one workflow.
type fakeTemporal struct {
	mu       sync.Mutex
	started  []client.StartWorkflowOptions
	inputs   []workflows.ImportInput
	holds    []workflows.HoldInput
	startErr []error // of the calls in turn; then none

	progress func() (workflows.Progress, error) // nil: no worker answers
	child    func() (workflows.Progress, error) // of the workflow id "child"
	queried  string                             // the workflow id of the last query
	// end blocks until the workflow ends; nil: at once, Completed.
	end      func(ctx context.Context) (*workflows.ImportResult, error)
	describe *workflow.WorkflowExecutionInfo // nil: running

	describeErr error
	cancelled   []string
	cancelErr   error
	listed      string // the query
	found       string // the workflow id that ListWorkflow finds
	closed      int

	open    map[string][]*workflow.WorkflowExecutionInfo // imports that have not ended, by 'connector'
	listErr error                                        // of asking for them

	queues map[string]string // of running workflows that are described, by id; "": not known

	schedules  fakeSchedules
	updated    []client.UpdateWorkflowOptions
	updateErr  []error // of the calls in turn; then none
	decision   workflows.DecisionResult
	terminated []string

	idle       bool  // no worker polls
	pollersErr error // of DescribeTaskQueue
	// describeQueue answers DescribeTaskQueue in place of those two; nil: it does not.
	describeQueue func(queue string, kind enums.TaskQueueType) *workflowservice.DescribeTaskQueueResponse
	deployments   client.WorkerDeploymentClient

	attributes    []string // that are registered
	attributesErr error
}

func (f *fakeTemporal) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, args ...any) (client.WorkflowRun, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started = append(f.started, o)
	switch in := args[0].(type) {
	case workflows.ImportInput:
		f.inputs = append(f.inputs, in)
	case workflows.HoldInput:
		f.holds = append(f.holds, in)
	}
	if len(f.startErr) > 0 {
		err := f.startErr[0]
		f.startErr = f.startErr[1:]
		if err != nil {
			return nil, err
		}
	}
	return fakeRun{f, o.ID, someRun}, nil
}

func (f *fakeTemporal) GetWorkflow(_ context.Context, workflowID, runID string) client.WorkflowRun {
	return fakeRun{f, workflowID, runID}
}

func (f *fakeTemporal) DescribeWorkflowExecution(_ context.Context, workflowID, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if f.describeErr != nil {
		return nil, f.describeErr
	}
	info := f.describe
	if info == nil {
		info = &workflow.WorkflowExecutionInfo{Status: enums.WORKFLOW_EXECUTION_STATUS_RUNNING, FirstRunId: someRun}
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info,
		ExecutionConfig: &workflow.WorkflowExecutionConfig{TaskQueue: &taskqueue.TaskQueue{Name: f.queues[workflowID]}}}, nil
}

func (f *fakeTemporal) CancelWorkflow(_ context.Context, workflowID, _ string) error {
	f.cancelled = append(f.cancelled, workflowID)
	return f.cancelErr
}

func (f *fakeTemporal) QueryWorkflow(ctx context.Context, workflowID, _, queryType string, _ ...any) (converter.EncodedValue, error) {
	f.mu.Lock()
	f.queried = workflowID
	f.mu.Unlock()
	if queryType != workflows.ProgressQuery {
		return nil, fmt.Errorf("unknown query %q", queryType)
	}
	answer := f.progress
	if workflowID == "child" {
		answer = f.child
	}
	if answer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	p, err := answer()
	if err != nil {
		return nil, err
	}
	return fakeValue{p}, nil
}

func (f *fakeTemporal) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if name, asked := strings.CutSuffix(r.GetQuery(), " = 'check'"); asked {
		if f.attributesErr == nil && !slices.Contains(f.attributes, name) {
			return nil, serviceerror.NewInvalidArgument("column name '" + name + "' is not defined")
		}
		return &workflowservice.ListWorkflowExecutionsResponse{}, f.attributesErr
	}
	if strings.HasPrefix(r.GetQuery(), "WorkflowType = 'ImportWorkflow' AND ExecutionStatus = 'Running' AND ") {
		_, connector, _ := strings.Cut(r.GetQuery(), "IdentityMeshConnector = ")
		return &workflowservice.ListWorkflowExecutionsResponse{Executions: f.open[connector]}, f.listErr
	}
	f.listed = r.GetQuery()
	var found []*workflow.WorkflowExecutionInfo
	if f.found != "" {
		found = append(found, &workflow.WorkflowExecutionInfo{Execution: &common.WorkflowExecution{WorkflowId: f.found}})
	}
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: found}, nil
}

func (f *fakeTemporal) WorkerDeploymentClient() client.WorkerDeploymentClient { return f.deployments }

func (f *fakeTemporal) DescribeTaskQueue(ctx context.Context, queue string, kind enums.TaskQueueType) (*workflowservice.DescribeTaskQueueResponse, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("this question needs a time limit")
	}
	if f.describeQueue != nil {
		return f.describeQueue(queue, kind), nil
	}
	r := &workflowservice.DescribeTaskQueueResponse{}
	if !f.idle {
		r.Pollers = []*taskqueue.PollerInfo{{Identity: "worker"}}
	}
	return r, f.pollersErr
}

func (f *fakeTemporal) Close() { f.closed++ }

func (f *fakeTemporal) ScheduleClient() client.ScheduleClient { return &f.schedules }

func (f *fakeTemporal) TerminateWorkflow(_ context.Context, workflowID, _, reason string, _ ...any) error {
	f.terminated = append(f.terminated, workflowID+": "+reason)
	return nil
}

func (f *fakeTemporal) UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return nil, errors.New("an update needs a time limit: no worker may answer")
	}
	f.updated = append(f.updated, o)
	if len(f.updateErr) > 0 {
		err := f.updateErr[0]
		f.updateErr = f.updateErr[1:]
		if err != nil {
			return nil, err
		}
	}
	return fakeUpdate{f.decision}, nil
}

type fakeUpdate struct{ result workflows.DecisionResult }

func (fakeUpdate) WorkflowID() string                      { return "" }
func (fakeUpdate) RunID() string                           { return "" }
func (fakeUpdate) UpdateID() string                        { return "" }
func (u fakeUpdate) Get(_ context.Context, into any) error { return copyJSON(u.result, into) }

type fakeRun struct {
	f         *fakeTemporal
	id, runID string
}

func (r fakeRun) GetID() string                  { return r.id }
func (r fakeRun) GetRunID() string               { return r.runID }
func (r fakeRun) GetFirstExecutionRunID() string { return r.runID }

func (r fakeRun) Get(ctx context.Context, into any) error {
	result := &workflows.ImportResult{RunID: r.runID, Connector: "contoso", Mode: "Full", Outcome: mesh.Completed}
	if r.f.end != nil {
		var err error
		if result, err = r.f.end(ctx); err != nil {
			return err
		}
	}
	return copyJSON(result, into)
}

func (r fakeRun) GetWithOptions(ctx context.Context, into any, _ client.WorkflowRunGetOptions) error {
	return r.Get(ctx, into)
}

type fakeValue struct{ v any }

func (fakeValue) HasValue() bool       { return true }
func (v fakeValue) Get(into any) error { return copyJSON(v.v, into) }

func copyJSON(from, into any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// workflowError is err as a client gets it from a workflow that returned it.
func workflowError(t *testing.T, err error) error {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	env.ExecuteWorkflow(func(sdkworkflow.Context) error { return err })
	wrapped := env.GetWorkflowError()
	require.Error(t, wrapped)
	return wrapped
}

// brokenPipe is a reader that has gone away after n bytes.
type brokenPipe struct {
	n   int
	err error
}

func (p *brokenPipe) Write(b []byte) (int, error) {
	if p.n -= len(b); p.n < 0 {
		return 0, p.err
	}
	return len(b), nil
}

var errDisk = errors.New("no space left on device")
