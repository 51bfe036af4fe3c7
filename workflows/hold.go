package workflows

import (
	"errors"
	"fmt"
	"strings"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/identitymesh/okta-connector/activities"
)

// HoldWorkflowID is the workflow id of the one [HoldWorkflow] of a connector.
func HoldWorkflowID(connector string) string { return "hold-" + connector }

// The names by which a [HoldWorkflow] is asked and answered.
const (
	ApproveUpdate = "approve" // a [Decision], answered by a [DecisionResult]
	RejectUpdate  = "reject"  // a [Decision], answered by a [DecisionResult]
	HoldSignal    = "changed" // a run changed the hold
	HoldQuery     = "hold"    // answers an [activities.HoldInfo]
)

// HoldInput starts a [HoldWorkflow].
type HoldInput = activities.HoldInput

// Decision is what an operator says to a hold.
type Decision struct {
	// Hold is the run that changed the hold last, as the operator saw it.
	Hold string `json:"hold"`
	// By is who decided.
	By string `json:"by"`
}

// DecisionResult answers a [Decision] that was accepted.
type DecisionResult struct {
	Connector string `json:"connector"`
	Hold      string `json:"hold"`
	// RunID and WorkflowID are of the import that carries an approval out.
	RunID      string `json:"runId,omitempty"`
	WorkflowID string `json:"workflowId,omitempty"`
}

// HoldResult is how a hold ended.
type HoldResult struct {
	State string    `json:"state"`
	By    string    `json:"by,omitempty"`
	At    time.Time `json:"at"`
}

// HoldMode is the mode of a [HoldWorkflow] as a search attribute; its outcome is one of
// the ways in which a hold ends.
const HoldMode = "Hold"

// The ways in which a hold ends.
const (
	HoldApproved = "Approved"
	HoldRejected = "Rejected"
	HoldExpired  = "Expired"
	HoldGone     = "Gone" // a run found nothing to hold any more, or somebody else answered
)

// HoldWorkflow waits for an operator's word on the deletes that a connector's runs
// held back, and has an approval carried out by an import of mode [Approval]. The
// deletes themselves are rows of the mesh: what is decided is decided there, so that a
// word on a hold that has changed is refused (design.md §4).
func HoldWorkflow(ctx workflow.Context, in HoldInput) (*HoldResult, error) {
	r := &holdRun{in: in}
	if err := r.setup(ctx); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// holdRun is one execution of [HoldWorkflow].
type holdRun struct {
	in       HoldInput
	log      log.Logger
	hold     activities.HoldInfo
	approval *approval   // being carried out
	result   *HoldResult // set when the hold has ended
	trouble  string      // why the last approval was not carried out
}

// approval is an accepted approval and the import that carries it out.
type approval struct {
	Decision

	started bool
	run     workflow.Execution
	err     error
}

func (r *holdRun) setup(ctx workflow.Context) error {
	r.log = log.With(workflow.GetLogger(ctx), "connector", r.in.Connector)
	if err := workflow.SetQueryHandler(ctx, HoldQuery, func() (activities.HoldInfo, error) { return r.hold, nil }); err != nil {
		return fmt.Errorf("set the query handler %s: %w", HoldQuery, err)
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, ApproveUpdate, r.approve, workflow.UpdateHandlerOptions{
		Validator: r.check, Description: "delete what this hold keeps back",
	}); err != nil {
		return fmt.Errorf("set the update handler %s: %w", ApproveUpdate, err)
	}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, RejectUpdate, r.reject, workflow.UpdateHandlerOptions{
		Validator: r.check, Description: "delete nothing and end this hold",
	}); err != nil {
		return fmt.Errorf("set the update handler %s: %w", RejectUpdate, err)
	}
	return nil
}

// run shows the hold and waits: for an answer, for a run that changes it, for the end
// of its time.
func (r *holdRun) run(ctx workflow.Context) (*HoldResult, error) {
	for r.result == nil {
		if err := r.read(ctx); err != nil {
			return nil, err
		}
		if r.result != nil {
			break
		}
		if queue := r.hold.TaskQueue; queue != "" { // never in a history of a release that did not route
			if moved, err := r.move(ctx, queue); moved || err != nil {
				return nil, err
			}
		}
		timedOut, err := r.wait(ctx)
		if err != nil {
			return nil, err
		}
		switch {
		case r.result != nil:
		case r.approval != nil:
			if err := r.carryOut(ctx); err != nil {
				return nil, err
			}
		case timedOut:
			if err := r.expire(ctx); err != nil {
				return nil, err
			}
		}
	}
	r.details(ctx)
	outcomeIs(ctx, r.log, r.result.State)
	// An answer that has been accepted is still given.
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return nil, err
	}
	return r.result, nil
}

