package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

func TestRunWithoutWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	require.Equal(t, `{"runId":"`+someRun+`"}`+"\n", b.ok("run", "contoso", "--mode", "FULL"))
	require.Contains(t, b.err.String(), "starter watch "+someRun)
	require.Equal(t, []string{""}, b.dialed, "the environment's namespace")
	require.Equal(t, 1, b.temporal.closed)

	require.Equal(t, []workflows.ImportInput{{Connector: "contoso", Mode: workflows.Full}}, b.temporal.inputs)
	o := b.temporal.started[0]
	require.Regexp(t, `^import-contoso-full-20260422T081530Z-[0-9a-z]{6}$`, o.ID)
	require.Equal(t, "test-queue", o.TaskQueue)
	require.Equal(t, "Full import of contoso", o.StaticSummary)
	require.Equal(t, enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL, o.WorkflowIDConflictPolicy)
	require.Nil(t, o.Memo)
	name, _ := o.TypedSearchAttributes.GetKeyword(workflows.ConnectorAttribute)
	mode, _ := o.TypedSearchAttributes.GetKeyword(workflows.ModeAttribute)
	require.Equal(t, "contoso", name)
	require.Equal(t, "Full", mode)
	outcome, _ := o.TypedSearchAttributes.GetKeyword(workflows.OutcomeAttribute)
	require.Equal(t, workflows.Running, outcome)
}

func TestRunWithoutAWorker(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.ok("run", "contoso", "--mode", "full")
	require.NotContains(t, b.err.String(), "no worker", "there is one")

	b.temporal.idle = true
	require.Equal(t, `{"runId":"`+someRun+`"}`+"\n", b.ok("run", "contoso", "--mode", "full"))
	require.Contains(t, b.err.String(), `no worker polls task queue "test-queue"`)
	require.Contains(t, b.err.String(), "Start one with 'worker'")

	b.temporal.pollersErr = context.DeadlineExceeded
	b.ok("run", "contoso", "--mode", "full")
	require.NotContains(t, b.err.String(), "no worker", "nobody knows")
}

func TestRunWithoutSearchAttributes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.temporal.startErr = []error{serviceerror.NewInvalidArgument("search attribute IdentityMeshConnector is not defined")}
	b.ok("run", "contoso", "--mode", "full")
	require.Contains(t, b.err.String(), "does not know the search attributes IdentityMeshConnector, IdentityMeshMode and IdentityMeshOutcome")
	require.Len(t, b.temporal.started, 2)
	require.Zero(t, b.temporal.started[1].TypedSearchAttributes.Size())
	require.Equal(t, b.temporal.started[0].ID, b.temporal.started[1].ID)

	invalid := serviceerror.NewInvalidArgument("something else")
	b.temporal.startErr = []error{invalid, invalid}
	b.fails(exitError, "something else", "run", "contoso", "--mode", "full")
}

func TestRunWithoutTemporal(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.dialErr = errors.New("reach Temporal at 127.0.0.1:7233: nobody there")
	b.fails(exitError, "nobody there", "run", "contoso", "--mode", "full")
	b.dialErr = nil
	b.temporal.startErr = []error{serviceerror.NewPermissionDenied("not you", "")}
	b.fails(exitError, "not you", "run", "contoso", "--mode", "full")
}

// importing makes the fake workflow write the run that the fake Temporal announces.
func (b *bench) importing(users ...mesh.Object) {
	b.temporal.progress = func() (workflows.Progress, error) {
		return workflows.Progress{RunID: someRun, Connector: "contoso", Mode: workflows.Full, Phase: workflows.Ended}, nil
	}
	b.temporal.end = func(context.Context) (*workflows.ImportResult, error) {
		b.seed("contoso", someRun, users...)
		return &workflows.ImportResult{RunID: someRun, Outcome: mesh.Completed}, nil
	}
}

func TestRunAndWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.importing(object(mesh.User, "00u1", nil), object(mesh.User, "00u2", nil))

	text := b.ok("run", "contoso", "--mode", "full", "--wait", "-o", "json")
	var run map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &run))
	require.Subset(t, keys(run), []string{"runId", "connector", "mode", "workflowId", "namespace", "outcome", "error", "counts",
		"apiCalls", "rateLimitWaits", "rateLimitWaitMs", "startedAt", "endedAt", "durationMs", "watermark"})
	require.Equal(t, someRun, run["runId"])
	require.Equal(t, "Full", run["mode"])
	require.Equal(t, "Completed", run["outcome"])
	require.Equal(t, "", run["error"])
	require.InDelta(t, 3, run["apiCalls"], 0)
	require.Positive(t, run["durationMs"])
	require.Equal(t, map[string]any{"u": "2026-04-22T08:15:30.000Z", "g": "2026-04-22T08:15:30.000Z"}, run["watermark"])
	counts := run["counts"].(map[string]any)
	require.ElementsMatch(t, []string{"User", "Group", "GroupMember"}, keys(counts))
	require.Equal(t, map[string]any{"seen": 2.0, "added": 2.0, "updated": 0.0, "deleted": 0.0, "unchanged": 0.0, "held": 0.0}, counts["User"])
	require.ElementsMatch(t, []string{"seen", "added", "updated", "deleted", "unchanged", "held"}, keys(counts["GroupMember"].(map[string]any)))

	// The array of `runs` holds the same object.
	var listed []map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "contoso", "-o", "json")), &listed))
	require.Equal(t, []map[string]any{run}, listed)
	require.JSONEq(t, text, b.ok("runs", "show", someRun, "-o", "json"))
}

