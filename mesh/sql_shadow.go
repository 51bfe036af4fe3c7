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
// shadow. Everything is copied by integer keys; the keys of the copies have the order of
// the originals, so every table is written from its front to its back.
//
// The copy is one transaction. A run of the original may write all the while, and what
// the tables say of one another (im_dirty of im_member_groups, the hold of the edges) holds
// only between its transactions.
func (s *engine) Shadow(ctx context.Context, connector, runID string) (name string, err error) {
	if runID == "" {
		return "", &ConflictError{"a shadow needs the id of its run"}
	}
	name = ShadowName(connector, runID)
	if err := s.write(ctx, func(t *tx) error {
		if err := t.lock(ctx, `name = ?`, connector); err != nil {
			return err
		}
		from, there, err := t.shadowSource(ctx, connector, name)
		if err != nil || there {
			return err
		}
		return t.condemnShadows(ctx, from, false)
	}); err != nil {
		return "", err
	}
	if err := s.dropCondemned(ctx); err != nil {
		return "", err
	}
	err = s.submit(&writeCall{ctx: ctx, alone: true, copies: true, fn: func(t *tx) error {
		from, there, err := t.shadowSource(ctx, connector, name)
		if err != nil || there {
			return err
		}
		return t.copyConnector(ctx, from, name)
	}})
	if err != nil {
		return "", err
	}
	return name, nil
}

// shadowSource is the connector to be copied. there says that its copy is there already.
func (t *tx) shadowSource(ctx context.Context, connector, name string) (from int64, there bool, err error) {
	var shadow bool
	found, err := first(ctx, t, []any{&from, &shadow, &t.now, &there}, `
		SELECT key, shadow_of IS NOT NULL, `+sqlNow+`, EXISTS (SELECT 1 FROM im_connectors WHERE name = ?)
		FROM im_connectors WHERE name = ? AND deleted_at IS NULL`, name, connector)
	switch {
	case err != nil:
		return 0, false, err
	case !found:
		return 0, false, &NotFoundError{"connector", connector}
	case shadow:
		return 0, false, &ConflictError{fmt.Sprintf("%q is the copy of a dry run: it has no copies of its own", connector)}
	}
	return from, there, nil
}

// copyConnector makes the shadow, which becomes t.conn.
func (t *tx) copyConnector(ctx context.Context, from int64, name string) error {
	if _, err := first(ctx, t, []any{&t.conn}, `
		INSERT INTO im_connectors (name, type, config_json, auth_json, created_at, updated_at, epoch, settled_scope, read_as, restored_at, unhealed, shadow_of)
		SELECT ?, type, config_json, auth_json, ?, updated_at, ?, settled_scope, read_as, restored_at, unhealed, key FROM im_connectors WHERE key = ?
		RETURNING key`, name, t.now, rand.Text(), from); err != nil {
		return err
	}
	for _, q := range []string{
		`INSERT INTO im_watermarks (connector_key, watermark, updated_at, updated_by)
			SELECT ?2, watermark, updated_at, updated_by FROM im_watermarks WHERE connector_key = ?1`,
		t.store.db.shadowKeys(),
		`INSERT OR IGNORE INTO im_dirty (connector_key, stage, side, key)
			SELECT ?2, 0, d.side, k.new_key FROM im_dirty d CROSS JOIN im_shadow_keys k ON k.old_key = d.key WHERE d.connector_key = ?1`,
		`UPDATE im_connectors SET everyone_key = (SELECT k.new_key FROM im_connectors c JOIN im_shadow_keys k ON k.old_key = c.everyone_key WHERE c.key = ?1)
			WHERE key = ?2`,
	} {
		if _, err := t.exec(ctx, q, from, t.conn); err != nil {
			return err
		}
	}
	if err := t.copyRows(ctx); err != nil {
		return err
	}
	if err := t.copyGuards(ctx, from, name); err != nil {
		return err
	}
	_, err := t.exec(ctx, `DELETE FROM im_shadow_keys`)
	return err
}

// copyRows copies what belongs to the ids, for some of them at a time: a statement that
// reads the table it writes keeps its whole result in memory first.
func (t *tx) copyRows(ctx context.Context) error {
	const some = `FROM im_shadow_keys k CROSS JOIN `
	const window = ` WHERE k.old_key BETWEEN ?1 AND ?2 AND ?3 = ?3`
	for low := int64(0); ; {
		var high sql.NullInt64
		if _, err := first(ctx, t, []any{&high}, `
			SELECT max(k.old_key) FROM (SELECT old_key FROM im_shadow_keys WHERE old_key >= ? ORDER BY old_key LIMIT ?) k`, low, t.store.copyChunk); err != nil || !high.Valid {
			return err
		}
		for _, q := range []string{
			`INSERT INTO im_ids (key, connector_key, type, okta_id)
				SELECT k.new_key, ?3, i.type, i.okta_id ` + some + `im_ids i ON i.key = k.old_key` + window,
			`INSERT INTO im_objects (key, connector_key, type, external_id, external_fold, wants, attributes, hash, stamp, state, reason, created_at, updated_at)
				SELECT k.new_key, ?3, o.type, o.external_id, o.external_fold, o.wants, o.attributes, o.hash, o.stamp, o.state, o.reason, o.created_at, o.updated_at ` +
				some + `im_objects o ON o.key = k.old_key` + window,
			`INSERT INTO im_edges (group_key, member_key, listed, deprovisioned, live, reason)
				SELECT k.new_key, m.new_key, e.listed, e.deprovisioned, e.live, e.reason ` +
				some + `im_edges e ON e.group_key = k.old_key CROSS JOIN im_shadow_keys m ON m.old_key = e.member_key` + window,
			`INSERT INTO im_member_groups (member_key, group_key)
				SELECT k.new_key, g.new_key ` +
				some + `im_member_groups e ON e.member_key = k.old_key CROSS JOIN im_shadow_keys g ON g.old_key = e.group_key` + window,
			`INSERT INTO im_group_reads (group_key, stamp, read_at, reads)
				SELECT k.new_key, r.stamp, r.read_at, r.reads ` + some + `im_group_reads r ON r.group_key = k.old_key` + window,
		} {
			if _, err := t.exec(ctx, q, low, high.Int64, t.conn); err != nil {
				return err
			}
		}
		low = high.Int64 + 1
	}
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

func scanKey(rows *rowSet) (key int64, err error) {
	err = rows.Scan(&key)
	return key, err
}
