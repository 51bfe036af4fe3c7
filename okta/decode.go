package okta

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
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

// decodeList reads an array of T row by row, and that nothing follows it.
func decodeList[T any](dec *json.Decoder, check func(*T) (id, problem string)) ([]T, error) {
	first, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if first != json.Delim('[') {
		return nil, &shapeError{"a list"}
	}
	var rows []T
	for dec.More() {
		var row T
		if err := decodeRow(dec, &row, len(rows)+1, check); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	return rows, ended(dec)
}

// decodeObject reads one T with the given id, and that nothing follows it.
func decodeObject[T any](dec *json.Decoder, want string, check func(*T) (id, problem string)) (*T, error) {
	var object T
	if err := decodeRow(dec, &object, 0, check); err != nil {
		return nil, err
	}
	// An id may also be spelled as a login or "me": the caller means this very object.
	if id, _ := check(&object); id != want {
		return nil, &rowError{id: id, problem: "is not the one that was asked for"}
	}
	return &object, ended(dec)
}

func decodeRow[T any](dec *json.Decoder, into *T, row int, check func(*T) (id, problem string)) error {
	err := dec.Decode(into)
	id, problem := check(into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		// The value itself may be personal data: name its kind only.
		kind, _, _ := strings.Cut(wrong.Value, " ")
		if wrong.Field == "" {
			return &rowError{row: row, problem: "is no object but a JSON " + kind}
		}
		return &rowError{row: row, id: id, problem: fmt.Sprintf("has a JSON %s for %q", kind, wrong.Field)}
	}
	if err != nil {
		return err
	}
	if problem != "" {
		return &rowError{row: row, id: id, problem: problem}
	}
	return nil
}

// ended checks that only whitespace follows. It also reads the body to its end,
// which tells a complete answer from a cut one.
func ended(dec *json.Decoder) error {
	switch _, err := dec.Token(); {
	case err == nil:
		return errors.New("text follows the JSON value")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}
