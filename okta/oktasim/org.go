package oktasim

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Org is the state of a simulated Okta org. It is safe for concurrent use. Make
// one with [Load] or [Generate]; the zero value is not usable.
//
// Its write methods do what the matching endpoints do, so that a test need not
// go through HTTP. Times come from the clock of the [Server] that serves the org,
// else from [Org.SetClock], else from the system.
type Org struct {
	mu      sync.RWMutex
	now     func() time.Time
	ids     *minter
	realmID string
	created stamp

	users      []*user // by id
	groups     []*group
	byLogin    map[string][]*user // by foldLogin; more than one only in a joined file
	types      []*userType        // the default one first
	groupAttrs []attribute        // custom attributes of groups

	lag    Lag
	keep   time.Duration // how long the past is kept; 0 keeps none
	frozen int64         // the instant at which the index stands still; 0 does not
	past   history
	wobble atomic.Int64 // answers while Lag.Wobble is on
}

// OrgData is a copy of an org's state without links: the form of a file that
// [Load] reads.
type OrgData struct {
	Users   []json.RawMessage   `json:"users"`   // by id, every status
	Groups  []json.RawMessage   `json:"groups"`  // by id
	Members map[string][]string `json:"members"` // user ids by group id; a group without members is absent
}

func newOrg(seed uint64) *Org {
	return &Org{now: time.Now, ids: newMinter(seed), byLogin: map[string][]*user{}}
}

// Snapshot copies the whole state, with every user of every status.
func (o *Org) Snapshot() OrgData {
	o.mu.RLock()
	defer o.mu.RUnlock()
	data := OrgData{
		Users:   make([]json.RawMessage, len(o.users)),
		Groups:  make([]json.RawMessage, len(o.groups)),
		Members: map[string][]string{},
	}
	for i, u := range o.users {
		data.Users[i] = u.plain()
	}
	for i, g := range o.groups {
		data.Groups[i] = g.plain()
		if len(g.members) > 0 {
			data.Members[g.id] = memberIDs(g)
		}
	}
	return data
}

// UserIDs returns the ids of all users, of every status, in list order.
func (o *Org) UserIDs() []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	ids := make([]string, len(o.users))
	for i, u := range o.users {
		ids[i] = u.id
	}
	return ids
}

// UserIDsByStatus returns the ids of the users of one status, in list order.
func (o *Org) UserIDsByStatus(status string) []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var ids []string
	for _, u := range o.users {
		if u.status == status {
			ids = append(ids, u.id)
		}
	}
	return ids
}

// UserIDByLogin returns the id of the user with this login, "" when there is
// none. As in Okta, case and diacritical marks do not count.
func (o *Org) UserIDByLogin(login string) string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if us := o.byLogin[foldLogin(login)]; len(us) > 0 {
		return us[0].id
	}
	return ""
}

// GroupIDByName returns the id of the first group with exactly this name, ""
// when there is none.
func (o *Org) GroupIDByName(name string) string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, g := range o.groups {
		if g.name == name {
			return g.id
		}
	}
	return ""
}

// GroupIDs returns the ids of all groups in list order.
func (o *Org) GroupIDs() []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	ids := make([]string, len(o.groups))
	for i, g := range o.groups {
		ids[i] = g.id
	}
	return ids
}

// GroupIDsByType returns the ids of the groups of one type, in list order.
func (o *Org) GroupIDsByType(typ string) []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var ids []string
	for _, g := range o.groups {
		if g.typ == typ {
			ids = append(ids, g.id)
		}
	}
	return ids
}

// MemberIDs returns the ids of a group's members, nil when there is no such group.
func (o *Org) MemberIDs(groupID string) []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	g := o.group(groupID)
	if g == nil {
		return nil
	}
	return memberIDs(g)
}

