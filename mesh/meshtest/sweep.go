package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var sweepTests = map[string]func(t *testing.T, b *bench){
	"SweepStagesWhatWasNotSeen": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", user("u1", "n", 1))
		r.walk("groups", group("g1", "name", "One"))
		for range 2 {
			n, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			found, err := b.store.Candidates(b.ctx, r.fence, 10)
			require.NoError(t, err)
			require.Equal(t, []mesh.Candidate{{Type: mesh.User, OktaID: "u2"}}, found)
		}
		n, err := b.store.StageSweep(b.ctx, r.fence, mesh.Group, true)
		require.NoError(t, err)
		require.Zero(t, n)
		_, err = b.store.Settle(b.ctx, r.fence, r.scope, time.Second)
		var conflict *mesh.ConflictError
		require.ErrorAs(t, err, &conflict, "nobody looked the candidate up")
		for range 2 {
			require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u2", Reason: mesh.HardDeleted}}, nil, mesh.Calls{API: 1}))
		}
		n, err = b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		require.Zero(t, n, "resolved stays resolved")
		row := r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u2 (hard-deleted)", "Delete User u2 (hard-deleted)"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Deleted: 1, Unchanged: 1}, row.Counts[mesh.User])
		b.checkFeed()
	},
	"AnUnfinishedWalkIsIncomplete": func(t *testing.T, b *bench) {
		r := b.begin()
		var incomplete *mesh.IncompleteError
		check := func() error { return b.store.CheckComplete(b.ctx, r.fence, []string{"users", "groups"}) }
		require.ErrorAs(t, check(), &incomplete)
		require.Equal(t, "users", incomplete.What)
		r.walk("users", user("u1"))
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", "u1")
		r.memberPage("g2", 1, false, "u1")
		require.ErrorAs(t, check(), &incomplete)
		require.Contains(t, incomplete.What, "1 groups")
		r.memberPage("g2", 2, true)
		require.NoError(t, check())
	},
	"AcquittalsAreCountedOnce": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", user("u1", "n", 1))
		r.walk("groups", group("g1", "name", "One"))
		_, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		for range 2 { // the answer to the first was lost
			require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u2"}}, nil, mesh.Calls{}))
		}
		n, err := b.store.Acquitted(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 1, n[mesh.User])
		require.Zero(t, n[mesh.Group])
	},
	"AcquittedIsUpdatedAndKept": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("groups", group("g1", "name", "One"))
		_, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		found := user("u1", "n", "found")
		for range 2 {
			require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{
				{Type: mesh.User, OktaID: "u1", Found: &found}, {Type: mesh.User, OktaID: "u2"},
			}, nil, mesh.Calls{}))
		}
		left, err := b.store.Candidates(b.ctx, r.fence, 10)
		require.NoError(t, err)
		require.Empty(t, left)
		n, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		require.Zero(t, n, "acquitted counts as seen")
		row := r.finish()
		require.Equal(t, []string{"Update User u1 [n]"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 2, Updated: 1, Unchanged: 1}, row.Counts[mesh.User])
		b.checkFeed()
	},
	"SeenAfterTheSweepIsNoCandidate": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		_, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		r.walk("users", user("u1", "n", 1))
		found, err := b.store.Candidates(b.ctx, r.fence, 10)
		require.NoError(t, err)
		require.Equal(t, []mesh.Candidate{{Type: mesh.User, OktaID: "u2"}}, found)
	},
	"StaleAnswerAfterTheSweepAcquits": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", at(user("u1"), 2))
		r.finish()
		r = b.begin()
		_, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		r.walk("users", at(user("u1"), 1))
		row := r.finish()
		require.Empty(t, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Unchanged: 1}, row.Counts[mesh.User])
	},
	"VerdictOnTheUnstagedChangesNothing": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u1", Reason: mesh.HardDeleted}}, nil, mesh.Calls{}))
		r.finish()
		require.Empty(t, r.feed())
	},
	"CandidateLimit": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		for _, typ := range []mesh.ObjectType{mesh.User, mesh.Group} {
			_, err := b.store.StageSweep(b.ctx, r.fence, typ, true)
			require.NoError(t, err)
		}
		found, err := b.store.Candidates(b.ctx, r.fence, 2)
		require.NoError(t, err)
		require.Len(t, found, 2)
		again, err := b.store.Candidates(b.ctx, r.fence, 2)
		require.NoError(t, err)
		require.Equal(t, found, again)
		_, err = b.store.StageSweep(b.ctx, r.fence, mesh.GroupMember, true)
		var conflict *mesh.ConflictError
		require.ErrorAs(t, err, &conflict)
	},
	"StagedDeletesOfAFailedRunAreForgotten": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.sweep(map[string]mesh.Reason{"u1": mesh.HardDeleted, "u2": mesh.HardDeleted, "g1": mesh.GroupDeleted})
		_, err := b.store.End(b.ctx, r.id, mesh.Failed, "x")
		require.NoError(t, err)
		r = b.begin()
		r.finish()
		require.Empty(t, r.feed())
		require.Equal(t, []string{"u1", "u2"}, b.objects(mesh.User))
	},
}
