package mesh

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

// progress is a row of im_progress.
type progress struct {
	Progress
	key   int64
	owner string
}

func (t *tx) progress(ctx context.Context, stream string) (*progress, error) {
	p := &progress{Progress: Progress{Stream: stream}}
	var date, water int64
	found, err := first(ctx, t,
		[]any{&p.key, &p.owner, &p.Page, &p.Next, &p.Done, &p.Seen, &date, &water, &p.Failures, &p.Queued},
		`SELECT key, owner, page, next, done, seen, first_date, high_water, failures,
			(SELECT coalesce(max(ordinal), 0) FROM im_member_queue WHERE run_key = ?1)
		FROM im_progress WHERE run_key = ?1 AND stream = ?2`, t.run, stream)
	if err != nil || !found {
		return nil, err
	}
	p.FirstDate, p.HighWater = fromMillis(date), fromMillis(water)
	return p, nil
}

// Claim implements [Writer].
func (s *engine) Claim(ctx context.Context, f Fence, stream, owner string) (Progress, error) {
	var got Progress
	err := s.fencedPage(ctx, f, func(t *tx) error {
		if err := t.later(ctx, `
			INSERT INTO im_progress (run_key, stream, owner) VALUES (?, ?, ?)
			ON CONFLICT (run_key, stream) DO UPDATE SET owner = excluded.owner`, t.run, stream, owner); err != nil {
			return err
		}
		p, err := t.progress(ctx, stream)
		if err == nil {
			got = p.Progress
		}
		return err
	})
	return got, err
}

// owned is the stream's progress, if owner is the attempt that claimed it last.
func (t *tx) owned(ctx context.Context, stream, owner string) (*progress, error) {
	p, err := t.progress(ctx, stream)
	if err != nil {
		return nil, err
	}
	if p == nil || p.owner != owner {
		return nil, &FencedError{Connector: t.fence.Connector, RunID: t.fence.RunID, Holder: t.fence.RunID, Stream: stream}
	}
	return p, nil
}

// openPage checks that p is the next page of its stream. recorded says that the
// page was written before, by this attempt or an earlier one.
func (t *tx) openPage(ctx context.Context, p Page) (prog *progress, recorded bool, err error) {
	prog, err = t.owned(ctx, p.Stream, p.Owner)
	switch {
	case err != nil:
		return nil, false, err
	case p.Number < 1:
		return nil, false, &ConflictError{fmt.Sprintf("page %d of %s: pages count from 1", p.Number, p.Stream)}
	case p.Number <= prog.Page:
		return prog, true, nil
	case prog.Done:
		return nil, false, &ConflictError{fmt.Sprintf("page %d of %s: the walk ended with page %d", p.Number, p.Stream, prog.Page)}
	case p.Number > prog.Page+1:
		return nil, false, &ConflictError{fmt.Sprintf("page %d of %s: page %d is not recorded yet", p.Number, p.Stream, prog.Page+1)}
	case !p.Done && p.Next == "":
		return nil, false, &ConflictError{fmt.Sprintf("page %d of %s has neither a next link nor an end", p.Number, p.Stream)}
	}
	return prog, false, nil
}

// closePage moves the progress row past p.
func (t *tx) closePage(ctx context.Context, prog *progress, p Page, rows int, highWater time.Time) error {
	prog.Page, prog.Next, prog.Done, prog.Failures = p.Number, p.Next, p.Done, 0
	prog.Seen += rows
	if p.Done {
		prog.Next = ""
	}
	if p.Number == 1 {
		prog.FirstDate = fromMillis(toMillis(p.Date))
	}
	if highWater.After(prog.HighWater) {
		prog.HighWater = fromMillis(toMillis(highWater))
	}
	if prog.Next != "" {
		hash := sha256.Sum256([]byte(prog.Next))
		fresh, err := t.exec(ctx, `INSERT OR IGNORE INTO im_visited (progress_key, hash) VALUES (?, ?)`, prog.key, hash[:16])
		if err != nil {
			return err
		}
		if fresh == 0 {
			return &LoopError{Stream: p.Stream, Page: p.Number}
		}
	}
	if err := t.later(ctx, `
		UPDATE im_progress SET page = ?, next = ?, done = ?, seen = ?, first_date = ?, high_water = ?, failures = 0 WHERE key = ?`,
		prog.Page, prog.Next, prog.Done, prog.Seen, toMillis(prog.FirstDate), toMillis(prog.HighWater), prog.key); err != nil {
		return err
	}
	return t.addCalls(ctx, p.Calls)
}

