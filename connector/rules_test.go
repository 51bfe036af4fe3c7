package connector_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
)

// definition builds a definition from the runbook's with some members replaced;
// the value "-" removes one.
func definition(t *testing.T, replace map[string]string) string {
	t.Helper()
	var top map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(runbookJSON), &top))
	parts := map[string]map[string]json.RawMessage{}
	for _, part := range []string{"ConfigJson", "AuthJson"} {
		var m map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(top[part], &m))
		parts[part] = m
	}
	set := func(m map[string]json.RawMessage, name, value string) {
		if value == "-" {
			delete(m, name)
			return
		}
		m[name] = json.RawMessage(value)
	}
	for path, value := range replace {
		if part, name, nested := strings.Cut(path, "."); nested {
			set(parts[part], name, value)
		}
	}
	for _, part := range []string{"ConfigJson", "AuthJson"} {
		b, err := json.Marshal(parts[part])
		require.NoError(t, err)
		top[part] = b
	}
	for path, value := range replace {
		if !strings.Contains(path, ".") {
			set(top, path, value)
		}
	}
	b, err := json.Marshal(top)
	require.NoError(t, err)
	return string(b)
}

// Each rule once: what is replaced and the problem that is reported, alone.
func TestRules(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("a", 64) + `"`
	for _, c := range []struct{ path, value, want string }{
		{"Name", `-`, `Name: is missing`},
		{"Name", `7`, `Name: must be a string, not a number`},
		{"Name", `null`, `Name: must be a string, not null`},
		{"Name", `""`, `Name: must be 1 to 63 letters`},
		{"Name", `"a/b"`, `Name: must be 1 to 63 letters`},
		{"Name", `".a"`, `and begin with a letter or digit; ".a" is not`},
		{"Name", `"ä"`, `Name: must be 1 to 63 letters`},
		{"Name", `"a\n"`, `Name: must be 1 to 63 letters`},
		{"Name", long, `Name: must be 1 to 63 letters`},
		{"Type", `-`, `Type: is missing`},
		{"Type", `"okta"`, `Type: must be "Okta", not "okta"`},
		{"ConfigJson", `-`, `ConfigJson: is missing`},
		{"ConfigJson", `[]`, `ConfigJson: must be a JSON object, not a list`},
		{"ConfigJson", `null`, `ConfigJson: must be a JSON object, not null`},
		{"ConfigJson", `""`, `ConfigJson: is not valid JSON: it is empty`},
		{"ConfigJson", `"{\"OrgDomain\":"`, `ConfigJson: is not valid JSON: it ends too early`},
		{"ConfigJson", `"\"{}\""`, `ConfigJson: must be a JSON object, not a string`},
		{"ConfigJson", `"{\"OrgDomain\":\"a.b\",\"OrgDomain\":\"a.c\"}"`, `ConfigJson.OrgDomain: is given more than once`},
		{"AuthJson", `-`, `AuthJson: is missing`},
		{"AuthJson", `7`, `AuthJson: must be a JSON object, not a number`},
		{"Extra", `1`, `Extra: is no field of a connector definition; the fields are Name, Type, ConfigJson, AuthJson`},
		{"name", `"x"`, `name: is no field of a connector definition; did you mean Name?`},
		{"ConfigJson.PAGESIZE", `1`, `ConfigJson.PAGESIZE: is no field of a connector definition; did you mean PageSize?`},
		{"ConfigJson.Schedule", `"x"`, `ConfigJson.Schedule: is no field of a connector definition; the fields are OrgDomain, UserSearchFilter, PageSize,`},
		{"ConfigJson.a b", `1`, `ConfigJson."a b": is no field`},
		{"AuthJson.apikey", `"x"`, `AuthJson.apikey: is no field of a connector definition; did you mean ApiKey?`},

		{"ConfigJson.UserSearchFilter", `""`, `ConfigJson.UserSearchFilter: is empty; use null`},
		{"ConfigJson.UserSearchFilter", `"  "`, `ConfigJson.UserSearchFilter: is empty; use null`},
		{"ConfigJson.UserSearchFilter", `7`, `ConfigJson.UserSearchFilter: must be a string or null, not a number`},
		{"ConfigJson.UserSearchFilter", `"status pr\n"`, `control character`},
		{"ConfigJson.UserSearchFilter", `"status pr) or (id pr"`, `closes a parenthesis that it did not open`},
		{"ConfigJson.UserSearchFilter", `"(status pr"`, `has a parenthesis that is not closed`},
		{"ConfigJson.UserSearchFilter", `"status eq \"ACTIVE"`, `has a quote that is not closed`},
		{"ConfigJson.UserSearchFilter", `"profile.city eq \"a\\\""`, `has a quote that is not closed`},
		{"ConfigJson.UserSearchFilter", `"profile.city eq \\\"a"`, `has a backslash outside of quotes`},
		{"ConfigJson.PageSize", `0`, `ConfigJson.PageSize: must be from 1 to 200, not 0`},
		{"ConfigJson.PageSize", `201`, `ConfigJson.PageSize: must be from 1 to 200, not 201`},
		{"ConfigJson.PageSize", `-5`, `ConfigJson.PageSize: must be from 1 to 200, not -5`},
		{"ConfigJson.PageSize", `"200"`, `ConfigJson.PageSize: must be a whole number, not a string`},
		{"ConfigJson.PageSize", `20.5`, `ConfigJson.PageSize: must be a whole number, not a number with a fraction`},
		{"ConfigJson.PageSize", `2e2`, `ConfigJson.PageSize: must be a whole number, not a number with a fraction or exponent`},
		{"ConfigJson.PageSize", `99999999999999999999`, `ConfigJson.PageSize: must be a whole number, not a number out of all bounds`},
		{"ConfigJson.PageSize", `null`, `ConfigJson.PageSize: must be a whole number, not null`},
		{"ConfigJson.ImportUsers", `"true"`, `ConfigJson.ImportUsers: must be true or false, not a string`},
		{"ConfigJson.ImportGroups", `1`, `ConfigJson.ImportGroups: must be true or false, not a number`},
		{"ConfigJson.ImportMemberships", `null`, `ConfigJson.ImportMemberships: must be true or false, not null`},
		{"ConfigJson.ExternalIdAttribute", `"email"`, `ConfigJson.ExternalIdAttribute: must be "id" or "login", not "email"`},
		{"ConfigJson.ExternalIdAttribute", `true`, `ConfigJson.ExternalIdAttribute: must be a string, not a boolean`},
		{"ConfigJson.InsecureLoopback", `true`, `ConfigJson.InsecureLoopback: may be true only when OrgDomain is a loopback address`},
		{"ConfigJson.IgnoreForChanges", `"lastLogin"`, `ConfigJson.IgnoreForChanges: must be a list of strings, not a string`},
		{"ConfigJson.IgnoreForChanges", `["a", 1]`, `ConfigJson.IgnoreForChanges: must be a list of strings; entry 2 is a number`},
		{"ConfigJson.IgnoreForChanges", `[null]`, `ConfigJson.IgnoreForChanges: must be a list of strings; entry 1 is null`},
		{"ConfigJson.IgnoreForChanges", `["last login"]`, `ConfigJson.IgnoreForChanges: entry 1 must be the name of a mesh attribute`},
		{"ConfigJson.IgnoreForChanges", `["a", "a"]`, `ConfigJson.IgnoreForChanges: names "a" more than once`},

		{"AuthJson.Mode", `-`, `AuthJson.Mode: is missing`},
		{"AuthJson.Mode", `"apikey"`, `AuthJson.Mode: must be "ApiKey" or "OAuth"`},
		{"AuthJson.ApiKey", `-`, `AuthJson.ApiKey: is missing`},
		{"AuthJson.ApiKey", `""`, `AuthJson.ApiKey: is empty`},
		{"AuthJson.ApiKey", `{}`, `AuthJson.ApiKey: must be a string, not an object`},
		{"AuthJson.ApiKey", `"secret://"`, `AuthJson.ApiKey: is no secret reference`},
		{"AuthJson.ApiKey", `"secret://okta/a?version=2"`, `AuthJson.ApiKey: is no secret reference`},
		{"AuthJson.ApiKey", `"secret://a/` + strings.Repeat("b", 200) + `"`, `AuthJson.ApiKey: is too long`},
	} {
		t.Run(c.path+"="+c.value, func(t *testing.T) {
			t.Parallel()
			d, err := connector.Parse([]byte(definition(t, map[string]string{c.path: c.value})))
			require.Nil(t, d)
			var e *connector.ValidationError
			require.ErrorAs(t, err, &e)
			require.Len(t, e.Problems, 1, "%v", err)
			require.Contains(t, e.Problems[0].String(), c.want)
			require.NotContains(t, err.Error(), "\n", "one problem is one line")
		})
	}
}

