package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var retentionTests = map[string]func(t *testing.T, b *bench){
	"readers declare an offset":            testReaders,
	"a reader's rows are kept":             testReaderKeepsRows,
	"a removed row is asked for":           testPrunedRows,
	"what is needed cannot be removed":     testPruneRefused,
	"a reader that came late has to know":  testLateReader,
	"runs write while old rows are pruned": testPruneDuringARun,
}

// prune removes what the readers let go, whatever its age, until nothing is left to remove.
func (b *bench) prune() (total mesh.Pruned) {
	b.t.Helper()
	feed, err := b.store.Feed(b.ctx, b.name)
	require.NoError(b.t, err)
	free := feed.Last
	for _, r := range feed.Readers {
		free = min(free, r.Acked)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		done, err := b.store.Prune(b.ctx, mesh.Prune{Connector: b.name, ChangesOlderThan: time.Nanosecond})
		require.NoError(b.t, err)
		total.Changes += done.Changes
		total.WaitsFor = done.WaitsFor
		feed, err = b.store.Feed(b.ctx, b.name)
		require.NoError(b.t, err)
		if feed.First > free || time.Now().After(deadline) { // rows of this very millisecond are not old yet
			return total
		}
	}
}

// feedOf writes n users and returns a bench with a feed of as many rows.
func (b *bench) feedOf(n int) {
	b.t.Helper()
	r := b.begin()
	users := make([]mesh.Object, n)
	for i := range users {
		users[i] = user("u" + string(rune('a'+i)))
	}
	r.walk("users", users...)
	r.finish()
}

func testReaders(t *testing.T, b *bench) {
	b.feedOf(5)
	_, err := b.store.Acknowledge(b.ctx, "nobody", "x", mesh.Offset{Seq: 1})
	var missing *mesh.NotFoundError
	require.ErrorAs(t, err, &missing)
	var conflict *mesh.ConflictError
	_, err = b.store.Acknowledge(b.ctx, b.name, "slow", mesh.Offset{Seq: 6})
	require.ErrorAs(t, err, &conflict, "the feed has not come that far")
	_, err = b.store.Acknowledge(b.ctx, b.name, "", mesh.Offset{Seq: 1})
	require.ErrorAs(t, err, &conflict)
	feed, err := b.store.Feed(b.ctx, b.name)
	require.NoError(t, err)
	require.Empty(t, feed.Readers, "a refused one is not declared")
	require.NotNil(t, feed.Readers)
	for _, step := range []struct {
		name       string
		seq, acked int64
	}{{"slow", 0, 0}, {"fast", 4, 4}, {"fast", 5, 5}, {"fast", 3, 5}, {"slow", 2, 2}} {
		r, err := b.store.Acknowledge(b.ctx, b.name, step.name, mesh.Offset{Seq: step.seq})
		require.NoError(t, err)
		require.Equal(t, step.acked, r.Acked, "never backwards")
		require.False(t, r.UpdatedAt.IsZero())
	}
	feed, err = b.store.Feed(b.ctx, b.name)
	require.NoError(t, err)
	require.NotEmpty(t, feed.Epoch)
	require.Equal(t, []int64{1, 5}, []int64{feed.First, feed.Last})
	require.Len(t, feed.Readers, 2)
	require.Equal(t, "fast", feed.Readers[0].Name)
	require.NoError(t, b.store.ForgetReader(b.ctx, b.name, "fast"))
	require.ErrorAs(t, b.store.ForgetReader(b.ctx, b.name, "fast"), &missing)
}

