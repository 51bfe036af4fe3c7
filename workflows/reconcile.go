package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/workflow"
)

// ReconcileInput starts a [ReconcileWorkflow] with the run that its parent has begun.
type ReconcileInput struct {
	Connector string `json:"connector"`
	State     *State `json:"state"`
}

// ReconcileResult is the run row of a completed reconcile and its last progress.
type ReconcileResult struct {
	Run      ImportResult `json:"run"`
	Progress Progress     `json:"progress"`
}

// reconcileID is the workflow id of a run's reconcile. It is made of what is in the
// history, so that every tool can replay it.
func reconcileID(connector string, st *State) string {
	id := st.Fence.RunID
	return fmt.Sprintf("reconcile-%s-%s-%s", connector, st.StartedAt.UTC().Format("20060102T150405Z"), id[max(0, len(id)-6):])
}

// ReconcileWorkflow walks the whole org and sweeps what the walk did not show: it
// catches the hard deletes that no delta sees (runbook, "Hard-delete detection"). It
// is a child of [ImportWorkflow], which holds the lease and ends a run that fails.
func ReconcileWorkflow(ctx workflow.Context, in ReconcileInput) (*ReconcileResult, error) {
	r := &reconcileRun{in: in}
	if err := r.setup(ctx, in.State); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// reconcileRun is one execution of [ReconcileWorkflow].
type reconcileRun struct {
	pass

	in ReconcileInput
}

// run does what is left of the reconcile, whatever execution began it.
func (r *reconcileRun) run(ctx workflow.Context) (*ReconcileResult, error) {
	r.phase(ctx, r.st.Progress.Phase)
	result, err := r.steps(ctx, "")
	switch {
	case errors.Is(err, errContinue):
		r.log.Info("Continuing as new", "phase", r.st.Progress.Phase)
		return nil, workflow.NewContinueAsNewError(ctx, ReconcileWorkflow, ReconcileInput{Connector: r.in.Connector, State: r.st})
	case err != nil:
		return nil, err // the parent records it
	}
	r.completed(ctx, result)
	return &ReconcileResult{Run: *result, Progress: r.st.Progress}, nil
}
