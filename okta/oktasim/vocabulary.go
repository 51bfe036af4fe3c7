package oktasim

import (
	"strings"

	filter "github.com/scim2/filter-parser/v2"
)

// profileProperty is a profile attribute in an expression. co says whether the
// attribute is one of the few that Okta allows contains for.
func profileProperty[T any](a *attribute, profile func(*T) []byte, co bool) property[T] {
	p := property[T]{raw: func(t *T) []byte {
		object := profile(t)
		if object == nil {
			return nil
		}
		return member(object, a.name)
	}}
	typ := a.typ
	if typ == "array" {
		typ = a.items
	}
	switch typ {
	case "integer", "number":
		p.kind, p.ops = number, opsRange
	case "boolean":
		p.kind, p.ops = truth, opsEqualPr
	default:
		p.kind, p.ops = text, opsText
		if co {
			p.ops = opsTextCo
		}
	}
	return p
}

func userText(ops []filter.CompareOperator, get func(*user) string) (property[user], bool) {
	return property[user]{kind: text, ops: ops, text: get}, true
}

func userID(get func(*user) string) (property[user], bool) {
	return property[user]{kind: text, ops: opsEqualPr, text: get, exact: true}, true
}

func userTime(ops []filter.CompareOperator, get func(*user) stamp) (property[user], bool) {
	return property[user]{kind: moment, ops: ops, when: get}, true
}

func userProfile(u *user) []byte { return u.profile }

// userFilter is the filter of GET /users: seven properties, eq only, ranges on
// lastUpdated only, values case-sensitive (SPEC listUsers).
var userFilter = vocabulary[user]{resolve: func(path string) (property[user], bool) {
	switch path {
	case "status":
		return userText(opsEqual, func(u *user) string { return u.status })
	case "id":
		return userText(opsEqual, func(u *user) string { return u.id })
	case "lastUpdated":
		return userTime(opsFilterT, func(u *user) stamp { return u.lastUpdated })
	case "profile.login", "profile.email", "profile.firstName", "profile.lastName":
		a := findAttribute(baseAttributes, strings.TrimPrefix(path, "profile."))
		p := profileProperty(a, userProfile, false)
		p.ops = opsEqual
		return p, true
	}
	return property[user]{}, false
}}

// userSearch is the search of GET /users. Ranges are allowed where the
// documents show one (strings, times, numbers) and refused on id, of which no
// source says that it works (facts.md §1).
func (o *Org) userSearch() vocabulary[user] {
	return vocabulary[user]{fold: true, resolve: func(path string) (property[user], bool) {
		switch path {
		case "id":
			return userID(func(u *user) string { return u.id })
		case "status":
			return userText(opsText, func(u *user) string { return u.status })
		case "type.id":
			return userID(func(u *user) string { return u.typeID })
		case "created":
			return userTime(opsRange, func(u *user) stamp { return u.created })
		case "activated":
			return userTime(opsRange, func(u *user) stamp { return u.activated })
		case "statusChanged":
			return userTime(opsRange, func(u *user) stamp { return u.statusChanged })
		case "lastUpdated":
			return userTime(opsRange, func(u *user) stamp { return u.lastUpdated })
		}
		name, ok := strings.CutPrefix(path, "profile.")
		if !ok {
			return property[user]{}, false
		}
		a := o.anyUserAttribute(name)
		if a == nil {
			return property[user]{}, false
		}
		co := name == "firstName" || name == "lastName" || name == "email" || name == "login"
		return profileProperty(a, userProfile, co), true
	}}
}

func groupText(ops []filter.CompareOperator, get func(*group) string) (property[group], bool) {
	return property[group]{kind: text, ops: ops, text: get}, true
}

func groupID(get func(*group) string) (property[group], bool) {
	return property[group]{kind: text, ops: opsEqualPr, text: get, exact: true}, true
}

func groupTime(ops []filter.CompareOperator, get func(*group) stamp) (property[group], bool) {
	return property[group]{kind: moment, ops: ops, when: get}, true
}

// groupFilter is the filter of GET /groups: id, type and the two stamps; eq, gt
// and lt, no ge or le (facts.md §2).
var groupFilter = vocabulary[group]{resolve: func(path string) (property[group], bool) {
	switch path {
	case "id":
		return groupText(opsEqual, func(g *group) string { return g.id })
	case "type":
		return groupText(opsEqual, func(g *group) string { return g.typ })
	case "lastUpdated":
		return groupTime(opsGroupT, func(g *group) stamp { return g.lastUpdated })
	case "lastMembershipUpdated":
		return groupTime(opsGroupT, func(g *group) stamp { return g.membership })
	}
	return property[group]{}, false
}}

// groupSearch is the search of GET /groups.
func (o *Org) groupSearch() vocabulary[group] {
	return vocabulary[group]{fold: true, resolve: func(path string) (property[group], bool) {
		switch path {
		case "id":
			return groupID(func(g *group) string { return g.id })
		case "type":
			return groupText(opsText, func(g *group) string { return g.typ })
		case "source.id":
			return groupID(func(g *group) string { return g.sourceID })
		case "created":
			return groupTime(opsRange, func(g *group) stamp { return g.created })
		case "lastUpdated":
			return groupTime(opsRange, func(g *group) stamp { return g.lastUpdated })
		case "lastMembershipUpdated":
			return groupTime(opsRange, func(g *group) stamp { return g.membership })
		}
		name, ok := strings.CutPrefix(path, "profile.")
		if !ok {
			return property[group]{}, false
		}
		a := o.groupAttribute(name)
		if a == nil {
			return property[group]{}, false
		}
		return profileProperty(a, func(g *group) []byte { return g.profile }, name == "name" || name == "description"), true
	}}
}
