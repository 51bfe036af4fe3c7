package mesh

import (
	"context"
	"database/sql"
	"math"
)

// edgeDuty is one of the two passes over the edges that are due. Both go over the
// ids of im_dirty at their stage and hand them on: deletes to adds, adds to nobody.
type edgeDuty struct {
	stage int
	op    Op
	live  int
	due   string // which edges of the window to write
	why   string // the reason to write
}

// Where the ends stand once all that is staged is applied. u and g are the ends'
// objects, su and sg their staged rows. An end that is not imported is not checked,
// but for a member that its group's list showed as deprovisioned and for a group
// that is known to be gone.
const (
	userStays = `CASE WHEN :users
		THEN coalesce(su.kind, '') IN ('add', 'rename') OR (coalesce(u.state, '') = 'live' AND su.kind IS NULL)
		ELSE e.deprovisioned = 0 END`
	groupStays = `CASE WHEN :groups
		THEN coalesce(sg.kind, '') IN ('add', 'rename') OR (coalesce(g.state, '') = 'live' AND sg.kind IS NULL)
		ELSE coalesce(sg.kind, '') <> 'delete' END`
)

var (
	// An edge that leaves with an end says why that end left.
	dueDeletes = edgeDuty{stage: 0, op: Delete, live: 0,
		due: `e.live = 1 AND NOT (e.listed = 1 AND ` + userStays + ` AND ` + groupStays + `)`,
		why: `CASE
			WHEN NOT ` + userStays + ` THEN CASE WHEN :users THEN coalesce(nullif(su.reason, ''), nullif(u.reason, ''), 'out-of-scope') ELSE 'deprovisioned' END
			WHEN NOT ` + groupStays + ` THEN coalesce(nullif(sg.reason, ''), nullif(g.reason, ''), 'group-deleted')
			ELSE 'member-removed' END`}
	dueAdds = edgeDuty{stage: 1, op: Add, live: 1,
		due: `e.live = 0 AND e.listed = 1 AND ` + userStays + ` AND ` + groupStays,
		why: `''`}
)

// edgeWalk goes over the edges of the dirty ids of one stage and side, from just
// behind (key, after). The position is kept in im_dirty, so that every transaction
// gets further however small the budget of a call is.
type edgeWalk struct {
	conn       int64
	stage      int
	side       string
	key, after int64
	own, other string // the columns of the dirty end and of the other end
}

// settleEdges looks at one window of edges and writes what is due. It says false
// when no id is left at the duty's stage.
func (t *tx) settleEdges(ctx context.Context, duty edgeDuty, scope Scope) (due bool, written int, err error) {
	w := edgeWalk{conn: t.conn, stage: duty.stage, own: "group_key", other: "member_key"}
	due, err = first(ctx, t, []any{&w.side, &w.key, &w.after},
		`SELECT side, key, after FROM im_dirty WHERE connector_key = ? AND stage = ? ORDER BY side, key LIMIT 1`, t.conn, duty.stage)
	if err != nil || !due {
		return false, 0, err
	}
	if w.side == "m" {
		w.own, w.other = w.other, w.own
	}
	lastKey, lastOther, err := w.window(ctx, t)
	if err != nil {
		return false, 0, err
	}
	if written, err = w.write(ctx, t, duty, scope, lastKey, lastOther); err != nil {
		return false, 0, err
	}
	if err := t.passDirty(ctx, duty.stage, w.side, lastKey); err != nil {
		return false, 0, err
	}
	_, err = t.exec(ctx, `UPDATE im_dirty SET after = ? WHERE connector_key = ? AND stage = ? AND side = ? AND key = ?`,
		lastOther, t.conn, duty.stage, w.side, lastKey)
	return true, written, err
}

// edges is the part of a query that walks the edges in order.
func (w *edgeWalk) edges() string {
	return ` FROM im_dirty d CROSS JOIN im_edges e ON e.` + w.own + ` = d.key
		AND e.` + w.other + ` > CASE WHEN d.key = :key THEN :after ELSE 0 END`
}

func (w *edgeWalk) args(more ...any) []any {
	return append([]any{sql.Named("conn", w.conn), sql.Named("stage", w.stage), sql.Named("side", w.side),
		sql.Named("key", w.key), sql.Named("after", w.after)}, more...)
}

