package workflows

import (
	"cmp"
	"errors"
	"fmt"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// ImportWorkflow reads an Okta org into the mesh and keeps the mesh true to it. It
// returns the run row of a completed run. A run that fails returns the error that
// stopped it, with its type; a cancelled one ends as cancelled. Both leave the
// watermark where it was.
func ImportWorkflow(ctx workflow.Context, in ImportInput) (*ImportResult, error) {
	r := &importRun{in: in}
	if err := r.setup(ctx); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// act refers to the activities by method; it is never called.
var act *activities.Activities

// importRun is one execution of [ImportWorkflow].
type importRun struct {
	in    ImportInput
	st    *State
	log   log.Logger
	runID string
}

// errContinue asks run to continue as new; nothing is in flight then.
var errContinue = errors.New("continue as new")

// setup validates the input, restores the state and answers the progress query.
func (r *importRun) setup(ctx workflow.Context) error {
	info := workflow.GetInfo(ctx)
	r.runID = cmp.Or(info.FirstRunID, info.WorkflowExecution.RunID)
	r.log = log.With(workflow.GetLogger(ctx), "connector", r.in.Connector, "run", r.runID)
	r.st = r.in.State
	if r.st == nil {
		r.st = &State{StartedAt: info.WorkflowStartTime, NextGroup: 1}
		r.st.Progress = Progress{RunID: r.runID, Connector: r.in.Connector, Mode: r.in.Mode, Phase: Beginning}
	}
	err := workflow.SetQueryHandler(ctx, ProgressQuery, func() (Progress, error) { return r.st.Progress, nil })
	if err != nil {
		return fmt.Errorf("set the query handler %s: %w", ProgressQuery, err)
	}
	if r.in.Connector == "" || r.in.Mode != Full {
		msg := fmt.Sprintf("ImportWorkflow wants a Connector and Mode %q; it got %q and %q", Full, r.in.Connector, r.in.Mode)
		return temporal.NewNonRetryableApplicationError(msg, activities.ErrDefinition, nil)
	}
	return nil
}

// run does what is left of the import, whatever execution began it.
func (r *importRun) run(ctx workflow.Context) (*ImportResult, error) {
	result, err := r.steps(ctx)
	switch {
	case errors.Is(err, errContinue):
		r.log.Info("Continuing as new", "phase", r.st.Progress.Phase)
		return nil, workflow.NewContinueAsNewError(ctx, ImportWorkflow,
			ImportInput{Connector: r.in.Connector, Mode: r.in.Mode, State: r.st})
	case err != nil:
		return nil, r.end(ctx, err)
	}
	r.ended(ctx, string(result.Outcome), "")
	return result, nil
}

// steps is the import: begin, read, look up, settle, commit (design.md §4).
func (r *importRun) steps(ctx workflow.Context) (*ImportResult, error) {
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if err := newReader(r).read(ctx); err != nil {
		return nil, err
	}
	if err := r.lookUp(ctx); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	return r.commit(ctx)
}

// begin takes the connector's lease, waiting its turn while another run holds it.
func (r *importRun) begin(ctx workflow.Context) error {
	info := workflow.GetInfo(ctx)
	for poll := firstHeldPoll; !r.st.Begun; poll = min(poll*2, lastHeldPoll) {
		var b activities.BeginResult
		err := workflow.ExecuteActivity(options(ctx, step, "take the lease of "+r.in.Connector), act.BeginRun, activities.BeginInput{
			Connector:  r.in.Connector,
			Mode:       string(r.in.Mode),
			RunID:      r.runID,
			WorkflowID: info.WorkflowExecution.ID,
			Namespace:  info.Namespace,
			StartedAt:  r.st.StartedAt,
		}).Get(ctx, &b)
		if err != nil {
			return err
		}
		if b.HeldBy == "" {
			r.began(ctx, b)
			return nil
		}
		r.st.Progress.HeldBy = b.HeldBy
		r.phase(ctx, Waiting)
		if err := workflow.Sleep(ctx, poll); err != nil {
			return err
		}
		if ctx.Err() == nil && info.GetContinueAsNewSuggested() {
			return errContinue
		}
	}
	return nil
}

// began notes the plan.
func (r *importRun) began(ctx workflow.Context, b activities.BeginResult) {
	r.st.Begun, r.st.Fence, r.st.Plan = true, b.Fence, b.Plan
	p := &r.st.Progress
	p.HeldBy = ""
	p.Users.Enabled = b.Plan.Users
	p.Groups.Enabled = b.Plan.ReadsGroups()
	p.Members.Enabled = b.Plan.Memberships
	r.phase(ctx, Reading)
}

// lookUp asks Okta about every object that the complete listings did not show.
func (r *importRun) lookUp(ctx workflow.Context) error {
	if r.st.Progress.Phase == Reading {
		var s activities.SweepResult
		err := workflow.ExecuteActivity(options(ctx, step, "find what the listings did not show"), act.StageSweep,
			activities.SweepInput{Fence: r.st.Fence, Plan: r.st.Plan}).Get(ctx, &s)
		if err != nil {
			return err
		}
		r.st.Progress.Missing = s.Users + s.Groups
		r.phase(ctx, LookingUp)
	}
	lane := Lane{}
	for r.st.Progress.Phase == LookingUp {
		var l activities.LookUpResult
		summary := fmt.Sprintf("look up what the listings did not show, from %d on", r.st.Progress.LookedUp+1)
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
func (r *importRun) settle(ctx workflow.Context) error {
	r.phase(ctx, Settling)
	var s activities.SettleResult
	return workflow.ExecuteActivity(options(ctx, settling, "decide deletes, derive edges"), act.Settle,
		activities.SettleInput{Fence: r.st.Fence, Plan: r.st.Plan}).Get(ctx, &s)
}

// commit moves the watermark and completes the run row.
func (r *importRun) commit(ctx workflow.Context) (*ImportResult, error) {
	in := activities.CommitInput{Fence: r.st.Fence, Users: r.st.Progress.Users.Mark, Groups: r.st.Progress.Groups.Mark}
	var result ImportResult
	if err := workflow.ExecuteActivity(options(ctx, step, "move the watermark"), act.CommitRun, in).Get(ctx, &result); err != nil {
		return nil, err
	}
	return &result, nil
}

// end completes the run row of a run that failed or was cancelled, even after its
// own cancellation, and returns the workflow's error.
func (r *importRun) end(ctx workflow.Context, cause error) error {
	outcome := activities.Cancelled
	message, err := "cancelled by an operator", temporal.NewCanceledError()
	// Temporal does not retry an activity of a cancelled workflow: what it met last,
	// a bad gateway or a lost worker, is not why the run ends.
	if ctx.Err() == nil && !temporal.IsCanceledError(cause) {
		outcome = activities.Failed
		message, err = describe(cause)
	}
	r.log.Info("Run ended", "outcome", outcome, "error", message)
	dctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	endErr := workflow.ExecuteActivity(options(dctx, ending, "record the end of the run"), act.EndRun,
		activities.EndInput{RunID: r.runID, Outcome: outcome, Message: message}).Get(dctx, nil)
	if endErr != nil {
		r.log.Error("The end of the run could not be recorded", "error", endErr)
	}
	r.ended(dctx, string(outcome), message)
	return err
}

// describe returns what an operator should read, and an error of the same type that
// says just that: the activity's own words, without Temporal's wrapping.
func describe(cause error) (string, error) {
	app, ok := errors.AsType[*temporal.ApplicationError](cause)
	if !ok {
		return cause.Error(), cause
	}
	return app.Message(), temporal.NewNonRetryableApplicationError(app.Message(), app.Type(), nil)
}
