package mesh_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	neturl "net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

func openPostgres(t testing.TB) (*mesh.Postgres, string) {
	t.Helper()
	url := pgtest.URL(t, "pool_max_conns=4")
	return openPostgresURL(t, url), url
}

func openPostgresURL(t testing.TB, url string) *mesh.Postgres {
	t.Helper()
	s, err := mesh.OpenPostgres(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestPostgresConformance(t *testing.T) {
	t.Parallel()
	meshtest.Run(t, func(t *testing.T) mesh.Store {
		s, _ := openPostgres(t)
		return s
	})
}

func TestPostgresConformanceInTinySteps(t *testing.T) {
	t.Parallel()
	meshtest.RunSmall(t, func(t *testing.T) mesh.Store {
		s, _ := openPostgres(t)
		s.TinySteps()
		return s
	})
}

func TestPostgresURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"postgres://user:hush%@db/mesh":                                    "malformed",
		"postgres://user:hush@db:port/mesh":                                "malformed",
		"postgres://user:hush@db/mesh?sslmode=hush":                        "sslmode",
		"postgres://user:hush@db/mesh?pool_max_conns=few":                  "pool_max_conns",
		"postgres://user:hush@db/mesh?pool_max_conns=3":                    "4 or more",
		"postgresql://user:hush@127.0.0.1:1/mesh?connect_timeout=5":        "not available",
		"postgres://user:hush@127.0.0.1:1/mesh?sslmode=disable&user=other": "not available",
	} {
		_, err := mesh.Open(t.Context(), url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), ":hush", url)
	}
}

// TestPostgresSchemaOfAnotherRelease: the worker of the release before goes on while a new
// one is rolled out, but not for two releases.
func TestPostgresSchemaOfAnotherRelease(t *testing.T) {
	t.Parallel()
	_, url := openPostgres(t)
	raw := rawPostgres(t, url)
	var have int64
	require.NoError(t, raw.QueryRowContext(t.Context(), `SELECT max(version_id) FROM goose_db_version`).Scan(&have))
	for n, want := range []string{"", "use the newer release"} {
		_, err := raw.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES ($1, true)`, have+1+int64(n))
		require.NoError(t, err)
		s, err := mesh.OpenPostgres(t.Context(), url)
		if want == "" {
			require.NoError(t, err)
			require.NoError(t, s.Close())
			continue
		}
		require.ErrorContains(t, err, want)
	}
}

// rawPostgres opens the database beside the store, as an operator's tool does.
func rawPostgres(t testing.TB, url string) *sql.DB {
	t.Helper()
	u, err := neturl.Parse(url)
	require.NoError(t, err)
	q := u.Query()
	q.Del("pool_max_conns")
	u.RawQuery = q.Encode()
	raw, err := sql.Open("pgx", u.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, raw.Close()) })
	return raw
}

// TestPostgresKeepsAnyText: what PostgreSQL's text cannot hold comes back as it was, on
// every way to it.
func TestPostgresKeepsAnyText(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, open openStore) {
		t.Parallel()
		s, ctx := open(t), t.Context()
		_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
		require.NoError(t, err)
		f, err := s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour, Note: "nul \x00 note"})
		require.NoError(t, err)
		names := []string{"nul\x00", "\x00", "bad \xff\xfe utf8", "mark \uE000", "mark \uE00000", "Zoë", "Ärger", "a", "Z", "ä\x00ö"}
		page := mesh.ObjectPage{Import: true, Rows: len(names), Page: mesh.Page{Stream: "groups", Owner: "me", Number: 1, Done: true}}
		want := map[string]string{}
		for i, name := range names {
			attrs, err := json.Marshal(map[string]string{"name": name})
			require.NoError(t, err)
			want[name] = string(attrs)
			page.Objects = append(page.Objects, mesh.Object{Type: mesh.Group, OktaID: fmt.Sprint("g", i), ExternalID: name, Attributes: attrs, Hash: []byte{byte(i), 0xEE, 0x80, 0x80}})
		}
		_, err = s.Claim(ctx, f, "groups", "me")
		require.NoError(t, err)
		_, err = s.WriteObjects(ctx, f, page)
		require.NoError(t, err)
		got, order := map[string]string{}, []string{}
		for o, err := range s.Objects(ctx, mesh.ObjectQuery{Connector: "c"}) {
			require.NoError(t, err)
			got[o.ExternalID] = string(o.Attributes)
			order = append(order, o.ExternalID)
		}
		require.Equal(t, want, got)
		plain := slices.DeleteFunc(order, func(s string) bool { return strings.ContainsAny(s, "\x00\uE000") || !utf8.ValidString(s) })
		require.Equal(t, []string{"Z", "Zoë", "a", "Ärger"}, plain, "bytewise")
		for c, err := range s.Changes(ctx, mesh.ChangeQuery{Connector: "c", ID: "nul\x00"}) {
			require.NoError(t, err)
			require.Equal(t, "nul\x00", c.ExternalID)
		}
		// The same names again change nothing; another's object may not take one.
		page.Stream, page.Number = "again", 1
		_, err = s.Claim(ctx, f, "again", "me")
		require.NoError(t, err)
		_, err = s.WriteObjects(ctx, f, page)
		require.NoError(t, err)
		run, err := s.End(ctx, "r", mesh.Failed, "it said \x00")
		require.NoError(t, err)
		require.Equal(t, "it said \x00", run.Error)
		require.Equal(t, "nul \x00 note", run.Note)
		require.Equal(t, len(names), run.Counts[mesh.Group].Added)
		require.Zero(t, run.Counts[mesh.Group].Updated)
	})
}
