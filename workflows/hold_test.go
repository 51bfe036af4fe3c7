package workflows_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/workflows"
)

// fakeHold stands in for the hold's rows.
type fakeHold struct {
	mu       sync.Mutex
	info     activities.HoldInfo
	decided  []string // "approve run-1 by ann"
	imports  int
	failures int                                                     // how many imports of an approval fail
	onRead   func(activities.HoldInfo)                               // called by ReadHold
	expire   func(context.Context, activities.DecideHoldInput) error // instead of the usual one
	approve  func(context.Context, activities.DecideHoldInput) error // likewise
}

func newFakeHold() *fakeHold {
	return &fakeHold{info: activities.HoldInfo{
		Open: true, RunID: "run-1", OpenedAt: start, ExpiresAt: start.Add(72 * time.Hour),
		Deletes: map[activities.ObjectType]int{"User": 40}, Live: map[activities.ObjectType]int{"User": 100},
		Reasons: []string{"hard-deleted: 40"}, Sample: []string{"User 00u1 hard-deleted"},
	}}
}

func (f *fakeHold) decide(what string) func(context.Context, activities.DecideHoldInput) error {
	return func(_ context.Context, in activities.DecideHoldInput) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if in.Hold != f.info.RunID || !f.info.Open {
			return temporal.NewNonRetryableApplicationError("the hold has changed", activities.ErrRefused, nil)
		}
		f.decided = append(f.decided, what+" "+in.Hold+" by "+in.By)
		if what != "approve" {
			f.info = activities.HoldInfo{}
		}
		return nil
	}
}

func (f *fakeHold) env() *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(patient())
	env.SetStartTime(start)
	env.SetTestTimeout(20 * time.Second)
	workflows.Register(env)
	a := &activities.Activities{}
	activities.Register(env, a)
	env.OnActivity(a.ReadHold, mock.Anything, mock.Anything).Return(func(context.Context, activities.HoldInput) (*activities.HoldInfo, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		info := f.info
		if f.onRead != nil {
			f.onRead(info)
		}
		return &info, nil
	})
	if f.approve == nil {
		f.approve = f.decide("approve")
	}
	env.OnActivity(a.ApproveHold, mock.Anything, mock.Anything).Return(f.approve)
	env.OnActivity(a.RejectHold, mock.Anything, mock.Anything).Return(f.decide("reject"))
	if f.expire == nil {
		f.expire = f.decide("expire")
	}
	env.OnActivity(a.ExpireHold, mock.Anything, mock.Anything).Return(f.expire)
	env.OnWorkflow(workflows.ImportWorkflow, mock.Anything, mock.Anything).Return(func(_ workflow.Context, in workflows.ImportInput) (*workflows.ImportResult, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.imports++; f.imports <= f.failures {
			return nil, temporal.NewNonRetryableApplicationError("Okta is down", activities.ErrGaveUp, nil)
		}
		if in.Mode != workflows.Approval || in.Hold != f.info.RunID {
			return nil, errors.New("not what was approved")
		}
		f.info = activities.HoldInfo{}
		return &workflows.ImportResult{Outcome: activities.Completed}, nil
	}).Maybe()
	return env
}

// answer collects what an update says.
type answer struct {
	rejected, failed error
	result           any
}

func (a *answer) Accept()                        {}
func (a *answer) Reject(err error)               { a.rejected = err }
func (a *answer) Complete(result any, err error) { a.result, a.failed = result, err }

// tell sends an update after some time.
func tell(env *testsuite.TestWorkflowEnvironment, name, hold string, after time.Duration) *answer {
	a := &answer{}
	env.RegisterDelayedCallback(func() { env.UpdateWorkflow(name, name+hold, a, workflows.Decision{Hold: hold, By: "ann"}) }, after)
	return a
}

