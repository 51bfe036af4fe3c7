package connector_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
)

const aGroup, anotherGroup = "00g1emaKYZTWRYYRRTSK", "00gak46y5hydV6NdM0g4"

// parsed returns the runbook's definition with one ConfigJson field set.
func parsed(t *testing.T, field, value string) *connector.Definition {
	t.Helper()
	d, err := connector.Parse([]byte(definition(t, map[string]string{"ConfigJson." + field: value})))
	require.NoError(t, err, "%s %s", field, value)
	return d
}

// Every new rule once, as in TestRules.
func TestRulesOfDeltaAndGuards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, value, want string }{
		{"WatermarkOverlap", `5`, `must be a duration such as "90s", "5m" or "72h", not a number`},
		{"WatermarkOverlap", `null`, `not null`},
		{"WatermarkOverlap", `""`, `must be a duration such as "90s", "5m" or "72h", not ""`},
		{"WatermarkOverlap", `"5"`, `must be a duration such as "90s", "5m" or "72h", not "5"`},
		{"WatermarkOverlap", `"5 minutes"`, `not "5 minutes"`},
		{"WatermarkOverlap", `"-1s"`, `must not be negative, which -1s is`},
		{"WatermarkOverlap", `"24h0m1s"`, `must be at most 24h, not 24h0m1s`},
		{"WatermarkOverlap", `"9999999h"`, `must be a duration`},
		{"MembershipRefresh", `"none"`, `must be "changed" or "all", not "none"`},
		{"MembershipRefresh", `"All"`, `must be "changed" or "all", not "All"`},
		{"MembershipRefresh", `null`, `must be a string, not null`},
		{"MaxDeletePercent", `-1`, `must be from 0 to 100, not -1`},
		{"MaxDeletePercent", `101`, `must be from 0 to 100, not 101`},
		{"MaxDeletePercent", `null`, `must be a whole number, not null`},
		{"MaxDeletePercent", `"10%"`, `must be a whole number, not a string`},
		{"MaxDeletes", `-1`, `must be 0 or more, not -1; use null for no limit`},
		{"MaxDeletes", `"5"`, `must be a whole number or null, not a string`},
		{"MaxDeletes", `1.5`, `must be a whole number or null, not a number with a fraction`},
		{"HoldTimeLimit", `"59s"`, `must be from 1m to 8760h, not 59s`},
		{"HoldTimeLimit", `"8760h1s"`, `must be from 1m to 8760h, not 8760h0m1s`},
		{"HoldTimeLimit", `"0s"`, `must be from 1m to 8760h, not 0s`},
		{"HoldTimeLimit", `"3d"`, `must be a duration`},
		{"RateLimitReserve", `-1`, `must be from 0 to 90 percent, not -1`},
		{"RateLimitReserve", `91`, `must be from 0 to 90 percent, not 91`},
		{"RateLimitReserve", `"10%"`, `must be a whole number, not a string`},
		{"RateLimitReserve", `null`, `must be a whole number, not null`},
		{"MaxInFlight", `0`, `must be from 1 to 75, as many calls as Okta takes at one time, not 0`},
		{"MaxInFlight", `76`, `must be from 1 to 75`},
		{"MaxInFlight", `2.5`, `must be a whole number, not a number with a fraction`},
		{"TaskQueue", `5`, `must be a string, not a number`},
		{"TaskQueue", `null`, `must be a string, not null`},
		{"TaskQueue", `"a b"`, `must be letters (a-z, A-Z), digits and . _ : @ / -, and begin with a letter or digit; "a b" is not`},
		{"TaskQueue", `"relay\n"`, `"relay\n" is not`},
		{"TaskQueue", `" relay"`, `" relay" is not`},
		{"TaskQueue", `"/_sys/relay/1"`, `"/_sys/relay/1" is not`},
		{"TaskQueue", `"temporal-sys-per-ns-tq"`, `must not begin with temporal-sys-`},
		{"TaskQueue", `"` + strings.Repeat("q", 201) + `"`, `must be at most 200 characters, not 201`},
		{"TaskQueue", `"00` + strings.Repeat("x", 40) + `"`, `looks like an API token`},
		{"GroupFilter", `"IM-"`, `must be an object or null, not a string`},
		{"GroupFilter", `[]`, `must be an object or null, not a list`},
		{"GroupFilter", `{}`, `says nothing; use null to import all groups`},
		{"GroupFilter", `{"Include":{},"Exclude":{"Types":[]},"UsersInGroupsOnly":false}`, `says nothing`},
	} {
		refused(t, c.field, c.value, "ConfigJson."+c.field+": ", c.want)
	}
}

