package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

func TestConnectorListAndShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Empty(t, b.ok("connector", "list"))
	require.Contains(t, b.err.String(), "no connector yet")
	require.JSONEq(t, `[]`, b.ok("connector", "list", "-o", "json"))

	b.apply("contoso")
	b.seed("contoso", someRun, object(mesh.User, "00u1", nil), object(mesh.User, "00u2", nil))
	list := b.ok("connector", "list")
	require.Regexp(t, `(?m)^NAME +TYPE +ORG +USERS +GROUPS +MEMBERS +CHANGED$`, list)
	require.Regexp(t, `(?m)^contoso +Okta +contoso.okta.com +2 +1 +2 +\d{4}-`, list)
	var rows []connectorRow
	require.NoError(t, json.Unmarshal([]byte(b.ok("connector", "list", "-o", "json")), &rows))
	require.Len(t, rows, 1)
	require.Equal(t, map[mesh.ObjectType]int{mesh.User: 2, mesh.Group: 1, mesh.GroupMember: 2}, rows[0].Live)
	require.False(t, rows[0].CreatedAt.IsZero())

	shown := b.ok("connector", "show", "contoso")
	require.Regexp(t, `(?m)^Org +https://contoso.okta.com$`, shown)
	require.Regexp(t, `(?m)^Imports +users, groups, memberships$`, shown)
	file := b.ok("connector", "show", "contoso", "-o", "json")
	def, err := connector.Parse([]byte(file))
	require.NoError(t, err)
	require.Equal(t, "contoso", def.Name)
	b.stdin = strings.NewReader(file)
	require.Equal(t, "connector contoso unchanged\n", b.ok("connector", "apply", "-f", "-"), "what show prints can be applied")
}

func TestConnectorThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.withStore(func(ctx context.Context, store mesh.Store) { // as an edit in SQL might leave it
		_, err := store.ApplyConnector(ctx, mesh.Connector{Name: "odd", Type: "Okta",
			ConfigJSON: json.RawMessage(`{"OrgDomain": "https://odd.okta.com"}`), AuthJSON: json.RawMessage(`{}`)})
		require.NoError(t, err)
	})
	require.Contains(t, b.ok("connector", "list"), "(invalid definition)")
	b.fails(exitError, "ConfigJson.OrgDomain", "connector", "show", "odd")
	require.Contains(t, b.ok("status", "odd"), "ConfigJson.OrgDomain")
	var s status
	require.NoError(t, json.Unmarshal([]byte(b.ok("status", "odd", "-o", "json")), &s))
	require.Equal(t, "null", string(s.Definition))
	require.Contains(t, s.DefinitionError, "ConfigJson.OrgDomain")
}

func TestConnectorDelete(t *testing.T) {
	t.Parallel()
	t.Run("without objects", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		require.Equal(t, "connector contoso deleted\n", b.ok("connector", "delete", "contoso"))
		require.JSONEq(t, `[]`, b.ok("connector", "list", "-o", "json"))
	})
	t.Run("with objects", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
		require.Equal(t, exitError, b.run("connector", "delete", "contoso"))
		require.Empty(t, b.out.String())
		require.Contains(t, b.err.String(), "contoso")
		require.Equal(t, 3, strings.Count(b.ok("objects", "contoso", "-o", "jsonl"), "\n"))

		b.ok("connector", "delete", "contoso", "--purge")
		require.Empty(t, b.ok("objects", "contoso", "-o", "jsonl"), "a deleted connector stays readable")
		require.Equal(t, 3, strings.Count(b.ok("changes", "contoso", "-o", "jsonl"), `"reason":"purged"`))
		require.Contains(t, b.ok("runs", "contoso"), someRun)
		b.fails(exitError, `connector "contoso" does not exist`, "status", "contoso")
	})
	t.Run("keeping objects", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		b.seed("contoso", someRun, object(mesh.User, "00u1", nil))
		b.ok("connector", "delete", "contoso", "--keep-objects")
		require.Equal(t, 3, strings.Count(b.ok("objects", "contoso", "-o", "jsonl"), `"state":"live"`))
	})
	t.Run("while a run imports", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.apply("contoso")
		b.begin("contoso", someRun)
		b.fails(exitError, "contoso", "connector", "delete", "contoso", "--purge")
	})
}

