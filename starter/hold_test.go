package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/workflows"
)

// someHold is a hold that someRun changed last.
func someHold() *mesh.Hold {
	return &mesh.Hold{
		Connector: "contoso", RunID: someRun, State: mesh.HoldOpen,
		OpenedAt: fixedNow.Add(-time.Hour), ChangedAt: fixedNow, ExpiresAt: fixedNow.Add(71 * time.Hour),
		Deletes: map[mesh.ObjectType]int{mesh.User: 40}, Live: map[mesh.ObjectType]int{mesh.User: 100},
		Reasons: map[mesh.Reason]int{mesh.HardDeleted: 30, mesh.Deprovisioned: 10},
		Sample:  []mesh.HeldDelete{{Type: mesh.User, ExternalID: "bob@contoso.com", OktaID: "00u2", Reason: mesh.HardDeleted, RunID: someRun}},
	}
}

// newHoldBench is a bench with a hold of connector contoso, and an import that carries
// an approval out.
func newHoldBench(t *testing.T) *bench {
	t.Helper()
	b := newBench(t)
	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.hold = someHold()
	b.temporal.decision = workflows.DecisionResult{Connector: "contoso", Hold: someRun, RunID: otherRun, WorkflowID: "import-contoso-approval-x"}
	b.dialed = nil
	return b
}

func TestApprove(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	require.Equal(t, "approved: run "+otherRun+" carries out the deletes of connector contoso\n", b.ok("approve", someRun, "--yes"))
	require.Contains(t, b.err.String(), "starter watch "+otherRun)
	require.Equal(t, []string{"identity"}, b.dialed, "the run's namespace")
	require.Len(t, b.temporal.updated, 1)
	u := b.temporal.updated[0]
	require.Equal(t, "hold-contoso", u.WorkflowID)
	require.Equal(t, workflows.ApproveUpdate, u.UpdateName)
	require.Equal(t, []any{workflows.Decision{Hold: someRun, By: "ada@desk"}}, u.Args)
	require.Empty(t, b.temporal.holds, "its workflow runs")

	var d workflows.DecisionResult
	require.NoError(t, json.Unmarshal([]byte(b.ok("approve", someRun, "--yes", "-o", "json")), &d))
	require.Equal(t, b.temporal.decision, d)
}

func TestApproveAsks(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	b.tty = fakeTerminal{stdin: true}
	b.stdin = strings.NewReader("n\n")
	b.fails(exitError, "nothing was decided", "approve", someRun)
	require.Empty(t, b.temporal.updated)
	for _, line := range []string{
		`Held deletes +40 User \(of 100 live\)`, `Held because +10 deprovisioned, 30 hard-deleted`,
		`User +bob@contoso.com +00u2 +hard-deleted +` + someRun, `… and 39 more`,
	} {
		require.Regexp(t, `(?m)^`+line+`$`, b.err.String())
	}
	b.stdin = strings.NewReader("y\n")
	require.Contains(t, b.ok("approve", someRun), "approved")
	require.NotContains(t, b.out.String(), "bob@contoso.com", "the question is not the result")
}

func TestApproveAndWait(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	b.temporal.progress = func() (workflows.Progress, error) { return workflows.Progress{Mode: workflows.Approval}, nil }
	b.temporal.end = func(context.Context) (*workflows.ImportResult, error) {
		return &workflows.ImportResult{RunID: otherRun, Connector: "contoso", Mode: "Approval", Outcome: mesh.Failed}, nil
	}
	require.Equal(t, exitError, b.run("approve", someRun, "--yes", "--wait", "-q", "-o", "json"))
	var run mesh.Run
	require.NoError(t, json.Unmarshal(b.out.Bytes(), &run))
	require.Equal(t, otherRun, run.RunID)
	require.Equal(t, "Approval", run.Mode)
	require.Equal(t, "import-contoso-approval-x", b.temporal.queried)
	require.Contains(t, b.err.String(), "run "+otherRun+" of contoso failed")
}

func TestReject(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	require.Equal(t, "rejected: nothing of connector contoso is deleted\n", b.ok("reject", someRun))
	require.Equal(t, workflows.RejectUpdate, b.temporal.updated[0].UpdateName)
}

func TestDecideStartsTheWorkflowAnew(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	b.temporal.updateErr = []error{serviceerror.NewNotFound("workflow execution already completed")}
	b.temporal.startErr = []error{serviceerror.NewInvalidArgument("no such search attribute")}
	b.ok("reject", someRun)
	require.Len(t, b.temporal.updated, 2)
	require.Equal(t, []workflows.HoldInput{{Connector: "contoso"}, {Connector: "contoso"}}, b.temporal.holds)
	o := b.temporal.started[1]
	require.Equal(t, "hold-contoso", o.ID)
	require.Equal(t, "test-queue", o.TaskQueue)
	require.Equal(t, enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, o.WorkflowIDConflictPolicy)
	require.Zero(t, o.TypedSearchAttributes.Size())
}

func TestDecideRefuses(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	b.fails(exitError, `run "nobody" does not exist`, "approve", "nobody", "--yes")
	b.fails(exitError, `"contoso" is a connector: a hold is answered by the run that changed it last, `+someRun, "reject", "contoso")
	b.hold.RunID = otherRun
	b.fails(exitError, "was changed last by run "+otherRun+", not by "+someRun, "approve", someRun, "--yes")
	b.hold = nil
	b.fails(exitError, "connector contoso has no open hold", "reject", someRun)
	require.Empty(t, b.temporal.updated)

	b.hold = someHold()
	b.temporal.updateErr = []error{temporal.NewApplicationError("the hold has changed", "x")}
	b.fails(exitError, "approve the deletes of connector contoso: the hold has changed", "approve", someRun, "--yes")
	b.temporal.updateErr = []error{serviceerror.NewDeadlineExceeded("no poller")}
	b.fails(exitError, "is a worker running? The decision may still count once one runs: 'starter status contoso'", "reject", someRun)
	b.temporal.updateErr = []error{serviceerror.NewPermissionDenied("not you", "")}
	b.fails(exitError, "reject the deletes of connector contoso: not you", "reject", someRun)
}

func TestStatusShowsTheHold(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	text := b.ok("status", "contoso")
	for _, line := range []string{
		`Held deletes +40 User \(of 100 live\)`, `Hold expires +2026-04-25 07:15:30Z, then nothing is deleted`,
		`To delete them +starter approve ` + someRun, `To keep them +starter reject ` + someRun, `User +bob@contoso.com +00u2 .*`,
	} {
		require.Regexp(t, `(?m)^`+line+`$`, text)
	}
	var s status
	require.NoError(t, json.Unmarshal([]byte(b.ok("status", "contoso", "-o", "json")), &s))
	require.Equal(t, someRun, s.Hold.RunID)

	at := fixedNow
	b.hold.ApprovedBy, b.hold.ApprovedAt = "ada@desk", &at
	text = b.ok("status", "contoso")
	require.Regexp(t, `(?m)^Approved +by ada@desk, 2026-04-22 08:15:30Z; not carried out yet$`, text)
	require.NotContains(t, text, "To keep them")
}

func TestCompleteHolds(t *testing.T) {
	t.Parallel()
	b := newHoldBench(t)
	b.apply("acme")
	require.Equal(t, someRun+"\tcontoso\n:4\n", b.ok("__complete", "approve", ""))
}
