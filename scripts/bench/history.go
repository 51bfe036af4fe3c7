package main

import (
	"context"
	"fmt"

	enums "go.temporal.io/api/enums/v1"

	"github.com/identitymesh/okta-connector/mesh"
)

// historySize is what Temporal keeps of the workflow that reads the org.
type historySize struct {
	longest    int64 // events of one execution
	bytes      int64 // of all executions
	executions int   // 1, and one more for each continue-as-new
}

// history measures the workflow that did a run's reading: the import itself, or the
// child to which it gave a Full.
func (l *lab) history(ctx context.Context, run *mesh.Run) (historySize, error) {
	id, runID := run.WorkflowID, run.RunID
	events := l.client.GetWorkflowHistory(ctx, id, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return historySize{}, fmt.Errorf("read the history of %s: %w", id, err)
		}
		if a := e.GetChildWorkflowExecutionStartedEventAttributes(); a.GetWorkflowType().GetName() == "ReconcileWorkflow" {
			id, runID = a.GetWorkflowExecution().GetWorkflowId(), a.GetWorkflowExecution().GetRunId()
			break
		}
	}
	var size historySize
	for runID != "" {
		d, err := l.client.DescribeWorkflowExecution(ctx, id, runID)
		if err != nil {
			return size, fmt.Errorf("describe %s: %w", id, err)
		}
		info := d.GetWorkflowExecutionInfo()
		size.executions++
		size.longest = max(size.longest, info.GetHistoryLength())
		size.bytes += info.GetHistorySizeBytes()
		if runID, err = l.continuedAs(ctx, id, runID); err != nil {
			return size, err
		}
	}
	return size, nil
}

// continuedAs returns the execution as which this one continued, "" for the last one.
func (l *lab) continuedAs(ctx context.Context, id, runID string) (string, error) {
	last := l.client.GetWorkflowHistory(ctx, id, runID, false, enums.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	for last.HasNext() {
		e, err := last.Next()
		if err != nil {
			return "", fmt.Errorf("read the end of the history of %s: %w", id, err)
		}
		if a := e.GetWorkflowExecutionContinuedAsNewEventAttributes(); a != nil {
			return a.GetNewExecutionRunId(), nil
		}
	}
	return "", nil
}
