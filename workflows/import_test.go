package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
	"github.com/identitymesh/okta-connector/workflows"
)

// fakeOrg stands in for the activities: lists of known lengths, and what the test
// makes of them. Its fields are read and written under mu.
type fakeOrg struct {
	mu          sync.Mutex
	elsewhere   string                // BeginRun answers that the connector is imported on this queue
	onElsewhere func()                // called before it does
	runID       string                // of the last BeginRun
	skipped     *activities.RunResult // BeginRun answers that the run gave way
	result      *activities.RunResult // CommitRun answers; nil: a completed run
	heldFor     int                   // BeginRun answers that often that another run holds the connector
	plan        activities.Plan
	users       int                                         // pages
	groups      int                                         // pages of ten groups
	lookUps     int                                         // activities needed
	userResult  func(n int) (*activities.WalkResult, error) // overrides the n-th ReadUsers, from 1
	memberError func(in activities.MembersInput) error
	memberWait  func(in activities.MembersInput) time.Duration
	memberStop  func(in activities.MembersInput) int // after how many groups an activity hands over

	userCalls, groupCalls, begins, lookedUp int
	inFlight, maxInFlight                   int
	read                                    map[int]int   // queued group -> times read
	lanes                                   map[int][]int // groups that a lane took and has not read
	queued, taken                           int
	walk, userPages, groupPages             int // a walking activity reads at most walk pages in its turn
	settled, committed                      bool
	commit                                  activities.CommitInput
	ends                                    []activities.EndInput
}

var start = time.Date(2026, 4, 22, 8, 15, 30, 0, time.UTC)

func newFakeOrg() *fakeOrg {
	return &fakeOrg{
		plan:  activities.Plan{Revision: "r1", Users: true, Groups: true, Memberships: true, MaxInFlight: 10},
		users: 25, groups: 12, lookUps: 2, read: map[int]int{}, lanes: map[int][]int{}, walk: 10,
	}
}

// quiet drops the log lines of a test environment; assertions say what matters.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// patient has the SDK take a workflow that a busy machine lets wait for no deadlock: it
// believes so after a second.
func patient() worker.Options { return worker.Options{DeadlockDetectionTimeout: time.Minute} }

// env returns a test environment in which the real workflow meets the fake org.
func (f *fakeOrg) env(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkerOptions(patient())
	env.SetStartTime(start)
	env.SetTestTimeout(20 * time.Second)
	workflows.Register(env)
	a := &activities.Activities{}
	activities.Register(env, a)
	fence := activities.Fence{Connector: "contoso", RunID: "run", Token: 7}
	env.OnActivity(a.BeginRun, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.BeginInput) (*activities.BeginResult, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.runID = in.RunID
		if f.elsewhere != "" {
			f.begins++
			if f.onElsewhere != nil {
				f.onElsewhere()
			}
			return &activities.BeginResult{TaskQueue: f.elsewhere}, nil
		}
		if f.begins++; f.begins <= f.heldFor {
			return &activities.BeginResult{HeldBy: "other-run"}, nil
		}
		if f.skipped != nil {
			return &activities.BeginResult{Skipped: f.skipped}, nil
		}
		return &activities.BeginResult{Fence: fence, Plan: f.plan}, nil
	})
	env.OnActivity(a.ReadUsers, mock.Anything, mock.Anything).Return(f.readUsers)
	env.OnActivity(a.ReadGroups, mock.Anything, mock.Anything).Return(f.readGroups)
	env.OnActivity(a.ReadMembers, mock.Anything, mock.Anything).Return(f.readMembers)
	env.OnActivity(a.StageSweep, mock.Anything, mock.Anything).Return(&activities.SweepResult{Users: 3, Open: true}, nil)
	env.OnActivity(a.LookUp, mock.Anything, mock.Anything).Return(func(context.Context, activities.LookUpInput) (*activities.LookUpResult, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.lookedUp++
		return &activities.LookUpResult{Done: f.lookedUp >= f.lookUps, LookedUp: 2}, nil
	})
	env.OnActivity(a.Settle, mock.Anything, mock.Anything).Return(func(context.Context, activities.SettleInput) (*activities.SettleResult, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.settled = true
		return &activities.SettleResult{}, nil
	})
	env.OnActivity(a.CommitRun, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.CommitInput) (*activities.RunResult, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.committed, f.commit = true, in
		if f.result != nil {
			return f.result, nil
		}
		return &activities.RunResult{RunID: "run", Outcome: activities.Completed}, nil
	})
	env.OnActivity(a.EndRun, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.EndInput) (*activities.EndResult, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ends = append(f.ends, in)
		return &activities.EndResult{}, nil
	})
	return env
}

