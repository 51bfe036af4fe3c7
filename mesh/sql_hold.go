package mesh

import (
	"context"
	"database/sql"
	"strings"
)

// A row of im_staged of kind held is a delete kept back: its object is as live as one
// that is not staged.

// membershipStamp is im_held.stamp of a user who is in none of the groups that count. No
// answer of Okta's about the user himself led to his delete, so none takes it back.
const membershipStamp = `-1`

// holdView is what the holds of a connector mean to the run.
type holdView struct {
	mode   string
	open   int64 // the open hold, 0 without one
	closed int64 // the last hold that was rejected or ran out and still has rows, 0 without one
}

func (t *tx) holdView(ctx context.Context) (v holdView, err error) {
	_, err = first(ctx, t, []any{&v.mode, &v.open, &v.closed}, `
		SELECT r.mode,
			coalesce((SELECT h.key FROM im_holds h WHERE h.connector_key = ?1 AND h.state = 'Open'), 0),
			coalesce((SELECT max(h.key) FROM im_holds h WHERE h.connector_key = ?1 AND h.state IN ('Rejected', 'Expired')
				AND EXISTS (SELECT 1 FROM im_held d WHERE d.hold_key = h.key)), 0)
		FROM im_runs r WHERE r.key = ?2`, t.conn, t.run)
	return v, err
}

// full says that the run decides everything anew.
func (v holdView) full() bool { return strings.EqualFold(v.mode, "Full") }

// approval says that the run carries out an approval.
func (v holdView) approval() bool { return strings.EqualFold(v.mode, "Approval") }

// keeps returns the holds whose rows stay in the mesh whatever the run meets; 0 is none.
func (v holdView) keeps() (open, closed int64) {
	switch {
	case v.full():
		return 0, 0
	case v.approval():
		return 0, v.closed
	}
	return v.open, v.closed
}

// args are the holds that keep their rows, and the run.
func (v holdView) args(t *tx, more ...any) []any {
	open, closed := v.keeps()
	return append([]any{sql.Named("run", t.run), sql.Named("conn", t.conn), sql.Named("open", open), sql.Named("closed", closed)}, more...)
}

// releaseHeld takes objects that a page showed alive out of the holds: their delete is
// moot. The run is noted as the one that changed the hold. An approval's own look-ups
// leave the hold as it was approved until the run commits.
func (t *tx) releaseHeld(ctx context.Context, keys []int64) error {
	var open int64
	var found bool
	if _, err := first(ctx, t, []any{&found, &open}, `
		SELECT count(*) > 0, coalesce(sum(CASE WHEN h.state = 'Open' THEN h.key END), 0) FROM im_holds h
		WHERE h.connector_key = ?1 AND h.state IN ('Open', 'Rejected', 'Expired')
		AND EXISTS (SELECT 1 FROM im_held d WHERE d.hold_key = h.key)`, t.conn); err != nil || !found {
		return err
	}
	changed := false
	sides, err := collect(ctx, t, func(rows *rowSet) (s edgeSide, err error) {
		var hold int64
		err = rows.Scan(&hold, &s.typ, &s.key)
		changed = changed || hold == open
		return s, err
	}, `DELETE FROM im_held WHERE member_key = 0 AND stamp <> `+membershipStamp+` AND key IN (SELECT j.value FROM json_each(?1) j)
		AND hold_key IN (SELECT h.key FROM im_holds h, im_runs r
			WHERE h.connector_key = ?2 AND r.key = ?3 AND (h.state IN ('Rejected', 'Expired') OR h.state = 'Open' AND r.mode <> 'Approval'))
		RETURNING hold_key, type, key`, keyList(keys), t.conn, t.run)
	if err != nil || len(sides) == 0 {
		return err
	}
	if changed {
		if err := t.noteHold(ctx, open); err != nil {
			return err
		}
	}
	return t.markDirty(ctx, sides) // what the hold kept of their edges
}

// noteHold says that the run changed the hold: an approval of what it was is void.
func (t *tx) noteHold(ctx context.Context, hold int64) error {
	_, err := t.exec(ctx, `UPDATE im_holds SET run_key = ?, changed_at = ?, decided_by = '', decided_at = NULL WHERE key = ?`, t.run, t.now, hold)
	return err
}

