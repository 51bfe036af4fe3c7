package oktasim

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
)

// The group types of Okta (facts.md §9).
const (
	OktaGroup = "OKTA_GROUP"
	AppGroup  = "APP_GROUP"
	BuiltIn   = "BUILT_IN"
)

// GroupTypes lists every group type.
var GroupTypes = []string{OktaGroup, AppGroup, BuiltIn}

// EveryoneName is the name of the built-in group that holds every user.
const EveryoneName = "Everyone"

const (
	classUserGroup = "okta:user_group"
	classADGroup   = "okta:windows_security_principal"
)

// groupLogo is the static part of a group's links.
const groupLogo = `[{"name":"medium","href":"https://static.okta.example/assets/img/logos/groups/odyssey/okta-medium.png","type":"image/png"},` +
	`{"name":"large","href":"https://static.okta.example/assets/img/logos/groups/odyssey/okta-large.png","type":"image/png"}]`

// group is one group. The same rule as for user holds: fields under Org.mu,
// published bytes of body never changed.
type group struct {
	id, typ     string
	name        string // as in the profile
	sourceID    string // the app of an APP_GROUP
	objectClass []string
	created     stamp
	lastUpdated stamp
	membership  stamp // lastMembershipUpdated
	profile     json.RawMessage
	logo        json.RawMessage
	owners      bool // newer orgs have an owners link
	extra       []byte

	members []*user // by id

	body    []byte
	linksAt int // where in body ,"_links" begins
}

func compareGroupID(g *group, id string) int { return cmp.Compare(g.id, id) }

func (g *group) render() {
	b := make([]byte, 0, len(g.profile)+len(g.logo)+len(g.extra)+640)
	b = appendString(append(b, `{"id":`...), g.id)
	b = g.created.appendTo(append(b, `,"created":`...))
	b = g.lastUpdated.appendTo(append(b, `,"lastUpdated":`...))
	b = g.membership.appendTo(append(b, `,"lastMembershipUpdated":`...))
	if g.objectClass != nil {
		b = append(append(b, `,"objectClass":`...), encode(g.objectClass)...)
	}
	b = appendString(append(b, `,"type":`...), g.typ)
	if g.sourceID != "" {
		b = appendString(append(b, `,"source":{"id":`...), g.sourceID)
		b = append(b, '}')
	}
	profileAt := 0
	if g.profile != nil {
		b = append(b, `,"profile":`...)
		profileAt = len(b)
		b = append(b, g.profile...)
	}
	profileEnd := len(b)
	b = append(b, g.extra...)
	g.linksAt = len(b)
	b = append(append(b, `,"_links":{"logo":`...), g.logo...)
	link := func(name, path string) {
		b = append(appendString(append(b, ','), name), `:{"href":"`...)
		b = append(append(append(b, basePlaceholder), path...), `"}`...)
	}
	self := "/api/v1/groups/" + g.id
	if g.sourceID != "" {
		link("source", "/api/v1/apps/"+g.sourceID)
	}
	if g.owners {
		link("owners", self+"/owners")
	}
	link("users", self+"/users")
	link("apps", self+"/apps")
	b = append(b, "}}"...)
	g.body = b
	if profileAt > 0 {
		g.profile = b[profileAt:profileEnd:profileEnd]
	}
}

// withStats is the group with expand=stats: _embedded.stats as facts.md §2 names it.
func (g *group) withStats() []byte {
	b := slices.Clone(g.body[:g.linksAt])
	b = append(b, `,"_embedded":{"stats":{"usersCount":`...)
	b = strconv.AppendInt(b, int64(len(g.members)), 10)
	b = append(b, `,"appsCount":0,"groupPushMappingsCount":0,"hasAdminPrivilege":false}}`...)
	return append(b, g.body[g.linksAt:]...)
}

// plain is the group without links: the form of a file and of a snapshot.
func (g *group) plain() json.RawMessage {
	return append(append(make([]byte, 0, g.linksAt+1), g.body[:g.linksAt]...), '}')
}

func (g *group) isEveryone() bool { return g.typ == BuiltIn && g.name == EveryoneName }

// add puts u among the members and says whether it was not there yet.
func (g *group) add(u *user) bool {
	i, found := slices.BinarySearchFunc(g.members, u.id, compareUserID)
	if found {
		return false
	}
	g.members = slices.Insert(g.members, i, u)
	return true
}

// remove takes a user out of the members and says whether it was there.
func (g *group) remove(id string) bool {
	i, found := slices.BinarySearchFunc(g.members, id, compareUserID)
	if found {
		g.members = slices.Delete(g.members, i, i+1)
	}
	return found
}
