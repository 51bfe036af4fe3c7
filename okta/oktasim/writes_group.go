package oktasim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// CreateGroup creates an OKTA_GROUP, as POST /groups does, and returns its id.
// The profile needs a name that no other OKTA_GROUP has.
func (o *Org) CreateGroup(profile map[string]any) (id string, err error) {
	return o.createGroup(attrsOf(profile))
}

// ReplaceGroup replaces the profile of an OKTA_GROUP, as PUT /groups/{id} does.
// Only lastUpdated moves.
func (o *Org) ReplaceGroup(id string, profile map[string]any) error {
	return o.replaceGroup(id, attrsOf(profile))
}

// DeleteGroup removes an OKTA_GROUP or APP_GROUP with its memberships, as
// DELETE /groups/{id} does.
func (o *Org) DeleteGroup(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.group(id)
	if g == nil {
		return errNotFound(id, "UserGroup")
	}
	if g.typ == BuiltIn {
		return errReadOnly("A group of type BUILT_IN is managed by Okta and cannot be deleted.")
	}
	o.keepGroup(g)
	i, _ := slices.BinarySearchFunc(o.groups, id, compareGroupID)
	o.groups = slices.Delete(o.groups, i, i+1)
	return nil
}

// AddMember puts a user into an OKTA_GROUP, as PUT /groups/{id}/users/{userId}
// does. lastMembershipUpdated moves, the user's lastUpdated does not (facts.md
// §14). Adding a member again is no error and changes nothing: Okta does not
// document it, 204 is what its users report.
func (o *Org) AddMember(groupID, userID string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, u, err := o.memberPair(groupID, userID)
	if err != nil {
		return err
	}
	o.join(g, u)
	return nil
}

// RemoveMember takes a user out of an OKTA_GROUP, as DELETE
// /groups/{id}/users/{userId} does. One who is no member is no error.
func (o *Org) RemoveMember(groupID, userID string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	g, u, err := o.memberPair(groupID, userID)
	if err != nil {
		return err
	}
	o.leave(g, u)
	return nil
}

func (o *Org) createGroup(profile attrs) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	profile = profile.withoutNulls()
	if err := o.checkGroupProfile(profile, nil); err != nil {
		return "", err
	}
	now := o.stampNow()
	g := &group{
		id: o.ids.mint(prefixGroup), typ: OktaGroup, objectClass: []string{classUserGroup},
		created: now, lastUpdated: now, membership: now,
		name: profile.text("name"), profile: profile.encode(), logo: json.RawMessage(groupLogo),
	}
	g.render()
	record(o, &o.past.groups, g.id, nil)
	o.insertGroup(g)
	return g.id, nil
}

func (o *Org) replaceGroup(id string, profile attrs) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.group(id)
	if g == nil {
		return errNotFound(id, "UserGroup")
	}
	if g.typ != OktaGroup {
		return errReadOnly("Only groups of type OKTA_GROUP can be modified.")
	}
	profile = profile.withoutNulls()
	if err := o.checkGroupProfile(profile, g); err != nil {
		return err
	}
	o.keepGroup(g)
	g.name, g.profile, g.lastUpdated = profile.text("name"), profile.encode(), o.stampNow()
	g.render()
	return nil
}

// checkGroupProfile holds an OKTA_GROUP's profile against the group schema.
func (o *Org) checkGroupProfile(profile attrs, current *group) error {
	for _, a := range profile {
		schema := findAttribute(groupBaseAttributes, a.name)
		if schema == nil {
			schema = findAttribute(o.groupAttrs, a.name)
		}
		if schema == nil {
			return errValidation("group", undefined(a.name))
		}
	}
	for _, list := range [][]attribute{groupBaseAttributes, o.groupAttrs} {
		for _, schema := range list {
			if cause := schema.check(profile.get(schema.name)); cause != "" {
				return errValidation(schema.name, schema.name+": "+cause)
			}
		}
	}
	name := profile.text("name")
	if current != nil && strings.EqualFold(current.name, name) {
		return nil
	}
	for _, g := range o.groups {
		if g.typ != AppGroup && strings.EqualFold(g.name, name) {
			return errValidation("name", "name: An object with this field already exists in the current organization")
		}
	}
	return nil
}

// writableGroup returns a group whose members the API may change.
func (o *Org) writableGroup(id string) (*group, error) {
	g := o.group(id)
	switch {
	case g == nil:
		return nil, errNotFound(id, "UserGroup")
	case g.typ == BuiltIn:
		return nil, &Error{http.StatusNotImplemented, "E0000060", "Unsupported operation.", []string{"The members of a group of type BUILT_IN are managed by Okta."}}
	case g.typ == AppGroup:
		return nil, errReadOnly("The members of a group of type APP_GROUP are managed by the app.")
	}
	return g, nil
}

func (o *Org) memberPair(groupID, userID string) (*group, *user, error) {
	g, err := o.writableGroup(groupID)
	if err != nil {
		return nil, nil, err
	}
	u := o.user(userID)
	if u == nil {
		return nil, nil, errNotFound(userID, "User")
	}
	return g, u, nil
}

func (o *Org) join(g *group, u *user) {
	if g.add(u) {
		o.keepMember(g, u, false)
		o.touch(g)
	}
}

func (o *Org) leave(g *group, u *user) {
	if g.remove(u.id) {
		o.keepMember(g, u, true)
		o.touch(g)
	}
}

// touch moves a group's lastMembershipUpdated to now.
func (o *Org) touch(g *group) {
	record(o, &o.past.membership, g.id, g.membership)
	g.membership = o.stampNow()
	g.render()
}
