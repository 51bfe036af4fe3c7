package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// maxWaiting is how many waiting runs `status` shows.
const maxWaiting = 5

// waitingRun is an import that Temporal has and the mesh has not: no worker has begun it, or
// another run goes first.
type waitingRun struct {
	RunID      string    `json:"runId"`
	WorkflowID string    `json:"workflowId"`
	Mode       string    `json:"mode"`
	StartedAt  time.Time `json:"startedAt"`
	// Why is what keeps workers from it, "" when nothing is known.
	Why string `json:"why,omitempty"`
}

// waiting returns the runs of a connector that have not begun. A server that lacks the search
// attributes, or does not let us list, knows of none.
func (c *cli) waiting(ctx context.Context, store mesh.Store, t temporalClient, conn *mesh.Connector) ([]waitingRun, error) {
	all := []waitingRun{}
	found, err := t.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: maxWaiting,
		Query: fmt.Sprintf("WorkflowType = '%s' AND ExecutionStatus = 'Running' AND %s = '%s'", // a name has no quotes
			importWorkflowType, workflows.ConnectorAttribute.GetName(), conn.Name),
	})
	if err != nil {
		return all, nil //nolint:nilerr // see above
	}
	for _, e := range found.GetExecutions() {
		w := waitingRun{
			RunID: firstRunID(e), WorkflowID: e.GetExecution().GetWorkflowId(),
			Mode: keyword(e, workflows.ModeAttribute), StartedAt: e.GetStartTime().AsTime(),
		}
		_, err := store.Run(ctx, w.RunID)
		if _, missing := errors.AsType[*mesh.NotFoundError](err); !missing {
			if err != nil {
				return nil, err
			}
			continue
		}
		if len(all) == 0 {
			w.Why = c.whyWaiting(ctx, t, c.queueOf(conn))
		} else {
			w.Why = all[0].Why
		}
		all = append(all, w)
	}
	return all, nil
}

// firstRunID is the id of a run, which stays through continue-as-new.
func firstRunID(e *workflow.WorkflowExecutionInfo) string {
	if first := e.GetFirstRunId(); first != "" {
		return first
	}
	return e.GetExecution().GetRunId() // a server that does not say
}

// waitingFields are the lines of runs that have not begun.
func (s *status) waitingFields() (fields []field) {
	for _, w := range s.Waiting {
		text := fmt.Sprintf("run %s (%s), since %s: ", w.RunID, orDash(w.Mode), stamp(w.StartedAt))
		if w.Why == "" {
			text += "not begun yet"
		} else {
			text += w.Why
		}
		fields = append(fields, field{"Waiting", text})
	}
	return fields
}
