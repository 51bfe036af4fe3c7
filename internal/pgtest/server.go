// Package pgtest gives tests and benchmarks a PostgreSQL server: the one that
// IDENTITYMESH_TEST_POSTGRES names, or one of their own, started from installed binaries in
// a temporary folder and reached by a Unix socket.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// EnvServer is the URL of a server for tests; its role makes databases and roles.
const EnvServer = "IDENTITYMESH_TEST_POSTGRES"

// ErrNoServer says that there is no PostgreSQL here.
var ErrNoServer = errors.New("no PostgreSQL server: install it (Debian: apt-get install postgresql) or name one in " + EnvServer)

// superuser is the role that a server of ours has from the start. Everybody who may open the
// socket's folder is let in.
const superuser = "mesh"

// Server is a running server.
type Server struct {
	url    *url.URL // of its maintenance database
	dir    string   // "" of a server that was there
	server *exec.Cmd
	bin    string
	cred   *syscall.Credential
}

// Start starts a server with the given settings ("fsync=off"), or finds the one that the
// environment names, whose settings stay.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	if given := os.Getenv(EnvServer); given != "" {
		u, err := url.Parse(given)
		if err != nil {
			return nil, fmt.Errorf("%s is no URL", EnvServer)
		}
		return &Server{url: u}, nil
	}
	return StartOwn(ctx, settings...)
}

// StartOwn starts a server even where the environment names one: for what changes roles,
// databases or settings that are the whole server's.
func StartOwn(ctx context.Context, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.Launch(ctx, settings...); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// binaries is the folder of the newest PostgreSQL that is installed.
func binaries() (string, error) {
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(all) > 0 {
		newest := slices.MaxFunc(all, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", ErrNoServer
	}
	return filepath.Dir(path), nil
}

func version(initdb string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb))))
	return n
}

// create makes an empty cluster.
func (s *Server) create(ctx context.Context) (err error) {
	if s.dir, err = os.MkdirTemp("", "impg"); err != nil {
		return err
	}
	if os.Geteuid() == 0 { // the server refuses to run as root
		if s.cred, err = unprivileged(); err != nil {
			return err
		}
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	s.url = &url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{"host": {s.dir}, "user": {superuser}}.Encode()}
	out, err := s.command(ctx, "initdb", "-D", s.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make a PostgreSQL cluster in %s: %w\n%s", s.dir, err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// unprivileged is a user for the server: postgres, as packages make it, or else nobody.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uerr, gerr); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...) // #nosec G204 -- an installed binary
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	dieWithUs(cmd.SysProcAttr)
	return cmd
}

// Launch starts a server that [Server.Halt] has stopped, and waits until it answers.
func (s *Server) Launch(ctx context.Context, settings ...string) error {
	args := []string{"-D", s.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir, "-c", "max_connections=400", "-c", "shared_buffers=128MB"}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own
	s.server = s.command(context.WithoutCancel(ctx), "postgres", args...)
	s.server.Stdout, s.server.Stderr = log, log
	if err := s.server.Start(); err != nil {
		s.server = nil
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := s.Exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w\n%s", err, s.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail is the end of the server's log.
func (s *Server) tail() string {
	f, err := os.Open(filepath.Join(s.dir, "log")) // #nosec G304 -- ours
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }() // only read
	text, _ := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(text[max(0, len(text)-2000):])
}

// Bin is the folder of the binaries of a server of ours: psql, pg_dump and the like.
func (s *Server) Bin() string { return s.bin }

// Dir is the folder of the socket of a server of ours, which PGHOST names.
func (s *Server) Dir() string { return s.dir }

// Superuser is the role that a server of ours has from the start; it needs no password.
func (s *Server) Superuser() string { return superuser }

// Own says that the server is ours, so that it can be halted.
func (s *Server) Own() bool { return s.dir != "" }

// Halt stops a server of ours: with "immediate" as by a power cut, else after it has ended
// its connections. The data stays.
func (s *Server) Halt(immediate bool) error {
	if s.server == nil {
		return nil
	}
	signal := syscall.SIGINT
	if immediate {
		signal = syscall.SIGQUIT
	}
	if err := s.server.Process.Signal(signal); err != nil {
		return err
	}
	err := s.server.Wait()
	s.server = nil
	if _, exited := errors.AsType[*exec.ExitError](err); exited && immediate {
		return nil
	}
	return err
}

// Stop ends a server of ours and removes its data.
func (s *Server) Stop() error {
	if !s.Own() {
		return nil
	}
	return errors.Join(s.Halt(false), os.RemoveAll(s.dir))
}

// URL is the server's, for a database and further parameters.
func (s *Server) URL(database string, parameters ...string) string {
	u := *s.url
	u.Path = "/" + database
	q := u.Query()
	for _, p := range parameters {
		name, value, _ := strings.Cut(p, "=")
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Exec executes statements in the server's maintenance database.
func (s *Server) Exec(ctx context.Context, statements ...string) (err error) {
	return execute(ctx, s.url.String(), statements...)
}

func execute(ctx context.Context, url string, statements ...string) (err error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, q := range statements {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%.80q: %w", q, err)
		}
	}
	return nil
}

// Size is what a database takes on disk, in bytes.
func (s *Server) Size(ctx context.Context, database string) (size int64, err error) {
	db, err := sql.Open("pgx", s.url.String())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.QueryRowContext(ctx, `SELECT pg_database_size($1)`, database).Scan(&size)
	return size, err
}
