package mesh_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/mesh"
)

// writeThrough writes pages of two users each, from where the stream got to, and repeats
// what the database was not available for, as Temporal does. It says how often that was.
func writeThrough(ctx context.Context, s mesh.Store, f mesh.Fence, stream string, pages int) (repeated int, err error) {
	again := func(call func() error) error {
		for {
			err := call()
			if away, ok := errors.AsType[*mesh.UnavailableError](err); !ok || ctx.Err() != nil {
				return err
			} else if away.Err == nil {
				return errors.New("it does not say why")
			}
			repeated++
		}
	}
	var done mesh.Progress
	if err := again(func() (err error) { done, err = s.Claim(ctx, f, stream, "me"); return err }); err != nil {
		return repeated, err
	}
	for p := done.Page + 1; p <= pages; p++ {
		page := mesh.ObjectPage{Import: true, Rows: 2, Page: mesh.Page{
			Stream: stream, Owner: "me", Number: p, Next: fmt.Sprint(p), Done: p == pages, Calls: mesh.Calls{API: 1},
		}, Objects: []mesh.Object{shareUser(fmt.Sprint(stream, "-", p, "a"), "1"), shareUser(fmt.Sprint(stream, "-", p, "b"), "1")}}
		if err := again(func() error { _, err := s.WriteObjects(ctx, f, page); return err }); err != nil {
			return repeated, err
		}
	}
	return repeated, nil
}

// importThrough imports streams of pages at once while trouble is made, and checks that each
// page was written once.
func importThrough(t *testing.T, stores []mesh.Store, streams, pages int, trouble func(stop <-chan struct{}) error) {
	t.Helper()
	ctx := t.Context()
	_, err := stores[0].ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	f, err := stores[0].Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, streams)
	var repeated atomic.Int64
	for i := range streams {
		wg.Go(func() {
			n, err := writeThrough(ctx, stores[i%len(stores)], f, fmt.Sprint("users", i), pages)
			repeated.Add(int64(n))
			errs[i] = err
		})
	}
	stop, made := make(chan struct{}), make(chan error, 1)
	go func() { made <- trouble(stop) }()
	wg.Wait()
	close(stop)
	require.NoError(t, <-made)
	require.NoError(t, errors.Join(errs...))
	t.Logf("%d calls were repeated", repeated.Load())
	require.Len(t, feed(t, stores[0], "c"), 2*streams*pages)
	run, err := stores[0].Run(ctx, "r")
	require.NoError(t, err)
	require.Equal(t, streams*pages, run.APICalls, "each page counts once")
	require.Equal(t, 2*streams*pages, run.Counts[mesh.User].Added)
}

