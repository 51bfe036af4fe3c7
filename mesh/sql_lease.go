package mesh

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"time"
)

// enter checks the fence, renews it, and fills the transaction's keys. A lease
// that has run out but that nobody took still holds: its token is the newest.
//
// In a shared transaction the first page of a run does it for the others: nobody else can
// take a lease meanwhile, and what the first renewed is not undone with a later page.
func (t *tx) enter(ctx context.Context, f Fence) error {
	t.fence = f
	if e, ok := t.entered[f]; ok {
		t.entry = e
		t.remember()
		return nil
	}
	if err := t.lock(ctx, `name = ?`, f.Connector); err != nil {
		return err
	}
	var epoch string
	var there bool
	known := t.store.lineages.get(f.Connector)
	found, err := first(ctx, t, []any{&t.conn, &t.run, &t.settling, &t.now, &epoch, &t.seq, &there}, `
		UPDATE im_connectors SET lease_until = max(lease_until, `+sqlNow+` + lease_ttl)
		WHERE name = ?1 AND lease_run = ?2 AND lease_token = ?3
		RETURNING key, (SELECT r.key FROM im_runs r WHERE r.run_id = lease_run),
			(SELECT r.settling FROM im_runs r WHERE r.run_id = lease_run), `+sqlNow+`, epoch, seq,
			?4 = 0 OR EXISTS (SELECT 1 FROM im_ids i WHERE i.key = ?4 AND i.connector_key = im_connectors.key AND i.okta_id = ?5)`,
		f.Connector, f.RunID, f.Token, known.key, known.id)
	if err != nil {
		return err
	}
	if !found {
		return t.fencedError(ctx, f)
	}
	if err := t.descends(known, epoch, there); err != nil {
		return err
	}
	t.remember()
	return nil
}

// lock keeps everybody else from writing for the connectors that where selects, until the
// transaction ends. It comes first: what was read before may be stale.
func (t *tx) lock(ctx context.Context, where string, args ...any) error {
	return t.store.db.lock(ctx, t, where, args...)
}

func (t *tx) fencedError(ctx context.Context, f Fence) error {
	var holder sql.NullString
	if _, err := first(ctx, t, []any{&holder}, `SELECT lease_run FROM im_connectors WHERE name = ?`, f.Connector); err != nil {
		return err
	}
	if lost, err := t.forgotten(ctx, f.Connector, f.RunID); err != nil || lost {
		return cmp.Or(err, error(&RestoredError{Connector: f.Connector, RunID: f.RunID}))
	}
	return &FencedError{Connector: f.Connector, RunID: f.RunID, Holder: holder.String}
}

// Begin implements [Writer].
func (s *engine) Begin(ctx context.Context, b BeginRun) (Fence, error) {
	fence := Fence{Connector: b.Connector, RunID: b.RunID}
	ttl := b.LeaseTTL.Milliseconds()
	if b.RunID == "" || ttl <= 0 {
		return Fence{}, &ConflictError{"a run needs an id and a lease of at least a millisecond"}
	}
	var held *LeaseHeldError // an answer, not a failure: that the run waits is written
	err := s.write(ctx, func(t *tx) error {
		l, err := t.lease(ctx, b.Connector)
		if err != nil {
			return err
		}
		if held, err = t.giveWay(ctx, b, l); held != nil || err != nil {
			return err
		}
		again, err := t.begunBefore(ctx, b, l)
		if err != nil {
			return err
		}
		if again {
			fence.Token = l.token
			if err := t.later(ctx, `UPDATE im_runs SET mode = ?, note = ? WHERE run_id = ?`, b.Mode, b.Note, b.RunID); err != nil {
				return err
			}
			return t.later(ctx, `UPDATE im_connectors SET lease_until = max(lease_until, ?), lease_ttl = ? WHERE key = ?`, t.now+ttl, ttl, t.conn)
		}
		if l.run != "" {
			why := "its lease ran out"
			if l.run == b.Closed {
				why = "its workflow was closed in Temporal"
			}
			if err := t.supersede(ctx, l.run, why+" and run "+b.RunID+" took over"); err != nil {
				return err
			}
		}
		fence.Token = l.token + 1
		return t.take(ctx, b, fence.Token, ttl)
	})
	switch {
	case err != nil:
		return Fence{}, err
	case held != nil:
		return Fence{}, held
	}
	return fence, nil
}

// lease is the state of a connector's lease.
type lease struct {
	run          string // "" when free
	token        int64
	until        int64
	waiting      string // the run that waits for it, "" when none does
	waitingUntil int64
}

func (t *tx) lease(ctx context.Context, connector string) (lease, error) {
	var l lease
	var run, waiting sql.NullString
	if err := t.lock(ctx, `name = ?`, connector); err != nil {
		return l, err
	}
	found, err := first(ctx, t, []any{&t.conn, &run, &l.token, &l.until, &waiting, &l.waitingUntil, &t.now}, `
		SELECT key, lease_run, lease_token, lease_until, waiting_run, waiting_until, `+sqlNow+`
		FROM im_connectors WHERE name = ? AND deleted_at IS NULL`, connector)
	if err == nil && !found {
		err = &NotFoundError{"connector", connector}
	}
	l.run, l.waiting = run.String, waiting.String
	return l, err
}

