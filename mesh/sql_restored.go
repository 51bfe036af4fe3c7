package mesh

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"time"
)

// tokensLost is how many takings of a lease a backup may not know of. The next token is
// beyond all of theirs, so that none is given to two runs.
const tokensLost = 1_000_000

// Restored implements [Restores].
func (s *engine) Restored(ctx context.Context, r Restore) (all []Restoration, err error) {
	err = s.write(ctx, func(t *tx) error {
		all = []Restoration{}
		where, args := `shadow_of IS NULL`, []any(nil)
		if r.Connector != "" {
			where, args = where+` AND name = ?`, []any{r.Connector}
		}
		if err := t.lock(ctx, where, args...); err != nil {
			return err
		}
		if _, err := first(ctx, t, []any{&t.now}, `SELECT `+sqlNow); err != nil {
			return err
		}
		keys, err := collect(ctx, t, scanKey, `SELECT key FROM im_connectors WHERE `+where+` ORDER BY name`, args...)
		if err != nil {
			return err
		}
		for _, t.conn = range keys {
			one, err := t.restored(ctx, r)
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		if len(all) == 0 && r.Connector != "" {
			return &NotFoundError{"connector", r.Connector}
		}
		return nil
	})
	if err != nil || r.DryRun {
		return all, err
	}
	_ = s.dropCondemned(ctx) // the next dry run drops what is left of its copies
	return all, nil
}

// RestoredAt implements [Restores].
func (s *engine) RestoredAt(ctx context.Context, connector string) (at time.Time, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		var restored int64
		found, err := first(ctx, from, []any{&restored}, `SELECT coalesce(restored_at, 0) FROM im_connectors WHERE name = ?`, connector)
		if err == nil && !found {
			err = &NotFoundError{"connector", connector}
		}
		at = fromMillis(restored)
		return err
	})
	return at, err
}

// restored begins a new epoch for t.conn.
func (t *tx) restored(ctx context.Context, r Restore) (Restoration, error) {
	one, err := t.restoration(ctx)
	if err != nil || r.DryRun {
		return one, err
	}
	for _, run := range one.EndedRuns {
		if err := t.supersede(ctx, run, "the database was restored from a backup that was taken during this run"); err != nil {
			return one, err
		}
	}
	if err := t.condemnShadows(ctx, t.conn, true); err != nil {
		return one, err
	}
	if !one.Deleted {
		if err := t.storeWatermark(ctx, Watermark{}, "restored by "+r.By); err != nil {
			return one, err
		}
	}
	one.Epoch = rand.Text()
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{`UPDATE im_holds SET decided_by = '', decided_at = NULL WHERE connector_key = ? AND state = 'Open'`, []any{t.conn}},
		// Whatever ended before the backup was told, or is no news; whoever had a run in hand
		// may know runs by keys that are given again.
		{`UPDATE im_followers SET place = (SELECT max(r.key) FROM im_runs r WHERE r.connector_key = ?1), owner = '', due_at = 0, attempts = 0
			WHERE connector_key = ?1 AND EXISTS (SELECT 1 FROM im_runs r WHERE r.connector_key = ?1)`, []any{t.conn}},
		{`UPDATE im_readers SET epoch = ?2 WHERE connector_key = ?1 AND epoch = ''`, []any{t.conn, one.OldEpoch}},
		{`UPDATE im_connectors SET epoch = ?2, lease_run = NULL, lease_until = 0, lease_token = lease_token + ?3,
			waiting_run = NULL, waiting_until = 0, restored_at = ?4, unhealed = 1 WHERE key = ?1`, []any{t.conn, one.Epoch, tokensLost, t.now}},
	} {
		if _, err := t.exec(ctx, step.sql, step.args...); err != nil {
			return one, err
		}
	}
	return one, nil
}

// restoration looks at what a restore means for t.conn.
func (t *tx) restoration(ctx context.Context) (one Restoration, err error) {
	var newest sql.NullInt64
	if _, err := first(ctx, t, []any{&one.Connector, &one.Deleted, &one.OldEpoch, &one.Last, &newest, &one.Watermark, &one.Hold}, `
		SELECT c.name, c.deleted_at IS NOT NULL, c.epoch, c.seq, (SELECT max(r.started_at) FROM im_runs r WHERE r.connector_key = c.key),
			coalesce((SELECT w.watermark FROM im_watermarks w WHERE w.connector_key = c.key), ''),
			coalesce((SELECT r.run_id FROM im_holds h JOIN im_runs r ON r.key = h.run_key WHERE h.connector_key = c.key AND h.state = 'Open'), '')
		FROM im_connectors c WHERE c.key = ?`, t.conn); err != nil {
		return one, err
	}
	if newest.Valid {
		at := fromMillis(newest.Int64)
		one.NewestRun = &at
	}
	one.EndedRuns, err = collect(ctx, t, scanText, `SELECT run_id FROM im_runs WHERE connector_key = ? AND ended_at IS NULL ORDER BY key`, t.conn)
	if err != nil {
		return one, err
	}
	one.Readers, err = collect(ctx, t, scanText, `SELECT name FROM im_readers WHERE connector_key = ? ORDER BY name`, t.conn)
	one.EndedRuns, one.Readers = append([]string{}, one.EndedRuns...), append([]string{}, one.Readers...)
	return one, err
}

func scanText(rows *rowSet) (text string, err error) {
	err = rows.Scan(&text)
	return text, err
}

// healed notes that a Full has read what a restored database may lack.
func (t *tx) healed(ctx context.Context) error {
	_, err := t.exec(ctx, `UPDATE im_connectors SET unhealed = 0 WHERE key = ?1 AND unhealed <> 0
		AND EXISTS (SELECT 1 FROM im_runs r WHERE r.key = ?2 AND lower(r.mode) = 'full')`, t.conn, t.run)
	return err
}

// undecided refuses to approve deletes that a restored database holds, until a Full has
// decided anew: what was answered or changed after the backup is not known.
func (t *tx) undecided(ctx context.Context, connector string) error {
	var n int
	_, err := first(ctx, t, []any{&n}, `SELECT count(*) FROM im_connectors WHERE key = ? AND unhealed <> 0`, t.conn)
	if n == 0 {
		return err
	}
	return cmp.Or(err, error(&ConflictError{"the database was restored from a backup, and what was decided about these deletes since is lost: run a Full of connector " +
		connector + ", which decides anew what is held, then look at them again"}))
}
