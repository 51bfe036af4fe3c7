package integration

import (
	"database/sql"
	"net/url"
	"strings"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// brokenURLs are what an operator may make of the URL of a database.
var brokenURLs = map[string]func(u *url.URL){
	"another database":   func(u *url.URL) { u.Path = "/nosuch" },
	"another host":       func(u *url.URL) { set(u, "host", "127.0.0.1"); set(u, "port", "1") },
	"a host that is not": func(u *url.URL) { set(u, "host", "db.invalid") },
	"a pool too small":   func(u *url.URL) { set(u, "pool_max_conns", "1") },
	"no pool":            func(u *url.URL) { set(u, "pool_max_conns", "many") },
	"no sslmode":         func(u *url.URL) { set(u, "host", "db.invalid"); set(u, "sslmode", "nonsense") },
	"no such CA": func(u *url.URL) {
		set(u, "host", "db.invalid")
		set(u, "sslmode", "verify-full")
		set(u, "sslrootcert", "/nonexistent")
	},
	"no timeout":     func(u *url.URL) { set(u, "connect_timeout", "soon") },
	"a setting":      func(u *url.URL) { set(u, "no_such_setting", "1") },
	"no escape":      func(u *url.URL) { u.RawQuery += "&%zz" },
	"another scheme": func(u *url.URL) { u.Scheme = "mysql" },
	"in the user":    func(u *url.URL) { u.User = url.UserPassword("canary", password(u)); u.Path = "/nosuch" },
}

func set(u *url.URL, name, value string) {
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
}

func password(u *url.URL) string { return u.Query().Get("password") }

// TestCanaryOnPostgreSQL is TestCanary for the password of the database, and for the token
// in a mesh on PostgreSQL.
func TestCanaryOnPostgreSQL(t *testing.T) {
	t.Parallel()
	const canary = "Canary-Password-of-PostgreSQL_0123456789"
	u, err := url.Parse(pgtest.URL(t))
	require.NoError(t, err)
	if _, own := u.User.Password(); own || u.Query().Has("password") {
		t.Skip("the given server has a password of its own; the tests' own server takes any")
	}
	set(u, "password", canary)
	set(u, "application_name", "canary") // by which its connections are known, on a server that tests share
	w := newWorldOn(t, u.String(), oktasim.Config{Org: generated(t, 20, 2), Token: apiToken}, nil)
	w.ok(w.starter(apiToken+"\n", "secret", "set", "secret://okta/contoso/apitoken"))
	w.encrypted()
	out := &transcript{world: w}
	for name, spoil := range brokenURLs {
		bad := *u
		spoil(&bad)
		s := *w.stack
		s.DB = bad.String()
		for _, args := range [][]string{{"connector", "list"}, {"connector", "check", w.name}, {"run", w.name, "--wait"}, {"feed", "show", w.name, "-o", "json"}} {
			r, err := s.Starter(t.Context(), w.env(), "", args...)
			require.NoError(t, err)
			require.NotZero(t, r.Code, "%s: %s", name, args)
			out.add("with "+name, r)
		}
		_, err := s.Worker(t.Context(), w.env(), "--metrics-addr", "", "--log-level", "debug")
		require.Error(t, err, name)
		out.text("a worker with "+name, err.Error())
	}

	worker, err := w.stack.Worker(t.Context(), w.env(), "--log-level", "debug")
	require.NoError(t, err)
	require.Equal(t, "Completed", out.wait(out.begin(w)).Outcome, "the token is the right one")
	failing := w.sibling(oktasim.Config{Org: generated(t, 5, 1), Token: apiToken}, nil)
	failing.sim.Intercept(oktaFaults["401"])
	require.Equal(t, "Failed", out.wait(out.begin(failing)).Outcome)
	out.add("check", w.starter("", "connector", "check", w.name))

	// Connections end in the middle of a run; then the worker crashes.
	answers := w.hold(0, listing)
	cut := out.begin(w)
	<-answers.Held
	db, err := sql.Open("pgx", u.String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'canary' AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
	answers.Open()
	require.Equal(t, "Completed", out.wait(cut).Outcome)
	out.text("the metrics", metricsOf(w, worker))
	require.NoError(t, syscall.Kill(worker.Pid(), syscall.SIGQUIT))
	<-worker.Done()
	require.Contains(t, worker.Output(), "goroutine ")
	out.text("the worker", worker.Output())

	tables := queryTexts(out, db, `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		out.text(table, strings.Join(queryTexts(out, db, `SELECT to_jsonb(t)::text FROM "`+table+`" t`), "\n")) // a name from the schema
	}
	out.histories(2)
	out.search(map[string][]string{"the API token": spellings(apiToken), "the password of the database": spellings(canary)})
	for _, part := range []string{"with another database", "a worker with no such CA", "im_secrets", "im_runs", "im_objects", "history 1", "the metrics", "check"} {
		require.NotEmpty(t, strings.TrimSpace(out.texts[part]), "%s was searched", part)
	}
}
