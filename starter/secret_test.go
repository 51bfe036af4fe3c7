package main

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

const someRef = "secret://okta/contoso/apitoken"

func TestSecretSet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		tty   fakeTerminal
		stdin string
		want  string
	}{
		"pipe":                 {fakeTerminal{}, canary, canary},
		"one newline":          {fakeTerminal{}, canary + "\n", canary},
		"one Windows newline":  {fakeTerminal{}, canary + "\r\n", canary},
		"blanks are the value": {fakeTerminal{}, " " + canary + " ", " " + canary + " "},
		"prompt":               {fakeTerminal{stdin: true, password: canary}, "", canary},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.tty, b.stdin = tt.tty, strings.NewReader(tt.stdin)
			require.Equal(t, someRef+" stored\n", b.ok("secret", "set", someRef))
			require.NotContains(t, b.err.String(), canary)
			require.Equal(t, tt.tty.stdin, strings.Contains(b.err.String(), "Value of "+someRef))
			requireSecret(b, someRef, tt.want)
		})
	}
}

func TestSecretSetRefuses(t *testing.T) {
	t.Parallel()
	for name, stdin := range map[string]string{
		"nothing":        "",
		"newline alone":  "\n",
		"two lines":      canary + "\n" + canary + "\n",
		"too much":       strings.Repeat("x", secrets.MaxValueLen+1),
		"two newlines":   canary + "\n\n",
		"far too much":   strings.Repeat("x", 10*secrets.MaxValueLen),
		"control values": canary + "\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.stdin = strings.NewReader(stdin)
			b.fails(exitError, "value", "secret", "set", someRef)
			require.NotContains(t, b.err.String(), canary)
			require.JSONEq(t, `[]`, b.ok("secret", "list", "-o", "json"))
		})
	}
}

// A token in the wrong place is refused without being repeated.
func TestSecretIsNeverEchoed(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"secret", "set", someRef, canary},
		{"secret", "set", canary},
		{"secret", "set", someRef, "--value=" + canary},
		{"secret", "delete", canary},
		{"connector", "init", canary},
		{"connector", "init", "--domain", "contoso.okta.com", "--token=" + canary},
	} {
		b := newBench(t)
		require.Equal(t, exitUsage, b.run(args...), "%v", args)
		require.NotContains(t, b.out.String()+b.err.String(), canary, "%v", args)
	}
}

func TestSecretListAndDelete(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	require.Empty(t, b.ok("secret", "list"))
	require.Contains(t, b.err.String(), "no secret yet")

	b.apply("contoso")
	b.stdin = strings.NewReader(canary)
	b.ok("secret", "set", someRef)
	list := b.ok("secret", "list")
	require.Regexp(t, `(?m)^REFERENCE +CREATED +UPDATED +AGE +ROTATION`, list)
	require.Contains(t, list, someRef)
	var stored []map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.ok("secret", "list", "-o", "json")), &stored))
	require.Len(t, stored, 1)
	require.ElementsMatch(t, []string{"ref", "backend", "where", "found", "createdAt", "updatedAt", "rotationDue", "usedBy"}, keys(stored[0]))

	c := b.cli()
	c.now = func() time.Time { return time.Now().Add(secrets.RotateAfter + time.Hour) }
	require.Zero(t, c.run(t.Context(), []string{"secret", "list"}))
	require.Regexp(t, `90 days +due`, b.out.String())

	require.Equal(t, someRef+" deleted\n", b.ok("secret", "delete", someRef))
	require.Contains(t, b.err.String(), "still named by connector contoso")
	b.fails(exitError, someRef, "secret", "delete", someRef)
	require.NotContains(t, b.err.String(), "secret set", "one who deletes is not told to store")
}

func TestSecretWithoutItsKey(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.cli()
	c.stdin = strings.NewReader(canary)
	c.openSecrets = func(s mesh.Store) (secrets.Backend, error) {
		return secrets.NewTableStore(app.SecretTable(s), secrets.OpenKeys(secrets.KeyFile(filepath.Join(b.dir, "mesh.db", "key")))), nil // no folder
	}
	require.Equal(t, exitError, c.run(t.Context(), []string{"secret", "set", someRef}))
	require.NotContains(t, b.out.String()+b.err.String(), canary)
}

// Ctrl-C at a question ends the command although the read of the terminal does not.
func TestInterruptAtAQuestion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	never, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	b.stdin = never
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, exitInterrupted, b.cli().run(ctx, []string{"secret", "set", someRef}))
	b.tty.stdin = true
	require.Equal(t, exitInterrupted, b.cli().run(ctx, []string{"connector", "init"}))
}

func keys(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	return names
}
