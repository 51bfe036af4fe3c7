package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestATokenInTheWrongPlace is refused before anything is stored, and shown nowhere, in
// small letters neither, as a domain is.
func TestATokenInTheWrongPlace(t *testing.T) {
	t.Parallel()
	const token = "00aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789CANA"
	for _, args := range [][]string{
		{"connector", "init", "--domain", token},
		{"connector", "init", "--domain", "contoso.okta.com", "--name", token},
		{"connector", "init", "--domain", "contoso.okta.com", "--ref", "secret://okta/" + token + "/apitoken"},
		{"secret", "set", "secret://okta/" + token + "/apitoken"},
		{"connector", "check", token, "--no-temporal"},
		{"connector", "check", token, "--no-temporal", "-o", "json"},
	} {
		b := newBench(t)
		b.stdin = strings.NewReader("value\n")
		require.NotZero(t, b.run(args...), args)
		require.NotContains(t, strings.ToLower(b.out.String()+b.err.String()), strings.ToLower(token), args)
		require.JSONEq(t, `[]`, b.ok("secret", "list", "-o", "json"))
	}
}
