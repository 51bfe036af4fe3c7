package preflight_test

import (
	stdcontext "context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/connector"
	"github.com/identitymesh/okta-connector/internal/app"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/okta/oktasim"
	"github.com/identitymesh/okta-connector/preflight"
	"github.com/identitymesh/okta-connector/secrets"
)

const (
	name = "contoso"
	ref  = secrets.Ref("secret://okta/contoso/apitoken")
	// canary is the token of every test: no report may hold it.
	canary = "00canaryCANARYcanary-T0KEN_never_shown_42x"
)

// bench is a simulated org, a mesh with a connector that reads it, and a stored token.
type bench struct {
	t    *testing.T
	dir  string
	org  *oktasim.Org
	sim  *oktasim.Server
	web  *httptest.Server
	cfg  preflight.Config
	auth string // AuthJson; "": an API token
	http *http.Client
	now  time.Time // zero: the present
}

// newBench makes an org of 60 users and 8 groups.
func newBench(t *testing.T, sim ...func(*oktasim.Config)) *bench {
	t.Helper()
	org, err := oktasim.Generate(oktasim.Spec{Users: 60, Groups: 8, Seed: 7})
	require.NoError(t, err)
	o := oktasim.Config{Org: org, Token: canary, Rate: 600}
	for _, f := range sim {
		f(&o)
	}
	b := &bench{t: t, dir: t.TempDir(), org: org, sim: oktasim.New(o)}
	b.web = httptest.NewServer(b.sim)
	t.Cleanup(b.web.Close)
	url := "sqlite://" + filepath.ToSlash(filepath.Join(b.dir, "mesh.db"))
	b.cfg = preflight.Config{
		Name:    name,
		Now:     func() time.Time { return b.clock() },
		Inspect: func(ctx stdcontext.Context) (mesh.Inspection, error) { return mesh.Inspect(ctx, url) },
		Open:    func(ctx stdcontext.Context) (preflight.Store, error) { return mesh.Open(ctx, url) },
		Secrets: func(s preflight.Store) (secrets.Backend, error) {
			if s == nil {
				return holding{err: &secrets.Error{Ref: ref, Place: secrets.Place{Name: "the im_secrets table"}, Kind: secrets.Missing, Remedy: "store it with: starter secret set " + string(ref)}}, nil
			}
			return b.table(s.(mesh.Store)), nil
		},
	}
	return b
}

// table is where the secret is.
func (b *bench) table(store mesh.Store) *secrets.TableStore {
	return secrets.NewTableStore(app.SecretTable(store), secrets.OpenKeys(secrets.KeyFile(filepath.Join(b.dir, "key"))))
}

func (b *bench) clock() time.Time {
	if b.now.IsZero() {
		return time.Now()
	}
	return b.now
}

// definition is one that reads the org, with settings.
func (b *bench) definition(settings ...string) *connector.Definition {
	b.t.Helper()
	auth := b.auth
	if auth == "" {
		auth = fmt.Sprintf(`{"Mode": "ApiKey", "ApiKey": %q}`, ref)
	}
	settings = append(settings, fmt.Sprintf(`"OrgDomain": %q, "InsecureLoopback": true`, strings.TrimPrefix(b.web.URL, "http://")))
	def, err := connector.Parse([]byte(fmt.Sprintf(`{"Name": %q, "Type": "Okta", "ConfigJson": {%s}, "AuthJson": %s}`,
		name, strings.Join(settings, ", "), auth)))
	require.NoError(b.t, err)
	return def
}

// withStore runs f on the mesh.
func (b *bench) withStore(f func(ctx stdcontext.Context, store mesh.Store)) {
	b.t.Helper()
	store, err := mesh.OpenSQLite(b.t.Context(), filepath.Join(b.dir, "mesh.db"))
	require.NoError(b.t, err)
	f(b.t.Context(), store)
	require.NoError(b.t, store.Close())
}

// applyAs stores a definition.
func (b *bench) applyAs(def *connector.Definition) {
	b.t.Helper()
	b.withStore(func(ctx stdcontext.Context, store mesh.Store) {
		_, err := store.ApplyConnector(ctx, mesh.Connector{Name: def.Name, Type: def.Type, ConfigJSON: def.ConfigJSON(), AuthJSON: def.AuthJSON()})
		require.NoError(b.t, err)
	})
}

// apply stores a connector with settings, and the token.
func (b *bench) apply(settings ...string) {
	b.t.Helper()
	b.applyAs(b.definition(settings...))
	b.store(canary)
}

// store stores a token.
func (b *bench) store(token string) {
	b.t.Helper()
	b.withStore(func(ctx stdcontext.Context, store mesh.Store) {
		require.NoError(b.t, b.table(store).Set(ctx, ref, []byte(token)))
	})
}

type context = stdcontext.Context

// run checks, and asserts what holds for every check.
func (b *bench) run() *preflight.Report {
	b.t.Helper()
	r := preflight.Run(b.t.Context(), b.cfg)
	require.LessOrEqual(b.t, r.Calls, preflight.MaxCalls)
	require.NotContains(b.t, text(r), canary)
	for _, s := range r.Steps {
		require.NotEmpty(b.t, s.Name, s.ID)
		require.NotEmpty(b.t, s.Found, s.ID)
		if s.Result == preflight.Skipped || s.Result == preflight.OK {
			require.Empty(b.t, s.Advice, "%v", s)
		}
	}
	return r
}

// answer makes the simulated Okta answer calls to a path in another way.
func (b *bench) answer(path string, handle http.HandlerFunc) {
	b.sim.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if path != "" && r.URL.Path != path {
			return false
		}
		handle(w, r)
		return true
	})
}

// refuse answers with an error of Okta.
func refuse(status int, code, summary string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"errorCode":%q,"errorSummary":%q,"errorLink":%q,"errorId":"oae1","errorCauses":[]}`, code, summary, code)
	}
}

// text is a report for messages.
func text(r *preflight.Report) string {
	var b strings.Builder
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "%-8s %-12s %s\n", s.Result, s.ID, s.Found)
		if s.Advice != "" {
			fmt.Fprintf(&b, "         -> %s\n", s.Advice)
		}
	}
	return b.String()
}

// requireStep checks one step.
func requireStep(t *testing.T, r *preflight.Report, id preflight.ID, result preflight.Result, found, advice string) {
	t.Helper()
	s := r.Step(id)
	require.NotNil(t, s, "%s\n%s", id, text(r))
	require.Equal(t, result, s.Result, "%s\n%s", id, text(r))
	require.Contains(t, s.Found, found, text(r))
	require.Contains(t, s.Advice, advice, text(r))
}
