package integration

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/workflows"
)

// deactivate deactivates n active users and returns their ids.
func deactivate(w *world, n int) []string {
	w.Helper()
	ids := w.org().UserIDsByStatus("ACTIVE")[:n]
	for _, id := range ids {
		require.NoError(w, w.org().SetStatus(id, "DEPROVISIONED"))
	}
	return ids
}

// held runs a delta that meets a mass deactivation and returns it.
func held(w *world, mode string, users int) runRow {
	w.Helper()
	row, r := w.runMode(mode)
	require.Equal(w, 3, r.Code, r.Stderr)
	require.Equal(w, "HeldDeletes", row.Outcome)
	require.Equal(w, users, row.Counts["User"].Held)
	require.Zero(w, row.Counts["User"].Deleted)
	require.Contains(w, r.Stderr, "starter approve "+row.RunID)
	return row
}

// holdStatus is the state of the hold's workflow.
func holdStatus(w *world) enums.WorkflowExecutionStatus {
	w.Helper()
	d, err := w.client().DescribeWorkflowExecution(w.Context(), workflows.HoldWorkflowID(w.name), "")
	require.NoError(w, err)
	return d.GetWorkflowExecutionInfo().GetStatus()
}

// holdDetails is what the Web UI shows of the hold's workflow.
func holdDetails(w *world) string {
	w.Helper()
	v, err := w.client().QueryWorkflow(w.Context(), workflows.HoldWorkflowID(w.name), "", "__temporal_workflow_metadata")
	require.NoError(w, err)
	var m sdkpb.WorkflowMetadata
	require.NoError(w, v.Get(&m))
	return m.GetCurrentDetails()
}

// holdResult waits for the end of the hold's workflow.
func holdResult(w *world) workflows.HoldResult {
	w.Helper()
	var r workflows.HoldResult
	require.NoError(w, w.client().GetWorkflow(w.Context(), workflows.HoldWorkflowID(w.name), "").Get(w.Context(), &r))
	return r
}

// deletedUsers are the users that the feed deletes after since, sorted; an edge's
// Delete must precede its user's.
func deletedUsers(w *world, since int) []string {
	w.Helper()
	var ids []string
	for _, c := range w.changes(since) {
		switch {
		case c.Type == "User" && c.Op == "Delete":
			require.Equal(w, "deprovisioned", c.Reason)
			ids = append(ids, c.ExternalID)
		case c.Type == "GroupMember":
			require.Equal(w, "Delete", c.Op)
			require.NotContains(w, ids, strings.Split(c.ExternalID, ":")[1], "an edge goes before its user")
		}
	}
	slices.Sort(ids)
	return ids
}

// TestHeldAndApproved holds a mass deactivation, kills the worker during the wait, and
// approves: exactly those users go, with their edges.
func TestHeldAndApproved(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, testHeldAndApproved)
}

func testHeldAndApproved(t *testing.T, newDB func() string) {
	w := newWorldOn(t, newDB(), oktasim.Config{Org: generated(t, 120, 6)}, nil)
	worker := w.worker()
	w.completed()
	before := len(w.changes(0))
	gone := deactivate(w, 40)
	edit(w, 5)
	row := held(w, "delta", 40)
	require.NotNil(t, row.Watermark, "holding blocks nothing")
	for _, c := range w.changes(before) {
		require.Equal(t, "Update", c.Op, "a held user's status is known at once: %+v", c)
	}
	waitFor(w, "the hold is shown", func() bool { return strings.Contains(holdDetails(w), "User: 40 of ") })
	require.Contains(t, holdDetails(w), "starter approve "+row.RunID)
	require.Contains(t, holdDetails(w), "deprovisioned: 40")
	require.Contains(t, w.ok(w.starter("", "status", w.name)), "starter approve "+row.RunID)

	worker.Kill()
	worker = w.worker()
	edit(w, 7) // deltas go on meanwhile
	require.Equal(t, 7, w.completedMode("delta").Counts["User"].Updated)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, holdStatus(w))

	r := w.starter("", "approve", row.RunID)
	require.Equal(t, 2, r.Code, "nobody was asked: --yes is missing")
	before = len(w.changes(0))
	approval, r := w.rowOf(w.starter("", "approve", row.RunID, "--yes", "--wait", "-o", "json"))
	require.Zero(t, r.Code, r.Stderr)
	require.Equal(t, "Completed", approval.Outcome)
	require.Equal(t, "Approval", approval.Mode)
	require.Equal(t, 40, approval.Counts["User"].Deleted)
	require.Equal(t, gone, deletedUsers(w, before), "exactly those")
	w.requireTrue()
	result := holdResult(w)
	require.Equal(t, workflows.HoldApproved, result.State)
	require.NotEmpty(t, result.By)
	requireNobody(w, worker.Output()+string(readable(w, events(w, workflows.HoldWorkflowID(w.name), "")))+string(history(w, approval.RunID)))
	recordRun(w, row.RunID, "held")
	recordHistory(w, events(w, workflows.HoldWorkflowID(w.name), ""), "held-hold")
	recordRun(w, approval.RunID, "held-approval")

	r = w.starter("", "approve", row.RunID, "--yes")
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, "no open hold")
	w.completedMode("full")
	w.requireTrue()
}