func TestRulesOfGroupFilter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ value, field, want string }{
		{`{"include":{}}`, `.include`, `is no field of a connector definition; did you mean Include?`},
		{`{"Include":null}`, `.Include`, `must be an object, not null`},
		{`{"Include":{},"Include":{}}`, `.Include`, `is given more than once`},
		{`{"Exclude":["IM-"]}`, `.Exclude`, `must be an object, not a list`},
		{`{"Include":{"Names":["a"]}}`, `.Include.Names`, `the fields are NamePrefixes, Types, Ids`},
		{`{"Include":{"IDs":["a"]}}`, `.Include.IDs`, `did you mean Ids?`},
		{`{"Include":{"NamePrefixes":"IM-"}}`, `.Include.NamePrefixes`, `must be a list of strings, not a string`},
		{`{"Include":{"NamePrefixes":["IM-",""]}}`, `.Include.NamePrefixes`, `entry 2 is empty`},
		{`{"Include":{"NamePrefixes":["a\tb"]}}`, `.Include.NamePrefixes`, `entry 1 holds a line break or another control character`},
		{`{"Include":{"NamePrefixes":["a","a"]}}`, `.Include.NamePrefixes`, `names "a" more than once`},
		{`{"Exclude":{"Types":["okta_group"]}}`, `.Exclude.Types`, `entry 1 must be one of OKTA_GROUP, APP_GROUP, BUILT_IN, not "okta_group"`},
		{`{"Exclude":{"Types":["BUILT_IN","BUILT_IN"]}}`, `.Exclude.Types`, `names "BUILT_IN" more than once`},
		{`{"Exclude":{"Ids":["IM-Sales"]}}`, `.Exclude.Ids`, `entry 1 must be the id of a group, such as 00g1emaKYZTWRYYRRTSK, not "IM-Sales"`},
		{`{"Exclude":{"Ids":["` + aGroup + `","` + aGroup + `"]}}`, `.Exclude.Ids`, `names "` + aGroup + `" more than once`},
		{`{"UsersInGroupsOnly":"yes"}`, `.UsersInGroupsOnly`, `must be true or false, not a string`},
	} {
		refused(t, "GroupFilter", c.value, "ConfigJson.GroupFilter"+c.field+": ", c.want)
	}
	for _, off := range []string{"ImportUsers", "ImportMemberships"} {
		_, err := connector.Parse([]byte(definition(t, map[string]string{
			"ConfigJson.GroupFilter": `{"UsersInGroupsOnly":true}`, "ConfigJson." + off: "false",
		})))
		require.ErrorContains(t, err, "ConfigJson.GroupFilter.UsersInGroupsOnly: needs ImportUsers and ImportMemberships", off)
	}
}

func refused(t *testing.T, field, value, where, why string) {
	t.Helper()
	_, err := connector.Parse([]byte(definition(t, map[string]string{"ConfigJson." + field: value})))
	var e *connector.ValidationError
	require.ErrorAs(t, err, &e, "%s %s", field, value)
	require.Len(t, e.Problems, 1, "%v", err)
	require.Contains(t, e.Problems[0].String(), where)
	require.Contains(t, e.Problems[0].String(), why)
}

func TestDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0s": "0s", "0": "0s", "5m": "5m", "300s": "5m", "90s": "1m30s", "1h": "1h", "1h30m0s": "1h30m", "1h0m30s": "1h0m30s",
		"10m0s": "10m", "24h": "24h", "1500ms": "1.5s",
	} {
		d := parsed(t, "WatermarkOverlap", `"`+text+`"`)
		std, err := time.ParseDuration(text)
		require.NoError(t, err)
		require.Equal(t, std, d.Config.WatermarkOverlap.Duration)
		require.Contains(t, string(d.ConfigJSON()), `"WatermarkOverlap":"`+want+`"`)
	}
	require.Error(t, new(connector.Duration).UnmarshalText([]byte("x")))
}

// A stored definition of the release before has none of the new fields.
func TestDefaultsOfAnOlderDefinition(t *testing.T) {
	t.Parallel()
	c := parsed(t, "OrgDomain", `"contoso.okta.com"`).Config
	require.Equal(t, 5*time.Minute, c.WatermarkOverlap.Duration)
	require.Equal(t, connector.MembershipRefreshChanged, c.MembershipRefresh)
	require.Nil(t, c.GroupFilter)
	require.Equal(t, 10, c.MaxDeletePercent)
	require.Nil(t, c.MaxDeletes)
	require.Equal(t, 72*time.Hour, c.HoldTimeLimit.Duration)
	require.Equal(t, 10, c.RateLimitReserve)
	require.Equal(t, 10, c.MaxInFlight)
}

