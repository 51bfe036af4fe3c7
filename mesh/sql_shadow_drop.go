package mesh

import (
	"context"
	"fmt"
)

// A shadow is dropped in two parts. First it is condemned: in one transaction it loses
// its name, its runs and its lease, so that nobody sees it or writes to it again. Then its
// rows go in bounded steps, between which other connectors write. Whoever dies on the way
// leaves the rest to the next call of Shadow.

// DropShadow implements [Operator]. A shadow that is gone already is no error.
func (s *engine) DropShadow(ctx context.Context, name string) error {
	if err := s.write(ctx, func(t *tx) error {
		if err := t.lock(ctx, `name = ?`, name); err != nil {
			return err
		}
		var key int64
		var shadow bool
		found, err := first(ctx, t, []any{&key, &shadow, &t.now}, `SELECT key, shadow_of IS NOT NULL, `+sqlNow+` FROM im_connectors WHERE name = ?`, name)
		if err != nil || !found {
			return err
		}
		if !shadow {
			return &ConflictError{fmt.Sprintf("connector %q is no copy of a dry run: delete it with connector delete", name)}
		}
		return t.condemnShadow(ctx, key)
	}); err != nil {
		return err
	}
	return s.dropCondemned(ctx)
}

// condemnShadows condemns the shadows of a connector: all, or those whose run is dead or
// never came.
func (t *tx) condemnShadows(ctx context.Context, of int64, all bool) error {
	keys, err := collect(ctx, t, scanKey, `SELECT c.key FROM im_connectors c WHERE c.shadow_of = ?1 AND c.deleted_at IS NULL AND (?2 <> 0 OR CASE WHEN c.lease_run IS NOT NULL
			THEN c.lease_until + c.lease_ttl <= ?3
			ELSE max(c.created_at, coalesce((SELECT max(r.ended_at) FROM im_runs r WHERE r.connector_key = c.key), 0)) + ?4 <= ?3 END)`,
		of, all, t.now, shadowGrace)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := t.condemnShadow(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// condemnShadow takes the shadow out of everybody's sight.
func (t *tx) condemnShadow(ctx context.Context, conn int64) error {
	runs, err := collect(ctx, t, scanKey, `SELECT key FROM im_runs WHERE connector_key = ?`, conn)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if err := t.dropWorkingRows(ctx, run); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `DELETE FROM im_run_counts WHERE run_key = ?`, run); err != nil {
			return err
		}
	}
	for _, q := range []string{
		`DELETE FROM im_held WHERE hold_key IN (SELECT key FROM im_holds WHERE connector_key = ?)`,
		`DELETE FROM im_holds WHERE connector_key = ?`,
		`DELETE FROM im_runs WHERE connector_key = ?`,
		`DELETE FROM im_run_totals WHERE connector_key = ?`,
		`DELETE FROM im_change_totals WHERE connector_key = ?`,
		`DELETE FROM im_dirty WHERE connector_key = ?`,
		`DELETE FROM im_watermarks WHERE connector_key = ?`,
	} {
		if _, err := t.exec(ctx, q, conn); err != nil {
			return err
		}
	}
	// No shadow is called by a number alone: see ShadowName.
	_, err = t.exec(ctx, `UPDATE im_connectors SET name = ?, deleted_at = ?, lease_run = NULL, lease_token = lease_token + 1 WHERE key = ?`,
		fmt.Sprint(shadowPrefix, conn), t.now, conn)
	return err
}

// condemned selects the connectors that are condemned.
const condemned = `shadow_of IS NOT NULL AND deleted_at IS NOT NULL`

// dropCondemned drops everything condemned, of any connector.
func (s *engine) dropCondemned(ctx context.Context) error {
	for more := true; more; {
		if err := s.write(ctx, func(t *tx) (err error) {
			more, err = t.dropStep(ctx)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// dropStep drops the rows of some ids of a condemned shadow, or some of its feed, or the
// shadow itself when nothing else is left of it.
func (t *tx) dropStep(ctx context.Context) (more bool, err error) {
	if err := t.lock(ctx, condemned); err != nil {
		return false, err
	}
	var conn int64
	if more, err = first(ctx, t, []any{&conn}, `SELECT key FROM im_connectors WHERE `+condemned+` LIMIT 1`); err != nil || !more {
		return false, err
	}
	keys, err := collect(ctx, t, scanKey, `SELECT key FROM im_ids WHERE connector_key = ? LIMIT ?`, conn, t.store.copyChunk)
	if err != nil {
		return false, err
	}
	if len(keys) > 0 {
		return true, t.dropRows(ctx, keys)
	}
	fed, err := t.exec(ctx, `
		DELETE FROM im_changes WHERE connector_key = ?1 AND seq < ?2 + (SELECT min(seq) FROM im_changes WHERE connector_key = ?1)`,
		conn, t.store.edgeWindow)
	if err != nil || fed > 0 {
		return true, err
	}
	_, err = t.exec(ctx, `DELETE FROM im_connectors WHERE key = ?`, conn)
	return true, err
}

// dropRows drops ids with what belongs to them; an edge goes with its group.
func (t *tx) dropRows(ctx context.Context, keys []int64) error {
	for _, q := range []string{
		`DELETE FROM im_group_reads WHERE group_key`,
		`DELETE FROM im_member_groups WHERE member_key`,
		`DELETE FROM im_edges WHERE group_key`,
		`DELETE FROM im_objects WHERE key`,
		`DELETE FROM im_ids WHERE key`,
	} {
		if _, err := t.exec(ctx, q+` IN (SELECT j.value FROM json_each(?) j)`, keyList(keys)); err != nil {
			return err
		}
	}
	return nil
}
