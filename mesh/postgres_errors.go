package mesh

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// The classes and codes of PostgreSQL's errors (Appendix A of its manual).
const (
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
	pgUndefined     = "42P01" // a table
	pgShutdown      = "57P01" // of the server, or of this connection
	pgDenied        = "42501"
)

// again says that the server has undone the transaction for others' sake.
func (*pgDialect) again(err error) bool {
	code := pgCode(err)
	return code == pgSerialization || code == pgDeadlock
}

// stale says that the connection had been ended before, by a restart or an administrator.
func (*pgDialect) stale(err error) bool {
	if _, refused := errors.AsType[*pgconn.ConnectError](err); refused {
		return false
	}
	code := pgCode(err)
	return code == pgShutdown || code == "" && lostConnection(err)
}

func pgCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// explain turns what an operator or time repairs into an [UnavailableError].
func (*pgDialect) explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if _, ok := errors.AsType[*UnavailableError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		err = oneLine{err}
	}
	switch code := pgCode(err); {
	case code == "" && lostConnection(err):
		return &UnavailableError{Why: "the connection was lost or refused", Err: err}
	case code == pgSerialization, code == pgDeadlock:
		return &UnavailableError{Why: "the transaction collided with others again and again", Err: err}
	case code == "55P03": // lock_timeout
		return &UnavailableError{Why: "another process holds the connector", Err: err}
	case code == "57014": // statement_timeout, or an administrator's pg_cancel_backend
		return &UnavailableError{Why: "the statement was cancelled or took longer than statement_timeout", Err: err}
	case strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "08"), code == "25P03":
		return &UnavailableError{Why: "the server ended the connection", Err: err}
	case strings.HasPrefix(code, "53"):
		return &UnavailableError{Why: "the server has no room (disk, memory or connections)", Err: err}
	case code == "25006": // of a standby, or default_transaction_read_only
		return &UnavailableError{Why: "the server takes no writes now: is it a standby?", Err: err}
	case code == pgDenied:
		return fmt.Errorf("the database role lacks a privilege: see docs/postgresql.md for the grants: %w", err)
	}
	return err
}

// oneLine is an error of a connection, which pgx writes on a line for each address.
type oneLine struct{ error }

func (e oneLine) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e oneLine) Unwrap() error { return e.error }

func lostConnection(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(err.Error(), "conn closed") // pgx has no value for it
}
