package oktasim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// listUsers is GET /users. The plain list and q leave out DEPROVISIONED users,
// filter and search include them (facts.md §1).
func listUsers(c *call) error {
	modes := 0
	for _, name := range []string{"search", "filter", "q"} {
		if c.query.Get(name) != "" {
			modes++
		}
	}
	if modes > 1 {
		// Okta does not say which one wins; a client must not depend on it.
		return errExpression("Use one of search, filter and q.")
	}
	switch {
	case c.query.Get("search") != "":
		return searchUsers(c)
	case c.query.Get("filter") != "":
		match, err := compileExpression(userFilter, c.query.Get("filter"))
		if err != nil {
			return err
		}
		return pageUsers(c, limitUsers, "0", match)
	case c.query.Get("q") != "":
		return queryUsers(c)
	}
	return pageUsers(c, limitUsers, "0", func(u *user) bool { return u.status != Deprovisioned })
}

// pageUsers answers one page of the users that match, by id.
func pageUsers(c *call, l limits, mark string, match predicate[user]) error {
	limit, err := pageLimit(c.query, l)
	if err != nil {
		return err
	}
	o, trimmed := c.org(), c.trimmed()
	o.mu.RLock()
	after, err := c.keysetCursor(mark, prefixUser, o.isUser)
	if err != nil {
		o.mu.RUnlock()
		return err
	}
	rows, last, more := keysetPage(o.users, after, limit, compareUserID, match, func(u *user) userRow { return u.row(trimmed) })
	next := ""
	if more {
		next = mark + last.id
	}
	o.mu.RUnlock()
	c.setLinks(limit, next)
	return c.writeRows(rows)
}

// keysetPage walks a list that is ordered by id from behind after. more says
// that a matching row follows the page.
func keysetPage[T any](list []*T, after string, limit int, compare func(*T, string) int, match predicate[T], row func(*T) userRow) (rows []userRow, last *T, more bool) {
	start := 0
	if after != "" {
		i, found := slices.BinarySearchFunc(list, after, compare)
		if start = i; found {
			start++
		}
	}
	for _, t := range list[start:] {
		if match != nil && !match(t) {
			continue
		}
		if len(rows) == limit {
			return rows, last, true
		}
		rows = append(rows, row(t))
		last = t
	}
	return rows, last, false
}

// searchUsers is GET /users?search=, with or without sortBy.
func searchUsers(c *call) error {
	o := c.org()
	vocabulary := o.userSearch()
	o.mu.RLock()
	match, err := compileExpression(vocabulary, c.query.Get("search"))
	o.mu.RUnlock()
	if err != nil {
		return err
	}
	if c.query.Get("sortBy") == "" {
		return pageUsers(c, limitUsers, "", match)
	}
	limit, err := pageLimit(c.query, limitUsers)
	if err != nil {
		return err
	}
	trimmed := c.trimmed()
	o.mu.RLock()
	rows, next, err := sortedPage(c, o.users, vocabulary, limit, match,
		func(u *user) string { return u.id }, func(u *user) userRow { return u.row(trimmed) })
	o.mu.RUnlock()
	if err != nil {
		return err
	}
	c.setLinks(limit, next)
	return c.writeRows(rows)
}

// sortedPage is one page of a search with sortBy.
func sortedPage[T any](c *call, list []*T, v vocabulary[T], limit int, match predicate[T], id func(*T) string, row func(*T) userRow) (rows []userRow, next string, err error) {
	by := c.query.Get("sortBy")
	p, ok := v.resolve(by)
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
		if match(t) {
			all = append(all, keyed{p.sortKey(t, id(t)), t})
		}
	}
	slices.SortFunc(all, func(a, b keyed) int { return a.key.compare(b.key, order == "desc") })
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
		rows = append(rows, row(k.t))
	}
	return rows, next, nil
}

// queryUsers is GET /users?q=: names and e-mail that start with q, one page only.
func queryUsers(c *call) error {
	limit, err := pageLimit(c.query, limitUsersQ)
	if err != nil {
		return err
	}
	q := strings.ToLower(c.query.Get("q"))
	starts := func(u *user, name string) bool {
		return strings.HasPrefix(strings.ToLower(rawText(member(u.profile, name))), q)
	}
	o, trimmed := c.org(), c.trimmed()
	o.mu.RLock()
	rows, _, _ := keysetPage(o.users, "", limit, compareUserID, func(u *user) bool {
		return u.status != Deprovisioned && u.profile != nil && (starts(u, "firstName") || starts(u, "lastName") || starts(u, "email"))
	}, func(u *user) userRow { return u.row(trimmed) })
	o.mu.RUnlock()
	c.setLinks(limit, "")
	return c.writeRows(rows)
}

func getUser(c *call) error {
	o := c.org()
	o.mu.RLock()
	u := o.userByRef(c.ids[0])
	if u == nil {
		o.mu.RUnlock()
		return errNotFound(c.ids[0], "User")
	}
	body, etag := u.single(o.schemaOf(u.typeID), c.trimmed()), u.etag()
	o.mu.RUnlock()
	c.w.Header().Set("ETag", etag)
	return c.writeJSON(body)
}

func createUser(c *call) error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	n := newUser{credentials: body.get("credentials"), typeID: typeOf(body)}
	if n.activate, err = boolParam(c, "activate", true); err != nil {
		return err
	}
	n.expire = c.query.Get("nextLogin") == "changePassword"
	if n.profile, err = profileOf(body); err != nil {
		return err
	}
	if n.profile == nil {
		return errValidation("profile", "profile: The field cannot be left blank")
	}
	if ids := body.get("groupIds"); !isNull(ids) && json.Unmarshal(ids, &n.groupIDs) != nil {
		return errBadJSON()
	}
	id, err := c.org().createUser(n)
	if err != nil {
		return err
	}
	return answerUser(c, id)
}

