package mesh

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// keptStatement is a statement that nobody waits for: see sqlTx.later.
type keptStatement struct {
	query string // as the engine says it
	words string
	args  []any
}

// keptBefore is the key of a context's []keptStatement, which go to the server before the
// statement that the context is for, and together with it.
type keptBefore struct{}

// pgPipe makes the connections that write. Between workers and server there is a network,
// and a page is a dozen statements, of which few have an answer that the next one needs.
type pgPipe struct{ driver.Connector }

// Connect implements [driver.Connector].
func (p pgPipe) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(*stdlib.Conn)
	if !ok {
		return nil, fmt.Errorf("the driver of PostgreSQL makes connections of type %T", c) // a mistake of ours
	}
	return &pgPipeConn{conn}, nil
}

// pgPipeConn is the driver's connection, but for statements that come with others.
type pgPipeConn struct{ *stdlib.Conn }

// ExecContext implements [driver.ExecerContext].
func (c *pgPipeConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	results, err := c.send(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if results == nil {
		return c.Conn.ExecContext(ctx, query, args)
	}
	tag, err := results.Exec()
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	return driver.RowsAffected(tag.RowsAffected()), err
}

// QueryContext implements [driver.QueryerContext].
func (c *pgPipeConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	results, err := c.send(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if results == nil {
		return c.Conn.QueryContext(ctx, query, args)
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // says the same
		return nil, err
	}
	return &pgPipeRows{rows, results}, nil
}

// send sends a statement behind those that were kept for it, whose results it reads: the
// statement's own are next. Without others it does nothing.
func (c *pgPipeConn) send(ctx context.Context, query string, args []driver.NamedValue) (pgx.BatchResults, error) {
	kept, _ := ctx.Value(keptBefore{}).([]keptStatement)
	if len(kept) == 0 {
		return nil, nil
	}
	conn := c.Conn.Conn()
	if conn.IsClosed() {
		return nil, driver.ErrBadConn
	}
	batch := &pgx.Batch{}
	for _, k := range kept {
		batch.Queue(k.words, k.args...)
	}
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a.Value
	}
	batch.Queue(query, values...)
	results := conn.SendBatch(ctx, batch)
	for _, k := range kept {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // says the same
			return nil, fmt.Errorf("%.80q, sent ahead: %w", k.query, err)
		}
	}
	return results, nil
}

// pgPipeRows is the result of a query that came with other statements.
type pgPipeRows struct {
	rows    pgx.Rows
	results pgx.BatchResults
}

// Columns implements [driver.Rows].
func (r *pgPipeRows) Columns() []string {
	fields := r.rows.FieldDescriptions()
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// Next implements [driver.Rows].
func (r *pgPipeRows) Next(dest []driver.Value) error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	values, err := r.rows.Values()
	if err != nil {
		return err
	}
	for i, value := range values {
		switch v := value.(type) {
		case int16:
			dest[i] = int64(v)
		case int32:
			dest[i] = int64(v)
		case driver.Valuer: // a numeric, of a sum
			if dest[i], err = v.Value(); err != nil {
				return err
			}
		default:
			dest[i] = v
		}
	}
	return nil
}

// Close implements [driver.Rows].
func (r *pgPipeRows) Close() error {
	r.rows.Close()
	if err := r.results.Close(); r.rows.Err() == nil { // else Next has said it
		return err
	}
	return nil
}
