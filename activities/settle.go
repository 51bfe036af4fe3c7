package activities

import (
	"context"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
)

// settleStep is how long one call of the store may settle before the heartbeat and
// a cancel are looked at again.
const settleStep = time.Second

// Settle decides the run's deletes under the guards, applies staged adds and renames,
// and derives the edges. It is state-based: a second run of it finds what the first
// one left.
func (a *Activities) Settle(ctx context.Context, in SettleInput) (*SettleResult, error) {
	h := startHeart(ctx)
	defer h.stop()
	def, err := a.planned(ctx, in.Fence, in.Plan.Revision)
	if err != nil {
		return nil, err
	}
	if err := a.checkComplete(ctx, in.Fence, in.Plan, def); err != nil {
		return nil, err
	}
	scope := scopeOf(def)
	var limits *mesh.DeleteLimits // an operator has approved of an approval's deletes
	if in.Plan.Mode != ModeApproval {
		limits = &mesh.DeleteLimits{Percent: def.Config.MaxDeletePercent, Most: -1}
		if def.Config.MaxDeletes != nil {
			limits.Most = *def.Config.MaxDeletes
		}
	}
	d, err := a.store.Decide(ctx, in.Fence, scope, limits)
	if err != nil {
		return nil, storeError(err)
	}
	if err := a.store.CheckExternalIDs(ctx, in.Fence); err != nil {
		return nil, storeError(err)
	}
	r := &SettleResult{Held: d.Held}
	for {
		step, err := a.store.Settle(ctx, in.Fence, scope, settleStep)
		if err != nil {
			return nil, storeError(err)
		}
		r.Objects += step.Other
		r.Edges += step.Edges
		h.at("settle", 0, r.Objects+r.Edges)
		if step.Done {
			return r, nil
		}
	}
}
