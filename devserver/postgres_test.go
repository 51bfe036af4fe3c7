package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// hush is a password that no output may show.
const hush = "hush hush"

// aPostgres is a server that nobody connects to.
func aPostgres(t *testing.T) *postgres {
	t.Helper()
	p, err := parsePostgres("postgres://me@db.internal:5433/orders?sslmode=disable")
	require.NoError(t, err)
	return p
}

func TestParsePostgres(t *testing.T) {
	passfile := filepath.Join(t.TempDir(), "pgpass")
	require.NoError(t, os.WriteFile(passfile, []byte("db.internal:*:*:me:"+hush+"\n"), 0o600))
	for _, name := range []string{"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGSERVICE"} {
		t.Setenv(name, "")
		require.NoError(t, os.Unsetenv(name))
	}
	t.Setenv("PGPASSFILE", passfile)
	cfg, err := parseFlags([]string{"--db", "here.db", "--db", "postgres://me@db.internal?sslmode=disable"}, io.Discard)
	require.NoError(t, err)
	require.Empty(t, cfg.DBFile, "the last --db counts")
	p := cfg.Postgres
	require.Equal(t, "temporal", p.mainDB())
	require.Equal(t, "temporal_visibility", p.visibilityDB())
	require.Equal(t, "PostgreSQL at db.internal:5432", p.server())
	require.Equal(t, hush, p.conn.Password)

	t.Setenv("PGPASSWORD", "of the environment")
	t.Setenv("PGHOST", "/var/run/postgresql")
	cfg, err = parseFlags([]string{"--db", "postgresql:///orders"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "orders", cfg.Postgres.mainDB())
	require.Equal(t, "PostgreSQL on the socket in /var/run/postgresql", cfg.Postgres.server())
	require.Equal(t, "of the environment", cfg.Postgres.conn.Password)
	require.Equal(t, connectTimeout, cfg.Postgres.conn.ConnectTimeout)

	conf := cfg.Postgres.sql("orders", 7)
	require.NotContains(t, fmt.Sprintf("%+v", conf), "of the environment", "Temporal's configuration holds no password")
	require.Equal(t, 7, conf.MaxConns)

	cfg, err = parseFlags([]string{"--db", "postgres://x@y/z", "--db", "here.db"}, io.Discard)
	require.NoError(t, err)
	require.Nil(t, cfg.Postgres)
	require.Equal(t, "here.db", cfg.DBFile)
}

func TestParsePostgresRefuses(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ url, want string }{
		"password":           {"postgres://me:hush@db/temporal", "set PGPASSWORD"},
		"empty password":     {"postgres://me:@db/temporal", "set PGPASSWORD"},
		"password parameter": {"postgres://me@db/temporal?password=hush", "set PGPASSWORD"},
		"key's passphrase":   {"postgres://me@db/temporal?sslpassword=hush", "set PGPASSWORD"},
		"malformed":          {"postgres://me:hush%zz@db/temporal", "the URL is malformed"},
		"quote in a name":    {`postgres://me@db/a"b`, `database name "a\"b"`},
		"long name":          {"postgres://me@db/" + strings.Repeat("x", 53), "at most 52"},
		"sslmode":            {"postgres://me@db/temporal?sslmode=maybe", "sslmode"},
		"port":               {"postgres://me@db:70000/temporal", "port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			require.Equal(t, 2, run(t.Context(), []string{"--db", tc.url}, io.Discard, &stderr))
			require.Contains(t, stderr.String(), tc.want)
			require.NotContains(t, stderr.String(), "hush")
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	p := aPostgres(t)
	for name, tc := range map[string]struct {
		code, message string
		want          []string
	}{
		"password": {codeWrongPassword, `password authentication failed for user "me"`, []string{"28P01", "PGPASSWORD", "PGPASSFILE"}},
		"hba":      {codeNotLetIn, "no pg_hba.conf entry", []string{"pg_hba.conf"}},
		"denied":   {codeDenied, "permission denied for schema public", []string{`ALTER DATABASE "orders" OWNER TO "me"`}},
		"many":     {codeTooMany, "too many clients already", []string{"max_connections", "up to 56"}},
		"starting": {codeStarting, "the database system is starting up", []string{"try again"}},
		"contrib":  {"0A000", `extension "btree_gin" is not available`, []string{"contrib"}},
		"other":    {"XX000", "a surprise", []string{"a surprise (SQLSTATE XX000)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cause := &pgconn.PgError{Code: tc.code, Message: tc.message}
			err := p.explain("orders", fmt.Errorf("set up: %w", cause))
			require.ErrorIs(t, err, cause, "callers can still tell")
			for _, want := range append(tc.want, tc.message, "--db: database orders (PostgreSQL at db.internal:5433)") {
				require.ErrorContains(t, err, want)
			}
		})
	}
	require.NoError(t, p.explain("orders", nil))
	require.ErrorIs(t, p.explain("orders", context.Canceled), context.Canceled)
	require.ErrorContains(t, p.explain("orders", errors.New("a\n\tb")), "cannot be reached: a; b: check host")
}

func TestUnreachablePostgres(t *testing.T) {
	t.Parallel()
	port, err := freePort(t.Context(), loopback)
	require.NoError(t, err)
	cfg := testConfig(t)
	cfg.Postgres, err = parsePostgres("postgres://me@" + hostPort(loopback, port) + "/temporal")
	require.NoError(t, err)
	cfg.Postgres.conn.Password = hush
	_, err = Start(t.Context(), cfg, io.Discard)
	require.ErrorContains(t, err, "--db: PostgreSQL at "+hostPort(loopback, port)+" cannot be reached: dial tcp")
	require.ErrorContains(t, err, "check host, port and sslmode")
	require.NotContains(t, err.Error(), hush)
	require.NotContains(t, err.Error(), "\n")
}

// TestStoppedWhileConnecting stops a start that waits for a server which never answers.
func TestStoppedWhileConnecting(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			cancel()
			_ = c.Close() // the start has given up
		}
	}()
	var stderr bytes.Buffer
	require.Equal(t, 0, run(ctx, []string{"--port", "0", "--ui-port", "0", "--db", "postgres://me@" + l.Addr().String()}, io.Discard, &stderr))
	require.Empty(t, stderr.String())
}

func TestComparable(t *testing.T) {
	t.Parallel()
	p := aPostgres(t)
	main := p.schemas()[0]
	require.NoError(t, p.comparable(main, main.version, true))
	require.NoError(t, p.comparable(main, "1.2", true), "is upgraded")
	require.NoError(t, p.comparable(main, initialVersion, false), "was interrupted")
	require.ErrorContains(t, p.comparable(main, "1.999", true), "the schema 1.999 of a newer Temporal server; this one knows up to "+main.version)
	require.ErrorContains(t, p.comparable(main, "x", true), `the schema version "x", which is none of Temporal's`)
	require.ErrorContains(t, p.comparable(main, "1.2", false), "another of Temporal's databases")
}