func TestOrgDomain(t *testing.T) {
	t.Parallel()
	for domain, want := range map[string]string{ // "" is accepted
		"contoso.okta.com": "", "contoso.oktapreview.com": "", "id.contoso.example": "", "xn--bcher-kva.example": "",
		"contoso.okta.com:443": "", "127.0.0.1:18080": "", "10.1.2.3": "", "[::1]:18080": "", "[2001:db8::1]": "",
		"localhost": "", "localhost:1": "", "oktasim:65535": "", "my-admin.example": "", "1and1.example": "",
		"": "is empty", " ": "is empty",
		"https://contoso.okta.com":                            `must not hold a scheme; write "contoso.okta.com"`,
		"HTTPS://contoso.okta.com/api?x=1":                    `must not hold a scheme; write "contoso.okta.com"`,
		"https://Contoso-admin.okta.com/":                     `must not hold a scheme; write "contoso.okta.com"`,
		"https://identity.a-rather-long-name.contoso.example": `write "identity.a-rather-long-name.contoso.example"`,
		"https://":                          "must not hold a scheme; write the host name alone",
		"contoso-admin.okta.com":            "is the address of the admin console, not of the API; use contoso.okta.com",
		"Contoso-Admin.OktaPreview.com:443": "use contoso.oktapreview.com",
		"contoso.okta.com/":                 "must not hold a path",
		`contoso.okta.com\x`:                "must not hold a path",
		"contoso.okta.com?x":                "must not hold a query or fragment",
		"contoso.okta.com#x":                "must not hold a query or fragment",
		"user:pw@contoso.okta.com":          "must not hold a user name (@)",
		"https://user:pw@contoso.okta.com":  "must not hold a user name (@)",
		"contoso .okta.com":                 "must not hold spaces",
		"contoso.okta.com\n":                "must not hold spaces or control characters",
		"bücher.example":                    "punycode",
		"contoso.okta.com:":                 "ends in a colon without a port",
		"contoso.okta.com:0":                `has the port "0"`,
		"contoso.okta.com:65536":            "a port is a number from 1 to 65535",
		"contoso.okta.com:0443":             "a port is a number from 1 to 65535",
		"contoso.okta.com:+443":             "a port is a number from 1 to 65535",
		"contoso.okta.com:http":             `has the port "http"`,
		":443":                              "has no host name before the port",
		"::1":                               "must hold an IPv6 address in brackets",
		"[::1":                              "has a [ without a ]",
		"[::1]18080":                        "has text other than :PORT after the ]",
		"[::1]:":                            "has text other than :PORT after the ]",
		"[]":                                "holds no valid IPv6 address",
		"[127.0.0.1]":                       "holds no valid IPv6 address",
		"[fe80::1%25eth0]":                  "holds no valid IPv6 address",
		"256.1.1.1":                         "is neither a host name nor an IPv4 address",
		"127.1":                             "is neither a host name nor an IPv4 address",
		"0x7f000001":                        "is neither a host name nor an IPv4 address",
		"0.0.0.0":                           "is an address that no server answers on",
		"[::]":                              "is an address that no server answers on",
		"224.0.0.1":                         "is an address that no server answers on",
		"contoso.okta.com.":                 `the part "" is not`,
		"contoso..okta.com":                 `the part "" is not`,
		"-contoso.okta.com":                 `the part "-contoso" is not`,
		"con_toso.okta.com":                 `the part "con_toso" is not`,
		strings.Repeat("a", 64) + ".com":    "is not 1 to 63 letters",
		strings.Repeat("a.", 130) + "com":   "is longer than a host name can be",
	} {
		d := connector.Template("contoso", domain, "secret://okta/contoso/apitoken")
		err := d.Validate()
		if want == "" {
			require.NoError(t, err, "%q", domain)
			continue
		}
		require.Error(t, err, "%q", domain)
		require.Contains(t, err.Error(), "ConfigJson.OrgDomain: ", "%q", domain)
		require.Contains(t, err.Error(), want, "%q", domain)
		require.NotContains(t, err.Error(), "pw", "no password in a message")
	}
}

