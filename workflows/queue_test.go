package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/workflows"
)

// movedTo requires that a workflow goes on as new on a queue, and reads its next input.
func movedTo(t *testing.T, env *testsuite.TestWorkflowEnvironment, queue string, input any) {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	next, ok := errors.AsType[*workflow.ContinueAsNewError](env.GetWorkflowError())
	require.True(t, ok, "%v", env.GetWorkflowError())
	require.Equal(t, queue, next.TaskQueueName)
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, input))
}

// TestAnImportGoesWhereItBelongs: nothing but the question is asked on the queue on which
// it was started, and the run stays the same run.
func TestAnImportGoesWhereItBelongs(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.elsewhere = "relay"
	env := f.env(t)
	in := workflows.ImportInput{Connector: "contoso", Mode: workflows.Full, Cadence: &workflows.Cadence{Every: "15m"}}
	env.ExecuteWorkflow(workflows.ImportWorkflow, in)
	var next workflows.ImportInput
	movedTo(t, env, "relay", &next)
	require.NotNil(t, next.State)
	require.False(t, next.State.Begun)
	require.True(t, next.State.StartedAt.Equal(start))
	require.NotEmpty(t, next.State.Progress.RunID)
	require.Equal(t, workflows.Beginning, next.State.Progress.Phase)
	require.Equal(t, in.Cadence, next.Cadence)
	require.Empty(t, f.ends, "the run has not ended")
	require.Equal(t, 1, f.begins)

	f.elsewhere = ""
	there := f.env(t)
	there.ExecuteWorkflow(workflows.ImportWorkflow, next)
	require.NoError(t, there.GetWorkflowError())
	require.Equal(t, next.State.Progress.RunID, f.runID, "it begins under the id that it was started with")
}

// TestAHoldGoesWhereItBelongs, when a run tells it or it was started elsewhere.
func TestAHoldGoesWhereItBelongs(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	env.RegisterDelayedCallback(func() {
		f.mu.Lock()
		f.info.TaskQueue = "relay"
		f.mu.Unlock()
		env.SignalWorkflow(workflows.HoldSignal, nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	var next workflows.HoldInput
	movedTo(t, env, "relay", &next)
	require.Equal(t, workflows.HoldInput{Connector: "contoso"}, next)
	require.Empty(t, f.decided)
}

// TestAnAnswerToAHoldThatMoves is given before it goes.
func TestAnAnswerToAHoldThatMoves(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	read := make(chan struct{})
	f.onRead = func(h activities.HoldInfo) {
		if h.TaskQueue != "" && f.imports == 0 {
			close(read)
		}
	}
	f.approve = func(ctx context.Context, in activities.DecideHoldInput) error {
		<-read // the workflow knows by now that it moves
		return f.decide("approve")(ctx, in)
	}
	env := f.env()
	var a answer
	env.RegisterDelayedCallback(func() {
		f.mu.Lock()
		f.info.TaskQueue = "relay"
		f.mu.Unlock()
		env.UpdateWorkflow(workflows.ApproveUpdate, "yes", &a, workflows.Decision{Hold: "run-1", By: "ann"})
		env.SignalWorkflow(workflows.HoldSignal, nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldApproved, outcome(t, env).State)
	require.NoError(t, errors.Join(a.rejected, a.failed))
	require.Equal(t, 1, f.imports)
}

// finishing has activities answer although their workflow was cancelled, as real ones do that
// a workflow waits for; the test environment's own do not.
type finishing struct {
	interceptor.WorkerInterceptorBase
	interceptor.WorkflowInboundInterceptorBase
	interceptor.WorkflowOutboundInterceptorBase
}

func (f *finishing) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	f.WorkflowInboundInterceptorBase.Next = next
	return f
}

func (f *finishing) Init(next interceptor.WorkflowOutboundInterceptor) error {
	f.WorkflowOutboundInterceptorBase.Next = next
	return f.WorkflowInboundInterceptorBase.Next.Init(f)
}

func (f *finishing) ExecuteActivity(ctx workflow.Context, name string, args ...any) workflow.Future {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	return f.WorkflowOutboundInterceptorBase.Next.ExecuteActivity(ctx, name, args...)
}

// TestACancelIsNotLeftBehind: who is asked to stop does not go elsewhere, where nobody
// would know of it.
func TestACancelIsNotLeftBehind(t *testing.T) {
	t.Parallel()
	options := func() worker.Options {
		o := patient()
		o.Interceptors = []interceptor.WorkerInterceptor{&finishing{}}
		return o
	}
	f := newFakeOrg()
	f.elsewhere = "relay"
	env := f.env(t)
	env.SetWorkerOptions(options())
	f.onElsewhere = env.CancelWorkflow
	env.ExecuteWorkflow(workflows.ImportWorkflow, workflows.ImportInput{Connector: "contoso", Mode: workflows.Full})
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Len(t, f.ends, 1)
	require.Equal(t, activities.Cancelled, f.ends[0].Outcome)

	h := newFakeHold()
	h.info.TaskQueue = "relay"
	hold := h.env()
	hold.SetWorkerOptions(options())
	h.onRead = func(activities.HoldInfo) { hold.CancelWorkflow() }
	hold.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.True(t, temporal.IsCanceledError(hold.GetWorkflowError()), "%v", hold.GetWorkflowError())
}
