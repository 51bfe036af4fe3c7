package mesh

import (
	"context"
	"encoding/json"
	"time"
)

// Settle implements [Writer].
//
// The whole settle goes in this order, so that a consumer never sees an edge
// without its ends, nor two live objects with one external id:
//
//	edge Deletes, object Deletes, Updates of held users, Deletes of renames, staged Adds, edge Adds
//
// Every transaction looks at the state and does the first thing that is due: a
// call that dies is healed by the next, of this run or of a later one.
func (s *engine) Settle(ctx context.Context, f Fence, scope Scope, budget time.Duration) (SettleResult, error) {
	var total SettleResult
	deadline := time.Now().Add(budget)
	for begun := false; ; begun = true {
		var done SettleResult
		err := s.fenced(ctx, f, func(t *tx) (err error) {
			if !begun {
				if err := t.beginSettle(ctx, scope); err != nil {
					return err
				}
			}
			done, err = t.settleSteps(ctx, scope, deadline)
			return err
		})
		if err != nil {
			return total, err
		}
		total.add(done)
		if total.Done || !time.Now().Before(deadline) {
			return total, nil
		}
	}
}

// settleSlice is how long a transaction of Settle takes further steps: a commit waits for
// the disk, and other writers wait for the commit.
const settleSlice = 100 * time.Millisecond

// settleSteps takes the steps of one transaction, at least one.
func (t *tx) settleSteps(ctx context.Context, scope Scope, deadline time.Time) (done SettleResult, err error) {
	if slice := time.Now().Add(settleSlice); slice.Before(deadline) {
		deadline = slice
	}
	for {
		step, err := t.settleStep(ctx, scope)
		if err != nil {
			return SettleResult{}, err
		}
		done.add(step)
		if done.Done || !time.Now().Before(deadline) {
			return done, nil
		}
	}
}

func (r *SettleResult) add(step SettleResult) {
	r.Edges += step.Edges
	r.Other += step.Other
	r.Done = step.Done
}

// beginSettle checks that everything staged is decided, and has all edges derived
// again when the scope is not that of the last settle.
func (t *tx) beginSettle(ctx context.Context, scope Scope) error {
	if err := t.checkLookedUp(ctx); err != nil {
		return err
	}
	if err := t.checkExternalIDs(ctx); err != nil {
		return err
	}
	if !t.settling {
		if err := t.later(ctx, `UPDATE im_runs SET settling = 1 WHERE key = ?`, t.run); err != nil {
			return err
		}
	}
	return t.rescope(ctx, scope)
}

// settleStep does the first thing that is due.
func (t *tx) settleStep(ctx context.Context, scope Scope) (SettleResult, error) {
	if due, n, err := t.settleEdges(ctx, dueDeletes, scope); due || err != nil {
		return SettleResult{Edges: n}, err
	}
	if due, err := t.indexEdges(ctx); due || err != nil {
		return SettleResult{}, err
	}
	if n, err := t.settleDeletes(ctx, scope); n > 0 || err != nil {
		return SettleResult{Other: n}, err
	}
	if n, err := t.settleHeld(ctx, scope.Ignore); n > 0 || err != nil {
		return SettleResult{Other: n}, err
	}
	if n, err := t.settleAdds(ctx); n > 0 || err != nil {
		return SettleResult{Other: n}, err
	}
	if due, n, err := t.settleEdges(ctx, dueAdds, scope); due || err != nil {
		return SettleResult{Edges: n}, err
	}
	return SettleResult{Done: true}, t.countUnchangedEdges(ctx)
}

// stagedRow is a row of im_staged with the object it is about.
type stagedRow struct {
	objectID
	key        int64
	kind       string
	reason     Reason
	byMembers  bool // staged by Decide, for Scope.UsersInGroupsOnly
	live       bool
	external   string          // as it is, "" for an object that was never live
	hash       []byte          // as it is
	stamp      int64           // as it is
	attributes json.RawMessage // as they are
	payload    Object          // as it shall be
}

