package mesh

import (
	"context"
	"database/sql"
	"fmt"
)

// sqlNow is the database's clock in milliseconds.
const sqlNow = `CAST(round(unixepoch('subsec') * 1000) AS INTEGER)`

// sqlTx is one transaction of SQL, which several callers may share.
type sqlTx struct {
	store   *engine
	sql     *sql.Tx
	ctx     context.Context // every statement's
	stmts   map[string]*sql.Stmt
	entered map[Fence]entry // by those who have written already
	kept    []keptStatement // goes to the server with the next statement: see later
}

// entry is what enter finds out about a run.
type entry struct {
	conn int64 // im_connectors.key
	run  int64 // im_runs.key
	now  int64 // the database's clock when the first caller entered

	settling bool // Settle has begun and nothing was written since

	lineage uint32 // see lineages
	seq     int64  // the last row of the feed, this transaction's among them
	topKey  int64  // the largest key that was met, and whose it is
	topID   string
}

// tx is what one caller writes: all of it or nothing.
type tx struct {
	*sqlTx
	afterCommit []func() // what may be remembered once the rows are there

	// Set by enter.
	fence Fence
	entry
}

// write runs fn in a transaction of its own, which is rolled back when fn fails or ctx
// ends. It is for what may take longer than a page.
func (s *engine) write(ctx context.Context, fn func(t *tx) error) error {
	return s.submit(&writeCall{ctx: ctx, fn: fn, alone: true})
}

// fenced is write for a run: it checks and renews the fence first.
func (s *engine) fenced(ctx context.Context, f Fence, fn func(t *tx) error) error {
	return s.submit(&writeCall{ctx: ctx, fn: fenceFirst(ctx, f, fn), connector: f.Connector, alone: true})
}

// fencedPage is fenced for what is no larger than a page. It shares a commit with the
// pages that wait beside it (docs/adr/0008); fn is still all or nothing. Once fn has begun,
// the end of ctx no longer stops it.
func (s *engine) fencedPage(ctx context.Context, f Fence, fn func(t *tx) error) error {
	return s.submit(&writeCall{ctx: ctx, fn: fenceFirst(ctx, f, fn), connector: f.Connector})
}

func fenceFirst(ctx context.Context, f Fence, fn func(t *tx) error) func(t *tx) error {
	return func(t *tx) error {
		if err := t.enter(ctx, f); err != nil {
			return err
		}
		return fn(t)
	}
}

// begin begins a transaction that is rolled back when life ends. Its statements run
// under ctx, or under life where a server may never answer.
func (s *engine) begin(ctx, life context.Context, options *sql.TxOptions) (*sqlTx, error) {
	if err := s.prepareWanted(ctx); err != nil {
		return nil, err
	}
	begun, err := s.beginOn(life, s.writer, options)
	if err != nil {
		return nil, fmt.Errorf("begin a mesh transaction: %w", err)
	}
	if s.db.remote() {
		ctx = life
	}
	return &sqlTx{store: s, sql: begun, ctx: ctx, stmts: map[string]*sql.Stmt{}, entered: map[Fence]entry{}}, nil
}

// beginOn begins a transaction on a connection of the pool. One that the server has ended
// since its last use shows only now, when nothing was done on it: the pool drops it, and the
// next one is tried.
func (s *engine) beginOn(ctx context.Context, pool *sql.DB, options *sql.TxOptions) (t *sql.Tx, err error) {
	for range maxIdle + 1 { // the last one is fresh
		if t, err = pool.BeginTx(ctx, options); err == nil || !s.db.stale(err) {
			break
		}
	}
	return t, err
}

// commit commits and has the callers remember what they may.
func (q *sqlTx) commit(done ...*tx) error {
	if err := q.sendKept(); err != nil {
		return err
	}
	if err := q.sql.Commit(); err != nil {
		return fmt.Errorf("commit a mesh transaction: %w", err)
	}
	for _, t := range done {
		for _, remember := range t.afterCommit {
			remember()
		}
	}
	return nil
}

// prepareWanted prepares what the last transactions used unprepared. It cannot be
// done inside a transaction, which holds the only connection.
func (s *engine) prepareWanted(ctx context.Context) error {
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

// stmt returns query prepared for this transaction.
func (q *sqlTx) stmt(query string) (*sql.Stmt, error) {
	if st, ok := q.stmts[query]; ok {
		return st, nil
	}
	q.store.mu.Lock()
	kept, ok := q.store.stmts[query]
	if !ok {
		q.store.wanted[query] = struct{}{}
	}
	q.store.mu.Unlock()
	var st *sql.Stmt
	if ok {
		st = q.sql.StmtContext(q.ctx, kept)
	} else {
		var err error
		if st, err = q.sql.PrepareContext(q.ctx, query); err != nil {
			return nil, fmt.Errorf("prepare %.80q: %w", query, err)
		}
	}
	q.stmts[query] = st
	return st, nil
}

// exec returns the number of rows that query changed. It runs under the transaction's
// context: SQLite answers the end of a caller's with the rollback of everybody's work.
func (q *sqlTx) exec(_ context.Context, query string, args ...any) (int64, error) {
	res, err := q.execute(query, args)
	if err != nil {
		return 0, fmt.Errorf("%.80q: %w", query, err)
	}
	return res.RowsAffected()
}

// later is exec for a statement whose answer nobody waits for. Where a round trip is dear, it
// is sent with the next statement, and that one's error may then be its.
func (q *sqlTx) later(ctx context.Context, query string, args ...any) error {
	if !q.store.db.remote() {
		_, err := q.exec(ctx, query, args...)
		return err
	}
	words, args := q.store.db.words(query, args)
	q.kept = append(q.kept, keptStatement{query, words, args})
	return nil
}

// sendKept sends what was kept for a statement that did not come.
func (q *sqlTx) sendKept() error {
	n := len(q.kept) - 1
	if n < 0 {
		return nil
	}
	last := q.kept[n]
	q.kept = q.kept[:n]
	if _, err := q.sql.ExecContext(q.withKept(), last.words, last.args...); err != nil {
		return fmt.Errorf("%.80q: %w", last.query, err)
	}
	return nil
}

// withKept is the context of a statement that takes with it what was kept.
func (q *sqlTx) withKept() context.Context {
	if len(q.kept) == 0 {
		return q.ctx
	}
	ctx := context.WithValue(q.ctx, keptBefore{}, q.kept)
	q.kept = nil
	return ctx
}

func (q *sqlTx) execute(query string, args []any) (sql.Result, error) {
	db := q.store.db
	words, args := db.words(query, args)
	if !db.keepsStatements() { // the driver does
		return q.sql.ExecContext(q.withKept(), words, args...)
	}
	st, err := q.stmt(words)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(q.ctx, args...)
}

// QueryContext makes sqlTx a [querier]. The context is the transaction's, as in exec.
func (q *sqlTx) QueryContext(_ context.Context, query string, args ...any) (*rowSet, error) {
	rows, err := q.query(query, args)
	if err != nil {
		return nil, err
	}
	return &rowSet{rows, q.store.db.packs()}, nil
}

func (q *sqlTx) query(query string, args []any) (*sql.Rows, error) {
	db := q.store.db
	words, args := db.words(query, args)
	if !db.keepsStatements() {
		return q.sql.QueryContext(q.withKept(), words, args...)
	}
	st, err := q.stmt(words)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(q.ctx, args...)
}