func TestRoundTripOfNewFields(t *testing.T) {
	t.Parallel()
	for field, values := range map[string][2]string{ // as written, as stored
		"MembershipRefresh": {`"all"`, `"all"`},
		"MaxDeletePercent":  {`0`, `0`},
		"MaxDeletes":        {`0`, `0`},
		"HoldTimeLimit":     {`"1m"`, `"1m"`},
		"RateLimitReserve":  {`0`, `0`},
		"MaxInFlight":       {`75`, `75`},
		"GroupFilter": {
			`{"Exclude":{"Types":["BUILT_IN"]},"Include":{"NamePrefixes":["IM-","<Ä&B>"],"Ids":["` + aGroup + `"]}}`,
			`{"Include":{"NamePrefixes":["IM-","<Ä&B>"],"Types":[],"Ids":["` + aGroup + `"]},` +
				`"Exclude":{"NamePrefixes":[],"Types":["BUILT_IN"],"Ids":[]},"UsersInGroupsOnly":false}`,
		},
	} {
		d := parsed(t, field, values[0])
		require.Contains(t, string(d.ConfigJSON()), `"`+field+`":`+values[1])
		again, err := connector.FromParts(d.Name, d.Type, d.ConfigJSON(), d.AuthJSON())
		require.NoError(t, err)
		require.Equal(t, d, again)
		again, err = connector.Parse(d.JSON())
		require.NoError(t, err)
		require.Equal(t, d, again)
	}
	byHand := connector.Definition{Config: connector.Config{GroupFilter: &connector.GroupFilter{}}}
	require.Contains(t, string(byHand.ConfigJSON()), `"NamePrefixes":[]`)
	require.Nil(t, byHand.Config.GroupFilter.Include.NamePrefixes, "the definition itself is not changed")
}

func TestGroupFilterIncludes(t *testing.T) {
	t.Parallel()
	type group struct{ id, typ, name string }
	sales := group{aGroup, "OKTA_GROUP", "IM-Sales"}
	temp := group{anotherGroup, "APP_GROUP", "IM-Temp"}
	everyone := group{"00geveryone", "BUILT_IN", "Everyone"}
	for name, c := range map[string]struct {
		filter *connector.GroupFilter
		want   []group
	}{
		"none":            {nil, []group{sales, temp, everyone}},
		"zero":            {&connector.GroupFilter{UsersInGroupsOnly: true}, []group{sales, temp, everyone}},
		"prefix":          {&connector.GroupFilter{Include: connector.GroupCriteria{NamePrefixes: []string{"IM-"}}}, []group{sales, temp}},
		"prefix's case":   {&connector.GroupFilter{Include: connector.GroupCriteria{NamePrefixes: []string{"im-"}}}, nil},
		"a whole name":    {&connector.GroupFilter{Include: connector.GroupCriteria{NamePrefixes: []string{"Everyone", "IM-SalesX"}}}, []group{everyone}},
		"type":            {&connector.GroupFilter{Include: connector.GroupCriteria{Types: []string{"APP_GROUP"}}}, []group{temp}},
		"any criterion":   {&connector.GroupFilter{Include: connector.GroupCriteria{Types: []string{"BUILT_IN"}, IDs: []string{aGroup}}}, []group{sales, everyone}},
		"exclude alone":   {&connector.GroupFilter{Exclude: connector.GroupCriteria{Types: []string{"BUILT_IN"}}}, []group{sales, temp}},
		"exclude is last": {&connector.GroupFilter{Include: connector.GroupCriteria{NamePrefixes: []string{"IM-"}}, Exclude: connector.GroupCriteria{NamePrefixes: []string{"IM-Temp"}, IDs: []string{"x"}}}, []group{sales}},
		"exclude any":     {&connector.GroupFilter{Exclude: connector.GroupCriteria{NamePrefixes: []string{"IM-Temp"}, IDs: []string{aGroup}}}, []group{everyone}},
	} {
		var got []group
		for _, g := range []group{sales, temp, everyone} {
			if c.filter.Includes(g.id, g.typ, g.name) {
				got = append(got, g)
			}
		}
		require.Equal(t, c.want, got, name)
	}
}

