package preflight_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/secrets"
)

// holding is a backend with one value.
type holding struct {
	value string
	place secrets.Place
	info  secrets.Info
	err   error
}

func (h holding) Where(secrets.Ref) (secrets.Place, error)        { return h.place, nil }
func (h holding) Stat(context, secrets.Ref) (secrets.Info, error) { return h.info, nil }
func (h holding) HowToStore(r secrets.Ref) string                 { return "put " + string(r) + " there" }
func (h holding) Close() error                                    { return nil }
func (h holding) Resolve(context, secrets.Ref) (secrets.Value, error) {
	return secrets.NewValue([]byte(h.value)), h.err
}

// keep makes b's secret another one.
func (b *bench) keep(h holding) {
	b.cfg.Secrets = func(preflight.Store) (secrets.Backend, error) { return h, nil }
}

func TestShapesOfATokenThatIsNone(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                               "is empty",
		"  \n":                           "is empty",
		"SSWS " + canary:                 `begins with "SSWS", which the connector adds itself`,
		"ssws\t" + canary:                `begins with "SSWS"`,
		"SSWS: " + canary:                `begins with "SSWS"`,
		canary + "\n":                    "ends with a line break",
		canary + "\r\n":                  "ends with a line break",
		" " + canary:                     "begins or ends with a space",
		`"` + canary + `"`:               "is in quotes",
		"'" + canary + "'":               "is in quotes",
		"<" + canary + ">":               "is a placeholder in angle brackets",
		"00abc def":                      "holds a space",
		"00abc\ndef":                     "holds a space or a line break",
		"00abcdéf":                       "holds a character that no token has",
		"00abc\x00def":                   "holds a character that no token has",
		"secret://okta/contoso/apitoken": "is a reference itself",
		"-----BEGIN PRIVATE KEY-----\nx": "is a key or a certificate",
		`{"kty":"RSA"}`:                  "is JSON",
		"eyJhbGciOi.eyJzdWIiOi.c2ln":     "is a JSON Web Token",
	} {
		b := newBench(t)
		b.apply()
		b.keep(holding{value: value, place: secrets.Place{Name: "the environment", Path: "OKTA_TOKEN"}})
		r := b.run()
		requireStep(t, r, preflight.Secret, preflight.Failed, string(ref)+" in the environment, OKTA_TOKEN "+want, ", and put "+string(ref)+" there")
		require.Zero(t, r.Calls, "a value that cannot be the token is not sent")
		requireStep(t, r, preflight.Credential, preflight.Skipped, "Secret comes first", "")
		requireStep(t, r, preflight.DNS, preflight.Skipped, "Secret comes first", "")
	}
}

// A token that begins with the letters alone is one.
func TestATokenMayBeginWithSSWS(t *testing.T) {
	t.Parallel()
	token := "SSWSabcdefghijklmnopqrstuvwxyz0123456789abcd"
	b := newBench(t, func(c *oktasim.Config) { c.Token = token })
	b.apply()
	b.store(token)
	require.Equal(t, preflight.OK, b.run().Result)
}

func TestSecretsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		prepare       func(*bench)
		found, advice string
	}{
		"missing":     {func(b *bench) { b.applyAs(b.definition()) }, "is not in the im_secrets table", "store it with: starter secret set"},
		"no key file": {func(b *bench) { b.apply(); require.NoError(b.t, os.Remove(filepath.Join(b.dir, "key"))) }, "its key file ", ""},
		"another key": {func(b *bench) {
			b.apply()
			require.NoError(b.t, os.Remove(filepath.Join(b.dir, "key")))
			other := newBench(b.t)
			other.apply()
			require.NoError(b.t, os.Rename(filepath.Join(other.dir, "key"), filepath.Join(b.dir, "key")))
		}, "sealed with another key", ""},
		"key for all": {func(b *bench) {
			b.apply()
			require.NoError(b.t, os.Chmod(filepath.Join(b.dir, "key"), 0o644)) //nolint:gosec // that is the fault
		}, "is open to other users", ""},
		"a backend that is down": {func(b *bench) {
			b.apply()
			b.keep(holding{err: &secrets.Error{Ref: ref, Place: secrets.Place{Name: "Vault", Server: "https://vault.example"}, Kind: secrets.Unavailable, Cause: "is sealed", Remedy: "unseal it"}})
		}, "in Vault at https://vault.example is sealed", "unseal it"},
		"no backend": {func(b *bench) {
			b.apply()
			b.cfg.Secrets = func(preflight.Store) (secrets.Backend, error) { return nil, errors.New("no such backend") }
		}, "no such backend", ""},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.prepare(b)
			r := b.run()
			requireStep(t, r, preflight.Secret, preflight.Failed, c.found, c.advice)
			require.Zero(t, r.Calls)
		})
	}
}

