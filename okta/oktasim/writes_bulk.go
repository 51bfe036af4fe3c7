package oktasim

import (
	"fmt"
	"slices"
)

// TouchMembership moves the lastMembershipUpdated of groups of any type to now
// and changes no member, as an addition taken back in the same second does.
func (o *Org) TouchMembership(groupIDs ...string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	groups := make([]*group, len(groupIDs))
	for i, id := range groupIDs {
		if groups[i] = o.group(id); groups[i] == nil {
			return errNotFound(id, "UserGroup")
		}
	}
	for _, g := range groups {
		o.touch(g)
	}
	return nil
}

// SetMembers makes a group's members exactly these, as a group rule or an app's
// import does: APP_GROUP is allowed, BUILT_IN is not. Without a difference nothing
// moves.
func (o *Org) SetMembers(groupID string, userIDs ...string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.group(groupID)
	if g == nil {
		return errNotFound(groupID, "UserGroup")
	}
	if g.typ == BuiltIn {
		_, err := o.writableGroup(groupID)
		return err
	}
	want := make(map[string]*user, len(userIDs))
	for _, id := range userIDs {
		if want[id] = o.user(id); want[id] == nil {
			return errNotFound(id, "User")
		}
	}
	for _, u := range slices.Clone(g.members) {
		if want[u.id] == nil {
			o.leave(g, u)
		}
	}
	for _, id := range userIDs {
		o.join(g, want[id])
	}
	return nil
}

// RemoveAttribute clears a profile attribute of all users and moves nobody's
// lastUpdated, as the removal of an attribute from Okta's schema does (facts.md
// §14). A custom attribute leaves the schemas of all user types, whose lastUpdated
// does move. A base attribute stays in them, where Okta has it fixed; login,
// email, firstName and lastName cannot be cleared.
func (o *Org) RemoveAttribute(name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.anyUserAttribute(name)
	if a == nil {
		return errValidation("schema", undefined(name))
	}
	if a.required {
		return errValidation("schema", fmt.Sprintf("%s: a required attribute cannot be removed", name))
	}
	for _, t := range o.types {
		if findAttribute(t.custom, name) != nil {
			t.custom = slices.DeleteFunc(slices.Clone(t.custom), func(a attribute) bool { return a.name == name })
			t.lastUpdated = o.stampNow()
		}
	}
	for _, u := range o.users {
		if u.profile == nil || member(u.profile, name) == nil {
			continue
		}
		profile, err := parseAttrs(u.profile)
		if err != nil {
			return fmt.Errorf("oktasim: profile of user %s: %w", u.id, err)
		}
		o.keepUser(u)
		profile = profile.without(name)
		if slices.Contains(nullWhenUnset, name) {
			profile = profile.withNulls()
		}
		u.profile = profile.encode()
		u.render()
	}
	return nil
}
