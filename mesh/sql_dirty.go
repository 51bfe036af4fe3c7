package mesh

import (
	"context"
	"slices"
)

// edgesOfMember selects the edges of the member ?1, but for those of dirty groups.
const edgesOfMember = `member_key = ?1 AND group_key IN (SELECT k.group_key FROM im_member_groups k WHERE k.member_key = ?1)`

// edgeSide names the edges of one object.
type edgeSide struct {
	typ ObjectType
	key int64
}

// markDirty has the edges of the objects derived again, because their liveness
// changed or may change at the end of the run. The edges of a dirty group are
// derived anyway, whoever its members are.
func (t *tx) markDirty(ctx context.Context, sides []edgeSide) error {
	var users, groups []int64
	for _, s := range sides {
		if s.typ == Group {
			groups = append(groups, s.key)
		} else {
			users = append(users, s.key)
		}
	}
	const mark = `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key) `
	for _, m := range []struct {
		keys []int64
		sql  string
	}{
		{groups, `SELECT ?1, 0, 'g', j.value FROM json_each(?2) j
			WHERE EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = j.value)`},
		{users, `SELECT ?1, 0, 'm', j.value FROM json_each(?2) j
			WHERE EXISTS (SELECT 1 FROM im_member_groups k WHERE k.member_key = j.value AND NOT EXISTS (
				SELECT 1 FROM im_dirty d WHERE d.connector_key = ?1 AND d.stage = 0 AND d.side = 'g' AND d.key = k.group_key))`},
	} {
		if len(m.keys) == 0 {
			continue
		}
		slices.Sort(m.keys)
		if err := t.later(ctx, mark+m.sql, t.conn, keyList(slices.Compact(m.keys))); err != nil {
			return err
		}
	}
	return nil
}

// passDirty hands the ids that the walk is done with on to what is due next, and
// keeps the position in the last one.
func (t *tx) passDirty(ctx context.Context, w *edgeWalk, lastKey, lastOther int64) error {
	next := w.stage + 1
	if w.side == "m" && next == stageIndex {
		next = stageAdds
	}
	const done = ` FROM im_dirty WHERE connector_key = ? AND stage = ? AND side = ? AND key < ?`
	if next <= stageAdds {
		if err := t.later(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
			SELECT connector_key, ?, side, key`+done, next, t.conn, w.stage, w.side, lastKey); err != nil {
			return err
		}
	}
	if err := t.later(ctx, `DELETE`+done, t.conn, w.stage, w.side, lastKey); err != nil {
		return err
	}
	return t.later(ctx, `UPDATE im_dirty SET after = ? WHERE connector_key = ? AND stage = ? AND side = ? AND key = ?`,
		lastOther, t.conn, w.stage, w.side, lastKey)
}

// redoDirty has everything that a settle was in the middle of begin again.
func (t *tx) redoDirty(ctx context.Context) error {
	if err := t.later(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
		SELECT connector_key, 0, side, key FROM im_dirty WHERE connector_key = ? AND stage > 0`, t.conn); err != nil {
		return err
	}
	if err := t.later(ctx, `DELETE FROM im_dirty WHERE connector_key = ? AND stage > 0`, t.conn); err != nil {
		return err
	}
	return t.later(ctx, `UPDATE im_dirty SET after = 0 WHERE connector_key = ? AND after > 0`, t.conn)
}

// unsettle is called before anything is written that Settle reads: a settle that
// was under way begins again.
func (t *tx) unsettle(ctx context.Context) error {
	if !t.settling {
		return nil
	}
	t.settling = false
	if err := t.later(ctx, `UPDATE im_runs SET settling = 0 WHERE key = ?`, t.run); err != nil {
		return err
	}
	return t.redoDirty(ctx)
}
