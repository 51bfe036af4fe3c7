package mesh

import (
	"context"
	"strings"
)

// rowsAtOnce are the numbers of rows that one statement of rowWriter takes, the larger
// first. Each is a statement to prepare; calling one costs as much as writing a row.
var rowsAtOnce = []int{32, 8, 1}

// rowWriter gathers rows of one table and writes several with one statement. It is for
// rows with texts, which json_each would have to unescape.
type rowWriter struct {
	head  string // INSERT INTO … (columns)
	tail  string // ON CONFLICT …
	width int
	args  []any
}

func (w *rowWriter) add(row ...any) { w.args = append(w.args, row...) }

func (w *rowWriter) write(ctx context.Context, t *tx) error {
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
