package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// known is the one workflow of a Temporal, begun 90 s before the bench's now.
func known(t *testing.T, b *bench) *workflow.WorkflowExecutionInfo {
	t.Helper()
	text := func(s string) *common.Payload {
		p, err := converter.GetDefaultDataConverter().ToPayload(s)
		require.NoError(t, err)
		return p
	}
	b.temporal.found = "import-contoso-full-y"
	b.temporal.describe = &workflow.WorkflowExecutionInfo{
		FirstRunId: someRun,
		StartTime:  timestamppb.New(fixedNow.Add(-90 * time.Second)),
		SearchAttributes: &common.SearchAttributes{IndexedFields: map[string]*common.Payload{
			workflows.ConnectorAttribute.GetName(): text("contoso"), workflows.ModeAttribute.GetName(): text("Full"),
		}},
	}
	return b.temporal.describe
}

func TestRunsShowWhatTheMeshDoesNotKnowYet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		progress func() (workflows.Progress, error)
		state    string
		note     string
	}{
		"running": {reading, stateRunning, ""},
		"waiting for the connector": {func() (workflows.Progress, error) {
			return workflows.Progress{Phase: workflows.Waiting, HeldBy: otherRun}, nil
		}, stateWaiting, ""},
		"waiting for a worker": {func() (workflows.Progress, error) {
			return workflows.Progress{}, serviceerror.NewFailedPrecondition("no poller")
		}, stateWaiting, "waits for a worker. Start one with 'worker'"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.apply("contoso")
			known(t, b)
			b.temporal.progress = tt.progress
			var run shownRun
			require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "show", someRun, "-o", "json")), &run))
			require.Contains(t, b.err.String(), tt.note)
			require.Equal(t, "RunId = '"+someRun+"'", b.temporal.listed)
			require.Equal(t, tt.state, run.State)
			require.Empty(t, run.Outcome)
			require.Equal(t, someRun, run.RunID)
			require.Equal(t, "contoso", run.Connector)
			require.Equal(t, "Full", run.Mode)
			require.Equal(t, "import-contoso-full-y", run.WorkflowID)
			require.EqualValues(t, 90_000, run.DurationMs, "until now")
			require.Nil(t, run.EndedAt)

			require.Regexp(t, `(?m)^Outcome +`+tt.state+`$`, b.ok("runs", "show", someRun))
			require.Regexp(t, `(?m)^Duration +1 min 30 s$`, b.out.String())
		})
	}
}

func TestRunsShowARunThatFailedBeforeItBegan(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	known(t, b).CloseTime = timestamppb.New(fixedNow.Add(-80 * time.Second))
	b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{}, errors.New("no worker") }
	cause := workflowError(t, temporal.NewNonRetryableApplicationError("the secret is not stored", "SecretUnavailable", nil))
	b.temporal.end = func(context.Context) (*workflows.ImportResult, error) { return nil, cause }
	var run shownRun
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "show", someRun, "-o", "json")), &run))
	require.Equal(t, mesh.Failed, run.Outcome)
	require.Equal(t, "the secret is not stored", run.Error)
	require.Equal(t, "contoso", run.Connector)
	require.EqualValues(t, 10_000, run.DurationMs)
	require.Empty(t, run.State)
	require.NotContains(t, b.out.String(), `"state"`)
}

func TestRunsShowOfAnUnknownRun(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fails(exitError, `run "`+someRun+`" does not exist, neither in the mesh nor in this namespace`, "runs", "show", someRun)
	b.dialErr = errors.New("reach Temporal at 127.0.0.1:7233: nobody there")
	b.fails(exitError, `run "`+someRun+`" does not exist`, "runs", "show", someRun)
	require.NotContains(t, b.err.String(), "nobody there")
	b.dialed = nil
	b.fails(exitError, `run "nobody" does not exist`, "runs", "show", "nobody")
	require.Empty(t, b.dialed, "this is no run id")
}

func TestRunUnderWayLastsUntilNow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.begin("contoso", someRun)
	b.withStore(func(ctx context.Context, store mesh.Store) {
		run, err := store.Run(ctx, someRun)
		require.NoError(t, err)
		b.now = run.StartedAt.Add(90 * time.Second)
	})
	var run shownRun
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "show", someRun, "-o", "json")), &run))
	require.EqualValues(t, 90_000, run.DurationMs)
	require.Equal(t, stateRunning, run.State)
	require.Contains(t, b.out.String(), `"outcome": ""`)
	require.Regexp(t, `(?m)^Outcome +running$`, b.ok("runs", "show", someRun))
	require.Regexp(t, `(?m)^Duration +1 min 30 s$`, b.out.String())
	require.Empty(t, b.dialed, "the mesh knows it")

	var runs []mesh.Run
	require.NoError(t, json.Unmarshal([]byte(b.ok("runs", "contoso", "-o", "json")), &runs))
	require.EqualValues(t, 90_000, runs[0].DurationMs)
	require.Regexp(t, `(?m)^`+someRun+` +Full +running .* 1 min 30 s `, b.ok("runs", "contoso"))
}
