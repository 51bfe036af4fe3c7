package deploy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// envImages is the folder of [standIns], which a test hands on to its inside.
const envImages = "IDENTITYMESH_TEST_IMAGES"

// TestComposeRuns brings docker-compose.yml up without a container engine: every command
// of PostgreSQL's, Temporal's and ours, as the file has it, with its environment, user,
// groups, secrets and mounts, in its order, on our programs as the image has them. The other
// images are stood in for: by this machine's PostgreSQL, and by Temporal's server and schema
// tool of the same release, built from source.
func TestComposeRuns(t *testing.T) {
	t.Parallel()
	if os.Getenv(envStatic) == "" {
		if testing.Short() {
			t.Skip("SKIPPED: -short; it builds a Temporal server and runs an import")
		}
		isolated(t, envStatic+"="+image(t), envImages+"="+standIns(t))
		return
	}
	require.True(t, isolated(t))
	repo := checkout(t)
	initialize(t, repo)
	p := projectIn(t, repo)
	images := os.Getenv(envImages)
	e := newEngine(t, p, os.Getenv(envStatic), map[string]string{
		"postgres": filepath.Join(images, "postgres"), "temporalio/server": filepath.Join(images, "server"), "temporalio/admin-tools": filepath.Join(images, "tools"),
	})

	// The order is that of depends_on, which TestComposeStartsAndStopsInOrder has.
	postgres := e.start("postgres", nil, nil, append([]string{"docker-entrypoint.sh"}, p.Services["postgres"].Command...)...)
	e.healthy("postgres", postgres)
	setUp := func() {
		for _, name := range []string{"database", "migrate", "rights", "temporal-schema"} {
			e.run(name, "")
		}
	}
	setUp()
	temporal := e.start("temporal", nil, nil)
	e.healthy("temporal", temporal)
	e.run("temporal-namespace", "")
	worker := e.start("worker", nil, nil)
	e.healthy("worker", worker)

	org, err := oktasim.Generate(oktasim.Spec{Users: 120, Groups: 6, Seed: 3, Now: time.Now()})
	require.NoError(t, err)
	okta := httptest.NewServer(oktasim.New(oktasim.Config{Org: org}))
	t.Cleanup(okta.Close)
	starter := func(stdin string, args ...string) string {
		return e.run("starter", stdin, append([]string{"starter"}, args...)...)
	}
	const token = oktasim.DefaultToken
	require.Contains(t, starter(token, "secret", "set", "secret://okta/contoso/apitoken"), "stored")
	starter(fmt.Sprintf(`{"Name": "contoso", "Type": "Okta", "ConfigJson": {"OrgDomain": %q, "InsecureLoopback": true},
		"AuthJson": {"Mode": "ApiKey", "ApiKey": "secret://okta/contoso/apitoken"}}`, strings.TrimPrefix(okta.URL, "http://")), "connector", "apply", "-f", "-")
	require.Contains(t, starter("", "connector", "check", "contoso"), "0 failed")
	require.Contains(t, starter("", "run", "contoso", "--mode", "full", "--wait"), "Completed")
	require.Contains(t, starter("", "objects", "contoso", "--type", "User", "--limit", "3"), "User")

	// Everything once more, as the next `docker compose up` does it, under a running worker.
	setUp()
	e.run("temporal-namespace", "")
	require.Contains(t, starter("", "run", "contoso", "--mode", "delta", "--wait"), "Completed")

	t.Run("Rights", func(t *testing.T) { rights(t, p.Secrets["mesh_worker_pgpass"].File, p.Secrets["temporal_pgpass"].File) })
	t.Run("Scrape", func(t *testing.T) {
		require.Contains(t, get(t, "http://127.0.0.1:9464/metrics"), `identitymesh_runs_total{connector="contoso",mode="full",outcome="completed"} 1`)
	})
	t.Run("ReadOnly", func(t *testing.T) { // what is not in a volume of the worker's cannot be written
		_, err := e.try("starter", "", "starter", "secret", "keygen", "/run/key")
		require.Error(t, err)
	})

	began := time.Now()
	require.NoError(t, worker.cmd.Process.Signal(syscall.SIGTERM))
	<-worker.done
	require.NoError(t, worker.err)
	require.Less(t, time.Since(began), time.Duration(*p.Services["worker"].StopGracePeriod))

	t.Run("Pod", func(t *testing.T) { asPod(t, e) })

	require.NoError(t, temporal.cmd.Process.Signal(syscall.SIGTERM))
	<-temporal.done
	require.NoError(t, postgres.cmd.Process.Signal(syscall.SIGINT)) // stop_signal
	<-postgres.done

	// No secret is in what any of them wrote.
	for name, secret := range p.Secrets {
		text, err := os.ReadFile(secret.File)
		require.NoError(t, err)
		fields := strings.Split(strings.TrimSpace(string(text)), ":")
		require.NotContains(t, e.logged(), fields[len(fields)-1], name)
	}
	require.NotContains(t, e.logged(), token)
}