// TestPostgresTerminatedBackends ends the connections of an import in mid-transaction, over
// and over.
func TestPostgresTerminatedBackends(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, "application_name=victim-"+t.Name())
	s := openPostgresURL(t, url)
	raw := rawPostgres(t, pgtest.URL(t))
	killed := 0
	importThrough(t, []mesh.Store{s}, 4, 40, func(stop <-chan struct{}) error {
		for {
			var n int
			if err := raw.QueryRowContext(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE application_name = $1 AND xact_start IS NOT NULL`, "victim-"+t.Name()).Scan(&n); err != nil {
				return err
			}
			if killed += n; killed >= 20 { // let them finish
				return nil
			}
			select {
			case <-stop:
				return nil
			default:
			}
		}
	})
	require.Positive(t, killed)
}

// TestPostgresRestart has the server lose its power twice in the middle of an import.
func TestPostgresRestart(t *testing.T) {
	t.Parallel()
	if shared, _ := pgtest.Shared(t); !shared.Own() {
		t.Skip("needs a server of its own")
	}
	ctx := t.Context()
	server, err := pgtest.Start(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	s := openPostgresURL(t, server.URL("postgres"))
	follower := openPostgresURL(t, server.URL("postgres"))
	importThrough(t, []mesh.Store{s}, 4, 60, func(<-chan struct{}) error {
		for restart := range 2 {
			for seen := 0; seen < 40*(restart+1); { // some pages are in
				seen = 0
				for _, err := range follower.Changes(ctx, mesh.ChangeQuery{Connector: "c"}) {
					if err != nil {
						return err
					}
					seen++
				}
			}
			if err := server.Halt(true); err != nil {
				return err
			}
			if err := server.Launch(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestPostgresManyProcesses has the pages of one run written through several stores, as the
// workers of several machines do, while others follow the feed, stopping and resuming.
func TestPostgresManyProcesses(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	stores := []mesh.Store{openURL(t, url), openURL(t, url), openURL(t, url)}
	follower := openURL(t, url)
	importThrough(t, stores, 6, 30, func(stop <-chan struct{}) error { return follow(t.Context(), follower, "c", stop) })
}

// TestPostgresZombieAcrossProcesses has a second process take a connector over while pages
// of the first are being written: what the first was told is written, and nothing after the
// lease was lost.
func TestPostgresZombieAcrossProcesses(t *testing.T) {
	t.Parallel()
	url, ctx := pgtest.URL(t), t.Context()
	a, b := openURL(t, url), openURL(t, url)
	_, err := a.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	for round := range 10 {
		old, next := fmt.Sprint("old", round), fmt.Sprint("next", round)
		f, err := a.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: old, LeaseTTL: time.Hour})
		require.NoError(t, err)
		before := len(feed(t, a, "c"))
		lost := make(chan int, 1)
		begun := make(chan struct{})
		go func() {
			written := 0
			defer func() { lost <- written }()
			if _, err := a.Claim(ctx, f, "users", "me"); err != nil {
				return
			}
			for p := 1; ; p++ {
				_, err := a.WriteObjects(ctx, f, mesh.ObjectPage{Import: true, Page: mesh.Page{Stream: "users", Owner: "me", Number: p, Next: fmt.Sprint(p)},
					Objects: []mesh.Object{shareUser(fmt.Sprint("u", round, "-", p), "1")}})
				if err != nil {
					return
				}
				if written++; p == 3 {
					close(begun)
				}
			}
		}()
		<-begun
		_, err = b.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: next, LeaseTTL: time.Hour, Closed: old})
		require.NoError(t, err)
		taken := len(feed(t, b, "c"))
		require.Equal(t, taken-before, <-lost)
		require.Len(t, feed(t, b, "c"), taken, "nothing after the take-over")
		_, err = b.End(ctx, next, mesh.Failed, "")
		require.NoError(t, err)
	}
}

// TestPostgresStatementTimeout: who waits too long for another is told to come back.
func TestPostgresStatementTimeout(t *testing.T) {
	t.Parallel()
	for name, parameter := range map[string]string{"statement": "statement_timeout=50", "lock": "lock_timeout=50"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			url := pgtest.URL(t)
			free := openURL(t, url)
			_, err := free.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
			require.NoError(t, err)
			s := openURL(t, url+"&"+parameter)
			lock, err := rawPostgres(t, url).BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = lock.ExecContext(ctx, `SELECT 1 FROM im_connectors FOR UPDATE`)
			require.NoError(t, err)
			_, err = s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
			var away *mesh.UnavailableError
			require.ErrorAs(t, err, &away)
			require.NoError(t, lock.Rollback())
			_, err = s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
			require.NoError(t, err)
		})
	}
}

// TestPostgresRoles runs an import under the least role, after the owner has migrated.
func TestPostgresRoles(t *testing.T) {
	t.Parallel()
	server, _ := pgtest.Shared(t)
	ctx := t.Context()
	database, script := server.Database(t), readScript(t, "../scripts/postgresql/roles.sql")
	admin := func(statements ...string) {
		t.Helper()
		db, err := sql.Open("pgx", server.URL(database))
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		for _, q := range statements {
			_, err := db.ExecContext(ctx, q)
			require.NoError(t, err, "%.80s", q)
		}
	}
	admin(script)
	as := func(role string) string {
		user := database + "_" + role
		admin(`CREATE ROLE ` + user + ` LOGIN PASSWORD 'hush' IN ROLE identitymesh_` + role)
		t.Cleanup(func() { _ = server.Exec(context.Background(), `DROP ROLE `+user) }) // it owns nothing
		return server.URL(database, "user="+user, "password=hush", "search_path=identitymesh")
	}
	worker, owner := as("worker"), as("owner")
	_, err := mesh.Open(ctx, worker)
	require.ErrorContains(t, err, "open it once as the role that owns it")
	require.ErrorContains(t, err, "search_path=")
	require.NotContains(t, err.Error(), "hush")
	openURL(t, owner+"&role=identitymesh_owner")
	admin(script)

	s := openURL(t, worker)
	_, err = s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	require.NoError(t, s.PutSecret(ctx, "secret://a/b/c", []byte("sealed")))
	f, err := s.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
	require.NoError(t, err)
	_, err = writeThrough(ctx, s, f, "users", 3)
	require.NoError(t, err)
	writeMembersOf(t, s, f, "g1", "users-1a", "users-2b")
	for done := false; !done; {
		res, err := s.Settle(ctx, f, mesh.Scope{Users: true}, time.Second)
		require.NoError(t, err)
		done = res.Done
	}
	_, err = s.Commit(ctx, f, mesh.CommitRun{UsersFull: true, GroupsFull: true})
	require.NoError(t, err)
	shadow, err := s.Shadow(ctx, "c", "dry")
	require.NoError(t, err)
	require.NoError(t, s.DropShadow(ctx, shadow))
	refuse(t, worker, `DROP TABLE im_seen`, `ALTER TABLE im_seen ADD COLUMN x int`, `TRUNCATE im_objects`, `CREATE TABLE mine (x int)`,
		`CREATE INDEX mine ON im_objects (stamp)`, `UPDATE goose_db_version SET version_id = 99`)

	reading := as("reader")
	r := openURL(t, reading)
	require.Len(t, feed(t, r, "c"), 8)
	n := 0
	for _, err := range r.Objects(ctx, mesh.ObjectQuery{Connector: "c"}) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 8, n)
	acked, err := r.Acknowledge(ctx, "c", "consumer", mesh.Offset{Seq: 8})
	require.NoError(t, err)
	require.EqualValues(t, 8, acked.Acked)
	restored, err := r.RestoredAt(ctx, "c")
	require.NoError(t, err)
	require.Zero(t, restored)
	_, err = r.GetSecret(ctx, "secret://a/b/c")
	require.ErrorContains(t, err, "lacks a privilege")
	_, err = r.ApplyConnector(ctx, mesh.Connector{Name: "d", Type: "Okta"})
	require.Error(t, err)
	refuse(t, reading, `SELECT * FROM im_secrets`, `SELECT auth_json FROM im_connectors`, `DELETE FROM im_changes`, `UPDATE im_objects SET state = 'live'`)
}

// refuse requires that each statement is denied.
func refuse(t *testing.T, url string, statements ...string) {
	t.Helper()
	raw := rawPostgres(t, url)
	for _, q := range statements {
		_, err := raw.ExecContext(t.Context(), q)
		require.Error(t, err, q)
		require.Contains(t, err.Error(), "42501", q)
	}
}

func writeMembersOf(t *testing.T, s mesh.Store, f mesh.Fence, group string, members ...string) {
	t.Helper()
	page := mesh.MemberPage{GroupID: group, Page: mesh.Page{Stream: "members/" + group, Owner: "me", Number: 1, Done: true}}
	for _, m := range members {
		page.Members = append(page.Members, mesh.Member{OktaID: m})
	}
	_, err := s.Claim(t.Context(), f, page.Stream, "me")
	require.NoError(t, err)
	_, err = s.WriteMembers(t.Context(), f, page)
	require.NoError(t, err)
}
