package oktasim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Load reads an org from a file of the form {"users": […], "groups": […],
// "members": {groupID: [userID, …]}}, the form of facts.md's recorded org and of
// [OrgData]. Users and groups are as Okta's API shows them; other keys at the top
// are ignored, links are made anew, members that this package does not know are
// kept. A file that joins several orgs may hold one login more than once and
// several groups named Everyone. Nothing is added: who is in Everyone is what the
// file says.
//
// The schema is read off the profiles: an attribute beyond the 31 base ones is a
// custom attribute of the types of the users who have it.
//
// An error names the object and what is wrong with it.
func Load(r io.Reader) (*Org, error) {
	var file struct {
		Users   *[]json.RawMessage  `json:"users"`
		Groups  *[]json.RawMessage  `json:"groups"`
		Members map[string][]string `json:"members"`
	}
	if err := json.NewDecoder(r).Decode(&file); err != nil {
		return nil, fmt.Errorf("org file: not the JSON object {users, groups, members}: %w", err)
	}
	if file.Users == nil || file.Groups == nil {
		return nil, errors.New(`org file: it needs the keys "users" and "groups", each a list`)
	}

	o := newOrg(1)
	for i, raw := range *file.Users {
		if err := o.loadUser(raw); err != nil {
			return nil, fmt.Errorf("org file: users[%d]: %w", i, err)
		}
	}
	for i, raw := range *file.Groups {
		if err := o.loadGroup(raw); err != nil {
			return nil, fmt.Errorf("org file: groups[%d]: %w", i, err)
		}
	}
	for groupID, ids := range file.Members {
		g := o.group(groupID)
		if g == nil {
			return nil, fmt.Errorf("org file: members: no group %q in the file", groupID)
		}
		for _, id := range ids {
			u := o.user(id)
			if u == nil {
				return nil, fmt.Errorf("org file: members of group %q: no user %q in the file", groupID, id)
			}
			if !g.add(u) {
				return nil, fmt.Errorf("org file: members of group %q: user %q stands there twice", groupID, id)
			}
		}
	}
	o.settleTypes()
	return o, nil
}

// fields takes the members of a file's object one by one.
type fields struct {
	attrs attrs
	err   error
}

func (f *fields) take(name string) json.RawMessage {
	v := f.attrs.get(name)
	f.attrs = f.attrs.without(name)
	return v
}

func (f *fields) text(name string, required bool) string {
	v := f.take(name)
	s := rawText(v)
	if f.err == nil && ((!isNull(v) && v[0] != '"') || (required && s == "")) {
		f.err = fmt.Errorf("%q must be a non-empty string, it is %s", name, cmp.Or(string(v), "absent"))
	}
	return s
}

func (f *fields) stamp(name string, required bool) stamp {
	s := f.text(name, required)
	if s == "" {
		return 0
	}
	t, ok := parseStamp(s)
	if !ok && f.err == nil {
		f.err = fmt.Errorf("%q is not a time such as 2026-01-31T12:00:00.000Z: %q", name, s)
	}
	return t
}

func (f *fields) object(name string) json.RawMessage {
	v := f.take(name)
	if isNull(v) {
		return nil
	}
	if v[0] != '{' && f.err == nil {
		f.err = fmt.Errorf("%q must be an object", name)
	}
	return v
}

// rest encodes what was not taken, each with a leading comma.
func (f *fields) rest() []byte {
	var b []byte
	for _, a := range f.attrs {
		b = append(appendString(append(b, ','), a.name), ':')
		b = append(b, a.value...)
	}
	return b
}

func checkID(id string) error {
	if strings.ContainsAny(id, "/?#% \x00") {
		return fmt.Errorf("id %q cannot stand in a URL", id)
	}
	return nil
}

func (o *Org) loadUser(raw json.RawMessage) error {
	all, err := parseAttrs(raw)
	if err != nil {
		return err
	}
	f := fields{attrs: all}
	u := &user{
		id: f.text("id", true), status: f.text("status", true), transitioning: f.text("transitioningToStatus", false),
		created: f.stamp("created", true), activated: f.stamp("activated", false),
		statusChanged: f.stamp("statusChanged", false), lastLogin: f.stamp("lastLogin", false),
		lastUpdated: f.stamp("lastUpdated", true), passwordChanged: f.stamp("passwordChanged", false),
		realmID: f.text("realmId", false),
	}
	if typ := f.object("type"); typ != nil {
		u.typeID = rawText(member(typ, "id"))
	}
	u.profile, u.credentials = f.object("profile"), f.object("credentials")
	f.take("_links")
	if f.err != nil {
		return fmt.Errorf("user %q: %w", u.id, f.err)
	}
	u.extra = f.rest()
	if err := checkID(u.id); err != nil {
		return err
	}
	if !slices.Contains(Statuses, u.status) {
		return fmt.Errorf("user %q: status %q is none of %s", u.id, u.status, strings.Join(Statuses, ", "))
	}
	if o.user(u.id) != nil {
		return fmt.Errorf("user %q stands in the file twice", u.id)
	}
	if err := o.learnUser(u); err != nil {
		return fmt.Errorf("user %q: %w", u.id, err)
	}
	u.render()
	o.insertUser(u)
	o.ids.note(u.id)
	o.realmID = cmp.Or(o.realmID, u.realmID)
	return nil
}

// learnUser reads the user type's custom attributes off a profile.
func (o *Org) learnUser(u *user) error {
	t := o.userType(u.typeID)
	if t == nil && u.typeID != "" {
		if err := checkID(u.typeID); err != nil {
			return err
		}
		// Okta's schema and type ids share their tail (user_create_update.http).
		t = &userType{id: u.typeID, schemaID: prefixSchema + strings.TrimPrefix(u.typeID, prefixType)}
		o.types = append(o.types, t)
		o.ids.note(t.id)
	}
	if u.profile == nil {
		return nil
	}
	profile, err := parseAttrs(u.profile)
	if err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	u.login = profile.text("login")
	for _, a := range profile {
		if findAttribute(baseAttributes, a.name) != nil {
			continue
		}
		learned, ok := inferAttribute(a.name, a.value)
		if !ok {
			return fmt.Errorf("profile attribute %q has a value that no Okta attribute can have: %s", a.name, a.value)
		}
		if t == nil {
			continue
		}
		if known := findAttribute(t.custom, a.name); known == nil {
			t.custom = append(t.custom, learned)
		} else if known.typ == "" || (known.typ == "integer" && learned.typ == "number") {
			known.typ, known.items = learned.typ, learned.items
		}
	}
	return nil
}

func (o *Org) loadGroup(raw json.RawMessage) error {
	all, err := parseAttrs(raw)
	if err != nil {
		return err
	}
	f := fields{attrs: all}
	g := &group{
		id: f.text("id", true), typ: f.text("type", true), created: f.stamp("created", true),
		lastUpdated: f.stamp("lastUpdated", true), membership: f.stamp("lastMembershipUpdated", true),
		profile: f.object("profile"), logo: json.RawMessage(groupLogo),
	}
	if source := f.object("source"); source != nil {
		g.sourceID = rawText(member(source, "id"))
	}
	if links := f.object("_links"); links != nil {
		if logo := member(links, "logo"); !isNull(logo) {
			g.logo = logo
		}
		g.owners = member(links, "owners") != nil
	}
	class := f.take("objectClass")
	if f.err != nil {
		return fmt.Errorf("group %q: %w", g.id, f.err)
	}
	g.extra = f.rest()
	if class != nil && json.Unmarshal(class, &g.objectClass) != nil {
		return fmt.Errorf("group %q: \"objectClass\" must be a list of strings", g.id)
	}
	if err := checkID(g.id); err != nil {
		return err
	}
	if !slices.Contains(GroupTypes, g.typ) {
		return fmt.Errorf("group %q: type %q is none of %s", g.id, g.typ, strings.Join(GroupTypes, ", "))
	}
	if o.group(g.id) != nil {
		return fmt.Errorf("group %q stands in the file twice", g.id)
	}
	if g.profile != nil {
		profile, err := parseAttrs(g.profile)
		if err != nil {
			return fmt.Errorf("group %q: profile: %w", g.id, err)
		}
		g.name = profile.text("name")
		for _, a := range profile {
			if learned, ok := inferAttribute(a.name, a.value); ok && o.groupAttribute(a.name) == nil {
				o.groupAttrs = append(o.groupAttrs, learned)
			}
		}
	}
	g.render()
	o.insertGroup(g)
	o.ids.note(g.id)
	return nil
}

// settleTypes names the types that a file implied and picks the default: the one
// with the most users. A file without types gets one.
func (o *Org) settleTypes() {
	count := map[string]int{}
	for _, u := range o.users {
		count[u.typeID]++
		if o.created == 0 || u.created < o.created {
			o.created = u.created
		}
	}
	for _, g := range o.groups {
		if o.created == 0 || g.created < o.created {
			o.created = g.created
		}
	}
	if o.created == 0 {
		o.created = o.stampNow()
	}
	if len(o.types) == 0 {
		id := o.ids.mint(prefixType)
		o.types = []*userType{{id: id, schemaID: prefixSchema + id[len(prefixType):]}}
	}
	slices.SortStableFunc(o.types, func(a, b *userType) int {
		return cmp.Or(cmp.Compare(count[b.id], count[a.id]), cmp.Compare(a.id, b.id))
	})
	for i, t := range o.types {
		t.created, t.lastUpdated = o.created, o.created
		t.name, t.displayName = fmt.Sprintf("type%d", i), fmt.Sprintf("Type %d", i)
		t.description = "User type of the loaded org"
		if i == 0 {
			t.isDefault, t.name, t.displayName = true, "user", "User"
			t.description = "Okta user profile template with default permission settings"
		}
	}
}
