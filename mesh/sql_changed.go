package mesh

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// changedNames returns the sorted names whose values differ, without those ignored.
func changedNames(before, after json.RawMessage, ignore []string) ([]string, error) {
	a, b := fieldsOf(before), fieldsOf(after)
	if a == nil || b == nil {
		return changedNamesOfAny(before, after, ignore)
	}
	var differ []string
	note := func(name []byte) {
		if n := string(name); !slices.Contains(ignore, n) {
			differ = append(differ, n)
		}
	}
	for len(a) > 0 || len(b) > 0 {
		switch order := compareFields(a, b); {
		case order < 0:
			note(a[0].name)
			a = a[1:]
		case order > 0:
			note(b[0].name)
			b = b[1:]
		default:
			if !bytes.Equal(a[0].value, b[0].value) {
				note(a[0].name)
			}
			a, b = a[1:], b[1:]
		}
	}
	return differ, nil
}

// compareFields says which list has the next name; an empty one has none.
func compareFields(a, b []field) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return bytes.Compare(a[0].name, b[0].name)
}

// changedNamesOfAny is changedNames for objects that fieldsOf refuses.
func changedNamesOfAny(before, after json.RawMessage, ignore []string) ([]string, error) {
	var a, b map[string]json.RawMessage
	if err := json.Unmarshal(before, &a); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(after, &b); err != nil {
		return nil, err
	}
	differ := map[string]struct{}{}
	for name, value := range a {
		if other, ok := b[name]; !ok || !bytes.Equal(value, other) {
			differ[name] = struct{}{}
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			differ[name] = struct{}{}
		}
	}
	for _, name := range ignore {
		delete(differ, name)
	}
	return slices.Sorted(maps.Keys(differ)), nil
}

// field is a member of a JSON object, as it is written.
type field struct{ name, value []byte }

// fieldsOf takes a compact JSON object apart, sorted by name, without decoding it, which
// costs ten times as much. It is nil for anything else: an object with white space, with
// an escape in a name, or with a name twice.
func fieldsOf(object []byte) []field {
	if len(object) < 2 || object[0] != '{' || !json.Valid(object) {
		return nil
	}
	fields := make([]field, 0, 40)
	for rest := object[1:]; rest[0] != '}'; {
		if rest[0] == ',' {
			rest = rest[1:]
		}
		end := bytes.IndexByte(rest[1:], '"') + 1
		if rest[0] != '"' || bytes.IndexByte(rest[:end], '\\') >= 0 || rest[end+1] != ':' {
			return nil
		}
		f := field{name: rest[1:end]}
		rest = rest[end+2:]
		n := valueEnd(rest)
		f.value, rest = rest[:n], rest[n:]
		if len(f.value) == 0 || isSpace(f.value[0]) || isSpace(f.value[n-1]) || isSpace(rest[0]) {
			return nil
		}
		fields = append(fields, f)
	}
	byName := func(a, b field) int { return bytes.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(fields, byName) {
		slices.SortFunc(fields, byName)
	}
	for i := 1; i < len(fields); i++ {
		if bytes.Equal(fields[i-1].name, fields[i].name) {
			return nil
		}
	}
	return fields
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// valueEnd is where the JSON value at the start of text ends: before a comma or a bracket
// that is not its own.
func valueEnd(text []byte) int {
	for i, depth := 0, 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}
