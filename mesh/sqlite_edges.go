package mesh

import (
	"context"
	"database/sql"
	"math"
)

// edgeWindow is how many edges one transaction of Settle looks at.
const edgeWindow = 10_000

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

// edgeSettler walks the edges of dirty ids, window by window. Its position is in
// memory; what im_dirty says is enough to begin again.
type edgeSettler struct {
	scope      Scope
	stage      int
	side       string
	key, after int64 // the last edge looked at: dirty id and other end
}

// The other end of an edge, by side.
var otherEnd = map[string]struct{ own, other string }{
	"g": {"group_key", "member_key"},
	"m": {"member_key", "group_key"},
}

// step looks at one window and writes what is due. It says false when no id is
// left at the duty's stage.
func (e *edgeSettler) step(ctx context.Context, t *tx, duty edgeDuty) (bool, int, error) {
	side := ""
	if found, err := first(ctx, t, []any{&side},
		`SELECT side FROM im_dirty WHERE connector_key = ? AND stage = ? ORDER BY side LIMIT 1`, t.conn, duty.stage); err != nil || !found {
		return false, 0, err
	}
	if e.stage != duty.stage || e.side != side {
		e.stage, e.side, e.key, e.after = duty.stage, side, 0, 0
	}
	lastKey, lastOther, whole, err := e.window(ctx, t)
	if err != nil {
		return false, 0, err
	}
	n, err := e.write(ctx, t, duty, lastKey, lastOther)
	if err != nil {
		return false, 0, err
	}
	below := lastKey
	if whole {
		below = math.MaxInt64
		e.key, e.after = 0, 0
	} else {
		e.key, e.after = lastKey, lastOther
	}
	return true, n, t.passDirty(ctx, duty.stage, side, below)
}

// from is the part of a query that walks the window, in order.
func (e *edgeSettler) from() string {
	end := otherEnd[e.side]
	return ` FROM im_dirty d CROSS JOIN im_edges e ON e.` + end.own + ` = d.key
		AND e.` + end.other + ` > CASE WHEN d.key = :key THEN :after ELSE 0 END`
}

func (e *edgeSettler) args(t *tx, duty int) []any {
	return []any{sql.Named("conn", t.conn), sql.Named("stage", duty), sql.Named("side", e.side), sql.Named("key", e.key), sql.Named("after", e.after)}
}

// window finds the last edge of the next window. whole: nothing follows it.
func (e *edgeSettler) window(ctx context.Context, t *tx) (key, other int64, whole bool, err error) {
	end := otherEnd[e.side]
	found, err := first(ctx, t, []any{&key, &other}, `SELECT d.key, e.`+end.other+e.from()+`
		WHERE d.connector_key = :conn AND d.stage = :stage AND d.side = :side AND d.key >= :key
		ORDER BY d.key, e.`+end.other+` LIMIT 1 OFFSET :window`, append(e.args(t, e.stage), sql.Named("window", edgeWindow-1))...)
	if err == nil && !found {
		return math.MaxInt64, math.MaxInt64, true, nil
	}
	return key, other, false, err
}

// write brings the window's due edges into the feed.
func (e *edgeSettler) write(ctx context.Context, t *tx, duty edgeDuty, lastKey, lastOther int64) (int, error) {
	if _, err := t.exec(ctx, `CREATE TEMP TABLE IF NOT EXISTS im_chunk (
		n INTEGER PRIMARY KEY, group_key INTEGER NOT NULL, member_key INTEGER NOT NULL, reason TEXT NOT NULL)`); err != nil {
		return 0, err
	}
	if _, err := t.exec(ctx, `DELETE FROM temp.im_chunk`); err != nil {
		return 0, err
	}
	end := otherEnd[e.side]
	n, err := t.exec(ctx, `INSERT INTO temp.im_chunk (group_key, member_key, reason)
		SELECT e.group_key, e.member_key, `+duty.why+e.from()+`
			AND e.`+end.other+` <= CASE WHEN d.key = :lastKey THEN :lastOther ELSE 9223372036854775807 END
		LEFT JOIN im_objects u ON u.key = e.member_key
		LEFT JOIN im_objects g ON g.key = e.group_key
		LEFT JOIN im_staged su ON su.run_key = :run AND su.key = e.member_key
		LEFT JOIN im_staged sg ON sg.run_key = :run AND sg.key = e.group_key
		WHERE d.connector_key = :conn AND d.stage = :stage AND d.side = :side AND d.key >= :key AND d.key <= :lastKey
			AND `+duty.due+`
		ORDER BY d.key, e.`+end.other,
		append(e.args(t, duty.stage), sql.Named("lastKey", lastKey), sql.Named("lastOther", lastOther), sql.Named("run", t.run),
			sql.Named("users", e.scope.Users), sql.Named("groups", e.scope.Groups))...)
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
		if _, err := t.exec(ctx, `INSERT OR IGNORE INTO im_dirty (connector_key, stage, side, key)
			SELECT connector_key, 1, side, key`+done, t.conn, stage, side, below); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `DELETE`+done, t.conn, stage, side, below)
	return err
}

// redoDirty has everything that was handed on begin again.
func (t *tx) redoDirty(ctx context.Context) error {
	if _, err := t.exec(ctx, `INSERT OR IGNORE INTO im_dirty (connector_key, stage, side, key)
		SELECT connector_key, 0, side, key FROM im_dirty WHERE connector_key = ? AND stage = 1`, t.conn); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM im_dirty WHERE connector_key = ? AND stage = 1`, t.conn)
	return err
}