const day = 24 * time.Hour

func TestAgeAndUseOfASecret(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		age, ran    time.Duration // before now; ran 0: never
		ageIs       preflight.Result
		useIs       preflight.Result
		found, used string
	}{
		"new":              {0, 0, preflight.OK, preflight.OK, "stored on ", "no run has used it yet"},
		"in use":           {80 * day, day, preflight.OK, preflight.OK, "rotate it by ", "a run of this connector used it on "},
		"due":              {91 * day, day, preflight.Warning, preflight.OK, "91 days ago", "a run of this connector used it on"},
		"forgotten":        {40 * day, 31 * day, preflight.OK, preflight.Warning, "rotate it by", "the last run that completed ended on "},
		"never used":       {31 * day, 0, preflight.OK, preflight.Warning, "rotate it by", "it was stored 31 days ago, and no run of this connector has completed since"},
		"replaced by then": {2 * day, 60 * day, preflight.OK, preflight.OK, "rotate it by", "it was stored less than 30 days ago"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.apply()
			now := time.Now()
			b.sql(`UPDATE im_secrets SET updated_at = ?`, now.Add(-c.age).UnixMilli())
			if c.ran > 0 {
				b.complete(now)
				b.sql(`UPDATE im_runs SET ended_at = ?`, now.Add(-c.ran).UnixMilli())
			}
			advice := map[preflight.Result]string{preflight.OK: "", preflight.Warning: "it is older than 90 days: make a new one in Okta"}
			r := b.run()
			requireStep(t, r, preflight.SecretAge, c.ageIs, c.found, advice[c.ageIs])
			advice[preflight.Warning] = "Okta revokes an API token that nobody uses for 30 days. This check uses it once; a schedule keeps it alive: `starter schedule apply contoso"
			requireStep(t, r, preflight.SecretUse, c.useIs, c.used, advice[c.useIs])

			// What is known of its use explains a refusal.
			b.answer("", refuse(401, "E0000011", "Invalid token provided"))
			r = b.run()
			s := r.Step(preflight.Credential)
			require.Equal(t, preflight.Failed, s.Result)
			if c.useIs == preflight.Warning {
				require.Contains(t, s.Advice, "most likely Okta has revoked the token because nobody used it for 30 days")
			} else {
				require.NotContains(t, s.Advice, "most likely")
			}
		})
	}
}

func TestABackendThatDoesNotSayTheAge(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.apply()
	b.keep(holding{value: canary, place: secrets.Place{Name: "the folder /run/secrets"}})
	r := b.run()
	require.Equal(t, preflight.OK, r.Result, text(r))
	requireStep(t, r, preflight.SecretAge, preflight.OK, "its backend does not say", "")
	requireStep(t, r, preflight.SecretUse, preflight.OK, "not known", "")
}

// sql executes a statement in the mesh, as an operator may.
func (b *bench) sql(statement string, args ...any) {
	b.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(b.dir, "mesh.db"))
	require.NoError(b.t, err)
	_, err = db.ExecContext(b.t.Context(), statement, args...)
	require.NoError(b.t, err)
	require.NoError(b.t, db.Close())
}