// busy counts an activity in flight.
func (f *fakeOrg) busy() func() {
	f.mu.Lock()
	f.inFlight++
	f.maxInFlight = max(f.maxInFlight, f.inFlight)
	f.mu.Unlock()
	return func() {
		f.mu.Lock()
		f.inFlight--
		f.mu.Unlock()
	}
}

func (f *fakeOrg) readUsers(_ context.Context, in activities.WalkInput) (*activities.WalkResult, error) {
	defer f.busy()()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.userCalls++
	if f.userResult != nil {
		if r, err := f.userResult(f.userCalls); r != nil || err != nil {
			return r, err
		}
	}
	f.userPages = min(f.userPages+min(in.MaxPages, f.walk), f.users)
	page := f.userPages
	return &activities.WalkResult{Page: page, Seen: page * 200, Done: page == f.users, Mark: &start, Cost: activities.Cost{APICalls: in.MaxPages}}, nil
}

func (f *fakeOrg) readGroups(_ context.Context, in activities.WalkInput) (*activities.WalkResult, error) {
	defer f.busy()()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.groupCalls++
	f.groupPages = min(f.groupPages+min(in.MaxPages, f.walk), f.groups)
	page := f.groupPages
	f.queued = page * 10
	return &activities.WalkResult{Page: page, Seen: page * 10, Queued: f.queued, Done: page == f.groups, Mark: &start}, nil
}

func (f *fakeOrg) readMembers(_ context.Context, in activities.MembersInput) (*activities.MembersResult, error) {
	defer f.busy()()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.memberError != nil {
		if err := f.memberError(in); err != nil {
			return nil, err
		}
	}
	if f.memberWait != nil {
		if wait := f.memberWait(in); wait > 0 {
			return &activities.MembersResult{Queued: f.queued, Cost: activities.Cost{Waits: 1, Wait: wait}}, nil
		}
	}
	r := &activities.MembersResult{Queued: f.queued}
	for stop := f.memberStops(in); ; {
		if len(f.lanes[in.Lane]) == 0 {
			n := min(f.queued-f.taken, 3)
			for range n {
				f.taken++
				f.lanes[in.Lane] = append(f.lanes[in.Lane], f.taken)
			}
		}
		if len(f.lanes[in.Lane]) == 0 {
			r.Done = true
			return r, nil
		}
		if r.Groups == stop {
			return r, nil
		}
		f.read[f.lanes[in.Lane][0]]++
		f.lanes[in.Lane] = f.lanes[in.Lane][1:]
		r.Groups++
		r.Pages++
		r.Seen += 5
	}
}

// memberStops is after how many groups an activity hands over; -1: never.
func (f *fakeOrg) memberStops(in activities.MembersInput) int {
	if f.memberStop == nil {
		return -1
	}
	return f.memberStop(in)
}

// requireEachGroupOnce fails unless every queued group was read exactly once.
func (f *fakeOrg) requireEachGroupOnce(t *testing.T) {
	t.Helper()
	for g := 1; g <= f.groups*10; g++ {
		require.Equal(t, 1, f.read[g], "group %d", g)
	}
	require.Len(t, f.read, f.groups*10)
}

func run(env *testsuite.TestWorkflowEnvironment) {
	env.ExecuteWorkflow(workflows.ImportWorkflow, workflows.ImportInput{Connector: "contoso", Mode: workflows.Full})
}