// rights are those of roles that log in: the worker's reach the mesh, and no more.
func rights(t *testing.T, workerFile, temporalFile string) {
	t.Helper()
	password := func(file string) string {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		return strings.Split(strings.TrimSpace(string(text)), ":")[4]
	}
	execute := func(user, password, database, statement string) error {
		c, err := pgx.Connect(t.Context(), fmt.Sprintf("postgres://%s:%s@127.0.0.1:5432/%s?sslmode=disable", user, password, database))
		if err != nil {
			return err
		}
		defer c.Close(t.Context()) //nolint:errcheck // only asked
		_, err = c.Exec(t.Context(), statement)
		return err
	}
	worker, temporal := password(workerFile), password(temporalFile)
	require.NoError(t, execute("mesh_worker", worker, "mesh", "SELECT count(*) FROM identitymesh.im_objects"))
	require.NoError(t, execute("temporal", temporal, "temporal", "SELECT count(*) FROM executions"))
	for _, database := range []string{"temporal", "temporal_visibility", "postgres"} {
		require.ErrorContains(t, execute("mesh_worker", worker, database, "SELECT 1"), "permission denied for database")
	}
	require.ErrorContains(t, execute("temporal", temporal, "mesh", "SELECT 1"), "permission denied for database")
	require.ErrorContains(t, execute("mesh_worker", "wrong", "mesh", "SELECT 1"), "password authentication failed")
	for _, statement := range []string{
		"DROP TABLE identitymesh.im_objects", "TRUNCATE identitymesh.im_objects", "CREATE TABLE identitymesh.mine (a int)",
		"UPDATE identitymesh.goose_db_version SET version_id = 0",
	} {
		require.Error(t, execute("mesh_worker", worker, "mesh", statement), statement)
	}
}

// standIns are folders with what images have in /usr/local/bin.
func standIns(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "identitymesh-images-")
	require.NoError(t, err)
	temporary = append(temporary, dir)
	require.NoError(t, os.Chmod(dir, 0o755)) //nolint:gosec // other users' processes run from it
	for _, name := range []string{"postgres", "server", "tools"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(t, err)
	if len(found) == 0 {
		const why = "no PostgreSQL server: install it (Debian: apt-get install postgresql)"
		if os.Getenv("CI") == "true" {
			t.Fatal(why)
		}
		t.Skip("SKIPPED: ", why)
	}
	programs := filepath.Dir(found[len(found)-1])
	for _, name := range []string{"initdb", "postgres", "pg_isready", "psql"} {
		require.NoError(t, os.Symlink(filepath.Join(programs, name), filepath.Join(dir, "postgres", name)))
	}
	// What PostgreSQL's image does before its first start, in short.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", "docker-entrypoint.sh"), []byte(`#!/bin/sh
set -eu
export PGDATA=/var/lib/postgresql/data
initdb --no-sync --locale=C --encoding=UTF8 --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql -c fsync=off
`), 0o755))

	// Temporal's own programs, of the release whose module devserver uses.
	server, tools := filepath.Join(dir, "server", "temporal-server"), filepath.Join(dir, "tools", "temporal-sql-tool")
	for target, pkg := range map[string]string{server: "cmd/server", tools: "cmd/tools/sql"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", target, "go.temporal.io/server/"+pkg)
		cmd.Dir = filepath.Join(root(t), "devserver")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	for _, name := range []string{"server/nc", "tools/temporal"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), self, 0o755))
	}
	return dir
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close() //nolint:errcheck // only read
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}
