package integration

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// remote is an org that only a relay agent can read: the central worker has not the secret,
// and does not trust the certificate of the way there.
type remote struct {
	*world

	conns atomic.Int64 // to the org
	relay []string     // what the relay's worker has in its environment
}

// newRemote has the central worker and the commands on the world's queue.
func newRemote(t *testing.T) *remote {
	t.Helper()
	w := newWorldOn(t, pgtest.URL(t), oktasim.Config{Org: generated(t, 120, 5)}, nil)
	w.vars = []string{"IDENTITYMESH_SECRETS=env"}
	r := &remote{world: w}
	server := httptest.NewUnstartedServer(w.sim)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			r.conns.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	r.relay = []string{"IDENTITYMESH_CA_FILE=" + ca, "IDENTITYMESH_SECRET_OKTA__CONTOSO__APITOKEN=oktasim-token"}
	w.addr = strings.TrimPrefix(server.URL, "https://")
	w.cfg = map[string]any{"InsecureLoopback": false, "MaxDeletes": 0}
	return r
}

// agent starts the relay agent's worker on queue.
func (r *remote) agent(queue string) *stack.Process {
	r.Helper()
	p, err := r.stack.Worker(r.Context(), append(append(r.env(), "IDENTITYMESH_TASK_QUEUE="+queue), r.relay...), "--metrics-addr", "")
	require.NoError(r, err)
	return p
}

// queueOf is where a workflow runs.
func queueOf(w *world, workflowID string) string {
	w.Helper()
	d, err := w.client().DescribeWorkflowExecution(w.Context(), workflowID, "")
	require.NoError(w, err)
	return d.GetExecutionConfig().GetTaskQueue().GetName()
}

// TestRelayAgent routes a connector to a worker in the org's network. However an import is
// started, the central worker sends it there without a connection to the org and without
// the secret, which it has not; and the connector can be routed elsewhere while it has a
// schedule and a hold, to which nobody answers at the old place any more.
func TestRelayAgent(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	relay, second := r.queue+"-relay", r.queue+"-relay-2"
	r.define(map[string]any{"TaskQueue": relay})
	_, base := r.watched()

	// Somebody starts an import where the central worker is: in the Web UI, or an old schedule.
	run, err := r.client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "import-" + r.name + "-by-hand", TaskQueue: r.queue},
		workflows.ImportWorkflow, workflows.ImportInput{Connector: r.name, Mode: workflows.Full})
	require.NoError(t, err)
	waitFor(r.world, "the import goes to the relay agent's queue", func() bool { return queueOf(r.world, run.GetID()) == relay })
	require.Zero(t, r.conns.Load(), "the central worker has no business with the org")
	require.Empty(t, r.runs(), "and has begun nothing")
	res := r.starter("", "run", r.name, "--mode", "delta")
	require.Contains(t, res.Stderr, "no worker polls task queue \""+relay+"\"", "the command knows where the import goes")
	r.ok(r.starter("", "cancel", jsonField(r.world, r.ok(res), "runId")))

	agent := r.agent(relay)
	row := r.wait(run.GetRunID()) // the id that it was started with
	require.Equal(t, "Completed", row.Outcome, row.Error)
	r.requireTrue()
	require.Equal(t, relay, queueOf(r.world, run.GetID()))
	require.Equal(t, row.APICalls, r.sim.Stats().Total)
	require.Empty(t, r.scrape(base)["identitymesh_okta_calls_total"].GetMetric(), "all of them the relay agent's")

	// The schedule, the command and the hold are there, too.
	require.Equal(t, "created", r.applySchedule("--every", "24h").Result)
	d, err := r.client().ScheduleClient().GetHandle(t.Context(), "import-"+r.name).Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, relay, d.Schedule.Action.(*client.ScheduleWorkflowAction).TaskQueue)
	gone := deactivate(r.world, 1)
	holding := held(r.world, "delta", 1)
	require.Equal(t, relay, queueOf(r.world, workflows.HoldWorkflowID(r.name)))

	// The agent is taken away, and another one takes over.
	require.NoError(t, agent.Stop())
	r.ok(r.starter("", "schedule", "trigger", r.name))
	waitFor(r.world, "a tick waits for the agent", func() bool { return len(r.schedule().Running) == 1 })
	res = r.starter(definitionOf(r, second), "connector", "apply", "-f", "-")
	r.ok(res)
	require.Contains(t, res.Stderr, "starts its imports on task queue \""+second+"\" now; until now it did on \""+relay+"\"")
	require.Contains(t, res.Stderr, "which was under way on task queue \""+relay+"\", is ended")
	require.Contains(t, res.Stderr, "wait on task queue \""+second+"\" now")
	d, err = r.client().ScheduleClient().GetHandle(t.Context(), "import-"+r.name).Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, second, d.Schedule.Action.(*client.ScheduleWorkflowAction).TaskQueue)
	r.agent(second)
	before := len(r.runs())
	waitFor(r.world, "the schedule is free", func() bool { return len(r.schedule().Running) == 0 })
	r.ok(r.starter("", "schedule", "trigger", r.name))
	waitFor(r.world, "the next tick runs", func() bool {
		runs := r.runs()
		return len(runs) > before && runs[before].Outcome == mesh.Completed
	})
	decoded, r2 := r.rowOf(r.starter("", "approve", holding.RunID, "--yes", "--wait", "-o", "json"))
	require.Equal(t, "Completed", decoded.Outcome, "%+v %s", decoded, r2.Stderr)
	require.Equal(t, 1, decoded.Counts["User"].Deleted)
	require.False(t, r.has("User "+gone[0]))
	r.requireTrue()

	// A hold that somebody starts at the wrong place goes where it belongs.
	deactivate(r.world, 1)
	held(r.world, "delta", 1)
	id := workflows.HoldWorkflowID(r.name)
	require.NoError(t, r.client().TerminateWorkflow(t.Context(), id, "", "by somebody"))
	_, err = r.client().ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: r.queue}, workflows.HoldWorkflow, workflows.HoldInput{Connector: r.name})
	require.NoError(t, err)
	waitFor(r.world, "the hold goes to its queue", func() bool { return queueOf(r.world, id) == second })

	require.Empty(t, r.scrape(base)["identitymesh_okta_calls_total"].GetMetric())
	for _, run := range r.runs() {
		require.NotEqual(t, mesh.Failed, run.Outcome, run.Error)
	}
}

// definitionOf is the connector's definition as it is stored, on another queue.
func definitionOf(r *remote, queue string) string {
	r.Helper()
	text := r.ok(r.starter("", "connector", "show", r.name, "-o", "json"))
	require.Contains(r, text, `"TaskQueue": "`+r.queue+`-relay"`)
	return strings.Replace(text, `"TaskQueue": "`+r.queue+`-relay"`, `"TaskQueue": "`+queue+`"`, 1)
}

// jsonField is a field of what a command printed.
func jsonField(w *world, text, name string) string {
	w.Helper()
	var fields map[string]string
	decode(w, text, &fields)
	return fields[name]
}
