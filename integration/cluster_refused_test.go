package integration

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/identitymesh/okta-connector/internal/pgtest"
	"github.com/identitymesh/okta-connector/internal/stack"
)

// poorly is the password of a role that may do nothing but log in. The space is there
// because connection strings do not like it.
const poorly = "poorly kept"

// strictServer is a PostgreSQL where everybody but its superuser needs a password, with the
// role poor.
func strictServer(t *testing.T) *pgtest.Server {
	t.Helper()
	pgtest.Shared(t) // skips without PostgreSQL
	s, err := pgtest.Start(t.Context(), "fsync=off")
	require.NoError(t, err)
	if !s.Own() {
		t.Skip("SKIPPED: it sets up the pg_hba.conf of a server of its own")
	}
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	require.NoError(t, s.Exec(t.Context(), `CREATE ROLE poor LOGIN PASSWORD '`+poorly+`'`, `DO $$ BEGIN EXECUTE format(
		'COPY (SELECT unnest(ARRAY[%L, %L])) TO %L', 'local all mesh trust', 'local all all scram-sha-256', current_setting('hba_file')); END $$`))
	require.NoError(t, s.Halt(false))
	require.NoError(t, s.Launch(t.Context(), "fsync=off"))
	return s
}

// refused starts a temporal-dev that must end by itself, with exit code 1, and returns what
// it says.
func refused(t *testing.T, database, password string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(temporal.Bin, "temporal-dev"),
		"--port", "0", "--ui-port", "0", "--log-level", "debug", "--db", database)
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "%v\n%s", err, out)
	require.Equal(t, 1, exit.ExitCode(), "%s", out)
	require.NotContains(t, string(out), password)
	_, reason, found := strings.Cut(string(out), "temporal-dev: ")
	require.True(t, found, "%s", out)
	return reason
}

