package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mapping"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta"
)

// janeJSON is a user with a value in every place that the mapping treats in its
// own way, in Okta's wire format.
const janeJSON = `{
  "id": "00uJane", "status": "SUSPENDED", "transitioningToStatus": "ACTIVE",
  "created": "2024-01-02T03:04:05.000Z", "activated": null, "statusChanged": "2024-02-02T03:04:05.000Z",
  "lastLogin": null, "lastUpdated": "2024-03-02T03:04:05.000Z", "passwordChanged": "2024-01-03T00:00:00.000Z",
  "realmId": "guo1", "type": {"z": [1, {"b": 2.50, "a": null}], "id": "oty1"},
  "profile": {"login": "jane@example.com", "email": "jane@example.com", "firstName": "Jäne \"JD\"", "lastName": "D<o>e & Søn’s 李",
    "mobilePhone": null, "displayName": "", "employeeNumber": 1234567890123456789, "custom": "not imported", "nickName": "not a row"},
  "credentials": {"provider": {"type": "OKTA", "name": "OKTA"}}
}`

func jane(t *testing.T) *okta.User {
	t.Helper()
	u := decode[okta.User](t, []byte(janeJSON))
	return &u
}

func TestUser(t *testing.T) {
	t.Parallel()
	got, err := mapping.User(jane(t), mapping.Options{})
	require.NoError(t, err)
	require.Equal(t, mesh.User, got.Type)
	require.Equal(t, "00uJane", got.OktaID)
	require.Equal(t, "00uJane", got.ExternalID)
	require.Empty(t, got.Delete)
	require.Equal(t, time.Date(2024, 3, 2, 3, 4, 5, 0, time.UTC), got.Stamp)
	require.Len(t, got.Hash, 16)
	require.Equal(t, `{"accountEnabled":false,"activated":null,"city":null,"costCenter":null,"countryCode":null,`+
		`"created":"2024-01-02T03:04:05.000Z","department":null,"displayName":"","division":null,`+
		`"email":"jane@example.com","employeeNumber":1234567890123456789,"firstName":"Jäne \"JD\"","lastLogin":null,`+
		`"lastName":"D<o>e & Søn’s 李","lastUpdated":"2024-03-02T03:04:05.000Z","locale":null,"login":"jane@example.com",`+
		`"manager":null,"managerId":null,"mobilePhone":null,"organization":null,"passwordChanged":"2024-01-03T00:00:00.000Z",`+
		`"preferredLanguage":null,"primaryPhone":null,"secondEmail":null,"state":null,"status":"SUSPENDED",`+
		`"statusChanged":"2024-02-02T03:04:05.000Z","streetAddress":null,"timezone":null,"title":null,`+
		`"type":"{\"id\":\"oty1\",\"z\":[1,{\"a\":null,\"b\":2.50}]}","userType":null,"zipCode":null}`,
		string(got.Attributes))
}

func TestUserByLogin(t *testing.T) {
	t.Parallel()
	o := mapping.Options{ExternalID: mapping.ByLogin}
	got, err := mapping.User(jane(t), o)
	require.NoError(t, err)
	require.Equal(t, "jane@example.com", got.ExternalID)
	require.Equal(t, "00uJane", got.OktaID)
	attributes := decode[map[string]any](t, got.Attributes)
	require.Equal(t, "00uJane", attributes[mapping.OktaIDAttribute])
	require.Len(t, attributes, len(mapping.UserAttributes())+1)

	for name, login := range map[string]any{"absent": nil, "number": json.Number("7"), "empty": ""} {
		u := jane(t)
		u.Profile["login"] = login
		_, err := mapping.User(u, o)
		requireError(t, err, mesh.User, "00uJane", "profile.login", name)
		_, err = mapping.User(u, mapping.Options{})
		require.NoError(t, err, "only the login mode needs a login")
	}
}

func TestUserStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  string
		enabled bool
		reason  mesh.Reason
	}{
		{"ACTIVE", true, ""},
		{"STAGED", false, ""},
		{"PROVISIONED", false, ""},
		{"RECOVERY", false, ""},
		{"PASSWORD_EXPIRED", false, ""},
		{"LOCKED_OUT", false, ""},
		{"SUSPENDED", false, ""},
		{"ACTIVATING", false, ""},
		{"DEPROVISIONED", false, mesh.Deprovisioned},
	} {
		u := jane(t)
		u.Status = c.status
		got, err := mapping.User(u, mapping.Options{})
		require.NoError(t, err)
		attributes := decode[map[string]any](t, got.Attributes)
		require.Equal(t, c.status, attributes["status"])
		require.Equal(t, c.enabled, attributes["accountEnabled"], c.status)
		require.Equal(t, c.reason, got.Delete, c.status)
	}
}

func loginUser(login string) *okta.User {
	return &okta.User{ID: "00u1", Status: "ACTIVE", Profile: map[string]any{"login": login}}
}

