package connector_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/secrets"
)

// runbookJSON is the runbook's example in the file format of the starter.
const runbookJSON = `{
  "Name": "contoso",
  "Type": "Okta",
  "ConfigJson": {
    "OrgDomain": "contoso.okta.com",
    "UserSearchFilter": null,
    "PageSize": 200,
    "ImportUsers": true,
    "ImportGroups": true,
    "ImportMemberships": true,
    "ExternalIdAttribute": "id"
  },
  "AuthJson": {
    "Mode": "ApiKey",
    "ApiKey": "secret://okta/contoso/apitoken"
  }
}`

func TestParseRunbook(t *testing.T) {
	t.Parallel()
	want := connector.Template("contoso", "contoso.okta.com", "secret://okta/contoso/apitoken")
	require.NoError(t, want.Validate())
	for name, text := range map[string]string{
		"the runbook's example": runbookJSON,
		"defaults": `{"Name":"contoso","Type":"Okta","ConfigJson":{"OrgDomain":"contoso.okta.com"},
			"AuthJson":{"Mode":"ApiKey","ApiKey":"secret://okta/contoso/apitoken"}}`,
		"documents as strings": `{"Name":"contoso","Type":"Okta","ConfigJson":"{\"OrgDomain\":\"contoso.okta.com\"}",
			"AuthJson":"{\"Mode\":\"ApiKey\",\"ApiKey\":\"secret://okta/contoso/apitoken\"}"}`,
		"a byte order mark": "\ufeff" + runbookJSON,
		"its own output":    string(want.JSON()),
		"upper case host":   strings.Replace(runbookJSON, "contoso.okta.com", "Contoso.OKTA.com", 1),
	} {
		got, err := connector.Parse([]byte(text))
		require.NoError(t, err, name)
		require.Equal(t, &want, got, name)
	}
	require.Equal(t, `{"OrgDomain":"contoso.okta.com","UserSearchFilter":null,"PageSize":200,"ImportUsers":true,`+
		`"ImportGroups":true,"ImportMemberships":true,"ExternalIdAttribute":"id","WatermarkOverlap":"5m",`+
		`"MembershipRefresh":"changed","GroupFilter":null,"MaxDeletePercent":10,"MaxDeletes":null,"HoldTimeLimit":"72h",`+
		`"RateLimitReserve":10,"MaxInFlight":10,`+
		`"InsecureLoopback":false,"IgnoreForChanges":[]}`, string(want.ConfigJSON()))
	require.Equal(t, `{"Mode":"ApiKey","ApiKey":"secret://okta/contoso/apitoken"}`, string(want.AuthJSON()))
}

func TestFromParts(t *testing.T) {
	t.Parallel()
	filter := `profile.department eq "R<&>D"`
	want := connector.Template("contoso", "127.0.0.1:18080", "secret://okta/contoso/apitoken")
	want.Config.UserSearchFilter = &filter
	want.Config.PageSize = 50
	want.Config.ImportGroups = false
	want.Config.ExternalIDAttribute = connector.ExternalIDIsLogin
	want.Config.InsecureLoopback = true
	want.Config.IgnoreForChanges = []string{"lastLogin"}
	got, err := connector.FromParts(want.Name, want.Type, want.ConfigJSON(), want.AuthJSON())
	require.NoError(t, err)
	require.Equal(t, &want, got)
	require.Contains(t, string(want.ConfigJSON()), "R<&>D", "readable, not escaped for HTML")

	asText, err := json.Marshal(string(want.ConfigJSON()))
	require.NoError(t, err)
	got, err = connector.FromParts(want.Name, want.Type, asText, want.AuthJSON())
	require.NoError(t, err)
	require.Equal(t, &want, got)

	_, err = connector.FromParts("contoso", "Okta", nil, nil)
	requireProblems(t, err, "ConfigJson: is missing", "AuthJson: is missing")
}

func TestCanonicalOfAHandMadeConfig(t *testing.T) {
	t.Parallel()
	d := connector.Definition{Config: connector.Config{OrgDomain: "A.example"}}
	require.Contains(t, string(d.ConfigJSON()), `"OrgDomain":"a.example"`)
	require.Contains(t, string(d.ConfigJSON()), `"IgnoreForChanges":[]`)
	require.Nil(t, d.Config.IgnoreForChanges, "the definition itself is not changed")
}

