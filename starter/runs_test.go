package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

const otherRun = "0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a12"

// failed ends a run of the bench's mesh.
func (b *bench) failed(connector, runID, message string) {
	b.t.Helper()
	b.begin(connector, runID)
	b.withStore(func(ctx context.Context, store mesh.Store) {
		_, err := store.End(ctx, runID, mesh.Failed, message)
		require.NoError(b.t, err)
	})
}

func TestRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	require.Empty(t, b.ok("runs", "contoso"))
	require.Contains(t, b.err.String(), "has not run yet")
	require.JSONEq(t, `[]`, b.ok("runs", "contoso", "-o", "json"))

	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.failed("contoso", otherRun, "Okta says:\n no")
	var runs []mesh.Run
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "contoso", "-o", "json")), &runs))
	require.Len(t, runs, 2)
	require.Equal(t, otherRun, runs[0].RunID, "the newest first")
	require.Equal(t, mesh.Failed, runs[0].Outcome)
	require.Equal(t, "Okta says:\n no", runs[0].Error)
	require.Len(t, runs[0].Counts, 3, "every type, even of a run that read nothing")

	text := b.ok("runs", "contoso")
	require.Regexp(t, `(?m)^RUN +MODE +OUTCOME +STARTED +DURATION +ADDED +UPDATED +DELETED +CALLS +ERROR OR NOTE$`, text)
	require.Regexp(t, `(?m)^`+otherRun+` +Full +Failed .* Okta says: no$`, text)
	require.Regexp(t, `(?m)^`+someRun+` +Full +Completed .* 3 +0 +0 +3 *$`, text)

	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "contoso", "--limit", "1", "-o", "json")), &runs))
	require.Len(t, runs, 1)

	require.Regexp(t, `(?m)^Error +Okta says: no$`, b.ok("runs", "show", otherRun))
	b.fails(exitError, `run "nobody" does not exist`, "runs", "show", "nobody")
	b.fails(exitUsage, "needs exactly one argument, RUN", "runs", "show")
}

func TestRunsDefaultLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.withStore(func(ctx context.Context, store mesh.Store) {
		for i := range defaultRuns + 2 {
			id := fmt.Sprintf("run-%02d", i)
			_, err := store.Begin(ctx, mesh.BeginRun{Connector: "contoso", RunID: id, Mode: "Full", LeaseTTL: time.Hour})
			require.NoError(t, err)
			_, err = store.End(ctx, id, mesh.Failed, "no")
			require.NoError(t, err)
		}
	})
	var runs []mesh.Run
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "contoso", "-o", "json")), &runs))
	require.Len(t, runs, defaultRuns)
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "contoso", "--limit", "0", "-o", "json")), &runs))
	require.Len(t, runs, defaultRuns+2)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.dialErr = errors.New("nobody there")
	text := b.ok("status", "contoso")
	require.Regexp(t, `(?m)^Schedule +not known: nobody there$`, text)
	require.Regexp(t, `(?m)^Watermark set +\d{4}-.* by run `+someRun+`$`, text)
	require.Regexp(t, `(?m)^Org +https://contoso.okta.com$`, text)
	require.Regexp(t, `(?m)^Live objects +1 User, 1 Group, 1 GroupMember$`, text)
	require.Regexp(t, `(?m)^Watermark +\{"u":"2026-04-22T08:15:30.000Z","g":"2026-04-22T08:15:30.000Z"\}$`, text)
	require.Regexp(t, `(?m)^Running +nothing$`, text)
	require.Contains(t, text, someRun)

	var s map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.ok("status", "contoso", "-o", "json")), &s))
	require.Nil(t, s["running"])
	require.Equal(t, map[string]any{"u": "2026-04-22T08:15:30.000Z", "g": "2026-04-22T08:15:30.000Z"}, s["watermark"])
	require.Equal(t, `{"u":"2026-04-22T08:15:30.000Z","g":"2026-04-22T08:15:30.000Z"}`, s["watermarkText"])
	require.Equal(t, "contoso", s["definition"].(map[string]any)["Name"])
	require.Len(t, s["runs"], 1)
}

