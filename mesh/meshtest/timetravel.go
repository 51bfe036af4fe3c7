package meshtest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
)

// Database is a database that can be put back to an earlier state while stores have it open.
type Database struct {
	// Open opens another store on it, as another process does.
	Open func(t *testing.T) mesh.Store
	// Backup takes a backup; restore puts the database back to it.
	Backup func(t require.TestingT) (restore func(t require.TestingT))
	// Late begins a transaction that takes a number of a connector's feed and writes its row;
	// end commits or undoes it.
	Late func(t require.TestingT, connector string) (end func(commit bool))
	// Epochless makes the feed's readers those of a release that knows no epochs.
	Epochless func(t require.TestingT)
	// Most is how often a property is tried, 0 for as often as rapid likes.
	Most int64
}

// RunRestore runs the tests of a database that is restored from a backup. open makes an
// empty one.
func RunRestore(t *testing.T, open func(t *testing.T) Database) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, db Database){
		"AZombieMeetsTheNumberOfItsToken":   testTokenAgain,
		"AZombieOfTheBackupsOwnRun":         testZombieOfTheBackup,
		"AProcessRemembersKeysOfTheLost":    testStaleKeys,
		"AProcessNoticesThatRowsAreMissing": testRowsMissing,
		"AReaderOfAnOlderReleaseReadsAnew":  testEpochlessReader,
		"Property":                          testRestoreProperty,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// testTokenAgain: the token of a run that began after the backup is given again.
func testTokenAgain(t *testing.T, db Database) {
	for _, told := range []bool{false, true} {
		b := newBench(t.Context(), t, db.Open(t), fmt.Sprint("told-", told))
		b.feedOf(2)
		restore := db.Backup(t)
		zombie := b.begin()
		zombie.walk("users", user("ua", "lost", 1), user("ub"))
		restore(t)
		if told {
			b.restored()
		}
		next := b.begin()
		require.Equal(t, told, next.fence.Token != zombie.fence.Token, "a restore gives a token twice, unless it is told")
		feed := b.changes(0)
		for name, call := range zombie.everyCall() {
			var lost *mesh.RestoredError
			require.ErrorAs(t, call(), &lost, name)
			require.ErrorContains(t, lost, "starter restored", name)
		}
		_, err := b.store.End(b.ctx, zombie.id, mesh.Failed, "x")
		var missing *mesh.NotFoundError
		require.ErrorAs(t, err, &missing)
		require.Equal(t, feed, b.changes(0))
		holder, err := b.store.Holder(b.ctx, b.name)
		require.NoError(t, err)
		require.Equal(t, next.id, holder)
	}
}

// testZombieOfTheBackup: the run that was under way when the backup was taken lives on.
func testZombieOfTheBackup(t *testing.T, db Database) {
	b := newBench(t.Context(), t, db.Open(t), "contoso")
	r := b.begin()
	r.walk("users", user("u1"))
	r.claim("groups", "me")
	restore := db.Backup(t)
	r.walk("more", user("u2"))
	restore(t)
	require.Equal(t, []string{r.id}, b.restored().EndedRuns)
	for name, call := range r.everyCall() {
		var fenced *mesh.FencedError
		require.ErrorAs(t, call(), &fenced, name)
	}
	_, err := b.store.Begin(b.ctx, b.beginRun(r.id, longLease))
	var conflict *mesh.ConflictError
	require.ErrorAs(t, err, &conflict)
	next := b.begin()
	next.walk("users", user("u1"), user("u2"), user("u3"))
	next.finish()
	require.Equal(t, []string{"u1", "u2", "u3"}, b.objects(mesh.User))
	b.checkFeed()
}

// testStaleKeys: a process that was not restarted knows keys which the restored database has
// given to others.
func testStaleKeys(t *testing.T, db Database) {
	for _, told := range []bool{false, true} {
		b := newBench(t.Context(), t, db.Open(t), fmt.Sprint("told-", told))
		other := &bench{t: t, ctx: t.Context(), store: db.Open(t), name: b.name, runs: 100}
		full := func(b *bench, users ...string) error {
			r := b.begin()
			var all []mesh.Object
			for _, u := range users {
				all = append(all, user(u))
			}
			if _, err := b.store.Claim(b.ctx, r.fence, "users", "me"); err != nil {
				return err
			}
			r.walk("groups", group("g"))
			r.walk("users", all...)
			r.members("g", users...)
			r.sweep(map[string]mesh.Reason{"u1": mesh.HardDeleted})
			r.finish()
			return nil
		}
		require.NoError(t, full(b, "u0"))
		restore := db.Backup(t)
		require.NoError(t, full(b, "u0", "u1", "u2")) // what this process remembers
		restore(t)
		if told {
			b.restored()
		}
		require.NoError(t, full(other, "u0", "x1", "x2", "x3"), "a process that remembers nothing")
		if !told {
			var lost *mesh.RestoredError
			require.ErrorAs(t, full(b, "u0", "x1", "x2", "x3", "u2"), &lost)
			continue
		}
		require.NoError(t, full(b, "u0", "x1", "x2", "x3", "u2"))
		require.Equal(t, []string{"u0", "u2", "x1", "x2", "x3"}, b.objects(mesh.User))
		require.Equal(t, []string{"g:u0", "g:u2", "g:x1", "g:x2", "g:x3"}, b.objects(mesh.GroupMember))
		b.checkFeed()
	}
}

// testRowsMissing: nobody has said that the database was restored.
func testRowsMissing(t *testing.T, db Database) {
	for what, write := range map[string]func(r *run){
		"rows of the feed":        func(r *run) { r.walk("users", user("u1"), user("u2")) },
		"rows about who is there": func(r *run) { r.walk("users", user("u0", "title", "new")) },
		"only ids": func(r *run) {
			r.members("g", "m1", "m2")
		},
	} {
		b := newBench(t.Context(), t, db.Open(t), strings.ReplaceAll(what, " ", "-"))
		r := b.begin()
		r.walk("first", user("u0"))
		restore := db.Backup(t)
		write(r)
		restore(t)
		feed := b.changes(0)
		for name, call := range r.everyCall() {
			var lost *mesh.RestoredError
			require.ErrorAs(t, call(), &lost, "%s: %s", what, name)
		}
		require.Equal(t, feed, b.changes(0))
		dead, err := b.store.End(b.ctx, r.id, mesh.Failed, "it is told to the run row")
		require.NoError(t, err)
		require.Equal(t, mesh.Failed, dead.Outcome)
		b.restored()
		next := b.begin()
		next.walk("users", user("u0"), user("u3"))
		next.finish()
		b.checkFeed()
	}
}

// testRestoreProperty takes a backup at any moment of an org's random history, in the middle
// of a run too, goes on, restores it, and imports again: mesh and feed are true to the org,
// and a consumer that read anew holds what the mesh holds.
func testRestoreProperty(t *testing.T, db Database) {
	ctx := t.Context()
	store := db.Open(t)
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		if n.Add(1) > db.Most && db.Most > 0 {
			return
		}
		b := newBench(ctx, rt, store, fmt.Sprintf("org%d", n.Load()))
		o := &org{users: map[string]*orgUser{}, groups: map[string]*orgGroup{}, logins: rapid.Bool().Draw(rt, "logins")}
		scope := mesh.Scope{Users: true, Groups: true}
		for range rapid.IntRange(1, 10).Draw(rt, "settled in") {
			o.populate(rt)
		}
		var restore func(require.TestingT)
		var zombie *run
		imports := rapid.IntRange(1, 3).Draw(rt, "imports")
		backupAt := rapid.IntRange(0, imports-1).Draw(rt, "backup in import")
		after := rapid.IntRange(0, 12).Draw(rt, "steps until the backup")
		consumer := newConsumer(b)
		for i := range imports {
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				o.change(rt)
			}
			r := b.beginFor(shortLease)
			r.scope, zombie = scope, r
			d := &driver{run: r, rt: rt, org: o, owners: map[string]string{}}
			steps := after
			backup := func() {
				if restore == nil && i == backupAt && steps == 0 {
					restore = db.Backup(rt)
				}
				steps--
			}
			d.moment = backup
			require.True(rt, d.full())
			steps = 0
			backup() // it had fewer steps
			require.NoError(rt, consumer.follow())
		}
		restore(rt)
		b.restored()
		feed := b.changes(0)
		for name, call := range zombie.everyCall() {
			if err := call(); name != "Commit" { // which is told again that it has committed
				require.Error(rt, err)
			}
		}
		require.Equal(rt, feed, b.changes(0))
		var epoch *mesh.EpochError
		if err := consumer.follow(); consumer.at != (mesh.Offset{}) { // else it had read nothing, ever
			require.ErrorAs(rt, err, &epoch)
		}
		consumer.readAnew()
		for range rapid.IntRange(0, 4).Draw(rt, "changes since") {
			o.change(rt)
		}
		r := b.beginFor(shortLease)
		r.scope = scope
		require.True(rt, (&driver{run: r, rt: rt, org: o, owners: map[string]string{}}).full())
		require.NoError(rt, consumer.follow())
		b.checkOrg(o, scope)
		b.checkFeed()
		consumer.check()
	})
}

