package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkout is a copy of what Compose reads: its file, and the files that it mounts.
func checkout(t *testing.T) string {
	t.Helper()
	from, to := root(t), filepath.Join(t.TempDir(), "checkout")
	names := []string{"docker-compose.yml", "scripts/postgresql/roles.sql", "deploy/prometheus/rules.yml", "deploy/grafana/identitymesh-okta.json"}
	require.NoError(t, filepath.WalkDir(filepath.Join(from, "deploy/compose"), func(path string, d os.DirEntry, err error) error {
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
		text, err := os.ReadFile(filepath.Join(from, name)) //nolint:gosec // of the repository
		require.NoError(t, err)
		info, err := os.Stat(filepath.Join(from, name))
		require.NoError(t, err)
		target := filepath.Join(to, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(target), 0o755)) //nolint:gosec // as git makes it
		require.NoError(t, os.WriteFile(target, text, info.Mode().Perm()))
	}
	return to
}

// initialize runs init.sh in a checkout.
func initialize(t *testing.T, repo string, args ...string) string {
	t.Helper()
	starter := os.Getenv(envStatic)
	if starter == "" {
		starter = image(t)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(repo, "deploy/compose/init.sh"), append([]string{"--starter", filepath.Join(starter, "starter")}, args...)...) //nolint:gosec // ours
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}