func TestStatusOfARunUnderWay(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.begin("contoso", someRun)
	b.temporal.progress = reading
	text := b.ok("status", "contoso")
	require.Regexp(t, `(?m)^Running +run `+someRun+` \(Full\), since `, text)
	require.Regexp(t, `(?m)^Progress +Reading, users 400`, text)
	require.Regexp(t, `(?m)^`+someRun+` +Full +running`, text)
	require.Equal(t, []string{"identity", ""}, b.dialed, "the run's namespace, then the schedule's")
	require.Equal(t, "import-contoso-full-x", b.temporal.queried)

	var s status
	require.NoError(t, json.Unmarshal([]byte(b.ok("status", "contoso", "-o", "json")), &s))
	require.Equal(t, someRun, s.Running.RunID)
	require.Equal(t, 400, s.Running.Progress.Users.Seen)

	b.dialErr = errors.New("nobody there")
	require.Regexp(t, `(?m)^Running +run `+someRun, b.ok("status", "contoso"))
	require.Contains(t, b.err.String(), "the progress of run "+someRun+" is not known: nobody there")
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.begin("contoso", someRun)
	require.Equal(t, "cancellation of run "+someRun+" requested\n", b.ok("cancel", someRun))
	require.Equal(t, []string{"import-contoso-full-x"}, b.temporal.cancelled)
	require.Equal(t, []string{"identity"}, b.dialed)

	info := func(s enums.WorkflowExecutionStatus, first string) *workflow.WorkflowExecutionInfo {
		return &workflow.WorkflowExecutionInfo{Status: s, FirstRunId: first}
	}
	b.temporal.describe = info(enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, someRun)
	b.fails(exitError, "has already ended: its workflow is Terminated", "cancel", someRun)
	b.temporal.describe = info(enums.WORKFLOW_EXECUTION_STATUS_RUNNING, otherRun)
	b.fails(exitError, "is now another run, "+otherRun, "cancel", someRun)
	b.temporal.describe = info(enums.WORKFLOW_EXECUTION_STATUS_RUNNING, someRun)
	b.temporal.cancelErr = serviceerror.NewNotFound("workflow execution already completed")
	b.fails(exitError, "has already ended: just now", "cancel", someRun)
	b.temporal.cancelErr = serviceerror.NewPermissionDenied("not you", "")
	b.fails(exitError, "not you", "cancel", someRun)

	b.temporal.describeErr = serviceerror.NewNotFound("workflow not found")
	require.Contains(t, b.ok("cancel", someRun), "Temporal no longer knows workflow import-contoso-full-x")
	b.withStore(func(ctx context.Context, store mesh.Store) {
		run, err := store.Run(ctx, someRun)
		require.NoError(t, err)
		require.Equal(t, mesh.Cancelled, run.Outcome)
		holder, err := store.Holder(ctx, "contoso")
		require.NoError(t, err)
		require.Empty(t, holder, "the next run begins at once")
	})
}

func TestCancelWhatTheMeshDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.temporal.found = "import-contoso-full-y"
	b.ok("cancel", someRun)
	require.Equal(t, "RunId = '"+someRun+"'", b.temporal.listed)
	require.Equal(t, []string{"import-contoso-full-y"}, b.temporal.cancelled)
	require.Equal(t, []string{""}, b.dialed)

	b.temporal.found, b.temporal.listed = "", ""
	b.fails(exitError, `run "`+someRun+`" does not exist, neither in the mesh nor`, "cancel", someRun)
	b.temporal.listed = ""
	b.fails(exitError, `does not exist`, "cancel", "x' OR RunId != 'x")
	require.Empty(t, b.temporal.listed, "nothing odd goes into the query")
}

func TestCancelAnEndedRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.fails(exitError, "run "+someRun+" has already ended: Completed", "cancel", someRun)
	require.Empty(t, b.dialed)
}

func TestWatch(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.fails(exitError, "no run is importing connector contoso now", "watch", "contoso")

	b.begin("contoso", someRun)
	b.temporal.progress = reading
	b.temporal.end = func(ctx context.Context) (*workflows.ImportResult, error) {
		b.withStore(func(_ context.Context, store mesh.Store) {
			_, err := store.End(ctx, someRun, mesh.Cancelled, "cancelled by an operator")
			require.NoError(t, err)
		})
		return nil, workflowError(t, errors.New("cancelled"))
	}
	require.Equal(t, exitError, b.run("watch", "contoso", "-o", "json"))
	var run mesh.Run
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &run))
	require.Equal(t, someRun, run.RunID)
	require.Equal(t, mesh.Cancelled, run.Outcome)
	require.Equal(t, []string{"identity"}, b.dialed)

	b.dialed = nil
	require.Equal(t, exitError, b.run("watch", someRun))
	require.Regexp(t, `(?m)^Outcome +Cancelled$`, b.out.String())
	require.Empty(t, b.dialed, "a run that has ended needs no Temporal")
}

func TestWatchCompletedRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	require.Contains(t, b.ok("watch", someRun), "Completed")
}

func TestWatchWhatTheMeshDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.fails(exitError, "does not exist", "watch", someRun)
	b.temporal.found = "import-contoso-full-y"
	b.importing(object(mesh.User, "00u1", nil))
	require.Contains(t, b.ok("watch", someRun, "-q"), "Completed")
	require.Equal(t, "import-contoso-full-y", b.temporal.queried)
}