func TestChangedSince(t *testing.T) {
	t.Parallel()
	base := parsed(t, "GroupFilter", `{"Include":{"NamePrefixes":["a","b"]}}`)
	require.Equal(t, `{"OrgDomain":"contoso.okta.com","UserSearchFilter":null,"GroupFilter":{"Include":`+
		`{"NamePrefixes":["a","b"],"Types":[],"Ids":[]},"Exclude":{"NamePrefixes":[],"Types":[],"Ids":[]},"UsersInGroupsOnly":false},`+
		`"ExternalIdAttribute":"id","ImportUsers":true,"ImportGroups":true,"ImportMemberships":true}`, base.ReadAs())

	filter, most := `status eq "ACTIVE"`, 7
	for name, c := range map[string]struct {
		change func(*connector.Config)
		want   []string
		back   []string // when it is changed back
	}{
		"nothing":           {change: func(*connector.Config) {}},
		"case of the host":  {change: func(c *connector.Config) { c.OrgDomain = "Contoso.OKTA.com" }},
		"order of prefixes": {change: func(c *connector.Config) { c.GroupFilter.Include.NamePrefixes = []string{"b", "a"} }},
		"what is no scope": {change: func(c *connector.Config) {
			c.PageSize, c.MembershipRefresh, c.MaxDeletePercent, c.MaxDeletes = 7, "all", 0, &most
			c.WatermarkOverlap, c.HoldTimeLimit = connector.Duration{}, connector.Duration{Duration: time.Hour}
			c.IgnoreForChanges, c.RateLimitReserve, c.MaxInFlight = []string{"lastLogin"}, 0, 75
		}},
		"org":            {func(c *connector.Config) { c.OrgDomain = "fabrikam.okta.com" }, []string{"OrgDomain"}, []string{"OrgDomain"}},
		"user filter":    {func(c *connector.Config) { c.UserSearchFilter = &filter }, []string{"UserSearchFilter"}, []string{"UserSearchFilter"}},
		"no groupfilter": {func(c *connector.Config) { c.GroupFilter = nil }, []string{"GroupFilter"}, []string{"GroupFilter"}},
		"group filter":   {func(c *connector.Config) { c.GroupFilter.Exclude.Types = []string{"BUILT_IN"} }, []string{"GroupFilter"}, []string{"GroupFilter"}},
		"members only":   {func(c *connector.Config) { c.GroupFilter.UsersInGroupsOnly = true }, []string{"GroupFilter"}, []string{"GroupFilter"}},
		"external id":    {func(c *connector.Config) { c.ExternalIDAttribute = "login" }, []string{"ExternalIdAttribute"}, []string{"ExternalIdAttribute"}},
		"users off":      {func(c *connector.Config) { c.ImportUsers = false }, nil, []string{"ImportUsers"}},
		"groups off":     {func(c *connector.Config) { c.ImportGroups = false }, nil, []string{"ImportGroups"}},
		"several": {
			func(c *connector.Config) { c.ImportMemberships, c.OrgDomain = false, "a.b" },
			[]string{"OrgDomain"}, []string{"OrgDomain", "ImportMemberships"},
		},
	} {
		changed, err := connector.Parse(base.JSON())
		require.NoError(t, err)
		c.change(&changed.Config)
		require.Equal(t, c.want, connector.ChangedSince(base.ReadAs(), changed), name)
		require.Equal(t, c.back, connector.ChangedSince(changed.ReadAs(), base), name)
	}
	require.Nil(t, connector.ChangedSince("", base), "no run was committed yet")
	require.NotEmpty(t, connector.ChangedSince("{", base), "what cannot be read is taken for another definition")
}

// A definition names its queue as the last field, and one without a queue is written as
// by the releases before: the digest by which a run knows its definition stays.
func TestTaskQueue(t *testing.T) {
	t.Parallel()
	d := parsed(t, "TaskQueue", `"relay.emea/okta:1@x_-"`)
	require.Equal(t, "relay.emea/okta:1@x_-", d.Config.TaskQueue)
	require.Regexp(t, `"IgnoreForChanges":\[\],"TaskQueue":"relay\.emea/okta:1@x_-"\}$`, string(d.ConfigJSON()))
	require.NoError(t, d.CheckMesh(true))
	err := d.CheckMesh(false)
	var invalid *connector.ValidationError
	require.ErrorAs(t, err, &invalid)
	require.ErrorContains(t, err, `"contoso": ConfigJson.TaskQueue: routes the connector to the worker of another machine, which cannot open a mesh that is an SQLite file`)

	empty := parsed(t, "TaskQueue", `""`)
	require.NotContains(t, string(empty.ConfigJSON()), "TaskQueue")
	require.NotContains(t, string(empty.JSON()), "TaskQueue")
	require.NoError(t, empty.CheckMesh(false))
}
