package mesh

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// poolParameter is the URL's parameter for the most connections that a process opens; as
	// pgxpool calls it.
	poolParameter = "pool_max_conns"
	defaultPool   = 16
	smallestPool  = 4
	// maxIdle is how many idle connections a pool keeps, and idleTime for how long.
	maxIdle  = 4
	idleTime = 5 * time.Minute
	// connectTimeout is how long a server may take to answer, unless the URL says another.
	connectTimeout = 10 * time.Second
)

// Postgres is the [Store] on a PostgreSQL server (15 or later), shared by any number of
// processes of any number of machines. Those who write for one connector take turns;
// connectors are written side by side, and readers wait for nobody.
type Postgres struct{ *engine }

var _ Store = (*Postgres)(nil)

// The settings of each connection. Plans follow the order of the statements, over indexes,
// as SQLite's do: the tables of a run grow from nothing within minutes, and what the
// planner believes of their sizes is old (docs/adr/0011).
const pgPlans = `SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off;
	SET join_collapse_limit = 1; SET jit = off; SET work_mem = '16MB';`

// pgLimits keep a process that stopped in mid-transaction from holding up others for ever.
// The URL may set others.
var pgLimits = [][2]string{{"lock_timeout", "30s"}, {"idle_in_transaction_session_timeout", "60s"}}

// OpenPostgres opens the store in the database that url names, as libpq reads it: missing
// parts come from the environment (PGHOST, PGUSER, PGPASSWORD, PGPASSFILE …). The schema is
// that of search_path; it is migrated under a lock when it is older than this release, for
// which the role must own it. pool_max_conns bounds the connections, 16 by default.
func OpenPostgres(ctx context.Context, url string) (*Postgres, error) {
	config, most, err := pgConfig(url)
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf("the mesh database %q on %s", config.Database, config.Host)
	db := &pgDialect{}
	settings := pgPlans
	for _, limit := range pgLimits {
		if config.RuntimeParams[limit[0]] == "" {
			settings += `SET ` + limit[0] + ` = '` + limit[1] + `';`
		}
	}
	writer := pgPool(config, most/2, settings+pgChunk)
	reader := pgPool(config, most-most/2, pgPlans)
	s := &Postgres{newEngine(db, writer, reader)}
	s.queues = &queueSet{}
	if err := migratePostgres(ctx, reader, config); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", where, db.explain(err)), s.Close())
	}
	return s, nil
}

// pgConfig reads the URL, which may hold a password: no error quotes it.
func pgConfig(text string) (config *pgx.ConnConfig, most int, err error) {
	if _, err := url.Parse(text); err != nil {
		return nil, 0, errors.New("the mesh database URL is malformed (special characters in a name or password must be percent-encoded): write postgres://user@host:5432/database?sslmode=verify-full")
	}
	if config, err = pgx.ParseConfig(text); err != nil {
		if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
			err = parse.Unwrap()
		}
		return nil, 0, fmt.Errorf("the mesh database URL cannot be used: %w", err)
	}
	most = defaultPool
	if n, ok := config.RuntimeParams[poolParameter]; ok {
		delete(config.RuntimeParams, poolParameter)
		if most, err = strconv.Atoi(n); err != nil || most < smallestPool {
			return nil, 0, fmt.Errorf("the mesh database URL asks for %s=%q: write a number, %d or more", poolParameter, n, smallestPool)
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "identitymesh"
	}
	return config, most, nil
}

// pgPool is a pool of connections that begin with the statements of settings.
func pgPool(config *pgx.ConnConfig, most int, settings string) *sql.DB {
	db := sql.OpenDB(pgPipe{stdlib.GetConnector(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, settings).ReadAll()
		return err
	}))})
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(min(most, maxIdle))
	db.SetConnMaxIdleTime(idleTime)
	return db
}
