// Package integration runs the built binaries against each other: a real Temporal
// server, real worker and starter processes, the simulated org. Its tests kill them.
package integration

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// otherNamespace is a second namespace of the shared server.
const otherNamespace = "elsewhere"

// temporal is the server that all tests share; each test has its own task queue,
// database, org and worker.
var (
	temporal        stack.Stack
	temporalProcess *stack.Process
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		bin := os.Getenv("IDENTITYMESH_BIN")
		if bin == "" {
			bin = filepath.Join("..", "bin")
		}
		abs, err := filepath.Abs(bin)
		if err == nil {
			_, err = os.Stat(filepath.Join(abs, "temporal-dev"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "SKIPPED: the integration tests need the built binaries; run `make test`, or `make build` first:", err)
			if os.Getenv("CI") != "" {
				return 1
			}
			return 0
		}
		dir, err := os.MkdirTemp("", "identitymesh-integration-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		temporal = stack.Stack{Bin: abs, Dir: dir}
		if temporalProcess, err = temporal.Temporal(context.Background(), "--namespace", "default", "--namespace", otherNamespace); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer temporal.Close() //nolint:errcheck // the tests are over
		defer pgtest.Stop()    //nolint:errcheck // the tests are over
		flag.Parse()
		if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) { // nobody asked for another number
			_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))) // these tests wait more than they work
		}
		return m.Run()
	}())
}

// world is one test's own org, mesh and task queue.
type world struct {
	*testing.T
	stack *stack.Stack
	name  string // of the connector
	sim   *oktasim.Server
	data  *oktasim.Org
	addr  string // host:port of the simulated org
	queue string
	cfg   map[string]any
	auth  map[string]any // AuthJson; nil: the API token's
	// namespace is Temporal's; "" is the default one.
	namespace string
	// vars are more environment of the processes.
	vars []string
	// app is a service app that an org may know.
	app *oktasim.App

	*opened
}

// opened is what a world has open in this process, once somebody has asked for it.
type opened struct {
	mu      sync.Mutex
	mesh    mesh.Store
	clients map[string]client.Client // by namespace
}

// decode reads what a command printed.
func decode(w *world, text string, into any) {
	w.Helper()
	require.NoError(w, json.Unmarshal([]byte(text), into), "%q", text)
}

// worlds numbers task queues and connectors: a test may have several worlds, and
// schedules and holds of all of them live in one namespace.
var worlds atomic.Int64

// newWorld serves org and defines a connector over it. cfg overrides fields of
// ConfigJson.
func newWorld(t *testing.T, c oktasim.Config, cfg map[string]any) *world {
	t.Helper()
	return newWorldOn(t, "", c, cfg)
}

// newWorldOn is newWorld with its mesh in a database of its own, "" for an SQLite file.
func newWorldOn(t *testing.T, db string, c oktasim.Config, cfg map[string]any) *world {
	t.Helper()
	n := worlds.Add(1)
	w := &world{
		T:     t,
		name:  fmt.Sprintf("contoso-%d", n),
		stack: &stack.Stack{Bin: temporal.Bin, Dir: t.TempDir(), TemporalAddr: temporal.TemporalAddr, DB: db},
		sim:   oktasim.New(c),
		data:  c.Org,
		queue: fmt.Sprintf("test-%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), n),
		cfg:   cfg,

		opened: &opened{clients: map[string]client.Client{}},
	}
	w.serve()
	t.Cleanup(func() { require.NoError(t, w.stack.Close()) })
	w.ok(w.starter("oktasim-token\n", "secret", "set", "secret://okta/contoso/apitoken"))
	w.define(nil)
	return w
}

// onEachDatabase runs a test with SQLite and with PostgreSQL; newDB makes a database for a
// world.
func onEachDatabase(t *testing.T, run func(t *testing.T, newDB func() string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		run(t, func() string { return "" })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		run(t, func() string { return pgtest.URL(t) })
	})
}

// serve gives the world's org an address.
func (w *world) serve() {
	server := httptest.NewServer(w.sim)
	w.Cleanup(server.Close)
	w.addr = strings.TrimPrefix(server.URL, "http://")
}

