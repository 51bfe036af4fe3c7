package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

var weekly = []string{"schedule", "apply", "contoso", "--every", "15m", "--reconcile", "sun 2:00", "--timezone", "Europe/Berlin"}

// stored is the one schedule of the bench's Temporal.
func (b *bench) stored() *client.ScheduleDescription {
	b.t.Helper()
	require.Len(b.t, b.temporal.schedules.all, 1)
	require.NotNil(b.t, b.temporal.schedules.all["import-contoso"])
	return b.temporal.schedules.all["import-contoso"]
}

func TestScheduleApply(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fails(exitError, `connector "contoso" does not exist`, weekly...)
	require.Empty(t, b.dialed)
	b.apply("contoso")
	require.Equal(t, "schedule of connector contoso created: every 15m, reconcile Sun 02:00 Europe/Berlin\n", b.ok(weekly...))
	require.Equal(t, map[string]any{"appliedBy": "ada@desk"}, b.temporal.schedules.memo)

	d := b.stored()
	spec, policy, action := partsOf(d)
	require.Equal(t, []client.ScheduleIntervalSpec{{Every: 15 * time.Minute}}, spec.Intervals)
	require.Equal(t, "Sun 02:00 Europe/Berlin", calendarText(spec))
	require.Equal(t, 30*time.Second, spec.Jitter)
	require.Equal(t, enums.SCHEDULE_OVERLAP_POLICY_SKIP, policy.Overlap)
	require.Equal(t, 15*time.Minute, policy.CatchupWindow)
	require.Equal(t, "import-contoso-auto", action.ID)
	require.Equal(t, "test-queue", action.TaskQueue)
	require.Equal(t, "Scheduled import of contoso", action.StaticSummary)
	name, _ := action.TypedSearchAttributes.GetKeyword(workflows.ConnectorAttribute)
	require.Equal(t, "contoso", name)
	in, err := inputOf(d, nil)
	require.NoError(t, err)
	require.Equal(t, workflows.ImportInput{Connector: "contoso", Mode: workflows.Auto,
		Cadence: &workflows.Cadence{Every: "15m", Reconcile: "Sun 02:00", Timezone: "Europe/Berlin"}}, in)
	require.Equal(t, "applied by ada@desk", d.Schedule.State.Note)

	require.Contains(t, b.ok("schedule", "apply", "contoso", "--every", "900s", "--reconcile", "Sunday 02:00", "--timezone", "Europe/Berlin"), "contoso unchanged")
	require.Zero(t, b.temporal.schedules.updates)

	require.Equal(t, "schedule of connector contoso changed: every 5m, no reconcile\n"+
		"  every: 15m → 5m\n  reconcile: Sun 02:00 Europe/Berlin → none\n  catch-up window: 15m0s → 5m0s\n",
		b.ok("schedule", "apply", "contoso", "--every", "5m"))
	require.Equal(t, 1, b.temporal.schedules.updates)

	b.ok("schedule", "pause", "contoso", "--note", "Okta maintenance")
	var a applied
	require.NoError(t, json.Unmarshal([]byte(b.ok("schedule", "apply", "contoso", "--every", "10m", "-o", "json")), &a))
	require.Equal(t, "changed", a.Result)
	require.Contains(t, a.Changes, change{"every", "5m", "10m"})
	require.True(t, a.Paused)
	require.Contains(t, b.err.String(), "starter schedule resume contoso")
	require.True(t, b.stored().Schedule.State.Paused, "a changed cadence resumes nothing")
	require.Equal(t, "paused by ada@desk: Okta maintenance", b.stored().Schedule.State.Note)
}

// TestScheduleCommandsWithoutTheMesh: they need Temporal alone.
func TestScheduleCommandsWithoutTheMesh(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.ok(weekly...)
	away := func(verb string) int {
		c := b.cli()
		c.openStore = func(context.Context) (mesh.Store, error) { return nil, errors.New("the mesh is away") }
		return c.run(t.Context(), []string{"schedule", verb, "contoso"})
	}
	require.Equal(t, exitOK, away("delete"), b.err.String())
	require.Equal(t, exitError, away("pause"))
	require.Contains(t, b.err.String(), "connector contoso has no schedule")
	require.NotContains(t, b.err.String(), "away")
}

