package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSystemdUnit looks at the unit of docs/systemd.md: systemd itself reads it, where it is
// installed; its command is one that the worker knows, and it gives the worker more time to
// stop than the worker takes.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../deploy/systemd/identitymesh-worker.service")
	require.NoError(t, err)
	value := func(key string) string {
		found := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindSubmatch(source)
		require.NotNil(t, found, key)
		return string(found[1])
	}
	g := &guide{T: t, bin: temporal.Bin, help: map[string]string{}}
	command := strings.Fields(value("ExecStart"))
	require.Equal(t, guideHome+"/bin/worker", command[0])
	command[0] = "worker"
	require.NoError(t, g.knownTo(command))

	help, err := g.helpOf([]string{"worker"})
	require.NoError(t, err)
	limit := regexp.MustCompile(`--stop-timeout .*\(default (\w+)\)`).FindStringSubmatch(help)
	require.NotNil(t, limit)
	takes, err := time.ParseDuration(limit[1])
	require.NoError(t, err)
	given, err := time.ParseDuration(value("TimeoutStopSec"))
	require.NoError(t, err)
	require.Greater(t, given, takes)

	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	// It also wants the program to be there.
	unit := strings.Replace(string(source), guideHome+"/bin/worker", filepath.Join(temporal.Bin, "worker"), 1)
	file := filepath.Join(t.TempDir(), "identitymesh-worker.service")
	require.NoError(t, os.WriteFile(file, []byte(unit), 0o600))
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "identitymesh-worker.service:", "it warns")
}