func progress(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.Progress {
	t.Helper()
	v, err := env.QueryWorkflow(workflows.ProgressQuery)
	require.NoError(t, err)
	var p workflows.Progress
	require.NoError(t, v.Get(&p))
	return p
}

func TestFullImportReadsEverythingOnce(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	env := f.env(t)
	run(env)
	require.NoError(t, env.GetWorkflowError())
	f.requireEachGroupOnce(t)
	require.Equal(t, 3, f.userCalls)
	require.LessOrEqual(t, f.maxInFlight, f.plan.MaxInFlight)
	require.True(t, f.settled)
	require.Equal(t, &start, f.commit.Users)
	require.Equal(t, &start, f.commit.Groups)
	require.Empty(t, f.ends)
	p := progress(t, env)
	require.Equal(t, workflows.Ended, p.Phase)
	require.Equal(t, "Completed", p.Outcome)
	require.Equal(t, 5000, p.Users.Seen)
	require.Equal(t, 120, p.Members.Read)
	require.True(t, p.Members.Done)
}

func TestNeverMoreActivitiesThanCallsInFlight(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2, 3, 4, 75} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			f := newFakeOrg()
			f.plan.MaxInFlight = most
			f.memberStop = func(activities.MembersInput) int { return 2 }
			env := f.env(t)
			run(env)
			require.NoError(t, env.GetWorkflowError())
			f.requireEachGroupOnce(t)
			require.LessOrEqual(t, f.maxInFlight, most)
		})
	}
}

func TestPassesThatAreOffAreNotRead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                  string
		plan                  activities.Plan
		users, groups, member bool
	}{
		{"users only", activities.Plan{Users: true, MaxInFlight: 10}, true, false, false},
		{"groups only", activities.Plan{Groups: true, MaxInFlight: 10}, false, true, false},
		{"memberships only", activities.Plan{Memberships: true, MaxInFlight: 10}, false, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := newFakeOrg()
			f.plan = tc.plan
			env := f.env(t)
			run(env)
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, tc.users, f.userCalls > 0)
			require.Equal(t, tc.groups, f.groupCalls > 0)
			require.Equal(t, tc.member, len(f.read) > 0)
			require.Equal(t, tc.users, f.commit.Users != nil, "a pass that is off leaves its mark")
			require.Equal(t, tc.groups, f.commit.Groups != nil)
		})
	}
}

func TestLanesThatEndEarlyAreReadOn(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.memberStop = func(in activities.MembersInput) int { return 1 }
	env := f.env(t)
	run(env)
	require.NoError(t, env.GetWorkflowError())
	f.requireEachGroupOnce(t)
}

func TestAFailureEndsTheRunWithItsTypeAndWords(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.userResult = func(n int) (*activities.WalkResult, error) {
		if n == 2 {
			return nil, temporal.NewNonRetryableApplicationError("the token is revoked", activities.ErrUnauthorized, nil)
		}
		return nil, nil
	}
	env := f.env(t)
	run(env)
	app, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
	require.True(t, ok)
	require.Equal(t, activities.ErrUnauthorized, app.Type())
	require.Equal(t, "the token is revoked", app.Message())
	require.False(t, f.settled)
	require.False(t, f.committed)
	require.Equal(t, []activities.EndInput{{RunID: f.ends[0].RunID, Outcome: activities.Failed, Message: "the token is revoked"}}, f.ends)
	p := progress(t, env)
	require.Equal(t, "Failed", p.Outcome)
	require.Equal(t, "the token is revoked", p.Error)
}

func TestARetryableFailureIsRetriedByTemporal(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	failed := 0
	f.memberError = func(in activities.MembersInput) error {
		if in.Lane == 1 && failed < 3 {
			failed++
			return errors.New("502")
		}
		return nil
	}
	env := f.env(t)
	run(env)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, failed)
	f.requireEachGroupOnce(t)
}

func TestALongRateLimitWaitIsATimer(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.userResult = func(n int) (*activities.WalkResult, error) {
		if n == 2 {
			return &activities.WalkResult{Page: 10, Seen: 2000, Cost: activities.Cost{Waits: 1, Wait: 45 * time.Second}}, nil
		}
		return nil, nil
	}
	env := f.env(t)
	var fired time.Duration
	env.SetOnTimerScheduledListener(func(_ string, d time.Duration) { fired = d })
	run(env)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 45*time.Second, fired)
	require.GreaterOrEqual(t, env.Now().Sub(start), 45*time.Second)
	require.Equal(t, 1, progress(t, env).Waits)
	f.requireEachGroupOnce(t)
}

