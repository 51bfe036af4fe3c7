package okta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// wire reads the JSON of one answer value by value, without holding the answer.
//
// It reads what encoding/json reads, with these differences:
//
//   - Names are matched exactly: Okta's "id" is not "ID".
//
//   - A name that occurs twice is an error of its row: the two values need not agree,
//     and another reader might take the other one. What is skipped is not checked.
//
//   - null is the zero value, also after a value; the two together are such an error.
//
//   - Values that are larger or nest deeper than any of Okta's are refused (bounds.go).
//
// Invalid UTF-8 becomes U+FFFD, as there: one broken character must not stop an import.
type wire struct {
	dec  jsontext.Decoder
	text strings.Builder // see keep
	// names are the names of profile attributes, which every row repeats.
	names map[string]string
	spare []byte // a text without its escapes
	// size is how many attributes the last profile had.
	size int
	read int64 // bytes of the answer
	// What the page and the row may still take of the memory.
	pageRoom, rowRoom int
	// Of the current row: the names read so far, and the first problem with one.
	seen    []string
	problem string
}

const (
	keptChunk = 4 << 10  // of texts, in bytes
	maxBuffer = 64 << 10 // of a decoder that is used again; a row takes 1 or 2 KiB
	maxNames  = 1000     // of a decoder that is used again
)

var wires sync.Pool

