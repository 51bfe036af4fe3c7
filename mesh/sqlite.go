package mesh

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// driverName is what database/sql knows the driver by. Tests put a recorder before it.
var driverName = "sqlite"

// busyTimeout is how long a statement waits for another process's transaction.
// Transactions are short (one page, one step of Settle), so that only a stuck
// process makes anybody wait this long.
const busyTimeout = 30 * time.Second

// SQLite is the embedded [Store]: one file, shared by any number of processes of
// one machine. Writers take turns, readers never wait for them (WAL mode).
type SQLite struct{ *engine }

var _ Store = (*SQLite)(nil)

// Open opens the store that url names: sqlite:///absolute/path or
// sqlite:relative/path, the path as it is, without percent-decoding, or
// postgres://user@host:5432/database, see [OpenPostgres]. Other schemes are errors that
// name the remedy. No error quotes a URL that may hold a password.
func Open(ctx context.Context, url string) (Store, error) {
	path, isFile, err := sqlitePath(url)
	switch {
	case err != nil:
		return nil, err
	case isFile:
		return OpenSQLite(ctx, path)
	case isPostgres(url):
		return OpenPostgres(ctx, url)
	default:
		return nil, errScheme
	}
}

// OpenSQLite opens the store in the file path, creating the file (0600) and its
// parent folder (0700) when they are missing, refusing a file that every user of the
// machine may read or write, and migrating the schema under a lock:
// any number of processes may open a fresh file at the same moment.
func OpenSQLite(ctx context.Context, path string) (*SQLite, error) {
	if path == "" {
		return nil, errors.New("the mesh database has no file name: write sqlite:///absolute/path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("resolve the mesh database's path: %w", err)
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("open the mesh database %s: %w", path, err)
	}
	if err := migrateSQLite(ctx, path); err != nil {
		return nil, fmt.Errorf("migrate the mesh database %s: %w", path, err)
	}
	// FULL: a page that Temporal counts as done, and a row that a follower of the feed
	// has read, must survive a power cut.
	writer, err := sql.Open(driverName, dsn(path, "_txlock=immediate",
		pragma("foreign_keys", "1"), pragma("synchronous", "FULL"),
		// A cached page takes twice its size, and the system's cache is next: more brings no
		// speed, for a million memberships either.
		pragma("cache_size", "-8192"), pragma("temp_store", "MEMORY"),
		// A checkpoint syncs twice; 128 MB of log between two keeps bulk loads fast.
		pragma("wal_autocheckpoint", "32768"), pragma("journal_size_limit", "67108864")))
	if err != nil {
		return nil, fmt.Errorf("open the mesh database %s: %w", path, err)
	}
	writer.SetMaxOpenConns(1)
	reader, err := sql.Open(driverName, dsn(path, "_query_only=1", pragma("cache_size", "-4096")))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the mesh database %s: %w", path, err), writer.Close())
	}
	// No upper limit: a reader that reads again while it iterates must not wait for itself.
	reader.SetMaxIdleConns(4)
	s := &SQLite{newEngine(sqliteDialect{}, writer, reader)}
	if err := errors.Join(writer.PingContext(ctx), reader.PingContext(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("open the mesh database %s: %w", path, err), s.Close())
	}
	return s, nil
}

// createPrivate creates the file and its folder for the user alone; SQLite gives the log
// files beside it the same mode. An existing file that everybody may use is refused, not
// repaired: whoever opened it has to know that the directory's people were readable. Its
// group may use it: a worker and operators under accounts of their own share it so.
func createPrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the file
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// Windows has no such mode bits; there the folder's access list protects the file.
		if mode := info.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
			return fmt.Errorf("%s is open to every user of this machine (mode %04o), and it holds people's data; run: chmod 600 %s*", name, mode, path)
		}
	}
	return nil
}

// dsn is the driver's name for the file with parameters.
func dsn(path string, params ...string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a drive letter
	}
	params = append(params, pragma("busy_timeout", fmt.Sprint(busyTimeout.Milliseconds())))
	return "file:" + (&url.URL{Path: p}).EscapedPath() + "?" + strings.Join(params, "&")
}

func pragma(name, value string) string { return "_pragma=" + name + "(" + value + ")" }