func TestRunAndWaitTable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.importing(object(mesh.User, "00u1", nil))
	text := b.ok("run", "contoso", "--mode", "full", "--wait")
	require.Regexp(t, `(?m)^Outcome +Completed$`, text)
	require.Regexp(t, `(?m)^Calls to Okta +3$`, text)
	require.Regexp(t, `(?m)^Watermark +\{"u":"2026-04-22T08:15:30.000Z","g":"2026-04-22T08:15:30.000Z"\}$`, text)
	require.Regexp(t, `(?m)^TYPE +SEEN +ADDED +UPDATED +DELETED +UNCHANGED$`, text)
	require.Regexp(t, `(?m)^GroupMember +1 +1 +0 +0 +0$`, text)
	require.Contains(t, b.err.String(), "run "+someRun)
}

func TestRunQuietly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.importing(object(mesh.User, "00u1", nil))
	b.ok("run", "contoso", "--mode", "full", "--wait", "-q")
	require.Empty(t, b.err.String())
}

func TestRunOutcomes(t *testing.T) {
	t.Parallel()
	tests := map[mesh.Outcome]struct {
		code int
		want string
	}{
		mesh.Completed:   {0, ""},
		mesh.HeldDeletes: {3, "holds deletes back"},
		mesh.Skipped:     {4, "was skipped"},
		mesh.Failed:      {1, "failed"},
		mesh.Cancelled:   {1, "was cancelled"},
		"Odd":            {1, `ended as "Odd"`},
	}
	for outcome, tt := range tests {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.apply("contoso")
			b.temporal.end = func(context.Context) (*workflows.ImportResult, error) {
				return &workflows.ImportResult{RunID: someRun, Connector: "contoso", Mode: "Full", Outcome: outcome, APICalls: 7}, nil
			}
			b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{}, nil }
			require.Equal(t, tt.code, b.run("run", "contoso", "--mode", "full", "--wait", "-q", "-o", "json"))
			require.Contains(t, b.err.String(), tt.want)
			var run mesh.Run
			require.NoError(t, json.Unmarshal(b.out.Bytes(), &run), "the run is printed whatever its outcome")
			require.Equal(t, outcome, run.Outcome)
			require.Equal(t, 7, run.APICalls, "composed from the workflow's result: there is no row")
		})
	}
}

// The run failed before it had a row, so Temporal is all there is to go by.
func TestRunWithoutARow(t *testing.T) {
	t.Parallel()
	failed := temporal.NewNonRetryableApplicationError("the secret secret://okta/contoso/apitoken is not stored", "SecretUnavailable", nil)
	tests := map[string]struct {
		err     error
		outcome mesh.Outcome
		message string
	}{
		"failed":    {failed, mesh.Failed, "the secret secret://okta/contoso/apitoken is not stored"},
		"cancelled": {temporal.NewCanceledError(), mesh.Cancelled, "cancelled by an operator"},
		"timed out": {temporal.NewTimeoutError(enums.TIMEOUT_TYPE_START_TO_CLOSE, nil), mesh.Failed, "the workflow timed out"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.apply("contoso")
			cause := workflowError(t, tt.err)
			b.temporal.end = func(context.Context) (*workflows.ImportResult, error) { return nil, cause }
			b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{APICalls: 5}, nil }
			require.Equal(t, exitError, b.run("run", "contoso", "--mode", "full", "--wait", "-o", "json"))
			var run mesh.Run
			require.NoError(t, json.Unmarshal(b.out.Bytes(), &run))
			require.Equal(t, tt.outcome, run.Outcome)
			require.Equal(t, tt.message, run.Error)
			require.Equal(t, someRun, run.RunID)
			require.Equal(t, "contoso", run.Connector)
			require.Equal(t, 5, run.APICalls)
			require.Len(t, run.Counts, 3)
			require.Contains(t, b.err.String(), tt.message)
		})
	}
}

// A terminated workflow leaves its row open; it must not look as if it still ran.
func TestRunTerminated(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{}, nil }
	b.temporal.end = func(context.Context) (*workflows.ImportResult, error) {
		b.begin("contoso", someRun)
		return nil, workflowError(t, temporal.NewApplicationError("stopped", "x"))
	}
	require.Equal(t, exitError, b.run("run", "contoso", "--mode", "full", "--wait", "-o", "json"))
	var run mesh.Run
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &run))
	require.Equal(t, mesh.Failed, run.Outcome)
	require.Equal(t, "stopped", run.Error)
	require.Equal(t, "identity", run.Namespace, "the rest is the row's")
}

func TestRunRowWinsOverTheWorkflow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{}, nil }
	b.temporal.end = func(ctx context.Context) (*workflows.ImportResult, error) {
		b.begin("contoso", someRun)
		b.withStore(func(_ context.Context, store mesh.Store) {
			_, err := store.End(ctx, someRun, mesh.Failed, "Okta refuses the token")
			require.NoError(t, err)
		})
		return nil, workflowError(t, temporal.NewApplicationError("something wrapped", "x"))
	}
	require.Equal(t, exitError, b.run("run", "contoso", "--mode", "full", "--wait"))
	require.Regexp(t, `(?m)^Error +Okta refuses the token$`, b.out.String())
	require.Contains(t, b.err.String(), "starter: run "+someRun+" of contoso failed: Okta refuses the token")
}
