package oktasim

import (
	"net/http"
	"slices"
	"strings"
)

// listGroups is GET /groups.
func listGroups(c *call) error {
	modes := 0
	for _, name := range []string{"search", "filter", "q"} {
		if c.query.Get(name) != "" {
			modes++
		}
	}
	if modes > 1 {
		return errExpression("Use one of search, filter and q.")
	}
	o := c.org()
	row, err := groupRow(c)
	if err != nil {
		return err
	}
	switch {
	case c.query.Get("search") != "":
		vocabulary := o.groupSearch()
		o.mu.RLock()
		match, err := compileExpression(vocabulary, c.query.Get("search"))
		o.mu.RUnlock()
		if err != nil {
			return err
		}
		if c.query.Get("sortBy") == "" {
			return pageGroups(c, limitGroups, row, match)
		}
		limit, err := pageLimit(c.query, limitGroups)
		if err != nil {
			return err
		}
		o.mu.RLock()
		rows, next, err := sortedPage(c, o.groups, vocabulary, limit, match, func(g *group) string { return g.id }, row)
		o.mu.RUnlock()
		if err != nil {
			return err
		}
		c.setLinks(limit, next)
		return c.writeRows(rows)
	case c.query.Get("filter") != "":
		match, err := compileExpression(groupFilter, c.query.Get("filter"))
		if err != nil {
			return err
		}
		return pageGroups(c, limitGroups, row, match)
	case c.query.Get("q") != "":
		limit, err := pageLimit(c.query, limitGroupsQ)
		if err != nil {
			return err
		}
		q := strings.ToLower(c.query.Get("q"))
		o.mu.RLock()
		rows, _, _ := keysetPage(o.groups, "", limit, compareGroupID, func(g *group) bool {
			return strings.HasPrefix(strings.ToLower(g.name), q)
		}, row)
		o.mu.RUnlock()
		c.setLinks(limit, "")
		return c.writeRows(rows)
	}
	return pageGroups(c, limitGroups, row, nil)
}

// groupRow picks the form of a list item by the expand parameter.
func groupRow(c *call) (func(*group) userRow, error) {
	stats := false
	for name := range strings.SplitSeq(c.query.Get("expand"), ",") {
		switch name {
		case "stats":
			stats = true
		case "", "app":
		default:
			return nil, errValidation("RequestParams", "Expand query is malformed.")
		}
	}
	if stats {
		return func(g *group) userRow { return userRow{head: g.withStats()} }, nil
	}
	return func(g *group) userRow { return userRow{head: g.body} }, nil
}

func pageGroups(c *call, l limits, row func(*group) userRow, match predicate[group]) error {
	limit, err := pageLimit(c.query, l)
	if err != nil {
		return err
	}
	o := c.org()
	o.mu.RLock()
	after, err := c.keysetCursor("", prefixGroup, o.isGroup)
	if err != nil {
		o.mu.RUnlock()
		return err
	}
	rows, last, more := keysetPage(o.groups, after, limit, compareGroupID, match, row)
	next := ""
	if more {
		next = last.id
	}
	o.mu.RUnlock()
	c.setLinks(limit, next)
	return c.writeRows(rows)
}

func getGroup(c *call) error {
	row, err := groupRow(c)
	if err != nil {
		return err
	}
	o := c.org()
	o.mu.RLock()
	g := o.group(c.ids[0])
	if g == nil {
		o.mu.RUnlock()
		return errNotFound(c.ids[0], "UserGroup")
	}
	body := row(g).head
	o.mu.RUnlock()
	return c.writeJSON(body)
}

func createGroup(c *call) error {
	profile, err := groupBody(c)
	if err != nil {
		return err
	}
	id, err := c.org().createGroup(profile)
	if err != nil {
		return err
	}
	return answerGroup(c, id)
}

func replaceGroup(c *call) error {
	profile, err := groupBody(c)
	if err != nil {
		return err
	}
	if err := c.org().replaceGroup(c.ids[0], profile); err != nil {
		return err
	}
	return answerGroup(c, c.ids[0])
}

