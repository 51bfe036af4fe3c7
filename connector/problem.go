package connector

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a definition.
type Problem struct {
	// Field is the path of the field, such as "ConfigJson.PageSize"; empty when the
	// text as a whole is meant.
	Field string
	// Message says what is wrong and what is allowed.
	Message string
}

// String returns the problem as one line.
func (p Problem) String() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}

// ValidationError lists everything that is wrong with a definition, in the order
// in which a reader of the file meets it. It holds no value of AuthJson.
type ValidationError struct {
	// Name is the connector's name where it could be read.
	Name string
	// Problems holds at least one.
	Problems []Problem
}

// Error returns all problems, one a line when there are several.
func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString("connector definition")
	if e.Name != "" {
		fmt.Fprintf(&b, " %s", quote(e.Name))
	}
	if len(e.Problems) == 1 {
		fmt.Fprintf(&b, ": %s", e.Problems[0])
		return b.String()
	}
	fmt.Fprintf(&b, " has %d problems:", len(e.Problems))
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}

// problems collects what is wrong.
type problems []Problem

func (ps *problems) add(field, format string, args ...any) {
	*ps = append(*ps, Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

// has says whether field, or the document that holds it, has a problem already: a
// value that could not be read is not judged a second time.
func (ps problems) has(field string) bool {
	for _, p := range ps {
		if p.Field == field || strings.HasPrefix(field, p.Field+".") {
			return true
		}
	}
	return false
}

// under says whether any part of field has a problem.
func (ps problems) under(field string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return strings.HasPrefix(p.Field, field+".") })
}

func (ps problems) err(name string) error {
	if len(ps) == 0 {
		return nil
	}
	return &ValidationError{Name: name, Problems: ps}
}

// maxQuoted is short enough that no Okta token (42 characters) fits.
const maxQuoted = 32

// quote shows a piece of the user's text in a message; of a long one, which may be a
// token in the wrong place, the first few characters.
func quote(s string) string {
	if utf8.RuneCountInString(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	r := []rune(s)
	return strconv.Quote(string(r[:8])) + "…"
}
