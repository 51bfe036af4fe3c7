package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

// BeginRun takes the connector's lease, creates the run row, and plans the run. A
// definition, a watermark or a secret that cannot work fails here, before any call to
// Okta. A delta gives way to whoever holds the connector or waits for it; everything
// else is told who does, and asks again. Of a connector that is imported on another task
// queue nothing is done but to say so: the secret may be there only.
func (a *Activities) BeginRun(ctx context.Context, in BeginInput) (*BeginResult, error) {
	defer startHeart(ctx).stop()
	if queue, err := a.elsewhere(ctx, in.Connector); queue != "" || err != nil {
		return &BeginResult{TaskQueue: queue}, err
	}
	name := in.Connector
	if in.DryRun {
		var err error
		if name, err = a.store.Shadow(ctx, in.Connector, in.RunID); err != nil {
			return nil, storeError(err)
		}
	}
	// What it would be decides whether it waits; what it is, is decided under the lease.
	_, plan, planErr := a.planOf(ctx, name, in)
	b := mesh.BeginRun{
		Connector:  name,
		RunID:      in.RunID,
		WorkflowID: in.WorkflowID,
		Namespace:  in.Namespace,
		Mode:       in.Mode,
		StartedAt:  in.StartedAt,
		LeaseTTL:   a.leaseTTL,
		Wait:       in.Mode != ModeDelta && in.Mode != ModeAuto || planErr == nil && plan.Mode == ModeFull,
	}
	_, err := a.begin(ctx, b)
	if held, ok := errors.AsType[*mesh.LeaseHeldError](err); ok {
		return a.giveWay(ctx, b, held)
	}
	if err != nil {
		return nil, storeError(err)
	}
	def, plan, err := a.planOf(ctx, name, in)
	if err != nil {
		return nil, err
	}
	b.Mode, b.Note = plan.Mode, plan.Note
	fence, err := a.store.Begin(ctx, b)
	if err != nil {
		return nil, storeError(err)
	}
	if _, _, err := a.credentials(ctx, def); err != nil {
		return nil, err
	}
	return &BeginResult{Fence: fence, Plan: plan}, nil
}

// planOf loads the definition and plans.
func (a *Activities) planOf(ctx context.Context, name string, in BeginInput) (*connector.Definition, Plan, error) {
	def, err := a.definition(ctx, name)
	if err != nil {
		return nil, Plan{}, err
	}
	p, err := a.plan(ctx, name, def, in)
	return def, p, err
}

// begin takes the lease; from a run whose workflow Temporal says is closed, at once
// (design invariant 2).
func (a *Activities) begin(ctx context.Context, b mesh.BeginRun) (mesh.Fence, error) {
	fence, err := a.store.Begin(ctx, b)
	held, ok := errors.AsType[*mesh.LeaseHeldError](err)
	if !ok || a.closed == nil || !a.closed(ctx, held.Namespace, held.WorkflowID, held.RunID) {
		return fence, err
	}
	b.Closed = held.RunID
	return a.store.Begin(ctx, b)
}

// giveWay tells a waiting run who goes first, and ends one that does not wait.
func (a *Activities) giveWay(ctx context.Context, b mesh.BeginRun, held *mesh.LeaseHeldError) (*BeginResult, error) {
	if b.Wait {
		return &BeginResult{HeldBy: held.RunID}, nil
	}
	what := "is importing this connector"
	if held.Waiting {
		what = "waits for its turn to import this connector"
	}
	if b.Mode == ModeAuto {
		b.Mode = ModeDelta
	}
	who := held.RunID
	if held.WorkflowID != "" { // a run that waits has no row yet
		who += " (" + held.WorkflowID + ")"
	}
	run, err := a.store.Skip(ctx, b, fmt.Sprintf("gave way to run %s, which %s", who, what))
	if err != nil {
		return nil, storeError(err)
	}
	return &BeginResult{Skipped: runResult(run)}, nil
}

// CommitRun moves the watermark, the hold and the run row in one transaction.
func (a *Activities) CommitRun(ctx context.Context, in CommitInput) (*RunResult, error) {
	defer startHeart(ctx).stop()
	def, err := a.planned(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	c := mesh.CommitRun{
		UsersFull:     in.Plan.UsersFull(),
		GroupsFull:    in.Plan.GroupsFull(),
		ReadAs:        def.ReadAs(),
		HoldTimeLimit: def.Config.HoldTimeLimit.Duration,
	}
	if in.Users != nil {
		c.Watermark.Users = mesh.NewMark(*in.Users)
	}
	if in.Groups != nil {
		c.Watermark.Groups = mesh.NewMark(*in.Groups)
	}
	run, err := a.store.Commit(ctx, in.Fence, c)
	if err != nil {
		return nil, storeError(err)
	}
	logEnd(ctx, run, in.Plan.Watermark)
	r := runResult(run)
	r.HoldOpen, r.HoldChanged, err = a.holdAfter(ctx, in.Fence.Connector, run.RunID)
	return r, storeError(err)
}

// EndRun completes the run row of a run that failed or was cancelled. A run that
// never began has no row: then there is nothing to end.
func (a *Activities) EndRun(ctx context.Context, in EndInput) (*EndResult, error) {
	run, err := a.store.End(ctx, in.RunID, in.Outcome, in.Message)
	if _, ok := errors.AsType[*mesh.NotFoundError](err); ok {
		return &EndResult{}, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	logEnd(ctx, run, run.Watermark)
	r := &EndResult{}
	r.HoldOpen, r.HoldChanged, err = a.holdAfter(ctx, run.Connector, run.RunID)
	return r, storeError(err)
}

// holdAfter says whether a hold is open and whether the run is the one that changed it
// last.
func (a *Activities) holdAfter(ctx context.Context, name, runID string) (open, changed bool, _ error) {
	hold, err := a.store.Hold(ctx, name, 0)
	if _, ok := errors.AsType[*mesh.NotFoundError](err); ok { // the connector is deleted
		return false, false, nil
	}
	return hold != nil, hold != nil && hold.RunID == runID, err
}

// DropInput names the copy of a connector that a dry run wrote to.
type DropInput struct {
	Shadow string `json:"shadow"`
}

// DropShadow removes what a dry run wrote.
func (a *Activities) DropShadow(ctx context.Context, in DropInput) error {
	err := a.store.DropShadow(ctx, in.Shadow)
	if _, ok := errors.AsType[*mesh.NotFoundError](err); ok {
		return nil
	}
	return storeError(err)
}

func runResult(r *mesh.Run) *RunResult {
	return &RunResult{
		RunID:          r.RunID,
		Connector:      r.Connector,
		Mode:           r.Mode,
		Outcome:        r.Outcome,
		Counts:         r.Counts,
		APICalls:       r.APICalls,
		RateLimitWaits: r.RateLimitWaits,
		DurationMs:     r.DurationMs,
		Watermark:      r.Watermark,
		Note:           r.Note,
	}
}
