package workflows

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// ImportWorkflow reads an Okta org into the mesh and keeps the mesh true to it. It
// returns the run row of a completed run, or of one that gave way to another. A run
// that fails returns the error that stopped it, with its type; a cancelled one ends as
// cancelled. Both leave the watermark where it was.
func ImportWorkflow(ctx workflow.Context, in ImportInput) (*ImportResult, error) {
	r := &importRun{in: in}
	if err := r.setup(ctx); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// act refers to the activities by method; it is never called.
var act *activities.Activities

// importRun is one execution of [ImportWorkflow]: it begins the run, has a Full done
// by the child [ReconcileWorkflow], does everything else itself, and ends the run.
type importRun struct {
	pass

	in ImportInput
}

// errContinue asks run to continue as new; nothing is in flight then.
var errContinue = errors.New("continue as new")

// movedError asks run to continue as new on another task queue.
type movedError struct{ queue string }

func (e *movedError) Error() string { return "continue as new on task queue " + e.queue }

// setup validates the input, restores the state and answers the progress query.
func (r *importRun) setup(ctx workflow.Context) error {
	info := workflow.GetInfo(ctx)
	runID := cmp.Or(info.FirstRunID, info.WorkflowExecution.RunID)
	st := r.in.State
	if st == nil {
		st = &State{StartedAt: info.WorkflowStartTime}
		st.Progress = Progress{RunID: runID, Connector: r.in.Connector, Mode: r.in.Mode, DryRun: r.in.DryRun, Phase: Beginning}
	}
	if err := r.pass.setup(ctx, st); err != nil {
		return err
	}
	if r.in.Connector == "" || !slices.Contains([]Mode{Full, Delta, Auto, Approval}, r.in.Mode) ||
		(r.in.Mode == Approval) != (r.in.Hold != "") || r.in.Mode == Approval && r.in.DryRun {
		msg := fmt.Sprintf("ImportWorkflow wants a Connector and Mode %q, %q or %q; it got %q and %q", Full, Delta, Auto, r.in.Connector, r.in.Mode)
		return temporal.NewNonRetryableApplicationError(msg, activities.ErrDefinition, nil)
	}
	return nil
}

// run does what is left of the import, whatever execution began it.
func (r *importRun) run(ctx workflow.Context) (*ImportResult, error) {
	result, err := r.steps(ctx)
	if moved, ok := errors.AsType[*movedError](err); ok {
		r.log.Info("The connector is imported on another task queue: going on there", "taskQueue", moved.queue)
		ctx, err = workflow.WithWorkflowTaskQueue(ctx, moved.queue), errContinue
	}
	switch {
	case errors.Is(err, errContinue):
		r.log.Info("Continuing as new", "phase", r.st.Progress.Phase)
		in := r.in
		in.State = r.st
		return nil, workflow.NewContinueAsNewError(ctx, ImportWorkflow, in)
	case err != nil:
		return nil, r.end(ctx, err)
	}
	if r.in.DryRun {
		r.dropShadow(ctx)
		result.Connector, result.Watermark = r.in.Connector, nil // no watermark has moved
	} else {
		r.holds(ctx, result.HoldOpen, result.HoldChanged)
	}
	r.completed(ctx, result)
	return result, nil
}

// steps is the import: begin, then the pass, by a child when it is a Full.
func (r *importRun) steps(ctx workflow.Context) (*ImportResult, error) {
	skipped, err := r.begin(ctx)
	if skipped != nil || err != nil {
		return skipped, err
	}
	if r.st.Plan.Mode == activities.ModeFull {
		return r.reconcile(ctx)
	}
	return r.pass.steps(ctx, r.in.Hold)
}

// begin takes the connector's lease. A Full waits its turn while another run holds
// it; a delta ends as skipped.
func (r *importRun) begin(ctx workflow.Context) (skipped *ImportResult, _ error) {
	info := workflow.GetInfo(ctx)
	for poll := firstHeldPoll; !r.st.Begun; poll = min(poll*2, lastHeldPoll) {
		var b activities.BeginResult
		err := workflow.ExecuteActivity(options(ctx, step, "take the lease of "+r.in.Connector), act.BeginRun, activities.BeginInput{
			Connector:  r.in.Connector,
			Mode:       string(r.in.Mode),
			RunID:      r.st.Progress.RunID,
			WorkflowID: info.WorkflowExecution.ID,
			Namespace:  info.Namespace,
			StartedAt:  r.st.StartedAt,
			Now:        workflow.Now(ctx),
			Cadence:    r.in.Cadence,
			DryRun:     r.in.DryRun,
		}).Get(ctx, &b)
		if err != nil {
			return nil, err
		}
		if b.TaskQueue != "" { // never in a history of a release that did not route
			if err := ctx.Err(); err != nil {
				return nil, err // the execution that follows would know of no cancel
			}
			return nil, &movedError{b.TaskQueue}
		}
		if b.Skipped != nil {
			r.st.Progress.Note = b.Skipped.Note
			r.st.Progress.Mode = Mode(b.Skipped.Mode)
			return b.Skipped, nil
		}
		if b.HeldBy == "" {
			r.began(ctx, b)
			return nil, nil
		}
		r.st.Progress.HeldBy = b.HeldBy
		r.phase(ctx, Waiting)
		if err := workflow.Sleep(ctx, poll); err != nil {
			return nil, err
		}
		if ctx.Err() == nil && info.GetContinueAsNewSuggested() {
			return nil, errContinue
		}
	}
	return nil, nil
}

// began notes the plan.
func (r *importRun) began(ctx workflow.Context, b activities.BeginResult) {
	r.st.Begun, r.st.Fence, r.st.Plan = true, b.Fence, b.Plan
	p := &r.st.Progress
	p.HeldBy = ""
	p.Mode, p.Note, p.Watermark = Mode(b.Plan.Mode), b.Plan.Note, b.Plan.Watermark
	p.Users.Enabled = b.Plan.ReadsUsers()
	p.Groups.Enabled = b.Plan.ReadsGroups()
	p.Members.Enabled = b.Plan.ReadsMembers()
	r.mode(ctx)
	r.phase(ctx, Reading)
}

// reconcile has a Full done by a child workflow, whose progress the run then shows.
func (r *importRun) reconcile(ctx workflow.Context) (*ImportResult, error) {
	r.st.Progress.Child = reconcileID(r.in.Connector, r.st)
	r.phase(ctx, Reconciling)
	ctx = workflow.WithChildOptions(ctx, r.childOptions(ctx, r.st.Progress.Child, string(Full), "walk the whole org, sweep what is gone"))
	var done ReconcileResult
	start := *r.st
	start.Progress.Child, start.Progress.Phase = "", Reading
	err := workflow.ExecuteChildWorkflow(ctx, ReconcileWorkflow, ReconcileInput{Connector: r.in.Connector, State: &start}).Get(ctx, &done)
	if err != nil {
		return nil, err
	}
	r.st.Progress = done.Progress
	return &done.Run, nil
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
	var ended activities.EndResult
	endErr := workflow.ExecuteActivity(options(dctx, ending, "record the end of the run"), act.EndRun,
		activities.EndInput{RunID: r.st.Progress.RunID, Outcome: outcome, Message: message}).Get(dctx, &ended)
	if endErr != nil {
		r.log.Error("The end of the run could not be recorded", "error", endErr)
	}
	if r.in.DryRun {
		r.dropShadow(dctx)
	} else {
		r.holds(dctx, ended.HoldOpen, ended.HoldChanged)
	}
	r.ended(dctx, string(outcome), message)
	return err
}

// dropShadow removes the copy that a dry run wrote to.
func (r *importRun) dropShadow(ctx workflow.Context) {
	if !r.st.Begun {
		return
	}
	err := workflow.ExecuteActivity(options(ctx, ending, "drop the copy that the dry run wrote to"), act.DropShadow,
		activities.DropInput{Shadow: r.st.Fence.Connector}).Get(ctx, nil)
	if err != nil {
		r.log.Error("The copy of the dry run could not be dropped; the next dry run does it", "error", err)
	}
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
