package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

// TestVaultIsSealedMeanwhile moves a connector's token from the table to Vault by
// configuration alone, and imports while Vault is sealed: the run waits, and goes on by
// itself.
func TestVaultIsSealedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, oktasim.Config{Org: generated(t, 50, 3)}, nil)
	w.ok(w.starter("", "secret", "delete", "secret://okta/contoso/apitoken")) // the table's
	vault := secretstest.NewVault(t)
	vault.Put("okta/contoso/apitoken", "oktasim-token\n")
	env := slices.Concat(w.env(), []string{"IDENTITYMESH_SECRETS=vault", "VAULT_ADDR=" + vault.URL, "VAULT_TOKEN=",
		"IDENTITYMESH_VAULT_AUTH=approle", "IDENTITYMESH_VAULT_ROLE_ID=role-id", "IDENTITYMESH_VAULT_SECRET_ID=secret-id"})
	p, err := w.stack.Worker(w.Context(), env, "--metrics-addr", "")
	require.NoError(t, err)
	t.Cleanup(func() { require.Equal(t, 1, vault.Tokens(), "a worker that stops gives its token back") })
	t.Cleanup(func() { require.NoError(t, p.Stop()) })

	vault.Change(func(v *secretstest.Vault) { v.Sealed = true })
	done := make(chan stack.Result, 1)
	go func() { done <- w.starter("", "run", w.name, "--mode", "full", "--wait", "-o", "json") }()
	require.Eventually(t, func() bool { return vault.Calls("PUT auth/approle/login") >= 2 }, time.Minute, 20*time.Millisecond, "it tries again")
	require.Zero(t, w.sim.Stats().Total, "Okta was not called")
	vault.Change(func(v *secretstest.Vault) { v.Sealed = false })
	row, r := w.rowOf(<-done)
	require.Equal(t, "Completed", row.Outcome, r.Stderr)
	require.NotZero(t, row.Counts["User"].Added)

	list, err := w.stack.Starter(w.Context(), env, "", "secret", "list")
	require.NoError(t, err)
	require.Regexp(t, `(?m)^secret://okta/contoso/apitoken .* yes .*Vault at `+vault.URL+`, secret/data/okta/contoso/apitoken`, w.ok(list))
	vault.Remove("okta/contoso/apitoken")
	row, _ = w.run()
	require.Equal(t, "Failed", row.Outcome)
	require.True(t, strings.Contains(row.Error, "vault kv put -mount=secret okta/contoso/apitoken"), row.Error)
}
