package mesh

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// engine is the Store in SQL, which both databases share; [dialect] is where they differ.
type engine struct {
	db     dialect
	writer *sql.DB
	reader readPool

	// How much one transaction of Settle does: edges looked at, edges entered into
	// im_member_groups, object rows taken. copyChunk is how many ids a statement copies or
	// drops with all their rows.
	edgeWindow, indexWindow, settleChunk, copyChunk int

	keys     keyCache
	lineages lineages
	queue    writeQueue // of everybody who writes
	queues   *queueSet  // in its place, where connectors are written side by side

	mu     sync.Mutex
	stmts  map[string]*sql.Stmt // prepared on writer
	wanted map[string]struct{}  // used since the last transaction, to be prepared
}

func newEngine(db dialect, writer, reader *sql.DB) *engine {
	return &engine{db: db, writer: writer, reader: readPool{reader, db},
		edgeWindow: 10_000, indexWindow: 100_000, settleChunk: 1000, copyChunk: 250,
		stmts: map[string]*sql.Stmt{}, wanted: map[string]struct{}{},
	}
}

// Close closes the database. Writers who have begun may still commit; whoever comes later
// gets an error.
func (s *engine) Close() error {
	s.mu.Lock()
	var errs []error
	for _, st := range s.stmts {
		errs = append(errs, st.Close())
	}
	clear(s.stmts)
	s.mu.Unlock()
	return errors.Join(append(errs, s.reader.Close(), s.writer.Close())...)
}

// readPool is the connections of readers.
type readPool struct {
	*sql.DB
	db dialect
}

// QueryContext makes readPool a [querier].
func (p readPool) QueryContext(ctx context.Context, query string, args ...any) (*rowSet, error) {
	query, args = p.db.words(query, args)
	rows, err := p.DB.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, p.db.explain(err)
	}
	return &rowSet{rows, p.db.packs()}, nil
}

// readTx is a reading transaction.
type readTx struct {
	*sql.Tx
	db dialect
}

// QueryContext makes readTx a [querier].
func (t readTx) QueryContext(ctx context.Context, query string, args ...any) (*rowSet, error) {
	query, args = t.db.words(query, args)
	rows, err := t.Tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return &rowSet{rows, t.db.packs()}, nil
}

// rowSet is the result of a query.
type rowSet struct {
	*sql.Rows
	packed bool
}

// Scan reads the row. Where texts are stored packed, it unpacks them.
func (r *rowSet) Scan(dest ...any) error {
	if err := r.Rows.Scan(dest...); err != nil || !r.packed {
		return err
	}
	for _, d := range dest {
		unpackInto(d)
	}
	return nil
}
