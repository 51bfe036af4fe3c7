package meshtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var progressTests = map[string]func(t *testing.T, b *bench){
	"PageIsWrittenOnce": func(t *testing.T, b *bench) {
		r := b.begin()
		require.Equal(t, mesh.Progress{Stream: "users"}, r.claim("users", "me"))
		first := objectPage("users", 1, false, at(user("u1"), 5))
		first.Date = time.Date(2026, 4, 22, 9, 0, 0, 0, time.UTC)
		want := mesh.Progress{Stream: "users", Page: 1, Next: first.Next, Seen: 1, FirstDate: first.Date, HighWater: first.Objects[0].Stamp}
		for range 2 {
			got, err := b.store.WriteObjects(b.ctx, r.fence, first)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.Equal(t, want, r.claim("users", "me"))
		last := objectPage("users", 2, true, at(user("u2"), 3))
		last.Date = first.Date.Add(time.Hour)
		want.Page, want.Next, want.Done, want.Seen = 2, "", true, 2
		for range 2 {
			got, err := b.store.WriteObjects(b.ctx, r.fence, last)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		got, err := b.store.WriteObjects(b.ctx, r.fence, first)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Len(t, b.changes(0), 2)
		row, err := b.store.Run(b.ctx, r.id)
		require.NoError(t, err)
		require.Equal(t, 2, row.APICalls)
		require.Equal(t, mesh.Counts{Seen: 2, Added: 2}, row.Counts[mesh.User])
	},
	"PageOutOfOrder": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "me")
		for name, p := range map[string]mesh.ObjectPage{
			"gap":              objectPage("users", 2, true),
			"zero":             objectPage("users", 0, true),
			"no next, no end":  {Page: mesh.Page{Stream: "users", Owner: "me", Number: 1}, Import: true},
			"without an id":    objectPage("users", 1, true, user("")),
			"without external": objectPage("users", 1, true, named("u1", "")),
			"a membership":     objectPage("users", 1, true, object(mesh.GroupMember, "x", "x", nil)),
		} {
			_, err := b.store.WriteObjects(b.ctx, r.fence, p)
			var conflict *mesh.ConflictError
			require.ErrorAs(t, err, &conflict, name)
		}
		_, err := b.store.WriteObjects(b.ctx, r.fence, objectPage("users", 1, true))
		require.NoError(t, err)
		_, err = b.store.WriteObjects(b.ctx, r.fence, objectPage("users", 2, true, user("u1")))
		var conflict *mesh.ConflictError
		require.ErrorAs(t, err, &conflict, "after the end")
		require.Empty(t, b.changes(0))
	},
	"LaterAttemptTakesTheStream": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "zombie")
		r.claim("users", "me")
		p := objectPage("users", 1, true, user("u1"))
		p.Owner = "zombie"
		_, err := b.store.WriteObjects(b.ctx, r.fence, p)
		var fenced *mesh.FencedError
		require.ErrorAs(t, err, &fenced)
		require.Equal(t, "users", fenced.Stream)
		_, err = b.store.RecordFailure(b.ctx, r.fence, "users", "zombie", mesh.Calls{})
		require.ErrorAs(t, err, &fenced)
		require.ErrorAs(t, b.store.GroupGone(b.ctx, r.fence, p.Page, "g1"), &fenced)
		_, err = b.store.WriteMembers(b.ctx, r.fence, mesh.MemberPage{Page: p.Page, GroupID: "g1"})
		require.ErrorAs(t, err, &fenced)
		p.Stream = "never claimed"
		_, err = b.store.WriteObjects(b.ctx, r.fence, p)
		require.ErrorAs(t, err, &fenced)
		require.Empty(t, b.changes(0))
	},
	"RepeatedNextLink": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "me")
		page := objectPage("users", 1, false, user("u1"))
		_, err := b.store.WriteObjects(b.ctx, r.fence, page)
		require.NoError(t, err)
		page.Number, page.Objects = 2, []mesh.Object{user("u2")}
		_, err = b.store.WriteObjects(b.ctx, r.fence, page)
		var loop *mesh.LoopError
		require.ErrorAs(t, err, &loop)
		require.Equal(t, mesh.LoopError{Stream: "users", Page: 2}, *loop)
		require.Equal(t, 1, r.claim("users", "me").Page, "nothing is written")
		require.Equal(t, []string{"Add User u1"}, r.feed())
		// The same link in another stream is no loop.
		r.claim("other", "me")
		page.Stream, page.Number = "other", 1
		_, err = b.store.WriteObjects(b.ctx, r.fence, page)
		require.NoError(t, err)
	},
	"FailuresCountUntilAPage": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "me")
		for want := 1; want <= 2; want++ {
			n, err := b.store.RecordFailure(b.ctx, r.fence, "users", "me", mesh.Calls{API: 1, Waits: 1, Waited: 1500 * time.Microsecond})
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		require.Equal(t, 2, r.claim("users", "me").Failures)
		_, err := b.store.WriteObjects(b.ctx, r.fence, objectPage("users", 1, true))
		require.NoError(t, err)
		require.Zero(t, r.claim("users", "me").Failures)
		require.NoError(t, b.store.RecordCalls(b.ctx, r.fence, mesh.Calls{API: 4}))
		row, err := b.store.Run(b.ctx, r.id)
		require.NoError(t, err)
		require.Equal(t, 7, row.APICalls)
		require.Equal(t, 2, row.RateLimitWaits)
		require.EqualValues(t, 3, row.RateLimitWaitMs)
	},
	"QueueKeepsTheOrderOfDiscovery": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("groups", "me")
		p := objectPage("groups", 1, false, group("g3"), group("g1"))
		p.Queue = &mesh.QueueRule{All: true}
		_, err := b.store.WriteObjects(b.ctx, r.fence, p)
		require.NoError(t, err)
		p = objectPage("groups", 2, true, group("g1"), group("g2"), group("g2"))
		p.Queue, p.Import = &mesh.QueueRule{All: true}, false
		_, err = b.store.WriteObjects(b.ctx, r.fence, p)
		require.NoError(t, err)
		r.members("g1", "u1")
		require.Equal(t, []mesh.QueuedGroup{
			{Ordinal: 1, OktaID: "g3", Progress: mesh.Progress{Stream: "members/g3"}},
			{Ordinal: 3, OktaID: "g2", Progress: mesh.Progress{Stream: "members/g2"}},
		}, r.claimGroups("me"))
		require.Equal(t, []string{"g1", "g3"}, b.objects(mesh.Group), "a page without Import writes no object")
	},
}

