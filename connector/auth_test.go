package connector_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
)

const keyRef = "secret://okta/contoso/privatekey"

// withAuth is a definition file with this AuthJson.
func withAuth(auth, config string) []byte {
	return fmt.Appendf(nil, `{"Name":"contoso","Type":"Okta","ConfigJson":{"OrgDomain":"contoso.okta.com"%s},"AuthJson":%s}`, config, auth)
}

func TestParseOAuth(t *testing.T) {
	t.Parallel()
	want := connector.OAuthTemplate("contoso", "contoso.okta.com", "0oa1gjh63g214q0Hq0g4", keyRef)
	require.NoError(t, want.Validate())
	got, err := connector.Parse(withAuth(`{"Mode":"OAuth","ClientId":"0oa1gjh63g214q0Hq0g4","PrivateKey":"`+keyRef+`"}`, ""))
	require.NoError(t, err)
	require.Equal(t, &want, got)
	require.Equal(t, `{"Mode":"OAuth","ClientId":"0oa1gjh63g214q0Hq0g4","PrivateKey":"`+keyRef+`"}`, string(got.AuthJSON()))
	again, err := connector.FromParts(got.Name, got.Type, got.ConfigJSON(), got.AuthJSON())
	require.NoError(t, err)
	require.Equal(t, got, again)

	want.Auth.KeyID, want.Auth.Scopes = "SIGN-1", []string{"okta.users.read", "okta.groups.read", "okta.logs.read"}
	got, err = connector.Parse(want.JSON())
	require.NoError(t, err)
	require.Equal(t, &want, got)
}

func TestSecretOfAMode(t *testing.T) {
	t.Parallel()
	key := connector.Template("contoso", "contoso.okta.com", "secret://okta/contoso/apitoken")
	app := connector.OAuthTemplate("contoso", "contoso.okta.com", "0oa1", keyRef)
	require.Equal(t, "secret://okta/contoso/apitoken", key.Auth.Secret())
	require.Equal(t, "AuthJson.ApiKey", key.Auth.SecretField())
	require.Equal(t, keyRef, app.Auth.Secret())
	require.Equal(t, "AuthJson.PrivateKey", app.Auth.SecretField())
	require.Empty(t, connector.Auth{Mode: "?", APIKey: "a", PrivateKey: "b"}.Secret())
}

func TestScopesFollowThePasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		users, groups, members bool
		want                   []string
	}{
		{true, true, true, []string{"okta.users.read", "okta.groups.read"}},
		{true, false, false, []string{"okta.users.read"}},
		{false, true, false, []string{"okta.groups.read"}},
		{false, false, true, []string{"okta.groups.read"}},
		{true, false, true, []string{"okta.users.read", "okta.groups.read"}},
	} {
		d := connector.OAuthTemplate("contoso", "contoso.okta.com", "0oa1", keyRef)
		d.Config.ImportUsers, d.Config.ImportGroups, d.Config.ImportMemberships = tt.users, tt.groups, tt.members
		require.Equal(t, tt.want, d.Scopes())
		d.Auth.Scopes = []string{"okta.users.read", "okta.groups.read", "okta.logs.read"}
		require.Equal(t, d.Auth.Scopes, d.Scopes())
	}
	d := connector.Template("contoso", "contoso.okta.com", "secret://a/b")
	require.Nil(t, d.Scopes(), "an API token has no scopes")
}

