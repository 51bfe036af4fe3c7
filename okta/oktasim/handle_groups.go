package oktasim

import (
	"net/http"
	"slices"
	"strings"
)

// listGroups is GET /groups. Filter and search answer from an index that may be
// behind; the stamps may be behind in every answer.
func listGroups(c *call) error {
	way, err := c.asked()
	if err != nil {
		return err
	}
	row, err := groupRow(c)
	if err != nil {
		return err
	}
	o := c.org()
	l := listing[group]{
		kind: groupKind, limits: limitGroups, row: row,
		source: func() ([]*group, error) { return o.shownGroups(o.viewGroups(way == "search" || way == "filter")), nil },
	}
	switch way {
	case "search":
		vocabulary := o.groupSearch()
		l.search = &vocabulary
		l.match, err = compileQuery(c, vocabulary, way)
	case "filter":
		l.match, err = compileQuery(c, groupFilter, way)
	case "q":
		q := strings.ToLower(c.query.Get("q"))
		l.limits, l.single = limitGroupsQ, true
		l.match = func(g *group) bool { return strings.HasPrefix(strings.ToLower(g.name), q) }
	}
	if err != nil {
		return err
	}
	return l.answer(c)
}

// groupRow picks the form of a list item by the expand parameter.
func groupRow(c *call) (func(*group) listRow, error) {
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
		return func(g *group) listRow { return listRow{id: g.id, head: g.withStats()} }, nil
	}
	return plainGroup, nil
}

func plainGroup(g *group) listRow { return listRow{id: g.id, head: g.body} }

func getGroup(c *call) error {
	if err := c.forbidden(); err != nil {
		return err
	}
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
	body := row(o.shownGroup(g, o.viewGroups(false))).head
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
	o := c.org()
	return listing[user]{
		kind: userKind, limits: limitMembers,
		source: func() ([]*user, error) {
			g := o.group(c.ids[0])
			if g == nil {
				return nil, errNotFound(c.ids[0], "UserGroup")
			}
			return o.shownMembers(g), nil
		},
		row: func(u *user) listRow { return u.row(false) },
	}.answer(c)
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
	o := c.org()
	var of *user
	return listing[group]{
		kind: groupKind, limits: limitUserGroups,
		source: func() ([]*group, error) {
			if of = o.userByRef(c.ids[0]); of == nil {
				return nil, errNotFound(c.ids[0], "User")
			}
			return o.shownGroups(o.viewGroups(false)), nil
		},
		match: func(g *group) bool {
			_, in := slices.BinarySearchFunc(g.members, of.id, compareUserID)
			return in
		},
		row: plainGroup,
	}.answer(c)
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
