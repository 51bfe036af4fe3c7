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

func TestRestoredSQLite(t *testing.T) {
	t.Parallel()
	meshtest.RunRestore(t, func(t *testing.T) meshtest.Database {
		dir := t.TempDir()
		url := "sqlite://" + filepath.ToSlash(dir) + "/mesh.db"
		var n atomic.Int64
		return meshtest.Database{
			Open: func(t *testing.T) mesh.Store { return openURL(t, url) },
			Backup: func(tb require.TestingT) func(require.TestingT) {
				file := filepath.Join(dir, fmt.Sprint("backup", n.Add(1)))
				require.NoError(tb, mesh.Backup(t.Context(), url, file))
				return func(tb require.TestingT) {
					require.NoError(tb, mesh.ReplaceSQLite(t.Context(), filepath.Join(dir, "mesh.db"), file))
				}
			},
		}
	})
}

func TestRestoredPostgres(t *testing.T) {
	t.Parallel()
	meshtest.RunRestore(t, func(t *testing.T) meshtest.Database {
		url := pgtest.URL(t, "pool_max_conns=4")
		raw := rawPostgres(t, url)
		return meshtest.Database{
			Open:   func(t *testing.T) mesh.Store { return openPostgresURL(t, url) },
			Backup: func(tb require.TestingT) func(require.TestingT) { return backupRows(t, tb, raw) },
			Most:   20,
		}
	})
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