func outcome(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.HoldResult {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var r workflows.HoldResult
	require.NoError(t, env.GetWorkflowResult(&r))
	return r
}

func TestAnApprovedHoldIsCarriedOut(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	a := tell(env, workflows.ApproveUpdate, "run-1", time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	r := outcome(t, env)
	require.Equal(t, workflows.HoldApproved, r.State)
	require.Equal(t, "ann", r.By)
	require.NoError(t, errors.Join(a.rejected, a.failed))
	require.Equal(t, []string{"approve run-1 by ann"}, f.decided)
	require.Contains(t, a.result.(*workflows.DecisionResult).WorkflowID, "import-contoso-approval-")
	require.Equal(t, 1, f.imports)
}

func TestARejectedHoldDeletesNothing(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	a := tell(env, workflows.RejectUpdate, "run-1", time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldRejected, outcome(t, env).State)
	require.NoError(t, errors.Join(a.rejected, a.failed))
	require.Zero(t, f.imports)
}

func TestAHoldWithoutAnAnswerExpires(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldExpired, outcome(t, env).State)
	require.GreaterOrEqual(t, env.Now().Sub(start), 72*time.Hour)
	require.Equal(t, []string{"expire run-1 by time limit"}, f.decided)
}

// TestAnAnswerToAHoldThatChangedInSilence: a run released somebody and failed, so that
// nobody told the workflow.
func TestAnAnswerToAHoldThatChangedInSilence(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	env.RegisterDelayedCallback(func() {
		f.mu.Lock()
		f.info.RunID = "run-2"
		f.mu.Unlock()
	}, time.Hour)
	a := tell(env, workflows.ApproveUpdate, "run-2", 2*time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldApproved, outcome(t, env).State)
	require.NoError(t, errors.Join(a.rejected, a.failed))
}

// TestAnAnswerToAHoldThatHasChangedIsRefused, whether or not the workflow knows of
// the change.
func TestAnAnswerToAHoldThatHasChangedIsRefused(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	wrong := tell(env, workflows.ApproveUpdate, "run-0", time.Minute)
	env.RegisterDelayedCallback(func() {
		f.mu.Lock()
		f.info.RunID = "run-2"
		f.mu.Unlock()
	}, time.Hour)
	late := tell(env, workflows.ApproveUpdate, "run-1", 2*time.Hour) // before the signal
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.HoldSignal, nil) }, 3*time.Hour)
	right := tell(env, workflows.ApproveUpdate, "run-2", 4*time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldApproved, outcome(t, env).State)
	require.ErrorContains(t, wrong.failed, "the hold has changed")
	require.ErrorContains(t, late.failed, "the hold has changed")
	require.NoError(t, errors.Join(right.rejected, right.failed))
	require.Equal(t, 1, f.imports)
}

func TestARunThatReplacesTheHoldEndsIt(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	env := f.env()
	env.RegisterDelayedCallback(func() {
		f.mu.Lock()
		f.info = activities.HoldInfo{}
		f.mu.Unlock()
		env.SignalWorkflow(workflows.HoldSignal, nil)
	}, time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldGone, outcome(t, env).State)
	require.Less(t, env.Now().Sub(start), 2*time.Hour)
}

func TestAnApprovalThatFailsLeavesTheHoldOpen(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	f.failures = 1
	env := f.env()
	tell(env, workflows.ApproveUpdate, "run-1", time.Hour)
	env.RegisterDelayedCallback(func() {
		v, err := env.QueryWorkflow(workflows.HoldQuery)
		require.NoError(t, err)
		var info activities.HoldInfo
		require.NoError(t, v.Get(&info))
		require.True(t, info.Open)
		env.UpdateWorkflow(workflows.ApproveUpdate, "again", &answer{}, workflows.Decision{Hold: "run-1", By: "bob"})
	}, 2*time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	r := outcome(t, env)
	require.Equal(t, workflows.HoldApproved, r.State)
	require.Equal(t, "bob", r.By)
	require.Equal(t, 2, f.imports)
}

// TestAnApprovalThatMeetsTheEndOfTheTime is answered: the workflow does not wait for
// an import that nobody starts.
func TestAnApprovalThatMeetsTheEndOfTheTime(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	approved := make(chan struct{})
	f.expire = func(ctx context.Context, in activities.DecideHoldInput) error {
		<-approved // the database is busy
		return f.decide("expire")(ctx, in)
	}
	f.approve = func(ctx context.Context, in activities.DecideHoldInput) error {
		defer close(approved)
		return f.decide("approve")(ctx, in)
	}
	env := f.env()
	answer := tell(env, workflows.ApproveUpdate, "run-1", 72*time.Hour)
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	r := outcome(t, env)
	require.True(t, r.State == workflows.HoldExpired && answer.failed != nil || r.State == workflows.HoldApproved && answer.failed == nil, "%v %v", r, answer)
}

// TestAnExpiryThatIsRefusedIsTriedAgainLater, not at once.
func TestAnExpiryThatIsRefusedIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	f := newFakeHold()
	tries := 0
	f.expire = func(ctx context.Context, in activities.DecideHoldInput) error {
		if tries++; tries < 4 {
			return temporal.NewNonRetryableApplicationError("a run is carrying out the approval", activities.ErrRefused, nil)
		}
		return f.decide("expire")(ctx, in)
	}
	env := f.env()
	env.ExecuteWorkflow(workflows.HoldWorkflow, workflows.HoldInput{Connector: "contoso"})
	require.Equal(t, workflows.HoldExpired, outcome(t, env).State)
	require.GreaterOrEqual(t, env.Now().Sub(start), 72*time.Hour+3*time.Minute)
}
