package mesh

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// place is where a follower stands with a connector.
type place struct {
	conn, at int64 // at: im_runs.key of the last run that it passed
	attempts int
	known    bool // it has a row
}

// due selects the connectors with a run that somebody may be told of: the first one
// behind the follower's place has ended, and no owner has it in hand.
const due = `
	SELECT c.key, coalesce(f.place, 0), coalesce(f.attempts, 0), f.place IS NOT NULL
	FROM im_connectors c LEFT JOIN im_followers f ON f.connector_key = c.key AND f.follower = ?1
	WHERE c.shadow_of IS NULL AND coalesce(f.due_at, 0) <= ` + sqlNow + `
		AND (SELECT r.ended_at FROM im_runs r WHERE r.connector_key = c.key AND r.key > coalesce(f.place, 0) ORDER BY r.key LIMIT 1) IS NOT NULL
	ORDER BY c.key`

func scanPlace(rows *rowSet) (p place, err error) {
	err = rows.Scan(&p.conn, &p.at, &p.attempts, &p.known)
	return p, err
}

// ClaimEnded implements [Observer]. When nothing is due, it writes nothing.
func (s *engine) ClaimEnded(ctx context.Context, f Follow) (claimed *EndedRun, err error) {
	if waiting, err := collect(ctx, s.reader, scanPlace, due, f.Follower); err != nil || len(waiting) == 0 {
		return nil, err
	}
	err = s.write(ctx, func(t *tx) error {
		claimed = nil
		if _, err := first(ctx, t, []any{&t.now}, `SELECT `+sqlNow); err != nil {
			return err
		}
		places, err := collect(ctx, t, scanPlace, due, f.Follower)
		for _, p := range places {
			if claimed, err = t.claimEnded(ctx, f, p); err != nil || claimed != nil {
				return err
			}
		}
		return err
	})
	return claimed, err
}

// claimEnded takes the run behind p, nil when all that is left is too old.
func (t *tx) claimEnded(ctx context.Context, f Follow, p place) (*EndedRun, error) {
	old, was := int64(0), p.at
	// A Skipped run may have ended before the one that it gave way to.
	if _, err := first(ctx, t, []any{&old}, `
		SELECT coalesce(max(key), 0) FROM im_runs WHERE connector_key = ?1 AND key > ?2 AND ended_at < ?3 AND outcome <> ?4`,
		p.conn, p.at, t.now-f.MaxAge.Milliseconds(), Skipped); err != nil {
		return nil, err
	}
	if old > p.at {
		p.at, p.attempts = old, 0
	}
	e := &EndedRun{follow: f, conn: p.conn, Attempts: p.attempts}
	var ended sql.NullInt64
	found, err := first(ctx, t, []any{&e.key, &ended},
		`SELECT key, ended_at FROM im_runs WHERE connector_key = ?1 AND key > ?2 ORDER BY key LIMIT 1`, p.conn, p.at)
	if err != nil {
		return nil, err
	}
	owner, until := f.Owner, t.now+f.TTL.Milliseconds()
	if !found || !ended.Valid {
		owner, until, e = "", 0, nil // only its place moves
	}
	n, err := t.exec(ctx, `
		INSERT INTO im_followers (follower, connector_key, place, owner, due_at, attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT (follower, connector_key) DO UPDATE SET place = excluded.place, owner = excluded.owner,
			due_at = excluded.due_at, attempts = excluded.attempts
		WHERE im_followers.due_at <= ?7 AND im_followers.place = ?8`, f.Follower, p.conn, p.at, owner, until, p.attempts, t.now, was)
	if err != nil || e == nil || n == 0 { // 0: another owner was faster
		return nil, err
	}
	told, err := runs(ctx, t, selectRun+` WHERE r.key = ?`, e.key)
	if err != nil {
		return nil, err
	}
	e.Run = told[0]
	e.FailedBefore, err = t.failedBefore(ctx, p.conn, e.key)
	return e, err
}

// failedBefore counts the failed runs before the run key, back to the last good one.
func (t *tx) failedBefore(ctx context.Context, conn, key int64) (n int, err error) {
	var good int64
	if _, err := first(ctx, t, []any{&good}, `
		SELECT key FROM im_runs WHERE connector_key = ?1 AND key < ?2 AND outcome IN (?3, ?4) ORDER BY key DESC LIMIT 1`,
		conn, key, Completed, HeldDeletes); err != nil {
		return 0, err
	}
	_, err = first(ctx, t, []any{&n}, `SELECT count(*) FROM im_runs WHERE connector_key = ?1 AND key > ?2 AND key < ?3 AND outcome = ?4`,
		conn, good, key, Failed)
	return n, err
}

// PassEnded implements [Observer].
func (s *engine) PassEnded(ctx context.Context, e *EndedRun) error {
	return s.leave(ctx, e, `place = ?4, due_at = 0, attempts = 0`, e.key)
}

// PutBackEnded implements [Observer].
func (s *engine) PutBackEnded(ctx context.Context, e *EndedRun, wait time.Duration) error {
	return s.leave(ctx, e, `due_at = `+sqlNow+` + ?4, attempts = attempts + 1`, wait.Milliseconds())
}

// leave ends a claim; set says how the follower's row changes.
func (s *engine) leave(ctx context.Context, e *EndedRun, set string, value int64) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(ctx, `UPDATE im_followers SET owner = '', `+set+` WHERE follower = ?1 AND connector_key = ?2 AND owner = ?3`,
			e.follow.Follower, e.conn, e.follow.Owner, value)
		if err == nil && n == 0 {
			err = &ConflictError{fmt.Sprintf("%s took longer than %s to tell of run %s: another process does it", e.follow.Follower, e.follow.TTL, e.Run.RunID)}
		}
		return err
	})
}
