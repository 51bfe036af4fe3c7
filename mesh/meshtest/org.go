package meshtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
)

// org is a small Okta org that changes at random between runs.
type org struct {
	clock  int
	born   int
	users  map[string]*orgUser
	groups map[string]*orgGroup
	logins bool     // the connector's external id is the login
	freed  []string // the logins of those who were hard-deleted
}

type orgUser struct {
	login         string
	n             int
	deprovisioned bool
	outOfScope    bool
	stamp         int
}

type orgGroup struct {
	n       int
	members map[string]bool
}

// pick draws one of the keys of m, "" when there are none.
func pick[V any](t *rapid.T, m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	return rapid.SampledFrom(slices.Sorted(maps.Keys(m))).Draw(t, "pick")
}

// populate adds a user with some memberships, and at times a group.
func (o *org) populate(t *rapid.T) {
	o.clock++
	o.born++
	id := fmt.Sprintf("u%02d", o.born)
	o.users[id] = &orgUser{login: fmt.Sprintf("user%d@x", o.born), stamp: o.clock}
	if o.born%3 == 1 {
		o.groups[fmt.Sprintf("g%02d", o.born)] = &orgGroup{members: map[string]bool{}}
	}
	for range rapid.IntRange(0, 2).Draw(t, "memberships") {
		o.groups[pick(t, o.groups)].members[id] = true
	}
}

// change makes one random change.
func (o *org) change(t *rapid.T) {
	o.clock++
	u, g := o.users[pick(t, o.users)], o.groups[pick(t, o.groups)]
	what := rapid.SampledFrom([]string{
		"hire", "hire", "group", "join", "join", "join", "leave", "edit", "login", "swap", "off", "on", "delete", "move", "rename group", "drop group",
	}).Draw(t, "change")
	switch {
	case what == "hire":
		o.born++
		login := fmt.Sprintf("user%d@x", o.born)
		for _, other := range o.users { // the login of someone who left may be given away
			if other.deprovisioned && !o.taken(other.login) {
				login = other.login
			}
		}
		if free := slices.DeleteFunc(slices.Clone(o.freed), o.taken); len(free) > 0 && rapid.Bool().Draw(t, "takes over") {
			login = rapid.SampledFrom(free).Draw(t, "freed login")
		}
		o.users[fmt.Sprintf("u%02d", o.born)] = &orgUser{login: login, stamp: o.clock}
	case what == "group":
		o.born++
		o.groups[fmt.Sprintf("g%02d", o.born)] = &orgGroup{members: map[string]bool{}}
	case what == "rename group" && g != nil:
		g.n++
	case what == "drop group" && g != nil:
		maps.DeleteFunc(o.groups, func(_ string, v *orgGroup) bool { return v == g })
	case what == "join" && g != nil && u != nil:
		g.members[pick(t, o.users)] = true
	case what == "leave" && g != nil:
		delete(g.members, pick(t, g.members))
	case u != nil:
		o.changeUser(t, what, u)
	}
}

func (o *org) changeUser(t *rapid.T, what string, u *orgUser) {
	u.stamp = o.clock
	switch what {
	case "edit":
		u.n++
	case "login":
		if free := rapid.SampledFrom([]string{"a@x", "b@x", "C@x", "c@x"}).Draw(t, "login"); !o.taken(free) {
			u.login = free
		}
	case "swap":
		if v := o.users[pick(t, o.users)]; !v.deprovisioned && !u.deprovisioned {
			u.login, v.login, v.stamp = v.login, u.login, o.clock
		}
	case "off":
		u.deprovisioned = true
	case "on":
		if u.deprovisioned && !o.taken(u.login) {
			u.deprovisioned = false
		}
	case "move":
		u.outOfScope = !u.outOfScope
	case "delete":
		for id, v := range o.users {
			if v == u {
				delete(o.users, id)
				o.freed = append(o.freed, v.login)
				for _, g := range o.groups {
					delete(g.members, id)
				}
			}
		}
	}
}

// taken says whether an active user has the login, whatever its case.
func (o *org) taken(login string) bool {
	for _, u := range o.users {
		if !u.deprovisioned && strings.EqualFold(u.login, login) {
			return true
		}
	}
	return false
}

// object is a user as a listing shows it.
func (o *org) object(id string) mesh.Object {
	u := o.users[id]
	obj := user(id, "n", u.n)
	if o.logins {
		obj = named(id, u.login, "n", u.n)
	}
	if u.deprovisioned {
		obj.Delete = mesh.Deprovisioned
	}
	return at(obj, u.stamp)
}

// listed are the users of a listing in scope, with or without those who left.
func (o *org) listed(withDeprovisioned bool) []mesh.Object {
	var all []mesh.Object
	for _, id := range slices.Sorted(maps.Keys(o.users)) {
		if u := o.users[id]; !u.outOfScope && (withDeprovisioned || !u.deprovisioned) {
			all = append(all, o.object(id))
		}
	}
	return all
}

// verdict looks a candidate up.
func (o *org) verdict(c mesh.Candidate) mesh.Verdict {
	v := mesh.Verdict{Type: c.Type, OktaID: c.OktaID}
	if c.Type == mesh.Group {
		if g := o.groups[c.OktaID]; g == nil {
			v.Reason = mesh.GroupDeleted
		}
		return v
	}
	switch u := o.users[c.OktaID]; {
	case u == nil:
		v.Reason = mesh.HardDeleted
	case u.deprovisioned:
		v.Reason = mesh.Deprovisioned
	case u.outOfScope:
		v.Reason = mesh.OutOfScope
	default:
		found := o.object(c.OktaID)
		v.Found = &found
	}
	return v
}

// want is what the mesh must hold after a Full: attributes by type and external id.
func (o *org) want(scope mesh.Scope) map[string]string {
	want := map[string]string{}
	if scope.Users {
		for id, u := range o.users {
			if !u.deprovisioned && !u.outOfScope && (!scope.UsersInGroupsOnly || o.inGroup(id)) {
				obj := o.object(id)
				want["User "+obj.ExternalID] = string(obj.Attributes)
			}
		}
	}
	for id, g := range o.groups {
		if scope.Groups {
			want["Group "+id] = string(group(id, "n", g.n).Attributes)
		}
		for m := range g.members {
			if u := o.users[m]; !u.deprovisioned && (!scope.Users || !u.outOfScope) {
				want["GroupMember "+id+":"+m] = fmt.Sprintf(`{"groupId":%q,"memberId":%q,"memberType":"User"}`, id, m)
			}
		}
	}
	return want
}

func (o *org) inGroup(user string) bool {
	for _, g := range o.groups {
		if g.members[user] {
			return true
		}
	}
	return false
}