func testReaderKeepsRows(t *testing.T, b *bench) {
	b.feedOf(6)
	for name, seq := range map[string]int64{"slow": 2, "fast": 5} {
		_, err := b.store.Acknowledge(b.ctx, b.name, name, mesh.Offset{Seq: seq})
		require.NoError(t, err)
	}
	young, err := b.store.Prune(b.ctx, mesh.Prune{Connector: b.name, ChangesOlderThan: time.Hour})
	require.NoError(t, err)
	require.Zero(t, young)
	require.Equal(t, mesh.Pruned{Changes: 2, WaitsFor: "slow"}, b.prune())
	rows := b.changes(2)
	require.Len(t, rows, 4)
	require.EqualValues(t, 3, rows[0].Seq, "what slow has not read is there")
	dry, err := b.store.Prune(b.ctx, mesh.Prune{Connector: b.name, ChangesOlderThan: time.Nanosecond, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, mesh.Pruned{WaitsFor: "slow"}, dry)
	_, err = b.store.Acknowledge(b.ctx, b.name, "slow", mesh.Offset{Seq: 6})
	require.NoError(t, err)
	dry, err = b.store.Prune(b.ctx, mesh.Prune{Connector: b.name, ChangesOlderThan: time.Nanosecond, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, mesh.Pruned{Changes: 3, WaitsFor: "fast"}, dry)
	require.Len(t, b.changes(2), 4, "a dry run only counts")
	require.EqualValues(t, 3, b.prune().Changes)
	require.NoError(t, b.store.ForgetReader(b.ctx, b.name, "fast"))
	require.EqualValues(t, 1, b.prune().Changes)
	feed, err := b.store.Feed(b.ctx, b.name)
	require.NoError(t, err)
	require.Equal(t, []int64{7, 6}, []int64{feed.First, feed.Last}, "an empty feed")
	require.Empty(t, b.changes(6))
	require.Len(t, b.objects(mesh.User), 6, "the objects stay")
	r := b.begin()
	r.walk("users", user("ua", "new", 1))
	rows = b.changes(6)
	require.Len(t, rows, 1)
	require.EqualValues(t, 7, rows[0].Seq, "numbers go on")
}

func testPrunedRows(t *testing.T, b *bench) {
	b.feedOf(4)
	_, err := b.store.Acknowledge(b.ctx, b.name, "r", mesh.Offset{Seq: 3})
	require.NoError(t, err)
	b.prune()
	for since, want := range map[int64]int{3: 1, 4: 0} {
		require.Len(t, b.changes(since), want)
	}
	for _, q := range []mesh.ChangeQuery{{Since: 0}, {Since: 2}, {ID: "ua"}} {
		q.Connector = b.name
		var gone *mesh.PrunedError
		for _, err := range b.store.Changes(b.ctx, q) {
			require.ErrorAs(t, err, &gone)
		}
		require.NotNil(t, gone)
		require.EqualValues(t, 4, gone.First)
		q.Kept = true
		for c, err := range b.store.Changes(b.ctx, q) {
			require.NoError(t, err)
			require.EqualValues(t, 4, c.Seq)
		}
	}
}

func testPruneRefused(t *testing.T, b *bench) {
	b.feedOf(3)
	var conflict *mesh.ConflictError
	for _, p := range []mesh.Prune{{RunsOlderThan: time.Hour}, {RunsOlderThan: -1}, {ChangesOlderThan: -1}} {
		p.Connector = b.name
		_, err := b.store.Prune(b.ctx, p)
		require.ErrorAs(t, err, &conflict)
	}
	_, err := b.store.Prune(b.ctx, mesh.Prune{Connector: "nobody", ChangesOlderThan: 1})
	var missing *mesh.NotFoundError
	require.ErrorAs(t, err, &missing)
	none, err := b.store.Prune(b.ctx, mesh.Prune{Connector: b.name})
	require.NoError(t, err)
	require.Zero(t, none)
	require.Len(t, b.changes(0), 3)
}

func testLateReader(t *testing.T, b *bench) {
	b.feedOf(3)
	require.EqualValues(t, 3, b.prune().Changes, "nobody reads: age alone counts")
	_, err := b.store.Acknowledge(b.ctx, b.name, "late", mesh.Offset{Seq: 0})
	var gone *mesh.PrunedError
	require.ErrorAs(t, err, &gone)
	_, err = b.store.Acknowledge(b.ctx, b.name, "late", mesh.Offset{Seq: 3})
	require.NoError(t, err)
}

func testPruneDuringARun(t *testing.T, b *bench) {
	b.feedOf(3)
	r := b.begin()
	r.walk("users", user("ua", "x", 1), user("ub"), user("uc"))
	require.EqualValues(t, 4, b.prune().Changes)
	r.walk("more", user("new"))
	require.Equal(t, []string{"Add User new"}, lines(b.changes(4)))
	r.finish()
}

func lines(changes []mesh.Change) (all []string) {
	for _, c := range changes {
		all = append(all, line(c))
	}
	return all
}
