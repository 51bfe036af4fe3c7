package secrets

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// Scheme is what every reference begins with.
const Scheme = "secret://"

// MaxRefLen is the longest reference, in bytes.
const MaxRefLen = 200

// Ref is the name of a secret, such as secret://okta/contoso/apitoken. It is no
// secret itself and may be shown. Upper and lower case differ.
type Ref string

// ErrRef is what [ParseRef] returns. It does not repeat the text, which may be a
// token that somebody pasted in the place of its reference.
var ErrRef = errors.New("not a secret reference: it must look like secret://okta/contoso/apitoken, " +
	"two or more parts of letters, digits, dots, underscores and dashes, at most 200 characters")

var (
	segment = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	// tokenShape is that of Okta's API tokens: a reference may be shown, and so holds none.
	tokenShape = regexp.MustCompile(`^00[A-Za-z0-9_-]{40}$`)
)

// ParseRef checks a reference: the scheme, a host and one or more path segments.
// "." and ".." are no segments, so that a reference can serve as a path in a
// vault. The error is [ErrRef].
func ParseRef(s string) (Ref, error) {
	rest, ok := strings.CutPrefix(s, Scheme)
	if !ok || len(s) > MaxRefLen {
		return "", ErrRef
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 2 || slices.ContainsFunc(parts, func(p string) bool {
		return !segment.MatchString(p) || p == "." || p == ".." || tokenShape.MatchString(p)
	}) {
		return "", ErrRef
	}
	return Ref(s), nil
}

// String returns the reference.
func (r Ref) String() string { return string(r) }
