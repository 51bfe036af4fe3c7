// Package mapping turns what Okta sends into mesh objects, as the runbook's "What
// gets synced" says.
//
// The two tables, [users] and [groups] in tables.go, are the runbook's tables row
// by row; everything else here is how a row becomes JSON. The functions are pure:
// equal input gives equal bytes, whatever the order of Okta's fields.
package mapping

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// ExternalID is the connector's ExternalIdAttribute: which Okta field becomes a
// user's external id. The zero value means [ByID].
type ExternalID string

// The ways to form the external id of users. Groups always use the id.
const (
	ByID    ExternalID = "id"    // Okta's immutable id
	ByLogin ExternalID = "login" // profile.login; the user then carries [OktaIDAttribute]
)

// OktaIDAttribute is the attribute that users have only with [ByLogin]: edges hold
// Okta ids, so a consumer needs it to join the two (design.md §4).
const OktaIDAttribute = "oktaId"

// Options are the parts of a connector's definition that change the mapping.
type Options struct {
	ExternalID ExternalID
	// Ignore names the attributes that are left out of [mesh.Object.Hash]
	// (IgnoreForChanges). They are mapped all the same.
	Ignore []string
	// IncludeGroup says whether a group is imported (GroupFilter); nil: all are.
	IncludeGroup func(id, typ, name string) bool
}

// Error says that an object cannot be mapped. It holds no value of the object.
type Error struct {
	Type   mesh.ObjectType
	OktaID string // empty when it is the id that is missing
	// Field is the path of the Okta field, such as "profile.login".
	Field   string
	Message string
}

// Error names the object, the field and the cause.
func (e *Error) Error() string {
	if e.OktaID == "" {
		return fmt.Sprintf("a %s from Okta cannot be mapped: %s %s", e.Type, e.Field, e.Message)
	}
	return fmt.Sprintf("%s %s from Okta cannot be mapped: %s %s", e.Type, e.OktaID, e.Field, e.Message)
}

// builtIn and everyone are the type and name of the group that holds every user.
const (
	builtIn  = "BUILT_IN"
	everyone = "Everyone"
)

// deprovisioned and active are the two statuses that mean something to the mapping
// (facts.md §8).
const (
	active        = "ACTIVE"
	deprovisioned = "DEPROVISIONED"
)

// User maps a user. Attributes holds every row of the runbook's table: null for
// what Okta sends as null or not at all, so that a cleared attribute is cleared in
// the mesh. A DEPROVISIONED user is mapped too, with Delete set. The error is an
// [*Error].
func User(u *okta.User, o Options) (mesh.Object, error) {
	if err := check(mesh.User, u.ID, u.Profile); err != nil {
		return mesh.Object{}, err
	}
	externalID, fields := u.ID, userFields
	switch o.ExternalID {
	case ByID, "":
	case ByLogin:
		login, _ := u.Profile["login"].(string)
		if login == "" {
			return mesh.Object{}, &Error{mesh.User, u.ID, "profile.login",
				`is missing or no text; set ExternalIdAttribute to "id" or give the user a login`}
		}
		if problem := unfit(login); problem != "" {
			return mesh.Object{}, &Error{mesh.User, u.ID, "profile.login", problem}
		}
		externalID, fields = login, userFieldsByLogin
	default:
		return mesh.Object{}, &Error{mesh.User, u.ID, "id",
			fmt.Sprintf("cannot be chosen by ExternalIdAttribute %q; it must be %q or %q", o.ExternalID, ByID, ByLogin)}
	}
	stamp, err := parseStamp(mesh.User, u.ID, "lastUpdated", u.LastUpdated)
	if err != nil {
		return mesh.Object{}, err
	}
	obj := mesh.Object{Type: mesh.User, OktaID: u.ID, ExternalID: externalID, Stamp: stamp}
	if u.Status == "" { // alive or deprovisioned? An account must not be turned off by an answer that does not say
		return mesh.Object{}, &Error{mesh.User, u.ID, "status", "is missing; the answer is damaged or was cut short"}
	}
	if u.Status == deprovisioned {
		obj.Delete = mesh.Deprovisioned
	}
	return fields.fill(obj, u, o.Ignore)
}

