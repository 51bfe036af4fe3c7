package workflows_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/workflows"
)

// TestAFullIsDoneByAChild: the parent begins and ends the run, the child does the
// rest and answers the same query meanwhile.
func TestAFullIsDoneByAChild(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.plan.Mode, f.plan.Note = activities.ModeFull, "in full: there is no watermark"
	env := f.env(t)
	children := 0
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		children++
		require.Equal(t, "ReconcileWorkflow", info.WorkflowType.Name)
		p := progress(t, env)
		require.Equal(t, workflows.Reconciling, p.Phase)
		require.Equal(t, info.WorkflowExecution.ID, p.Child)
	})
	env.ExecuteWorkflow(workflows.ImportWorkflow, workflows.ImportInput{Connector: "contoso", Mode: workflows.Delta})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 1, children)
	f.requireEachGroupOnce(t)
	p := progress(t, env)
	require.Equal(t, workflows.Ended, p.Phase)
	require.Equal(t, workflows.Full, p.Mode)
	require.Equal(t, "in full: there is no watermark", p.Note)
	require.Equal(t, 5000, p.Users.Seen)
	require.Empty(t, p.Child)
}

func TestAFailureOfTheChildEndsTheRun(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.plan.Mode = activities.ModeFull
	f.userResult = func(int) (*activities.WalkResult, error) {
		return nil, temporal.NewNonRetryableApplicationError("the token is revoked", activities.ErrUnauthorized, nil)
	}
	env := f.env(t)
	run(env)
	app, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
	require.True(t, ok)
	require.Equal(t, activities.ErrUnauthorized, app.Type())
	require.Equal(t, "the token is revoked", f.ends[0].Message)
}

func TestADeltaGivesWay(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.skipped = &activities.RunResult{Outcome: activities.Skipped, Mode: activities.ModeDelta, Note: "gave way to run x"}
	env := f.env(t)
	env.ExecuteWorkflow(workflows.ImportWorkflow, workflows.ImportInput{Connector: "contoso", Mode: workflows.Delta})
	require.NoError(t, env.GetWorkflowError())
	var result workflows.ImportResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, activities.Skipped, result.Outcome)
	require.Zero(t, f.userCalls)
	p := progress(t, env)
	require.Equal(t, "Skipped", p.Outcome)
	require.Equal(t, "gave way to run x", p.Note)
	require.Equal(t, 1, f.begins, "it does not wait")
}

// TestASearchThatShowsTooLittle: a delta of 50,000 users becomes a full walk, and a
// filtered full walk of as many goes by ranges.
func TestASearchThatShowsTooLittle(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.plan.Mode, f.plan.UsersSince = activities.ModeDelta, &start
	later := start.Add(time.Minute)
	f.userResult = func(n int) (*activities.WalkResult, error) {
		if n <= 2 {
			return &activities.WalkResult{Page: 250, Seen: 50_000, TooMany: true, Mark: &start}, nil
		}
		return &activities.WalkResult{Page: 300, Seen: 60_000, Done: true, Mark: &later}, nil
	}
	env := f.env(t)
	run(env)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, f.userCalls)
	require.Nil(t, f.commit.Plan.UsersSince)
	require.True(t, f.commit.Plan.UsersInRanges)
	require.Equal(t, &later, f.commit.Users)
}

// TestHeldDeletesAreAnnounced: the run starts the hold's workflow, or tells the one
// that is there.
func TestHeldDeletesAreAnnounced(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		planned          bool // a hold was open before
		open, changed    bool
		started, signals int
	}{
		{"new", false, true, true, 1, 0},
		{"unchanged", true, true, false, 0, 0},
		{"replaced by nothing", true, false, false, 0, 1},
		{"none", false, false, false, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeOrg()
			f.plan.HoldOpen = tc.planned
			f.result = &activities.RunResult{RunID: "run", Outcome: activities.HeldDeletes, HoldOpen: tc.open, HoldChanged: tc.changed}
			env := f.env(t)
			var started, signals atomic.Int64
			env.OnWorkflow(workflows.HoldWorkflow, mock.Anything, mock.Anything).Return(func(workflow.Context, workflows.HoldInput) (*workflows.HoldResult, error) {
				started.Add(1)
				return &workflows.HoldResult{}, nil
			}).Maybe()
			env.OnSignalExternalWorkflow(mock.Anything, "hold-contoso", mock.Anything, workflows.HoldSignal, mock.Anything).Return(
				func(string, string, string, string, any) error { signals.Add(1); return nil }).Maybe()
			run(env)
			require.NoError(t, env.GetWorkflowError())
			require.EqualValues(t, tc.started, started.Load())
			require.EqualValues(t, tc.signals, signals.Load())
		})
	}
}