func groupBody(c *call) (attrs, error) {
	body, err := c.readBody()
	if err != nil {
		return nil, err
	}
	profile, err := profileOf(body)
	if err != nil {
		return nil, err
	}
	if profile == nil {
		return nil, errValidation("profile", "profile: The field cannot be left blank")
	}
	return profile, nil
}

func answerGroup(c *call, id string) error {
	o := c.org()
	o.mu.RLock()
	g := o.group(id)
	if g == nil {
		o.mu.RUnlock()
		return errNotFound(id, "UserGroup")
	}
	body := g.body
	o.mu.RUnlock()
	return c.writeJSON(body)
}

func deleteGroup(c *call) error {
	if err := c.org().DeleteGroup(c.ids[0]); err != nil {
		return err
	}
	return c.noContent()
}

// listMembers is GET /groups/{id}/users: whole users of every status,
// DEPROVISIONED too (facts.md §3).
func listMembers(c *call) error {
	limit, err := pageLimit(c.query, limitMembers)
	if err != nil {
		return err
	}
	o := c.org()
	o.mu.RLock()
	g := o.group(c.ids[0])
	if g == nil {
		o.mu.RUnlock()
		return errNotFound(c.ids[0], "UserGroup")
	}
	after, err := c.keysetCursor("", prefixUser, o.isUser)
	if err != nil {
		o.mu.RUnlock()
		return err
	}
	rows, last, more := keysetPage(g.members, after, limit, compareUserID, nil, func(u *user) userRow { return u.row(false) })
	next := ""
	if more {
		next = last.id
	}
	o.mu.RUnlock()
	c.setLinks(limit, next)
	return c.writeRows(rows)
}

func addMember(c *call) error {
	if err := c.org().AddMember(c.ids[0], c.ids[1]); err != nil {
		return err
	}
	return c.noContent()
}

func removeMember(c *call) error {
	if err := c.org().RemoveMember(c.ids[0], c.ids[1]); err != nil {
		return err
	}
	return c.noContent()
}

// listUserGroups is GET /users/{id}/groups, with Everyone (facts.md §4).
func listUserGroups(c *call) error {
	limit, err := pageLimit(c.query, limitUserGroups)
	if err != nil {
		return err
	}
	o := c.org()
	o.mu.RLock()
	u := o.userByRef(c.ids[0])
	if u == nil {
		o.mu.RUnlock()
		return errNotFound(c.ids[0], "User")
	}
	after, err := c.keysetCursor("", prefixGroup, o.isGroup)
	if err != nil {
		o.mu.RUnlock()
		return err
	}
	rows, last, more := keysetPage(o.groups, after, limit, compareGroupID, func(g *group) bool {
		_, in := slices.BinarySearchFunc(g.members, u.id, compareUserID)
		return in
	}, func(g *group) userRow { return userRow{head: g.body} })
	next := ""
	if more {
		next = last.id
	}
	o.mu.RUnlock()
	c.setLinks(limit, next)
	return c.writeRows(rows)
}

// emptyList answers a list that this org has nothing in.
func emptyList(l limits) handler {
	return func(c *call) error {
		limit, err := pageLimit(c.query, l)
		if err != nil {
			return err
		}
		if c.query.Has("after") {
			return errBadCursor()
		}
		c.setLinks(limit, "")
		return c.writeBytes(http.StatusOK, []byte("[]"))
	}
}

// emptyOfUser is a list of a user's factors or app links: this org has none.
func emptyOfUser(c *call) error {
	o := c.org()
	o.mu.RLock()
	u := o.userByRef(c.ids[0])
	o.mu.RUnlock()
	if u == nil {
		return errNotFound(c.ids[0], "User")
	}
	return c.writeBytes(http.StatusOK, []byte("[]"))
}

// emptyOfApp is a list of an app's users or groups: the only apps that this org
// knows are the sources of its APP_GROUPs, and nobody is assigned to them.
func emptyOfApp(l limits) handler {
	list := emptyList(l)
	return func(c *call) error {
		o := c.org()
		o.mu.RLock()
		known := slices.ContainsFunc(o.groups, func(g *group) bool { return g.sourceID == c.ids[0] })
		o.mu.RUnlock()
		if !known {
			return errNotFound(c.ids[0], "AppInstance")
		}
		return list(c)
	}
}
