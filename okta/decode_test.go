package okta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const (
	wireUser = `{"id":"00u1","status":"ACTIVE","transitioningToStatus":null,"created":"2026-05-15T17:24:32.000Z","activated":null,` +
		`"type":{ "id" : "oty1" },"realmId":"guo1","profile":{"login":"anna@example.com","n":-1.50e+3,"b":true,"c":false,"x":null,` +
		`"list":["a",{"k":12345678901234567890}],"\u0065sc":"a\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00\ud800"},"_links":{"self":{"href":"x"}}}`
	wireGroup = `{"id":"00g1","type":"APP_GROUP","created":"2026-05-15T17:24:32.000Z","lastUpdated":"x","lastMembershipUpdated":null,` +
		`"objectClass":["okta:windows_security_principal",null],"source":{"id":"0oa1","name":"x"},"profile":{"name":"Sales","description":null}}`
)

// stdList is decodeList as it would be with encoding/json.
func stdList[T any](r io.Reader, k kind[T]) ([]T, error) {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	if first, err := dec.Token(); err != nil || first != json.Delim('[') {
		return nil, errors.Join(err, errors.New("no list"))
	}
	var rows []T
	for dec.More() {
		var row T
		if err := stdRow(dec, &row, len(rows)+1, k); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, errors.New("more than a list"))
	}
	return rows, nil
}

func stdRow[T any](dec *json.Decoder, into *T, row int, k kind[T]) error {
	err := dec.Decode(into)
	if u, ok := any(into).(*User); ok && string(u.Type) == "null" {
		u.Type = nil
	}
	id, problem := k.check(into)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		kind, _, _ := strings.Cut(wrong.Value, " ")
		if problem = fmt.Sprintf("has a JSON %s for %q", kind, wrong.Field); wrong.Field == "" {
			problem = "is no object but a JSON " + kind
		}
		err = nil
	}
	if err == nil && problem != "" {
		err = &rowError{row: row, id: id, problem: problem}
	}
	return err
}

// differs says whether a text holds one of the differences that [wire] lists, by
// walking it with encoding/json: a name twice, or a known name in other letters.
func differs(text string) bool {
	known := []string{
		"id", "status", "transitioningToStatus", "created", "activated", "statusChanged", "lastLogin", "lastUpdated",
		"passwordChanged", "type", "realmId", "profile", "lastMembershipUpdated", "objectClass", "source",
	}
	dec := json.NewDecoder(strings.NewReader(text))
	type level struct {
		names map[string]bool // nil in a list
		value bool            // a value is next, not a name
	}
	var stack []level
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		top := len(stack) - 1
		if name, ok := token.(string); ok && top >= 0 && stack[top].names != nil && !stack[top].value {
			for _, k := range known {
				if strings.EqualFold(k, name) && k != name {
					return true
				}
			}
			if stack[top].names[name] {
				return true
			}
			stack[top].names[name], stack[top].value = true, true
			continue
		}
		if top >= 0 {
			stack[top].value = false
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{names: map[string]bool{}})
		case json.Delim('['):
			stack = append(stack, level{})
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
		}
	}
}

func agree[T any](t require.TestingT, text string, k kind[T]) {
	got, err := decodeList(strings.NewReader(text), k)
	if differs(text) {
		return
	}
	want, wantErr := stdList(strings.NewReader(text), k)
	require.Equal(t, wantErr == nil, err == nil, "%v\n%v", wantErr, err)
	require.Equal(t, want, got)
	if row, ok := errors.AsType[*rowError](wantErr); ok {
		require.Equal(t, row.Error(), err.Error())
	}
}

