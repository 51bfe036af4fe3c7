package mapping

import "github.com/identitymesh/okta-connector/okta"

// row is one row of a table of the runbook: the Okta field, the mesh attribute and
// how the one becomes the other. Without how the row is the object's external id
// and no attribute.
type row[T any] struct {
	okta string
	mesh string
	how  how[T]
}

type table[T any] []row[T]

// users is the runbook's table "User attributes", in its order.
var users = table[okta.User]{
	{"id", "ExternalId", nil}, // or profile.login, see ByLogin
	{"status", "status", text(func(u *okta.User) string { return u.Status })},
	{"(derived)", "accountEnabled", flag(func(u *okta.User) bool { return u.Status == active })},
	{"created", "created", stamp(func(u *okta.User) *string { return u.Created })},
	{"lastUpdated", "lastUpdated", stamp(func(u *okta.User) *string { return u.LastUpdated })},
	{"lastLogin", "lastLogin", stamp(func(u *okta.User) *string { return u.LastLogin })},
	{"passwordChanged", "passwordChanged", stamp(func(u *okta.User) *string { return u.PasswordChanged })},
	{"statusChanged", "statusChanged", stamp(func(u *okta.User) *string { return u.StatusChanged })},
	{"activated", "activated", stamp(func(u *okta.User) *string { return u.Activated })},
	{"type", "type", userType},
	{"profile.firstName", "firstName", userProfile},
	{"profile.lastName", "lastName", userProfile},
	{"profile.displayName", "displayName", userProfile},
	{"profile.email", "email", userProfile},
	{"profile.secondEmail", "secondEmail", userProfile},
	{"profile.login", "login", userProfile},
	{"profile.mobilePhone", "mobilePhone", userProfile},
	{"profile.primaryPhone", "primaryPhone", userProfile},
	{"profile.streetAddress", "streetAddress", userProfile},
	{"profile.city", "city", userProfile},
	{"profile.state", "state", userProfile},
	{"profile.zipCode", "zipCode", userProfile},
	{"profile.countryCode", "countryCode", userProfile},
	{"profile.title", "title", userProfile},
	{"profile.department", "department", userProfile},
	{"profile.manager", "manager", userProfile},
	{"profile.managerId", "managerId", userProfile},
	{"profile.costCenter", "costCenter", userProfile},
	{"profile.division", "division", userProfile},
	{"profile.employeeNumber", "employeeNumber", userProfile},
	{"profile.organization", "organization", userProfile},
	{"profile.userType", "userType", userProfile},
	{"profile.preferredLanguage", "preferredLanguage", userProfile},
	{"profile.locale", "locale", userProfile},
	{"profile.timezone", "timezone", userProfile},
}

// oktaID is the row that design.md §4 adds to users with [ByLogin].
var oktaID = row[okta.User]{"id", OktaIDAttribute, text(func(u *okta.User) string { return u.ID })}

// groups is the runbook's table "Group attributes", in its order.
var groups = table[okta.Group]{
	{"id", "ExternalId", nil},
	{"type", "type", text(func(g *okta.Group) string { return g.Type })},
	{"created", "created", stamp(func(g *okta.Group) *string { return g.Created })},
	{"lastUpdated", "lastUpdated", stamp(func(g *okta.Group) *string { return g.LastUpdated })},
	{"lastMembershipUpdated", "lastMembershipUpdated", stamp(func(g *okta.Group) *string { return g.LastMembershipUpdated })},
	{"objectClass", "objectClass", joined(func(g *okta.Group) []string { return g.ObjectClass })},
	{"profile.name", "name", groupProfile},
	{"profile.description", "description", groupProfile},
}

// attributes returns the mesh attributes in the table's order.
func (t table[T]) attributes() []string {
	names := make([]string, 0, len(t))
	for _, r := range t {
		if r.how != nil {
			names = append(names, r.mesh)
		}
	}
	return names
}
