package mesh_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

// sqliteFile is an SQLite file as other processes use it.
func sqliteFile(t *testing.T) meshtest.Database {
	dir := t.TempDir()
	file := filepath.Join(dir, "mesh.db")
	url := "sqlite://" + filepath.ToSlash(file)
	var n atomic.Int64
	return meshtest.Database{
		Open: func(t *testing.T) mesh.Store { return openURL(t, url) },
		Backup: func(tb require.TestingT) func(require.TestingT) {
			backup := filepath.Join(dir, fmt.Sprint("backup", n.Add(1)))
			require.NoError(tb, mesh.Backup(t.Context(), url, backup))
			return func(tb require.TestingT) { require.NoError(tb, mesh.ReplaceSQLite(t.Context(), file, backup)) }
		},
		Late: func(tb require.TestingT, connector string) func(bool) {
			raw, err := sql.Open("sqlite", file+"?_txlock=immediate&_pragma=busy_timeout(30000)")
			require.NoError(tb, err)
			end := late(t, tb, raw, connector, "")
			return func(commit bool) {
				end(commit)
				require.NoError(tb, raw.Close())
			}
		},
		Epochless: func(tb require.TestingT) {
			raw, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(30000)")
			require.NoError(tb, err)
			epochless(t, tb, raw)
			require.NoError(tb, raw.Close())
		},
		Most: 40,
	}
}

func postgresSchema(t *testing.T) meshtest.Database {
	url := pgtest.URL(t, "pool_max_conns=6")
	raw := rawPostgres(t, url)
	return meshtest.Database{
		Open:   func(t *testing.T) mesh.Store { return openPostgresURL(t, url) },
		Backup: func(tb require.TestingT) func(require.TestingT) { return backupRows(t, tb, raw) },
		Late: func(tb require.TestingT, connector string) func(bool) {
			return late(t, tb, raw, connector, ` FOR UPDATE`)
		},
		Epochless: func(tb require.TestingT) { epochless(t, tb, raw) },
		Most:      20,
	}
}

func TestRestoredSQLite(t *testing.T) {
	t.Parallel()
	meshtest.RunRestore(t, sqliteFile)
}

func TestRestoredPostgres(t *testing.T) {
	t.Parallel()
	meshtest.RunRestore(t, postgresSchema)
}

func TestFollowersOfSQLite(t *testing.T) {
	t.Parallel()
	meshtest.RunFollowers(t, sqliteFile)
}

func TestFollowersOfPostgres(t *testing.T) {
	t.Parallel()
	meshtest.RunFollowers(t, postgresSchema)
}

// late takes a number of the feed as the store does, in a transaction that ends when end is
// called.
func late(t *testing.T, tb require.TestingT, raw *sql.DB, connector, lock string) (end func(commit bool)) {
	tx, err := raw.BeginTx(t.Context(), nil)
	require.NoError(tb, err)
	var key, seq int64
	require.NoError(tb, tx.QueryRowContext(t.Context(), `SELECT key FROM im_connectors WHERE name = $1`+lock, connector).Scan(&key))
	require.NoError(tb, tx.QueryRowContext(t.Context(), `UPDATE im_connectors SET seq = seq + 1 WHERE key = $1 RETURNING seq`, key).Scan(&seq))
	_, err = tx.ExecContext(t.Context(), `INSERT INTO im_changes (connector_key, seq, op, type, key, external_id, attributes, at) VALUES ($1, $2, 'Add', 'User', 0, $3, '{}', 0)`, key, seq, fmt.Sprint("late-", seq))
	require.NoError(tb, err)
	return func(commit bool) {
		if commit {
			require.NoError(tb, tx.Commit())
			return
		}
		require.NoError(tb, tx.Rollback())
	}
}

func epochless(t *testing.T, tb require.TestingT, raw *sql.DB) {
	_, err := raw.ExecContext(t.Context(), `UPDATE im_readers SET epoch = ''`)
	require.NoError(tb, err)
}

// backupRows copies all rows and sequences of the schema within the server, which is faster
// than pg_dump; the drill in package integration uses that.
func backupRows(t *testing.T, tb require.TestingT, raw *sql.DB) func(tb require.TestingT) {
	ctx := t.Context()
	texts := func(query string) (all []string) {
		rows, err := raw.QueryContext(ctx, query)
		require.NoError(tb, err)
		defer rows.Close() //nolint:errcheck // it was read to its end
		for rows.Next() {
			var text string
			require.NoError(tb, rows.Scan(&text))
			all = append(all, text)
		}
		require.NoError(tb, rows.Err())
		return all
	}
	tables := texts(`SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'im\_%'`)
	sequences := texts(`SELECT format('SELECT setval(%L, %s, %L)', schemaname || '.' || sequencename, coalesce(last_value, 1), last_value IS NOT NULL)
		FROM pg_sequences WHERE schemaname = current_schema()`)
	saved := texts(`SELECT current_schema() || '_' || replace(gen_random_uuid()::text, '-', '')`)[0]
	exec := func(tb require.TestingT, e interface {
		Exec(query string, args ...any) (sql.Result, error)
	}, query string,
	) {
		_, err := e.Exec(query)
		require.NoError(tb, err, query)
	}
	exec(tb, raw, `CREATE SCHEMA `+saved)
	copied, err := raw.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.NoError(tb, err)
	for _, table := range tables {
		exec(tb, copied, fmt.Sprintf(`CREATE TABLE %s.%s AS TABLE %[2]s`, saved, table))
	}
	require.NoError(tb, copied.Commit())
	return func(tb require.TestingT) {
		put, err := raw.BeginTx(ctx, nil)
		require.NoError(tb, err)
		exec(tb, put, `SET LOCAL session_replication_role = replica`) // in whatever order
		for _, table := range tables {
			exec(tb, put, `DELETE FROM `+table)
			exec(tb, put, fmt.Sprintf(`INSERT INTO %s OVERRIDING SYSTEM VALUE SELECT * FROM %s.%[1]s`, table, saved))
		}
		for _, set := range sequences {
			exec(tb, put, set)
		}
		require.NoError(tb, put.Commit())
		exec(tb, raw, `DROP SCHEMA `+saved+` CASCADE`)
	}
}
