package mesh

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHalfDroppedShadow stops the drop of a shadow after each of its steps.
func TestHalfDroppedShadow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "mesh.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	s.TinySteps()
	_, err = s.ApplyConnector(ctx, Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	write := func(connector, run string) Fence {
		f, err := s.Begin(ctx, BeginRun{Connector: connector, RunID: run, LeaseTTL: time.Hour})
		require.NoError(t, err)
		_, err = s.Claim(ctx, f, "users", "me")
		require.NoError(t, err)
		page := ObjectPage{Page: Page{Stream: "users", Owner: "me", Number: 1, Done: true}, Import: true}
		for i := range 5 {
			id := fmt.Sprint(run, i)
			page.Objects = append(page.Objects, Object{Type: User, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte{1}})
		}
		_, err = s.WriteObjects(ctx, f, page)
		require.NoError(t, err)
		return f
	}
	f := write("c", "first")
	_, err = s.Commit(ctx, f, CommitRun{Watermark: Watermark{}, UsersFull: true, GroupsFull: true})
	require.NoError(t, err)
	count := func(table string) (n int) {
		_, err := first(ctx, s.reader, []any{&n}, `SELECT count(*) FROM `+table)
		require.NoError(t, err)
		return n
	}
	tables := []string{"im_connectors", "im_runs", "im_ids", "im_objects", "im_changes", "im_seen", "im_progress"}
	before := map[string]int{}
	for _, table := range tables {
		before[table] = count(table)
	}
	steps := 1
	for done := false; !done; steps++ {
		name, err := s.Shadow(ctx, "c", "dry")
		require.NoError(t, err)
		f := write(name, fmt.Sprint("dry", steps))
		for i := range steps {
			require.NoError(t, s.write(ctx, func(t *tx) error {
				if i > 0 {
					more, err := t.dropStep(ctx)
					done = !more
					return err
				}
				var key int64
				if _, err := first(ctx, t, []any{&key}, `SELECT key FROM im_connectors WHERE name = ?`, name); err != nil {
					return err
				}
				return t.condemnShadow(ctx, key)
			}))
		}
		var missing *NotFoundError
		_, err = s.Connector(ctx, name)
		require.ErrorAs(t, err, &missing)
		_, err = s.Run(ctx, fmt.Sprint("dry", steps))
		require.ErrorAs(t, err, &missing)
		var fenced *FencedError
		require.ErrorAs(t, s.Renew(ctx, f, time.Hour), &fenced)

		again, err := s.Shadow(ctx, "c", "dry")
		require.NoError(t, err)
		require.Equal(t, name, again)
		require.Equal(t, 2*before["im_objects"], count("im_objects"), "what was left is gone, the new copy is there")
		require.NoError(t, s.DropShadow(ctx, name))
		for _, table := range tables {
			require.Equal(t, before[table], count(table), table)
		}
	}
	require.Greater(t, steps, 8)
}
