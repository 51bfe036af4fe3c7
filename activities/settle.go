package activities

import (
	"context"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
)

// settleStep is how long one call of the store may settle before the heartbeat and
// a cancel are looked at again.
const settleStep = time.Second

// Settle decides the run's deletes, staged adds and renames, and derives the edges.
// It is state-based: a second run of it finds what the first one left.
func (a *Activities) Settle(ctx context.Context, in SettleInput) (*SettleResult, error) {
	h := startHeart(ctx)
	defer h.stop()
	if err := a.checkComplete(ctx, in.Fence, in.Plan); err != nil {
		return nil, err
	}
	if err := a.store.CheckExternalIDs(ctx, in.Fence); err != nil {
		return nil, storeError(err)
	}
	r := &SettleResult{}
	scope := mesh.Scope{Users: in.Plan.Users, Groups: in.Plan.Groups}
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
