package workflows

import (
	"fmt"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// pass is what a delta and a reconcile have in common: read, look up, settle, commit
// (design.md §4), on a state that continue-as-new carries on.
type pass struct {
	st  *State
	log log.Logger
}

// setup restores the state and answers the progress query.
func (r *pass) setup(ctx workflow.Context, st *State) error {
	r.st = st
	r.log = log.With(workflow.GetLogger(ctx), "connector", st.Progress.Connector, "run", st.Progress.RunID)
	err := workflow.SetQueryHandler(ctx, ProgressQuery, func() (Progress, error) { return r.st.Progress, nil })
	if err != nil {
		return fmt.Errorf("set the query handler %s: %w", ProgressQuery, err)
	}
	return nil
}

// steps is the pass; hold names what an approval carries out.
func (r *pass) steps(ctx workflow.Context, hold string) (*ImportResult, error) {
	if err := newReader(r).read(ctx); err != nil {
		return nil, err
	}
	if err := r.lookUp(ctx, hold); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	return r.commit(ctx)
}

// lookUp asks Okta about every object that may have left.
func (r *pass) lookUp(ctx workflow.Context, hold string) error {
	if r.st.Progress.Phase == Reading {
		var s activities.SweepResult
		err := workflow.ExecuteActivity(options(ctx, step, "find what may have left"), act.StageSweep,
			activities.SweepInput{Fence: r.st.Fence, Plan: r.st.Plan, Hold: hold}).Get(ctx, &s)
		if err != nil {
			return err
		}
		r.st.Progress.Missing = s.Users + s.Groups
		if !s.Open {
			return nil
		}
		r.phase(ctx, LookingUp)
	}
	lane := Lane{}
	for r.st.Progress.Phase == LookingUp {
		var l activities.LookUpResult
		summary := fmt.Sprintf("look up what may have left, from %d on", r.st.Progress.LookedUp+1)
		err := workflow.ExecuteActivity(options(ctx, reading, summary), act.LookUp,
			activities.LookUpInput{Fence: r.st.Fence, Plan: r.st.Plan}).Get(ctx, &l)
		if err != nil {
			return err
		}
		r.st.Progress.LookedUp += l.LookedUp
		if err := r.spent(ctx, &lane, l.Cost, l.LookedUp > 0); err != nil {
			return err
		}
		if l.Done {
			return nil
		}
		if wait := lane.WaitUntil.Sub(workflow.Now(ctx)); !lane.WaitUntil.IsZero() && wait > 0 {
			if err := workflow.Sleep(ctx, wait); err != nil {
				return err
			}
		}
		if ctx.Err() == nil && workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return errContinue
		}
	}
	return nil
}

// settle decides the deletes and derives the edges.
func (r *pass) settle(ctx workflow.Context) error {
	r.phase(ctx, Settling)
	var s activities.SettleResult
	err := workflow.ExecuteActivity(options(ctx, settling, "decide deletes, derive edges"), act.Settle,
		activities.SettleInput{Fence: r.st.Fence, Plan: r.st.Plan}).Get(ctx, &s)
	r.st.Progress.Held = s.Held
	return err
}

// commit moves the watermark and completes the run row.
func (r *pass) commit(ctx workflow.Context) (*ImportResult, error) {
	in := activities.CommitInput{
		Fence: r.st.Fence, Plan: r.st.Plan,
		Users: r.st.Progress.Users.Mark, Groups: r.st.Progress.Groups.Mark,
	}
	var result ImportResult
	if err := workflow.ExecuteActivity(options(ctx, step, "move the watermark"), act.CommitRun, in).Get(ctx, &result); err != nil {
		return nil, err
	}
	return &result, nil
}
