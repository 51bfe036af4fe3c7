package mesh

import (
	"context"
	"database/sql"
	"fmt"
	"math"
)

// write brings the window's due edges into the feed. They are numbered in im_chunk, without a
// gap, from wherever its numbers have got to: PostgreSQL takes none back that a transaction
// gave which was rolled back.
func (w *edgeWalk) write(ctx context.Context, t *tx, duty edgeDuty, scope Scope, lastKey, lastOther int64) (int, error) {
	n, err := w.fillChunk(ctx, t, duty, scope, lastKey, lastOther)
	if err != nil || n == 0 {
		return 0, err
	}
	var plain int64 // of a Delete: without a user or group; of an Add: not shown as deprovisioned
	var number int64
	if _, err := first(ctx, t, []any{&plain, &number}, `SELECT count(*) FILTER (WHERE note = 0), min(n) FROM temp.im_chunk`); err != nil {
		return 0, err
	}
	if err := w.mark(ctx, t, duty, lastKey, lastOther, n, plain); err != nil {
		return 0, err
	}
	counts := Counts{Added: int(n)}
	if duty.op == Delete {
		counts = Counts{Deleted: int(n)}
		if err := t.addGuarded(ctx, GroupMember, int(plain)); err != nil {
			return 0, err
		}
	}
	if err := t.addCounts(ctx, GroupMember, counts); err != nil {
		return 0, err
	}
	base, err := t.reserveSeq(ctx, n)
	if err != nil {
		return 0, err
	}
	if err := t.later(ctx, `INSERT INTO im_changes (connector_key, seq, op, type, key, member_key, reason, run_key, at)
		SELECT ?, ? + n, ?, 'GroupMember', group_key, member_key, reason, ?, ? FROM temp.im_chunk`,
		t.conn, base-(number-1), duty.op, t.run, t.now); err != nil {
		return 0, err
	}
	return int(n), t.later(ctx, t.store.db.emptyChunk())
}

// fillChunk puts the due edges into im_chunk, which is empty, and returns how many they are.
func (w *edgeWalk) fillChunk(ctx context.Context, t *tx, duty edgeDuty, scope Scope, lastKey, lastOther int64) (int64, error) {
	if q := t.store.db.makeChunk(); q != "" {
		if err := t.later(ctx, q); err != nil {
			return 0, err
		}
	}
	v, err := t.holdView(ctx)
	if err != nil {
		return 0, err
	}
	var staged bool
	if _, err := first(ctx, t, []any{&staged}, `SELECT EXISTS (SELECT 1 FROM im_staged WHERE run_key = ?)`, t.run); err != nil {
		return 0, err
	}
	return t.exec(ctx, `INSERT INTO temp.im_chunk (group_key, member_key, reason, note) `+w.due(duty, scope, staged),
		w.args(v.args(t, sql.Named("lastKey", lastKey), sql.Named("lastOther", lastOther),
			sql.Named("users", scope.Users), sql.Named("groups", scope.Groups))...)...)
}

// mark has the n edges of im_chunk say what the feed says.
func (w *edgeWalk) mark(ctx context.Context, t *tx, duty edgeDuty, lastKey, lastOther, n, plain int64) error {
	if duty.op == Add && w.side == "g" && n == plain {
		marked, err := w.markGroups(ctx, t, lastKey, lastOther, n)
		if err != nil || marked {
			return err
		}
	}
	// The rows are there: it always comes to the update. As UPDATE … FROM, SQLite would
	// first copy what it joins.
	return t.later(ctx, `INSERT INTO im_edges (group_key, member_key, listed, live, reason, run_key)
		SELECT group_key, member_key, 0, ?, reason, ? FROM temp.im_chunk WHERE true
		ON CONFLICT (group_key, member_key) DO UPDATE SET live = excluded.live, reason = excluded.reason, run_key = excluded.run_key`, duty.live, t.run)
}

// markGroups marks the n edges of im_chunk group by group, which costs a third of finding
// each of them. It does nothing unless they are all that can be added to the window's
// groups, nor where the groups are small.
func (w *edgeWalk) markGroups(ctx context.Context, t *tx, lastKey, lastOther, n int64) (bool, error) {
	groups, err := collect(ctx, t, scanKey, `SELECT key FROM im_dirty WHERE connector_key = ? AND stage = ? AND side = ? AND key BETWEEN ? AND ? ORDER BY key`,
		w.conn, w.stage, w.side, w.key, lastKey)
	if err != nil || n < 4*int64(len(groups)) {
		return false, err
	}
	var open int64
	if _, err := first(ctx, t, []any{&open}, `SELECT count(*)`+w.edges("")+w.until()+w.dirty()+`
		AND d.key <= :lastKey AND e.live = 0 AND e.listed = 1 AND e.deprovisioned = 0`,
		w.args(sql.Named("lastKey", lastKey), sql.Named("lastOther", lastOther))...); err != nil || open != n {
		return false, err
	}
	const mark = `UPDATE im_edges SET live = 1, reason = '', run_key = ? WHERE live = 0 AND listed = 1 AND deprovisioned = 0 AND `
	if t.store.db.upserts() { // all at once
		marked, err := t.exec(ctx, mark+`group_key IN (SELECT j.value FROM json_each(?) j)
			AND (group_key > ? OR member_key > ?) AND (group_key < ? OR member_key <= ?)`,
			t.run, keyList(groups), w.key, w.after, lastKey, lastOther)
		if err != nil {
			return false, err
		}
		groups, open = nil, open-marked
	}
	for _, group := range groups {
		low, high := int64(0), int64(math.MaxInt64)
		if group == w.key {
			low = w.after
		}
		if group == lastKey {
			high = lastOther
		}
		marked, err := t.exec(ctx, mark+`group_key = ? AND member_key > ? AND member_key <= ?`, t.run, group, low, high)
		if err != nil {
			return false, err
		}
		open -= marked
	}
	if open != 0 {
		return false, fmt.Errorf("settle of connector %q: %d of %d due edges were not marked", t.fence.Connector, open, n)
	}
	return true, nil
}
