package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/iancoleman/strcase"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"go.temporal.io/server/common/config"
	pgplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
)

const (
	// defaultDatabase and visibilitySuffix are the names that Temporal's own set-ups use.
	defaultDatabase  = "temporal"
	visibilitySuffix = "_visibility"
	// maintenanceDatabase is where databases are made from.
	maintenanceDatabase = "postgres"
	// connectTimeout bounds an attempt to connect, unless the URL or PGCONNECT_TIMEOUT
	// says otherwise.
	connectTimeout = 10 * time.Second
	// Each of the five services has a pool for either database: together they stay well
	// under the hundred connections that PostgreSQL allows as it comes.
	mainConns, visibilityConns = 8, 3
	// postgresShards is what Temporal's own images take for a small cluster. It is fixed
	// for ever by the first start.
	postgresShards = 4
)

// databaseName is what needs no quoting rules in Temporal's schema tool and leaves room for
// the suffix in PostgreSQL's 63 bytes.
var databaseName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,51}$`)

// postgres is a PostgreSQL server and Temporal's two databases there.
type postgres struct {
	conn *pgx.ConnConfig // of the main database; holds the password
}

// parsePostgres reads a URL as psql does: what it leaves out comes from PGHOST, PGUSER,
// PGPASSWORD, PGPASSFILE and the like. A password in it is refused, because the command
// line of a process is no secret; no error quotes the URL.
func parsePostgres(text string) (*postgres, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL is malformed (special characters in names must be percent-encoded): " +
			"write postgres://user@host:5432/temporal?sslmode=verify-full")
	}
	_, inUser := u.User.Password()
	if q := u.Query(); inUser || q.Has("password") || q.Has("sslpassword") {
		return nil, errors.New("a password on the command line can be read by every user of the machine: " +
			"take it out of the URL and set PGPASSWORD, or PGPASSFILE to a file of lines host:port:database:user:password")
	}
	conn, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, err
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = connectTimeout
	}
	if conn.Database == "" {
		conn.Database = defaultDatabase
	}
	if !databaseName.MatchString(conn.Database) {
		return nil, fmt.Errorf("database name %q: use at most 52 letters, digits, _ and -", conn.Database)
	}
	return &postgres{conn: conn}, nil
}

// mainDB and visibilityDB name the two databases.
func (p *postgres) mainDB() string       { return p.conn.Database }
func (p *postgres) visibilityDB() string { return p.conn.Database + visibilitySuffix }

// server says which server is meant, for messages.
func (p *postgres) server() string {
	if strings.HasPrefix(p.conn.Host, "/") {
		return "PostgreSQL on the socket in " + p.conn.Host
	}
	return "PostgreSQL at " + net.JoinHostPort(p.conn.Host, strconv.Itoa(int(p.conn.Port)))
}

// named says which database is meant.
func (p *postgres) named(database string) string {
	return fmt.Sprintf("--db: database %s (%s)", database, p.server())
}

// open connects to one of the server's databases.
func (p *postgres) open(ctx context.Context, database string) (*pgx.Conn, error) {
	c := p.conn.Copy()
	c.Database = database
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, p.explain(database, err)
	}
	return conn, nil
}

// sql is how Temporal is to open one of the databases. The password stays out of it: what
// holds it is the function.
func (p *postgres) sql(database string, conns int) *config.SQL {
	return &config.SQL{
		PluginName: pgplugin.PluginNamePGX, DatabaseName: database,
		MaxConns: conns, MaxIdleConns: conns,
		Connect: p.pool,
	}
}

// pool does what the plugin would do with a connection string, for which passwords with
// spaces, sockets and password files are nothing special.
func (p *postgres) pool(conf *config.SQL) (*sqlx.DB, error) {
	c := p.conn.Copy()
	c.Database = conf.DatabaseName
	db := sqlx.NewDb(sql.OpenDB(stdlib.GetConnector(*c, stdlib.OptionAfterConnect(durationsAsNumbers))), "pgx")
	db.SetMaxOpenConns(conf.MaxConns)
	db.SetMaxIdleConns(conf.MaxIdleConns)
	db.MapperFunc(strcase.ToSnake)                               // the columns of Temporal's row types
	if err := db.PingContext(context.Background()); err != nil { // ends with c.ConnectTimeout
		return nil, errors.Join(p.explain(conf.DatabaseName, err), db.Close())
	}
	return db, nil
}

// durationsAsNumbers: Temporal's columns hold durations as nanoseconds, which pgx would
// write as intervals.
func durationsAsNumbers(_ context.Context, conn *pgx.Conn) error {
	conn.TypeMap().RegisterDefaultPgType(time.Duration(0), "int8")
	conn.TypeMap().RegisterDefaultPgType((*time.Duration)(nil), "int8")
	return nil
}
