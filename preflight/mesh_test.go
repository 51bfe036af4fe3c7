package preflight_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/preflight"
)

func TestTheMesh(t *testing.T) {
	t.Parallel()
	inspected := func(i mesh.Inspection, err error) func(*bench) {
		return func(b *bench) {
			b.apply()
			b.cfg.Inspect = func(context) (mesh.Inspection, error) { return i, err }
		}
	}
	const file = "/state/mesh.db"
	for what, c := range map[string]struct {
		prepare       func(*bench)
		id            preflight.ID
		result        preflight.Result
		found, advice string
		calls         bool // Okta is asked all the same
	}{
		"no database": {func(*bench) {}, preflight.Database, preflight.Failed, "mesh.db does not exist", "starter connector init", false},
		"no database, a file": {func(b *bench) { b.cfg.Definition = b.definition() },
			preflight.Database, preflight.Warning, "does not exist yet", "`starter connector apply` makes it", false},
		"malformed URL": {inspected(mesh.Inspection{}, os.ErrInvalid), preflight.Database, preflight.Failed, "invalid argument", "set IDENTITYMESH_DB", false},
		"newer schema": {inspected(mesh.Inspection{Name: file, Exists: true, Version: 9, Wants: 4, Newest: 4}, nil),
			preflight.Database, preflight.Failed, "schema version 9, and this release knows 4", "use the newer release", false},
		"older schema": {inspected(mesh.Inspection{Name: file, Exists: true, Version: 3, Wants: 4, Newest: 4}, nil),
			preflight.Database, preflight.Failed, "schema version 3, and this release needs 4", "any other command of this release migrates it", false},
		"read-only": {inspected(mesh.Inspection{Name: file, Exists: true, Version: 4, Wants: 4, Newest: 4, ReadOnly: true}, nil),
			preflight.Database, preflight.Failed, "/state/mesh.db is not writable", "run as the user who owns it", false},
		"locked": {inspected(mesh.Inspection{Name: file, Exists: true, Version: 4, Wants: 4, Newest: 4, Locked: true}, nil),
			preflight.Database, preflight.Warning, "kept it locked for 5s", "such as a backup", true},
		"a way that others can read": {func(b *bench) {
			b.apply()
			inspect := b.cfg.Inspect
			b.cfg.Inspect = func(ctx context) (mesh.Inspection, error) {
				i, err := inspect(ctx)
				i.Exposed = "the connection to db.internal may go without TLS"
				return i, err
			}
		}, preflight.Database, preflight.Warning, "the connection to db.internal may go without TLS", "add sslmode=verify-full to IDENTITYMESH_DB", true},
		"unknown connector": {func(b *bench) { b.apply(); b.cfg.Name = "fabrikam" },
			preflight.Connector, preflight.Failed, `connector "fabrikam" does not exist`, "`starter connector list`", false},
		"invalid definition": {func(b *bench) {
			b.withStore(func(ctx context, store mesh.Store) {
				_, err := store.ApplyConnector(ctx, mesh.Connector{Name: name, Type: "Okta",
					ConfigJSON: json.RawMessage(`{"OrgDomain": "contoso.okta.com", "PageSize": 500}`), AuthJSON: json.RawMessage(`{"Mode": "ApiKey", "ApiKey": "secret://a/b"}`)})
				require.NoError(b.t, err)
			})
		}, preflight.Connector, preflight.Failed, "ConfigJson.PageSize: must be from 1 to 200", "correct the file", false},
		"unknown attribute": {func(b *bench) { b.apply(`"IgnoreForChanges": ["lastlogin"]`) },
			preflight.Connector, preflight.Failed, `did you mean "lastLogin"?`, "correct the file", false},
		"a definition of its own": {func(b *bench) { b.apply(); b.cfg.Definition = b.definition(`"PageSize": 100`) },
			preflight.Connector, preflight.OK, "differs from the one that is applied", "", true},
		"the definition that is applied": {func(b *bench) { b.apply(); b.cfg.Definition = b.definition() },
			preflight.Connector, preflight.OK, "applied as it is", "", true},
		"a new definition": {func(b *bench) {
			b.apply()
			b.cfg.Definition, b.cfg.Name = b.definition(), "fabrikam"
		}, preflight.Connector, preflight.OK, "not applied yet", "", true},
		"a changed definition": {func(b *bench) {
			b.apply()
			b.complete(b.clock())
			b.apply(`"UserSearchFilter": "status pr"`)
		}, preflight.Connector, preflight.OK, "the next run is a Full, since this changed: UserSearchFilter", "", true},
		"malformed watermark": {func(b *bench) {
			b.apply()
			b.sql(`INSERT INTO im_watermarks (connector_key, watermark, updated_at, updated_by) SELECT key, 'yesterday', 0, 'me' FROM im_connectors`)
		}, preflight.Watermark, preflight.Failed, `malformed watermark "yesterday"`, "", true},
		"future watermark": {func(b *bench) {
			b.apply()
			b.withStore(func(ctx context, store mesh.Store) {
				require.NoError(b.t, store.SetWatermark(ctx, name, `{"u":"2999-01-01T00:00:00.000Z"}`, "me"))
			})
		}, preflight.Watermark, preflight.Failed, "lies in the future: Okta's clock says", "starter watermark set contoso", true},
		"a good watermark": {func(b *bench) {
			b.apply()
			b.withStore(func(ctx context, store mesh.Store) {
				require.NoError(b.t, store.SetWatermark(ctx, name, `{"u":"2026-01-01T00:00:00.000Z"}`, "me"))
			})
		}, preflight.Watermark, preflight.OK, `{"u":"2026-01-01T00:00:00.000Z"}`, "", true},
		"a run under way": {func(b *bench) { b.apply(); b.begin(b.clock()) },
			preflight.Lease, preflight.OK, "run run-1 is importing it now", "", true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			c.prepare(b)
			r := b.run()
			requireStep(t, r, c.id, c.result, c.found, c.advice)
			require.Equal(t, c.calls, r.Calls > 0, text(r))
		})
	}
}

func TestACheckMakesNoDatabase(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.dir = filepath.Join(b.dir, "deep")
	b.cfg.Inspect = func(ctx context) (mesh.Inspection, error) {
		return mesh.Inspect(ctx, "sqlite:"+filepath.Join(b.dir, "mesh.db"))
	}
	b.cfg.Definition = b.definition()
	r := b.run()
	require.Equal(t, preflight.Failed, r.Result)
	requireStep(t, r, preflight.Connector, preflight.OK, "not applied yet", "")
	requireStep(t, r, preflight.Secret, preflight.Failed, "is not in the im_secrets table", "store it with")
	require.NoDirExists(t, b.dir)
}

// begin starts a run.
func (b *bench) begin(at time.Time) (f mesh.Fence) {
	b.t.Helper()
	b.withStore(func(ctx context, store mesh.Store) {
		var err error
		f, err = store.Begin(ctx, mesh.BeginRun{Connector: name, RunID: "run-1", WorkflowID: "w", Namespace: "n", Mode: "Full", StartedAt: at, LeaseTTL: time.Hour})
		require.NoError(b.t, err)
	})
	return f
}

// complete completes a run of the definition.
func (b *bench) complete(at time.Time) {
	b.t.Helper()
	f := b.begin(at)
	b.withStore(func(ctx context, store mesh.Store) {
		_, err := store.Commit(ctx, f, mesh.CommitRun{ReadAs: b.definition().ReadAs()})
		require.NoError(b.t, err)
	})
}
