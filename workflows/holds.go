package workflows

import (
	"errors"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// holdTries is how often a run tries to reach the hold's workflow, which may end just
// then.
const holdTries = 3

// holds sees to it that a [HoldWorkflow] stands for what the run held back, and tells
// it of what the run changed. Nothing depends on it but the operator's comfort: the
// command line starts it anew when it is missing.
func (r *importRun) holds(ctx workflow.Context, open, changed bool) {
	if !changed && (!r.st.Plan.HoldOpen || open) {
		return
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx) // the run is committed, whatever is cancelled now
	defer cancel()
	id := HoldWorkflowID(r.in.Connector)
	for range holdTries {
		if open {
			o := r.childOptions(ctx, id, HoldMode, "deletes held back, waiting for an operator")
			o.ParentClosePolicy = enums.PARENT_CLOSE_POLICY_ABANDON
			err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), HoldWorkflow, HoldInput{Connector: r.in.Connector}).
				GetChildWorkflowExecution().Get(ctx, nil)
			if err == nil {
				return
			}
			if _, running := errors.AsType[*temporal.ChildWorkflowExecutionAlreadyStartedError](err); !running {
				r.log.Error("The hold's workflow could not be started", "error", err)
				return
			}
		}
		err := workflow.SignalExternalWorkflow(ctx, id, "", HoldSignal, nil).Get(ctx, nil)
		if err == nil || !open { // one that has ended needs no telling
			return
		}
		r.log.Info("The hold's workflow ended just now", "error", err)
	}
}
