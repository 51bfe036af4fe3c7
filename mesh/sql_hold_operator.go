package mesh

import (
	"context"
	"database/sql"
	"fmt"
)

// openHold is the open hold of a connector as its last run left it.
type openHold struct {
	key      int64
	run      string // the run that changed it last
	approved bool
}

// openHold returns a [*ConflictError] unless holdRun changed the open hold last.
func (t *tx) openHold(ctx context.Context, connector, holdRun string) (h openHold, err error) {
	found, err := first(ctx, t, []any{&h.key, &h.run, &h.approved}, `
		SELECT h.key, r.run_id, h.decided_at IS NOT NULL FROM im_holds h JOIN im_runs r ON r.key = h.run_key
		WHERE h.connector_key = ? AND h.state = 'Open'`, t.conn)
	switch {
	case err != nil:
		return h, err
	case !found:
		return h, &ConflictError{fmt.Sprintf("connector %q holds no deletes back: there is nothing to decide", connector)}
	case h.run != holdRun:
		return h, &ConflictError{fmt.Sprintf("the held deletes of connector %q have changed: run %s changed them last, not %s; look at them again", connector, h.run, holdRun)}
	}
	return h, nil
}

// atConnector is write for an operator: it finds the connector and reads the clock.
func (s *engine) atConnector(ctx context.Context, connector string, fn func(t *tx) error) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.lock(ctx, `name = ?`, connector); err != nil {
			return err
		}
		found, err := first(ctx, t, []any{&t.conn, &t.now},
			`SELECT key, `+sqlNow+` FROM im_connectors WHERE name = ? AND deleted_at IS NULL`, connector)
		if err == nil && !found {
			err = &NotFoundError{"connector", connector}
		}
		if err != nil {
			return err
		}
		return fn(t)
	})
}

// ApproveHold implements [Operator].
func (s *engine) ApproveHold(ctx context.Context, connector, holdRun, by string) error {
	return s.atConnector(ctx, connector, func(t *tx) error {
		h, err := t.openHold(ctx, connector, holdRun)
		if err != nil {
			return err
		}
		if err := t.undecided(ctx, connector); err != nil {
			return err
		}
		if h.approved { // by whom it is being carried out stays
			if carried, err := t.carriedOut(ctx); err != nil || carried != "" {
				return err
			}
		}
		_, err = t.exec(ctx, `UPDATE im_holds SET decided_by = ?, decided_at = ? WHERE key = ?`, by, t.now, h.key)
		return err
	})
}

// CloseHold implements [Operator]. It is refused while a run carries out an approval
// of the hold. Closing again in the same way changes nothing.
func (s *engine) CloseHold(ctx context.Context, connector, holdRun string, state HoldState, by string) error {
	if state != HoldRejected && state != HoldExpired {
		return &ConflictError{fmt.Sprintf("a hold is closed as %s or %s, not as %q", HoldRejected, HoldExpired, state)}
	}
	return s.atConnector(ctx, connector, func(t *tx) error {
		h, err := t.openHold(ctx, connector, holdRun)
		if err != nil {
			if again, aerr := t.closedBefore(ctx, holdRun, state); aerr != nil || again {
				return aerr
			}
			return err
		}
		if h.approved {
			run, err := t.carriedOut(ctx)
			if err != nil {
				return err
			}
			if run != "" {
				return &ConflictError{fmt.Sprintf("run %s is carrying out the approval of these deletes: wait for its end", run)}
			}
		}
		// Older rows go into this hold: there is one to leave alone until the next Full.
		if _, err := t.exec(ctx, `
			INSERT OR IGNORE INTO im_held (hold_key, key, member_key, type, reason, stamp, run_key)
			SELECT ?1, d.key, d.member_key, d.type, d.reason, d.stamp, d.run_key FROM im_held d
			WHERE d.hold_key IN (SELECT key FROM im_holds WHERE connector_key = ?2 AND state IN ('Rejected', 'Expired'))
			ORDER BY d.hold_key`, h.key, t.conn); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `
			DELETE FROM im_held WHERE hold_key IN (SELECT key FROM im_holds WHERE connector_key = ? AND state IN ('Rejected', 'Expired'))`, t.conn); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE im_holds SET state = ?1, decided_by = ?2, decided_at = ?3, changed_at = ?3 WHERE key = ?4`, state, by, t.now, h.key)
		return err
	})
}

// carriedOut is the run that carries out an approval now, "" when none does.
func (t *tx) carriedOut(ctx context.Context) (run string, err error) {
	_, err = first(ctx, t, []any{&run}, `
		SELECT c.lease_run FROM im_connectors c JOIN im_runs r ON r.run_id = c.lease_run
		WHERE c.key = ? AND c.lease_until > ? AND r.mode = 'Approval'`, t.conn, t.now)
	return run, err
}

// forgetApproval takes back the approval that a run could not carry out: somebody has
// to approve again.
func (t *tx) forgetApproval(ctx context.Context) error {
	_, err := t.exec(ctx, `UPDATE im_holds SET decided_by = '', decided_at = NULL WHERE connector_key = ? AND state = 'Open'
		AND EXISTS (SELECT 1 FROM im_runs r WHERE r.key = ? AND r.mode = 'Approval')`, t.conn, t.run)
	return err
}

// closedBefore says whether the connector's last hold was closed in this way already:
// the answer to an earlier call was lost.
func (t *tx) closedBefore(ctx context.Context, holdRun string, state HoldState) (bool, error) {
	var last HoldState
	var run string
	_, err := first(ctx, t, []any{&last, &run}, `
		SELECT h.state, r.run_id FROM im_holds h JOIN im_runs r ON r.key = h.run_key
		WHERE h.connector_key = ? ORDER BY h.key DESC LIMIT 1`, t.conn)
	return last == state && run == holdRun, err
}

// StageHold implements [Writer]. Held edges need no staging: the approval lifts the
// hold, and Settle finds those that are still due.
func (s *engine) StageHold(ctx context.Context, f Fence, holdRun string) (candidates int, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		h, err := t.openHold(ctx, f.Connector, holdRun)
		if err != nil {
			return err
		}
		v, err := t.holdView(ctx)
		if err != nil {
			return err
		}
		if !h.approved || !v.approval() {
			return &ConflictError{fmt.Sprintf("the deletes that run %s held are not approved: nothing is carried out", holdRun)}
		}
		if err := t.unsettle(ctx); err != nil {
			return err
		}
		hold := sql.Named("hold", h.key)
		if _, err := t.exec(ctx, `
			INSERT INTO im_staged (run_key, key, kind, type)
			SELECT :run, h.key, 'delete', h.type FROM im_held h
			CROSS JOIN im_objects o INDEXED BY im_objects_state ON o.key = h.key AND o.state = 'live'
			WHERE h.hold_key = :hold AND h.member_key = 0
			AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = :run AND s.key = h.key)
			ON CONFLICT (run_key, key) DO NOTHING`, sql.Named("run", t.run), hold); err != nil {
			return err
		}
		if _, err := t.exec(ctx, dirtyHeld+` FROM im_held h WHERE h.hold_key = :hold`, hold, sql.Named("conn", t.conn)); err != nil {
			return err
		}
		_, err = first(ctx, t, []any{&candidates},
			`SELECT count(*) FROM im_staged WHERE run_key = ? AND kind = 'delete' AND reason = ''`, t.run)
		return err
	})
	return candidates, err
}
