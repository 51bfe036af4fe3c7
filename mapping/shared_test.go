package mapping_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shared reads a file of the project's shared folder: $IDENTITYMESH_SHARED, or the
// folder "shared" beside the repository. Without it the test is skipped, but fails
// where CI is true.
func shared(t *testing.T, path ...string) []byte {
	t.Helper()
	dir := os.Getenv("IDENTITYMESH_SHARED")
	if dir == "" {
		dir = filepath.Join(repositoryRoot(t), "..", "shared")
	}
	b, err := os.ReadFile(filepath.Join(append([]string{dir}, path...)...))
	if os.IsNotExist(err) && os.Getenv("CI") != "true" {
		t.Skipf("SKIPPED: no ../shared (%s is missing); set IDENTITYMESH_SHARED", filepath.Join(path...))
	}
	require.NoError(t, err, "the third-party data of ../shared must be there in CI")
	return b
}

func repositoryRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/identitymesh/okta-connector\n") {
			return dir
		}
		require.NotEqual(t, filepath.Dir(dir), dir, "no go.mod of the main module above the test")
		dir = filepath.Dir(dir)
	}
}

// runbookRow is one row of a table of the runbook.
type runbookRow struct{ Okta, Mesh string }

// runbookTable reads the table that follows heading.
func runbookTable(t *testing.T, heading string) []runbookRow {
	t.Helper()
	var rows []runbookRow
	found := false
	for line := range strings.Lines(string(shared(t, "runbook.md"))) {
		line = strings.TrimSpace(line)
		switch {
		case !found:
			found = line == heading
		case strings.Count(line, "|") > 1: // most rows have no leading bar
			cells := strings.Split(strings.Trim(line, "|"), "|")
			okta := strings.Trim(strings.TrimSpace(cells[0]), "`")
			if okta != "Okta field" && !strings.HasPrefix(okta, "---") {
				rows = append(rows, runbookRow{okta, strings.Trim(strings.TrimSpace(cells[1]), "`")})
			}
		case len(rows) > 0:
			return rows
		}
	}
	require.NotEmpty(t, rows, "the runbook has no table under %q", heading)
	return rows
}

// decode reads JSON with numbers as written.
func decode[T any](t require.TestingT, b []byte) T {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v T
	require.NoError(t, dec.Decode(&v))
	return v
}
