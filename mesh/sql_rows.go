package mesh

import "context"

// rowWriter gathers rows of one table and writes many with one statement. It is for rows
// with texts, which json_each would have to unescape. The values of a column are of one Go
// type, or nil.
type rowWriter struct {
	head  string // INSERT INTO … (columns)
	tail  string // ON CONFLICT …
	width int
	args  []any
}

func (w *rowWriter) add(row ...any) { w.args = append(w.args, row...) }

func (w *rowWriter) write(ctx context.Context, t *tx) error {
	if len(w.args) == 0 {
		return nil
	}
	return t.store.db.insertRows(ctx, t, w)
}
