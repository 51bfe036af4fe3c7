package mesh

import (
	"context"
	"database/sql"
)

// The values of im_staged.looked_up that Decide writes: rows that it staged, and those
// of them that it takes back.
const (
	stagedByMembers = 2
	takenBack       = 3
)

// counts says of an edge e that its user is in a group that counts: one that stays in
// the mesh. An edge that a hold keeps counts too.
const memberCounts = `(e.listed = 1 AND e.deprovisioned = 0
	OR e.live = 1 AND EXISTS (SELECT 1 FROM im_held h WHERE h.hold_key IN (:open, :closed) AND h.key = e.group_key AND h.member_key = e.member_key))
	AND ` + groupStays

const joinGroup = `
	LEFT JOIN im_objects g INDEXED BY im_objects_state ON g.key = e.group_key
	LEFT JOIN im_staged sg ON sg.run_key = :run AND sg.key = e.group_key `

// memberOfSome says of a user x that one of his edges counts, but for those of dirty groups.
const memberOfSome = ` EXISTS (SELECT 1 FROM im_member_groups k CROSS JOIN im_edges e ON e.group_key = k.group_key AND e.member_key = k.member_key` +
	joinGroup + ` WHERE k.member_key = x.key AND ` + memberCounts + `)`

// members stages the users whom Scope.UsersInGroupsOnly brings in and leaves out. Only
// those can come or go whom the run saw or whose edges are dirty; a Full looks at all.
func (g *guards) members(ctx context.Context) error {
	if !g.scope.Users {
		return nil
	}
	args := g.view.args(g.tx, sql.Named("groups", g.scope.Groups))
	const come = `INSERT OR IGNORE INTO im_staged (run_key, key, kind, type, looked_up, external_id, external_fold, attributes, hash, stamp)
		SELECT :run, o.key, 'add', 'User', 2, o.external_id, o.external_fold, o.attributes, o.hash, o.stamp `
	const seenOutside = ` FROM im_seen s CROSS JOIN im_objects x INDEXED BY im_objects_state ON x.key = s.key AND x.state = 'outside'
		CROSS JOIN im_objects o ON o.key = x.key`
	if !g.scope.UsersInGroupsOnly { // then who is outside waits for his external id, see wait
		_, err := g.exec(ctx, come+` FROM im_objects o INDEXED BY im_objects_outside WHERE o.connector_key = :conn AND o.state = 'outside'`,
			sql.Named("run", g.run), sql.Named("conn", g.conn))
		return err
	}
	if _, err := g.exec(ctx, come+edgesOfDirtyGroups+`
		CROSS JOIN im_objects x INDEXED BY im_objects_state ON x.key = e.member_key AND x.state = 'outside'
		CROSS JOIN im_objects o ON o.key = x.key `+joinGroup+` WHERE `+ofDirtyGroups+` AND `+memberCounts, args...); err != nil {
		return err
	}
	if _, err := g.exec(ctx, come+seenOutside+` WHERE s.run_key = :run AND `+memberOfSome, args...); err != nil {
		return err
	}
	if _, err := g.exec(ctx, come+` FROM im_objects x INDEXED BY im_objects_waiting CROSS JOIN im_objects o ON o.key = x.key
		WHERE x.connector_key = :conn AND x.reason = 'waiting' AND x.state = 'outside' AND `+memberOfSome, args...); err != nil {
		return err
	}
	return g.leavers(ctx, args)
}

// leavers stages the live users who are in no group that counts. The edges of a dirty
// group cannot be found by their member, so these users are staged first and taken back
// when such an edge turns up.
func (g *guards) leavers(ctx context.Context, args []any) error {
	const leave = ` INSERT INTO im_staged (run_key, key, kind, type, reason, looked_up)
		SELECT :run, x.key, 'delete', 'User', 'out-of-scope', 2 FROM `
	const restage = ` AND NOT ` + memberOfSome + `
		ON CONFLICT (run_key, key) DO UPDATE SET kind = 'delete', reason = excluded.reason, looked_up = 2 WHERE im_staged.kind = 'rename'`
	q := leave + `(SELECT key FROM im_seen WHERE run_key = :run
			UNION SELECT d.key FROM im_dirty d WHERE` + ofDirtyMembers + `
			UNION SELECT e.member_key` + edgesOfDirtyGroups + ` WHERE` + ofDirtyGroups + `) c
		CROSS JOIN im_objects x INDEXED BY im_objects_state ON x.key = c.key AND x.state = 'live'
		CROSS JOIN im_ids i ON i.key = x.key AND i.type = 'User' WHERE true` + restage
	if g.view.full() {
		q = leave + `im_objects x INDEXED BY im_objects_fold WHERE x.connector_key = :conn AND x.type = 'User' AND x.state = 'live'` + restage
	}
	if _, err := g.exec(ctx, q, args...); err != nil {
		return err
	}
	if _, err := g.exec(ctx, `UPDATE im_staged SET looked_up = 3 WHERE run_key = :run AND key IN (SELECT s.key`+edgesOfDirtyGroups+`
		CROSS JOIN im_staged s ON s.run_key = :run AND s.key = e.member_key AND s.looked_up = 2 AND s.kind = 'delete'`+
		joinGroup+` WHERE `+ofDirtyGroups+` AND `+memberCounts+`)`, args...); err != nil {
		return err
	}
	if err := g.unstageMembers(ctx, takenBack); err != nil {
		return err
	}
	_, err := g.exec(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
		SELECT ?1, 0, 'm', s.key FROM im_staged s WHERE s.run_key = ?2 AND s.looked_up = 2 AND s.kind = 'delete'
		AND EXISTS (SELECT 1 FROM im_member_groups k WHERE k.member_key = s.key)`, g.conn, g.run)
	return err
}

// unstageMembers takes back what Decide staged and marked so. A rename that became a
// delete kept what it was about.
func (t *tx) unstageMembers(ctx context.Context, mark int) error {
	if _, err := t.exec(ctx, `UPDATE im_staged SET kind = 'rename', reason = '', looked_up = 0
		WHERE run_key = ? AND looked_up = ? AND kind = 'delete' AND attributes <> ''`, t.run, mark); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM im_staged WHERE run_key = ? AND looked_up = ?`, t.run, mark)
	return err
}

// leaveOutside keeps a user who is deleted because he is in no group that counts, as he
// was read last: he may come back without being read again.
func (t *tx) leaveOutside(ctx context.Context, r stagedRow) error {
	if len(r.payload.Attributes) > 0 {
		if _, err := t.exec(ctx, `UPDATE im_objects SET external_id = ?, external_fold = ?, attributes = ?, hash = ?, stamp = max(stamp, ?) WHERE key = ?`,
			r.payload.ExternalID, externalFold(r.payload), string(r.payload.Attributes), r.payload.Hash, toMillis(r.payload.Stamp), r.key); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, `UPDATE im_objects SET state = 'outside', reason = '', updated_at = ? WHERE key = ?`, t.now, r.key)
	return err
}
