package preflight

import (
	"context"
	"fmt"
	"slices"

	"github.com/identitymesh/okta-connector/okta"
)

// userFilter tries UserSearchFilter as a Full does, on its first page.
func (c *check) userFilter(ctx context.Context) {
	cfg := &c.def.Config
	var rows []okta.User
	var page *okta.Page
	_, _, _, err := c.look(ctx, func(ctx context.Context) (_ *okta.Page, err error) {
		rows, page, err = c.client.ListUsers(ctx, okta.ListUsers{Limit: cfg.PageSize, Search: *cfg.UserSearchFilter}, "")
		return page, err
	})
	if c.refused(UserFilter, err) {
		return
	}
	left := 0
	for i := range rows {
		if rows[i].Status == "DEPROVISIONED" {
			left++
		}
	}
	found := fmt.Sprintf("matches %s", count(len(rows), page.Next != "", "user"))
	if left > 0 {
		found += fmt.Sprintf(", %d of them DEPROVISIONED, which are not imported", left)
	}
	switch {
	case len(rows) == 0:
		c.fail(UserFilter, "matches nobody", "a Full would fail, since an empty list is never trusted: compare the filter with a user's profile in Okta; values are case-sensitive")
	case left == len(rows) && page.Next == "":
		c.warn(UserFilter, found, `nobody would be imported: add and status eq "ACTIVE", or another condition`)
	default:
		c.ok(UserFilter, "%s", found)
	}
}

// groupScope tries GroupFilter on the first page of groups.
func (c *check) groupScope(f *shown) {
	if f.group == "" {
		c.skip(ListGroups, GroupScope)
		return
	}
	filter := c.def.Config.GroupFilter
	in := 0
	everyone := false
	missing := slices.Clone(filter.Include.IDs)
	for i := range f.groups {
		g := &f.groups[i]
		name, _ := g.Profile["name"].(string)
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == g.ID })
		if filter.Includes(g.ID, g.Type, name) {
			in++
			everyone = everyone || g.ID == f.everyone
		}
	}
	found := fmt.Sprintf("includes %d of the %s", in, count(len(f.groups), f.more, "group"))
	switch {
	case in == 0 && f.more:
		c.warn(GroupScope, found+", and Okta has more", "look whether that is right with `starter run "+c.Name+" --mode full --dry-run`; NamePrefixes are case-sensitive")
	case in == 0:
		c.warn(GroupScope, found, "no group would be imported: compare NamePrefixes, which are case-sensitive, Types and Ids with the groups in Okta")
	case len(missing) > 0 && !f.more:
		c.warn(GroupScope, fmt.Sprintf("%s; Okta shows no group %s", found, list(missing, 3)), "correct Include.Ids, or find out why the role does not see the group")
	case everyone && filter.UsersInGroupsOnly:
		c.warn(GroupScope, found+", Everyone among them", `with UsersInGroupsOnly no user is left out while Everyone is included: exclude it with "Exclude": {"Types": ["BUILT_IN"]}`)
	default:
		c.ok(GroupScope, "%s", found)
	}
}

// count is how many rows a first page shows.
func count(n int, more bool, what string) string {
	switch {
	case more:
		return fmt.Sprintf("first %d %ss, and there are more", n, what)
	case n == 1:
		return "1 " + what
	default:
		return fmt.Sprintf("%d %ss", n, what)
	}
}
