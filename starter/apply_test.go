package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

func TestConnectorApply(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := filepath.Join(b.dir, "contoso.json")
	require.NoError(t, os.WriteFile(file, []byte(definition("contoso")), 0o600))

	require.Equal(t, "connector contoso created\n", b.ok("connector", "apply", "-f", file))
	require.Contains(t, b.err.String(), "starter secret set secret://okta/contoso/apitoken", "the token is missing")
	require.Equal(t, "connector contoso unchanged\n", b.ok("connector", "apply", "-f", file))

	changed := strings.Replace(definition("contoso"), `"OrgDomain"`, `"PageSize": 100, "OrgDomain"`, 1)
	b.stdin = strings.NewReader(changed)
	require.Equal(t, "connector contoso updated\n", b.ok("connector", "apply", "-f", "-"))
	b.stdin = strings.NewReader(changed)
	require.JSONEq(t, `{"name": "contoso", "result": "unchanged"}`, b.ok("connector", "apply", "-f", "-", "-o", "json"))

	b.stdin = strings.NewReader(canary)
	b.ok("secret", "set", "secret://okta/contoso/apitoken")
	b.ok("connector", "apply", "-f", file)
	require.Equal(t, "Before its next run, check that it works: starter connector check contoso\n", b.err.String(), "the token is there")
	b.ok("connector", "apply", "-f", file)
	require.Empty(t, b.err.String(), "nothing changed")
}

func TestConnectorApplyRefusesBadFiles(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ text, want string }{
		"unknown field":      {strings.Replace(definition("x"), `"OrgDomain"`, `"Bogus": 1, "OrgDomain"`, 1), "ConfigJson.Bogus"},
		"unknown attribute":  {strings.Replace(definition("x"), `"OrgDomain"`, `"IgnoreForChanges": ["lastlogin"], "OrgDomain"`, 1), `did you mean "lastLogin"?`},
		"a pasted token":     {strings.Replace(definition("x"), "secret://okta/x/apitoken", canary, 1), "AuthJson.ApiKey"},
		"not JSON":           {"hello", "not valid JSON"},
		"empty":              {"", "empty"},
		"larger than senses": {strings.Repeat(" ", maxDefinition+1), "larger than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.stdin = strings.NewReader(tt.text)
			b.fails(exitError, tt.want, "connector", "apply", "-f", "-")
			require.NotContains(t, b.err.String(), canary)
			require.Empty(t, b.ok("connector", "list"))
		})
	}
	b := newBench(t)
	b.fails(exitError, "nowhere.json", "connector", "apply", "-f", filepath.Join(b.dir, "nowhere.json"))
}

func TestConnectorApplyOfAnotherOrg(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	apply := func(domain string) []string {
		b.stdin = strings.NewReader(strings.Replace(definition("contoso"), "contoso.okta.com", domain, 1))
		return []string{"connector", "apply", "-f", "-"}
	}
	b.ok(apply("contoso.okta.com")...)
	require.Equal(t, "connector contoso updated\n", b.ok(apply("fabrikam.okta.com")...), "there is nothing to lose yet")
	b.ok(apply("contoso.okta.com")...)

	b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
	b.fails(exitError, "OrgDomain changes from contoso.okta.com to fabrikam.okta.com", apply("fabrikam.okta.com")...)
	for _, want := range []string{"holds 3 live objects of the old org", "the next run would delete", "starter connector apply --replace-org"} {
		require.Contains(t, b.err.String(), want)
	}
	require.Contains(t, b.ok("connector", "show", "contoso"), "https://contoso.okta.com", "nothing was changed")

	require.Equal(t, "connector contoso unchanged\n", b.ok(apply("Contoso.okta.com")...), "host names ignore case")
	require.Equal(t, "connector contoso updated\n", b.ok(append(apply("fabrikam.okta.com"), "--replace-org")...))
	require.Equal(t, "connector contoso unchanged\n", b.ok(append(apply("fabrikam.okta.com"), "--replace-org")...))
	require.Contains(t, b.ok("connector", "show", "contoso"), "https://fabrikam.okta.com")
}