// commitHold brings what the run held into the connector's hold and says how the run ends.
func (t *tx) commitHold(ctx context.Context, c CommitRun) (outcome Outcome, err error) {
	v, err := t.holdView(ctx)
	if err != nil {
		return "", err
	}
	if v.approval() {
		return Completed, t.closeCarriedOut(ctx, v)
	}
	if err := t.dropRefused(ctx, v); err != nil {
		return "", err
	}
	full := c.fullTypes()
	types := make(textList, len(full))
	for i, typ := range full {
		types[i] = string(typ)
	}
	if v.closed != 0 {
		if _, err := t.dropHeld(ctx, v.closed, `h.type IN (SELECT j.value FROM json_each(:types) j)`, sql.Named("types", types)); err != nil {
			return "", err
		}
	}
	var dropped, added int64
	if v.open != 0 {
		if dropped, err = t.dropHeld(ctx, v.open, moot, sql.Named("types", types), sql.Named("run", t.run)); err != nil {
			return "", err
		}
	}
	if v.open, added, err = t.addHeld(ctx, v.open, c); err != nil || v.open == 0 {
		return Completed, err
	}
	var left int
	if _, err := first(ctx, t, []any{&left}, `SELECT count(*) FROM im_held WHERE hold_key = ?`, v.open); err != nil {
		return "", err
	}
	again := len(full) > 0 && left > 0 // it replaces the hold, were it by the same rows
	if dropped+added > 0 || again {
		if err := t.noteHold(ctx, v.open); err != nil {
			return "", err
		}
	}
	if again { // its time begins anew
		if _, err := t.exec(ctx, `UPDATE im_holds SET expires_at = max(expires_at, ?) WHERE key = ?`, t.now+c.HoldTimeLimit.Milliseconds(), v.open); err != nil {
			return "", err
		}
	}
	if left == 0 {
		_, err := t.exec(ctx, `UPDATE im_holds SET state = 'Replaced', changed_at = ? WHERE key = ?`, t.now, v.open)
		return Completed, err
	}
	if added > 0 || again {
		return HeldDeletes, nil
	}
	return Completed, nil
}

// dropRefused leaves alone what an operator has refused since the run decided.
func (t *tx) dropRefused(ctx context.Context, v holdView) error {
	if v.closed == 0 || v.full() {
		return nil
	}
	for _, q := range []string{
		`DELETE FROM im_staged AS s WHERE s.run_key = :run AND s.kind = 'held' AND EXISTS (
			SELECT 1 FROM im_held h WHERE h.hold_key = :closed AND h.key = s.key AND h.member_key = 0 AND h.stamp = ` + stagedStamp + `)`,
		`DELETE FROM im_staged_edges AS s WHERE s.run_key = :run AND EXISTS (
			SELECT 1 FROM im_held h WHERE h.hold_key = :closed AND h.key = s.group_key AND h.member_key = s.member_key)`,
	} {
		if _, err := t.exec(ctx, q, sql.Named("run", t.run), sql.Named("closed", v.closed)); err != nil {
			return err
		}
	}
	return nil
}

// fullTypes are the types that the run walked in full.
func (c CommitRun) fullTypes() []ObjectType {
	var types []ObjectType
	if c.UsersFull {
		types = append(types, User)
	}
	if c.GroupsFull {
		types = append(types, Group, GroupMember)
	}
	return types
}

// moot selects the rows h of a hold that it need not keep: what is no longer live,
// edges that are listed again, users who are in a group again, and what a Full walk of
// the type did not hold again.
const moot = `(
	h.member_key = 0 AND NOT EXISTS (SELECT 1 FROM im_objects o INDEXED BY im_objects_state WHERE o.key = h.key AND o.state = 'live')
	OR h.member_key <> 0 AND NOT EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = h.key AND e.member_key = h.member_key AND ` + stillDue + `)
	OR h.member_key = 0 AND h.stamp = ` + membershipStamp + ` AND EXISTS (
		SELECT 1 FROM im_member_groups k JOIN im_edges e ON e.group_key = k.group_key AND e.member_key = k.member_key
		WHERE k.member_key = h.key AND e.listed = 1 AND e.deprovisioned = 0 AND e.live = 1)
	OR h.type IN (SELECT j.value FROM json_each(:types) j)
		AND NOT EXISTS (SELECT 1 FROM im_staged s WHERE s.run_key = :run AND s.key = h.key AND s.kind = 'held' AND h.member_key = 0)
		AND NOT EXISTS (SELECT 1 FROM im_staged_edges s WHERE s.run_key = :run AND s.group_key = h.key AND s.member_key = h.member_key))`

// stillDue says of an edge e that the row h of a hold keeps: only the hold keeps it.
const stillDue = `e.live = 1 AND NOT (e.listed = 1 AND h.reason = 'member-removed')`

// dropHeld takes rows out of a hold and has what it kept of their edges derived again.
func (t *tx) dropHeld(ctx context.Context, hold int64, where string, args ...any) (int64, error) {
	where = ` FROM im_held AS h WHERE h.hold_key = :hold AND ` + where
	args = append(args, sql.Named("hold", hold))
	if _, err := t.exec(ctx, dirtyHeld+where, append(args, sql.Named("conn", t.conn))...); err != nil {
		return 0, err
	}
	return t.exec(ctx, `DELETE`+where, args...)
}