// sibling defines another connector over an org of its own, in the same mesh and for
// the same worker.
func (w *world) sibling(c oktasim.Config, cfg map[string]any) *world {
	w.Helper()
	s := *w
	s.name = fmt.Sprintf("contoso-%d", worlds.Add(1))
	s.sim, s.data, s.cfg = oktasim.New(c), c.Org, cfg
	s.serve()
	s.define(nil)
	return &s
}

// orgNow is one moment for all generated orgs, so that equal specs make equal orgs.
var orgNow = time.Now()

// generated is an org of the given size.
func generated(t *testing.T, users, groups int) *oktasim.Org {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: users, Groups: groups, Seed: 7, Now: orgNow})
	require.NoError(t, err)
	return org
}

// org is the simulated org's state.
func (w *world) org() *oktasim.Org { return w.data }

// define applies the connector, with overrides.
func (w *world) define(over map[string]any) {
	w.Helper()
	config := map[string]any{"OrgDomain": w.addr, "InsecureLoopback": true}
	for _, m := range []map[string]any{w.cfg, over} {
		for k, v := range m {
			config[k] = v
		}
	}
	auth := w.auth
	if auth == nil {
		auth = map[string]any{"Mode": "ApiKey", "ApiKey": "secret://okta/contoso/apitoken"}
	}
	b, err := json.Marshal(map[string]any{
		"Name": w.name, "Type": "Okta", "ConfigJson": config,
		"AuthJson": auth,
	})
	require.NoError(w, err)
	w.ok(w.starter(string(b), "connector", "apply", "--replace-org", "-f", "-"))
}

func (w *world) env() []string {
	env := []string{"IDENTITYMESH_TASK_QUEUE=" + w.queue}
	if w.namespace != "" {
		env = append(env, "TEMPORAL_NAMESPACE="+w.namespace)
	}
	return append(env, w.vars...)
}

// worker starts a worker process.
func (w *world) worker(args ...string) *stack.Process {
	w.Helper()
	p, err := w.stack.Worker(w.Context(), w.env(), append([]string{"--metrics-addr", ""}, args...)...)
	require.NoError(w, err)
	return p
}

// starter runs one starter command.
func (w *world) starter(stdin string, args ...string) stack.Result {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	r, err := w.stack.Starter(ctx, w.env(), stdin, args...)
	require.NoError(w, err, "starter %v\n%s", args, r.Stderr)
	return r
}

// ok requires that a command succeeded and returns its standard output.
func (w *world) ok(r stack.Result) string {
	w.Helper()
	require.Zero(w, r.Code, "%s\n%s", r.Stdout, r.Stderr)
	return r.Stdout
}

// runRow is what `run --wait -o json` prints.
type runRow struct {
	RunID          string            `json:"runId"`
	Mode           string            `json:"mode"`
	Outcome        string            `json:"outcome"`
	Error          string            `json:"error"`
	Note           string            `json:"note"`
	Counts         map[string]counts `json:"counts"`
	APICalls       int               `json:"apiCalls"`
	RateLimitWaits int               `json:"rateLimitWaits"`
	DurationMs     int64             `json:"durationMs"`
	Watermark      *struct {
		U string `json:"u"`
		G string `json:"g"`
	} `json:"watermark"`
}

type counts struct{ Seen, Added, Updated, Deleted, Unchanged, Held int }

// run imports in full and waits; the outcome may be anything.
func (w *world) run() (runRow, stack.Result) {
	w.Helper()
	return w.runMode("full")
}

// runMode imports and waits; the outcome may be anything.
func (w *world) runMode(mode string) (runRow, stack.Result) {
	w.Helper()
	return w.rowOf(w.starter("", "run", w.name, "--mode", mode, "--wait", "-o", "json"))
}

// rowOf reads the run that a command printed.
func (w *world) rowOf(r stack.Result) (runRow, stack.Result) {
	w.Helper()
	var row runRow
	require.NoError(w, json.Unmarshal([]byte(r.Stdout), &row), "%q\n%s", r.Stdout, r.Stderr)
	return row, r
}

// completed imports in full and requires that the run completed.
func (w *world) completed() runRow {
	w.Helper()
	return w.completedMode("full")
}

