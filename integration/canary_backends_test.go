package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/secrets/secretstest"
)

// elsewhere are the backends beside the table. Each has the token put there and the
// processes configured, and returns what else must never show, and what makes the backend
// refuse the secret for good.
var elsewhere = map[string]func(w *world, token string) (more []string, refuse func()){
	"env": func(w *world, token string) ([]string, func()) {
		w.vars = append(w.vars, "IDENTITYMESH_SECRETS=env", "IDENTITYMESH_SECRET_OKTA__CONTOSO__APITOKEN="+token)
		return nil, nil // it is what it was when the process began
	},
	"files": func(w *world, token string) ([]string, func()) {
		dir := filepath.Join(w.stack.Dir, "files")
		file := filepath.Join(dir, "okta--contoso--apitoken")
		require.NoError(w, os.Mkdir(dir, 0o700))
		require.NoError(w, os.WriteFile(file, []byte(token+"\n"), 0o600))
		w.vars = append(w.vars, "IDENTITYMESH_SECRETS=files", "IDENTITYMESH_SECRETS_DIR="+dir)
		return nil, func() { require.NoError(w, os.Chmod(file, 0o622)) } //nolint:gosec // that is what is refused
	},
	"Vault": func(w *world, token string) ([]string, func()) {
		const id, root = "Canary-SecretId-of-AppRole_0123456789", "Canary-Token-of-Vault_0123456789"
		vault := secretstest.NewVault(w)
		vault.Change(func(v *secretstest.Vault) { v.SecretID = id })
		vault.AddToken(root, 0)
		vault.Put("okta/contoso/apitoken", token)
		w.vars = append(w.vars, "IDENTITYMESH_SECRETS=vault", "VAULT_ADDR="+vault.URL, "VAULT_TOKEN="+root,
			"IDENTITYMESH_VAULT_AUTH=approle", "IDENTITYMESH_VAULT_ROLE_ID=role-id", "IDENTITYMESH_VAULT_SECRET_ID="+id)
		return []string{id, root}, func() { vault.Change(func(v *secretstest.Vault) { v.Forbidden = true }) }
	},
}

// TestCanaryElsewhere is TestCanary for tokens that the table does not hold.
func TestCanaryElsewhere(t *testing.T) {
	t.Parallel()
	for name, put := range elsewhere {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, oktasim.Config{Org: generated(t, 20, 2), Token: apiToken}, nil)
			w.ok(w.starter("", "secret", "delete", "secret://okta/contoso/apitoken")) // the table's
			w.encrypted()
			more, refuse := put(w, apiToken)
			forbidden := map[string][]string{"the API token": spellings(apiToken)}
			for _, secret := range more {
				forbidden["a credential of the backend"] = append(forbidden["a credential of the backend"], spellings(secret)...)
			}
			out := &transcript{world: w}
			look := func(code int) {
				check := w.starter("", "connector", "check", w.name)
				require.Equal(t, code, check.Code, check.Stdout)
				out.add("check", check)
				out.add("list", w.starter("", "secret", "list"))
				out.add("set", w.starter(apiToken, "secret", "set", "secret://okta/contoso/apitoken"))
			}
			worker, err := w.stack.Worker(t.Context(), w.env(), "--log-level", "debug")
			require.NoError(t, err)
			require.Equal(t, "Completed", out.wait(out.begin(w)).Outcome, "the token is the right one")
			look(0)
			faults := []string{"401", "403 HTML", "400", "redirect", "bad user"}
			for _, fault := range faults {
				s := w.sibling(oktasim.Config{Org: generated(t, 5, 1), Token: apiToken}, nil)
				s.sim.Intercept(oktaFaults[fault])
				require.Equal(t, "Failed", out.wait(out.begin(s)).Outcome, fault)
				out.add("check "+fault, s.starter("", "connector", "check", s.name))
			}
			if refuse != nil {
				refuse()
				row := out.wait(out.begin(w))
				require.Equal(t, "Failed", row.Outcome)
				require.Contains(t, row.Error, "secret://okta/contoso/apitoken")
				look(1)
			}
			out.text("the metrics", metricsOf(w, worker))
			require.NoError(t, syscall.Kill(worker.Pid(), syscall.SIGQUIT)) // it dumps its goroutines
			<-worker.Done()
			require.Contains(t, worker.Output(), "goroutine ")
			out.text("the worker", worker.Output())
			out.database()
			out.histories(len(faults))
			out.search(forbidden)
			for _, part := range []string{"check", "list", "the worker", "mesh.db", "history 1", "the metrics"} {
				require.NotEmpty(t, strings.TrimSpace(out.texts[part]), "%s was searched", part)
			}
		})
	}
}