func TestARunGivesUpOnARateLimitThatNeverOpens(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.userResult = func(int) (*activities.WalkResult, error) {
		return &activities.WalkResult{Cost: activities.Cost{Waits: 1, Wait: time.Minute}}, nil
	}
	env := f.env(t)
	run(env)
	app, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
	require.True(t, ok)
	require.Equal(t, activities.ErrGaveUp, app.Type())
	require.Contains(t, app.Message(), "31m0s")
	require.Equal(t, 31, f.userCalls)
}

// TestWaitsSideBySideAreOneWait has many member activities wait for one window.
func TestWaitsSideBySideAreOneWait(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	waits := 0
	f.memberWait = func(activities.MembersInput) time.Duration {
		if waits++; waits <= 60 { // eight at a time, some minutes in all
			return 4 * time.Minute
		}
		return 0
	}
	env := f.env(t)
	run(env)
	require.NoError(t, env.GetWorkflowError())
	f.requireEachGroupOnce(t)
}

// TestACancelThatMeetsAFailureIsACancel has the last attempt of a cancelled run fail.
func TestACancelThatMeetsAFailureIsACancel(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.userResult = func(n int) (*activities.WalkResult, error) {
		if n > 1 {
			return nil, errors.New("502 Bad Gateway")
		}
		return nil, nil
	}
	env := f.env(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
	run(env)
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Equal(t, activities.Cancelled, f.ends[0].Outcome)
}

func TestCancelStopsWithoutSettling(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.userResult = func(int) (*activities.WalkResult, error) {
		return &activities.WalkResult{Cost: activities.Cost{Wait: time.Minute}}, nil
	}
	env := f.env(t)
	env.RegisterDelayedCallback(env.CancelWorkflow, 90*time.Second)
	run(env)
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.False(t, f.settled)
	require.False(t, f.committed)
	require.Len(t, f.ends, 1)
	require.Equal(t, activities.Cancelled, f.ends[0].Outcome)
	require.Equal(t, "Cancelled", progress(t, env).Outcome)
}

func TestAFullWaitsItsTurn(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	f.heldFor = 5
	env := f.env(t)
	env.RegisterDelayedCallback(func() {
		p := progress(t, env)
		require.Equal(t, workflows.Waiting, p.Phase)
		require.Equal(t, "other-run", p.HeldBy)
	}, 3*time.Second)
	run(env)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 6, f.begins)
	require.Empty(t, progress(t, env).HeldBy)
}

func TestContinueAsNewCarriesTheState(t *testing.T) {
	t.Parallel()
	f := newFakeOrg()
	input := workflows.ImportInput{Connector: "contoso", Mode: workflows.Full}
	executions := 0
	for ; ; executions++ {
		require.Less(t, executions, 100, "the run must end")
		env := f.env(t)
		env.SetContinueAsNewSuggested(true) // every execution ends as soon as nothing is in flight
		env.ExecuteWorkflow(workflows.ImportWorkflow, input)
		require.Zero(t, f.inFlight, "nothing is in flight at continue-as-new")
		next, ok := errors.AsType[*workflow.ContinueAsNewError](env.GetWorkflowError())
		if !ok {
			require.NoError(t, env.GetWorkflowError())
			break
		}
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &input))
		require.NotNil(t, input.State)
	}
	require.Greater(t, executions, 3)
	require.Equal(t, 1, f.begins)
	require.True(t, f.committed)
	f.requireEachGroupOnce(t)
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	for i, in := range []workflows.ImportInput{{}, {Connector: "contoso"}, {Connector: "contoso", Mode: "full"}, {Mode: workflows.Full}} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			f := newFakeOrg()
			env := f.env(t)
			env.ExecuteWorkflow(workflows.ImportWorkflow, in)
			app, ok := errors.AsType[*temporal.ApplicationError](env.GetWorkflowError())
			require.True(t, ok)
			require.Equal(t, activities.ErrDefinition, app.Type())
			require.Zero(t, f.begins)
		})
	}
}
