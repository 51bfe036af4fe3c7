package mesh_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
)

// TestBackupsOfTheNextRelease: a release that was gone back to opens the database that the
// next one has migrated, and so it restores what was backed up since.
func TestBackupsOfTheNextRelease(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	url := "sqlite://" + filepath.ToSlash(filepath.Join(dir, "mesh.db"))
	s := openURL(t, url)
	_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	meshtest.MigrateOnce(t, rawURL(t, url))
	one := filepath.Join(dir, "one")
	require.NoError(t, mesh.Backup(ctx, url, one))
	all, err := mesh.RestoreBackup(ctx, url, one, mesh.Restore{By: "ops"})
	require.NoError(t, err)
	require.Len(t, all, 1)

	meshtest.Newer(t, rawURL(t, url))
	two := filepath.Join(dir, "two")
	require.NoError(t, mesh.Backup(ctx, url, two))
	_, err = mesh.RestoreBackup(ctx, url, two, mesh.Restore{By: "ops"})
	require.ErrorContains(t, err, "use the newer release")
}

// TestBackupsOutliveAPowerCut: the folder is synced when the backup has its name.
//
//nolint:paralleltest // it watches what other tests do, too
func TestBackupsOutliveAPowerCut(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	url := "sqlite://" + filepath.ToSlash(filepath.Join(dir, "mesh.db"))
	openURL(t, url)
	to := filepath.Join(t.TempDir(), "mesh.db")
	var synced []string
	lost := errors.New("disk gone")
	defer mesh.WatchSyncs(func(folder string) error {
		require.FileExists(t, to)
		synced = append(synced, folder)
		return lost
	})()
	require.ErrorIs(t, mesh.Backup(ctx, url, to), lost)
	require.Equal(t, []string{filepath.Dir(to)}, synced)
}

// TestACopyOfItself: whatever the files are called, neither database nor backup is lost.
func TestACopyOfItself(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	file := filepath.Join(dir, "mesh.db")
	url := "sqlite://" + filepath.ToSlash(file)
	s := openURL(t, url)
	_, err := s.ApplyConnector(ctx, mesh.Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	backup := file + ".restore" // where the restored database is made ready
	require.NoError(t, mesh.Backup(ctx, url, backup))
	_, err = mesh.RestoreBackup(ctx, url, backup, mesh.Restore{By: "ops"})
	require.ErrorContains(t, err, "another name")
	require.FileExists(t, backup)

	partial := filepath.Join(dir, "copy.partial") // where a backup is made
	require.NoError(t, os.Link(file, partial))
	require.ErrorContains(t, mesh.Backup(ctx, url, filepath.Join(dir, "copy")), "another name")
	require.FileExists(t, partial)
	_, err = s.Connector(ctx, "c")
	require.NoError(t, err)
}
