package mesh

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"strconv"
)

// dialect is what the two databases do differently. Everything else is written once, in
// SQLite's words where they differ (docs/adr/0011).
type dialect interface {
	// words returns a statement and its arguments as the database takes them.
	words(query string, args []any) (string, []any)
	// keepsStatements says that statements are prepared once and kept by the engine.
	keepsStatements() bool
	// remote says that there is a network between: the end of a statement's context is what ends
	// it when the server does not answer, and statements are sent together where they can be.
	remote() bool
	// packs says that texts are stored in another form: see rowSet.
	packs() bool
	// lock takes the rows of the connectors that where selects, until the transaction ends:
	// nobody else writes for them meanwhile. What was read before may be stale.
	lock(ctx context.Context, t *tx, where string, args ...any) error
	// writing and copying are the options of transactions: those that lock a connector, and
	// the one that copies a connector as it is at one moment while its runs go on writing.
	writing() *sql.TxOptions
	copying() *sql.TxOptions
	reading() *sql.TxOptions
	// insertRows writes all rows of w.
	insertRows(ctx context.Context, t *tx, w *rowWriter) error
	// lockReaders keeps readers of the feed from being declared or moved, "" where whoever
	// writes is alone.
	lockReaders() string
	// addKeys is tx.addKeys for at least one id.
	addKeys(ctx context.Context, t *tx, typ ObjectType, ids []string, found map[string]int64) (fresh int64, err error)
	// shadowKeys fills im_shadow_keys for the ids of the connector ?1.
	shadowKeys() string
	// makeChunk makes the temporary table im_chunk where the connection has none, "" where all
	// have. emptyChunk makes it empty after its use. Its rows are numbered in their order.
	makeChunk() string
	emptyChunk() string
	// indexEdges is how rows that may be there are entered into im_member_groups: the INSERT, and
	// a condition on the edges e that they come from.
	indexEdges() (insert, lacking string)
	// windowOrder is the order in which a window of edges is counted, by d.key and then by
	// other. Were it another, windows would only be larger or smaller.
	windowOrder(other string) string
	// upserts says that many rows are written over sooner than changed one by one.
	upserts() bool
	// again says that the database has undone a transaction for others' sake: it may be tried
	// again at once.
	again(err error) bool
	// stale says that a transaction was not begun because its connection had been ended before.
	stale(err error) bool
	// explain says in terms of the caller what a database's error means.
	explain(err error) error
}

// keyList is a list of integers as a parameter for json_each.
type keyList []int64

// Value implements [driver.Valuer].
func (l keyList) Value() (driver.Value, error) { return integersJSON(l), nil }

// textList is a list of texts as a parameter for json_each.
type textList []string

// Value implements [driver.Valuer].
func (l textList) Value() (driver.Value, error) { return jsonArg(l) }

func integersJSON[T ~int64](list []T) string {
	b := make([]byte, 0, 12*len(list)+2)
	b = append(b, '[')
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, ']'))
}

// jsonArg is a list as a JSON array; a nil slice is an empty one.
func jsonArg[T any](list []T) (string, error) {
	if len(list) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(list)
	return string(b), err
}