// Group maps a group. Attributes is as complete as in [User]. Stamp is the later
// of lastUpdated and lastMembershipUpdated: a profile change moves only the first,
// a member change only the second (facts.md §9). A group that Options.IncludeGroup
// leaves out is mapped too, with Delete set. The error is an [*Error].
func Group(g *okta.Group, o Options) (mesh.Object, error) {
	if err := check(mesh.Group, g.ID, g.Profile); err != nil {
		return mesh.Object{}, err
	}
	stamp, err := parseStamp(mesh.Group, g.ID, "lastUpdated", g.LastUpdated)
	if err != nil {
		return mesh.Object{}, err
	}
	members, err := parseStamp(mesh.Group, g.ID, "lastMembershipUpdated", g.LastMembershipUpdated)
	if err != nil {
		return mesh.Object{}, err
	}
	if members.After(stamp) {
		stamp = members
	}
	name, _ := g.Profile["name"].(string)
	obj := mesh.Object{
		Type: mesh.Group, OktaID: g.ID, ExternalID: g.ID, Stamp: stamp, MembersStamp: members,
		Everyone: g.Type == builtIn && name == everyone,
	}
	if o.IncludeGroup != nil && !o.IncludeGroup(g.ID, g.Type, name) {
		obj.Delete = mesh.OutOfScope
	}
	return groupFields.fill(obj, g, o.Ignore)
}

// Member maps one row of a group's member list.
func Member(m *okta.Member) mesh.Member {
	return mesh.Member{OktaID: m.ID, Deprovisioned: m.Status == deprovisioned}
}

// GroupMember forms the object of an edge (runbook, "Group members"): the external
// id <groupId>:<memberId> and the attributes groupId, memberId and memberType,
// which is always User because Okta does not nest groups.
func GroupMember(groupID, memberID string) (externalID string, attributes json.RawMessage) {
	b := make([]byte, 0, len(`{"groupId":"","memberId":"","memberType":"User"}`)+len(groupID)+len(memberID))
	b = appendText(append(b, `{"groupId":`...), groupID)
	b = appendText(append(b, `,"memberId":`...), memberID)
	b = append(b, `,"memberType":"User"}`...)
	return groupID + ":" + memberID, b
}

// UserAttributes returns the mesh attributes of a user in the runbook's order,
// without ExternalId and without [OktaIDAttribute].
func UserAttributes() []string { return users.attributes() }

// GroupAttributes returns the mesh attributes of a group in the runbook's order,
// without ExternalId.
func GroupAttributes() []string { return groups.attributes() }

// maxExternalID is the longest external id, in bytes; Okta's longest login has 100
// characters. Databases index no text of any length.
const maxExternalID = 1000

// unfit says why a login cannot be an external id, "" when it can.
func unfit(login string) string {
	switch {
	case len(login) > maxExternalID:
		return fmt.Sprintf(`is %d bytes long, and an external id has %d at most; set ExternalIdAttribute to "id" or shorten the login`, len(login), maxExternalID)
	case strings.ContainsFunc(login, unicode.IsControl):
		return `holds a control character, which an external id may not; set ExternalIdAttribute to "id" or correct the login`
	}
	return ""
}

func check(typ mesh.ObjectType, id string, profile map[string]any) error {
	switch {
	case id == "":
		return &Error{typ, "", "id", "is missing"}
	case profile == nil:
		return &Error{typ, id, "profile", "is missing; the answer is damaged or was cut short"}
	}
	return nil
}

// parseStamp reads one of Okta's stamps; without one the time is zero, which the
// mesh takes for "unknown, never stale".
func parseStamp(typ mesh.ObjectType, id, field string, s *string) (time.Time, error) {
	if s == nil {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, *s)
	if err != nil {
		return time.Time{}, &Error{typ, id, field, "is no ISO 8601 stamp such as 2026-04-22T08:15:30.000Z"}
	}
	return t.UTC(), nil
}
