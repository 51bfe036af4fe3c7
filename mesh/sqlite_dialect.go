package mesh

import (
	"context"
	"database/sql"
	"strings"
)

// sqliteDialect is SQLite's: the statements are in its words, and whoever writes is alone.
type sqliteDialect struct{}

func (sqliteDialect) words(query string, args []any) (string, []any)  { return query, args }
func (sqliteDialect) keepsStatements() bool                           { return true }
func (sqliteDialect) packs() bool                                     { return false }
func (sqliteDialect) lock(context.Context, *tx, string, ...any) error { return nil }
func (sqliteDialect) writing() *sql.TxOptions                         { return nil }
func (sqliteDialect) copying() *sql.TxOptions                         { return nil }
func (sqliteDialect) reading() *sql.TxOptions                         { return &sql.TxOptions{ReadOnly: true} }
func (sqliteDialect) again(error) bool                                { return false }
func (sqliteDialect) stale(error) bool                                { return false }
func (sqliteDialect) explain(err error) error                         { return err }

func (sqliteDialect) windowOrder(other string) string { return `d.key, ` + other }
func (sqliteDialect) lockReaders() string             { return "" }
func (sqliteDialect) remote() bool                    { return false }
func (sqliteDialect) upserts() bool                   { return false }

// shadowKeys counts on from the largest key, as addKeys does.
func (sqliteDialect) shadowKeys() string {
	return `INSERT INTO im_shadow_keys (old_key, new_key)
		SELECT key, (SELECT max(key) FROM im_ids) + row_number() OVER (ORDER BY key) FROM im_ids WHERE connector_key = ?1 AND ?2 = ?2`
}

func (sqliteDialect) makeChunk() string {
	return `CREATE TEMP TABLE IF NOT EXISTS im_chunk (
		n INTEGER PRIMARY KEY, group_key INTEGER NOT NULL, member_key INTEGER NOT NULL, reason TEXT NOT NULL, note INTEGER NOT NULL)`
}

func (sqliteDialect) emptyChunk() string { return `DELETE FROM temp.im_chunk` }

func (sqliteDialect) indexEdges() (insert, lacking string) { return `INSERT OR IGNORE INTO`, "" }

// addKeys numbers the ids in their order. No other transaction writes meanwhile: the
// numbers above the last are free.
func (sqliteDialect) addKeys(ctx context.Context, t *tx, typ ObjectType, ids []string, found map[string]int64) (fresh int64, err error) {
	if _, err := first(ctx, t, []any{&fresh}, `SELECT coalesce(max(key), 0) + 1 FROM im_ids`); err != nil {
		return 0, err
	}
	if _, err := t.exec(ctx, `INSERT INTO im_ids (key, connector_key, type, okta_id)
		SELECT ?1 + j.key, ?2, ?3, j.value FROM json_each(?4) j`, fresh, t.conn, typ, textList(ids)); err != nil {
		return 0, err
	}
	for i, id := range ids {
		found[id] = fresh + int64(i)
	}
	return fresh, nil
}

// rowsAtOnce are the numbers of rows that one statement takes, the larger first. Each is a
// statement to prepare; calling one costs as much as writing a row.
var rowsAtOnce = []int{32, 8, 1}

func (sqliteDialect) insertRows(ctx context.Context, t *tx, w *rowWriter) error {
	row := "(?" + strings.Repeat(", ?", w.width-1) + ")"
	args := w.args
	for _, n := range rowsAtOnce {
		for ; len(args) >= n*w.width; args = args[n*w.width:] {
			q := w.head + " VALUES " + row + strings.Repeat(", "+row, n-1) + w.tail
			if _, err := t.exec(ctx, q, args[:n*w.width]...); err != nil {
				return err
			}
		}
	}
	return nil
}
