package oktasim

import (
	"slices"
	"strings"
)

// objectKind is what the lists need to know of users or groups.
type objectKind[T any] struct {
	prefix  string
	id      func(*T) string
	compare func(*T, string) int
	exists  func(o *Org, id string) bool
}

var (
	userKind  = objectKind[user]{prefixUser, func(u *user) string { return u.id }, compareUserID, (*Org).isUser}
	groupKind = objectKind[group]{prefixGroup, func(g *group) string { return g.id }, compareGroupID, (*Org).isGroup}
)

// listRow is one row as it is written: up to two pieces of its body.
type listRow struct {
	id         string
	head, tail []byte
}

// listing is a list of users or groups, ordered by id unless it is a search that
// asks for another order.
type listing[T any] struct {
	kind   objectKind[T]
	limits limits
	mark   string               // stands before the id in a cursor
	source func() ([]*T, error) // all rows by id, called under the org's lock
	match  predicate[T]         // nil takes all
	row    func(*T) listRow
	search *vocabulary[T] // of a search: it may be sorted, and it is capped
	single bool           // one page without a cursor, as q answers
}

// answer answers the page that the request asks for.
func (l listing[T]) answer(c *call) error {
	limit, err := pageLimit(c.query, l.limits)
	if err != nil {
		return err
	}
	o := c.org()
	o.mu.RLock()
	rows, next, err := l.page(c, limit)
	o.mu.RUnlock()
	if err != nil {
		return err
	}
	rows, next = c.spoil(rows, next)
	c.setLinks(limit, next)
	return c.writeRows(rows)
}

// page needs the org's lock.
func (l listing[T]) page(c *call, limit int) (rows []listRow, next string, err error) {
	list, err := l.source()
	if err != nil {
		return nil, "", err
	}
	if l.search != nil && c.query.Get("sortBy") != "" {
		return l.sorted(c, list, limit)
	}
	after := ""
	if !l.single {
		if after, err = keysetCursor(c, l.mark, l.kind); err != nil {
			return nil, "", err
		}
	}
	if l.search != nil {
		list = l.capped(list, c.s.cfg.SearchCap)
	}
	rows, last, more := l.keyset(list, after, limit)
	if more && !l.single {
		next = l.mark + l.kind.id(last)
	}
	return rows, next, nil
}

// capped cuts a list behind the last row that a search gives out.
func (l listing[T]) capped(list []*T, most int) []*T {
	if len(list) <= most {
		return list
	}
	n := 0
	for i, t := range list {
		if l.match == nil || l.match(t) {
			if n++; n == most {
				return list[:i+1]
			}
		}
	}
	return list
}

// keyset walks a list from behind after. more says that a matching row follows
// the page.
func (l listing[T]) keyset(list []*T, after string, limit int) (rows []listRow, last *T, more bool) {
	start := 0
	if after != "" {
		i, found := slices.BinarySearchFunc(list, after, l.kind.compare)
		if start = i; found {
			start++
		}
	}
	for _, t := range list[start:] {
		if l.match != nil && !l.match(t) {
			continue
		}
		if len(rows) == limit {
			return rows, last, true
		}
		rows = append(rows, l.row(t))
		last = t
	}
	return rows, last, false
}

// sorted is one page of a search with sortBy; ties are ordered by id.
func (l listing[T]) sorted(c *call, list []*T, limit int) (rows []listRow, next string, err error) {
	by := c.query.Get("sortBy")
	p, ok := l.search.resolve(by)
	if !ok {
		return nil, "", errExpression("The property '" + by + "' cannot be sorted by.")
	}
	order := strings.ToLower(c.query.Get("sortOrder"))
	if order != "" && order != "asc" && order != "desc" {
		return nil, "", errValidation("sortOrder", "sortOrder: must be asc or desc")
	}
	type keyed struct {
		key sortKey
		t   *T
	}
	var all []keyed
	for _, t := range list {
		if l.match(t) {
			all = append(all, keyed{p.sortKey(t, l.kind.id(t)), t})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int { return a.key.compare(b.key, order == "desc") })
	all = all[:min(len(all), c.s.cfg.SearchCap)]
	if c.query.Has("after") {
		after, ok := parseSortCursor(c.query.Get("after"))
		if !ok {
			return nil, "", errBadCursor()
		}
		i := slices.IndexFunc(all, func(k keyed) bool { return k.key.compare(after, order == "desc") > 0 })
		if i < 0 {
			i = len(all)
		}
		all = all[i:]
	}
	if len(all) > limit {
		next = sortCursor(all[limit-1].key)
		all = all[:limit]
	}
	for _, k := range all {
		rows = append(rows, l.row(k.t))
	}
	return rows, next, nil
}

// asked picks the way in which a list was asked: search, filter, q or "" for the
// plain list. Okta does not say which of two wins; a client must not depend on it.
func (c *call) asked() (string, error) {
	way := ""
	for _, name := range []string{"search", "filter", "q"} {
		if c.query.Get(name) == "" {
			continue
		}
		if way != "" {
			return "", errExpression("Use one of search, filter and q.")
		}
		way = name
	}
	return way, nil
}

// compileQuery compiles the parameter named way by a vocabulary that reads the
// org's schema.
func compileQuery[T any](c *call, v vocabulary[T], way string) (predicate[T], error) {
	o := c.org()
	o.mu.RLock()
	defer o.mu.RUnlock()
	return compileExpression(v, c.query.Get(way))
}
