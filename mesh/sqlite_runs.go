package mesh

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"
)

// Commit implements [Writer].
func (s *SQLite) Commit(ctx context.Context, f Fence, outcome Outcome, w Watermark) (run *Run, err error) {
	if outcome == "" {
		return nil, &ConflictError{"a run is committed with an outcome"}
	}
	err = s.write(ctx, func(t *tx) error {
		if err := t.enter(ctx, f); err != nil {
			var fenced *FencedError
			if !errors.As(err, &fenced) {
				return err
			}
			// The answer to an earlier Commit may have been lost.
			if again, aerr := t.committedBefore(ctx, f, outcome); aerr != nil || !again {
				return errors.Join(aerr, err)
			}
			run, err = runByID(ctx, t, f.RunID)
			return err
		}
		if err := t.moveWatermark(ctx, w); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE im_runs SET committed = 1 WHERE key = ?`, t.run); err != nil {
			return err
		}
		if err := t.endRun(ctx, outcome, ""); err != nil {
			return err
		}
		run, err = runByID(ctx, t, f.RunID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

func (t *tx) committedBefore(ctx context.Context, f Fence, outcome Outcome) (bool, error) {
	var n int
	_, err := first(ctx, t, []any{&n}, `
		SELECT count(*) FROM im_runs r JOIN im_connectors c ON c.key = r.connector_key
		WHERE r.run_id = ? AND c.name = ? AND r.token = ? AND r.committed = 1 AND r.outcome = ?`, f.RunID, f.Connector, f.Token, outcome)
	return n > 0, err
}

// moveWatermark merges w into the stored watermark: a nil mark keeps the stored
// key, no mark moves backwards, and malformed text is replaced.
func (t *tx) moveWatermark(ctx context.Context, w Watermark) error {
	if w.String() == "" {
		return nil
	}
	var text sql.NullString
	if _, err := first(ctx, t, []any{&text}, `SELECT watermark FROM im_watermarks WHERE connector_key = ?`, t.conn); err != nil {
		return err
	}
	stored, err := ParseWatermark(text.String)
	if err != nil {
		stored = Watermark{} // the run did not build on it
	}
	var mode string
	if _, err := first(ctx, t, []any{&mode}, `SELECT mode FROM im_runs WHERE key = ?`, t.run); err != nil {
		return err
	}
	merged := Watermark{Users: laterMark(stored.Users, w.Users), Groups: laterMark(stored.Groups, w.Groups)}
	if strings.EqualFold(mode, "full") { // built on no mark, so a wrong one does not outlive it
		merged = Watermark{Users: cmp.Or(w.Users, stored.Users), Groups: cmp.Or(w.Groups, stored.Groups)}
	}
	_, err = t.exec(ctx, `
		INSERT INTO im_watermarks (connector_key, watermark, updated_at, updated_by) VALUES (?, ?, ?, ?)
		ON CONFLICT (connector_key) DO UPDATE SET watermark = excluded.watermark, updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
		t.conn, merged.String(), t.now, t.fence.RunID)
	return err
}

func laterMark(stored, moved *Mark) *Mark {
	if moved == nil || stored != nil && stored.After(moved.Time) {
		return stored
	}
	return moved
}

// endRun completes the run row of t.run, drops its working rows and releases its
// lease, if it has it.
func (t *tx) endRun(ctx context.Context, outcome Outcome, message string) error {
	if _, err := t.exec(ctx, `
		UPDATE im_runs SET outcome = ?1, error = ?2, ended_at = ?3, superseded = 0,
			watermark = (SELECT w.watermark FROM im_watermarks w WHERE w.connector_key = im_runs.connector_key)
		WHERE key = ?4`, outcome, message, t.now, t.run); err != nil {
		return err
	}
	if err := t.dropWorkingRows(ctx, t.run); err != nil {
		return err
	}
	_, err := t.exec(ctx, `
		UPDATE im_connectors SET lease_run = NULL, lease_until = 0
		WHERE key = ?1 AND EXISTS (SELECT 1 FROM im_runs r WHERE r.key = ?2 AND r.run_id = lease_run AND r.token = lease_token)`, t.conn, t.run)
	return err
}

// End implements [Writer]. The first End of a run counts. A run whose lease was
// taken over was ended by the taker; its own End still says how it really ended.
func (s *SQLite) End(ctx context.Context, runID string, outcome Outcome, message string) (run *Run, err error) {
	if outcome == "" {
		return nil, &ConflictError{"a run ends with an outcome"}
	}
	err = s.write(ctx, func(t *tx) error {
		var open bool
		found, err := first(ctx, t, []any{&t.run, &t.conn, &open, &t.now},
			`SELECT key, connector_key, ended_at IS NULL OR superseded = 1, `+sqlNow+` FROM im_runs WHERE run_id = ?`, runID)
		if err != nil {
			return err
		}
		if !found {
			return &NotFoundError{"run", runID}
		}
		if open {
			if err := t.endRun(ctx, outcome, message); err != nil {
				return err
			}
		}
		run, err = runByID(ctx, t, runID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

const selectRun = `
	SELECT r.key, r.run_id, c.name, r.mode, r.workflow_id, r.namespace, r.outcome, r.error,
		r.api_calls, r.rate_limit_waits, r.rate_limit_wait_us, r.started_at, r.ended_at, coalesce(r.watermark, '')
	FROM im_runs r JOIN im_connectors c ON c.key = r.connector_key`

// keyedRun is a run with its integer key.
type keyedRun struct {
	Run
	key int64
}

func scanRun(rows *sql.Rows) (keyedRun, error) {
	var r keyedRun
	var started, waitMicros int64
	var ended sql.NullInt64
	var mark string
	err := rows.Scan(&r.key, &r.RunID, &r.Connector, &r.Mode, &r.WorkflowID, &r.Namespace, &r.Outcome, &r.Error,
		&r.APICalls, &r.RateLimitWaits, &waitMicros, &started, &ended, &mark)
	if err != nil {
		return r, err
	}
	r.RateLimitWaitMs = time.Duration(waitMicros * int64(time.Microsecond)).Milliseconds()
	r.StartedAt = fromMillis(started)
	if ended.Valid {
		at := fromMillis(ended.Int64)
		r.EndedAt = &at
		r.DurationMs = max(0, ended.Int64-started)
	}
	// Text that was malformed when the run ended is no watermark.
	if w, err := ParseWatermark(mark); err == nil && w.String() != "" {
		r.Watermark = &w
	}
	return r, nil
}

// runs reads runs with their counts.
func runs(ctx context.Context, from querier, q string, args ...any) ([]Run, error) {
	found, err := collect(ctx, from, scanRun, q, args...)
	if err != nil {
		return nil, err
	}
	all := make([]Run, len(found))
	byKey := make(map[int64]map[ObjectType]Counts, len(found))
	keys := make([]int64, len(found))
	for i, r := range found {
		counts := map[ObjectType]Counts{}
		for _, typ := range ObjectTypes {
			counts[typ] = Counts{}
		}
		r.Counts = counts
		all[i], keys[i], byKey[r.key] = r.Run, r.key, counts
	}
	list, err := jsonArg(keys)
	if err != nil {
		return nil, err
	}
	_, err = collect(ctx, from, func(rows *sql.Rows) (_ struct{}, err error) {
		var key int64
		var typ ObjectType
		var c Counts
		err = rows.Scan(&key, &typ, &c.Seen, &c.Added, &c.Updated, &c.Deleted, &c.Unchanged)
		byKey[key][typ] = c
		return struct{}{}, err
	}, `SELECT n.run_key, n.type, n.seen, n.added, n.updated, n.deleted, n.unchanged
		FROM json_each(?) j CROSS JOIN im_run_counts n ON n.run_key = j.value`, list)
	return all, err
}

func runByID(ctx context.Context, from querier, runID string) (*Run, error) {
	found, err := runs(ctx, from, selectRun+` WHERE r.run_id = ?`, runID)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &NotFoundError{"run", runID}
	}
	return &found[0], nil
}

// Runs implements [Reader].
func (s *SQLite) Runs(ctx context.Context, connector string, limit int) (all []Run, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		all, err = runs(ctx, from, selectRun+` WHERE r.connector_key = ? ORDER BY r.started_at DESC, r.key DESC LIMIT ?`, conn, sqlLimit(limit))
		return err
	})
	return all, err
}

// Run implements [Reader].
func (s *SQLite) Run(ctx context.Context, runID string) (run *Run, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		run, err = runByID(ctx, from, runID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}
