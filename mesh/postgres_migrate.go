package mesh

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/postgres/*.sql
var postgresMigrations embed.FS

// migratePostgres brings the schema up to date, under a lock of the server that ends with
// its holder's connection. A schema that is up to date is recognised without the lock and
// without the right to change it.
//
// A schema that is one version newer is used as it is: while a release is rolled out, the
// workers of the one before go on, and every migration leaves them what they need.
func migratePostgres(ctx context.Context, db *sql.DB, config *pgx.ConnConfig) (err error) {
	migrations, err := fs.Sub(postgresMigrations, "migrations/postgres")
	if err != nil {
		return err
	}
	owner := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, owner.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, owner, migrations, goose.WithDisableGlobalRegistry(true), goose.WithSessionLocker(pgMigrationLock{}))
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	want := sources[len(sources)-1].Version
	have, err := pgSchemaVersion(ctx, db)
	switch {
	case err != nil:
		return err
	case have > want+1:
		return fmt.Errorf("its schema is version %d and this release knows %d: use the newer release", have, want)
	case have >= want:
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		if pgCode(err) == pgDenied {
			elsewhere := ""
			if have == 0 {
				elsewhere = ", or name the schema of the mesh in its URL (search_path=identitymesh)"
			}
			return fmt.Errorf("its schema is version %d and this release needs %d, but the role may not migrate it: open it once as the role that owns it (docs/postgresql.md)%s: %w", have, want, elsewhere, err)
		}
		return fmt.Errorf("migrate its schema: %w", err)
	}
	return nil
}

// pgSchemaVersion is 0 where there is no schema yet.
func pgSchemaVersion(ctx context.Context, db *sql.DB) (version int64, err error) {
	var there bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&version)
	return version, err
}

// pgMigrationLock is an advisory lock, one for each schema. It waits as long as ctx lets it.
type pgMigrationLock struct{}

const pgMigrationKey = `hashtextextended('identitymesh migration of ' || current_schema(), 0)`

// SessionLock implements [lock.SessionLocker] of goose.
func (pgMigrationLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(`+pgMigrationKey+`)`)
	return err
}

// SessionUnlock implements [lock.SessionLocker] of goose.
func (pgMigrationLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, `SELECT pg_advisory_unlock(`+pgMigrationKey+`)`)
	return err
}