func TestBaseURL(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https://contoso.okta.com", connector.Config{OrgDomain: "Contoso.okta.com"}.BaseURL())
	require.Equal(t, "https://[::1]:8443", connector.Config{OrgDomain: "[::1]:8443"}.BaseURL())
	require.Equal(t, "http://127.0.0.1:18080", connector.Config{OrgDomain: "127.0.0.1:18080", InsecureLoopback: true}.BaseURL())
}

func TestCheckAttributes(t *testing.T) {
	t.Parallel()
	known := []string{"lastLogin", "passwordChanged"}
	require.NoError(t, connector.Config{}.CheckAttributes(known))
	require.NoError(t, connector.Config{IgnoreForChanges: known}.CheckAttributes(known))
	err := connector.Config{IgnoreForChanges: []string{"lastlogin", "custom1"}}.CheckAttributes(known)
	requireProblems(t, err,
		`ConfigJson.IgnoreForChanges: "lastlogin" is no attribute of a user or group; did you mean "lastLogin"?`,
		`ConfigJson.IgnoreForChanges: "custom1" is no attribute of a user or group; the attributes are listed in the runbook, "What gets synced"`)
}

// The rule for references is written twice, because this package imports no
// other: here the two are held together.
func TestSecretReferencesAsInPackageSecrets(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{
		"secret://okta/contoso/apitoken", "secret://a/b", "secret://A-1._x/y", "secret://okta", "secret://", "secret:///a",
		"secret://a//b", "secret://a/b/", "secret://a/./b", "secret://a/../b", "secret://../a", "secret://./a", "secret://a/..", "secret://a/.b", "secret://a/b?c",
		"secret://a/b#c", "secret://a/b c", "secret://u@a/b", "secret://a:1/b", "Secret://a/b", "secret:/a/b", " secret://a/b",
		"secret://a/b\n", "secret://a/é", "secret://a/" + strings.Repeat("b", 189), "secret://a/" + strings.Repeat("b", 190), "",
	} {
		d := connector.Template("contoso", "contoso.okta.com", ref)
		_, err := secrets.ParseRef(ref)
		require.Equal(t, err == nil, d.Validate() == nil, "%q: secrets says %v, connector says %v", ref, err, d.Validate())
	}
}

func requireProblems(t *testing.T, err error, want ...string) {
	t.Helper()
	var e *connector.ValidationError
	require.ErrorAs(t, err, &e)
	got := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		got[i] = p.String()
		require.Contains(t, err.Error(), p.String())
	}
	require.Equal(t, want, got)
}

func ExampleParse() {
	_, err := connector.Parse([]byte(`{
	  "Name": "contoso",
	  "Type": "Okta",
	  "ConfigJson": {"OrgDomain": "https://contoso-admin.okta.com/admin", "pagesize": 100},
	  "AuthJson": {"Mode": "ApiKey", "ApiKey": "00abcdefghijklmnopqrstuvwxyz"}
	}`))
	fmt.Println(err)
	// Output:
	// connector definition "contoso" has 3 problems:
	//   ConfigJson.pagesize: is no field of a connector definition; did you mean PageSize?
	//   ConfigJson.OrgDomain: must not hold a scheme; write "contoso.okta.com"
	//   AuthJson.ApiKey: must be a secret reference, such as secret://okta/contoso/apitoken, never the token itself: store the token with `starter secret set REF` and write the reference here. If this was a real token, revoke it in Okta (Security, API, Tokens)
}

func ExampleTemplate() {
	d := connector.Template("contoso", "contoso.okta.com", "secret://okta/contoso/apitoken")
	fmt.Print(string(d.JSON()))
	// Output:
	// {
	//   "Name": "contoso",
	//   "Type": "Okta",
	//   "ConfigJson": {
	//     "OrgDomain": "contoso.okta.com",
	//     "UserSearchFilter": null,
	//     "PageSize": 200,
	//     "ImportUsers": true,
	//     "ImportGroups": true,
	//     "ImportMemberships": true,
	//     "ExternalIdAttribute": "id",
	//     "WatermarkOverlap": "5m",
	//     "MembershipRefresh": "changed",
	//     "GroupFilter": null,
	//     "MaxDeletePercent": 10,
	//     "MaxDeletes": null,
	//     "HoldTimeLimit": "72h",
	//     "RateLimitReserve": 10,
	//     "MaxInFlight": 10,
	//     "InsecureLoopback": false,
	//     "IgnoreForChanges": []
	//   },
	//   "AuthJson": {
	//     "Mode": "ApiKey",
	//     "ApiKey": "secret://okta/contoso/apitoken"
	//   }
	// }
}