func (t *tx) stagedRows(ctx context.Context, where string, limit int) ([]stagedRow, error) {
	return collect(ctx, t, func(rows *rowSet) (r stagedRow, err error) {
		var was, shall string
		var stamp int64
		err = rows.Scan(&r.key, &r.typ, &r.oktaID, &r.kind, &r.reason, &r.byMembers, &r.live, &r.external, &r.hash, &r.stamp, &was,
			&r.payload.ExternalID, &shall, &r.payload.Hash, &stamp)
		r.attributes = json.RawMessage(was)
		r.payload.Type, r.payload.OktaID = r.typ, r.oktaID
		r.payload.Attributes, r.payload.Stamp = json.RawMessage(shall), fromMillis(stamp)
		return r, err
	}, `SELECT d.key, d.type, i.okta_id, d.kind, d.reason, d.looked_up = 2, coalesce(o.state = 'live', false), coalesce(o.external_id, ''), o.hash, coalesce(o.stamp, 0), coalesce(o.attributes, ''),
			d.external_id, d.attributes, d.hash, d.stamp
		FROM im_staged d JOIN im_ids i ON i.key = d.key LEFT JOIN im_objects o ON o.key = d.key
		WHERE d.run_key = ? AND `+where+` ORDER BY d.key LIMIT ?`, t.run, limit)
}

// settleDeletes writes the object Deletes of one transaction and returns how many
// staged rows it took. An object of a type that is not imported stays: only what its
// being gone says of edges is noted.
func (t *tx) settleDeletes(ctx context.Context, scope Scope) (int, error) {
	rows, err := t.stagedRows(ctx, `d.kind = 'delete'`, t.store.settleChunk)
	if err != nil {
		return 0, err
	}
	var feed []feedRow
	counts := map[ObjectType]Counts{}
	for _, r := range rows {
		if r.live && (r.typ == User && scope.Users || r.typ == Group && scope.Groups) {
			feed = append(feed, feedRow{op: Delete, typ: r.typ, key: r.key, external: r.external, attrs: r.attributes, reason: r.reason})
			c := counts[r.typ]
			c.Deleted++
			counts[r.typ] = c
			if r.byMembers {
				err = t.leaveOutside(ctx, r)
			} else {
				err = t.markDeleted(ctx, r.key, r.reason)
			}
			if err != nil {
				return 0, err
			}
		}
		if !r.live {
			if err := t.later(ctx, `UPDATE im_objects SET state = 'deleted', reason = ?, updated_at = ? WHERE key = ? AND state = 'outside'`,
				r.reason, t.now, r.key); err != nil {
				return 0, err
			}
		}
		if err := t.voidEvidence(ctx, r); err != nil {
			return 0, err
		}
		if err := t.later(ctx, `DELETE FROM im_staged WHERE run_key = ? AND key = ?`, t.run, r.key); err != nil {
			return 0, err
		}
	}
	for typ, c := range counts {
		if err := t.addCounts(ctx, typ, c); err != nil {
			return 0, err
		}
		if err := t.addGuarded(ctx, typ, c.Deleted); err != nil {
			return 0, err
		}
	}
	return len(rows), t.appendFeed(ctx, feed)
}

// addGuarded adds to what the guards of the next 24 hours count.
func (t *tx) addGuarded(ctx context.Context, typ ObjectType, n int) error {
	if n == 0 {
		return nil
	}
	return t.later(ctx, `
		INSERT INTO im_run_counts (run_key, type, guarded) VALUES (?1, ?2, ?3)
		ON CONFLICT (run_key, type) DO UPDATE SET guarded = im_run_counts.guarded + ?3`, t.run, typ, n)
}

func (t *tx) markDeleted(ctx context.Context, key int64, reason Reason) error {
	return t.later(ctx, `
		UPDATE im_objects SET state = 'deleted', reason = ?1, updated_at = ?2,
			stamp = max(stamp, coalesce((SELECT s.stamp FROM im_seen s WHERE s.run_key = ?3 AND s.key = ?4), 0))
		WHERE key = ?4`, reason, t.now, t.run, key)
}