// consumer keeps what the feed says: a copy of the objects, and its offset.
type consumer struct {
	*bench
	at      mesh.Offset
	objects map[string]string
}

func newConsumer(b *bench) *consumer { return &consumer{bench: b, objects: map[string]string{}} }

// follow reads on. A row may be applied that the objects say already.
func (c *consumer) follow() error {
	for ch, err := range c.store.Changes(c.ctx, mesh.ChangeQuery{Connector: c.name, Since: c.at.Seq, Epoch: c.at.Epoch}) {
		if err != nil {
			return err
		}
		require.Equal(c.t, c.at.Seq+1, ch.Seq)
		c.at = mesh.Offset{Epoch: ch.Epoch, Seq: ch.Seq}
		key := string(ch.Type) + " " + ch.ExternalID
		if ch.Op == mesh.Delete {
			delete(c.objects, key)
		} else {
			c.objects[key] = string(ch.Attributes)
		}
	}
	return nil
}

// readAnew notes where the feed ends, then reads the objects.
func (c *consumer) readAnew() {
	feed := c.feedState()
	c.at, c.objects = mesh.Offset{Epoch: feed.Epoch, Seq: feed.Last}, map[string]string{}
	for o, err := range c.store.Objects(c.ctx, mesh.ObjectQuery{Connector: c.name}) {
		require.NoError(c.t, err)
		c.objects[string(o.Type)+" "+o.ExternalID] = string(o.Attributes)
	}
}

// check compares the copy with the mesh.
func (c *consumer) check() {
	c.t.Helper()
	mine := c.objects
	c.readAnew()
	require.Equal(c.t, c.objects, mine)
}