func TestScheduleApplyUndoesWhatOthersChanged(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.ok(weekly...)
	b.stored().Schedule.Policy.Overlap = enums.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL
	_, _, action := partsOf(b.stored())
	action.TaskQueue = "other"
	text := b.ok(weekly...)
	require.Contains(t, text, "  overlap policy: AllowAll → Skip\n")
	require.Contains(t, text, "  task queue: other → test-queue\n")
	require.Contains(t, b.ok(weekly...), "unchanged")
}

func TestScheduleApplyWithoutSearchAttributes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.temporal.schedules.createErr = []error{serviceerror.NewInvalidArgument("IdentityMeshConnector is not defined")}
	require.Contains(t, b.ok(weekly...), "created")
	require.Contains(t, b.err.String(), "the scheduled runs go without them")
	_, _, action := partsOf(b.stored())
	require.Zero(t, action.TypedSearchAttributes.Size())

	require.Contains(t, b.ok(weekly...), "search attributes: none → set", "somebody has registered them since")
}

func TestScheduleApplyRaces(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.temporal.schedules.createErr = []error{temporal.ErrScheduleAlreadyRunning}
	b.fails(exitError, "has no schedule", weekly...) // and it is gone again
	b.temporal.schedules.createErr = []error{serviceerror.NewPermissionDenied("no", "")}
	b.fails(exitError, "may not manage schedules", weekly...)
}

func TestSchedulePolicies(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ catchUp, jitter time.Duration }{
		"1s":   {time.Minute, 100 * time.Millisecond},
		"1m":   {time.Minute, 6 * time.Second},
		"15m":  {15 * time.Minute, 30 * time.Second},
		"24h":  {time.Hour, 30 * time.Second},
		"":     {time.Hour, 30 * time.Second},
		"1h1m": {time.Hour, 30 * time.Second},
	}
	for every, tt := range tests {
		p, err := newSchedulePlan("contoso", "q", workflows.Cadence{Every: every, Reconcile: "Sun 02:00"})
		require.NoError(t, err)
		require.Equal(t, tt.catchUp, p.catchUp(), every)
		require.Equal(t, tt.jitter, p.jitter(), every)
		require.Equal(t, "UTC", p.cadence.Timezone)
	}
}

func TestShortDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{0: "", 15 * time.Minute: "15m", time.Hour: "1h", 90 * time.Second: "1m30s",
		61 * time.Minute: "1h1m", 10 * time.Second: "10s", time.Hour + time.Second: "1h0m1s"} {
		require.Equal(t, want, shortDuration(d))
	}
}

func TestScheduleShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.fails(exitError, "connector contoso has no schedule: make one with 'starter schedule apply contoso", "schedule", "show", "contoso")
	b.fails(exitError, `connector "nobody" does not exist`, "schedule", "show", "nobody")
	b.ok(weekly...)
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	d := b.stored()
	d.Info.RecentActions = []client.ScheduleActionResult{
		{ScheduleTime: fixedNow.Add(-time.Hour), StartWorkflowResult: &client.ScheduleWorkflowExecution{WorkflowID: "w1", FirstExecutionRunID: someRun}},
		{ScheduleTime: fixedNow, StartWorkflowResult: &client.ScheduleWorkflowExecution{WorkflowID: "w2", FirstExecutionRunID: otherRun}},
	}
	d.Info.RunningWorkflows = []client.ScheduleWorkflowExecution{{WorkflowID: "w2", FirstExecutionRunID: otherRun}}
	d.Info.NumActionsSkippedOverlap = 3

	text := b.ok("schedule", "show", "contoso")
	for _, line := range []string{
		`Cadence +every 15m, reconcile Sun 02:00 Europe/Berlin`, `State +active`, `Note +applied by ada@desk`,
		`Next +2026-04-22 08:16:30Z, 2026-04-22 08:17:30Z`, `Overlap policy +Skip`, `Catch-up window +15m`, `Jitter +30s`,
		`Ticks skipped +3 while an import ran, 0 beyond.*`, `Running +` + otherRun,
		`2026-04-22 08:15:30Z +` + otherRun + ` +- +-`, `2026-04-22 07:15:30Z +` + someRun + ` +Full +Completed`,
	} {
		require.Regexp(t, `(?m)^`+line+`$`, text)
	}
	var v scheduleView
	require.NoError(t, json.Unmarshal([]byte(b.ok("schedule", "show", "contoso", "-o", "json")), &v))
	require.Equal(t, &workflows.Cadence{Every: "15m", Reconcile: "Sun 02:00", Timezone: "Europe/Berlin"}, v.Cadence)
	require.Equal(t, mesh.Completed, v.Last[1].Outcome, "the newest first")
	require.Len(t, v.Next, 2)

	b.ok("schedule", "pause", "contoso")
	text = b.ok("schedule", "show", "contoso")
	require.Regexp(t, `(?m)^State +paused$`, text)
	require.Regexp(t, `(?m)^Next +-$`, text)

	b.apply("acme")
	b.temporal.schedules.all["import-gone"] = d
	text = b.ok("schedule", "show", "--all")
	require.Regexp(t, `(?m)^contoso +every 15m, reconcile Sun 02:00 Europe/Berlin +paused +- +2026-04-22 08:15:30Z$`, text)
	require.Contains(t, b.err.String(), "Without a schedule: acme")
	require.Contains(t, b.err.String(), "'starter schedule delete gone'")
	var all []scheduleView
	require.NoError(t, json.Unmarshal([]byte(b.ok("schedule", "show", "--all", "-o", "json")), &all))
	require.Len(t, all, 1)
}

func TestScheduleCommands(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	for _, verb := range []string{"pause", "resume", "trigger", "delete"} {
		b.fails(exitError, "connector contoso has no schedule", "schedule", verb, "contoso")
	}
	for _, args := range [][]string{{"pause"}, {"resume"}, {"trigger"}, {"delete"}, {"backfill", "--from", "2026-04-22T08:00:00Z"}, {"export"}} {
		b.fails(exitError, `connector "nobody" does not exist; known connectors: contoso`, append([]string{"schedule", args[0], "nobody"}, args[1:]...)...)
	}
	b.ok(weekly...)
	require.Equal(t, "schedule of connector contoso paused\n", b.ok("schedule", "pause", "contoso"))
	require.Equal(t, "paused by ada@desk", b.stored().Schedule.State.Note)
	require.Equal(t, "schedule of connector contoso resumed\n", b.ok("schedule", "resume", "contoso", "--note", "over"))
	require.Equal(t, "resumed by ada@desk: over", b.stored().Schedule.State.Note)
	require.False(t, b.stored().Schedule.State.Paused)

	b.ok("schedule", "trigger", "contoso")
	require.Equal(t, 1, b.temporal.schedules.triggered)
	b.stored().Info.RunningWorkflows = []client.ScheduleWorkflowExecution{{WorkflowID: "w", FirstExecutionRunID: otherRun}}
	b.fails(exitError, "starter watch "+otherRun, "schedule", "trigger", "contoso")
	require.Equal(t, 1, b.temporal.schedules.triggered)

	b.ok("schedule", "backfill", "contoso", "--from", "2026-04-22T06:00:00Z")
	require.Equal(t, []client.ScheduleBackfill{{Start: fixedNow.Add(-135*time.Minute - 30*time.Second), End: fixedNow,
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL}}, b.temporal.schedules.backfills)
	b.fails(exitError, "Temporal queues 1000 at most", "schedule", "backfill", "contoso", "--from", "2026-01-01T00:00:00Z")

	require.Equal(t, "schedule of connector contoso deleted\n", b.ok("schedule", "delete", "contoso"))
	require.Empty(t, b.temporal.schedules.all)
}