// FuzzDecode holds the decoder against encoding/json: the same rows, or both an error.
func FuzzDecode(f *testing.F) {
	for _, row := range []string{
		wireUser, wireGroup, `{"id":"00u1","profile":{}}`, `null`, `[]`, `7`, `"x"`, `true`, `{`, `{}`, `{"id":7,"profile":[]}`,
		`{"id":"1","profile":{"a":1,"a":2}}`, `{"ID":"1","profile":{}}`, `{"id":"1","id":"2"}`, `{"id":null,"profile":"x"}`,
		`{"id":"1","type":null,"profile":null}`, `{"id":"1","type":[1, 2],"profile":{"":""}}`, `{"id":"1","source":7,"profile":{}}`,
		`{"id":"1","source":{"id":7},"objectClass":[7],"profile":{}}`, `{"id":"1","objectClass":[],"source":null,"profile":{}}`,
		"{\"id\":\"\xff\xc3\",\"profile\":{\"\xff\":\"\xed\xa0\x80\"}}", `{"id":"\ud800\u0041\udc00","profile":{"a":01}}`,
		`{"id":"1","profile":{"a":1e999,"b":-0,"c":[[[{}]]]}}`, "{\"id\":\"a\x01\"}", `{"\u0069d":"1","profile":{}}`, `{"id":"1"}x`,
	} {
		f.Add("[" + row + "]")
		f.Add(" [ " + row + " , " + row + " ]\n")
		f.Add(row)
	}
	f.Fuzz(func(t *testing.T, text string) {
		agree(t, text, userKind)
		agree(t, text, groupKind)
		agree(t, text, memberKind)
	})
}

// TestPropertyDecode does the same with texts that resemble rows more often.
func TestPropertyDecode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := "[" + strings.Join(rapid.SliceOfN(rapid.Custom(drawRow), 0, 3).Draw(t, "rows"), ",") + "]"
		if rapid.Bool().Draw(t, "broken") {
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			insert := rapid.SampledFrom([]string{"", "\"", "{", "]", ",", ":", "\\", "0", "\x00", "\xff", " "}).Draw(t, "insert")
			text = text[:at] + insert + text[at+rapid.IntRange(0, 1).Draw(t, "drop"):]
		}
		agree(t, text, userKind)
		agree(t, text, groupKind)
		agree(t, text, memberKind)
	})
}

func drawRow(t *rapid.T) string {
	row := `{"id":"00u1","profile":` + drawObject(t, 2, []string{"login", "a", "b"})
	if rapid.IntRange(0, 3).Draw(t, "incomplete") == 0 {
		row = `{"_links":7`
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"status", "created", "lastUpdated", "type", "realmId", "objectClass", "source", "lastMembershipUpdated", "x", "\\u0065",
	}), 0, 6, rapid.ID).Draw(t, "names") {
		value := rapid.SampledFrom([]string{`"text"`, `null`, `["a","b"]`, `{"id":"0oa1"}`}).Draw(t, "usual")
		if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
			value = drawValue(t, 2)
		}
		row += `,"` + name + `":` + value
	}
	return row + "}"
}

func drawObject(t *rapid.T, depth int, names []string) string {
	var members []string
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, len(names), rapid.ID).Draw(t, "members") {
		members = append(members, `"`+name+`" : `+drawValue(t, depth-1))
	}
	return "{" + strings.Join(members, ",") + "}"
}

func drawValue(t *rapid.T, depth int) string {
	leaves := []string{
		`null`, `true`, `false`, `0`, `-0.50E+7`, `01`, `""`, `"text"`, `"\u00e4\ud800\ud83d\ude00\n"`, `"\x"`, `"é\xff"`, `nul`,
	}
	switch form := rapid.IntRange(0, 5).Draw(t, "form"); {
	case depth > 0 && form == 0:
		return drawObject(t, depth, []string{"id", "k", "é"})
	case depth > 0 && form == 1:
		return "[" + strings.Join(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawValue(t, depth-1) }), 0, 3).Draw(t, "list"), ",\n") + "]"
	}
	return rapid.SampledFrom(leaves).Draw(t, "leaf")
}

// What encoding/json takes otherwise.
func TestDecodeDifferences(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		`[{"ID":"00u1","profile":{}}]`:                                    "row 1 of the page has no id",
		`[{"id":"00u1","Profile":{}}]`:                                    "row 1 of the page (id 00u1) has no profile object",
		`[{"id":"00u1","profile":{},"id":"00u2"}]`:                        `(id 00u2) has "id" twice`,
		`[{"id":"00u1","profile":{},"id":null}]`:                          `has "id" twice`,
		`[{"id":"00u1","profile":{"a":1},"profile":{}}]`:                  `has "profile" twice`,
		`[{"id":"00u1","profile":{"anna":"secret","\u0061nna":"other"}}]`: `has one name twice in "profile"`,
	} {
		_, err := decodeList(strings.NewReader(text), userKind)
		require.ErrorContains(t, err, says, text)
		require.NotContains(t, err.Error(), "anna")
	}
	_, err := decodeList(strings.NewReader(`[{"id":"00g1","source":{"id":"1","id":"2"},"profile":{}}]`), groupKind)
	require.ErrorContains(t, err, `has "source.id" twice`)
	// What is not read is not checked.
	rows, err := decodeList(strings.NewReader(`[{"id":"00u1","status":"ACTIVE","x":1,"x":2,"profile":{"x":{"y":1,"y":2}}}]`), memberKind)
	require.NoError(t, err)
	require.Equal(t, []Member{{ID: "00u1", Status: "ACTIVE"}}, rows)
}

