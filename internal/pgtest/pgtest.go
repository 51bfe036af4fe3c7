package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// shared is the server of a test binary, started by the first test that asks.
var shared struct {
	once     sync.Once
	server   *Server
	database string
	err      error
	schemas  atomic.Int64
}

// Stop stops the server that the tests of a binary have shared, if any.
func Stop() error {
	s := shared.server
	if s == nil {
		return nil
	}
	var err error
	if !s.Own() && shared.database != "" {
		err = s.Exec(context.Background(), `DROP DATABASE `+shared.database+` WITH (FORCE)`)
	}
	return errors.Join(err, s.Stop())
}

// Shared is the server that the tests of a binary share, and a database of theirs. Without a
// server the test is skipped with a note; in CI (CI=true) it fails.
func Shared(t testing.TB) (*Server, string) {
	t.Helper()
	shared.once.Do(func() {
		ctx := context.Background() // the server outlives the test that starts it
		s, err := Start(ctx)
		if err == nil {
			shared.server, shared.database = s, "immesh_"+strings.ToLower(rand.Text())
			err = s.Exec(ctx, `CREATE DATABASE `+shared.database)
		}
		if shared.err = err; errors.Is(err, ErrNoServer) {
			fmt.Fprintln(os.Stderr, "\nNOTE: the tests of the mesh on PostgreSQL are SKIPPED:", err)
		}
	})
	switch {
	case errors.Is(shared.err, ErrNoServer) && os.Getenv("CI") != "true":
		t.Skip("SKIPPED: ", shared.err)
	case shared.err != nil:
		t.Fatal(shared.err)
	}
	return shared.server, shared.database
}

// URL is an empty schema on the shared server, for one test.
func URL(t testing.TB, parameters ...string) string {
	t.Helper()
	s, database := Shared(t)
	schema := fmt.Sprint("s", shared.schemas.Add(1))
	if err := execute(t.Context(), s.URL(database), `CREATE SCHEMA `+schema); err != nil {
		t.Fatal(err)
	}
	return s.URL(database, append([]string{"search_path=" + schema}, parameters...)...)
}

// Database makes a database of its own for one test, which drops it at its end, and returns
// its name.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "immesh_" + strings.ToLower(rand.Text())
	if err := s.Exec(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Exec(context.Background(), `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	return name
}