// read reads the hold from the mesh.
func (r *holdRun) read(ctx workflow.Context) error {
	var h activities.HoldInfo
	err := workflow.ExecuteActivity(options(ctx, step, "read the hold of "+r.in.Connector), act.ReadHold, r.in).Get(ctx, &h)
	if err != nil {
		return err
	}
	if r.result != nil { // answered meanwhile
		return nil
	}
	if !h.Open {
		r.end(ctx, HoldGone, "")
		return nil
	}
	r.hold = h
	r.details(ctx)
	return nil
}

// move goes on, as new, on the task queue that the connector has moved to. An answer that
// came meanwhile is given first, and an approval carried out: then it has not moved yet.
func (r *holdRun) move(ctx workflow.Context, queue string) (moved bool, _ error) {
	err := workflow.Await(ctx, func() bool {
		return r.approval != nil || r.result != nil || workflow.AllHandlersFinished(ctx)
	})
	if err != nil || r.approval != nil || r.result != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err // the execution that follows would know of no cancel
	}
	r.log.Info("The connector is imported on another task queue: its hold waits there", "taskQueue", queue)
	return true, workflow.NewContinueAsNewError(workflow.WithWorkflowTaskQueue(ctx, queue), HoldWorkflow, r.in)
}

// wait returns when something has happened, or says that the hold's time is over.
func (r *holdRun) wait(ctx workflow.Context) (timedOut bool, _ error) {
	changes := workflow.GetSignalChannel(ctx, HoldSignal)
	left := r.hold.ExpiresAt.Sub(workflow.Now(ctx))
	if left <= 0 {
		return true, nil
	}
	timer, cancel := workflow.WithCancel(ctx)
	defer cancel()
	over := workflow.NewTimerWithOptions(timer, left, workflow.TimerOptions{Summary: "until the hold expires"})
	err := workflow.Await(ctx, func() bool {
		return over.IsReady() || changes.Len() > 0 || r.approval != nil || r.result != nil
	})
	for changes.ReceiveAsync(nil) { // one reading answers them all
	}
	return over.IsReady(), err
}

// check refuses what cannot be meant. Whether the hold is still what the operator saw,
// only the mesh knows.
func (r *holdRun) check(d Decision) error {
	switch {
	case d.Hold == "" || d.By == "":
		return errors.New("a decision names the hold (the run that changed it last) and who decides")
	case r.result != nil:
		return errors.New("the hold has ended: " + r.result.State)
	case r.approval != nil:
		return fmt.Errorf("the approval by %s is being carried out", r.approval.By)
	}
	return nil
}

// approve records an approval and answers once its import has started.
func (r *holdRun) approve(ctx workflow.Context, d Decision) (*DecisionResult, error) {
	if err := r.decide(ctx, act.ApproveHold, d, "approve the deletes that "+d.Hold+" held"); err != nil {
		return nil, err
	}
	if r.result != nil || r.approval != nil { // another answer was faster
		return nil, r.check(d)
	}
	a := &approval{Decision: d}
	r.approval = a
	if err := workflow.Await(ctx, func() bool { return a.started || a.err != nil || r.result != nil }); err != nil {
		return nil, err
	}
	switch {
	case a.err != nil:
		return nil, a.err
	case !a.started:
		return nil, r.check(d)
	}
	return &DecisionResult{Connector: r.in.Connector, Hold: d.Hold, RunID: a.run.RunID, WorkflowID: a.run.ID}, nil
}

// reject ends the hold; nothing is deleted.
func (r *holdRun) reject(ctx workflow.Context, d Decision) (*DecisionResult, error) {
	if err := r.decide(ctx, act.RejectHold, d, "reject the deletes that "+d.Hold+" held"); err != nil {
		return nil, err
	}
	r.end(ctx, HoldRejected, d.By)
	return &DecisionResult{Connector: r.in.Connector, Hold: d.Hold}, nil
}

// decide records a decision in the mesh, which refuses one on a hold that has changed.
// A run that changed it may have ended without telling: then it is read anew.
func (r *holdRun) decide(ctx workflow.Context, activity any, d Decision, summary string) error {
	if d.Hold != r.hold.RunID {
		if err := r.read(ctx); err != nil {
			return err
		}
	}
	err := workflow.ExecuteActivity(options(ctx, step, summary), activity,
		activities.DecideHoldInput{Connector: r.in.Connector, Hold: d.Hold, By: d.By}).Get(ctx, nil)
	if err == nil {
		return nil
	}
	_, err = describe(err)
	return err
}

