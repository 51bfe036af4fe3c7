package oktasim

import (
	"fmt"
	"net/http"
	"strings"
)

// Error is an error as Okta answers it (facts.md §6). The write methods of
// [Org] return it too, so that a test sees the code that HTTP would have shown.
type Error struct {
	Status  int      // the HTTP status
	Code    string   // Okta's errorCode, such as E0000007
	Summary string   // Okta's errorSummary
	Causes  []string // the errorCauses' summaries; nil for none
}

// Error names the code, the summary and the causes.
func (e *Error) Error() string {
	if len(e.Causes) == 0 {
		return fmt.Sprintf("%s: %s", e.Code, e.Summary)
	}
	return fmt.Sprintf("%s: %s (%s)", e.Code, e.Summary, strings.Join(e.Causes, "; "))
}

func errValidation(of string, causes ...string) *Error {
	return &Error{http.StatusBadRequest, "E0000001", "Api validation failed: " + of, causes}
}

func errNotFound(what, kind string) *Error {
	return &Error{http.StatusNotFound, "E0000007", fmt.Sprintf("Not found: Resource not found: %s (%s)", what, kind), nil}
}

func errExpression(cause string) *Error {
	return &Error{http.StatusBadRequest, "E0000031", "Invalid search criteria.", []string{cause}}
}

// errReadOnly is what this simulator answers to a change of a group that an app
// or Okta itself manages. Okta's documents say only that it is not allowed;
// E0000111 is its code for a read-only object (facts.md §6).
func errReadOnly(cause string) *Error {
	return &Error{http.StatusForbidden, "E0000111", "Field modification not allowed: the object is read-only.", []string{cause}}
}

func errBadJSON() *Error {
	return &Error{http.StatusBadRequest, "E0000003", "The request body was not well-formed.", nil}
}

func errWrongState() *Error {
	return &Error{http.StatusForbidden, "E0000038", "This operation is not allowed in the user's current status.", nil}
}

func errBadCursor() *Error {
	return &Error{http.StatusBadRequest, "E0000029", "Invalid paging request.", []string{"Invalid cursor."}}
}

func errRateLimit() *Error {
	return &Error{http.StatusTooManyRequests, "E0000047", "API call exceeded rate limit due to too many requests.", nil}
}
