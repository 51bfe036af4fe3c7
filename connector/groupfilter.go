package connector

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The types of groups (facts.md §9), for [GroupCriteria.Types].
const (
	GroupTypeOkta    = "OKTA_GROUP"
	GroupTypeApp     = "APP_GROUP" // pushed from an application, such as a directory
	GroupTypeBuiltIn = "BUILT_IN"  // Everyone and Okta Administrators
)

var (
	groupTypes = []string{GroupTypeOkta, GroupTypeApp, GroupTypeBuiltIn}
	groupID    = regexp.MustCompile(`^[A-Za-z0-9_]{3,100}$`) // Okta's are 00g and 17 letters and digits
)

// GroupFilter says which groups are imported, by what Okta tells of them. It is
// applied to what was read: Okta's own filter knows no names. nil includes all.
type GroupFilter struct {
	// Include names the groups to import; without any criterion it is all of them.
	Include GroupCriteria `json:"Include"`
	// Exclude names the groups to leave out, also such as Include names.
	Exclude GroupCriteria `json:"Exclude"`
	// UsersInGroupsOnly imports only users who are members of an included group.
	UsersInGroupsOnly bool `json:"UsersInGroupsOnly"`
}

// GroupCriteria selects groups: those that meet any one criterion. The zero value
// holds none.
type GroupCriteria struct {
	NamePrefixes []string `json:"NamePrefixes"` // beginnings of names, case-sensitive
	Types        []string `json:"Types"`        // such as [GroupTypeOkta]
	IDs          []string `json:"Ids"`
}

// Includes says whether a group is imported: when Include has no criterion or one
// of them matches, and none of Exclude does. It may be called on nil.
func (f *GroupFilter) Includes(id, typ, name string) bool {
	if f == nil {
		return true
	}
	return (f.Include.empty() || f.Include.match(id, typ, name)) && !f.Exclude.match(id, typ, name)
}

func (c *GroupCriteria) empty() bool {
	return len(c.NamePrefixes) == 0 && len(c.Types) == 0 && len(c.IDs) == 0
}

func (c *GroupCriteria) match(id, typ, name string) bool {
	return slices.Contains(c.IDs, id) || slices.Contains(c.Types, typ) ||
		slices.ContainsFunc(c.NamePrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// canonical returns a copy with [] instead of null.
func (f *GroupFilter) canonical() *GroupFilter {
	if f == nil {
		return nil
	}
	c := *f
	for _, list := range c.lists() {
		*list = append([]string{}, *list...)
	}
	return &c
}

// sorted returns a canonical copy whose lists are in order, which means the same.
func (f *GroupFilter) sorted() *GroupFilter {
	c := f.canonical()
	if c != nil {
		for _, list := range c.lists() {
			slices.Sort(*list)
		}
	}
	return c
}

func (f *GroupFilter) lists() []*[]string {
	return []*[]string{
		&f.Include.NamePrefixes, &f.Include.Types, &f.Include.IDs,
		&f.Exclude.NamePrefixes, &f.Exclude.Types, &f.Exclude.IDs,
	}
}

func readGroupFilter(o *object, into **GroupFilter) {
	part, ok := o.nested("GroupFilter", true)
	if !ok {
		return
	}
	f := GroupFilter{}
	readCriteria(part, "Include", &f.Include)
	readCriteria(part, "Exclude", &f.Exclude)
	part.boolean("UsersInGroupsOnly", &f.UsersInGroupsOnly)
	part.rest()
	*into = &f
}

func readCriteria(o *object, name string, c *GroupCriteria) {
	part, ok := o.nested(name, false)
	if !ok {
		return
	}
	part.list("NamePrefixes", &c.NamePrefixes)
	part.list("Types", &c.Types)
	part.list("Ids", &c.IDs)
	part.rest()
}

func (c *Config) checkGroupFilter(ps *problems) {
	const field = "ConfigJson.GroupFilter"
	f := c.GroupFilter
	if f == nil || ps.has(field) {
		return
	}
	before := len(*ps)
	f.Include.check(ps, field+".Include")
	f.Exclude.check(ps, field+".Exclude")
	if f.UsersInGroupsOnly && (!c.ImportUsers || !c.ImportMemberships) && !ps.has(field+".UsersInGroupsOnly") {
		ps.add(field+".UsersInGroupsOnly", "needs ImportUsers and ImportMemberships: the members of the groups say "+
			"which users are imported; set both to true, or this to false")
	}
	if len(*ps) == before && !ps.under(field) && f.Include.empty() && f.Exclude.empty() && !f.UsersInGroupsOnly {
		ps.add(field, "says nothing; use null to import all groups, or name some, such as "+
			`{"Include": {"NamePrefixes": ["IM-"]}}`)
	}
}

func (c *GroupCriteria) check(ps *problems, path string) {
	entries(ps, path+".NamePrefixes", c.NamePrefixes, func(p string) string {
		switch {
		case p == "":
			return "is empty, which every name begins with; remove it"
		case strings.ContainsFunc(p, unicode.IsControl) || !utf8.ValidString(p):
			return "holds a line break or another control character; no group is named so"
		}
		return ""
	})
	entries(ps, path+".Types", c.Types, func(t string) string {
		if slices.Contains(groupTypes, t) {
			return ""
		}
		return fmt.Sprintf("must be one of %s, not %s", strings.Join(groupTypes, ", "), quote(t))
	})
	entries(ps, path+".Ids", c.IDs, func(id string) string {
		if groupID.MatchString(id) {
			return ""
		}
		return fmt.Sprintf("must be the id of a group, such as 00g1emaKYZTWRYYRRTSK, not %s", quote(id))
	})
}

// entries checks a list entry by entry and refuses what is named twice.
func entries(ps *problems, field string, list []string, check func(string) string) {
	if ps.has(field) {
		return
	}
	for i, s := range list {
		if message := check(s); message != "" {
			ps.add(field, "entry %d %s", i+1, message)
		} else if slices.Contains(list[:i], s) {
			ps.add(field, "names %s more than once", quote(s))
		}
	}
}
