package mapping

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// write appends the JSON value of one attribute of src to dst.
type write[T any] func(dst []byte, src *T) ([]byte, error)

// how makes the write of a row from the path of its Okta field.
type how[T any] func(path string) write[T]

// text writes a string; empty means that Okta sent none.
func text[T any](get func(*T) string) how[T] {
	return func(string) write[T] {
		return func(dst []byte, src *T) ([]byte, error) {
			if s := get(src); s != "" {
				return appendText(dst, s), nil
			}
			return append(dst, "null"...), nil
		}
	}
}

// stamp writes a stamp as Okta sent it.
func stamp[T any](get func(*T) *string) how[T] {
	return func(string) write[T] {
		return func(dst []byte, src *T) ([]byte, error) {
			if s := get(src); s != nil {
				return appendText(dst, *s), nil
			}
			return append(dst, "null"...), nil
		}
	}
}

// flag writes a boolean.
func flag[T any](get func(*T) bool) how[T] {
	return func(string) write[T] {
		return func(dst []byte, src *T) ([]byte, error) {
			if get(src) {
				return append(dst, "true"...), nil
			}
			return append(dst, "false"...), nil
		}
	}
}

// joined writes a list as one text, joined by commas without spaces.
func joined[T any](get func(*T) []string) how[T] {
	return func(string) write[T] {
		return func(dst []byte, src *T) ([]byte, error) {
			if list := get(src); list != nil {
				return appendText(dst, strings.Join(list, ",")), nil
			}
			return append(dst, "null"...), nil
		}
	}
}

// profile writes the profile attribute that the path names, as Okta sent it.
func profile[T any](get func(*T) map[string]any) how[T] {
	return func(path string) write[T] {
		name := strings.TrimPrefix(path, "profile.")
		return func(dst []byte, src *T) ([]byte, error) {
			return appendValue(dst, get(src)[name])
		}
	}
}

func userProfile(path string) write[okta.User] {
	return profile(func(u *okta.User) map[string]any { return u.Profile })(path)
}

func groupProfile(path string) write[okta.Group] {
	return profile(func(g *okta.Group) map[string]any { return g.Profile })(path)
}

// userType writes the free-form type object as one text: compact JSON with sorted
// keys, so that a consumer's flat attribute store can hold and compare it.
func userType(string) write[okta.User] {
	return func(dst []byte, u *okta.User) ([]byte, error) {
		raw := string(bytes.TrimSpace(u.Type))
		if raw == "" || raw == "null" {
			return append(dst, "null"...), nil
		}
		if key, value, ok := onlyMember(raw); ok {
			dst = append(append(dst, `"{\"`...), key...)
			dst = append(append(dst, `\":\"`...), value...)
			return append(dst, `\"}"`...), nil
		}
		dec := json.NewDecoder(bytes.NewReader(u.Type))
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		sorted, err := appendValue(nil, v)
		if err != nil {
			return nil, err
		}
		return appendText(dst, string(sorted)), nil
	}
}

// onlyMember reads the type object that all recorded users have, {"id":"oty…"}:
// compact, one member, nothing to escape. It spares the decoder.
func onlyMember(raw string) (key, value string, ok bool) {
	inner, opens := strings.CutPrefix(raw, `{"`)
	inner, closes := strings.CutSuffix(inner, `"}`)
	key, value, colon := strings.Cut(inner, `":"`)
	return key, value, opens && closes && colon && plain(key) && plain(value)
}

// field is a row made ready: its key is encoded once.
type field[T any] struct {
	row   row[T]
	key   string // `"city":`
	write write[T]
}

// fields are the attributes of an object in the order of their names, which is the
// order of the JSON.
type fields[T any] []field[T]

var (
	userFields        = users.fields()
	userFieldsByLogin = append(slices.Clone(users), oktaID).fields()
	groupFields       = groups.fields()
)

func (t table[T]) fields() fields[T] {
	fs := make(fields[T], 0, len(t))
	for _, r := range t {
		if r.how != nil {
			fs = append(fs, field[T]{row: r, key: string(appendText(nil, r.mesh)) + ":", write: r.how(r.okta)})
		}
	}
	slices.SortFunc(fs, func(a, b field[T]) int { return cmp.Compare(a.row.mesh, b.row.mesh) })
	return fs
}

// fill adds Attributes and Hash to obj. The hash covers type, external id and every
// attribute that ignore does not name. Everything is encoded once.
func (fs fields[T]) fill(obj mesh.Object, src *T, ignore []string) (mesh.Object, error) {
	work, ok := buffers.Get().(*scratch)
	if !ok {
		work = new(scratch)
	}
	defer buffers.Put(work)
	// What is hashed begins with the identity; the attributes follow in the same
	// buffer, so that without ignore nothing is copied.
	buf := appendSized(work.all[:0], string(obj.Type))
	buf = appendSized(buf, obj.ExternalID)
	start := len(buf)
	counted := work.counted[:0]
	counted = append(counted, buf...)
	for i, f := range fs {
		buf = append(buf, separator(i))
		at := len(buf)
		buf = append(buf, f.key...)
		var err error
		if buf, err = f.write(buf, src); err != nil {
			return mesh.Object{}, &Error{obj.Type, obj.OktaID, f.row.okta, "holds a value that is no JSON"}
		}
		if len(ignore) > 0 && !slices.Contains(ignore, f.row.mesh) {
			counted = append(append(counted, ','), buf[at:]...)
		}
	}
	buf = append(buf, '}')
	work.all, work.counted = buf, counted
	if len(ignore) == 0 {
		counted = buf
	}
	sum := sha256.Sum256(counted)
	// One piece of memory for both; neither can grow into the other.
	kept := slices.Concat(buf[start:], sum[:hashSize])
	end := len(kept) - hashSize
	obj.Attributes, obj.Hash = kept[:end:end], kept[end:len(kept):len(kept)]
	return obj, nil
}

// scratch holds the buffers of one fill, so that an object costs the memory of its
// result and no more.
type scratch struct{ all, counted []byte }

var buffers sync.Pool

// hashSize is enough: an accidental collision within 10^9 objects has a chance of
// about 10^-21.
const hashSize = 16

func separator(i int) byte {
	if i == 0 {
		return '{'
	}
	return ','
}

// appendSized appends s behind its length, so that no two pairs of texts give the
// same bytes.
func appendSized(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// appendValue appends any decoded JSON value. Texts, the usual case, skip
// encoding/json.
func appendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendText(dst, v), nil
	}
	return appendAny(dst, v)
}

// appendText appends s as encoding/json does without HTML escapes; a test holds
// the two together.
func appendText(dst []byte, s string) []byte {
	if !plain(s) {
		// A string always marshals.
		dst, _ = appendAny(dst, s)
		return dst
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// plain says whether s stands in JSON as it is. U+2028 and U+2029, which begin with
// 0xE2, are left to encoding/json, which escapes them.
func plain(s string) bool {
	at := plainWords(s)
	ascii := true
	for i := at; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x20, c == '"', c == '\\', c == 0xE2:
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(s[at:])
}

// plainWords returns how much of s is printable ASCII without quote and backslash,
// counted in words of eight bytes: most texts are nothing else.
func plainWords(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	at := 0
	for ; len(s)-at >= 8; at += 8 {
		b := s[at : at+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		// A byte below n borrows from its top bit when n is taken away; where all top
		// bits are clear, the first such byte is found exactly.
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		if (w|(w-0x20*ones)|(quote-ones)|(backslash-ones))&tops != 0 {
			break
		}
	}
	return at
}

func appendAny(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