// voidEvidence drops what a Delete proves wrong: nobody is a member of a group that
// is gone, and a user who is gone is a member of none. It matters when the type is
// no longer imported later and its objects are no longer asked.
func (t *tx) voidEvidence(ctx context.Context, r stagedRow) error {
	var q string
	switch {
	case r.typ == Group:
		q = `UPDATE im_edges SET listed = 0 WHERE group_key = ? AND listed = 1`
	case r.reason == HardDeleted:
		q = `UPDATE im_edges SET listed = 0 WHERE listed = 1 AND ` + edgesOfMember
	case r.reason == Deprovisioned:
		q = `UPDATE im_edges SET deprovisioned = 1 WHERE deprovisioned = 0 AND ` + edgesOfMember
	default:
		return nil
	}
	return t.later(ctx, q, r.key)
}

// settleAdds writes renames and staged adds. All Deletes of old external ids come
// before the first Add, so that two users may swap their logins. They share one
// transaction unless there are more than settleChunk of them.
func (t *tx) settleAdds(ctx context.Context) (int, error) {
	var waiting int
	if _, err := first(ctx, t, []any{&waiting}, `SELECT count(*) FROM im_staged WHERE run_key = ? AND kind IN ('add', 'rename') AND looked_up < 4`, t.run); err != nil || waiting == 0 {
		return 0, err
	}
	renames, err := t.stagedRows(ctx, `d.kind = 'rename' AND d.looked_up < 4 AND o.state = 'live'`, t.store.settleChunk)
	if err != nil {
		return 0, err
	}
	written := 0
	if len(renames) > 0 {
		if err := t.settleRenames(ctx, renames); err != nil || waiting > t.store.settleChunk {
			return len(renames), err
		}
		written = len(renames)
	}
	adds, err := t.stagedRows(ctx, `d.kind IN ('add', 'rename') AND d.looked_up < 4`, t.store.settleChunk)
	if err != nil {
		return 0, err
	}
	w := &objectWriter{tx: t, counts: map[ObjectType]Counts{}, states: map[objectID]*objectState{}}
	for _, r := range adds {
		st := &objectState{key: r.key, exists: r.external != "", stamp: r.stamp, staged: r.kind}
		w.states[r.objectID], w.order = st, append(w.order, r.objectID)
		st.unstage()
		w.add(st, r.payload)
		c := w.counts[r.typ]
		c.Added++
		w.counts[r.typ] = c
	}
	// No objects are left to apply: this writes the states, the counts and the feed.
	return written + len(adds), w.write(ctx, nil)
}

// settleRenames deletes the old names. The rows stay deleted until their Add: a
// crash in between is healed by the next run that sees the objects.
func (t *tx) settleRenames(ctx context.Context, renames []stagedRow) error {
	feed := make([]feedRow, 0, len(renames))
	sides := make([]edgeSide, 0, len(renames))
	counts := map[ObjectType]Counts{}
	for _, r := range renames {
		feed = append(feed, feedRow{op: Delete, typ: r.typ, key: r.key, external: r.external, attrs: r.attributes, reason: Renamed})
		sides = append(sides, edgeSide{r.typ, r.key})
		c := counts[r.typ]
		c.Deleted++
		counts[r.typ] = c
		if err := t.markDeleted(ctx, r.key, Renamed); err != nil {
			return err
		}
	}
	for typ, c := range counts {
		if err := t.addCounts(ctx, typ, c); err != nil {
			return err
		}
	}
	if err := t.markDirty(ctx, sides); err != nil {
		return err
	}
	return t.appendFeed(ctx, feed)
}

// countUnchangedEdges sets the run's GroupMember.unchanged: the live edges of the
// groups it read that it did not add.
func (t *tx) countUnchangedEdges(ctx context.Context) error {
	return t.later(ctx, `
		INSERT INTO im_run_counts (run_key, type, unchanged)
		SELECT ?1, 'GroupMember', count(*) FROM (
			SELECT DISTINCT group_key FROM im_progress WHERE run_key = ?1 AND done = 1 AND group_key IS NOT NULL) p
		CROSS JOIN im_edges e ON e.group_key = p.group_key
		WHERE e.live = 1 AND e.run_key IS DISTINCT FROM ?1
		ON CONFLICT (run_key, type) DO UPDATE SET unchanged = excluded.unchanged`, t.run)
}
