package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/activity"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

// BeginRun takes the connector's lease, creates the run row, and plans the run from
// the definition. A definition or a secret that cannot work fails here, before any
// call to Okta.
func (a *Activities) BeginRun(ctx context.Context, in BeginInput) (*BeginResult, error) {
	fence, err := a.store.Begin(ctx, mesh.BeginRun{
		Connector:  in.Connector,
		RunID:      in.RunID,
		WorkflowID: in.WorkflowID,
		Namespace:  in.Namespace,
		Mode:       in.Mode,
		StartedAt:  in.StartedAt,
		LeaseTTL:   a.leaseTTL,
	})
	if held, ok := errors.AsType[*mesh.LeaseHeldError](err); ok {
		return &BeginResult{HeldBy: held.RunID}, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	def, err := a.definition(ctx, in.Connector)
	if err != nil {
		return nil, err
	}
	token, err := a.token(ctx, def)
	if err != nil {
		return nil, err
	}
	token.Wipe()
	return &BeginResult{Fence: fence, Plan: Plan{
		Revision:    revisionOf(def),
		Users:       def.Config.ImportUsers,
		Groups:      def.Config.ImportGroups,
		Memberships: def.Config.ImportMemberships,
		MaxInFlight: connector.MaxInFlight,
	}}, nil
}

// CommitRun moves the watermark and completes the run row in one transaction.
func (a *Activities) CommitRun(ctx context.Context, in CommitInput) (*RunResult, error) {
	var w mesh.Watermark
	if in.Users != nil {
		w.Users = mesh.NewMark(*in.Users)
	}
	if in.Groups != nil {
		w.Groups = mesh.NewMark(*in.Groups)
	}
	run, err := a.store.Commit(ctx, in.Fence, mesh.Completed, w)
	if err != nil {
		return nil, storeError(err)
	}
	if run.Watermark != nil {
		activity.GetLogger(ctx).Info("Watermark advanced", "connector", run.Connector, "run", run.RunID, "watermark", run.Watermark.String())
	}
	return runResult(run), nil
}

// EndRun completes the run row of a run that failed or was cancelled. A run that
// never began has no row: then there is nothing to end.
func (a *Activities) EndRun(ctx context.Context, in EndInput) error {
	_, err := a.store.End(ctx, in.RunID, in.Outcome, in.Message)
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
	}
}
