package okta

import (
	"errors"
	"iter"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// nextLink returns the target of rel="next" among all Link header values, "" when
// there is none. Values may come on lines of their own or joined by commas (RFC
// 8288). A malformed value is an error: taking it for "no next link" would end a
// walk early, and an early end looks like mass deletion.
func nextLink(values []string) (string, error) {
	var next string
	var found bool
	for _, value := range values {
		for l, err := range links(value) {
			if err != nil {
				return "", err
			}
			if !l.is("next") {
				continue
			}
			if found && l.target != next {
				return "", errors.New("the Link header names two different next pages")
			}
			next, found = l.target, true
		}
	}
	if found && next == "" {
		return "", errors.New("the Link header names an empty next page")
	}
	return next, nil
}

type link struct{ target, rel string }

// is says whether the link has the relation; a rel may list several.
func (l link) is(rel string) bool {
	for name := range strings.FieldsSeq(l.rel) {
		if strings.EqualFold(name, rel) {
			return true
		}
	}
	return false
}

var errLink = errors.New("the Link header is malformed")

// links yields the links of one header value, or an error once, last.
func links(s string) iter.Seq2[link, error] {
	return func(yield func(link, error) bool) {
		for {
			s = strings.TrimLeft(s, " \t,")
			if s == "" {
				return
			}
			l, rest, ok := parseLink(s)
			if !ok {
				yield(link{}, errLink)
				return
			}
			if !yield(l, nil) {
				return
			}
			s = rest
		}
	}
}

// parseLink reads <target> and its parameters up to the comma that ends the link.
func parseLink(s string) (l link, rest string, ok bool) {
	if s[0] != '<' {
		return l, "", false
	}
	end := strings.IndexByte(s, '>')
	if end < 0 {
		return l, "", false
	}
	l.target = strings.TrimSpace(s[1:end])
	s = s[end+1:]
	seenRel := false
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == ',' {
			return l, s, true
		}
		if s[0] != ';' {
			return l, "", false
		}
		var name, value string
		if name, value, s, ok = parseParam(s[1:]); !ok {
			return l, "", false
		}
		// Of several rel parameters the first counts (RFC 8288 §3.3).
		if strings.EqualFold(name, "rel") && !seenRel {
			l.rel, seenRel = value, true
		}
	}
}

// parseParam reads name, name=token or name="quoted string".
func parseParam(s string) (name, value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	end := strings.IndexAny(s, "=;,")
	if end < 0 || s[end] != '=' {
		if end < 0 {
			end = len(s)
		}
		return strings.TrimSpace(s[:end]), "", s[end:], true
	}
	name = strings.TrimSpace(s[:end])
	s = strings.TrimLeft(s[end+1:], " \t")
	if s == "" || s[0] != '"' {
		end = strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return name, strings.TrimSpace(s[:end]), s[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return name, b.String(), s[i+1:], true
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", "", false
}

// sameOrigin says whether two URLs have the same scheme, host and port. Host names that
// are not ASCII are equal to none: what they are folded to is for others to know.
func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) &&
		isASCII(a.Hostname()) && isASCII(b.Hostname()) &&
		strings.EqualFold(a.Hostname(), b.Hostname()) &&
		port(a) == port(b)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	switch strings.ToLower(u.Scheme) {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}

// sameRequest says whether two URLs of one origin ask for the same thing, whatever
// the order of their parameters.
func sameRequest(a, b *url.URL) bool {
	parameters := func(u *url.URL) []string { return slices.Sorted(strings.SplitSeq(u.RawQuery, "&")) }
	return a.EscapedPath() == b.EscapedPath() && slices.Equal(parameters(a), parameters(b))
}