// A page that is cut anywhere is no page, and how it arrives makes no difference.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	users, groups := "["+wireUser+","+wireUser+"]\n", "["+wireGroup+","+wireGroup+"]"
	cutAnywhere(t, users, userKind)
	cutAnywhere(t, users, memberKind)
	cutAnywhere(t, groups, groupKind)
}

func cutAnywhere[T any](t *testing.T, text string, k kind[T]) {
	t.Helper()
	want, err := stdList(strings.NewReader(text), k)
	require.NoError(t, err)
	require.Len(t, want, 2)
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "error with data": iotest.DataErrReader,
	} {
		got, err := decodeList(reader(strings.NewReader(text)), k)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	for end := range strings.TrimRight(text, "\n") {
		_, err := decodeList(strings.NewReader(text[:end]), k)
		require.Error(t, err, text[:end])
		require.True(t, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF), "%q: %v", text[:end], err)
	}
}

// A connection that breaks anywhere is named as the cause.
func TestBrokenAnywhere(t *testing.T) {
	t.Parallel()
	text, broken := "["+wireUser+"]", errors.New("connection reset")
	for end := range text {
		client, _ := setup(t, nil, func(o *Options) {
			o.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				body := io.MultiReader(strings.NewReader(text[:end]), iotest.ErrReader(broken))
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body)}, nil
			})}
		})
		users, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
		requireKind(t, err, RetryLater)
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "the answer broke off")
		require.Nil(t, users)
	}
}

// Rows outlive the buffers that they were read from.
func TestRowsAreCopies(t *testing.T) {
	t.Parallel()
	page := benchPage(50)
	want, err := stdList(bytes.NewReader(page), userKind)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var kept [][]User
			for range 5 {
				rows, err := decodeList(bytes.NewReader(page), userKind)
				if err != nil {
					t.Error(err)
				}
				kept = append(kept, rows)
				_, _ = decodeList(strings.NewReader(strings.Repeat("[", 5000)), groupKind)
				_, _ = decodeList(bytes.NewReader(benchGroups(50)), groupKind)
			}
			for _, rows := range kept {
				if !equalJSON(want, rows) {
					t.Error("a page changed after it was read")
				}
			}
		})
	}
	wg.Wait()
}

func equalJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// A huge row does not make its buffer stay; a long text stands for itself.
func TestHugeRow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxValue-100)
	text := `[{"id":"00u1","profile":{"long":"` + long + `","escaped":"\n` + long + `"}}]`
	rows, err := decodeList(strings.NewReader(text), userKind)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"long": long, "escaped": "\n" + long}, rows[0].Profile)

	for text, small := range map[string]bool{"[" + wireUser + "]": true, text: false} {
		w := openWire(strings.NewReader(text))
		require.NoError(t, w.skip())
		require.Equal(t, small, w.emptied())
	}
	w := openWire(strings.NewReader(""))
	for i := range maxNames + 1 {
		w.name([]byte(fmt.Sprint(i)))
	}
	require.True(t, w.emptied())
	require.Empty(t, w.names)
}

// What a broken text makes a name may be anybody's data.
func TestSyntaxErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`[{"id":"00u1","profile":{"a":"b"Anna Secret":"c"}}]`,
		`[{"id":"00u1","profile":{"Anna Secret":"\x"}}]`,
		`[{"id":"00u1","profile":{"Anna Secret":{"Anna Secret":01}}}]`,
		"[{\"id\":\"00u1\",\"profile\":{\"Anna Secret\":\"\\uAnna\"}}]",
	} {
		client, _ := setup(t, answer(200, text))
		_, _, err := client.ListUsers(t.Context(), ListUsers{}, "")
		requireKind(t, err, RetryLater)
		require.ErrorContains(t, err, "malformed JSON: not JSON from byte ")
		require.NotContains(t, err.Error(), "Anna")
	}
}