// completedMode imports and requires that the run completed.
func (w *world) completedMode(mode string) runRow {
	w.Helper()
	row, r := w.runMode(mode)
	require.Equal(w, "Completed", row.Outcome, "%+v\n%s", row, r.Stderr)
	require.Zero(w, r.Code)
	return row
}

// start begins a full import and returns its run id.
func (w *world) start() string {
	w.Helper()
	return w.startMode("full")
}

// startMode begins an import and returns its run id.
func (w *world) startMode(mode string) string {
	w.Helper()
	var started struct{ RunID string }
	require.NoError(w, json.Unmarshal([]byte(w.ok(w.starter("", "run", w.name, "--mode", mode))), &started))
	return started.RunID
}

// wait polls until a run has ended.
func (w *world) wait(runID string) runRow {
	w.Helper()
	store := w.store()
	w.waitFor(5*time.Minute, "run "+runID+" ends", func() bool { // a loaded machine recovers slowly
		r, err := store.Run(w.Context(), runID)
		return err == nil && r.Outcome != ""
	})
	row, _ := w.rowOf(w.starter("", "runs", "show", runID, "-o", "json"))
	return row
}

// store opens the world's mesh in this process, to look at it often.
func (w *world) store() mesh.Store {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mesh == nil {
		store, err := mesh.Open(w.Context(), w.stack.Database())
		require.NoError(w, err)
		w.mesh = store
		w.Cleanup(func() { require.NoError(w, store.Close()) })
	}
	return w.mesh
}

type object struct {
	Type, ExternalID, State string
	Attributes              map[string]any
}

type change struct {
	Seq        int
	Op         string
	Type       string
	ExternalID string
	Attributes map[string]any
	Changed    []string
	Reason     string
	RunID      string
}

// objects returns the mesh's live objects by type and external id.
func (w *world) objects() map[string]object {
	w.Helper()
	all := make(map[string]object)
	for _, o := range lines[object](w, w.ok(w.starter("", "objects", w.name, "-o", "jsonl"))) {
		key := o.Type + " " + o.ExternalID
		require.NotContains(w, all, key, "an object is in the mesh once")
		require.Equal(w, "live", o.State)
		all[key] = o
	}
	return all
}

// requireSame requires that two worlds hold the same objects. A difference of large
// maps is not printed whole.
func requireSame(t *testing.T, want, got map[string]object) {
	t.Helper()
	for key, o := range want {
		require.Equal(t, o, got[key], key)
	}
	for key := range got {
		_, ok := want[key]
		require.True(t, ok, key)
	}
}

// changes returns the feed after since and requires that it has no gap.
func (w *world) changes(since int) []change {
	w.Helper()
	rows := lines[change](w, w.ok(w.starter("", "changes", w.name, "--since", fmt.Sprint(since), "-o", "jsonl")))
	for i, c := range rows {
		require.Equal(w, since+i+1, c.Seq, "the feed has no gap")
	}
	return rows
}

func lines[T any](t require.TestingT, text string) []T {
	var rows []T
	dec := json.NewDecoder(strings.NewReader(text))
	for dec.More() {
		var row T
		require.NoError(t, dec.Decode(&row))
		rows = append(rows, row)
	}
	return rows
}

// client reaches the Temporal server of the world.
func (w *world) client() client.Client {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := w.clients[w.namespace]; ok {
		return c
	}
	c, err := client.Dial(client.Options{HostPort: w.stack.TemporalAddr, Namespace: cmp.Or(w.namespace, client.DefaultNamespace), Logger: quiet{}})
	require.NoError(w, err)
	w.Cleanup(c.Close)
	w.clients[w.namespace] = c
	return c
}

// waitLimit is how long a test waits for what happens in the background.
const waitLimit = time.Minute

// waitFor waits for what happens in the background. f runs on the test's goroutine: it
// may require.
func waitFor(w *world, what string, f func() bool) {
	w.Helper()
	w.waitFor(waitLimit, what, f)
}

func (w *world) waitFor(limit time.Duration, what string, f func() bool) {
	w.Helper()
	over := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-over:
			require.Fail(w, "it did not happen within "+limit.String(), what)
		}
	}
}

// quiet drops the log of a client.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
