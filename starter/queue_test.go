package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/workflows"
)

// onQueue is a definition on a task queue, "" for none.
func onQueue(name, queue string) string {
	d := connector.Template(name, "contoso.okta.com", "secret://okta/contoso/apitoken")
	d.Config.TaskQueue = queue
	return string(d.JSON())
}

// route applies a definition on a task queue and returns what the command noted.
func (b *bench) route(queue string) string {
	b.t.Helper()
	b.stdin = strings.NewReader(onQueue("contoso", queue))
	b.ok("connector", "apply", "-f", "-")
	return b.err.String()
}

// newRouted is a bench with connector contoso on task queue relay.
func newRouted(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.shared = true
	require.NotContains(t, b.route("relay"), "warning")
	require.Empty(t, b.dialed, "a new connector has no schedule")
	return b
}

func TestCommandsUseTheConnectorsQueue(t *testing.T) {
	t.Parallel()
	b := newRouted(t)
	b.temporal.idle = true
	b.ok("run", "contoso", "--mode", "full")
	require.Equal(t, "relay", b.temporal.started[0].TaskQueue)
	require.Contains(t, b.err.String(), `warning: the run waits: no worker polls task queue "relay". Start one with 'IDENTITYMESH_TASK_QUEUE=relay worker', in the network`)
	b.ok(weekly...)
	_, _, action := partsOf(b.stored())
	require.Equal(t, "relay", action.TaskQueue)
	require.Regexp(t, `(?m)^Task queue +relay: imported by its workers only$`, b.ok("connector", "show", "contoso"))
	def, err := connector.Parse([]byte(b.ok("connector", "show", "contoso", "-o", "json")))
	require.NoError(t, err)
	require.Equal(t, "relay", def.Config.TaskQueue)

	b.hold = someHold()
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.temporal.updateErr = []error{serviceerror.NewNotFound("it was terminated")}
	b.ok("reject", someRun)
	require.Equal(t, "relay", b.temporal.started[len(b.temporal.started)-1].TaskQueue)
	b.temporal.updateErr = []error{serviceerror.NewDeadlineExceeded("no poller")}
	b.fails(exitError, `on task queue "relay"`, "reject", someRun)
}

func TestInitTakesATaskQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.stdin = strings.NewReader("a-token\n")
	def, err := connector.Parse([]byte(b.ok("connector", "init", "--domain", "contoso.okta.com", "--task-queue", "relay")))
	require.NoError(t, err)
	require.Equal(t, "relay", def.Config.TaskQueue)
	require.Regexp(t, `(?m)^warning: 'starter connector apply' refuses this definition on the mesh of this machine, .*mesh\.db: .*ConfigJson\.TaskQueue: .*docs/postgresql\.md`, b.err.String())
	b.fails(exitUsage, "ConfigJson.TaskQueue: must be letters", "connector", "init", "--domain", "contoso.okta.com", "--task-queue", "/_sys/x")
}

// TestInitWarnsOfATaskQueueWhereItKnowsTheMesh: it may run where only the file is written.
func TestInitWarnsOfATaskQueueWhereItKnowsTheMesh(t *testing.T) {
	t.Parallel()
	queued := []string{"connector", "init", "--domain", "contoso.okta.com", "--task-queue", "relay"}
	for name, tt := range map[string]struct {
		url       string // "": the bench's file
		made      bool   // that file is there
		elsewhere bool   // the secret is not kept in the mesh
		args      []string
		warns     bool
	}{
		"the secret goes there": {args: queued, warns: true},
		"a file that is there":  {made: true, elsewhere: true, args: queued, warns: true},
		"no file":               {elsewhere: true, args: queued},
		"PostgreSQL":            {url: "postgres://db/mesh", made: true, elsewhere: true, args: queued},
		"no queue":              {made: true, args: queued[:4]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if tt.made {
				b.apply("fabrikam")
			}
			if tt.elsewhere {
				inFiles(b)
			}
			b.stdin = strings.NewReader("a-token\n")
			c := b.cli()
			if tt.url != "" {
				c.database = func() (string, error) { return tt.url, nil }
			}
			require.Equal(t, exitOK, c.run(t.Context(), tt.args), b.err.String())
			_, err := connector.Parse(b.out.Bytes())
			require.NoError(t, err)
			require.Equal(t, tt.warns, strings.Contains(b.err.String(), "warning: "), b.err.String())
		})
	}
}

