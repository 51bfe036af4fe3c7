package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives/timestamp"
	sqliteschema "go.temporal.io/server/schema/sqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// applicationID marks a SQLite file as ours ("imTD"), so that a mesh database
	// given by mistake is refused instead of being filled with Temporal's tables.
	applicationID = 0x696d5444
	// retention is how long a closed workflow stays visible. A week covers the
	// weekly reconcile; Temporal's own default for a dev server is a day.
	retention = 7 * 24 * time.Hour
	// clusterName is what Temporal's own dev server uses.
	clusterName = "active"
)

// storage is where the server keeps its data.
type storage struct {
	main, visibility *config.SQL
	shards           int32
	claim            *claim // of a PostgreSQL database, else nil
}

// openStorage prepares the store and says how the server is to open it. The namespaces of
// cfg are in it. What it does to a PostgreSQL server it says to notes.
func openStorage(ctx context.Context, cfg Config, logger log.Logger, notes io.Writer) (storage, error) {
	namespaces, err := namespaceConfigs(cfg)
	if err != nil {
		return storage{}, err
	}
	if cfg.Postgres == nil {
		conf, err := openSQLite(ctx, cfg)
		if err != nil {
			return storage{}, err
		}
		if err := sqliteschema.CreateNamespaces(conf, namespaces...); err != nil {
			return storage{}, fileError(cfg.DBFile, err)
		}
		return storage{main: conf, visibility: conf, shards: 1}, nil // SQLite has one writer; more shards only cost
	}
	p := cfg.Postgres
	held, err := p.prepare(ctx, logger, notes)
	if err != nil {
		return storage{}, err
	}
	store := storage{
		main: p.sql(p.mainDB(), mainConns), visibility: p.sql(p.visibilityDB(), visibilityConns),
		shards: postgresShards, claim: held,
	}
	// The function of the SQLite package works on every SQL store.
	if err := sqliteschema.CreateNamespaces(store.main, namespaces...); err != nil {
		held.release()
		return storage{}, p.explain(p.mainDB(), err)
	}
	return store, nil
}

// openSQLite is an in-memory database of its own when cfg.DBFile is empty, otherwise that
// file, with Temporal's schema in it.
func openSQLite(ctx context.Context, cfg Config) (*config.SQL, error) {
	conf := &config.SQL{PluginName: sqliteplugin.PluginName}
	if cfg.DBFile == "" {
		// Shared cache joins the server's connections to one database; the name
		// keeps two servers of one process apart.
		conf.DatabaseName = "temporal-dev-" + uuid.NewString()
		conf.ConnectAttributes = map[string]string{"mode": "memory", "cache": "shared"}
	} else {
		if err := prepareFile(ctx, cfg.DBFile); err != nil {
			return nil, err
		}
		conf.DatabaseName = uriPath(cfg.DBFile)
		conf.ConnectAttributes = map[string]string{
			"mode": "rw",
			// The first use takes the file's lock and keeps it until the process
			// ends, so that two servers cannot fight over one file.
			"locking_mode": "exclusive",
			// A write-ahead log with normal sync survives a killed process whole; a
			// power cut may cost the last moments, never the file.
			"journal_mode": "wal",
			"synchronous":  "normal",
		}
	}
	return conf, nil
}

// namespaceConfigs describes the namespaces of cfg.
func namespaceConfigs(cfg Config) ([]*sqliteschema.NamespaceConfig, error) {
	namespaces := make([]*sqliteschema.NamespaceConfig, len(cfg.Namespaces))
	for i, name := range cfg.Namespaces {
		ns, err := sqliteschema.NewNamespaceConfig(clusterName, name, false, cfg.SearchAttributes)
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w: name fewer with --search-attribute", name, err)
		}
		ns.Detail.Config.Retention = timestamp.DurationPtr(retention)
		namespaces[i] = ns
	}
	return namespaces, nil
}

// prepareFile sees to it that path holds a database of this server's schema. A
// missing or empty file gets it in one transaction, so that a kill leaves either
// nothing or all of it. A file of something else is refused untouched.
func prepareFile(ctx context.Context, path string) (err error) {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return fmt.Errorf("--db %s: its folder does not exist: create it first", path)
	}
	// SQLite would make the file as open as the umask lets it, and its logs with it.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err == nil { // an error SQLite will have too, and tell better
		if err := f.Close(); err != nil {
			return fmt.Errorf("--db %s: %w", path, err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+uriPath(path)+"?mode=rwc&_pragma=locking_mode=exclusive&_txlock=exclusive")
	if err != nil {
		return fileError(path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fileError(path, err)
	}
	defer func() { _ = tx.Rollback() }() // no effect after Commit

	var tables int
	var app, version int64
	row := tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM sqlite_master), application_id, user_version
		FROM pragma_application_id, pragma_user_version`)
	if err := row.Scan(&tables, &app, &version); err != nil {
		return fileError(path, err)
	}
	switch {
	case tables == 0:
		if err := sqliteschema.SetupSchemaOnDB(&schemaTx{ctx: ctx, tx: tx}); err != nil {
			return fileError(path, err)
		}
		stamp := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaStamp())
		if _, err := tx.ExecContext(ctx, stamp); err != nil {
			return fileError(path, err)
		}
		if err := tx.Commit(); err != nil {
			return fileError(path, err)
		}
	case app != applicationID:
		return fmt.Errorf("--db %s is a database of something else: name a file of its own for Temporal", path)
	case version != int64(schemaStamp()):
		return fmt.Errorf("--db %s was made by another version of the Temporal server (this one wants schema %s): use a new file", path, sqliteschema.Version)
	}
	return makePrivate(path)
}

// makePrivate takes other users' rights to a file of ours away: earlier releases left
// them in.
func makePrivate(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			err = os.Chmod(name, info.Mode().Perm()&^0o077)
		}
		if err != nil {
			return fmt.Errorf("--db %s: make the file private: %w", path, err)
		}
	}
	return nil
}

// schemaStamp is a number that changes with the server's schema. SQLite keeps
// it in the file's header (user_version), which is signed.
func schemaStamp() int32 {
	sum := crc32.ChecksumIEEE([]byte(sqliteschema.Version + "/" + sqliteschema.VisibilityVersion))
	return int32(sum >> 1) // 31 bits fit
}

// schemaTx lets the server's schema set-up run inside our transaction. It calls
// Exec only; the nil interface answers for the rest.
type schemaTx struct {
	sqlplugin.AdminDB
	ctx context.Context // the interface has no room for one
	tx  *sql.Tx
}

// Exec runs one statement of the schema.
func (s *schemaTx) Exec(stmt string, args ...any) error {
	_, err := s.tx.ExecContext(s.ctx, stmt, args...)
	return err
}

// uriPath escapes what has a meaning in SQLite's file: URIs.
func uriPath(path string) string {
	return (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
}

// fileError names the file and says what to do about the common causes.
func fileError(path string, err error) error {
	if path == "" {
		return fmt.Errorf("in-memory database: %w", err)
	}
	var sqlErr *sqlite.Error
	if errors.As(err, &sqlErr) {
		switch sqlErr.Code() & 0xff { // the low byte is the primary code
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("--db %s is in use by another process: stop that one or use another file", path)
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			return fmt.Errorf("--db %s is not a SQLite database, or a damaged one: use another file", path)
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
			return fmt.Errorf("--db %s cannot be opened for writing: check its permissions", path)
		}
	}
	return fmt.Errorf("--db %s: %w", path, err)
}
