package meshtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// changed writes a page that only tells who changed.
func (r *run) changed(users ...mesh.Object) mesh.Progress {
	r.t.Helper()
	r.claim("changed", "me")
	p := objectPage("changed", 1, true, users...)
	p.Changed = true
	got, err := r.store.WriteObjects(r.ctx, r.fence, p)
	require.NoError(r.t, err)
	return got
}

// membersOnly writes users who count only if a group has them.
func (r *run) membersOnly(users ...mesh.Object) {
	r.t.Helper()
	r.claim("users", "me")
	p := objectPage("users", 1, true, users...)
	p.MembersOnly = true
	_, err := r.store.WriteObjects(r.ctx, r.fence, p)
	require.NoError(r.t, err)
}

// idOnly is a user of whom a page tells no more than that he changed.
func idOnly(id string) mesh.Object { return mesh.Object{Type: mesh.User, OktaID: id} }

var changedTests = map[string]func(t *testing.T, b *bench){
	"ChangedWritesNothingButDeletes": func(t *testing.T, b *bench) {
		b.imported()
		b.mode = "Delta"
		r := b.begin()
		p := r.changed(at(user("u1", "n", 99), 7), idOnly("u9"), deprovisioned("u2"), deprovisioned("u8"))
		require.Equal(t, 4, p.Seen)
		require.Equal(t, at(user(""), 7).Stamp, p.HighWater)
		row, err := b.store.Run(b.ctx, r.id)
		require.NoError(t, err)
		require.Zero(t, row.Counts[mesh.User], "they are counted where they are listed")
		require.Equal(t, 1, row.APICalls)
		r.walk("users", user("u1", "n", 1))
		row = r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u2 (deprovisioned)", "Delete User u2 (deprovisioned)"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Unchanged: 1, Deleted: 1}, row.Counts[mesh.User])
		b.checkFeed()
	},
	"ChangedUsersOutOfScopeAreCandidates": func(t *testing.T, b *bench) {
		b.imported()
		b.mode = "Delta"
		r := b.begin()
		r.changed(user("u1", "n", 2), idOnly("u2"), idOnly("u3"), user("u4"))
		r.walk("users", user("u2", "n", 3), user("u3"))
		for range 2 {
			n, err := b.store.StageChanged(b.ctx, r.fence)
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}
		found, err := b.store.Candidates(b.ctx, r.fence, 0)
		require.NoError(t, err)
		require.Equal(t, []mesh.Candidate{{Type: mesh.User, OktaID: "u1"}}, found)
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u1", Reason: mesh.OutOfScope}}, nil, mesh.Calls{}))
		r.finish()
		require.Equal(t, []string{
			"Update User u2 [n]", "Add User u3", "Delete GroupMember g1:u1 (out-of-scope)", "Delete User u1 (out-of-scope)",
		}, r.feed())
		// The next run does not remember.
		r = b.begin()
		n, err := b.store.StageChanged(b.ctx, r.fence)
		require.NoError(t, err)
		require.Zero(t, n)
		b.checkFeed()
	},
	"AChangedDeleteAndAListing": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", at(user("u1"), 1), at(user("u2"), 1), at(user("u3"), 9))
		r.finish()
		b.mode = "Delta"
		r = b.begin()
		r.changed(at(deprovisioned("u1"), 5), at(deprovisioned("u2"), 5), at(deprovisioned("u3"), 5))
		r.walk("users",
			at(user("u1", "n", "late"), 4), // listed from before
			at(user("u2", "n", "back"), 6), // came back since
		)
		n, err := b.store.StageChanged(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 1, n, "the Delete of u3 was stale: he is looked up")
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u3"}}, nil, mesh.Calls{}))
		r.finish()
		require.Equal(t, []string{"Update User u2 [n]", "Delete User u1 (deprovisioned)"}, r.feed())
		// The Delete's stamp counts in later runs too.
		r = b.begin()
		r.walk("users", at(user("u1"), 4))
		r.finish()
		require.Empty(t, r.feed())
		b.checkFeed()
	},
}

// decideMembers decides without limits, for members of groups only.
func (r *run) decideMembers() {
	r.t.Helper()
	r.scope.UsersInGroupsOnly = true
	_, err := r.store.Decide(r.ctx, r.fence, r.scope, nil)
	require.NoError(r.t, err)
}

