package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkout is a copy of what Compose reads: its file, and the files that it mounts.
func checkout(t *testing.T) string {
	t.Helper()
	from, to := root(t), filepath.Join(t.TempDir(), "checkout")
	names := []string{"docker-compose.yml", "scripts/postgresql/roles.sql", "deploy/prometheus/rules.yml", "deploy/grafana/identitymesh-okta.json"}
	require.NoError(t, filepath.WalkDir(filepath.Join(from, "deploy", "compose"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "secrets": // of somebody who runs it from here
			return filepath.SkipDir
		case d.Type().IsRegular():
			names = append(names, name)
		}
		return nil
	}))
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(from, name))
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(from, name))
		require.NoError(t, err)
		target := filepath.Join(to, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o755))
		require.NoError(t, os.WriteFile(target, text, info.Mode().Perm()))
	}
	return to
}

// initialize runs init.sh in a checkout, with a starter at hand.
func initialize(t *testing.T, repo string, args ...string) string {
	t.Helper()
	starter := os.Getenv(envStatic)
	if starter == "" {
		starter = image(t)
	}
	out, err := initScript(t, repo, append([]string{"--starter", filepath.Join(starter, "starter")}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func initScript(t *testing.T, repo string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), filepath.Join(repo, "deploy", "compose", "init.sh"), args...) //nolint:gosec // ours
}

// envStatic is the folder of our programs, which a test hands on to its inside.
const envStatic = "IDENTITYMESH_TEST_STATIC"

// secretFiles are the secrets of a checkout.
func secretFiles(t *testing.T, repo string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, secret := range projectIn(t, repo).Secrets {
		text, err := os.ReadFile(secret.File)
		require.NoError(t, err)
		all[name] = string(text)
	}
	return all
}

func TestInit(t *testing.T) {
	t.Parallel()
	repo := checkout(t)
	group := strconv.Itoa(os.Getgid())
	initialize(t, repo, "--group", group)
	first := secretFiles(t, repo)
	seen := map[string]bool{}
	for name, text := range first {
		info, err := os.Stat(filepath.Join(repo, "deploy", "compose", "secrets", name))
		require.NoError(t, err)
		require.EqualValues(t, 0o440, info.Mode().Perm(), name)
		require.GreaterOrEqual(t, len(text), 48, name)
		require.False(t, seen[text], "each is another")
		seen[text] = true
	}
	for _, role := range []string{"mesh_deploy", "mesh_worker"} {
		require.Regexp(t, `^postgres:5432:mesh:`+role+`:[0-9a-f]{48}\n$`, first[role+"_pgpass"])
	}
	require.Regexp(t, `^postgres:5432:\*:temporal:[0-9a-f]{48}\n$`, first["temporal_pgpass"])
	require.Contains(t, first["secrets_key"], "primaryKeyId")
	require.Equal(t, []string{group}, projectIn(t, repo).Services["worker"].GroupAdd, "Compose reads .env")

	// Again, after one was lost, and with settings of the site's in .env.
	env := filepath.Join(repo, ".env")
	text, err := os.ReadFile(env)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(env, append([]byte("IDENTITYMESH_VERSION=v1\n"), text...), 0o600))
	require.NoError(t, os.Remove(filepath.Join(repo, "deploy", "compose", "secrets", "grafana_password")))
	key := filepath.Join(repo, "deploy", "compose", "secrets", "secrets_key")
	require.NoError(t, os.Chmod(key, 0o600)) // as somebody has copied it back
	require.Contains(t, initialize(t, repo, "--group", group), "made  deploy/compose/secrets/grafana_password")
	second := secretFiles(t, repo)
	info, err := os.Stat(key)
	require.NoError(t, err)
	require.EqualValues(t, 0o440, info.Mode().Perm())
	require.NotEqual(t, first["grafana_password"], second["grafana_password"])
	delete(first, "grafana_password")
	delete(second, "grafana_password")
	require.Equal(t, first, second)
	text, err = os.ReadFile(env)
	require.NoError(t, err)
	require.Equal(t, "IDENTITYMESH_VERSION=v1\nIDENTITYMESH_SECRETS_GID="+group+"\n", string(text))
	left, err := os.ReadDir(filepath.Join(repo, "deploy", "compose", "secrets"))
	require.NoError(t, err)
	require.Len(t, left, 6, "and no temporary files")
}

func TestInitRefuses(t *testing.T) {
	t.Parallel()
	repo := checkout(t)
	for name, args := range map[string][]string{
		"wants a value": {"--group"}, "want a number": {"--group", "docker"}, "unknown argument": {"secrets"},
	} {
		out, err := initScript(t, repo, args...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), name)
	}
	require.NoDirExists(t, filepath.Join(repo, "deploy", "compose", "secrets"), "nothing was made")

	// A program that makes no key leaves none, and the next run makes it.
	out, err := initScript(t, repo, "--group", strconv.Itoa(os.Getgid()), "--starter", "/bin/false").CombinedOutput()
	require.Error(t, err, "%s", out)
	require.NoFileExists(t, filepath.Join(repo, "deploy", "compose", "secrets", "secrets_key"))
	require.Contains(t, initialize(t, repo, "--group", strconv.Itoa(os.Getgid())), "made  deploy/compose/secrets/secrets_key")
}

// Where no starter is at hand, the image makes the key. The engine of this test writes down
// what it is asked, and runs the starter.
func TestInitWithDocker(t *testing.T) {
	t.Parallel()
	repo, bin := checkout(t), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(bin, "docker"), []byte(`#!/bin/sh
echo "$*" >>"$DOCKER_LOG"
if [ "$1" = run ]; then
	while [ "$1" != starter ]; do shift; done
	shift
	exec "$STARTER" "$@"
fi
`), 0o755))
	log := filepath.Join(bin, "log")
	cmd := initScript(t, repo, "--group", strconv.Itoa(os.Getgid()))
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "DOCKER_LOG="+log, "STARTER="+filepath.Join(image(t), "starter"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Equal(t, "compose build worker\nrun --rm --network none --read-only --cap-drop ALL identitymesh/okta-connector:local starter secret keygen -\n", string(text))
	require.Equal(t, projectIn(t, repo).Services["worker"].Image, "identitymesh/okta-connector:local")
	require.Contains(t, secretFiles(t, repo)["secrets_key"], "primaryKeyId")
}