// EveryoneID returns the id of the built-in group Everyone, the first by id
// when a joined file has several, and "" when there is none.
func (o *Org) EveryoneID() string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if g := o.everyone(); g != nil {
		return g.id
	}
	return ""
}

// Memberships returns how many (group, member) pairs the org has.
func (o *Org) Memberships() int {
	o.mu.RLock()
	defer o.mu.RUnlock()
	n := 0
	for _, g := range o.groups {
		n += len(g.members)
	}
	return n
}

// User returns a user without links, nil when there is none of that id.
func (o *Org) User(id string) json.RawMessage {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if u := o.user(id); u != nil {
		return u.plain()
	}
	return nil
}

// Group returns a group without links, nil when there is none of that id.
func (o *Org) Group(id string) json.RawMessage {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if g := o.group(id); g != nil {
		return g.plain()
	}
	return nil
}

// What follows needs o.mu.

func (o *Org) stampNow() stamp { return wholeSecond(o.now()) }

func (o *Org) user(id string) *user {
	if i, ok := slices.BinarySearchFunc(o.users, id, compareUserID); ok {
		return o.users[i]
	}
	return nil
}

func (o *Org) isUser(id string) bool { return o.user(id) != nil }

func (o *Org) isGroup(id string) bool { return o.group(id) != nil }

// userByRef finds a user by id, login or unambiguous login short name, as GET
// /users/{id} does (SPEC getUser).
func (o *Org) userByRef(ref string) *user {
	if u := o.user(ref); u != nil {
		return u
	}
	if us := o.byLogin[foldLogin(ref)]; len(us) > 0 {
		return us[0]
	}
	if strings.Contains(ref, "@") {
		return nil
	}
	prefix := foldLogin(ref) + "@"
	var found *user
	for _, u := range o.users {
		if strings.HasPrefix(foldLogin(u.login), prefix) {
			if found != nil {
				return nil
			}
			found = u
		}
	}
	return found
}

func (o *Org) group(id string) *group {
	if i, ok := slices.BinarySearchFunc(o.groups, id, compareGroupID); ok {
		return o.groups[i]
	}
	return nil
}

func (o *Org) everyone() *group {
	for _, g := range o.groups {
		if g.isEveryone() {
			return g
		}
	}
	return nil
}

func (o *Org) insertUser(u *user) {
	i, _ := slices.BinarySearchFunc(o.users, u.id, compareUserID)
	o.users = slices.Insert(o.users, i, u)
	o.indexLogin(u)
}

func (o *Org) insertGroup(g *group) {
	i, _ := slices.BinarySearchFunc(o.groups, g.id, compareGroupID)
	o.groups = slices.Insert(o.groups, i, g)
}

func (o *Org) indexLogin(u *user) {
	if key := foldLogin(u.login); key != "" {
		o.byLogin[key] = append(o.byLogin[key], u)
	}
}

func (o *Org) unindexLogin(u *user) {
	key := foldLogin(u.login)
	us := slices.DeleteFunc(o.byLogin[key], func(other *user) bool { return other == u })
	if len(us) == 0 {
		delete(o.byLogin, key)
		return
	}
	o.byLogin[key] = us
}

// schemaOf returns the schema id of a user type, "" when the type is unknown.
func (o *Org) schemaOf(typeID string) string {
	if t := o.userType(typeID); t != nil {
		return t.schemaID
	}
	return ""
}

func memberIDs(g *group) []string {
	ids := make([]string, len(g.members))
	for i, u := range g.members {
		ids[i] = u.id
	}
	return ids
}

// foldLogin is the form in which logins are unique: they do not count as
// different by case or diacritical marks (facts.md §8).
func foldLogin(login string) string {
	for i := range len(login) {
		if login[i] >= 0x80 {
			return strings.ToLower(strings.Map(func(r rune) rune {
				if unicode.Is(unicode.Mn, r) {
					return -1
				}
				return r
			}, norm.NFD.String(login)))
		}
	}
	return strings.ToLower(login)
}
