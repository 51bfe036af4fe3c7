package mesh

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Commit implements [Writer].
func (s *engine) Commit(ctx context.Context, f Fence, c CommitRun) (run *Run, err error) {
	err = s.submit(&writeCall{ctx: ctx, connector: f.Connector, alone: true, fn: func(t *tx) error {
		if err := t.enter(ctx, f); err != nil {
			var fenced *FencedError
			if !errors.As(err, &fenced) {
				return err
			}
			// The answer to an earlier Commit may have been lost.
			if again, aerr := t.committedBefore(ctx, f); aerr != nil || !again {
				return errors.Join(aerr, err)
			}
			run, err = runByID(ctx, t, f.RunID)
			return err
		}
		if err := t.commit(ctx, c); err != nil {
			return err
		}
		run, err = runByID(ctx, t, f.RunID)
		return err
	}})
	if err != nil {
		return nil, err
	}
	return run, nil
}

func (t *tx) commit(ctx context.Context, c CommitRun) error {
	outcome, err := t.commitHold(ctx, c)
	if err != nil {
		return err
	}
	if err := t.noteWaiting(ctx); err != nil {
		return err
	}
	if err := t.moveWatermark(ctx, c); err != nil {
		return err
	}
	if err := t.decideEveryone(ctx, c); err != nil {
		return err
	}
	if err := t.forgetGoneReads(ctx); err != nil {
		return err
	}
	if err := t.healed(ctx); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE im_connectors SET read_as = ?1 WHERE key = ?2 AND ?1 <> ''`, c.ReadAs, t.conn); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `UPDATE im_runs SET committed = 1 WHERE key = ?`, t.run); err != nil {
		return err
	}
	return t.endRun(ctx, outcome, "")
}

func (t *tx) committedBefore(ctx context.Context, f Fence) (bool, error) {
	var n int
	_, err := first(ctx, t, []any{&n}, `
		SELECT count(*) FROM im_runs r JOIN im_connectors c ON c.key = r.connector_key
		WHERE r.run_id = ? AND c.name = ? AND r.token = ? AND r.committed = 1`, f.RunID, f.Connector, f.Token)
	return n > 0, err
}

// endRun completes the run row of t.run, drops its working rows and releases its
// lease, if it has it.
func (t *tx) endRun(ctx context.Context, outcome Outcome, message string) error {
	if err := t.countEnd(ctx, t.run, outcome); err != nil {
		return err
	}
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
func (s *engine) End(ctx context.Context, runID string, outcome Outcome, message string) (run *Run, err error) {
	if outcome == "" {
		return nil, &ConflictError{"a run ends with an outcome"}
	}
	var missing error // its waiting is forgotten all the same
	err = s.write(ctx, func(t *tx) error {
		missing = nil
		if err := t.lock(ctx, `waiting_run = ? OR key = (SELECT connector_key FROM im_runs WHERE run_id = ?)`, runID, runID); err != nil {
			return err
		}
		if err := t.stopWaiting(ctx, runID); err != nil {
			return err
		}
		var open bool
		found, err := first(ctx, t, []any{&t.run, &t.conn, &open, &t.now},
			`SELECT key, connector_key, ended_at IS NULL OR superseded = 1, `+sqlNow+` FROM im_runs WHERE run_id = ?`, runID)
		if err != nil {
			return err
		}
		if !found {
			missing = &NotFoundError{"run", runID}
			return nil
		}
		if open {
			if err := t.endRun(ctx, outcome, message); err != nil {
				return err
			}
			if err := t.forgetApproval(ctx); err != nil {
				return err
			}
		}
		run, err = runByID(ctx, t, runID)
		return err
	})
	if err := cmp.Or(err, missing); err != nil {
		return nil, err
	}
	return run, nil
}

// Skip implements [Writer].
func (s *engine) Skip(ctx context.Context, b BeginRun, message string) (run *Run, err error) {
	if b.RunID == "" {
		return nil, &ConflictError{"a run needs an id"}
	}
	err = s.write(ctx, func(t *tx) error {
		if _, err := t.lease(ctx, b.Connector); err != nil {
			return err
		}
		if err := t.stopWaiting(ctx, b.RunID); err != nil {
			return err
		}
		started := b.StartedAt
		if started.IsZero() {
			started = fromMillis(t.now)
		}
		fresh, err := t.exec(ctx, `
			INSERT INTO im_runs (run_id, connector_key, mode, workflow_id, namespace, token, note, started_at, watermark)
			VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, (SELECT watermark FROM im_watermarks WHERE connector_key = ?2))
			ON CONFLICT (run_id) DO NOTHING`,
			b.RunID, t.conn, b.Mode, b.WorkflowID, b.Namespace, message, toMillis(started))
		if err != nil {
			return err
		}
		if fresh > 0 {
			if err := t.skipped(ctx, b.RunID); err != nil {
				return err
			}
		}
		if run, err = runByID(ctx, t, b.RunID); err == nil && (run.Outcome != Skipped || run.Connector != b.Connector) {
			err = &ConflictError{fmt.Sprintf("run %s of connector %q has begun: it cannot be skipped", b.RunID, run.Connector)}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}

// skipped ends the row that Skip has just written.
func (t *tx) skipped(ctx context.Context, runID string) error {
	if _, err := first(ctx, t, []any{&t.run}, `SELECT key FROM im_runs WHERE run_id = ?`, runID); err != nil {
		return err
	}
	if err := t.countEnd(ctx, t.run, Skipped); err != nil {
		return err
	}
	_, err := t.exec(ctx, `UPDATE im_runs SET outcome = ?, ended_at = ? WHERE key = ?`, Skipped, t.now, t.run)
	return err
}

const selectRun = `
	SELECT r.key, r.run_id, c.name, r.mode, r.workflow_id, r.namespace, r.outcome, r.error, r.note,
		r.api_calls, r.rate_limit_waits, r.rate_limit_wait_us, r.started_at, r.ended_at, coalesce(r.watermark, '')
	FROM im_runs r JOIN im_connectors c ON c.key = r.connector_key`

// keyedRun is a run with its integer key.
type keyedRun struct {
	Run
	key int64
}

func scanRun(rows *rowSet) (keyedRun, error) {
	var r keyedRun
	var started, waitMicros int64
	var ended sql.NullInt64
	var mark string
	err := rows.Scan(&r.key, &r.RunID, &r.Connector, &r.Mode, &r.WorkflowID, &r.Namespace, &r.Outcome, &r.Error, &r.Note,
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
	_, err = collect(ctx, from, func(rows *rowSet) (_ struct{}, err error) {
		var key int64
		var typ ObjectType
		var c Counts
		err = rows.Scan(&key, &typ, &c.Seen, &c.Added, &c.Updated, &c.Deleted, &c.Unchanged, &c.Held)
		byKey[key][typ] = c
		return struct{}{}, err
	}, `SELECT n.run_key, n.type, n.seen, n.added, n.updated, n.deleted, n.unchanged, n.held
		FROM json_each(?) j CROSS JOIN im_run_counts n ON n.run_key = j.value`, keyList(keys))
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
func (s *engine) Runs(ctx context.Context, connector string, limit int) (all []Run, err error) {
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

// ModeRuns implements [Reader].
func (s *engine) ModeRuns(ctx context.Context, connector, mode string, since time.Time) (all []Run, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		all, err = runs(ctx, from, selectRun+` WHERE r.connector_key = ? AND r.mode = ? AND r.started_at >= ?
			ORDER BY r.started_at DESC, r.key DESC`, conn, mode, toMillis(since))
		return err
	})
	return all, err
}

// Run implements [Reader].
func (s *engine) Run(ctx context.Context, runID string) (run *Run, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		run, err = runByID(ctx, from, runID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return run, nil
}
