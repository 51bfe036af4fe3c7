package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/identitymesh/okta-connector/mesh"
)

func newCancelCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "cancel RUN",
		Short: "Ask a run to stop",
		Long: `Ask a run to stop. It finishes the pages in hand and ends as Cancelled; what it has
written stays, and the watermark does not move. This command does not wait for that:
'starter watch RUN' does.

A run whose workflow Temporal no longer knows, because Temporal's state was lost, is ended
in the mesh: whatever is left of it can write no more, and the next run begins at once.`,
		Example: `  starter cancel 0199f3a2-6f0e-7c1d-9a55-0c2f6f1b7a11`,
		Args:    oneArg("RUN", "the id that 'starter run' printed, or 'starter status NAME' shows"),
		RunE: c.action(func(ctx context.Context, args []string) error {
			return c.withStore(ctx, func(store mesh.Store) error { return c.cancelRun(ctx, store, args[0]) })
		}),
	}
}

func (c *cli) cancelRun(ctx context.Context, store mesh.Store, id string) error {
	ref := runRef{runID: id}
	run, err := store.Run(ctx, id)
	switch _, missing := errors.AsType[*mesh.NotFoundError](err); {
	case missing: // it may not have begun yet
		run = nil
	case err != nil:
		return err
	case run.Outcome != "":
		return fmt.Errorf("run %s has already ended: %s", id, run.Outcome)
	default:
		ref = refOf(run)
	}
	return c.withTemporal(ctx, ref.namespace, func(t temporalClient) error {
		if ref.workflowID == "" {
			var err error
			if ref.workflowID, err = findWorkflow(ctx, t, id); err != nil {
				return err
			}
		}
		err := requestCancel(ctx, t, ref)
		if _, gone := errors.AsType[*unknownWorkflowError](err); gone && run != nil {
			if _, err := store.End(ctx, id, mesh.Cancelled, "cancelled by "+c.operator()+"; Temporal no longer knew its workflow"); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.stdout, "run %s is ended: Temporal no longer knows workflow %s\n", id, ref.workflowID)
			return err
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.stdout, "cancellation of run %s requested\n", id)
		return err
	})
}

// requestCancel cancels the newest execution of the run's workflow, since a long
// import continues as new, after a look at whether that is still this run.
func requestCancel(ctx context.Context, t temporalClient, ref runRef) error {
	ended := func(how string) error {
		return fmt.Errorf("run %s has already ended: %s", ref.runID, how)
	}
	d, err := t.DescribeWorkflowExecution(ctx, ref.workflowID, "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return &unknownWorkflowError{ref}
	}
	if err != nil {
		return fmt.Errorf("look at workflow %s: %w", ref.workflowID, err)
	}
	info := d.GetWorkflowExecutionInfo()
	if first := info.GetFirstRunId(); first != "" && first != ref.runID {
		return ended("workflow " + ref.workflowID + " is now another run, " + first)
	}
	if s := info.GetStatus(); s != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return ended("its workflow is " + s.String())
	}
	err = t.CancelWorkflow(ctx, ref.workflowID, "")
	if _, gone := errors.AsType[*serviceerror.NotFound](err); gone {
		return ended("just now")
	}
	if err != nil {
		return fmt.Errorf("cancel workflow %s: %w", ref.workflowID, err)
	}
	return nil
}

// unknownWorkflowError says that Temporal does not know the workflow of a run.
type unknownWorkflowError struct{ ref runRef }

func (e *unknownWorkflowError) Error() string {
	return fmt.Sprintf("run %s has already ended: Temporal no longer knows workflow %s", e.ref.runID, e.ref.workflowID)
}
