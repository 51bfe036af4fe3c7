package secrets

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"unicode"
	"unicode/utf8"
)

// Found makes a [Value] of what a backend holds under ref, by the rules that also
// [TableStore.Set] applies: one trailing newline is trimmed, and what cannot be a
// secret is an [*Error] of kind [Unusable]. It clears raw.
func Found(ref Ref, place Place, raw []byte) (Value, error) {
	defer clear(raw)
	value := trimNewline(raw)
	if message := checkValue(value); message != "" {
		return Value{}, &Error{Ref: ref, Place: place, Kind: Unusable, Cause: message, Remedy: "store it again"}
	}
	return NewValue(value), nil
}

// trimNewline cuts the newline that an echo or an editor puts at the end. A second
// one is not trimmed.
func trimNewline(b []byte) []byte {
	if cut, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(cut, []byte("\r"))
	}
	return b
}

// checkValue says what is wrong with a value, "" when nothing is. Keys have lines, as
// PEM blocks and JSON Web Keys do; in a token a line break is a slip of the paste.
func checkValue(b []byte) string {
	switch {
	case len(b) == 0:
		return "is empty; give the secret on standard input"
	case len(b) > MaxValueLen:
		return "is larger than 64 KiB"
	case !utf8.Valid(b):
		return "is not UTF-8 text"
	case isPEM(b), isJSONObject(b):
		return ""
	case bytes.ContainsAny(b, "\r\n"):
		return "holds a line break; give one line, or a whole PEM block or JSON object"
	case bytes.ContainsFunc(b, unicode.IsControl):
		return "holds a control character; paste the secret without formatting"
	case len(bytes.TrimSpace(b)) == 0:
		return "is blank; give the secret on standard input"
	}
	return ""
}

// isPEM says whether b is PEM blocks and nothing else.
func isPEM(b []byte) bool {
	// Decode skips what is before a block: text in front of a key is a slip.
	const begin = "-----BEGIN "
	blocks := 0
	for b = bytes.TrimSpace(b); len(b) > 0; blocks++ {
		if !bytes.HasPrefix(b, []byte(begin)) {
			return false
		}
		block, rest := pem.Decode(b)
		// A broken block makes Decode go on to the next one.
		if block == nil || bytes.Count(b[:len(b)-len(rest)], []byte(begin)) != 1 {
			return false
		}
		b = bytes.TrimSpace(rest)
	}
	return blocks > 0
}

func isJSONObject(b []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) && json.Valid(b)
}
