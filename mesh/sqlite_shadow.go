package mesh

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
)

const (
	// shadowRunMode is the mode of the one run that a shadow begins with: it stands for
	// the runs of the last day, whose deletes the guards count.
	shadowRunMode = "Shadow"
	// shadowGrace is how long, in milliseconds, a shadow without a lease may wait for its
	// run, or for its answer to be read.
	shadowGrace = 60 * 60 * 1000
)

// Shadow implements [Operator]. Calling it again for the same run returns the same
// shadow. Everything is copied by integer keys in one transaction; the keys of the
// copies have the order of the originals, so every table is written from its front to
// its back.
func (s *SQLite) Shadow(ctx context.Context, connector, runID string) (name string, err error) {
	if runID == "" {
		return "", &ConflictError{"a shadow needs the id of its run"}
	}
	name = ShadowName(connector, runID)
	err = s.write(ctx, func(t *tx) error {
		var from int64
		var shadow bool
		found, err := first(ctx, t, []any{&from, &shadow, &t.now}, `
			SELECT key, shadow_of IS NOT NULL, `+sqlNow+` FROM im_connectors WHERE name = ? AND deleted_at IS NULL`, connector)
		switch {
		case err != nil:
			return err
		case !found:
			return &NotFoundError{"connector", connector}
		case shadow:
			return &ConflictError{fmt.Sprintf("%q is the copy of a dry run: it has no copies of its own", connector)}
		}
		var there int
		if _, err := first(ctx, t, []any{&there}, `SELECT count(*) FROM im_connectors WHERE name = ?`, name); err != nil || there > 0 {
			return err
		}
		if err := t.dropShadows(ctx, from, false); err != nil {
			return err
		}
		return t.copyConnector(ctx, from, name)
	})
	if err != nil {
		return "", err
	}
	return name, nil
}