// TestTemporalDatabaseIsRefused takes a pair of databases through everything that keeps
// temporal-dev from using them, and through an upgrade.
func TestTemporalDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	server := strictServer(t)
	as := func(role, database string) string {
		u, err := url.Parse(server.URL(database, "user="+role))
		require.NoError(t, err)
		return u.String()
	}
	in := func(database string, statements ...string) {
		t.Helper()
		db, err := sql.Open("pgx", server.URL(database))
		require.NoError(t, err)
		for _, statement := range statements {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
		require.NoError(t, db.Close())
	}

	require.Contains(t, refused(t, as("poor", "orders"), "mistaken"), `password authentication failed for user "poor" (SQLSTATE 28P01): check PGPASSWORD`)
	reason := refused(t, as("poor", "orders"), poorly)
	require.Contains(t, reason, "the role poor may not create the database orders")
	require.Contains(t, reason, "createdb -O poor orders and createdb -O poor orders_visibility")

	require.NoError(t, server.Exec(t.Context(), `CREATE DATABASE orders`, `CREATE DATABASE orders_visibility OWNER poor`))
	require.Contains(t, refused(t, as("poor", "orders"), poorly), `ALTER DATABASE "orders" OWNER TO "poor"`)
	require.NoError(t, server.Exec(t.Context(), `ALTER DATABASE orders OWNER TO poor`))
	passfile := filepath.Join(t.TempDir(), "pgpass")
	require.NoError(t, os.WriteFile(passfile, []byte("*:*:orders:poor:"+poorly+"\n"), 0o600))
	s := &stack.Stack{Bin: temporal.Bin, Dir: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	start := func() *stack.Process {
		t.Helper()
		u, err := url.Parse(as("poor", "orders"))
		require.NoError(t, err)
		q := u.Query()
		q.Set("passfile", passfile)
		u.RawQuery = q.Encode()
		p, err := s.Temporal(t.Context(), "--db", u.String(), "--log-level", "debug")
		require.NoError(t, err)
		return p
	}
	running := start()
	require.Contains(t, running.Output(), "PostgreSQL: set up Temporal's schema")
	require.Regexp(t, `^--db: database orders \(PostgreSQL on the socket in \S+\) is in use by another temporal-dev`, refused(t, as("poor", "orders"), poorly))
	require.NoError(t, running.Stop())
	require.NotContains(t, running.Output(), poorly)

	in("orders", `DROP TABLE current_chasm_executions`, `UPDATE schema_version SET curr_version = '1.18'`)
	running = start()
	require.Contains(t, running.Output(), "PostgreSQL: upgraded Temporal's schema in orders from 1.18 to ")
	in("orders", `SELECT FROM current_chasm_executions`)
	require.NoError(t, running.Stop())
	running = start()
	require.NotContains(t, running.Output(), "PostgreSQL: ", "there is nothing left to do")
	require.NoError(t, running.Stop())

	in("orders_visibility", `UPDATE schema_version SET curr_version = '1.999'`)
	require.Regexp(t, `database orders_visibility \(.*\) has the schema 1.999 of a newer Temporal server`, refused(t, as("mesh", "orders"), poorly))
	require.Contains(t, refused(t, as("mesh", "orders_visibility"), poorly), "has the schema 1.999 of a newer Temporal server")
	in("orders_visibility", `UPDATE schema_version SET curr_version = '1.2'`)
	require.Contains(t, refused(t, as("mesh", "orders_visibility"), poorly), "is another of Temporal's databases")

	in("orders", `INSERT INTO cluster_membership (membership_partition, host_id, rpc_address, rpc_port, role, session_start, last_heartbeat, record_expiry)
		SELECT 0, '\x01', '192.0.2.7', 7233, 1, n, n, n + interval '2 days' FROM (SELECT now() AT TIME ZONE 'UTC' AS n) AS now`)
	require.Contains(t, refused(t, as("mesh", "orders"), poorly), "is in use by a Temporal server at 192.0.2.7")
	in("orders", `DELETE FROM cluster_membership`)

	require.NoError(t, server.Exec(t.Context(), `CREATE DATABASE other`))
	in("other", `CREATE TABLE im_objects (id integer)`)
	require.Contains(t, refused(t, as("mesh", "other"), poorly), "is a database of something else")
	in("other", `CREATE TABLE schema_version (version integer)`)
	require.Contains(t, refused(t, as("mesh", "other"), poorly), "is a database of something else")
	in("other", `DROP TABLE im_objects, schema_version`)
	require.NoError(t, server.Exec(t.Context(), `ALTER DATABASE orders RENAME TO renamed`))
	require.Contains(t, refused(t, as("mesh", "renamed"), poorly), "holds the Temporal schema of database orders: give it its old name back")
	in("postgres", `DO $$ BEGIN ASSERT 0 = (SELECT count(*) FROM pg_database WHERE datname IN ('other_visibility', 'renamed_visibility')), 'refused, and yet made more'; END $$`)
}

// TestTemporalKeepsItsDatabase cuts the power of PostgreSQL under a temporal-dev, which goes
// on and still keeps others out, and then has somebody take the database away: it ends.
func TestTemporalKeepsItsDatabase(t *testing.T) {
	t.Parallel()
	server := strictServer(t)
	s := &stack.Stack{Bin: temporal.Bin, Dir: t.TempDir()}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	p, err := s.Temporal(t.Context(), "--db", server.URL("orders"))
	require.NoError(t, err)

	require.NoError(t, server.Halt(true))
	require.NoError(t, server.Launch(t.Context(), "fsync=off"))
	db, err := sql.Open("pgx", server.URL("orders"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	const holders = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted = $1`
	count := func(granted bool) (n int) {
		require.NoError(t, db.QueryRowContext(t.Context(), holders, granted).Scan(&n))
		return n
	}
	require.Eventually(t, func() bool { return count(true) == 1 }, waitLimit, 20*time.Millisecond, "it takes the lock again")
	require.Contains(t, refused(t, server.URL("orders"), poorly), "is in use by another temporal-dev")
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.TemporalAddr, Logger: quiet{}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool {
		_, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
		return err == nil
	}, waitLimit, 20*time.Millisecond, "it serves again")

	next := make(chan error, 1)
	thief, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, thief.Close()) })
	go func() { // stands first in the queue
		_, err := thief.ExecContext(t.Context(), `SELECT pg_advisory_lock(objid::bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted`)
		next <- err
	}()
	require.Eventually(t, func() bool { return count(false) == 1 }, waitLimit, 20*time.Millisecond)
	_, err = db.ExecContext(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`)
	require.NoError(t, err)
	require.NoError(t, <-next)
	require.Equal(t, 1, p.Code())
	require.Contains(t, p.Output(), "is in use by another temporal-dev")
}