var outsideTests = map[string]func(t *testing.T, b *bench){
	"OutsideIsNotInTheMesh": func(t *testing.T, b *bench) {
		r := b.begin()
		r.membersOnly(named("u1", "a@x"), named("u2", "b@x"))
		r.decideMembers()
		row := r.finish()
		require.Empty(t, r.feed())
		require.Equal(t, mesh.Counts{Seen: 2}, row.Counts[mesh.User])
		for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name, All: true}) {
			require.NoError(t, err)
			require.Fail(t, "shown", o.ExternalID)
		}
		for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name, All: true, ID: "u1"}) {
			require.NoError(t, err)
			require.Fail(t, "shown", o.ExternalID)
		}
		live, err := b.store.LiveCounts(b.ctx, b.name)
		require.NoError(t, err)
		require.Zero(t, live[mesh.User])
		// He claims no external id.
		r = b.begin()
		r.walk("users", named("u3", "a@x"))
		r.finish()
		require.Equal(t, []string{"Add User a@x"}, r.feed())
		b.checkFeed()
	},
	"OutsideIsKeptCurrent": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("groups", group("g1"))
		r.members("g1", "u9")
		r.membersOnly(user("u1", "n", 1), user("u9"))
		r.decideMembers()
		r.finish()
		require.Equal(t, []string{"Add Group g1", "Add User u9", "Add GroupMember g1:u9"}, r.feed())
		b.mode = "Delta"
		r = b.begin() // an update, then a stale answer
		r.membersOnly(at(user("u1", "n", 2), 5), at(user("u1", "n", 0), 4), user("u9", "n", 9))
		r.decideMembers()
		r.finish()
		require.Equal(t, []string{"Update User u9 [n]"}, r.feed(), "who is in is updated as ever")
		r = b.begin()
		r.members("g1", "u9", "u1")
		r.decideMembers()
		r.finish()
		require.Equal(t, []string{"Add User u1", "Add GroupMember g1:u1"}, r.feed())
		require.Contains(t, string(b.changes(0)[4].Attributes), `"n":2`)
		b.checkFeed()
	},
	"OutsideLeavesWithoutAWord": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("groups", group("g1"))
		r.membersOnly(user("u1", "n", 1), user("u2", "n", 1))
		r.decideMembers()
		r.finish()
		b.mode = "Delta"
		r = b.begin()
		r.changed(at(deprovisioned("u1"), 5))
		r.membersOnly(at(deprovisioned("u2"), 5))
		row := r.finish()
		require.Equal(t, []string{"Add Group g1"}, b.lines())
		require.Zero(t, row.Counts[mesh.User].Deleted)
		r = b.begin() // they are known no more: nobody brings them in
		r.members("g1", "u1", "u2")
		r.decideMembers()
		r.finish()
		require.Empty(t, r.feed())
		r = b.begin() // one is active again; the group is not read again
		r.membersOnly(at(user("u1", "n", 2), 6))
		r.decideMembers()
		r.finish()
		require.Equal(t, []string{"Add User u1", "Add GroupMember g1:u1"}, r.feed())
		b.checkFeed()
	},
	"OutsideComesInWhenGroupsNoLongerMatter": func(t *testing.T, b *bench) {
		r := b.begin()
		r.membersOnly(user("u1", "n", 1), user("u2", "n", 1))
		r.decideMembers()
		r.finish()
		r = b.begin()
		r.walk("users", user("u1", "n", 1))
		row := r.finish()
		require.Equal(t, []string{"Add User u1"}, r.feed())
		require.Equal(t, mesh.Counts{Seen: 1, Added: 1}, row.Counts[mesh.User])
		b.checkFeed()
	},
	"PurgeForgetsWhoIsOutside": func(t *testing.T, b *bench) {
		r := b.begin()
		r.membersOnly(user("u1"))
		r.decideMembers()
		r.finish()
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.RefuseIfLive))
		_, err := b.store.ApplyConnector(b.ctx, mesh.Connector{Name: b.name, Type: "Okta"})
		require.NoError(t, err)
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.Purge))
		require.Empty(t, b.changes(0))
	},
	"ANewcomerOutsideIsInADerivedEveryone": func(t *testing.T, b *bench) {
		b.derived()
		r := b.begin()
		r.membersOnly(user("u4"))
		r.decideMembers()
		r.finish()
		require.Equal(t, []string{"Add User u4", "Add GroupMember g0:u4"}, r.feed())
		b.checkFeed()
	},
}

// lines is the whole feed in short.
func (b *bench) lines() []string {
	b.t.Helper()
	var all []string
	for _, c := range b.changes(0) {
		all = append(all, line(c))
	}
	return all
}