// A user with nothing but an id, a status and a profile has every attribute, as null.
func TestAbsentIsNull(t *testing.T) {
	t.Parallel()
	for name, u := range map[string]okta.User{
		"absent": {ID: "00u1", Status: "STAGED", Profile: map[string]any{}},
		"null":   {ID: "00u1", Status: "STAGED", Type: json.RawMessage("null"), Profile: map[string]any{"city": nil}},
	} {
		got, err := mapping.User(&u, mapping.Options{})
		require.NoError(t, err)
		require.True(t, got.Stamp.IsZero(), "no stamp: unknown")
		attributes := decode[map[string]any](t, got.Attributes)
		require.Len(t, attributes, 34)
		for _, attribute := range mapping.UserAttributes() {
			value, held := attributes[attribute]
			require.True(t, held, attribute)
			switch attribute {
			case "accountEnabled":
				require.Equal(t, false, value)
			case "status":
				require.Equal(t, "STAGED", value)
			default:
				require.Nil(t, value, "%s: %s", name, attribute)
			}
		}
	}
	got, err := mapping.Group(&okta.Group{ID: "00g1", Profile: map[string]any{}}, mapping.Options{})
	require.NoError(t, err)
	require.True(t, got.Stamp.IsZero())
	require.Equal(t, `{"created":null,"description":null,"lastMembershipUpdated":null,"lastUpdated":null,`+
		`"name":null,"objectClass":null,"type":null}`, string(got.Attributes))
}

func TestGroup(t *testing.T) {
	t.Parallel()
	earlier, later := "2024-03-02T03:04:05.000Z", "2024-04-02T03:04:05.000Z"
	g := okta.Group{
		ID: "00g1", Type: "APP_GROUP", Created: &earlier, LastUpdated: &earlier, LastMembershipUpdated: &later,
		ObjectClass: []string{"okta:user_group", "okta:windows_security_principal"},
		Profile:     map[string]any{"name": "Engineers", "description": nil, "samAccountName": "not a row"},
	}
	want := time.Date(2024, 4, 2, 3, 4, 5, 0, time.UTC)
	got, err := mapping.Group(&g, mapping.Options{ExternalID: mapping.ByLogin})
	require.NoError(t, err)
	require.Equal(t, mesh.Group, got.Type)
	require.Equal(t, "00g1", got.ExternalID, "groups use the id in the login mode too")
	require.Equal(t, want, got.Stamp)
	require.Equal(t, `{"created":"2024-03-02T03:04:05.000Z","description":null,`+
		`"lastMembershipUpdated":"2024-04-02T03:04:05.000Z","lastUpdated":"2024-03-02T03:04:05.000Z",`+
		`"name":"Engineers","objectClass":"okta:user_group,okta:windows_security_principal","type":"APP_GROUP"}`,
		string(got.Attributes))

	g.LastUpdated, g.LastMembershipUpdated = &later, &earlier
	got, err = mapping.Group(&g, mapping.Options{})
	require.NoError(t, err)
	require.Equal(t, want, got.Stamp, "the later of the two")

	g.ObjectClass = []string{}
	got, err = mapping.Group(&g, mapping.Options{})
	require.NoError(t, err)
	require.Contains(t, string(got.Attributes), `"objectClass":""`)
}

func TestGroupMembersStampAndEveryone(t *testing.T) {
	t.Parallel()
	stamp := "2024-04-02T03:04:05.000Z"
	for _, c := range []struct {
		typ, name string
		members   *string
		everyone  bool
	}{
		{"BUILT_IN", "Everyone", &stamp, true},
		{"BUILT_IN", "Okta Administrators", &stamp, false},
		{"OKTA_GROUP", "Everyone", nil, false},
		{"BUILT_IN", "everyone", nil, false},
	} {
		g := okta.Group{ID: "00g1", Type: c.typ, LastMembershipUpdated: c.members, Profile: map[string]any{"name": c.name}}
		got, err := mapping.Group(&g, mapping.Options{})
		require.NoError(t, err)
		require.Equal(t, c.everyone, got.Everyone, "%s %s", c.typ, c.name)
		require.Equal(t, c.members == nil, got.MembersStamp.IsZero())
		if c.members != nil {
			require.Equal(t, time.Date(2024, 4, 2, 3, 4, 5, 0, time.UTC), got.MembersStamp)
		}
	}
}

func TestExcludedGroup(t *testing.T) {
	t.Parallel()
	g := okta.Group{ID: "00g1", Type: "OKTA_GROUP", Profile: map[string]any{"name": "IM-Sales"}}
	plain, err := mapping.Group(&g, mapping.Options{})
	require.NoError(t, err)
	require.Empty(t, plain.Delete)
	for _, include := range []bool{true, false} {
		var asked []string
		got, err := mapping.Group(&g, mapping.Options{IncludeGroup: func(id, typ, name string) bool {
			asked = append(asked, id, typ, name)
			return include
		}})
		require.NoError(t, err)
		require.Equal(t, []string{"00g1", "OKTA_GROUP", "IM-Sales"}, asked)
		want := plain
		if !include {
			want.Delete = mesh.OutOfScope
		}
		require.Equal(t, want, got)
	}
	g.Profile = map[string]any{}
	got, err := mapping.Group(&g, mapping.Options{IncludeGroup: func(_, _, name string) bool { return name != "" }})
	require.NoError(t, err)
	require.Equal(t, mesh.OutOfScope, got.Delete, "a group without a name has the name \"\"")
}

