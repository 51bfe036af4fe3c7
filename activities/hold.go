package activities

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/identitymesh/okta-connector/mesh"
)

// holdSample is how many ids of a hold its workflow shows.
const holdSample = 10

// HoldInput names a connector.
type HoldInput struct {
	Connector string `json:"connector"`
}

// HoldInfo is what people see of a hold in Temporal: numbers and Okta ids.
type HoldInfo struct {
	// Open is false when nothing is held any more; then the rest is empty.
	Open       bool               `json:"open"`
	RunID      string             `json:"runId,omitempty"` // the run that changed it last
	OpenedAt   time.Time          `json:"openedAt,omitzero"`
	ExpiresAt  time.Time          `json:"expiresAt,omitzero"`
	Deletes    map[ObjectType]int `json:"deletes,omitempty"`
	Live       map[ObjectType]int `json:"live,omitempty"`
	Reasons    []string           `json:"reasons,omitempty"` // "hard-deleted: 40", sorted
	Sample     []string           `json:"sample,omitempty"`  // "User 00u… hard-deleted"
	ApprovedBy string             `json:"approvedBy,omitempty"`
	// TaskQueue is set when the connector has moved to that queue: the hold's workflow
	// goes on there.
	TaskQueue string `json:"taskQueue,omitempty"`
}

// ReadHold reads the open hold of a connector.
func (a *Activities) ReadHold(ctx context.Context, in HoldInput) (*HoldInfo, error) {
	defer startHeart(ctx).stop()
	h, err := a.store.Hold(ctx, in.Connector, holdSample)
	if err != nil {
		return nil, storeError(err)
	}
	if h == nil {
		return &HoldInfo{}, nil
	}
	queue, err := a.elsewhere(ctx, in.Connector)
	if err != nil {
		return nil, err
	}
	info := &HoldInfo{
		TaskQueue: queue,
		Open:      true, RunID: h.RunID, OpenedAt: h.OpenedAt, ExpiresAt: h.ExpiresAt,
		Deletes: h.Deletes, Live: h.Live, ApprovedBy: h.ApprovedBy,
	}
	for _, reason := range slices.Sorted(maps.Keys(h.Reasons)) {
		info.Reasons = append(info.Reasons, fmt.Sprintf("%s: %d", reason, h.Reasons[reason]))
	}
	for _, d := range h.Sample {
		info.Sample = append(info.Sample, string(d.Type)+" "+d.OktaID+" "+string(d.Reason))
	}
	return info, nil
}

// DecideHoldInput is an operator's word on a hold, or the end of its time.
type DecideHoldInput struct {
	Connector string `json:"connector"`
	// Hold is the run that changed the hold last, as the operator saw it.
	Hold string `json:"hold"`
	By   string `json:"by"`
}

// ApproveHold records an approval, which a run then carries out.
func (a *Activities) ApproveHold(ctx context.Context, in DecideHoldInput) error {
	defer startHeart(ctx).stop()
	return storeError(a.store.ApproveHold(ctx, in.Connector, in.Hold, in.By))
}

// RejectHold ends a hold on an operator's word; nothing is deleted.
func (a *Activities) RejectHold(ctx context.Context, in DecideHoldInput) error {
	defer startHeart(ctx).stop()
	return storeError(a.store.CloseHold(ctx, in.Connector, in.Hold, mesh.HoldRejected, in.By))
}

// ExpireHold ends a hold that nobody answered in time; nothing is deleted.
func (a *Activities) ExpireHold(ctx context.Context, in DecideHoldInput) error {
	defer startHeart(ctx).stop()
	return storeError(a.store.CloseHold(ctx, in.Connector, in.Hold, mesh.HoldExpired, in.By))
}