var objectTests = map[string]func(t *testing.T, b *bench){
	"SecondIdenticalRunWritesNothing": func(t *testing.T, b *bench) {
		b.imported()
		feed := b.changes(0)
		r := b.imported()
		require.Empty(t, r.feed())
		require.Equal(t, feed, b.changes(0))
		row, err := b.store.Run(b.ctx, r.id)
		require.NoError(t, err)
		require.Equal(t, map[mesh.ObjectType]mesh.Counts{
			mesh.User: {Seen: 2, Unchanged: 2}, mesh.Group: {Seen: 1, Unchanged: 1}, mesh.GroupMember: {Seen: 2, Unchanged: 2},
		}, row.Counts)
		b.checkFeed()
	},
	"UpdateNamesWhatChanged": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1", "a", 1, "b", "x", "gone", true, "same", nil))
		r.finish()
		r = b.begin()
		r.walk("users", user("u1", "a", 2, "b", "y", "new", []string{"z"}, "same", nil))
		row := r.finish()
		require.Equal(t, []string{"Update User u1 [a b gone new]"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Updated: 1}, row.Counts[mesh.User])
		b.checkFeed()
	},
	"IgnoredAttributesMakeNoUpdate": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1", "a", 1, "lastLogin", "x"))
		r.finish()
		write := func(o mesh.Object) *run {
			r := b.begin()
			r.claim("users", "me")
			p := objectPage("users", 1, true, o)
			p.Ignore = []string{"lastLogin"}
			_, err := b.store.WriteObjects(b.ctx, r.fence, p)
			require.NoError(t, err)
			row := r.finish()
			require.Equal(t, 1, row.Counts[mesh.User].Unchanged+row.Counts[mesh.User].Updated)
			return r
		}
		require.Empty(t, write(user("u1", "a", 1, "lastLogin", "y")).feed())
		b.checkFeed() // the object is what the feed last said
		require.Equal(t, []string{"Update User u1 [a]"}, write(user("u1", "a", 2, "lastLogin", "z")).feed())
		b.checkFeed()
	},
	"StaleAnswerIsIgnored": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", at(user("u1", "n", "new"), 20))
		r.finish()
		r = b.begin()
		r.walk("users", at(user("u1", "n", "old"), 19))
		r.sweep(nil)
		row := r.finish()
		require.Empty(t, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Unchanged: 1}, row.Counts[mesh.User], "stale, but seen")
		r = b.begin()
		r.walk("users", at(user("u1", "n", "same second"), 20))
		r.finish()
		require.Equal(t, []string{"Update User u1 [n]"}, r.feed())
		r = b.begin()
		r.walk("users", user("u1", "n", "without a stamp"))
		r.walk("more", at(user("u1", "n", "older"), 19))
		r.finish()
		require.Equal(t, []string{"Update User u1 [n]"}, r.feed())
		b.checkFeed()
	},
	"DeprovisionedUnknownWritesNothing": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", deprovisioned("u1"))
		row := r.finish()
		require.Empty(t, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1}, row.Counts[mesh.User])
		require.Empty(t, b.objects(mesh.User))
	},
	"DeprovisionedLiveIsDeletedAtTheEnd": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", deprovisioned("u1"), user("u2", "n", 2))
		require.Empty(t, r.feed(), "deletes are staged")
		row := r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u1 (deprovisioned)", "Delete User u1 (deprovisioned)"}, r.feed(),
			"the edge goes though the group was not read")
		require.Equal(t, mesh.Counts{Seen: 2, Deleted: 1, Unchanged: 1}, row.Counts[mesh.User])
		require.Equal(t, mesh.Counts{Deleted: 1}, row.Counts[mesh.GroupMember])
		r = b.begin()
		r.walk("users", deprovisioned("u1"))
		r.finish()
		require.Empty(t, r.feed())
		// Reactivated: his edge comes back, though the group was not read again.
		r = b.begin()
		r.walk("users", user("u1", "n", 1))
		r.finish()
		require.Equal(t, []string{"Add User u1", "Add GroupMember g1:u1"}, r.feed())
		b.checkFeed()
	},
	"NewestAnswerOfARunWins": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", at(user("u1"), 1), at(user("u2"), 1))
		r.finish()
		dep := func(id string, second int) mesh.Object { return at(deprovisioned(id), second) }
		r = b.begin()
		r.walk("a", dep("u1", 5), at(user("u1", "n", "late"), 4)) // stays deleted
		r.walk("b", at(user("u2", "n", "late"), 6), dep("u2", 5)) // stays live
		r.walk("c", dep("u3", 5), at(user("u3"), 4))              // was never there
		r.walk("d", dep("u4", 5), at(user("u4"), 6))              // came back
		r.finish()
		require.Equal(t, []string{"u2", "u4"}, b.objects(mesh.User))
		// The Delete's stamp counts in later runs too.
		r = b.begin()
		r.walk("users", at(user("u1"), 4))
		r.finish()
		require.Equal(t, []string{"u2", "u4"}, b.objects(mesh.User))
		b.checkFeed()
	},
	"DeletedHashDoesNotHideAReturn": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", user("u1", "n", 1))
		r.walk("groups", group("g1", "name", "One"))
		r.sweep(map[string]mesh.Reason{"u2": mesh.OutOfScope})
		r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u2 (out-of-scope)", "Delete User u2 (out-of-scope)"}, r.feed())
		r = b.begin()
		r.walk("users", user("u2", "n", 2))
		r.finish()
		require.Equal(t, []string{"Add User u2", "Add GroupMember g1:u2"}, r.feed())
		b.checkFeed()
	},
	"CancelledContextRollsBack": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "me")
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		_, err := b.store.WriteObjects(ctx, r.fence, objectPage("users", 1, true, user("u1")))
		require.True(t, errors.Is(err, ctx.Err()), "%v", err)
		require.Empty(t, b.changes(0))
		require.Zero(t, r.claim("users", "me").Page)
	},
}
