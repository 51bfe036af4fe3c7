package mesh

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// sqlNow is the database's clock in milliseconds.
const sqlNow = `CAST(round(unixepoch('subsec') * 1000) AS INTEGER)`

// tx is one writing transaction.
type tx struct {
	store *SQLite
	sql   *sql.Tx
	stmts map[string]*sql.Stmt

	afterCommit []func() // what may be remembered once the rows are there

	// Set by enter.
	fence Fence
	conn  int64 // im_connectors.key
	run   int64 // im_runs.key
	now   int64 // the database's clock at the transaction's start

	settling bool // Settle has begun and nothing was written since
}

// write runs fn in one transaction, which is rolled back when fn fails.
func (s *SQLite) write(ctx context.Context, fn func(t *tx) error) (err error) {
	if err := s.prepareWanted(ctx); err != nil {
		return err
	}
	sqlTx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin a mesh transaction: %w", err)
	}
	defer func() {
		if rerr := sqlTx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) && err == nil {
			err = rerr
		}
	}()
	t := &tx{store: s, sql: sqlTx, stmts: map[string]*sql.Stmt{}}
	if err := fn(t); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("commit a mesh transaction: %w", err)
	}
	for _, remember := range t.afterCommit {
		remember()
	}
	return nil
}

// fenced is write for a run: it checks and renews the fence first.
func (s *SQLite) fenced(ctx context.Context, f Fence, fn func(t *tx) error) error {
	return s.write(ctx, func(t *tx) error {
		if err := t.enter(ctx, f); err != nil {
			return err
		}
		return fn(t)
	})
}

// prepareWanted prepares what the last transactions used unprepared. It cannot be
// done inside a transaction, which holds the only connection.
func (s *SQLite) prepareWanted(ctx context.Context) error {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted = map[string]struct{}{} // wanted is ours alone now
	s.mu.Unlock()
	for q := range wanted {
		st, err := s.writer.PrepareContext(ctx, q) //nolint:sqlclosecheck // kept until Close
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			continue // a temporary table of another connection: use it unprepared
		}
		s.mu.Lock()
		if _, dup := s.stmts[q]; dup {
			s.mu.Unlock()
			if err := st.Close(); err != nil {
				return err
			}
			continue
		}
		s.stmts[q] = st
		s.mu.Unlock()
	}
	return nil
}

// stmt returns q prepared for this transaction.
func (t *tx) stmt(ctx context.Context, q string) (*sql.Stmt, error) {
	if st, ok := t.stmts[q]; ok {
		return st, nil
	}
	t.store.mu.Lock()
	kept, ok := t.store.stmts[q]
	if !ok {
		t.store.wanted[q] = struct{}{}
	}
	t.store.mu.Unlock()
	var st *sql.Stmt
	if ok {
		st = t.sql.StmtContext(ctx, kept)
	} else {
		var err error
		if st, err = t.sql.PrepareContext(ctx, q); err != nil {
			return nil, fmt.Errorf("prepare %.80q: %w", q, err)
		}
	}
	t.stmts[q] = st
	return st, nil
}

// exec returns the number of rows that q changed.
func (t *tx) exec(ctx context.Context, q string, args ...any) (int64, error) {
	st, err := t.stmt(ctx, q)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%.80q: %w", q, err)
	}
	return res.RowsAffected()
}

// QueryContext makes tx a [querier].
func (t *tx) QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error) {
	st, err := t.stmt(ctx, q)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// querier is what reads rows: a writing transaction, a reading one, or a pool.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*sql.Rows, error)
}

// collect reads all rows of q.
func collect[T any](ctx context.Context, from querier, scan func(rows *sql.Rows) (T, error), q string, args ...any) (all []T, err error) {
	rows, err := from.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", q, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", q, err)
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// first reads the first row of q into dest and says whether there was one.
func first(ctx context.Context, from querier, dest []any, q string, args ...any) (found bool, err error) {
	rows, err := from.QueryContext(ctx, q, args...)
	if err != nil {
		return false, fmt.Errorf("%.80q: %w", q, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return false, rows.Err()
	}
	if err := rows.Scan(dest...); err != nil {
		return false, fmt.Errorf("%.80q: %w", q, err)
	}
	return true, nil
}

// jsonArg is a list as a parameter for json_each.
func jsonArg[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil // a nil slice would be null, which json_each takes for one row
	}
	b, err := json.Marshal(list)
	return string(b), err
}

// toMillis is a time as it is stored; 0 for the zero time.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