// carryOut runs the import that an approval asks for. If it fails, the hold stays.
func (r *holdRun) carryOut(ctx workflow.Context) error {
	a := r.approval
	defer func() { r.approval = nil }()
	id := fmt.Sprintf("import-%s-approval-%s", r.in.Connector, workflow.Now(ctx).UTC().Format("20060102T150405.000Z"))
	child := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            id,
		StaticSummary:         "carry out the deletes that " + a.By + " approved",
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		WaitForCancellation:   true,
		TypedSearchAttributes: r.attributes(ctx),
	}), ImportWorkflow, ImportInput{Connector: r.in.Connector, Mode: Approval, Hold: a.Hold})
	if a.err = child.GetChildWorkflowExecution().Get(ctx, &a.run); a.err != nil {
		return ctx.Err()
	}
	a.started = true
	r.details(ctx)
	var result ImportResult
	err := child.Get(ctx, &result)
	if err == nil && result.Outcome == activities.Completed {
		r.end(ctx, HoldApproved, a.By)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	message := result.Note
	if err != nil {
		message, _ = describe(err)
	}
	r.trouble = fmt.Sprintf("The approval by %s was not carried out: %s", a.By, message)
	r.log.Warn("An approval was not carried out", "hold", a.Hold, "error", message)
	return nil
}

func (r *holdRun) attributes(ctx workflow.Context) temporal.SearchAttributes {
	if _, ok := workflow.GetTypedSearchAttributes(ctx).GetKeyword(ConnectorAttribute); !ok {
		return temporal.SearchAttributes{}
	}
	return temporal.NewSearchAttributes(ConnectorAttribute.ValueSet(r.in.Connector),
		ModeAttribute.ValueSet(string(Approval)), OutcomeAttribute.ValueSet(Running))
}

// expire ends a hold whose time is over. It is refused while a run carries out an
// approval, or after one that has changed the hold just now: then it is read again, a
// little later.
func (r *holdRun) expire(ctx workflow.Context) error {
	d := Decision{Hold: r.hold.RunID, By: "time limit"}
	err := r.decide(ctx, act.ExpireHold, d, "the time of the hold is over")
	if err == nil {
		r.end(ctx, HoldExpired, "")
		return nil
	}
	r.log.Warn("The hold could not be ended", "error", err)
	_, err = workflow.AwaitWithTimeout(ctx, expireAgain, func() bool { return r.approval != nil || r.result != nil })
	return err
}

func (r *holdRun) end(ctx workflow.Context, state, by string) {
	if r.result == nil {
		r.result = &HoldResult{State: state, By: by, At: workflow.Now(ctx)}
	}
}

// details writes what the Web UI shows: numbers and Okta ids.
func (r *holdRun) details(ctx workflow.Context) {
	var b strings.Builder
	if r.result != nil {
		fmt.Fprintf(&b, "The deletes held for **%s**: **%s**", r.in.Connector, r.result.State)
		if r.result.By != "" {
			b.WriteString(" by " + r.result.By)
		}
		workflow.SetCurrentDetails(ctx, b.String())
		return
	}
	fmt.Fprintf(&b, "**%s**: deletes are held back and wait for an operator until %s.\n\n", r.in.Connector, r.hold.ExpiresAt.UTC().Format(time.RFC3339))
	for _, typ := range activities.ObjectTypes {
		if n := r.hold.Deletes[typ]; n > 0 {
			fmt.Fprintf(&b, "- %s: %d of %d\n", typ, n, r.hold.Live[typ])
		}
	}
	for _, reason := range r.hold.Reasons {
		fmt.Fprintf(&b, "- %s\n", reason)
	}
	if n := len(r.hold.Sample); n > 0 {
		fmt.Fprintf(&b, "\nThe first %d, by Okta's ids:\n\n", n)
	}
	for _, s := range r.hold.Sample {
		fmt.Fprintf(&b, "- `%s`\n", s)
	}
	if r.approval != nil {
		fmt.Fprintf(&b, "\nApproved by %s, being carried out by `%s`.\n", r.approval.By, r.approval.run.ID)
	} else {
		fmt.Fprintf(&b, "\nAnswer with `starter approve %[1]s` or `starter reject %[1]s`, or send the update `%[2]s` or `%[3]s` with `{\"hold\": \"%[1]s\", \"by\": \"your name\"}`.\n",
			r.hold.RunID, ApproveUpdate, RejectUpdate)
	}
	if r.trouble != "" {
		b.WriteString("\n" + r.trouble + "\n")
	}
	workflow.SetCurrentDetails(ctx, b.String())
}
