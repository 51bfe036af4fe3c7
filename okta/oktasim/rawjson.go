package oktasim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf8"
)

// basePlaceholder stands in encoded rows where the request's origin belongs. A
// NUL byte cannot occur in JSON, so rows are encoded once and served to any host.
const basePlaceholder = 0

// attr is one member of a JSON object, in the object's order.
type attr struct {
	name  string
	value json.RawMessage
}

// attrs is a JSON object that keeps its order: Okta's profiles have one, and a
// row that is read and written unchanged stays byte for byte the same.
type attrs []attr

func parseAttrs(raw []byte) (attrs, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if tok != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	var out attrs
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		name, _ := key.(string)
		out = out.set(name, compact(value))
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	return out, nil
}

func (a attrs) get(name string) json.RawMessage {
	for i := range a {
		if a[i].name == name {
			return a[i].value
		}
	}
	return nil
}

// text returns a string member, "" when it is absent or not a string.
func (a attrs) text(name string) string { return rawText(a.get(name)) }

func (a attrs) set(name string, value json.RawMessage) attrs {
	for i := range a {
		if a[i].name == name {
			a[i].value = value
			return a
		}
	}
	return append(a, attr{name, value})
}

func (a attrs) without(name string) attrs {
	for i := range a {
		if a[i].name == name {
			return append(a[:i:i], a[i+1:]...)
		}
	}
	return a
}

func (a attrs) encode() json.RawMessage {
	b := []byte{'{'}
	for i := range a {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, a[i].name), ':')
		b = append(b, a[i].value...)
	}
	return append(b, '}')
}

// attrsOf is a map as an object, by name.
func attrsOf(m map[string]any) attrs {
	out := make(attrs, 0, len(m))
	for name, value := range m {
		out = append(out, attr{name, encode(value)})
	}
	slices.SortFunc(out, func(a, b attr) int { return cmp.Compare(a.name, b.name) })
	return out
}

// appendString appends s as JSON without escaping HTML, which Okta does not do.
func appendString(dst []byte, s string) []byte {
	plain := utf8.ValidString(s)
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= 0x20 && s[i] != '"' && s[i] != '\\'
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	return append(dst, encode(s)...)
}

// encode is json.Marshal without escaping HTML. It is used on values that
// always encode.
func encode(v any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("oktasim: a value of its own does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func compact(raw []byte) json.RawMessage {
	var buf bytes.Buffer
	buf.Grow(len(raw))
	if err := json.Compact(&buf, raw); err != nil {
		return raw
	}
	return buf.Bytes()
}

func rawText(raw []byte) string {
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func isNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// member finds a member of a compact, valid JSON object without decoding the
// rest: a search looks at one attribute of every user. What is no object has none.
func member(object []byte, name string) []byte {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	i := 1
	for i < len(object) && object[i] == '"' {
		end := skipValue(object, i)
		key := object[i+1 : end-1]
		value := end + 1 // past the colon
		next := skipValue(object, value)
		if string(key) == name {
			return object[value:next]
		}
		i = next + 1 // past the comma
	}
	return nil
}

// skipValue returns the index behind the JSON value that starts at i.
func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		for i++; b[i] != '"'; i++ {
			if b[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		depth := 0
		for ; ; i++ {
			switch b[i] {
			case '"':
				i = skipValue(b, i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	default:
		for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
			i++
		}
		return i
	}
}

// expand appends row to dst with the placeholder replaced by base.
func expand(dst, row []byte, base string) []byte {
	for {
		i := bytes.IndexByte(row, basePlaceholder)
		if i < 0 {
			return append(dst, row...)
		}
		dst = append(dst, row[:i]...)
		dst = append(dst, base...)
		row = row[i+1:]
	}
}
