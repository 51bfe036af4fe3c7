package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var restoredTests = map[string]func(t *testing.T, b *bench){
	"ARestoreBeginsAnEpoch":             testEpoch,
	"AReaderOfAnotherEpochReadsAnew":    testReaderEpoch,
	"ARestoreFencesWhoeverHeldTheLease": testRestoreFences,
	"ARestoreMakesTheNextRunAFull":      testRestoreFull,
	"ARestoreTakesApprovalsBack":        testRestoreHold,
	"ARestoreIsNoNews":                  testRestoreFollowers,
	"ARestoreDropsDryRuns":              testRestoreShadows,
	"ARestoreIsLookedAtFirst":           testRestoreDryRun,
	"ARestoreIsOfAllConnectors":         testRestoreAll,
}

// restored says that the database was restored.
func (b *bench) restored() mesh.Restoration {
	b.t.Helper()
	all, err := b.store.Restored(b.ctx, mesh.Restore{Connector: b.name, By: "ops"})
	require.NoError(b.t, err)
	require.Len(b.t, all, 1)
	return all[0]
}

func (b *bench) feedState() *mesh.Feed {
	b.t.Helper()
	f, err := b.store.Feed(b.ctx, b.name)
	require.NoError(b.t, err)
	return f
}

// since is the error of reading on after an offset, nil where there is none.
func (b *bench) since(o mesh.Offset) (err error) {
	for _, err = range b.store.Changes(b.ctx, mesh.ChangeQuery{Connector: b.name, Since: o.Seq, Epoch: o.Epoch}) {
		if err != nil {
			break
		}
	}
	return err
}

func testEpoch(t *testing.T, b *bench) {
	b.feedOf(3)
	before := b.feedState()
	for _, c := range b.changes(0) {
		require.Equal(t, before.Epoch, c.Epoch)
	}
	require.NoError(t, b.since(mesh.Offset{Epoch: before.Epoch, Seq: 3}))
	r := b.restored()
	require.Equal(t, before.Epoch, r.OldEpoch)
	require.EqualValues(t, 3, r.Last)
	require.NotNil(t, r.NewestRun)
	after := b.feedState()
	require.Equal(t, r.Epoch, after.Epoch)
	require.NotEqual(t, before.Epoch, after.Epoch)
	require.Equal(t, []int64{before.First, before.Last}, []int64{after.First, after.Last}, "the rows stay")
	var other *mesh.EpochError
	for _, seq := range []int64{0, 2, 3, 4} {
		require.ErrorAs(t, b.since(mesh.Offset{Epoch: before.Epoch, Seq: seq}), &other)
		require.Equal(t, []any{after.Epoch, int64(3)}, []any{other.Epoch, other.Last})
		require.ErrorContains(t, other, after.Epoch+":3", "it says where to go on")
	}
	require.NoError(t, b.since(mesh.Offset{Epoch: after.Epoch, Seq: 3}))
	require.NoError(t, b.since(mesh.Offset{Seq: 3}), "without an epoch nobody can tell")
	require.ErrorAs(t, b.since(mesh.Offset{Seq: 4}), &other, "a row that never was")
	require.ErrorAs(t, b.since(mesh.Offset{Epoch: after.Epoch, Seq: 4}), &other)
	require.NotEqual(t, after.Epoch, b.restored().Epoch, "each restore is another one")
}

func testReaderEpoch(t *testing.T, b *bench) {
	b.feedOf(5)
	_, err := b.store.Acknowledge(b.ctx, b.name, "dwh", mesh.Offset{Seq: 5})
	require.NoError(t, err)
	old := b.feedState()
	require.Equal(t, old.Epoch, old.Readers[0].Epoch)
	require.Equal(t, []string{"dwh"}, b.restored().Readers)
	now := b.feedState()
	require.Equal(t, old.Epoch, now.Readers[0].Epoch, "it has not read anew")
	var other *mesh.EpochError
	for _, o := range []mesh.Offset{{Seq: 5}, {Seq: 9}, {Epoch: old.Epoch, Seq: 5}} {
		_, err = b.store.Acknowledge(b.ctx, b.name, "dwh", o)
		require.ErrorAs(t, err, &other)
	}
	_, err = b.store.Acknowledge(b.ctx, b.name, "new", mesh.Offset{Epoch: old.Epoch, Seq: 5})
	require.ErrorAs(t, err, &other)
	require.Equal(t, now.Readers, b.feedState().Readers, "refused, nothing has changed")
	r, err := b.store.Acknowledge(b.ctx, b.name, "dwh", mesh.Offset{Epoch: now.Epoch, Seq: 4})
	require.NoError(t, err)
	require.Equal(t, []any{int64(4), now.Epoch}, []any{r.Acked, r.Epoch}, "a new epoch begins where the reader says")
	r, err = b.store.Acknowledge(b.ctx, b.name, "dwh", mesh.Offset{Seq: 2})
	require.NoError(t, err)
	require.EqualValues(t, 4, r.Acked, "and goes on as before")
}