func updateUser(c *call) error { return changeUser(c, false) }

func replaceUser(c *call) error { return changeUser(c, true) }

func changeUser(c *call, replace bool) error {
	body, err := c.readBody()
	if err != nil {
		return err
	}
	change := userChange{credentials: body.get("credentials"), typeID: typeOf(body), replace: replace}
	if change.profile, err = profileOf(body); err != nil {
		return err
	}
	if replace && change.profile == nil {
		return errValidation("profile", "profile: The field cannot be left blank")
	}
	if want := c.r.Header.Get("If-Match"); want != "" {
		if err := checkETag(c, want); err != nil {
			return err
		}
	}
	if err := c.org().updateUser(c.ids[0], change); err != nil {
		return err
	}
	return answerUser(c, c.ids[0])
}

// checkETag is If-Match. Okta documents that it exists (SPEC updateUser), not
// how it refuses; 412 is HTTP's own answer.
func checkETag(c *call, want string) error {
	o := c.org()
	o.mu.RLock()
	defer o.mu.RUnlock()
	if u := o.userByRef(c.ids[0]); u != nil && u.etag() != want && want != "*" {
		return &Error{http.StatusPreconditionFailed, "E0000031", "The user has changed since the ETag was read.", nil}
	}
	return nil
}

// answerUser answers a write with the whole user. One who was deleted in the
// meantime is a 404, as in Okta.
func answerUser(c *call, ref string) error {
	o := c.org()
	o.mu.RLock()
	u := o.userByRef(ref)
	if u == nil {
		o.mu.RUnlock()
		return errNotFound(ref, "User")
	}
	body := u.single(o.schemaOf(u.typeID), false)
	o.mu.RUnlock()
	return c.writeJSON(body)
}

// deleteUser deactivates on the first call and deletes on the second; both
// answer 204 (facts.md §13).
func deleteUser(c *call) error {
	o := c.org()
	o.mu.Lock()
	u := o.userByRef(c.ids[0])
	if u == nil {
		o.mu.Unlock()
		return errNotFound(c.ids[0], "User")
	}
	if u.status == Deprovisioned {
		o.dropUser(u)
	} else {
		o.setStatus(u, Deprovisioned)
		u.render()
	}
	o.mu.Unlock()
	return c.noContent()
}

func activateUser(c *call) error {
	sendEmail, err := boolParam(c, "sendEmail", true)
	if err != nil {
		return err
	}
	err = c.org().changeUser(c.ids[0], func(u *user) error {
		if u.status != Staged && u.status != Deprovisioned {
			return &Error{http.StatusForbidden, "E0000016", "Activation failed because the user is already active", nil}
		}
		o := c.org()
		status := Provisioned
		// One who comes back from deactivation has to welcome a new password.
		if u.status == Staged && o.hasPassword(u) {
			status = Active
		}
		u.activated = o.stampNow()
		o.setStatus(u, status)
		return nil
	})
	if err != nil {
		return err
	}
	if sendEmail {
		return c.writeJSON([]byte("{}"))
	}
	const token = "XE6wE17zmphl3KqAPFxO" // #nosec G101 -- the sample of Okta's documents, good for nothing
	return c.writeJSON(append(append([]byte(`{"activationUrl":"`), basePlaceholder), `/welcome/`+token+`","activationToken":"`+token+`"}`...))
}

func deactivateUser(c *call) error {
	return lifecycle(c, func(status string) (string, error) {
		if status == Deprovisioned {
			return "", errNotFound(c.ids[0], "User") // facts.md §13
		}
		return Deprovisioned, nil
	})
}

func suspendUser(c *call) error {
	return lifecycle(c, func(status string) (string, error) {
		if status != Active {
			return "", errWrongState()
		}
		return Suspended, nil
	})
}

func unsuspendUser(c *call) error {
	return lifecycle(c, func(status string) (string, error) {
		if status != Suspended {
			return "", errWrongState()
		}
		return Active, nil
	})
}

func lifecycle(c *call, next func(status string) (string, error)) error {
	o := c.org()
	err := o.changeUser(c.ids[0], func(u *user) error {
		status, err := next(u.status)
		if err != nil {
			return err
		}
		o.setStatus(u, status)
		return nil
	})
	if err != nil {
		return err
	}
	return c.writeJSON([]byte("{}"))
}

func typeOf(body attrs) string {
	if typ := body.get("type"); !isNull(typ) && typ[0] == '{' {
		return rawText(member(typ, "id"))
	}
	return ""
}

// profileOf returns a body's profile, nil when there is none.
func profileOf(body attrs) (attrs, error) {
	raw := body.get("profile")
	if isNull(raw) {
		return nil, nil
	}
	profile, err := parseAttrs(raw)
	if err != nil {
		return nil, errBadJSON()
	}
	if profile == nil {
		profile = attrs{}
	}
	return profile, nil
}

func boolParam(c *call, name string, otherwise bool) (bool, error) {
	if !c.query.Has(name) {
		return otherwise, nil
	}
	v, err := strconv.ParseBool(c.query.Get(name))
	if err != nil {
		return false, errValidation(name, name+": must be true or false")
	}
	return v, nil
}
