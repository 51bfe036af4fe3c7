package app

import (
	"context"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
)

// closedTimeout bounds the question: without an answer the lease decides.
const closedTimeout = 5 * time.Second

// Closed returns a function that says whether Temporal knows for certain that the
// workflow of a run is closed: terminated, failed or ended, in whatever namespace of
// this server. A workflow that the server does not know proves nothing: it may be of
// another server.
func Closed(c client.Client, logger *zap.Logger) func(ctx context.Context, namespace, workflowID, runID string) bool {
	describe := func(ctx context.Context, namespace, workflowID, runID string) (*workflowpb.WorkflowExecutionInfo, error) {
		d, err := c.WorkflowService().DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: namespace,
			Execution: &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: runID},
		})
		return d.GetWorkflowExecutionInfo(), err
	}
	return func(ctx context.Context, namespace, workflowID, runID string) bool {
		ctx, cancel := context.WithTimeout(ctx, closedTimeout)
		defer cancel()
		newest, err := describe(ctx, namespace, workflowID, "")
		if err != nil {
			logger.Debug("Temporal does not say how a run stands", zap.String("workflowId", workflowID), zap.Error(err))
			return false
		}
		if newest.GetFirstRunId() == runID { // the run, or what it continued as
			return over(newest.GetStatus())
		}
		// The id was used again: the run itself is over unless it continued as new.
		first, err := describe(ctx, namespace, workflowID, runID)
		return err == nil && over(first.GetStatus())
	}
}

func over(s enums.WorkflowExecutionStatus) bool {
	switch s {
	case enums.WORKFLOW_EXECUTION_STATUS_COMPLETED, enums.WORKFLOW_EXECUTION_STATUS_FAILED, enums.WORKFLOW_EXECUTION_STATUS_CANCELED,
		enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, enums.WORKFLOW_EXECUTION_STATUS_TIMED_OUT:
		return true
	default:
		return false
	}
}
