package mesh_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/identitymesh/okta-connector/mesh"
)

// recordStatements records every statement of every test and every text that was a parameter.
// No statement may hold such a text: values are parameters, never SQL. The fragments that
// statements are put together from are constants of this package.
func recordStatements() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}
	sql.Register("sqlite-recorded", &recorder{Driver: db.Driver()})
	mesh.UseDriver("sqlite-recorded")
}

// record is what was sent to SQLite.
type record struct {
	mu         sync.Mutex
	statements map[string]bool
	texts      map[string]bool
	full       atomic.Bool // enough texts: the rest of the tests run undisturbed
}

// enoughTexts are searched for in every statement.
const enoughTexts = 20_000

var seen = record{statements: map[string]bool{}, texts: map[string]bool{}}

func (r *record) statement(query string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statements[comment.ReplaceAllString(query, "")] = true
}

// comment is what a migration says of its tables, in words that a value may have too.
var comment = regexp.MustCompile(`--[^\n]*`)

// word is a text that SQL may hold for reasons of its own: a type, a reason, a number.
var word = regexp.MustCompile(`^[A-Za-z-]*$|^.{0,3}$|^[0-9]+$`)

func (r *record) values(args []driver.NamedValue) {
	if r.full.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range args {
		if text, ok := a.Value.(string); ok && !word.MatchString(text) {
			r.texts[text] = true
		}
	}
	r.full.Store(len(r.texts) >= enoughTexts)
}

// mixed lists statements with a text that was a parameter somewhere.
func (r *record) mixed() (found []string) {
	for q := range r.statements {
		for text := range r.texts {
			if strings.Contains(q, text) {
				found = append(found, fmt.Sprintf("%q in %s", text, q))
			}
		}
	}
	return found
}

// recorder is the driver with a record.
type recorder struct{ driver.Driver }

// Open implements [driver.Driver].
func (d *recorder) Open(name string) (driver.Conn, error) {
	c, err := d.Driver.Open(name)
	if err != nil {
		return nil, err
	}
	full, ok := c.(fullConn)
	if !ok {
		return nil, fmt.Errorf("a connection of the driver is a %T, without a method that is recorded", c)
	}
	return &recordedConn{full}, nil
}

// fullConn is what database/sql uses of a connection.
type fullConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

type recordedConn struct{ fullConn }

// ExecContext implements [driver.ExecerContext].
func (c *recordedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	seen.statement(query)
	seen.values(args)
	return c.fullConn.ExecContext(ctx, query, args)
}

// QueryContext implements [driver.QueryerContext].
func (c *recordedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	seen.statement(query)
	seen.values(args)
	return c.fullConn.QueryContext(ctx, query, args)
}

// PrepareContext implements [driver.ConnPrepareContext].
func (c *recordedConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	seen.statement(query)
	st, err := c.fullConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	full, ok := st.(fullStmt)
	if !ok {
		return nil, fmt.Errorf("a statement of the driver is a %T, without a method that is recorded", st)
	}
	return &recordedStmt{full}, nil
}

type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type recordedStmt struct{ fullStmt }

// ExecContext implements [driver.StmtExecContext].
func (s *recordedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	seen.values(args)
	return s.fullStmt.ExecContext(ctx, args)
}

// QueryContext implements [driver.StmtQueryContext].
func (s *recordedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	seen.values(args)
	return s.fullStmt.QueryContext(ctx, args)
}
