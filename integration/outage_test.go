package integration

import (
	"database/sql"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver of the mesh database, to lock it from outside

	"github.com/identitymesh/okta-connector/okta/oktasim"
)

// TestTemporalAndTheDatabaseFail kills -9 the Temporal server in the middle of an
// import and starts it again, then locks the mesh database for longer than its busy
// time-out: not a page is read twice, nothing is lost or doubled.
func TestTemporalAndTheDatabaseFail(t *testing.T) {
	t.Parallel()
	const users, groups = 4000, 60
	calm := newWorld(t, oktasim.Config{Org: generated(t, users, groups)}, nil)
	calm.worker()
	calmRow := calm.completed()

	w := newWorld(t, oktasim.Config{Org: generated(t, users, groups), Latency: 60 * time.Millisecond}, nil)
	db := []string{"--db", filepath.Join(w.stack.Dir, "temporal.db")}
	server, err := w.stack.Temporal(t.Context(), db...)
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(w.stack.TemporalAddr)
	require.NoError(t, err)
	w.worker()
	runID := w.start()

	require.Eventually(t, func() bool { return w.sim.Stats().Total >= calmRow.APICalls/4 }, time.Minute, time.Millisecond)
	server.Kill()
	_, err = w.stack.Temporal(t.Context(), append(db, "--port", port)...)
	require.NoError(t, err)

	mesh, err := sql.Open("sqlite", filepath.Join(w.stack.Dir, "mesh.db"))
	require.NoError(t, err)
	lock, err := mesh.Conn(t.Context())
	require.NoError(t, err)
	_, err = lock.ExecContext(t.Context(), "PRAGMA busy_timeout = 20000")
	require.NoError(t, err)
	_, err = lock.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	<-time.After(12 * time.Second) // the busy time-out is ten
	_, err = lock.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, lock.Close())
	require.NoError(t, mesh.Close())

	row := w.wait(runID)
	require.Equal(t, "Completed", row.Outcome, row.Error)
	require.LessOrEqual(t, w.sim.Stats().Total, calmRow.APICalls+inFlight, "a page at most for each call in flight")
	require.Equal(t, calmRow.Counts, row.Counts)
	requireSame(t, calm.objects(), w.objects())
	requireSameFeed(t, feedOf(calm), feedOf(w))
}
