package mesh_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

// TestANewerSchemaComesIn migrates a database under stores of this release: one that is
// open, in the middle of a run, goes on; one that is opened afterwards works, too, so that
// a worker may be restarted or rolled back; and after a second migration none is opened.
func TestANewerSchemaComesIn(t *testing.T) {
	t.Parallel()
	onEachURL(t, func(t *testing.T, url string) {
		ctx := t.Context()
		running, raw := openURL(t, url), rawURL(t, url)
		_, err := running.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
		require.NoError(t, err)
		f, err := running.Begin(ctx, mesh.BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
		require.NoError(t, err)
		_, err = writeThrough(ctx, running, f, "before", 2)
		require.NoError(t, err)

		meshtest.MigrateOnce(t, raw)
		_, err = writeThrough(ctx, running, f, "after", 2)
		require.NoError(t, err, "statements that were prepared before still work")
		require.Len(t, feed(t, running, "c"), 8)
		again := openURL(t, url)
		_, err = writeThrough(ctx, again, f, "reopened", 2)
		require.NoError(t, err)
		require.Len(t, feed(t, again, "c"), 12)

		meshtest.Newer(t, raw)
		_, err = mesh.Open(ctx, url)
		require.ErrorContains(t, err, "use the newer release")
		require.ErrorContains(t, err, "and this release knows ")
	})
}

// unfit is what a migration may not do to what the release before uses. A constraint or
// a trigger would refuse or change what that release writes.
var unfit = regexp.MustCompile(`(?i)\b(DROP|RENAME|ALTER\s+COLUMN|ADD\s+CONSTRAINT|CREATE\s+UNIQUE|CREATE\s+(OR\s+REPLACE\s+)?TRIGGER|TRUNCATE|DELETE\s+FROM)\b`)

// needless is a column that the release before would have to fill in.
var needless = regexp.MustCompile(`(?i)ADD\s+COLUMN[^;]*\bNOT\s+NULL\b[^;]*;`)

// TestMigrationsSpareTheReleaseBefore reads every migration after the first: a release's
// workers go on while the next one's schema comes in, and may be rolled back to.
func TestMigrationsSpareTheReleaseBefore(t *testing.T) {
	t.Parallel()
	seen := 0
	err := fs.WalkDir(os.DirFS("migrations"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "0001_init.sql") {
			return err
		}
		seen++
		up, _, found := strings.Cut(readScript(t, filepath.Join("migrations", path)), "-- +goose Down")
		require.True(t, found, path)
		require.Empty(t, harmful(up), path)
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, seen, 4)

	for text, want := range map[string]bool{
		"ALTER TABLE a ADD COLUMN b TEXT;":                     false,
		"ALTER TABLE a ADD COLUMN b TEXT NOT NULL DEFAULT '';": false,
		"CREATE INDEX i ON a (b); -- DROP what":                false,
		"ALTER TABLE a ADD COLUMN b TEXT NOT NULL;":            true,
		"ALTER TABLE a RENAME b TO c;":                         true,
		"alter table a drop column b;":                         true,
		"CREATE UNIQUE INDEX i ON a (b);":                      true,
		"ALTER TABLE a ALTER COLUMN b TYPE BIGINT;":            true,
	} {
		require.Equal(t, want, len(harmful(text)) > 0, text)
	}
}

// harmful finds what a migration may not do.
func harmful(up string) (found []string) {
	up = regexp.MustCompile(`--.*`).ReplaceAllString(up, "")
	found = unfit.FindAllString(up, -1)
	for _, column := range needless.FindAllString(up, -1) {
		if !strings.Contains(strings.ToUpper(column), "DEFAULT") {
			found = append(found, column)
		}
	}
	return found
}
