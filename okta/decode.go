package okta

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// rowError says that a well-formed answer holds a row that is no user, group or
// member.
type rowError struct {
	row     int // from 1; 0 for an answer that is one object
	id      string
	problem string
}

func (e *rowError) Error() string {
	switch {
	case e.row == 0 && e.id == "":
		return "the object " + e.problem
	case e.row == 0:
		return fmt.Sprintf("the object (id %s) %s", e.id, e.problem)
	case e.id == "":
		return fmt.Sprintf("row %d of the page %s", e.row, e.problem)
	}
	return fmt.Sprintf("row %d of the page (id %s) %s", e.row, e.id, e.problem)
}

// shapeError says that an answer is JSON, but not of the shape that was asked for.
type shapeError struct{ want string }

func (e *shapeError) Error() string { return "the answer is JSON, but not " + e.want }

// kind is a kind of row: how to read one, and what one must have.
type kind[T any] struct {
	read func(*wire, *T) error
	// check returns the id of a row and what the row lacks, "" for nothing.
	check func(*T) (id, problem string)
}

// decodeList reads an array of T row by row, and that nothing follows it.
func decodeList[T any](r io.Reader, k kind[T]) ([]T, error) {
	w := openWire(r)
	defer w.close()
	switch first, err := w.token(); {
	case err != nil:
		return nil, err
	case first != jsontext.KindBeginArray:
		return nil, &shapeError{"a list"}
	}
	var rows []T
	for w.next() != jsontext.KindEndArray {
		if len(rows) == maxRows {
			return nil, errManyRows
		}
		rows = append(rows, *new(T))
		if err := decodeRow(w, &rows[len(rows)-1], len(rows), k); err != nil {
			return nil, err
		}
	}
	if _, err := w.token(); err != nil {
		return nil, err
	}
	if err := w.ended(); err != nil {
		return nil, err
	}
	return rows, nil
}

// decodeObject reads one T with the given id, and that nothing follows it.
func decodeObject[T any](r io.Reader, want string, k kind[T]) (*T, error) {
	w := openWire(r)
	defer w.close()
	object := new(T)
	if err := decodeRow(w, object, 0, k); err != nil {
		return nil, err
	}
	// An id may also be spelled as a login or "me": the caller means this very object.
	if id, _ := k.check(object); id != want {
		return nil, &rowError{id: id, problem: "is not the one that was asked for"}
	}
	return object, w.ended()
}

func decodeRow[T any](w *wire, into *T, row int, k kind[T]) error {
	w.seen, w.problem = w.seen[:0], ""
	w.rowRoom = maxRowMemory
	err := w.spend(costRow)
	if err == nil {
		err = k.read(w, into)
	}
	id, problem := k.check(into)
	if bound, ok := errors.AsType[*boundError](err); ok && !bound.smaller {
		return bound.at(row, id)
	}
	if err != nil {
		return err
	}
	if problem = cmp.Or(w.problem, problem); problem != "" {
		return &rowError{row: row, id: id, problem: problem}
	}
	return nil
}