// addCalls adds to the run row.
func (t *tx) addCalls(ctx context.Context, c Calls) error {
	if c == (Calls{}) {
		return nil
	}
	return t.later(ctx, `
		UPDATE im_runs SET api_calls = api_calls + ?, rate_limit_waits = rate_limit_waits + ?, rate_limit_wait_us = rate_limit_wait_us + ?
		WHERE key = ?`, c.API, c.Waits, c.Waited.Microseconds(), t.run)
}

// addCounts adds to the run's counts of typ.
func (t *tx) addCounts(ctx context.Context, typ ObjectType, c Counts) error {
	if c == (Counts{}) {
		return nil
	}
	return t.later(ctx, `
		INSERT INTO im_run_counts (run_key, type, seen, added, updated, deleted, unchanged, held) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (run_key, type) DO UPDATE SET seen = im_run_counts.seen + excluded.seen, added = im_run_counts.added + excluded.added,
			updated = im_run_counts.updated + excluded.updated, deleted = im_run_counts.deleted + excluded.deleted,
			unchanged = im_run_counts.unchanged + excluded.unchanged, held = im_run_counts.held + excluded.held`,
		t.run, typ, c.Seen, c.Added, c.Updated, c.Deleted, c.Unchanged, c.Held)
}

// RecordFailure implements [Writer].
func (s *engine) RecordFailure(ctx context.Context, f Fence, stream, owner string, calls Calls) (failures int, err error) {
	err = s.fencedPage(ctx, f, func(t *tx) error {
		p, err := t.owned(ctx, stream, owner)
		if err != nil {
			return err
		}
		failures = p.Failures + 1
		if err := t.later(ctx, `UPDATE im_progress SET failures = ? WHERE key = ?`, failures, p.key); err != nil {
			return err
		}
		return t.addCalls(ctx, calls)
	})
	if err != nil {
		return 0, err
	}
	return failures, nil
}

// RecordCalls implements [Writer].
func (s *engine) RecordCalls(ctx context.Context, f Fence, calls Calls) error {
	return s.fencedPage(ctx, f, func(t *tx) error { return t.addCalls(ctx, calls) })
}

// dropWorkingRows removes what a run needed for itself. The edges that an uncommitted
// run kept back are in no hold: the next run derives them again.
func (t *tx) dropWorkingRows(ctx context.Context, run int64) error {
	if err := t.redoHeld(ctx, run); err != nil {
		return err
	}
	for _, q := range []string{
		`INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
			SELECT DISTINCT r.connector_key, 0, 'g', s.group_key
			FROM im_runs r CROSS JOIN im_staged_edges s ON s.run_key = r.key WHERE r.key = ? AND r.committed = 0`,
		`INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key)
			SELECT DISTINCT r.connector_key, 0, CASE s.type WHEN 'User' THEN 'm' ELSE 'g' END, s.key
			FROM im_runs r CROSS JOIN im_staged s ON s.run_key = r.key AND s.kind = 'held' WHERE r.key = ? AND r.committed = 0`,
		`DELETE FROM im_visited WHERE progress_key IN (SELECT key FROM im_progress WHERE run_key = ?)`,
		`DELETE FROM im_seen_edges WHERE progress_key IN (SELECT key FROM im_progress WHERE run_key = ?)`,
		`DELETE FROM im_progress WHERE run_key = ?`,
		`DELETE FROM im_seen WHERE run_key = ?`,
		`DELETE FROM im_changed WHERE run_key = ?`,
		`DELETE FROM im_member_queue WHERE run_key = ?`,
		`DELETE FROM im_staged WHERE run_key = ?`,
		`DELETE FROM im_staged_edges WHERE run_key = ?`,
	} {
		if err := t.later(ctx, q, run); err != nil {
			return err
		}
	}
	return nil
}
