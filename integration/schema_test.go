package integration

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/internal/stack"
	"github.com/identitymesh/okta-connector/mesh/meshtest"
	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// raw opens the world's database beside the store, as a migration does.
func (w *world) raw() *sql.DB {
	w.Helper()
	driver, source := "pgx", w.stack.Database()
	if path, ok := strings.CutPrefix(source, "sqlite://"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(30000)"
	}
	db, err := sql.Open(driver, source)
	require.NoError(w, err)
	w.Cleanup(func() { require.NoError(w, db.Close()) })
	return db
}

// TestTheNextReleaseMigratesInMidRun migrates the database under a run of this release:
// the run ends with what it would have without, the worker may be started again, and only
// after the release after next none starts any more.
func TestTheNextReleaseMigratesInMidRun(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, newDB func() string) {
		w := newWorldOn(t, newDB(), oktasim.Config{Org: generated(t, 120, 6)}, map[string]any{"PageSize": 20})
		old := w.worker()
		w.completed()
		deactivate(w, 3)
		edit(w, 5)
		s := stopAtPage(t, w.sim)
		run := w.start()
		<-s.reached
		raw := w.raw()
		meshtest.MigrateOnce(t, raw)
		s.release()
		row := w.wait(run)
		require.Equal(t, "Completed", row.Outcome, row.Error)
		require.Equal(t, 3, row.Counts["User"].Deleted)
		require.Equal(t, 5, row.Counts["User"].Updated)
		w.requireTrue()

		old.Kill()
		w.worker()
		edit(w, 4)
		require.Equal(t, 4, w.completedMode("delta").Counts["User"].Updated)
		gone := deactivate(w, 40)
		hold := held(w, "delta", 40)
		feed := len(w.changes(0))
		w.ok(w.starter("", "approve", hold.RunID, "--yes", "--wait"))
		require.Equal(t, gone, deletedUsers(w, feed))
		w.requireTrue()

		meshtest.Newer(t, raw)
		r := w.starter("", "status", w.name)
		require.Equal(t, 1, r.Code)
		require.Contains(t, r.Stderr, "use the newer release")
		s2 := &stack.Stack{Bin: w.stack.Bin, Dir: w.stack.Dir, TemporalAddr: w.stack.TemporalAddr, DB: w.stack.DB}
		_, err := s2.Worker(t.Context(), w.env(), "--metrics-addr", "")
		require.ErrorContains(t, err, "use the newer release")
	})
}