// giveWay says whom the run has to leave the connector to, nil when it may have it.
// A run that waits is noted as the next one unless another waits already; whoever
// stops asking is forgotten when its time runs out.
func (t *tx) giveWay(ctx context.Context, b BeginRun, l lease) (*LeaseHeldError, error) {
	if l.run == b.RunID {
		return nil, nil // a retry of the holder
	}
	holds := l.run != "" && l.run != b.Closed && l.until > t.now
	waits := l.waiting != "" && l.waiting != b.RunID && l.waiting != b.Closed && l.waitingUntil > t.now
	if b.Wait && !waits && holds {
		if err := t.later(ctx, `UPDATE im_connectors SET waiting_run = ?, waiting_until = ? WHERE key = ?`,
			b.RunID, t.now+b.LeaseTTL.Milliseconds(), t.conn); err != nil {
			return nil, err
		}
	}
	switch {
	case waits && (!b.Wait || !holds):
		return &LeaseHeldError{Connector: b.Connector, RunID: l.waiting, Waiting: true, Until: fromMillis(l.waitingUntil)}, nil
	case holds:
		held := &LeaseHeldError{Connector: b.Connector, RunID: l.run, Until: fromMillis(l.until)}
		_, err := first(ctx, t, []any{&held.WorkflowID, &held.Namespace}, `SELECT workflow_id, namespace FROM im_runs WHERE run_id = ?`, l.run)
		return held, err
	}
	return nil, nil
}

// stopWaiting forgets that the run waits for a lease.
func (t *tx) stopWaiting(ctx context.Context, runID string) error {
	return t.later(ctx, `UPDATE im_connectors SET waiting_run = NULL, waiting_until = 0 WHERE waiting_run = ?`, runID)
}

// begunBefore says whether this run holds the lease already.
func (t *tx) begunBefore(ctx context.Context, b BeginRun, l lease) (bool, error) {
	var conn, token int64
	var ended sql.NullInt64
	found, err := first(ctx, t, []any{&conn, &token, &ended},
		`SELECT connector_key, token, ended_at FROM im_runs WHERE run_id = ?`, b.RunID)
	switch {
	case err != nil || !found:
		return false, err
	case conn != t.conn:
		return false, &ConflictError{fmt.Sprintf("run %s belongs to another connector than %q", b.RunID, b.Connector)}
	case ended.Valid:
		return false, &ConflictError{fmt.Sprintf("run %s of connector %q has ended: start a new run", b.RunID, b.Connector)}
	case l.run != b.RunID || l.token != token:
		return false, &FencedError{Connector: b.Connector, RunID: b.RunID, Holder: l.run}
	}
	return true, nil
}

// take writes the lease and the run row. Whoever is noted as waiting is this run, or
// stopped asking.
func (t *tx) take(ctx context.Context, b BeginRun, token, ttl int64) error {
	if err := t.later(ctx, `UPDATE im_connectors SET lease_run = ?, lease_token = ?, lease_until = ?, lease_ttl = ?,
		waiting_run = NULL, waiting_until = 0 WHERE key = ?`,
		b.RunID, token, t.now+ttl, ttl, t.conn); err != nil {
		return err
	}
	started := b.StartedAt
	if started.IsZero() {
		started = fromMillis(t.now)
	}
	if err := t.later(ctx, `
		INSERT INTO im_runs (run_id, connector_key, mode, workflow_id, namespace, token, note, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		b.RunID, t.conn, b.Mode, b.WorkflowID, b.Namespace, token, b.Note, toMillis(started)); err != nil {
		return err
	}
	// A dead run may have settled half of these: begin with their deletes again.
	return t.redoDirty(ctx)
}

// supersede ends a run that another took the lease from and drops its working rows.
// Its own End may still say how it really ended.
func (t *tx) supersede(ctx context.Context, runID, why string) error {
	var run int64
	found, err := first(ctx, t, []any{&run}, `SELECT key FROM im_runs WHERE run_id = ? AND ended_at IS NULL`, runID)
	if err != nil || !found {
		return err
	}
	if err := t.countEnd(ctx, run, Failed); err != nil {
		return err
	}
	if err := t.later(ctx, `
		UPDATE im_runs SET outcome = ?, error = ?, ended_at = ?, superseded = 1,
			watermark = (SELECT w.watermark FROM im_watermarks w WHERE w.connector_key = im_runs.connector_key)
		WHERE key = ?`, Failed, why, t.now, run); err != nil {
		return err
	}
	return t.dropWorkingRows(ctx, run)
}

// Renew implements [Writer].
func (s *engine) Renew(ctx context.Context, f Fence, ttl time.Duration) error {
	return s.fencedPage(ctx, f, func(t *tx) error {
		return t.later(ctx, `UPDATE im_connectors SET lease_until = max(lease_until, ?) WHERE key = ?`,
			t.now+ttl.Milliseconds(), t.conn)
	})
}

// Holder implements [Reader]. A lease that has run out holds nothing.
func (s *engine) Holder(ctx context.Context, connector string) (runID string, err error) {
	var run sql.NullString
	found, err := first(ctx, s.reader, []any{&run},
		`SELECT CASE WHEN lease_until > `+sqlNow+` THEN lease_run END FROM im_connectors WHERE name = ?`, connector)
	if err == nil && !found {
		err = &NotFoundError{"connector", connector}
	}
	return run.String, err
}
