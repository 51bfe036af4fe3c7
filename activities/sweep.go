package activities

import (
	"context"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
)

// SweepInput asks which objects have to be looked up before the run's deletes are
// decided.
type SweepInput struct {
	Fence Fence `json:"fence"`
	Plan  Plan  `json:"plan"`
	// Hold is the hold that an approval carries out: the run that changed it last.
	Hold string `json:"hold,omitempty"`
}

// StageSweep stages what may have left: of a type walked in full every live object
// that the complete listing did not show; of a delta with a filter every user who
// changed and does not match; of an approval what the hold keeps back. A type whose
// pass is off is left alone.
func (a *Activities) StageSweep(ctx context.Context, in SweepInput) (*SweepResult, error) {
	defer startHeart(ctx).stop()
	def, err := a.planned(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	if in.Plan.Mode == ModeApproval {
		n, err := a.store.StageHold(ctx, in.Fence, in.Hold)
		if err != nil {
			return nil, storeError(err)
		}
		return a.staged(ctx, in.Fence, &SweepResult{Users: n})
	}
	if err := a.checkComplete(ctx, in.Fence, in.Plan, def); err != nil {
		return nil, err
	}
	r := &SweepResult{}
	switch {
	case in.Plan.UsersFull():
		if r.Users, err = a.store.StageSweep(ctx, in.Fence, mesh.User, true); err != nil {
			return nil, storeError(err)
		}
	case in.Plan.ReadsUsers() && def.Config.UserSearchFilter != nil:
		if r.Users, err = a.store.StageChanged(ctx, in.Fence); err != nil {
			return nil, storeError(err)
		}
	}
	if in.Plan.GroupsFull() {
		if r.Groups, err = a.store.StageSweep(ctx, in.Fence, mesh.Group, in.Plan.Groups); err != nil {
			return nil, storeError(err)
		}
	}
	return a.staged(ctx, in.Fence, r)
}

// staged also stages who may hold or wait for an external id that is wanted, and says
// whether there is anything to look up.
func (a *Activities) staged(ctx context.Context, f Fence, r *SweepResult) (*SweepResult, error) {
	if _, err := a.store.StageHolders(ctx, f); err != nil {
		return nil, storeError(err)
	}
	open, err := a.store.Candidates(ctx, f, 1)
	r.Open = len(open) > 0
	return r, storeError(err)
}

// checkComplete fails when a walk that the workflow believes done is not done in the
// mesh: its database was restored, or lost its last transactions with the power.
func (a *Activities) checkComplete(ctx context.Context, f Fence, plan Plan, def *connector.Definition) error {
	streams := append(plan.userStreams(def.Config.UserSearchFilter != nil), plan.groupStreams()...)
	return storeError(a.store.CheckComplete(ctx, f, streams))
}

// A listing that missed more live objects of a type than both of these was
// incomplete (design invariant 5).
const (
	maxAcquitted        = 10
	maxAcquittedPercent = 0.1
)

// checkAcquitted fails a run whose listing missed too many live objects of a type.
// The count is the mesh's, since an attempt that was lost acquitted too.
func (s *session) checkAcquitted(ctx context.Context, plan Plan) error {
	if plan.Mode == ModeApproval { // nothing was listed
		return nil
	}
	acquitted, err := s.a.store.Acquitted(ctx, s.fence)
	if err != nil {
		return storeError(err)
	}
	live, err := s.a.store.LiveCounts(ctx, s.fence.Connector)
	if err != nil {
		return storeError(err)
	}
	for _, typ := range []mesh.ObjectType{mesh.User, mesh.Group} {
		n := acquitted[typ]
		if n > maxAcquitted && float64(n)*100 > maxAcquittedPercent*float64(live[typ]) {
			return permanentf(ErrIncomplete, "Okta's lists missed %d %ss that Okta still has: the listing was incomplete and nothing was deleted; "+
				"check that the role of the token's owner is not limited to some users or groups, then run again", n, typ)
		}
	}
	return nil
}
