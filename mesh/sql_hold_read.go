package mesh

import (
	"context"
	"database/sql"
	"iter"
	"math"
)

// Hold implements [Reader].
func (s *engine) Hold(ctx context.Context, connector string, sample int) (hold *Hold, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		h := &Hold{Connector: connector, Deletes: map[ObjectType]int{}, Live: map[ObjectType]int{}, Reasons: map[Reason]int{}, Sample: []HeldDelete{}}
		key, err := h.load(ctx, from, conn)
		if err != nil || key == 0 {
			return err
		}
		if err := h.count(ctx, from, conn, key); err != nil {
			return err
		}
		hold = h
		if sample <= 0 {
			return nil
		}
		return streamHeld(ctx, from, key, int64(sample), func(d HeldDelete) error {
			h.Sample = append(h.Sample, d)
			return nil
		})
	})
	return hold, err
}

// load reads the row of the open hold; key is 0 when there is none.
func (h *Hold) load(ctx context.Context, from querier, conn int64) (key int64, err error) {
	var opened, changed, expires int64
	var approved sql.NullInt64
	found, err := first(ctx, from, []any{&key, &h.RunID, &h.State, &opened, &changed, &expires, &h.ApprovedBy, &approved}, `
		SELECT h.key, r.run_id, h.state, h.opened_at, h.changed_at, h.expires_at, h.decided_by, h.decided_at
		FROM im_holds h JOIN im_runs r ON r.key = h.run_key WHERE h.connector_key = ? AND h.state = 'Open'`, conn)
	if err != nil || !found {
		return 0, err
	}
	h.OpenedAt, h.ChangedAt, h.ExpiresAt = fromMillis(opened), fromMillis(changed), fromMillis(expires)
	if approved.Valid {
		at := fromMillis(approved.Int64)
		h.ApprovedAt = &at
	}
	return key, nil
}

func (h *Hold) count(ctx context.Context, from querier, conn, key int64) error {
	_, err := collect(ctx, from, func(rows *rowSet) (_ struct{}, err error) {
		var typ ObjectType
		var reason Reason
		var n int
		err = rows.Scan(&typ, &reason, &n)
		h.Deletes[typ] += n
		h.Reasons[reason] += n
		return struct{}{}, err
	}, `SELECT type, reason, count(*) FROM im_held WHERE hold_key = ? GROUP BY type, reason`, key)
	if err != nil {
		return err
	}
	live, err := liveCounts(ctx, from, conn)
	for typ := range h.Deletes {
		h.Live[typ] = live[typ]
	}
	return err
}

// Held implements [Reader]: users, then groups, then memberships.
func (s *engine) Held(ctx context.Context, connector string) iter.Seq2[HeldDelete, error] {
	return sequence(func(emit func(HeldDelete) error) error {
		return s.snapshot(ctx, func(from querier) error {
			conn, err := connectorKey(ctx, from, connector)
			if err != nil {
				return err
			}
			var h Hold
			key, err := h.load(ctx, from, conn)
			if err != nil || key == 0 {
				return err
			}
			return streamHeld(ctx, from, key, math.MaxInt64, emit)
		})
	})
}

// streamHeld reads the rows of a hold, type by type, so that nothing is sorted.
func streamHeld(ctx context.Context, from querier, hold, limit int64, emit func(HeldDelete) error) error {
	left := limit
	for _, typ := range ObjectTypes {
		if left == 0 {
			return nil
		}
		err := stream(ctx, from, func(d HeldDelete) error {
			left--
			return emit(d)
		}, func(rows *rowSet) (d HeldDelete, err error) {
			var member string
			err = rows.Scan(&d.Type, &d.OktaID, &member, &d.ExternalID, &d.Reason, &d.RunID)
			if member != "" {
				d.OktaID = edgeID(d.OktaID, member)
				d.ExternalID = d.OktaID
			}
			return d, err
		}, `SELECT h.type, i.okta_id, coalesce(m.okta_id, ''), coalesce(o.external_id, ''), h.reason, r.run_id
			FROM im_held h JOIN im_runs r ON r.key = h.run_key JOIN im_ids i ON i.key = h.key
			LEFT JOIN im_ids m ON m.key = h.member_key AND h.member_key <> 0
			LEFT JOIN im_objects o ON o.key = h.key AND h.member_key = 0
			WHERE h.hold_key = ? AND h.type = ? ORDER BY h.key, h.member_key LIMIT ?`, hold, typ, left)
		if err != nil {
			return err
		}
	}
	return nil
}