func TestOAuthRules(t *testing.T) {
	t.Parallel()
	const good = `"Mode":"OAuth","ClientId":"0oa1gjh63g214q0Hq0g4","PrivateKey":"secret://okta/contoso/privatekey"`
	for _, tt := range []struct{ auth, config, want string }{
		{`{"Mode":"OAuth","PrivateKey":"secret://a/b"}`, "", `AuthJson.ClientId: is missing`},
		{`{"Mode":"OAuth","ClientId":"0oa1"}`, "", `AuthJson.PrivateKey: is missing`},
		{`{"Mode":"OAuth","ClientId":"","PrivateKey":"secret://a/b"}`, "", `AuthJson.ClientId: is empty`},
		{`{"Mode":"OAuth","ClientId":7,"PrivateKey":"secret://a/b"}`, "", `AuthJson.ClientId: must be a string, not a number`},
		{`{"Mode":"OAuth","ClientId":"secret://a/b","PrivateKey":"secret://a/b"}`, "", `AuthJson.ClientId: must be the service app's client id itself`},
		{`{"Mode":"OAuth","ClientId":"0oa 1","PrivateKey":"secret://a/b"}`, "", `AuthJson.ClientId: is no client id`},
		{`{"Mode":"OAuth","ClientId":"` + strings.Repeat("a", 101) + `","PrivateKey":"secret://a/b"}`, "", `AuthJson.ClientId: is no client id`},
		{`{"Mode":"OAuth","ClientId":"0oa1","PrivateKey":"-----BEGIN PRIVATE KEY-----"}`, "", `AuthJson.PrivateKey: must be a secret reference, such as secret://okta/contoso/privatekey, never the key itself`},
		{`{"Mode":"OAuth","ClientId":"0oa1","PrivateKey":""}`, "", `AuthJson.PrivateKey: is empty; it must be the reference of the private key`},
		{`{"Mode":"OAuth","ClientId":"0oa1","PrivateKey":null}`, "", `AuthJson.PrivateKey: must be a string, not null`},
		{`{` + good + `,"ApiKey":"secret://a/b"}`, "", `AuthJson.ApiKey: belongs to Mode "ApiKey", but Mode is "OAuth"; remove it, or change Mode`},
		{`{"Mode":"ApiKey","ApiKey":"secret://a/b","ClientId":"0oa1"}`, "", `AuthJson.ClientId: belongs to Mode "OAuth", but Mode is "ApiKey"; remove it, or change Mode`},
		{`{"Mode":"ApiKey","ApiKey":"secret://a/b","Scopes":[]}`, "", `AuthJson.Scopes: belongs to Mode "OAuth"`},
		{`{"Mode":"ApiKey","ApiKey":"secret://a/b","KeyId":"k"}`, "", `AuthJson.KeyId: belongs to Mode "OAuth"`},
		{`{` + good + `,"clientId":"0oa1"}`, "", `AuthJson.clientId: is no field of a connector definition; did you mean ClientId?`},
		{`{` + good + `,"Audience":"x"}`, "", `AuthJson.Audience: is no field of a connector definition; the fields are Mode, ClientId, PrivateKey, KeyId, Scopes`},
		{`{` + good + `,"KeyId":""}`, "", `AuthJson.KeyId: is empty`},
		{`{` + good + `,"KeyId":"a b"}`, "", `AuthJson.KeyId: must be the key's "kid"`},
		{`{` + good + `,"Scopes":[]}`, "", `AuthJson.Scopes: is empty`},
		{`{` + good + `,"Scopes":"okta.users.read"}`, "", `AuthJson.Scopes: must be a list of strings, not a string`},
		{`{` + good + `,"Scopes":["okta.users.read","okta.groups.manage"]}`, "", `AuthJson.Scopes: entry 2 must be a scope that reads`},
		{`{` + good + `,"Scopes":["openid"]}`, "", `AuthJson.Scopes: entry 1 must be a scope that reads`},
		{`{` + good + `,"Scopes":["okta.users.read","okta.users.read"]}`, "", `AuthJson.Scopes: entry 2 is there twice`},
		{`{` + good + `,"Scopes":["okta.users.read"]}`, "", `AuthJson.Scopes: lacks okta.groups.read, which the passes that are on need`},
		{`{` + good + `,"Scopes":["okta.logs.read"]}`, `,"ImportGroups":false,"ImportMemberships":false`, `AuthJson.Scopes: lacks okta.users.read`},
	} {
		_, err := connector.Parse(withAuth(tt.auth, tt.config))
		require.ErrorContains(t, err, tt.want, tt.auth)
		var e *connector.ValidationError
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Problems, 1, "%s: %v", tt.auth, err)
	}
	_, err := connector.Parse(withAuth(`{`+good+`,"Scopes":["okta.users.read"]}`, `,"ImportGroups":false,"ImportMemberships":false`))
	require.NoError(t, err)
}

// The fields of one mode in a definition of the other, made by hand.
func TestValidateModes(t *testing.T) {
	t.Parallel()
	d := connector.OAuthTemplate("contoso", "contoso.okta.com", "0oa1", keyRef)
	d.Auth.APIKey = keyRef
	require.ErrorContains(t, d.Validate(), "AuthJson.ApiKey: belongs to Mode")
	d = connector.Template("contoso", "contoso.okta.com", keyRef)
	d.Auth.Scopes = []string{"okta.users.read"}
	require.ErrorContains(t, d.Validate(), "AuthJson.Scopes: belongs to Mode")
}

// A key or token that was pasted into any place of a service app's AuthJson is in no
// message.
func TestNoValueOfAnAppIsShown(t *testing.T) {
	t.Parallel()
	const canary = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ"
	base := map[string]any{"Mode": "OAuth", "ClientId": "0oa1", "PrivateKey": keyRef}
	for _, name := range []string{"Mode", "ClientId", "PrivateKey", "KeyId", "Scopes", "ApiKey", canary} {
		for _, value := range []any{canary, []string{canary}, map[string]string{canary: canary}, "secret://" + canary + " " + canary} {
			auth := map[string]any{}
			for k, v := range base {
				auth[k] = v
			}
			auth[name] = value
			text, err := json.Marshal(auth)
			require.NoError(t, err)
			_, err = connector.Parse(withAuth(string(text), ""))
			if name == "KeyId" && value == canary {
				require.NoError(t, err, "it may be a kid")
				continue
			}
			if name == "ClientId" && value == canary {
				require.NoError(t, err, "it may be a client id")
				continue
			}
			require.Error(t, err, "%s", text)
			require.NotContains(t, err.Error(), canary)
		}
	}
}