// testEpochlessReader: what an older release acknowledged counts in the epoch that a restore
// ends.
func testEpochlessReader(t *testing.T, db Database) {
	b := newBench(t.Context(), t, db.Open(t), "epochless")
	b.feedOf(3)
	_, err := b.store.Acknowledge(b.ctx, b.name, "dwh", mesh.Offset{Seq: 2})
	require.NoError(t, err)
	db.Epochless(t)
	_, err = b.store.Acknowledge(b.ctx, b.name, "dwh", mesh.Offset{Seq: 1})
	require.NoError(t, err)
	require.EqualValues(t, 2, b.feedState().Readers[0].Acked, "it is the feed's epoch before")
	db.Epochless(t)
	old := b.restored().OldEpoch
	require.Equal(t, old, b.feedState().Readers[0].Epoch)
	var other *mesh.EpochError
	_, err = b.store.Acknowledge(b.ctx, b.name, "dwh", mesh.Offset{Seq: 3})
	require.ErrorAs(t, err, &other)
	require.EqualValues(t, 2, b.feedState().Readers[0].Acked)
}

func testRestoreFences(t *testing.T, b *bench) {
	r := b.begin()
	r.walk("users", user("u1"))
	r.claim("groups", "me")
	_, err := b.store.Begin(b.ctx, func() mesh.BeginRun { q := b.beginRun("waits", longLease); q.Wait = true; return q }())
	var held *mesh.LeaseHeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, []string{r.id}, b.restored().EndedRuns)
	feed := b.changes(0)
	for name, call := range r.everyCall() {
		var fenced *mesh.FencedError
		require.ErrorAs(t, call(), &fenced, name)
	}
	_, err = b.store.Begin(b.ctx, b.beginRun(r.id, longLease))
	var conflict *mesh.ConflictError
	require.ErrorAs(t, err, &conflict, "it does not begin again")
	require.Equal(t, feed, b.changes(0))
	row, err := b.store.Run(b.ctx, r.id)
	require.NoError(t, err)
	require.Equal(t, mesh.Failed, row.Outcome)
	require.Contains(t, row.Error, "restored from a backup")
	next := b.begin() // and nobody waits
	require.Greater(t, next.fence.Token, r.fence.Token+1000, "beyond every token that the backup may not know")
	next.walk("users", user("u1"))
	next.finish()
	require.Empty(t, b.restored().EndedRuns)
}

func testRestoreFull(t *testing.T, b *bench) {
	b.commit(mesh.Watermark{Users: mesh.NewMark(time.Now())})
	state := func() mesh.ReadState {
		s, err := b.store.ReadState(b.ctx, b.name)
		require.NoError(t, err)
		return s
	}
	require.Zero(t, state().RestoredAt)
	said := func(connector string) (time.Time, error) { return b.store.RestoredAt(b.ctx, connector) }
	at, err := said(b.name)
	require.NoError(t, err)
	require.Zero(t, at)
	_, err = said("nobody")
	var unknown *mesh.NotFoundError
	require.ErrorAs(t, err, &unknown)
	require.NotEmpty(t, b.restored().Watermark)
	require.NotZero(t, state().RestoredAt)
	require.True(t, state().Unhealed)
	at, err = said(b.name)
	require.NoError(t, err)
	require.Equal(t, state().RestoredAt, at)
	copied, err := b.store.Shadow(b.ctx, b.name, "dry")
	require.NoError(t, err)
	dry, err := b.store.ReadState(b.ctx, copied)
	require.NoError(t, err)
	require.Equal(t, []any{true, state().RestoredAt}, []any{dry.Unhealed, dry.RestoredAt}, "a dry run shows that Full")
	w, err := b.store.StoredWatermark(b.ctx, b.name)
	require.NoError(t, err)
	require.Equal(t, []string{"", "restored by ops"}, []string{w.Text, w.UpdatedBy})
	dead := b.as("Full").begin()
	_, err = b.store.End(b.ctx, dead.id, mesh.Failed, "x")
	require.NoError(t, err)
	require.True(t, state().Unhealed, "a failed Full has healed nothing")
	b.as("Delta").begin().finish()
	require.True(t, state().Unhealed, "nor has a delta")
	b.as("Full").begin().finish()
	require.False(t, state().Unhealed)
	require.NotZero(t, state().RestoredAt)
}