// dirtyHeld marks the edges of held rows h as dirty.
const dirtyHeld = `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
	SELECT DISTINCT :conn, 0, CASE h.type WHEN 'User' THEN 'm' ELSE 'g' END, h.key`

// addHeld enters what the run held, into a new hold if none is open. It returns how
// many rows are new.
func (t *tx) addHeld(ctx context.Context, hold int64, c CommitRun) (_, added int64, err error) {
	const objects = ` FROM im_staged s WHERE s.run_key = :run AND s.kind = 'held'
		AND EXISTS (SELECT 1 FROM im_objects o INDEXED BY im_objects_state WHERE o.key = s.key AND o.state = 'live')`
	const edges = ` FROM im_staged_edges s WHERE s.run_key = :run
		AND EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = s.group_key AND e.member_key = s.member_key AND e.live = 1)`
	run := sql.Named("run", t.run)
	var found bool
	if _, err := first(ctx, t, []any{&found}, `SELECT EXISTS (SELECT 1`+objects+`) OR EXISTS (SELECT 1`+edges+`)`, run); err != nil || !found {
		return hold, 0, err
	}
	if hold == 0 {
		if _, err := first(ctx, t, []any{&hold}, `
			INSERT INTO im_holds (connector_key, run_key, state, opened_at, changed_at, expires_at) VALUES (?1, ?2, 'Open', ?3, ?3, ?4) RETURNING key`,
			t.conn, t.run, t.now, t.now+c.HoldTimeLimit.Milliseconds()); err != nil {
			return 0, 0, err
		}
	}
	// What is held again keeps the run that held it first; the newest answer is noted.
	if _, err := t.exec(ctx, `UPDATE im_held SET reason = s.reason, stamp = `+stagedStamp+`
		FROM im_staged s WHERE s.run_key = :run AND s.kind = 'held' AND im_held.hold_key = :hold AND im_held.key = s.key AND im_held.member_key = 0`,
		run, sql.Named("hold", hold)); err != nil {
		return 0, 0, err
	}
	for _, q := range []string{
		`SELECT :hold, s.key, 0, s.type, s.reason, ` + stagedStamp + `, :run` + objects,
		`SELECT :hold, s.group_key, s.member_key, 'GroupMember', s.reason, 0, :run` + edges,
	} {
		n, err := t.exec(ctx, `INSERT OR IGNORE INTO im_held (hold_key, key, member_key, type, reason, stamp, run_key) `+q, run, sql.Named("hold", hold))
		if err != nil {
			return 0, 0, err
		}
		added += n
	}
	return hold, added, t.forgetHeld(ctx)
}

// stagedStamp is im_held.stamp of a staged row s.
const stagedStamp = `CASE WHEN s.looked_up = 2 THEN ` + membershipStamp + ` ELSE s.stamp END`

// redoHeld has the edges that a run held back derived again: it has not committed what
// it held, and Settle may have passed them already.
func (t *tx) redoHeld(ctx context.Context, run int64) error {
	_, err := t.exec(ctx, `
		INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
		SELECT r.connector_key, 0, CASE s.type WHEN 'User' THEN 'm' ELSE 'g' END, s.key
		FROM im_staged s JOIN im_runs r ON r.key = s.run_key WHERE s.run_key = ?1 AND s.kind = 'held'
		UNION SELECT r.connector_key, 0, 'g', s.group_key
		FROM im_staged_edges s JOIN im_runs r ON r.key = s.run_key WHERE s.run_key = ?1`, run)
	return err
}

// forgetHeld drops what the run held once it is in the hold.
func (t *tx) forgetHeld(ctx context.Context) error {
	for _, q := range []string{
		`DELETE FROM im_staged WHERE run_key = ? AND kind = 'held'`,
		`DELETE FROM im_staged_edges WHERE run_key = ?`,
	} {
		if _, err := t.exec(ctx, q, t.run); err != nil {
			return err
		}
	}
	return nil
}

// closeCarriedOut ends the hold that an approval run has carried out.
func (t *tx) closeCarriedOut(ctx context.Context, v holdView) error {
	n, err := t.exec(ctx, `UPDATE im_holds SET state = 'Approved', changed_at = ? WHERE key = ? AND decided_at IS NOT NULL`, t.now, v.open)
	if err != nil || n == 0 {
		return err
	}
	_, err = t.exec(ctx, `DELETE FROM im_held WHERE hold_key = ?`, v.open)
	return err
}