func TestConnectorInitFromAPipe(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.stdin = strings.NewReader(canary + "\n")
	file := b.ok("connector", "init", "--domain", "contoso.okta.com")
	require.NotContains(t, file+b.err.String(), canary)
	def, err := connector.Parse([]byte(file))
	require.NoError(t, err)
	require.Equal(t, "contoso", def.Name)
	require.Equal(t, "secret://okta/contoso/apitoken", def.Auth.APIKey)
	requireSecret(b, "secret://okta/contoso/apitoken", canary)

	b.stdin = strings.NewReader(file)
	require.Equal(t, "connector contoso created\n", b.ok("connector", "apply", "-f", "-"))
}

func TestConnectorInitAsks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.tty = fakeTerminal{stdin: true, password: canary}
	b.stdin = strings.NewReader("contoso.okta.com\n\nsecret://okta/other/apitoken\n")
	file := b.ok("connector", "init")
	require.True(t, json.Valid([]byte(file)), "the questions are not on standard output")
	require.Contains(t, file, "secret://okta/other/apitoken")
	for _, want := range []string{"Okta org domain", "Sign in with an API token (ApiKey) or as a service app (OAuth) [ApiKey]", "Okta API token (not shown)", "Secret reference [secret://okta/contoso/apitoken]"} {
		require.Contains(t, b.err.String(), want)
	}
	require.NotContains(t, file+b.err.String(), canary)
	requireSecret(b, "secret://okta/other/apitoken", canary)

	b.stdin = strings.NewReader("contoso.okta.com\n\n\n")
	require.Contains(t, b.ok("connector", "init"), "secret://okta/contoso/apitoken", "enter takes the proposal")
}

func TestConnectorInitFlags(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.stdin = strings.NewReader(canary)
	file := b.ok("connector", "init", "--name", "sim", "--domain", "127.0.0.1:18080", "--insecure-loopback", "--ref", "secret://okta/sim/token")
	def, err := connector.Parse([]byte(file))
	require.NoError(t, err)
	require.Equal(t, "sim", def.Name)
	require.Equal(t, "http://127.0.0.1:18080", def.Config.BaseURL())
	requireSecret(b, "secret://okta/sim/token", canary)
}

func TestConnectorInitStoresNothingOnError(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args  []string
		stdin string
		code  int
		want  string
	}{
		"scheme":        {[]string{"--domain", "https://contoso.okta.com"}, canary, exitUsage, "OrgDomain"},
		"bad reference": {[]string{"--domain", "contoso.okta.com", "--ref", canary}, canary, exitUsage, "not a secret reference"},
		"no token":      {[]string{"--domain", "contoso.okta.com"}, "\n", exitError, "the value is empty"},
		"not loopback":  {[]string{"--domain", "contoso.okta.com", "--insecure-loopback"}, canary, exitUsage, "InsecureLoopback"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.stdin = strings.NewReader(tt.stdin)
			b.fails(tt.code, tt.want, append([]string{"connector", "init"}, tt.args...)...)
			require.NotContains(t, b.err.String(), canary)
			require.JSONEq(t, `[]`, b.ok("secret", "list", "-o", "json"))
		})
	}
}

func TestConnectorInitBlamesTheDomainOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.fails(exitUsage, "starter: connector definition: ConfigJson.OrgDomain: ", "connector", "init", "--domain", "http://127.0.0.1:1")
	require.NotContains(t, b.err.String(), "reference")

	b.tty = fakeTerminal{stdin: true, password: canary}
	b.stdin = strings.NewReader("http://127.0.0.1:1\n")
	require.Equal(t, exitError, b.run("connector", "init"), "a wrong answer is no wrong usage")
	require.Contains(t, b.err.String(), "ConfigJson.OrgDomain")
	require.NotContains(t, b.err.String(), "token (not shown)", "the domain is judged before the token is asked for")
}

func TestNameOf(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"contoso.okta.com": "contoso", "Contoso.oktapreview.com": "contoso", "login.contoso.com:8443": "login",
		"127.0.0.1:18080": "okta", "[::1]:18080": "okta", "localhost:18080": "localhost", "": "okta",
	}
	for domain, want := range tests {
		require.Equal(t, want, nameOf(domain), domain)
	}
}

// requireSecret checks what is stored under ref.
func requireSecret(b *bench, ref, want string) {
	b.t.Helper()
	b.withStore(func(ctx context.Context, store mesh.Store) {
		v, err := b.secrets(store).Resolve(ctx, secrets.Ref(ref))
		require.NoError(b.t, err)
		require.Equal(b.t, want, v.Reveal())
	})
}