func TestAQueueNeedsASharedMesh(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.stdin = strings.NewReader(onQueue("contoso", "relay"))
	b.fails(exitError, "ConfigJson.TaskQueue: routes the connector to the worker of another machine, which cannot open a mesh that is an SQLite file", "connector", "apply", "-f", "-")
	require.JSONEq(t, `[]`, b.ok("connector", "list", "-o", "json"))
	b.withStore(func(ctx context.Context, store mesh.Store) { // as a move from PostgreSQL might leave it
		def, err := connector.Parse([]byte(onQueue("contoso", "relay")))
		require.NoError(t, err)
		_, err = store.ApplyConnector(ctx, mesh.Connector{Name: "contoso", Type: "Okta", ConfigJSON: def.ConfigJSON(), AuthJSON: def.AuthJSON()})
		require.NoError(t, err)
	})
	b.run("connector", "check", "contoso", "--no-temporal", "-o", "json")
	var report preflight.Report
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &report))
	require.Equal(t, preflight.Failed, report.Step(preflight.Connector).Result)
	require.Contains(t, report.Step(preflight.Connector).Found, "SQLite file")
	b.stdin = strings.NewReader(onQueue("contoso", "relay"))
	b.run("connector", "check", "-f", "-", "--no-temporal", "-o", "json")
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &report))
	require.Contains(t, report.Step(preflight.Connector).Found, "SQLite file")
}

// TestAnotherQueueTakesEverythingAlong: the schedule and its paused state, the runs under
// way, the open hold.
func TestAnotherQueueTakesEverythingAlong(t *testing.T) {
	t.Parallel()
	b := newRouted(t)
	b.ok(weekly...)
	b.ok("schedule", "pause", "contoso")
	fence := b.begin("contoso", someRun)
	b.hold = someHold()
	b.temporal.queues = map[string]string{"import-contoso-full-x": "relay", "import-contoso-auto-1": "relay", "hold-contoso": "relay"}
	b.stored().Info.RunningWorkflows = []client.ScheduleWorkflowExecution{{WorkflowID: "import-contoso-auto-1"}}
	b.temporal.started = nil

	said := b.route("second")
	require.Contains(t, said, `The schedule of connector contoso starts its imports on task queue "second" now; until now it did on "relay".`)
	require.Contains(t, said, `which was under way on task queue "relay", is ended`)
	require.Contains(t, said, `The deletes that are held for connector contoso wait on task queue "second" now; until now they did on "relay".`)
	spec, _, action := partsOf(b.stored())
	require.Equal(t, "second", action.TaskQueue)
	require.Equal(t, "Sun 02:00 Europe/Berlin", calendarText(spec))
	require.True(t, b.stored().Schedule.State.Paused)
	require.Equal(t, []string{
		"import-contoso-full-x: the connector was moved to task queue second by ada@desk",
		"import-contoso-auto-1: the connector was moved to task queue second by ada@desk",
		"hold-contoso: moved to task queue second by ada@desk",
	}, b.temporal.terminated)
	require.Equal(t, "second", b.temporal.started[0].TaskQueue)
	require.Equal(t, []workflows.HoldInput{{Connector: "contoso"}}, b.temporal.holds)
	b.withStore(func(ctx context.Context, store mesh.Store) {
		run, err := store.Run(ctx, someRun)
		require.NoError(t, err)
		require.Equal(t, mesh.Cancelled, run.Outcome)
		require.Contains(t, run.Error, "the connector was moved to task queue second by ada@desk")
		require.ErrorAs(t, store.Renew(ctx, fence, 1), new(*mesh.FencedError), "nothing of it is written any more")
	})

	// Once more: everything is where it belongs.
	b.temporal.queues = map[string]string{"hold-contoso": "second", "import-contoso-auto-1": "second"}
	b.temporal.terminated = nil
	require.NotContains(t, b.route("second"), "now; until now")
	require.Empty(t, b.temporal.terminated)

	// And back to the queue of everybody.
	b.temporal.queues = map[string]string{"hold-contoso": "second", "import-contoso-auto-1": "second"}
	require.Contains(t, b.route(""), `on task queue "test-queue" now; until now it did on "second"`)
	_, _, action = partsOf(b.stored())
	require.Equal(t, "test-queue", action.TaskQueue)
	require.Len(t, b.temporal.terminated, 2)
	b.dialed = nil
	b.route("")
	require.Empty(t, b.dialed, "a connector without a route does not need Temporal")
}

