package mesh

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Inspection is what [Inspect] found of a mesh database.
type Inspection struct {
	// Name is the file, or the server and the database; never a password.
	Name string
	// Exists is false where nothing is yet: the first command that opens it makes it.
	Exists bool
	// Version is the version of its schema, Wants the one of this release. An older
	// Version is migrated by the next command that opens the database.
	Version, Wants int64
	// Newest is the newest version that this release works with.
	Newest int64
	// ReadOnly says that this user may not write there.
	ReadOnly bool
	// Exposed is what [Exposed] says of the way there.
	Exposed string
	// Locked says that somebody else has been writing for all of [LockPatience].
	Locked bool
}

// LockPatience is how long [Inspect] waits for the turn to write. The transactions of a
// run are much shorter.
const LockPatience = 5 * time.Second

// Inspect looks at the database that url names, without what [Open] does to it: it
// creates nothing, migrates nothing and writes nothing. That the database can be written
// to is tried with a transaction that is taken back.
func Inspect(ctx context.Context, url string) (Inspection, error) {
	path, isFile, err := sqlitePath(url)
	switch {
	case err != nil:
		return Inspection{}, err
	case isFile:
		return inspectSQLite(ctx, path, LockPatience)
	case isPostgres(url):
		return inspectPostgres(ctx, url)
	default:
		return Inspection{}, errScheme
	}
}

func inspectSQLite(ctx context.Context, path string, patience time.Duration) (i Inspection, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return i, fmt.Errorf("resolve the mesh database's path: %w", err)
	}
	i.Name = path
	if i.Wants, err = newest(sqliteMigrations); err != nil {
		return i, err
	}
	i.Newest = i.Wants + 1
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return i, nil
	}
	if err != nil {
		return i, fmt.Errorf("look at the mesh database: %w", err)
	}
	i.Exists = true
	if !info.Mode().IsRegular() {
		return i, fmt.Errorf("the mesh database %s is no file", path)
	}
	if i.ReadOnly, err = readOnly(path); err != nil {
		return i, err
	}
	db, err := sql.Open("sqlite", dsn(path, "mode=rw", "_txlock=immediate"))
	if err != nil {
		return i, fmt.Errorf("open the mesh database %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	if i.Version, err = schemaVersion(ctx, db); err != nil {
		return i, fmt.Errorf("read the mesh database %s: %w", path, err)
	}
	if i.ReadOnly {
		return i, nil
	}
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", patience.Milliseconds())); err != nil {
		return i, fmt.Errorf("read the mesh database %s: %w", path, err)
	}
	tx, err := db.BeginTx(ctx, nil)
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff { // the upper bits say more than is needed
		case sqlite3.SQLITE_BUSY:
			i.Locked = true
			return i, nil
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN:
			i.ReadOnly = true
			return i, nil
		}
	}
	if err != nil {
		return i, fmt.Errorf("write to the mesh database %s: %w", path, err)
	}
	return i, tx.Rollback()
}

// readOnly asks the system: SQLite lets a transaction begin in a file that it cannot write
// to, as long as it may write to the log beside it.
func readOnly(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // #nosec G304 -- the operator names the file
	if errors.Is(err, fs.ErrPermission) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the mesh database: %w", err)
	}
	return false, f.Close()
}

// newest is the schema version that the migrations of this release make.
func newest(migrations fs.FS) (int64, error) {
	var newest int64
	err := fs.WalkDir(migrations, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sql" {
			return err
		}
		v, err := goose.NumericComponent(path)
		newest = max(newest, v)
		return err
	})
	return newest, err
}

// schemaVersion is the version of the newest migration that was applied, 0 without any.
func schemaVersion(ctx context.Context, db *sql.DB) (have int64, err error) {
	var tables int
	const versionTable = `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'goose_db_version'`
	if err := db.QueryRowContext(ctx, versionTable).Scan(&tables); err != nil || tables == 0 {
		return 0, err
	}
	const version = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`
	err = db.QueryRowContext(ctx, version).Scan(&have)
	return have, err
}

// errScheme refuses a URL, which may hold a password.
var errScheme = errors.New("the mesh database URL has no known scheme: write sqlite:///absolute/path, sqlite:relative/path or postgres://user@host/database")

func isPostgres(url string) bool {
	scheme, _, ok := strings.Cut(url, ":")
	return ok && (scheme == "postgres" || scheme == "postgresql")
}

// sqlitePath returns the file that a URL of [Open] names; ok is false for another scheme.
func sqlitePath(url string) (path string, ok bool, err error) {
	scheme, rest, found := strings.Cut(url, ":")
	if !found || scheme != "sqlite" {
		return "", false, nil
	}
	if after, host := strings.CutPrefix(rest, "//"); host {
		if !strings.HasPrefix(after, "/") {
			return "", false, fmt.Errorf("mesh database %q names a host: write sqlite:///absolute/path or sqlite:relative/path", url)
		}
		rest = after
	}
	if rest == "" {
		return "", false, errors.New("the mesh database has no file name: write sqlite:///absolute/path")
	}
	return rest, true, nil
}