// TestHeldAndRejected rejects a hold: nothing is deleted, deltas leave it alone, and
// the next Full holds it again.
func TestHeldAndRejected(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 120, 6)}, nil)
	w.worker()
	w.completed()
	deactivate(w, 40)
	row := held(w, "delta", 40)
	feed := len(w.changes(0))
	require.Contains(t, w.ok(w.starter("", "reject", row.RunID)), "rejected")
	require.Equal(t, workflows.HoldRejected, holdResult(w).State)
	recordHistory(w, events(w, workflows.HoldWorkflowID(w.name), ""), "rejected-hold")
	require.Empty(t, w.changes(feed), "nothing is deleted")
	w.completedMode("delta")
	require.Empty(t, w.changes(feed))
	again := held(w, "full", 40)
	waitFor(w, "the new hold is shown", func() bool { return strings.Contains(holdDetails(w), again.RunID) })
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, holdStatus(w))
	require.Empty(t, w.changes(feed))
	w.replayFeed()
}

// update answers a hold as the Web UI does.
func update(w *world, name, hold, by string) (workflows.DecisionResult, error) {
	w.Helper()
	var d workflows.DecisionResult
	ctx, cancel := context.WithTimeout(w.Context(), waitLimit)
	defer cancel()
	u, err := w.client().UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: workflows.HoldWorkflowID(w.name), UpdateName: name,
		Args: []any{map[string]string{"hold": hold, "by": by}}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return d, err
	}
	err = u.Get(ctx, &d)
	return d, err
}

// TestAChangedHold lets a delta add to a hold, which voids what an operator saw, and
// answers the new one by a plain Temporal update, as the Web UI does.
func TestAChangedHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 120, 6)}, nil)
	w.worker()
	w.completed()
	gone := deactivate(w, 30)
	first := held(w, "delta", 30)
	gone = append(gone, deactivate(w, 4)...)
	second := held(w, "delta", 4)

	r := w.starter("", "approve", first.RunID, "--yes")
	require.Equal(t, 1, r.Code)
	require.Contains(t, r.Stderr, second.RunID)
	waitFor(w, "the hold's workflow has seen the change", func() bool { return strings.Contains(holdDetails(w), second.RunID) })
	require.Contains(t, holdDetails(w), "User: 34 of ")
	for _, verb := range []string{workflows.ApproveUpdate, workflows.RejectUpdate} {
		_, err := update(w, verb, first.RunID, "somebody")
		require.ErrorContains(t, err, second.RunID, "it names the run that changed the hold last")
		_, err = update(w, verb, second.RunID, "")
		require.ErrorContains(t, err, "who decides")
	}

	feed := len(w.changes(0))
	d, err := update(w, workflows.ApproveUpdate, second.RunID, "the Web UI")
	require.NoError(t, err)
	approval := w.wait(d.RunID)
	require.Equal(t, "Completed", approval.Outcome, approval.Error)
	slices.Sort(gone)
	require.Equal(t, gone, deletedUsers(w, feed))
	require.Equal(t, "the Web UI", holdResult(w).By)
	w.requireTrue()
}

// TestAHoldWithoutItsWorkflow terminates the hold's workflow: the mesh still has the
// hold, and an approval starts the workflow anew. One of the users has come back
// meanwhile: the approval looks again and keeps him.
func TestAHoldWithoutItsWorkflow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 120, 6)}, nil)
	w.worker()
	w.completed()
	gone := deactivate(w, 30)
	row := held(w, "delta", 30)
	require.NoError(t, w.client().TerminateWorkflow(t.Context(), workflows.HoldWorkflowID(w.name), "", "by mistake"))
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_TERMINATED, holdStatus(w))
	require.NoError(t, w.org().SetStatus(gone[0], "ACTIVE"))

	feed := len(w.changes(0))
	approval, r := w.rowOf(w.starter("", "approve", row.RunID, "--yes", "--wait", "-o", "json"))
	require.Zero(t, r.Code, r.Stderr)
	require.Equal(t, 29, approval.Counts["User"].Deleted)
	require.Equal(t, gone[1:], deletedUsers(w, feed))
	require.Equal(t, workflows.HoldApproved, holdResult(w).State)
	w.requireTrue()
}
