package mesh

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
)

// engines opens an empty store of each kind.
func engines(t *testing.T, run func(t *testing.T, s *engine)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "mesh.db"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		run(t, s.engine)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		run(t, openPipe(t).engine)
	})
}

func openPipe(t *testing.T) *Postgres {
	t.Helper()
	s, err := OpenPostgres(t.Context(), pgtest.URL(t, "pool_max_conns=4"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// putLater is put for a caller who does not wait.
func putLater(t *tx, name string) error {
	return t.later(t.ctx, `INSERT INTO im_secrets (ref, sealed, created_at, updated_at) VALUES (?, ?, 0, 0)`, name, []byte{0})
}

func secretNames(t *testing.T, s *engine) []string {
	t.Helper()
	names, err := collect(t.Context(), s.reader, func(rows *rowSet) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	}, `SELECT ref FROM im_secrets ORDER BY ref`)
	require.NoError(t, err)
	return names
}

// TestKeptStatementFailsItsPageAlone has pages share a transaction, of which some fail at
// statements that nobody waited for.
func TestKeptStatementFailsItsPageAlone(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *engine) {
		ctx := t.Context()
		own := errors.New("a failure of the page's own")
		q, err := s.begin(ctx, ctx, s.db.writing())
		require.NoError(t, err)
		var done []*tx
		for _, page := range []struct {
			name string
			fn   func(t *tx) error
			err  string
		}{
			{"before", func(*tx) error { return nil }, ""},
			{"at the end", func(t *tx) error { return putLater(t, "before") }, "INSERT INTO im_secrets"},
			{"ahead of a query", func(t *tx) error {
				if err := putLater(t, "before"); err != nil {
					return err
				}
				_, err := first(t.ctx, t, []any{new(int)}, `SELECT 1`)
				return err
			}, "INSERT INTO im_secrets"},
			{"unsent", func(*tx) error { return own }, own.Error()},
			{"sent", func(t *tx) error {
				_, err := first(t.ctx, t, []any{new(int)}, `SELECT 1`)
				return errors.Join(err, own)
			}, own.Error()},
			{"after", func(*tx) error { return nil }, ""},
		} {
			w := &tx{sqlTx: q}
			failed, lost := q.savepoint(&writeCall{ctx: ctx, fn: func(t *tx) error {
				return errors.Join(putLater(t, page.name), page.fn(t))
			}}, w)
			require.NoError(t, lost, page.name)
			if page.err != "" {
				require.ErrorContains(t, failed, page.err, page.name)
				continue
			}
			require.NoError(t, failed, page.name)
			done = append(done, w)
		}
		require.NoError(t, q.commit(done...))
		require.Equal(t, []string{"after", "before"}, secretNames(t, s))
	})
}

// TestKeptStatementsAreSentWithTheCommit has a writer alone whose last statements nobody
// waits for.
func TestKeptStatementsAreSentWithTheCommit(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, s *engine) {
		write := func(names ...string) error {
			return s.write(t.Context(), func(t *tx) error {
				for _, name := range names {
					if err := putLater(t, name); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, write("a", "b"))
		require.Error(t, write("c", "a", "d"), "a is there")
		require.NoError(t, write("e"))
		require.Equal(t, []string{"a", "b", "e"}, secretNames(t, s))
	})
}

// TestRowsBehindKeptStatements reads values of each type from a query alone and from one that
// came with others.
func TestRowsBehindKeptStatements(t *testing.T) {
	t.Parallel()
	s := openPipe(t)
	type row = [8]any
	read := func(w *tx, q string) ([]row, error) {
		return collect(w.ctx, w, func(rows *rowSet) (r row, err error) {
			dest := make([]any, len(r))
			for i := range r {
				dest[i] = &r[i]
			}
			return r, rows.Scan(dest...)
		}, q)
	}
	const q = `SELECT CAST(n AS SMALLINT), CAST(n AS INTEGER), CAST(n AS BIGINT), CAST(n AS NUMERIC), CAST('ä' AS TEXT), nullif(n, n), decode('00ff', 'hex'), n > 1
		FROM generate_series(1, 3) n`
	require.NoError(t, s.write(t.Context(), func(w *tx) error {
		alone, err := read(w, q)
		require.NoError(t, err)
		require.Equal(t, row{int64(2), int64(2), int64(2), "2", "ä", nil, []byte{0, 255}, true}, alone[1])
		require.NoError(t, putLater(w, "a"))
		behind, err := read(w, q)
		require.NoError(t, err)
		require.Equal(t, alone, behind)

		require.NoError(t, putLater(w, "b")) // not read to the end, then used again
		var n int
		found, err := first(w.ctx, w, []any{&n}, q[:len(`SELECT CAST(n AS SMALLINT)`)]+` FROM generate_series(1, 3) n`)
		require.NoError(t, err)
		require.True(t, found)

		require.NoError(t, putLater(w, "c"))
		changed, err := w.exec(w.ctx, `UPDATE im_secrets SET updated_at = 1`)
		require.EqualValues(t, 3, changed)
		return err
	}))
	require.Equal(t, []string{"a", "b", "c"}, secretNames(t, s.engine))
}

// TestQueryFailsBehindKeptStatements tells whose error it is.
func TestQueryFailsBehindKeptStatements(t *testing.T) {
	t.Parallel()
	s := openPipe(t)
	for _, q := range []string{`SELECT 1/0`, `SELECT 1/(2 - n) FROM generate_series(1, 3) n`} {
		err := s.write(t.Context(), func(w *tx) error {
			if err := putLater(w, "a"); err != nil {
				return err
			}
			_, err := collect(w.ctx, w, scanKey, q)
			return err
		})
		require.Error(t, err, q)
		require.NotContains(t, err.Error(), "sent ahead", q)
	}
	require.Empty(t, secretNames(t, s.engine))
}
