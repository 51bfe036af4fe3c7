package mesh

import (
	"context"
	"encoding/json"
)

// The kinds of a row of im_staged.
const (
	stagedDelete = "delete" // with a reason, or a candidate without one
	stagedAdd    = "add"    // its external id is held by another live object
	stagedRename = "rename" // a live object whose external id changed
)

// feedRow is a change of a user or group, about to be numbered.
type feedRow struct {
	op       Op
	typ      ObjectType
	key      int64
	external string
	attrs    json.RawMessage
	changed  []string
	reason   Reason
}

// reserveSeq takes n numbers of the connector's feed and returns the one before
// them. It is called last, when all rows are known, so that a follower never sees
// a later number before an earlier one.
func (t *tx) reserveSeq(ctx context.Context, n int64) (base int64, err error) {
	_, err = first(ctx, t, []any{&base}, `UPDATE im_connectors SET seq = seq + ?1 WHERE key = ?2 RETURNING seq - ?1`, n, t.conn)
	t.seq = base + n
	return base, err
}

// appendFeed writes the rows in order.
func (t *tx) appendFeed(ctx context.Context, rows []feedRow) error {
	if len(rows) == 0 {
		return nil
	}
	base, err := t.reserveSeq(ctx, int64(len(rows)))
	if err != nil {
		return err
	}
	w := rowWriter{width: 11, head: `INSERT INTO im_changes (connector_key, seq, op, type, key, external_id, attributes, changed, reason, run_key, at)`}
	for i, r := range rows {
		var changed any
		if r.op == Update {
			if changed, err = jsonArg(r.changed); err != nil {
				return err
			}
		}
		w.add(t.conn, base+1+int64(i), string(r.op), string(r.typ), r.key, r.external, string(r.attrs), changed, string(r.reason), t.run, t.now)
	}
	return w.write(ctx, t)
}

// flush writes what apply changed in memory.
func (w *objectWriter) flush(ctx context.Context) error {
	var lively []edgeSide
	var users, groups, alive []int64
	rows := rowWriter{width: 11,
		head: `INSERT INTO im_objects (key, connector_key, type, external_id, external_fold, attributes, hash, stamp, state, created_at, updated_at)`,
		tail: ` ON CONFLICT (key) DO UPDATE SET external_id = excluded.external_id, external_fold = excluded.external_fold,
			attributes = excluded.attributes, hash = excluded.hash, stamp = excluded.stamp,
			state = excluded.state, reason = '', wants = '', updated_at = excluded.updated_at`}
	for _, id := range w.order {
		s := w.states[id]
		if s == nil {
			continue
		}
		if s.touchObject {
			if err := w.writeObject(ctx, &rows, id, s); err != nil {
				return err
			}
		}
		if s.touchStaged {
			if err := w.writeStaged(ctx, id, s); err != nil {
				return err
			}
		}
		switch {
		case id.typ == User && (s.revived || s.entered):
			users = append(users, s.key)
		case id.typ == Group && s.returned:
			groups = append(groups, s.key)
		}
		if s.revived || s.touchStaged && s.staged == stagedDelete {
			lively = append(lively, edgeSide{id.typ, s.key})
		}
		if s.alive {
			alive = append(alive, s.key)
		}
	}
	if err := rows.write(ctx, w.tx); err != nil {
		return err
	}
	if !w.knownOnly {
		if err := w.markSeen(ctx); err != nil {
			return err
		}
	}
	if err := w.joinEveryone(ctx, users); err != nil {
		return err
	}
	if err := w.forgetReads(ctx, groups); err != nil {
		return err
	}
	if len(alive) > 0 {
		if err := w.releaseHeld(ctx, alive); err != nil {
			return err
		}
	}
	return w.markDirty(ctx, lively)
}

// writeObject writes the object, or adds it to rows where all of it is written.
func (w *objectWriter) writeObject(ctx context.Context, rows *rowWriter, id objectID, s *objectState) (err error) {
	switch {
	case s.left != "":
		return w.forgetOutside(ctx, s)
	case s.attrs == nil:
		return w.later(ctx, `UPDATE im_objects SET hash = ?, stamp = ?, wants = CASE WHEN ? <> 0 THEN '' ELSE wants END WHERE key = ?`, s.hash, s.stamp, s.content, s.key)
	case s.live && !s.revived && !w.store.db.upserts(): // who and what it is stays, and so do the indexes
		return w.later(ctx, `UPDATE im_objects SET attributes = ?, hash = ?, stamp = ?, wants = '', updated_at = ? WHERE key = ?`,
			string(s.attrs), s.hash, s.stamp, w.now, s.key)
	}
	state := string(Live)
	if s.outside {
		state = stateOutside
	}
	fold := externalFold(Object{Type: id.typ, OktaID: id.oktaID, ExternalID: s.external})
	rows.add(s.key, w.conn, string(id.typ), s.external, fold, string(s.attrs), s.hash, s.stamp, state, w.now, w.now)
	// Of a user without a row there is no mark to clear, unless his groups decide about him.
	if !s.revived && !s.entered || !s.exists && !w.membersOnly || id.typ != User {
		return nil
	}
	return w.forgetDeprovisioned(ctx, s.key)
}

// forgetDeprovisioned clears the mark on a reactivated user's evidence.
func (t *tx) forgetDeprovisioned(ctx context.Context, user int64) error {
	return t.later(ctx, `UPDATE im_edges SET deprovisioned = 0 WHERE deprovisioned = 1 AND `+edgesOfMember, user)
}

func (w *objectWriter) writeStaged(ctx context.Context, id objectID, s *objectState) error {
	if s.staged == "" {
		return w.later(ctx, `DELETE FROM im_staged WHERE run_key = ? AND key = ?`, w.run, s.key)
	}
	var fold string
	if s.staged != stagedDelete {
		fold = externalFold(s.payload)
	} else if len(s.payload.Attributes) == 0 {
		s.payload = Object{Stamp: s.payload.Stamp}
	}
	return w.later(ctx, `
		INSERT OR REPLACE INTO im_staged (run_key, key, kind, type, reason, external_id, external_fold, attributes, hash, stamp)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.run, s.key, s.staged, id.typ, s.reason, s.payload.ExternalID, fold, string(s.payload.Attributes), s.payload.Hash, toMillis(s.payload.Stamp))
}

// markSeen records that this run saw the objects of the page.
func (w *objectWriter) markSeen(ctx context.Context) error {
	rows := rowWriter{width: 3, head: `INSERT INTO im_seen (run_key, key, stamp)`,
		tail: ` ON CONFLICT (run_key, key) DO UPDATE SET stamp = excluded.stamp WHERE excluded.stamp > im_seen.stamp`}
	for _, id := range w.order {
		rows.add(w.run, w.states[id].key, w.states[id].seenStamp)
	}
	return rows.write(ctx, w.tx)
}
