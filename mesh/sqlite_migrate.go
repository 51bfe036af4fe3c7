package mesh

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var sqliteMigrations embed.FS

// migrateSQLite brings the schema of the file up to date and switches it to WAL.
//
// goose has no lock for SQLite, and the switch to WAL fails when another process
// has the file open, so both happen under the exclusive lock of a second, empty
// database beside the first. The operating system frees that lock when its holder
// dies. A file that is up to date is recognised without the lock.
func migrateSQLite(ctx context.Context, path string) (err error) {
	db, err := sql.Open(driverName, dsn(path, "_txlock=immediate"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	migrations, err := fs.Sub(sqliteMigrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if ready, err := upToDate(ctx, db, provider); ready || err != nil {
		return err
	}
	unlock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return fmt.Errorf("wait for another process's migration: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := switchToWAL(ctx, db); err != nil {
		return err
	}
	if ready, err := upToDate(ctx, db, provider); ready || err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// upToDate says whether nothing is left to migrate. A schema that is one version newer is
// used as it is, as [migratePostgres] explains: it also lets a release be rolled back. One
// that is newer still is an error: this binary does not know what it would break.
func upToDate(ctx context.Context, db *sql.DB, provider *goose.Provider) (bool, error) {
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return false, err
	}
	have, err := schemaVersion(ctx, db)
	if err != nil || have == 0 {
		return false, err
	}
	sources := provider.ListSources()
	want := sources[len(sources)-1].Version
	if have > want+1 {
		return false, fmt.Errorf("its schema is version %d and this release knows %d: use the newer release", have, want)
	}
	return have >= want && mode == "wal", nil
}

// switchToWAL tries again while another process looks at the file: SQLite does not
// wait for its readers here.
func switchToWAL(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, busyTimeout)
	defer cancel()
	for {
		var mode string
		err := db.QueryRowContext(ctx, `PRAGMA journal_mode = WAL`).Scan(&mode)
		if err == nil && mode == "wal" {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("the journal mode is %q and not wal: is the file on a network share?", mode)
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lockFile waits for the exclusive lock of the empty database path.
func lockFile(ctx context.Context, path string) (unlock func() error, err error) {
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	db, err := sql.Open(driverName, dsn(path, "_txlock=exclusive"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	// The lock ends with unlock, not with ctx.
	tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return func() error { return errors.Join(tx.Rollback(), db.Close()) }, nil
}