func TestScheduleErrorsNameARemedy(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"TEMPORAL_NAMESPACE":        serviceerror.NewNamespaceNotFound("identity"),
		"may not manage schedules":  serviceerror.NewPermissionDenied("no", ""),
		"release 1.18":              serviceerror.NewUnimplemented("what?"),
		"try again in a minute":     serviceerror.NewResourceExhausted(enums.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT, "slow down"),
		"Temporal does not answer":  serviceerror.NewUnavailable("connection refused"),
		"show the schedule of conn": errors.New("odd"),
	} {
		b := newBench(t)
		b.apply("contoso")
		b.temporal.schedules.err = err
		b.fails(exitError, want, "schedule", "show", "contoso")
		require.Contains(t, b.err.String(), err.Error())
	}
}

func TestAutoRunTakesTheSchedulesCadence(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.ok("run", "contoso")
	b.ok(weekly...)
	b.ok("run", "contoso", "--mode", "AUTO")
	b.ok("run", "contoso", "--mode", "delta")
	cadence := &workflows.Cadence{Every: "15m", Reconcile: "Sun 02:00", Timezone: "Europe/Berlin"}
	require.Equal(t, []workflows.ImportInput{
		{Connector: "contoso", Mode: workflows.Auto}, {Connector: "contoso", Mode: workflows.Auto, Cadence: cadence},
		{Connector: "contoso", Mode: workflows.Delta},
	}, b.temporal.inputs)
	require.Regexp(t, `^import-contoso-auto-20260422T081530Z-`, b.temporal.started[1].ID)

	_, _, action := partsOf(b.stored())
	action.Args = nil
	b.fails(exitError, "apply it again", "run", "contoso")
	b.temporal.schedules.err = serviceerror.NewUnavailable("connection refused")
	b.fails(exitError, "Temporal does not answer", "run", "contoso")
}

func TestStatusShowsTheSchedule(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	require.Regexp(t, `(?m)^Schedule +none$`, b.ok("status", "contoso"))
	b.ok(weekly...)
	text := b.ok("status", "contoso")
	require.Regexp(t, `(?m)^Schedule +every 15m, reconcile Sun 02:00 Europe/Berlin$`, text)
	require.Regexp(t, `(?m)^Next run +2026-04-22 08:16:30Z$`, text)
	b.ok("schedule", "pause", "contoso", "--note", "lunch")
	require.Regexp(t, `(?m)^Next run +paused: paused by ada@desk: lunch$`, b.ok("status", "contoso"))
	var s status
	require.NoError(t, json.Unmarshal([]byte(b.ok("status", "contoso", "-o", "json")), &s))
	require.True(t, s.Schedule.Paused)
}

func TestConnectorDeleteTakesTheScheduleAlong(t *testing.T) {
	t.Parallel()
	t.Run("schedule and hold", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
		b.ok(weekly...)
		b.hold = someHold()
		require.Equal(t, exitError, b.run("connector", "delete", "contoso"))
		require.Len(t, b.temporal.schedules.all, 1, "a refused delete leaves the schedule")

		require.Equal(t, "connector contoso deleted\n", b.ok("connector", "delete", "contoso", "--purge"))
		require.Contains(t, b.err.String(), "The schedule of connector contoso is deleted.")
		require.Empty(t, b.temporal.schedules.all)
		require.Equal(t, []string{"hold-contoso: connector contoso was deleted by ada@desk"}, b.temporal.terminated)
	})
	t.Run("without Temporal", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		b.seed("contoso", someRun)
		b.dialErr = errors.New("nobody there")
		b.fails(exitError, "start Temporal, or correct TEMPORAL_ADDRESS, and try again", "connector", "delete", "contoso", "--purge")
		b.apply("typo")
		b.ok("connector", "delete", "typo")
		require.Contains(t, b.err.String(), "starter schedule delete typo", "it never ran: most likely there is none")
	})
	t.Run("schedule not to be deleted", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		b.temporal.schedules.err = serviceerror.NewPermissionDenied("no", "")
		b.fails(exitError, "connector contoso was not deleted: delete the schedule of connector contoso: no; these credentials", "connector", "delete", "contoso")
		b.withStore(func(ctx context.Context, store mesh.Store) {
			_, err := store.Connector(ctx, "contoso")
			require.NoError(t, err)
		})
	})
}