func testRestoreHold(t *testing.T, b *bench) {
	all := people(40)
	r := b.begin()
	r.walk("users", all...)
	r.guarded()
	held, _ := b.tick(gone(all[:20]...)...)
	require.NoError(t, b.store.ApproveHold(b.ctx, b.name, held.id, "ops"))
	require.Equal(t, held.id, b.restored().Hold)
	h := b.hold()
	require.Equal(t, 20, h.Deletes[mesh.User], "it stays visible")
	require.Empty(t, h.ApprovedBy)
	var conflict *mesh.ConflictError
	require.ErrorAs(t, b.store.ApproveHold(b.ctx, b.name, held.id, "ops"), &conflict)
	require.ErrorContains(t, conflict, "run a Full")
	full := b.as("Full").begin()
	full.walk("users", append(all[20:], gone(all[:20]...)...)...)
	full.guarded()
	require.Equal(t, full.id, b.hold().RunID)
	require.ErrorAs(t, b.store.ApproveHold(b.ctx, b.name, held.id, "ops"), &conflict, "what was seen before the restore")
	require.NoError(t, b.store.ApproveHold(b.ctx, b.name, full.id, "ops"))
	b.restored()
	require.NoError(t, b.store.CloseHold(b.ctx, b.name, full.id, mesh.HoldRejected, "ops"), "to keep is no danger")
}

func testRestoreFollowers(t *testing.T, b *bench) {
	me := follow("me", longLease)
	b.fails()
	require.NotNil(t, b.told(me), "it is in hand")
	b.fails()
	b.restored()
	require.Nil(t, b.told(me), "what ended before is no news")
	next := b.fails()
	require.Equal(t, next.id, b.told(me).Run.RunID)
}

func testRestoreShadows(t *testing.T, b *bench) {
	b.feedOf(2)
	name, err := b.store.Shadow(b.ctx, b.name, "dry")
	require.NoError(t, err)
	q := b.beginRun("dry", longLease)
	q.Connector = name
	f, err := b.store.Begin(b.ctx, q)
	require.NoError(t, err)
	b.restored()
	var fenced *mesh.FencedError
	require.ErrorAs(t, b.store.Renew(b.ctx, f, time.Second), &fenced)
}

func testRestoreDryRun(t *testing.T, b *bench) {
	b.feedOf(2)
	running := b.begin()
	before := b.feedState()
	all, err := b.store.Restored(b.ctx, mesh.Restore{Connector: b.name, By: "ops", DryRun: true})
	require.NoError(t, err)
	require.Equal(t, []string{running.id}, all[0].EndedRuns)
	require.Empty(t, all[0].Epoch)
	require.Equal(t, before, b.feedState())
	require.NoError(t, b.store.RecordCalls(b.ctx, running.fence, mesh.Calls{API: 1}))
	var missing *mesh.NotFoundError
	_, err = b.store.Restored(b.ctx, mesh.Restore{Connector: "nobody", By: "ops"})
	require.ErrorAs(t, err, &missing)
}

func testRestoreAll(t *testing.T, b *bench) {
	b.feedOf(2)
	other := newBench(b.ctx, t, b.store, "other")
	other.feedOf(1)
	require.NoError(t, b.store.DeleteConnector(b.ctx, other.name, mesh.Purge))
	old := other.feedState()
	all, err := b.store.Restored(b.ctx, mesh.Restore{By: "ops"})
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, []bool{false, true}, []bool{all[0].Deleted, all[1].Deleted})
	var epoch *mesh.EpochError
	require.ErrorAs(t, other.since(mesh.Offset{Epoch: old.Epoch}), &epoch, "its feed is still read")
	require.NoError(t, b.since(mesh.Offset{Epoch: all[0].Epoch}))
}
