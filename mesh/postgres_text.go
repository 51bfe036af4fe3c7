package mesh

import (
	"database/sql"
	"encoding/hex"
	"reflect"
	"strings"
	"unicode/utf8"
)

// PostgreSQL's text is valid UTF-8 without NUL, while names in Okta may be anything. What
// it would refuse is stored packed: packMark and two hexadecimal digits for each byte, and
// a packMark of the text's own twice. Equal texts are packed equally.
const packMark = "\uE000" // of the private use area

func pack(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 && !strings.Contains(s, packMark) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == 0 || r == utf8.RuneError && n == 1:
			b.WriteString(packMark + hex.EncodeToString([]byte{s[0]}))
		case s[:n] == packMark:
			b.WriteString(packMark + packMark)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func packAll(list []string) []string {
	packed := make([]string, len(list))
	for i, s := range list {
		packed[i] = pack(s)
	}
	return packed
}

func unpack(s string) string {
	before, rest, found := strings.Cut(s, packMark)
	if !found {
		return s
	}
	var b strings.Builder
	for ; found; before, rest, found = strings.Cut(rest, packMark) {
		b.WriteString(before)
		if own, ok := strings.CutPrefix(rest, packMark); ok {
			b.WriteString(packMark)
			rest = own
			continue
		}
		if len(rest) >= 2 {
			if c, err := hex.DecodeString(rest[:2]); err == nil {
				b.Write(c)
				rest = rest[2:]
				continue
			}
		}
		b.WriteString(packMark) // nobody packed this
	}
	b.WriteString(before)
	return b.String()
}

// unpackInto unpacks a text that was scanned into dest.
func unpackInto(dest any) {
	switch d := dest.(type) {
	case *string:
		*d = unpack(*d)
	case *sql.NullString:
		d.String = unpack(d.String)
	default: // a named type of text
		if v := reflect.ValueOf(dest); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.String {
			v.Elem().SetString(unpack(v.Elem().String()))
		}
	}
}
