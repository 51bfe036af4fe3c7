package mesh

import (
	"database/sql"
	"fmt"
	"strings"
)

// translator reads a statement from its front to its back.
type translator struct {
	in     string
	out    strings.Builder
	args   []any
	uses   []int
	number map[int]int // $n of an argument's place
	next   int         // the place of the next ?
	depth  int         // of brackets
	open   []opened
	tail   string
}

// opened is what a translation has begun and has to end.
type opened struct {
	depth int    // of the brackets that it is in
	end   string // its text
	join  bool   // it ends with the next clause, else with its bracket
}

func translate(query string, args []any) *pgQuery {
	t := &translator{in: strings.ReplaceAll(query, sqlNow, pgNow), args: args, number: map[int]int{}}
	for len(t.in) > 0 {
		t.step()
	}
	t.close(func(opened) bool { return true })
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
	case c == '(':
		t.depth++
		t.keep(1)
	case c == ')':
		t.close(func(o opened) bool { return o.depth == t.depth })
		t.depth--
		t.keep(1)
	default:
		t.keep(1)
	}
}

// close ends what was opened last, as long as it is due.
func (t *translator) close(due func(o opened) bool) {
	for n := len(t.open) - 1; n >= 0 && due(t.open[n]); n-- {
		t.out.WriteString(t.open[n].end)
		t.open = t.open[:n]
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
	word := t.take()
	switch word {
	case "CROSS", "LEFT", "JOIN", "WHERE", "ORDER", "GROUP", "LIMIT", "UNION", "RETURNING", "ON":
		t.close(func(o opened) bool { return o.join && o.depth == t.depth })
	}
	switch word {
	case "INDEXED": // BY an index: PostgreSQL's planner takes no hints
		t.take()
		t.take()
	case "CROSS", "LEFT":
		t.take() // JOIN
		t.join(word)
	case "JOIN":
		t.join("CROSS")
	case "EXISTS":
		t.exists()
	case "IN":
		t.isIn()
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

// join takes JOIN table alias ON condition. OFFSET 0 keeps the planner from turning the
// join around: it finds the table's rows by the condition, for each row before.
func (t *translator) join(kind string) {
	table := t.take()
	if !strings.HasPrefix(table, "im_") { // of a WITH
		if kind == "CROSS" {
			kind = "INNER"
		}
		t.out.WriteString(kind + " JOIN " + table)
		return
	}
	alias := t.take()
	if alias == "INDEXED" {
		alias, t.in = table, " INDEXED"+t.in
	}
	rest := t.in
	if t.take() == "INDEXED" {
		t.take()
		t.take()
	} else {
		t.in = rest
	}
	t.take() // ON
	end := " OFFSET 0) " + alias + " "
	if kind == "LEFT" {
		end += "ON true "
	}
	t.out.WriteString(kind + " JOIN LATERAL (SELECT " + alias + ".* FROM " + table + " " + alias + " WHERE")
	t.open = append(t.open, opened{depth: t.depth, end: end, join: true})
}

// exists takes EXISTS (SELECT …): with OFFSET 0 it is asked for each row, over an index.
func (t *translator) exists() {
	t.out.WriteString("EXISTS")
	t.open = append(t.open, opened{depth: t.depth + 1, end: " OFFSET 0"})
}

// isIn takes IN: a query's result becomes an array, which an index is searched for.
func (t *translator) isIn() {
	rest := strings.TrimLeft(t.in, " \t\n(")
	if list, ok := strings.CutPrefix(rest, "SELECT j.value FROM json_each("); ok {
		t.in = list
		t.out.WriteString("= ANY (" + t.parameter() + ")")
		t.in = strings.TrimPrefix(t.in, ") j)")
		return
	}
	if !strings.HasPrefix(rest, "SELECT ") {
		t.out.WriteString("IN")
		return
	}
	t.out.WriteString("= ANY (ARRAY(")
	t.in = rest
	t.depth++
	t.open = append(t.open, opened{depth: t.depth, end: ")"})
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