func TestInsecureLoopback(t *testing.T) {
	t.Parallel()
	for domain, allowed := range map[string]bool{
		"localhost": true, "LocalHost:18080": true, "127.0.0.1": true, "127.8.9.10:80": true, "[::1]:18080": true,
		"[::ffff:127.0.0.1]": true,
		"contoso.okta.com":   false, "10.0.0.1": false, "[2001:db8::1]": false, "localhost.example": false,
		"127.0.0.1.example": false, "sub.localhost": false, "128.0.0.1": false,
	} {
		d := connector.Template("contoso", domain, "secret://okta/contoso/apitoken")
		d.Config.InsecureLoopback = true
		err := d.Validate()
		if allowed {
			require.NoError(t, err, domain)
			continue
		}
		require.ErrorContains(t, err, "ConfigJson.InsecureLoopback: may be true only when", domain)
	}
}

func TestUserSearchFilterAccepted(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{ // the first three are the runbook's
		`status eq "ACTIVE"`, `profile.userType eq "Employee"`, `profile.department eq "Engineering"`,
		`(status eq "ACTIVE") and (profile.city eq "a)b\"(" or profile.city eq "李")`,
	} {
		d := connector.Template("contoso", "contoso.okta.com", "secret://okta/contoso/apitoken")
		d.Config.UserSearchFilter = &filter
		require.NoError(t, d.Validate(), filter)
		again, err := connector.Parse(d.JSON())
		require.NoError(t, err)
		require.Equal(t, &d, again)
	}
}

