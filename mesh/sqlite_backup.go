package mesh

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"modernc.org/sqlite"
)

// errNotAFile says where backups of another database are made.
var errNotAFile = errors.New("only an SQLite file is backed up and restored here: for PostgreSQL use pg_dump and pg_restore, as docs/restore.md describes")

// Backup copies the SQLite file that url names (see [Open]) to the new file to, as it is at
// one moment, while runs go on writing. The copy is one file (0600) without a log beside it,
// and appears under its name when it is whole and on disk. A copy of the file by other means
// is no backup: its newest transactions are in the log beside it.
func Backup(ctx context.Context, url, to string) (err error) {
	path, err := SQLiteFile(url)
	if err != nil {
		return err
	}
	if path, to, err = absolute(path, to); err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("back up the mesh database: %w", err)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fmt.Errorf("%s is there already: name a new file", to))
	}
	partial := to + ".partial"
	if err := copySQLite(ctx, path, partial); err != nil {
		return fmt.Errorf("back up the mesh database %s: %w", path, err)
	}
	if err := os.Rename(partial, to); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(to)); err != nil {
		return fmt.Errorf("the backup %s is whole, but whether its name outlives a power cut is not known: %w", to, err)
	}
	return nil
}

// SQLiteFile is the file that url names (see [Open]). Its error says what to do with another
// database, which [Backup] and [RestoreBackup] know nothing of.
func SQLiteFile(url string) (string, error) {
	path, isFile, err := sqlitePath(url)
	if err == nil && !isFile {
		err = errNotAFile
	}
	return path, err
}

// syncFolder makes a new name in a folder durable. Windows cannot do so and need not; some
// file systems of a network cannot either. Tests put a recorder before it.
var syncFolder = func(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path) // #nosec G304 -- the operator names the file in it
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// absolute returns the absolute paths of a database and of its backup.
func absolute(database, backup string) (_, _ string, err error) {
	if database, err = filepath.Abs(database); err != nil {
		return "", "", fmt.Errorf("resolve the mesh database's path: %w", err)
	}
	if backup, err = filepath.Abs(backup); err != nil {
		return "", "", fmt.Errorf("resolve the backup's path: %w", err)
	}
	return database, backup, nil
}

// copySQLite copies the database in the file from into the file to, which it replaces. What
// it leaves on disk is whole, or removed.
func copySQLite(ctx context.Context, from, to string) (err error) {
	if same, err := sameFile(from, to); err != nil || same {
		return cmp.Or(err, fmt.Errorf("the copy is made in %s, which it is made of: give one of them another name", to))
	}
	if err := removeSQLite(to); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, removeSQLite(to))
		}
	}()
	db, err := sql.Open(driverName, dsn(from, "mode=rw"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if have, err := schemaVersion(ctx, db); err != nil {
		return err
	} else if have == 0 {
		return fmt.Errorf("%s is no mesh database", from)
	}
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		return err
	}
	return f.Sync()
}

// sameFile says whether two names are of one file.
func sameFile(a, b string) (bool, error) {
	one, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	other, err := os.Stat(b)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(one, other), err
}

// removeSQLite removes a database that nobody uses, with what SQLite keeps beside it.
func removeSQLite(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal", path + ".lock"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// RestoreBackup puts the SQLite file that url names back to a backup that [Backup] made, and
// says so to it ([Restores.Restored]), in one step: processes that have the file open go on
// with the restored database, and their runs are fenced. The backup is not changed; one of an
// older release is migrated on the way. A dry run leaves everything as it was. It takes
// twice the backup's size in space beside the file.
func RestoreBackup(ctx context.Context, url, backup string, r Restore) (all []Restoration, err error) {
	path, err := SQLiteFile(url)
	if err != nil {
		return nil, err
	}
	if path, backup, err = absolute(path, backup); err != nil {
		return nil, err
	}
	if err := checkBackup(ctx, backup); err != nil {
		return nil, fmt.Errorf("the backup %s: %w", backup, err)
	}
	ready := path + ".restore"
	if r.DryRun {
		var clean func() error
		if ready, clean, err = scratchFor(ready); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, clean()) }()
	} else if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := copySQLite(ctx, backup, ready); err != nil {
		return nil, fmt.Errorf("copy the backup %s: %w", backup, err)
	}
	defer func() { err = errors.Join(err, removeSQLite(ready)) }()
	if all, err = restoredFile(ctx, ready, r); err != nil || r.DryRun {
		return all, err
	}
	return all, replaceSQLite(ctx, path, ready)
}

// scratchFor is where a dry run may make the file at path: there, or, when its folder is
// missing, in a new folder in the nearest one that is not, which clean removes. So it needs
// the room that the restore will need.
func scratchFor(path string) (_ string, clean func() error, err error) {
	folder, name := filepath.Split(path)
	folder = filepath.Clean(folder)
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		return path, func() error { return nil }, err
	}
	for {
		folder = filepath.Dir(folder)
		if _, err := os.Stat(folder); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) || folder == filepath.Dir(folder) {
			return "", nil, err
		}
	}
	scratch, err := os.MkdirTemp(folder, ".restore-*") // for this user alone
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(scratch, name), func() error { return os.RemoveAll(scratch) }, nil
}

// checkBackup looks whether the file is a whole mesh database that this release can use: see
// [upToDate].
func checkBackup(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path, "mode=rw", "_query_only=1"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("it is damaged: %s", verdict)
	}
	have, err := schemaVersion(ctx, db)
	if err != nil {
		return err
	}
	want, err := newest(sqliteMigrations)
	switch {
	case err != nil:
		return err
	case have == 0:
		return errors.New("it is no mesh database")
	case have > want+1:
		return fmt.Errorf("its schema is version %d and this release knows %d: use the newer release", have, want)
	}
	return nil
}

// restoredFile says to the database in a file that nobody uses that it was restored.
func restoredFile(ctx context.Context, path string, r Restore) (all []Restoration, err error) {
	s, err := OpenSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.Restored(ctx, r)
}

// replaceSQLite writes the pages of the database in the file ready over those in the file
// path, in one transaction: others read and write the one or the other.
func replaceSQLite(ctx context.Context, path, ready string) (err error) {
	if err := createPrivate(path); err != nil {
		return fmt.Errorf("restore the mesh database %s: %w", path, err)
	}
	db, err := sql.Open("sqlite", dsn(path, pragma("synchronous", "FULL")))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	err = conn.Raw(func(c any) error {
		driver, ok := c.(interface {
			NewRestore(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return errors.New("the driver of SQLite knows no restore")
		}
		b, err := driver.NewRestore(dsn(ready))
		if err != nil {
			return err
		}
		_, err = b.Step(-1)
		return errors.Join(err, b.Finish())
	})
	if err != nil {
		return fmt.Errorf("restore the mesh database %s: %w; if the file is damaged, stop whatever uses it, move it away with what lies beside it (%[1]s-*), and restore again", path, err)
	}
	return nil
}