func TestErrors(t *testing.T) {
	t.Parallel()
	bad := "yesterday at noon"
	profile := map[string]any{"login": "x@example.com"}
	for name, c := range map[string]struct {
		user   *okta.User
		group  *okta.Group
		mode   mapping.ExternalID
		id     string
		field  string
		hidden string
	}{
		"user without id":          {user: &okta.User{Profile: profile}, field: "id"},
		"user without profile":     {user: &okta.User{ID: "00u1"}, id: "00u1", field: "profile"},
		"user with a bad stamp":    {user: &okta.User{ID: "00u1", Status: "ACTIVE", Profile: profile, LastUpdated: &bad}, id: "00u1", field: "lastUpdated", hidden: bad},
		"user with an empty stamp": {user: &okta.User{ID: "00u1", Status: "ACTIVE", Profile: profile, LastUpdated: new(string)}, id: "00u1", field: "lastUpdated"},
		"user with a broken type":  {user: &okta.User{ID: "00u1", Status: "ACTIVE", Profile: profile, Type: json.RawMessage(`{"id"`)}, id: "00u1", field: "type"},
		"user with no JSON value":  {user: &okta.User{ID: "00u1", Status: "ACTIVE", Profile: map[string]any{"city": make(chan int)}}, id: "00u1", field: "profile.city"},
		"user without status":      {user: &okta.User{ID: "00u1", Profile: profile}, id: "00u1", field: "status"},
		"long login":               {user: loginUser(strings.Repeat("é", 501)), mode: mapping.ByLogin, id: "00u1", field: "profile.login", hidden: "éé"},
		"login with NUL":           {user: loginUser("a\x00b"), mode: mapping.ByLogin, id: "00u1", field: "profile.login", hidden: "\x00"},
		"login with C1":            {user: loginUser("a\u009bb"), mode: mapping.ByLogin, id: "00u1", field: "profile.login", hidden: "\u009b"},
		"unknown mode":             {user: &okta.User{ID: "00u1", Status: "ACTIVE", Profile: profile}, mode: "email", id: "00u1", field: "id"},
		"group without id":         {group: &okta.Group{Profile: profile}, field: "id"},
		"group without profile":    {group: &okta.Group{ID: "00g1"}, id: "00g1", field: "profile"},
		"group with a bad stamp":   {group: &okta.Group{ID: "00g1", Profile: profile, LastUpdated: &bad}, id: "00g1", field: "lastUpdated", hidden: bad},
		"group with a bad member stamp": {
			group: &okta.Group{ID: "00g1", Profile: profile, LastMembershipUpdated: &bad},
			id:    "00g1", field: "lastMembershipUpdated", hidden: bad,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var err error
			typ := mesh.User
			if c.user != nil {
				_, err = mapping.User(c.user, mapping.Options{ExternalID: c.mode})
			} else {
				typ = mesh.Group
				_, err = mapping.Group(c.group, mapping.Options{})
			}
			requireError(t, err, typ, c.id, c.field, name)
			if c.hidden != "" {
				require.NotContains(t, err.Error(), c.hidden, "no value of the object")
			}
		})
	}
}

func requireError(t *testing.T, err error, typ mesh.ObjectType, id, field, name string) {
	t.Helper()
	var e *mapping.Error
	require.ErrorAs(t, err, &e, name)
	require.Equal(t, typ, e.Type, name)
	require.Equal(t, id, e.OktaID, name)
	require.Equal(t, field, e.Field, name)
	for _, word := range []string{string(typ), id, field} {
		require.Contains(t, err.Error(), word, name)
	}
}

func TestMember(t *testing.T) {
	t.Parallel()
	require.Equal(t, mesh.Member{OktaID: "00u1"}, mapping.Member(&okta.Member{ID: "00u1", Status: "SUSPENDED"}))
	require.Equal(t, mesh.Member{OktaID: "00u1", Deprovisioned: true},
		mapping.Member(&okta.Member{ID: "00u1", Status: "DEPROVISIONED"}))
}

func TestGroupMember(t *testing.T) {
	t.Parallel()
	id, attributes := mapping.GroupMember("00g1", "00u1")
	require.Equal(t, "00g1:00u1", id)
	require.Equal(t, `{"groupId":"00g1","memberId":"00u1","memberType":"User"}`, string(attributes))
	_, attributes = mapping.GroupMember(`"`, strings.Repeat("x", 100))
	require.True(t, json.Valid(attributes))
}
