package main

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"strings"

	"github.com/rivo/uniseg"
)

// column is a column of a streamed table, where no row waits for a later one: its
// width is fixed, and a wider cell moves the rest of its own line. Width 0: the
// last column.
type column struct {
	name  string
	width int
}

// stream prints a sequence of any length as it comes, in bounded memory.
func stream[T any](c *cli, f format, columns []column, rows iter.Seq2[T, error], cells func(T) []string) error {
	w := bufio.NewWriterSize(c.stdout, 64<<10)
	return streamTo(c, w, f, columns, rows, cells)
}

// streamTo is stream through a writer that whoever makes the rows may flush.
func streamTo[T any](c *cli, w *bufio.Writer, f format, columns []column, rows iter.Seq2[T, error], cells func(T) []string) error {
	var err error
	switch f {
	case jsonl:
		err = streamLines(w, rows)
	case asJSON:
		err = streamArray(w, rows)
	default:
		err = streamTable(w, c.tty.StdoutWidth(), columns, rows, cells)
	}
	// What was read before an error is still worth printing.
	return errors.Join(err, w.Flush())
}

func streamLines[T any](w io.Writer, rows iter.Seq2[T, error]) error {
	enc := encoder(w)
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	return nil
}

// streamArray writes one JSON array, a row a line. After an error it is left open,
// so that nobody takes half for the whole.
func streamArray[T any](w io.Writer, rows iter.Seq2[T, error]) error {
	lead := "[\n"
	for row, err := range rows {
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, lead); err != nil {
			return err
		}
		lead = ",\n"
		if err := writeValue(w, row); err != nil {
			return err
		}
	}
	end := "\n]\n"
	if lead == "[\n" {
		end = "[]\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// writeValue writes a JSON value without the newline that an encoder adds.
func writeValue(w io.Writer, v any) error { return encoder(trimmer{w}).Encode(v) }

// trimmer drops a newline at the end of what is written in one piece, as
// [json.Encoder] does.
type trimmer struct{ w io.Writer }

// Write implements [io.Writer].
func (t trimmer) Write(p []byte) (int, error) {
	body := p
	if n := len(p); n > 0 && p[n-1] == '\n' {
		body = p[:n-1]
	}
	if n, err := t.w.Write(body); err != nil {
		return n, err
	}
	return len(p), nil
}

// streamTable writes fixed columns. On a terminal, whose width is then not 0, the
// last column is cut at its edge.
func streamTable[T any](w io.Writer, width int, columns []column, rows iter.Seq2[T, error], cells func(T) []string) error {
	header := make([]string, len(columns))
	for i, col := range columns {
		header[i] = col.name
	}
	if err := writeRow(w, width, columns, header); err != nil {
		return err
	}
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := writeRow(w, width, columns, cells(row)); err != nil {
			return err
		}
	}
	return nil
}

func writeRow(w io.Writer, width int, columns []column, cells []string) error {
	var b strings.Builder
	for i, cell := range cells {
		cell = printable(cell)
		if i < len(columns)-1 {
			b.WriteString(pad(cell, columns[i].width))
			b.WriteString("  ")
			continue
		}
		if width > 0 {
			cell = truncate(cell, max(width-uniseg.StringWidth(b.String()), 1))
		}
		b.WriteString(cell)
	}
	_, err := io.WriteString(w, strings.TrimRight(b.String(), " ")+"\n")
	return err
}