// TestAQueueThatCannotBeFollowed: the definition counts, and the operator is told what may
// be left behind.
func TestAQueueThatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(b *bench){
		"no Temporal":         func(b *bench) { b.dialErr = errors.New("connection refused") },
		"no schedule is told": func(b *bench) { b.temporal.schedules.err = serviceerror.NewPermissionDenied("not you", "") },
		"a foreign schedule":  func(b *bench) { _, _, a := partsOf(b.stored()); a.Args = nil },
		"no run is told": func(b *bench) {
			b.begin("contoso", someRun)
			b.temporal.describeErr = serviceerror.NewUnavailable("down")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRouted(t)
			b.ok(weekly...)
			spoil(b)
			said := b.route("second")
			require.Contains(t, said, `warning: connector contoso is imported on task queue "second" from now on, but`)
			require.Contains(t, b.ok("connector", "show", "contoso", "-o", "json"), `"TaskQueue": "second"`)
		})
	}
}

// TestAnAnswerFollowsTheConnector: a hold whose workflow waits where nobody may be any more
// is answered all the same.
func TestAnAnswerFollowsTheConnector(t *testing.T) {
	t.Parallel()
	b := newRouted(t)
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.hold = someHold()
	b.temporal.queues = map[string]string{"hold-contoso": "gone"}
	b.ok("reject", someRun)
	require.Equal(t, []string{"hold-contoso: moved to task queue relay by ada@desk"}, b.temporal.terminated)
	require.Equal(t, "relay", b.temporal.started[0].TaskQueue)
	require.Len(t, b.temporal.updated, 1)

	b.temporal.terminated = nil
	b.temporal.describe = &workflow.WorkflowExecutionInfo{Status: enums.WORKFLOW_EXECUTION_STATUS_COMPLETED}
	b.ok("reject", someRun)
	require.Empty(t, b.temporal.terminated)
}

// TestCheckLooksAtTheQueue of the connector, and of its schedule.
func TestCheckLooksAtTheQueue(t *testing.T) {
	t.Parallel()
	b := newRouted(t)
	b.ok(weekly...)
	steps := func(queue string) map[preflight.ID]preflight.Step {
		all := map[preflight.ID]preflight.Step{}
		for _, s := range b.cli().checkTemporal(t.Context(), "contoso", queue) {
			all[s.ID] = s
		}
		return all
	}
	s := steps("relay")
	require.Equal(t, `polls task queue "relay"`, s[stepWorker].Found)
	require.Equal(t, preflight.OK, s[stepSchedule].Result)
	b.temporal.idle = true
	s = steps("second")
	require.Contains(t, s[stepWorker].Advice, "IDENTITYMESH_TASK_QUEUE=second worker")
	require.Equal(t, preflight.Warning, s[stepSchedule].Result)
	require.Equal(t, `starts imports on task queue "relay", and the connector is imported on "second"`, s[stepSchedule].Found)

	b.run("connector", "check", "contoso", "-o", "json")
	var report preflight.Report
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &report))
	require.Equal(t, "relay", report.TaskQueue)
	require.Contains(t, report.Step(stepWorker).Found, `task queue "relay"`)
}