// openWire returns a wire that reads r, to be closed.
func openWire(r io.Reader) *wire {
	w, ok := wires.Get().(*wire)
	if !ok {
		w = &wire{names: map[string]string{}}
	}
	w.size, w.read, w.pageRoom, w.rowRoom = 0, 0, maxPageMemory, maxRowMemory
	w.dec.Reset(filling{r, w}, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return w
}

// spend takes memory for something of the row that is about to be kept.
func (w *wire) spend(bytes int) error {
	w.pageRoom -= bytes
	w.rowRoom -= bytes
	switch {
	case w.rowRoom < 0:
		return errLargeRow
	case w.pageRoom < 0:
		return errLargePage
	}
	return nil
}

// filling fills a large buffer with one Read: at every Read the decoder moves what it
// holds, so a huge value would take quadratic time if it came in small pieces. It reads
// no more of a value than maxValue: the decoder holds all of it.
type filling struct {
	r io.Reader
	w *wire
}

func (f filling) Read(p []byte) (int, error) {
	// The decoder reads on when what it holds behind the last token is no whole value.
	if f.w.read-f.w.dec.InputOffset() > maxValue {
		return 0, errLarge
	}
	n, err := f.r.Read(p)
	for err == nil && n < len(p) && len(p) > maxBuffer {
		var more int
		more, err = f.r.Read(p[n:])
		n += more
	}
	f.w.read += int64(n)
	return n, err
}

// close hands the buffers to the next answer, unless this one had huge rows.
func (w *wire) close() {
	if w.emptied() {
		wires.Put(w)
	}
}

// emptied lets go of the answer and says whether what remains is small.
func (w *wire) emptied() bool {
	w.dec.Reset(strings.NewReader(""))
	if len(w.names) > maxNames {
		clear(w.names)
	}
	return cap(w.dec.UnreadBuffer()) <= maxBuffer && cap(w.spare) <= maxBuffer
}

// next returns the kind of the next value, 0 for an error that the next read returns.
func (w *wire) next() jsontext.Kind { return w.dec.PeekKind() }

func (w *wire) token() (jsontext.Kind, error) {
	t, err := w.dec.ReadToken()
	if err != nil {
		return 0, tidySyntax(err)
	}
	return t.Kind(), nil
}

// value returns the next value as it stands there, until the next read.
func (w *wire) value() (jsontext.Value, error) {
	v, err := w.dec.ReadValue()
	if err != nil {
		return nil, tidySyntax(err)
	}
	return v, nil
}

func (w *wire) skip() error {
	_, err := w.value()
	return err
}

// ended checks that only whitespace follows. It also reads the body to its end,
// which tells a complete answer from a cut one.
func (w *wire) ended() error {
	switch _, err := w.token(); {
	case err == nil:
		return errors.New("text follows the JSON value")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// object reads an object and calls field for every member, to read its value. name
// holds until then. It reports whether there was an object: what else there is
// becomes a problem of the row, except null.
func (w *wire) object(path string, field func(name []byte) error) (bool, error) {
	if w.next() != jsontext.KindBeginObject {
		return false, w.other(path)
	}
	if _, err := w.token(); err != nil {
		return false, err
	}
	for w.next() != jsontext.KindEndObject {
		name, err := w.value()
		if err != nil {
			return false, err
		}
		if err := field(w.unquote(name)); err != nil {
			return false, err
		}
	}
	_, err := w.token()
	return true, err
}

// str reads a string; null is "".
func (w *wire) str(path string, into *string) error {
	_, err := w.optional(path, into)
	return err
}

// pointer reads a string into at and points into to it; null is nil.
func (w *wire) pointer(path string, at *string, into **string) error {
	present, err := w.optional(path, at)
	if present {
		*into = at
	}
	return err
}

func (w *wire) optional(path string, into *string) (present bool, err error) {
	w.once(path)
	v, err := w.value()
	if err != nil {
		return false, err
	}
	if v.Kind() != jsontext.KindString {
		w.mismatch(path, v.Kind())
		return false, nil
	}
	if err := w.spend(len(v)); err != nil {
		return false, err
	}
	*into = w.keep(w.unquote(v))
	return true, nil
}

// raw reads any value as it stands there; null is nil.
func (w *wire) raw(path string, into *json.RawMessage) error {
	w.once(path)
	v, err := w.value()
	if err != nil || v.Kind() == jsontext.KindNull {
		return err
	}
	if deep(v) {
		return errDeep
	}
	*into = json.RawMessage(bytes.Clone(v))
	return w.spend(len(v))
}

// texts reads a list of strings; null is nil, and "" as an element.
func (w *wire) texts(path string, into *[]string) error {
	w.once(path)
	if w.next() != jsontext.KindBeginArray {
		return w.other(path)
	}
	if _, err := w.token(); err != nil {
		return err
	}
	list := []string{}
	for w.next() != jsontext.KindEndArray {
		v, err := w.value()
		if err != nil {
			return err
		}
		if err := w.spend(costElement + len(v)); err != nil {
			return err
		}
		text := ""
		if v.Kind() == jsontext.KindString {
			text = w.keep(w.unquote(v))
		} else {
			w.mismatch(path, v.Kind())
		}
		list = append(list, text)
	}
	*into = list
	_, err := w.token()
	return err
}

// attributes reads a profile; null is nil.
func (w *wire) attributes(path string, into *map[string]any) error {
	w.once(path)
	room := min(w.size, maxNames)
	if err := w.spend(room * costAttribute); err != nil {
		return err
	}
	profile := make(map[string]any, room)
	count := 0
	found, err := w.object(path, func(name []byte) error {
		if count >= room {
			if err := w.spend(costAttribute + len(name)); err != nil {
				return err
			}
		}
		key := w.name(name)
		v, err := w.value()
		if err != nil {
			return err
		}
		profile[key], err = w.attribute(v)
		count++
		return err
	})
	if found {
		*into = profile
	}
	w.size = len(profile)
	if len(profile) < count {
		w.fault(fmt.Sprintf("has one name twice in %q", path))
	}
	return err
}

func (w *wire) attribute(v jsontext.Value) (any, error) {
	cost := len(v)
	if kind := v.Kind(); kind == jsontext.KindBeginArray || kind == jsontext.KindBeginObject {
		if deep(v) {
			return nil, errDeep
		}
		cost *= costAnyByte
	}
	if err := w.spend(cost); err != nil {
		return nil, err
	}
	switch v.Kind() {
	case jsontext.KindString:
		return w.keep(w.unquote(v)), nil
	case jsontext.KindNumber:
		return json.Number(w.keep(v)), nil
	case jsontext.KindTrue:
		return true, nil
	case jsontext.KindFalse:
		return false, nil
	case jsontext.KindNull:
		return nil, nil
	default: // few attributes are lists
		dec := json.NewDecoder(bytes.NewReader(v))
		dec.UseNumber()
		var list any
		err := dec.Decode(&list)
		return list, err
	}
}

// once notes that a name was read.
func (w *wire) once(path string) {
	if slices.Contains(w.seen, path) {
		w.fault(fmt.Sprintf("has %q twice", path))
	}
	w.seen = append(w.seen, path)
}

// other skips a value that is not of the expected kind.
func (w *wire) other(path string) error {
	v, err := w.value()
	if err == nil {
		w.mismatch(path, v.Kind())
	}
	return err
}

// mismatch notes a value of the wrong kind. The value itself may be personal data:
// only its kind is named.
func (w *wire) mismatch(path string, kind jsontext.Kind) {
	if kind == jsontext.KindNull {
		return
	}
	word := kindWords[kind]
	if path == "" {
		w.fault("is no object but a JSON " + word)
		return
	}
	w.fault(fmt.Sprintf("has a JSON %s for %q", word, path))
}

var kindWords = map[jsontext.Kind]string{
	jsontext.KindFalse: "bool", jsontext.KindTrue: "bool", jsontext.KindNumber: "number", jsontext.KindString: "string",
	jsontext.KindBeginObject: "object", jsontext.KindBeginArray: "array",
}

// fault keeps the first problem of a row; the row is read to its end all the same,
// for its id and because broken JSON is another error.
func (w *wire) fault(problem string) {
	if w.problem == "" {
		w.problem = problem
	}
}

// unquote returns the text of a valid JSON string, until the next read.
func (w *wire) unquote(v jsontext.Value) []byte {
	text := v[1 : len(v)-1]
	if bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return text
	}
	// The error says that something became U+FFFD.
	w.spare, _ = jsontext.AppendUnquote(w.spare[:0], v)
	return w.spare
}

// keep copies a text. Short texts share their memory with their neighbours: a page
// of users has some ten thousand of them.
func (w *wire) keep(text []byte) string {
	if len(text) > keptChunk/4 {
		return string(text)
	}
	if w.text.Cap()-w.text.Len() < len(text) {
		w.text = strings.Builder{}
		w.text.Grow(keptChunk)
	}
	start := w.text.Len()
	w.text.Write(text)
	return w.text.String()[start:]
}

// name returns the one copy of an attribute's name.
func (w *wire) name(text []byte) string {
	name, ok := w.names[string(text)]
	if !ok {
		name = string(text)
		w.names[name] = name
	}
	return name
}

// syntaxError says where a text breaks the grammar of JSON. The decoder's own error
// quotes names, and what a broken text makes a name may be anybody's data.
type syntaxError struct{ offset int64 }

func (e *syntaxError) Error() string { return fmt.Sprintf("not JSON from byte %d on", e.offset) }

// tidySyntax keeps the place of a syntax error, and whether the text just ended.
func tidySyntax(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.ErrUnexpectedEOF
	}
	if bound, ok := errors.AsType[*boundError](err); ok {
		return bound
	}
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if wrong.Err != nil && wrong.Err.Error() == "exceeded max depth" { // the decoder's own limit, 10,000
			return errDeepText
		}
		return &syntaxError{wrong.ByteOffset}
	}
	return err
}
