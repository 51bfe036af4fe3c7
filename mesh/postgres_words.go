package mesh

import (
	"database/sql"
	"fmt"
	"reflect"
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
