package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

// inFiles makes the secrets of b files in a folder, and returns that of someRef.
func inFiles(b *bench) string {
	dir := filepath.Join(b.dir, "secrets")
	require.NoError(b.t, os.Mkdir(dir, 0o700))
	b.backend = secrets.NewFiles(dir)
	return filepath.Join(dir, "okta--contoso--apitoken")
}

// Where this program does not write, it says how to, before it asks for a value.
func TestSecretsElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := inFiles(b)
	how := "install -m 0400 /dev/stdin " + file
	b.tty = fakeTerminal{stdin: true, password: canary}
	b.fails(exitError, how, "secret", "set", someRef)
	require.NotContains(t, b.err.String(), "Value of", "nothing is asked")
	b.fails(exitError, file, "secret", "delete", someRef)
	b.fails(exitError, "not in the im_secrets table", "secret", "rekey")

	b.tty = fakeTerminal{}
	definition := b.ok("connector", "init", "--domain", "contoso.okta.com")
	require.Contains(t, definition, someRef)
	require.Contains(t, b.err.String(), how)
	definition = b.ok("connector", "init", "--domain", "contoso.okta.com", "--client-id", "0oa1gjh63g214q0Hq0g4")
	require.Contains(t, definition, "secret://okta/contoso/privatekey")
	require.Contains(t, b.err.String(), "okta--contoso--privatekey", "no key is read")

	b.apply("contoso")
	require.Contains(t, b.err.String(), "note: "+someRef+" is not stored yet; write it to the file "+file)
	require.NoError(t, os.WriteFile(file, []byte(canary+"\n"), 0o400))
	b.apply("contoso")
	require.Empty(t, b.err.String())
	require.NoError(t, os.Chmod(file, 0o666)) //nolint:gosec // that is what is refused
	b.apply("contoso")
	require.Contains(t, b.err.String(), "note: secret "+someRef)
	require.Contains(t, b.err.String(), "chmod go-w "+file)
	require.NotContains(t, b.out.String()+b.err.String(), canary)
}

func TestSecretListElsewhere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	file := inFiles(b)
	b.apply("fabrikam")
	b.apply("contoso")
	require.NoError(t, os.WriteFile(file, []byte(canary), 0o400))
	old := fixedNow.Add(-secrets.RotateAfter - 24*60*60e9)
	require.NoError(t, os.Chtimes(file, old, old))
	b.now = fixedNow
	out := b.ok("secret", "list")
	require.Regexp(t, `(?m)^secret://okta/contoso/apitoken +- +2026-01-21 08:15:30Z +91 days +due +yes +contoso +the secret files, `+file, out)
	require.Regexp(t, `(?m)^secret://okta/fabrikam/apitoken +- +- +- +NO +fabrikam +the secret files`, out)
	require.Contains(t, b.err.String(), "secret secret://okta/fabrikam/apitoken is not in the secret files")

	var all []listedSecret
	require.NoError(t, json.Unmarshal([]byte(b.ok("secret", "list", "-o", "json")), &all))
	require.Len(t, all, 2)
	require.Equal(t, listedSecret{Ref: someRef, Backend: "files", Where: "the secret files, " + file, Found: true,
		UpdatedAt: old, RotationDue: true, UsedBy: []string{"contoso"}}, all[0])
	require.False(t, all[1].Found)
	require.Contains(t, all[1].Error, "install -m 0400")
	require.NoError(t, os.Chmod(file, 0o622)) //nolint:gosec // that is what is refused
	require.Regexp(t, `(?m)^secret://okta/contoso/apitoken .* ERROR +contoso`, b.ok("secret", "list"), "it is there, and of no use")
	require.Contains(t, b.err.String(), "chmod go-w "+file)
	require.NotContains(t, b.out.String()+b.err.String(), canary)
}

// The table lists what connectors name and it does not hold, too.
func TestSecretListNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply("contoso")
	b.stdin = strings.NewReader(canary)
	b.ok("secret", "set", "secret://okta/old/apitoken")
	var all []listedSecret
	require.NoError(t, json.Unmarshal([]byte(b.ok("secret", "list", "-o", "json")), &all))
	require.Len(t, all, 2)
	require.False(t, all[0].Found)
	require.Equal(t, []string{"contoso"}, all[0].UsedBy)
	require.True(t, all[1].Found)
	require.Empty(t, all[1].UsedBy)
}

func TestSecretSetKeys(t *testing.T) {
	t.Parallel()
	for _, value := range []string{secretstest.SomePEM, secretstest.SomeJWK} {
		b := newBench(t)
		b.stdin = strings.NewReader(value + "\n")
		b.ok("secret", "set", someRef)
		requireSecret(b, someRef, value)
	}
}

func TestSecretRekey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	key := filepath.Join(b.dir, "secrets.key")
	b.stdin = strings.NewReader(canary)
	b.ok("secret", "set", someRef)
	before, err := os.ReadFile(key)
	require.NoError(t, err)
	require.Equal(t, "1 secret sealed with the newest key, 1 by this command\n", b.ok("secret", "rekey"))
	requireSecret(b, someRef, canary)
	after, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	require.JSONEq(t, `{"secrets":1,"resealed":1,"pending":false}`, b.ok("secret", "rekey", "-o", "json"))

	first, second := filepath.Join(b.dir, "first.json"), filepath.Join(b.dir, "second.json")
	require.Empty(t, b.ok("secret", "rekey", "--key-out", first))
	require.Contains(t, b.err.String(), "put it in the place of the key file "+key+" everywhere, then run this again")
	b.fails(exitError, "is not overwritten", "secret", "rekey", "--key-out", first)
	requireSecret(b, someRef, canary)
	require.NoError(t, os.Rename(first, key))
	require.Contains(t, b.ok("secret", "rekey", "--key-out", second), "1 by this command")
	requireSecret(b, someRef, canary)
	require.NoError(t, os.Rename(second, key))
	requireSecret(b, someRef, canary)
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}