// window finds the last edge of the next window; beyond all keys when it is the
// last window.
func (w *edgeWalk) window(ctx context.Context, t *tx) (lastKey, lastOther int64, err error) {
	found, err := first(ctx, t, []any{&lastKey, &lastOther}, `SELECT d.key, e.`+w.other+w.edges()+`
		WHERE d.connector_key = :conn AND d.stage = :stage AND d.side = :side AND d.key >= :key
		ORDER BY d.key, e.`+w.other+` LIMIT 1 OFFSET :window`, w.args(sql.Named("window", t.store.edgeWindow-1))...)
	if err == nil && !found {
		return math.MaxInt64, 0, nil
	}
	return lastKey, lastOther, err
}

// write brings the window's due edges into the feed.
func (w *edgeWalk) write(ctx context.Context, t *tx, duty edgeDuty, scope Scope, lastKey, lastOther int64) (int, error) {
	if _, err := t.exec(ctx, `CREATE TEMP TABLE IF NOT EXISTS im_chunk (
		n INTEGER PRIMARY KEY, group_key INTEGER NOT NULL, member_key INTEGER NOT NULL, reason TEXT NOT NULL)`); err != nil {
		return 0, err
	}
	if _, err := t.exec(ctx, `DELETE FROM temp.im_chunk`); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, `INSERT INTO temp.im_chunk (group_key, member_key, reason)
		SELECT e.group_key, e.member_key, `+duty.why+w.edges()+`
			AND e.`+w.other+` <= CASE WHEN d.key = :lastKey THEN :lastOther ELSE 9223372036854775807 END
		LEFT JOIN im_objects u ON u.key = e.member_key
		LEFT JOIN im_objects g ON g.key = e.group_key
		LEFT JOIN im_staged su ON su.run_key = :run AND su.key = e.member_key
		LEFT JOIN im_staged sg ON sg.run_key = :run AND sg.key = e.group_key
		WHERE d.connector_key = :conn AND d.stage = :stage AND d.side = :side AND d.key >= :key AND d.key <= :lastKey
			AND `+duty.due+`
		ORDER BY d.key, e.`+w.other,
		w.args(sql.Named("lastKey", lastKey), sql.Named("lastOther", lastOther), sql.Named("run", t.run),
			sql.Named("users", scope.Users), sql.Named("groups", scope.Groups))...)
	if err != nil || n == 0 {
		return 0, err
	}
	if _, err := t.exec(ctx, `UPDATE im_edges SET live = ?, reason = c.reason, run_key = ?
		FROM temp.im_chunk c WHERE im_edges.group_key = c.group_key AND im_edges.member_key = c.member_key`, duty.live, t.run); err != nil {
		return 0, err
	}
	counts := Counts{Added: int(n)}
	if duty.op == Delete {
		counts = Counts{Deleted: int(n)}
	}
	if err := t.addCounts(ctx, GroupMember, counts); err != nil {
		return 0, err
	}
	base, err := t.reserveSeq(ctx, n)
	if err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, `INSERT INTO im_changes (connector_key, seq, op, type, key, member_key, reason, run_key, at)
		SELECT ?, ? + n, ?, 'GroupMember', group_key, member_key, reason, ?, ? FROM temp.im_chunk ORDER BY n`,
		t.conn, base, duty.op, t.run, t.now)
	return int(n), err
}

// passDirty takes the ids below a key from the stage that is done with them.
func (t *tx) passDirty(ctx context.Context, stage int, side string, below int64) error {
	const done = ` FROM im_dirty WHERE connector_key = ? AND stage = ? AND side = ? AND key < ?`
	if stage == dueDeletes.stage {
		if _, err := t.exec(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
			SELECT connector_key, 1, side, key`+done, t.conn, stage, side, below); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `DELETE`+done, t.conn, stage, side, below)
	return err
}

// redoDirty has everything that an earlier run was in the middle of begin again.
func (t *tx) redoDirty(ctx context.Context) error {
	if _, err := t.exec(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
		SELECT connector_key, 0, side, key FROM im_dirty WHERE connector_key = ? AND stage = 1`, t.conn); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM im_dirty WHERE connector_key = ? AND stage = 1`, t.conn); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE im_dirty SET after = 0 WHERE connector_key = ? AND after <> 0`, t.conn)
	return err
}