// copyConnector makes the shadow, which becomes t.conn.
func (t *tx) copyConnector(ctx context.Context, from int64, name string) error {
	if _, err := first(ctx, t, []any{&t.conn}, `
		INSERT INTO im_connectors (name, type, config_json, auth_json, created_at, updated_at, epoch, settled_scope, read_as, shadow_of)
		SELECT ?, type, config_json, auth_json, ?, updated_at, ?, settled_scope, read_as, key FROM im_connectors WHERE key = ?
		RETURNING key`, name, t.now, rand.Text(), from); err != nil {
		return err
	}
	for _, q := range []string{
		`INSERT INTO im_watermarks (connector_key, watermark, updated_at, updated_by)
			SELECT ?2, watermark, updated_at, updated_by FROM im_watermarks WHERE connector_key = ?1`,
		`INSERT INTO im_shadow_keys (old_key, new_key)
			SELECT key, (SELECT max(key) FROM im_ids) + row_number() OVER (ORDER BY key) FROM im_ids WHERE connector_key = ?1 AND ?2 = ?2`,
		`INSERT INTO im_ids (key, connector_key, type, okta_id)
			SELECT k.new_key, ?2, i.type, i.okta_id FROM im_shadow_keys k CROSS JOIN im_ids i ON i.key = k.old_key`,
		`INSERT INTO im_objects (key, connector_key, type, external_id, external_fold, attributes, hash, stamp, state, reason, created_at, updated_at)
			SELECT k.new_key, ?2, o.type, o.external_id, o.external_fold, o.attributes, o.hash, o.stamp, o.state, o.reason, o.created_at, o.updated_at
			FROM im_shadow_keys k CROSS JOIN im_objects o ON o.key = k.old_key`,
		`INSERT INTO im_edges (group_key, member_key, listed, deprovisioned, live, reason)
			SELECT g.new_key, m.new_key, e.listed, e.deprovisioned, e.live, e.reason
			FROM im_shadow_keys g CROSS JOIN im_edges e ON e.group_key = g.old_key CROSS JOIN im_shadow_keys m ON m.old_key = e.member_key
			WHERE ?1 = ?1 AND ?2 = ?2`,
		`INSERT INTO im_member_groups (member_key, group_key)
			SELECT m.new_key, g.new_key
			FROM im_shadow_keys m CROSS JOIN im_member_groups e ON e.member_key = m.old_key CROSS JOIN im_shadow_keys g ON g.old_key = e.group_key
			WHERE ?1 = ?1 AND ?2 = ?2`,
		`INSERT INTO im_group_reads (group_key, stamp, read_at, reads)
			SELECT k.new_key, r.stamp, r.read_at, r.reads FROM im_shadow_keys k CROSS JOIN im_group_reads r ON r.group_key = k.old_key
			WHERE ?1 = ?1 AND ?2 = ?2`,
		`INSERT OR IGNORE INTO im_dirty (connector_key, stage, side, key)
			SELECT ?2, 0, d.side, k.new_key FROM im_dirty d CROSS JOIN im_shadow_keys k ON k.old_key = d.key WHERE d.connector_key = ?1`,
		`UPDATE im_connectors SET everyone_key = (SELECT k.new_key FROM im_connectors c JOIN im_shadow_keys k ON k.old_key = c.everyone_key WHERE c.key = ?1)
			WHERE key = ?2`,
	} {
		if _, err := t.exec(ctx, q, from, t.conn); err != nil {
			return err
		}
	}
	if err := t.copyGuards(ctx, from, name); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM im_shadow_keys`)
	return err
}

// copyGuards copies what the guards know: the deletes of the last day, as those of one
// run, and what is held.
func (t *tx) copyGuards(ctx context.Context, from int64, name string) error {
	if _, err := first(ctx, t, []any{&t.run}, `
		INSERT INTO im_runs (run_id, connector_key, mode, workflow_id, namespace, token, outcome, started_at, ended_at)
		VALUES (?, ?, ?, '', '', 0, ?, ?, ?) RETURNING key`, name, t.conn, shadowRunMode, Completed, t.now, t.now); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `
		INSERT INTO im_run_counts (run_key, type, guarded)
		SELECT ?1, n.type, sum(n.guarded) FROM im_runs r JOIN im_run_counts n ON n.run_key = r.key
		WHERE r.connector_key = ?2 AND r.ended_at > ?3 AND r.mode <> 'Approval'
		GROUP BY n.type`, t.run, from, t.now-guardWindow); err != nil {
		return err
	}
	holds, err := collect(ctx, t, scanKey, `SELECT key FROM im_holds h WHERE connector_key = ? AND (state = 'Open' OR EXISTS (SELECT 1 FROM im_held d WHERE d.hold_key = h.key)) ORDER BY key`, from)
	if err != nil {
		return err
	}
	for _, old := range holds {
		var hold int64
		if _, err := first(ctx, t, []any{&hold}, `
			INSERT INTO im_holds (connector_key, run_key, state, opened_at, changed_at, expires_at, decided_by, decided_at)
			SELECT ?, ?, state, opened_at, changed_at, expires_at, decided_by, decided_at FROM im_holds WHERE key = ? RETURNING key`,
			t.conn, t.run, old); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `
			INSERT INTO im_held (hold_key, key, member_key, type, reason, stamp, run_key)
			SELECT ?, k.new_key, coalesce(m.new_key, 0), d.type, d.reason, d.stamp, ?
			FROM im_held d JOIN im_shadow_keys k ON k.old_key = d.key LEFT JOIN im_shadow_keys m ON m.old_key = d.member_key
			WHERE d.hold_key = ?`, hold, t.run, old); err != nil {
			return err
		}
	}
	return nil
}

func scanKey(rows *sql.Rows) (key int64, err error) {
	err = rows.Scan(&key)
	return key, err
}

// DropShadow implements [Operator]. A shadow that is gone already is no error.
func (s *SQLite) DropShadow(ctx context.Context, name string) error {
	return s.write(ctx, func(t *tx) error {
		var key int64
		var shadow bool
		found, err := first(ctx, t, []any{&key, &shadow}, `SELECT key, shadow_of IS NOT NULL FROM im_connectors WHERE name = ?`, name)
		if err != nil || !found {
			return err
		}
		if !shadow {
			return &ConflictError{fmt.Sprintf("connector %q is no copy of a dry run: delete it with connector delete", name)}
		}
		return t.dropShadow(ctx, key)
	})
}

// dropShadows drops the shadows of a connector: all, or those whose run is dead or
// never came.
func (t *tx) dropShadows(ctx context.Context, of int64, all bool) error {
	keys, err := collect(ctx, t, scanKey, `SELECT c.key FROM im_connectors c WHERE c.shadow_of = ?1 AND (?2 OR CASE WHEN c.lease_run IS NOT NULL
			THEN c.lease_until + c.lease_ttl <= ?3
			ELSE max(c.created_at, coalesce((SELECT max(r.ended_at) FROM im_runs r WHERE r.connector_key = c.key), 0)) + ?4 <= ?3 END)`,
		of, all, t.now, shadowGrace)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := t.dropShadow(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) dropShadow(ctx context.Context, conn int64) error {
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
	const ids = ` IN (SELECT key FROM im_ids WHERE connector_key = ?)`
	for _, q := range []string{
		`DELETE FROM im_held WHERE hold_key IN (SELECT key FROM im_holds WHERE connector_key = ?)`,
		`DELETE FROM im_holds WHERE connector_key = ?`,
		`DELETE FROM im_runs WHERE connector_key = ?`,
		`DELETE FROM im_changes WHERE connector_key = ?`,
		`DELETE FROM im_dirty WHERE connector_key = ?`,
		`DELETE FROM im_group_reads WHERE group_key` + ids,
		`DELETE FROM im_member_groups WHERE member_key` + ids,
		`DELETE FROM im_edges WHERE group_key` + ids,
		`DELETE FROM im_objects WHERE key` + ids,
		`DELETE FROM im_ids WHERE connector_key = ?`,
		`DELETE FROM im_watermarks WHERE connector_key = ?`,
		`DELETE FROM im_connectors WHERE key = ?`,
	} {
		if _, err := t.exec(ctx, q, conn); err != nil {
			return err
		}
	}
	return nil
}