func TestNothingToImport(t *testing.T) {
	t.Parallel()
	_, err := connector.Parse([]byte(definition(t, map[string]string{
		"ConfigJson.ImportUsers": "false", "ConfigJson.ImportGroups": "false", "ConfigJson.ImportMemberships": "false",
	})))
	require.ErrorContains(t, err, "ConfigJson.ImportUsers: is false, as are ImportGroups and ImportMemberships")
	for _, on := range []string{"ImportUsers", "ImportGroups", "ImportMemberships"} {
		replace := map[string]string{
			"ConfigJson.ImportUsers": "false", "ConfigJson.ImportGroups": "false", "ConfigJson.ImportMemberships": "false",
		}
		replace["ConfigJson."+on] = "true"
		_, err := connector.Parse([]byte(definition(t, replace)))
		require.NoError(t, err, on)
	}
}

func TestNotADefinition(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                           "is not valid JSON: it is empty",
		" \n":                        "is not valid JSON: it is empty",
		"[]":                         "must be a JSON object, not a list",
		"{\n  \"Name\": x}":          "invalid character 'x' looking for beginning of value (line 2, column 11)",
		`{"Name": "a"`:               "it ends too early; a bracket or quote is not closed",
		runbookJSON + "\n {}":        "text follows the object (line 17, column 2)",
		"{\"Name\": \"\xff\"}":       "is not UTF-8 text; save the file as UTF-8",
		"\xff\xfe{\x00}\x00":         "is not UTF-8 text; save the file as UTF-8",
		`{"Name":"a","Name":"b"}`:    "Name: is given more than once",
		strings.Repeat("[", 100_000): "is not valid JSON",
	} {
		d, err := connector.Parse([]byte(text))
		require.Nil(t, d)
		require.ErrorContains(t, err, want, "%.40q", text)
		require.True(t, strings.HasPrefix(err.Error(), "connector definition"), err.Error())
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := connector.Parse([]byte(`{"Name":"a/b","Tpye":"Okta","ConfigJson":{"PageSize":0,"ImportUsers":"no"},"AuthJson":{"Mode":"OAuth"}}`))
	requireProblems(t, err,
		`Type: is missing`,
		`Tpye: is no field of a connector definition; the fields are Name, Type, ConfigJson, AuthJson`,
		`ConfigJson.OrgDomain: is missing`,
		`ConfigJson.ImportUsers: must be true or false, not a string`,
		`AuthJson.ClientId: is missing`,
		`AuthJson.PrivateKey: is missing`,
		`Name: must be 1 to 63 letters (a-z, A-Z), digits, dots, underscores and dashes, and begin with a letter or digit; "a/b" is not`,
		`ConfigJson.PageSize: must be from 1 to 200, not 0`)
}

// A token that was pasted into any place of AuthJson is in no message.
func TestTokenIsNotRepeated(t *testing.T) {
	t.Parallel()
	const token = "00Canary_abcdefghijklmnopqrstuvwxyz0123456"
	for path, value := range map[string]string{
		"AuthJson.ApiKey":      `"` + token + `"`,
		"AuthJson.Mode":        `"` + token + `"`,
		"AuthJson." + token:    `1`,
		"AuthJson":             `"` + token + `"`,
		"AuthJson.ApiKeyValue": `"` + token + `"`,
		"Name":                 `"` + token + `/"`,
		"Type":                 `"` + token + `"`,
		// What would otherwise be right is refused, and so is not shown later.
		" Name":                `"` + token + `"`,
		"ConfigJson.OrgDomain": `"` + token + `"`,
		" AuthJson.ApiKey":     `"secret://okta/` + token + `/apitoken"`,
	} {
		path = strings.TrimSpace(path)
		_, err := connector.Parse([]byte(definition(t, map[string]string{path: value})))
		require.Error(t, err, path)
		require.NotContains(t, strings.ToLower(err.Error()), strings.ToLower(token[:10]), path)
	}
	d := connector.Template("contoso", "contoso.okta.com", "secret://"+token+" "+token)
	require.NotContains(t, d.Validate().Error(), token[:10])
}
