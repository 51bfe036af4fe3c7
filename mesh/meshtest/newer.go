package meshtest

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
)

// MigrateOnce does to a database of this release what a later one may do in its migration:
// a column with a default for every table, a new table and an index.
func MigrateOnce(t *testing.T, raw *sql.DB) {
	t.Helper()
	ctx := t.Context()
	tables := `SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'im\_%' ESCAPE '\'`
	var sqlite string
	if raw.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&sqlite) != nil {
		tables = `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' AND table_name LIKE 'im\_%'`
	}
	rows, err := raw.QueryContext(ctx, tables)
	require.NoError(t, err)
	defer rows.Close() //nolint:errcheck // it was only read
	var names []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	require.Greater(t, len(names), 10)
	tx, err := raw.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer tx.Rollback() //nolint:errcheck // it was committed, or the test has failed
	for _, name := range names {
		_, err = tx.ExecContext(ctx, `ALTER TABLE `+name+` ADD COLUMN of_the_next_release TEXT NOT NULL DEFAULT 'new'`)
		require.NoError(t, err)
	}
	for _, q := range []string{
		`CREATE TABLE im_next (connector_key BIGINT PRIMARY KEY, note TEXT NOT NULL)`,
		`CREATE INDEX im_next_objects ON im_objects (of_the_next_release)`,
		oneMore,
	} {
		_, err = tx.ExecContext(ctx, q)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
}

// oneMore notes a migration.
const oneMore = `INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version`

// Newer makes a schema's version one more.
func Newer(t *testing.T, raw *sql.DB) {
	t.Helper()
	_, err := raw.ExecContext(t.Context(), oneMore)
	require.NoError(t, err)
}
