package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes that users meet here; see appendix A of PostgreSQL's manual.
const (
	codeWrongPassword   = "28P01"
	codeNotLetIn        = "28000"
	codeNoDatabase      = "3D000"
	codeDenied          = "42501"
	codeTooMany         = "53300"
	codeStarting        = "57P03"
	codeLockTimeout     = "55P03"
	codeDuplicate       = "42P04"
	codeUnique          = "23505"
	codeUndefinedColumn = "42703"
)

// hasCode says whether the server answered with one of the codes.
func hasCode(err error, codes ...string) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	for _, code := range codes {
		if answer.Code == code {
			return true
		}
	}
	return false
}

// postgresError tells of a failure in words of ours; its cause can still be looked at.
type postgresError struct {
	text string
	err  error
}

func (e *postgresError) Error() string { return e.text }
func (e *postgresError) Unwrap() error { return e.err }

// explain says what to do about an error of the server. pgx's errors name user and database,
// never the password.
func (p *postgres) explain(database string, err error) error {
	var answer *pgconn.PgError
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case !errors.As(err, &answer):
		return &postgresError{p.unreachable(err), err}
	}
	text := fmt.Sprintf("%s: %s (SQLSTATE %s)", p.named(database), answer.Message, answer.Code)
	if remedy := p.remedy(database, answer); remedy != "" {
		text += ": " + remedy
	}
	return &postgresError{text, err}
}

// remedy is what a user can do about an answer of the server, "" when we do not know.
func (p *postgres) remedy(database string, answer *pgconn.PgError) string {
	switch {
	case answer.Code == codeWrongPassword:
		return "check PGPASSWORD, or the line of that server and user in PGPASSFILE"
	case answer.Code == codeNotLetIn:
		return "check the user's name, and the lines of the server's pg_hba.conf"
	case answer.Code == codeDenied:
		return fmt.Sprintf("let the role own the database (ALTER DATABASE %q OWNER TO %q)", database, p.conn.User)
	case answer.Code == codeTooMany:
		return fmt.Sprintf("raise the server's max_connections; temporal-dev takes up to %d", 5*(mainConns+visibilityConns)+1)
	case answer.Code == codeStarting:
		return "try again in a moment"
	case strings.Contains(answer.Message, "btree_gin"):
		return "install PostgreSQL's contrib modules on its machine (Debian has them with the server; Fedora: postgresql-contrib)"
	default:
		return ""
	}
}

// unreachable is for errors that are not the server's answer.
func (p *postgres) unreachable(err error) string {
	cause := strings.NewReplacer("\n\t", "; ", "\n", "; ").Replace(err.Error())
	// With several addresses, with and without TLS, pgx lists every attempt.
	var dial *net.OpError
	if errors.As(err, &dial) {
		cause = dial.Error()
	}
	return fmt.Sprintf("--db: %s cannot be reached: %s: check host, port and sslmode, and that the server runs", p.server(), cause)
}
