package okta

import (
	"fmt"
	"net/url"
)

// What an answer may hold at most, beside [MaxResponseBytes]. Okta's own are far below;
// together they bound the memory of a call, whatever it is answered.
const (
	maxHeader   = 128 << 10 // of all headers together, in bytes; Okta's take some 3 kB
	maxNextLink = 16 << 10  // of a next link, in bytes: it is stored with the progress of a run
	maxID       = 100       // of an id, in bytes; Okta's have 20
	maxRows     = 10_000    // of a page: Okta's largest limit (facts.md §2)
	maxValue    = 1 << 20   // of one member of a row as it stands in the answer, in bytes
	maxNesting  = 32        // of lists and objects in a value that is kept
	// What a row and a page may take in memory, by estimate: small values cost many times
	// their text.
	maxRowMemory  = 4 << 20
	maxPageMemory = 64 << 20
)

// Estimates of what is kept, in bytes, beside the texts themselves.
const (
	costRow       = 256
	costElement   = 32  // of a list of texts
	costAttribute = 128 // an entry of a map, its name, and the value's header
	costAnyByte   = 24  // for each byte of a list or object: [[],[],[]] is the worst
)

// boundError says that an answer holds more than an answer may.
type boundError struct {
	row     int    // from 1; 0: no row in particular
	id      string // of the row, where it was read before
	problem string
	smaller bool // a smaller page may be within the bounds
}

func (e *boundError) Error() string {
	if e.row == 0 {
		return "the answer " + e.problem
	}
	return (&rowError{row: e.row, id: e.id, problem: e.problem}).Error()
}

var (
	errManyRows  = &boundError{problem: fmt.Sprintf("has more than %d rows", maxRows)}
	errLargePage = &boundError{problem: fmt.Sprintf("would take more than %d MiB of memory", maxPageMemory>>20), smaller: true}
	errLargeRow  = &boundError{problem: fmt.Sprintf("would take more than %d MiB of memory", maxRowMemory>>20)}
	errLarge     = &boundError{problem: fmt.Sprintf("holds a value of more than %d MiB", maxValue>>20)}
	errDeep      = &boundError{problem: fmt.Sprintf("holds a value that nests deeper than %d levels", maxNesting)}
	errDeepText  = &boundError{problem: "nests deeper than any answer of Okta"}
)

// at is the error of a row.
func (e *boundError) at(row int, id string) *boundError {
	in := *e
	in.row, in.id = row, id
	return &in
}

// validID says whether a text may be the id of an object: what is stored, sent in URLs
// and joined by colons to the id of an edge.
func validID(id string) bool {
	if id == "" || len(id) > maxID || id[0] == '.' {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// idProblem says what is wrong with the id of a row, "" for nothing. A wrong one is not
// quoted: it may be anything.
func idProblem(id string) string {
	switch {
	case id == "":
		return "has no id"
	case !validID(id):
		return "has an id that cannot be one of Okta's"
	}
	return ""
}

// unfit says why a URL may not be followed as the next page of a request's list, ""
// when it may. Beside the origin, which keeps the token where it belongs, the path must
// be that of the list: cursors and parameters are Okta's affair, but a link to another
// list would mix the members of two groups.
func (c *Client) unfit(r request, next string, u *url.URL) string {
	if len(next) > maxNextLink {
		return fmt.Sprintf("the next link is %d bytes long, more than %d: refused", len(next), maxNextLink)
	}
	if problem := c.foreign(u); problem != "" {
		return problem
	}
	own, err := url.Parse(r.path)
	if err != nil || own.EscapedPath() != u.EscapedPath() {
		return "the next link leads to another list: refused"
	}
	return ""
}

// deep says whether a JSON value nests deeper than maxNesting.
func deep(value []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > maxNesting {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}
