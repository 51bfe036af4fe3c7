package mesh

import (
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// pgWords says the engine's statements in PostgreSQL's words. It knows what the engine
// says, not all of SQLite's SQL: parameters, lists, INSERT OR …, hints to the planner, and
// the functions that have another name.
type pgWords struct {
	mu    sync.RWMutex
	known map[wordsKey]*pgQuery // as many as the engine has statements
}

// wordsKey is a statement with the types of its arguments.
type wordsKey struct{ query, kinds string }

// pgQuery is a statement in PostgreSQL's words.
type pgQuery struct {
	sql  string
	uses []int // the place of the argument for $1, $2 …
}

// The kinds of arguments, each a type of PostgreSQL's. A parameter's type is always said:
// what PostgreSQL would infer from one use may not fit another.
const (
	kindNull     = 'n'
	kindInteger  = 'i'
	kindText     = 's'
	kindBytes    = 'y'
	kindIntegers = 'I'
	kindTexts    = 'S'
	kindByteses  = 'Y'
)

var pgTypes = map[byte]string{
	kindNull: "", kindInteger: "::bigint", kindText: "::text", kindBytes: "::bytea",
	kindIntegers: "::bigint[]", kindTexts: "::text[]", kindByteses: "::bytea[]",
}

func (w *pgWords) say(query string, args []any) (string, []any) {
	kinds := make([]byte, 0, 64)
	values := make([]any, len(args))
	for i, a := range args {
		if named, ok := a.(sql.NamedArg); ok {
			kinds = append(append(kinds, named.Name...), ':')
			a = named.Value
		}
		var kind byte
		values[i], kind = pgValue(a)
		kinds = append(kinds, kind)
	}
	q := w.of(wordsKey{query, string(kinds)}, args)
	used := make([]any, len(q.uses))
	for i, at := range q.uses {
		used[i] = values[at]
	}
	return q.sql, used
}

func (w *pgWords) of(key wordsKey, args []any) *pgQuery {
	w.mu.RLock()
	q := w.known[key]
	w.mu.RUnlock()
	if q != nil {
		return q
	}
	q = translate(key.query, args)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.known == nil {
		w.known = map[wordsKey]*pgQuery{}
	}
	w.known[key] = q
	return q
}

// pgValue is an argument as the driver takes it, with its kind.
func pgValue(a any) (any, byte) {
	switch v := a.(type) {
	case nil:
		return nil, kindNull
	case int64:
		return v, kindInteger
	case int:
		return int64(v), kindInteger
	case bool:
		if v {
			return int64(1), kindInteger
		}
		return int64(0), kindInteger
	case string:
		return pack(v), kindText
	case []byte:
		return v, kindBytes
	case keyList:
		return []int64(v), kindIntegers
	case []int64, []*int64:
		return v, kindIntegers
	case pairList:
		list := make([]int64, len(v))
		for i, p := range v {
			list[i] = int64(p)
		}
		return list, kindIntegers
	case textList:
		return packAll(v), kindTexts
	case []*string:
		return v, kindTexts
	case [][]byte:
		return v, kindByteses
	}
	r := reflect.ValueOf(a)
	if r.Kind() == reflect.String {
		return pack(r.String()), kindText
	}
	panic(fmt.Sprintf("the mesh has no words for an argument of type %T", a)) // a mistake of ours, which every test would meet
}

// replaced are the tables that INSERT OR REPLACE is used for: their primary keys, and their
// other columns.
var replaced = map[string][2]string{
	"im_dirty":      {"connector_key, stage, side, key", "after"},
	"im_seen_edges": {"progress_key, page", "members"},
	"im_staged":     {"run_key, key", "kind, type, reason, looked_up, external_id, external_fold, attributes, hash, stamp"},
}

// translator reads a statement from its front to its back.
type translator struct {
	in     string
	out    strings.Builder
	args   []any
	uses   []int
	number map[int]int // $n of an argument's place
	next   int         // the place of the next ?
	tail   string
}

func translate(query string, args []any) *pgQuery {
	t := &translator{in: strings.ReplaceAll(query, sqlNow, pgNow), args: args, number: map[int]int{}}
	for len(t.in) > 0 {
		t.step()
	}
	return &pgQuery{sql: t.out.String() + t.tail, uses: t.uses}
}

func (t *translator) step() {
	switch c := t.in[0]; {
	case c == '\'':
		n := strings.IndexByte(t.in[1:], '\'') + 2
		t.keep(n)
	case c == '?' || c == ':' && len(t.in) > 1 && isWord(t.in[1]):
		t.out.WriteString(t.parameter())
	case isWord(c):
		t.word()
	default:
		t.keep(1)
	}
}

// keep copies n bytes.
func (t *translator) keep(n int) {
	t.out.WriteString(t.in[:n])
	t.in = t.in[n:]
}

// take takes the next word, with the spaces before it.
func (t *translator) take() string {
	t.in = strings.TrimLeft(t.in, " \t\n")
	n := 0
	for n < len(t.in) && isWord(t.in[n]) {
		n++
	}
	word := t.in[:n]
	t.in = t.in[n:]
	return word
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// parameter takes ?, ?3 or :name.
func (t *translator) parameter() string {
	named := t.in[0] == ':'
	t.in = t.in[1:]
	var name string
	if len(t.in) > 0 && isWord(t.in[0]) {
		name = t.take()
	}
	at := t.next
	switch {
	case named:
		at = -1
		for i, a := range t.args {
			if n, ok := a.(sql.NamedArg); ok && n.Name == name {
				at = i
			}
		}
	case name != "":
		if _, err := fmt.Sscan(name, &at); err != nil {
			panic(fmt.Sprintf("parameter ?%s: %v", name, err))
		}
		at--
	default:
		t.next++
	}
	if at < 0 || at >= len(t.args) {
		panic(fmt.Sprintf("the mesh says nothing for parameter %q of %.80q", name, t.out.String()))
	}
	n, ok := t.number[at]
	if !ok {
		t.uses = append(t.uses, at)
		n = len(t.uses)
		t.number[at] = n
	}
	a := t.args[at]
	if n, ok := a.(sql.NamedArg); ok {
		a = n.Value
	}
	_, kind := pgValue(a)
	return fmt.Sprintf("$%d%s", n, pgTypes[kind])
}

func (t *translator) word() {
	switch word := t.take(); word {
	case "INDEXED": // BY an index: PostgreSQL's planner takes no hints
		t.take()
		t.take()
	case "CROSS": // what fixes SQLite's order of a join; join_collapse_limit fixes PostgreSQL's
	case "OR":
		t.or()
	case "json_each":
		t.list()
	case "max", "min":
		t.extreme(word)
	case "temp":
		t.out.WriteString("pg_temp")
	default:
		t.out.WriteString(word)
	}
}

// or takes what follows INSERT OR.
func (t *translator) or() {
	rest := t.in
	switch t.take() {
	case "IGNORE":
		t.tail = " ON CONFLICT DO NOTHING"
	case "REPLACE":
		t.take() // INTO
		table := t.take()
		t.in = " INTO " + table + t.in
		columns := replaced[table]
		set := strings.Split(columns[1], ", ")
		for i, c := range set {
			set[i] = c + " = excluded." + c
		}
		t.tail = " ON CONFLICT (" + columns[0] + ") DO UPDATE SET " + strings.Join(set, ", ")
	default:
		t.in = rest
		t.out.WriteString("OR")
	}
}

// list takes json_each(parameter) alias.
func (t *translator) list() {
	t.in = t.in[1:] // the bracket
	list := t.parameter()
	t.in = t.in[1:]
	t.out.WriteString("unnest(" + list + ") WITH ORDINALITY AS " + t.take() + "(value, key)")
}

// extreme tells the function of several values from the aggregate.
func (t *translator) extreme(word string) {
	depth := 0
	for _, c := range t.in {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 1 {
				word = map[string]string{"max": "greatest", "min": "least"}[word]
				depth = 0
			}
		}
		if depth == 0 {
			break
		}
	}
	t.out.WriteString(word)
}
