package meshtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// everybody is a BUILT_IN group Everyone whose members changed at stamp.
func everybody(id string, stamp time.Time) mesh.Object {
	o := stamped(id, stamp)
	o.Everyone = true
	return o
}

func (b *bench) derives() bool {
	b.t.Helper()
	s, err := b.store.ReadState(b.ctx, b.name)
	require.NoError(b.t, err)
	return s.DerivesEveryone
}

// derived is a bench whose Full found that u1, u2 and u3 are everyone.
func (b *bench) derived() {
	b.t.Helper()
	r := b.begin()
	r.walk("users", named("u1", "a@x"), user("u2"), user("u3"))
	r.list(mesh.QueueRule{All: true}, minute(20), everybody("g0", minute(10)), stamped("g1", minute(10)))
	r.read("g0", minute(20), "u1", "u2", "u3")
	r.read("g1", minute(20), "u2")
	r.finish()
	require.True(b.t, b.derives())
	b.mode = "Delta"
}

var everyoneTests = map[string]func(t *testing.T, b *bench){
	"WhenEveryoneIsDerived": func(t *testing.T, b *bench) {
		for i, c := range []struct {
			name string
			full func(r *run)
			want bool
		}{
			{"all live users", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)))
				r.members("g0", "u1", "u2")
			}, true},
			{"a deprovisioned member", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)))
				r.members("g0", "u1", "u2", "u9!")
			}, true},
			{"somebody is missing", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)))
				r.members("g0", "u1")
			}, false},
			{"somebody too many", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)))
				r.members("g0", "u1", "u2", "u9")
			}, false},
			{"another one", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)))
				r.members("g0", "u1", "u9")
			}, false},
			{"two of them", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)), everybody("g1", minute(1)))
				r.members("g0", "u1", "u2")
				r.members("g1", "u1", "u2")
			}, false},
			{"not read", func(r *run) { r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1))) }, false},
			{"excluded by the filter", func(r *run) {
				o := everybody("g0", minute(1))
				o.Delete = mesh.OutOfScope
				r.list(mesh.QueueRule{All: true}, minute(1), o)
			}, false},
			{"gone", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), everybody("g0", minute(1)))
				r.claim("members/g0", "me")
				require.NoError(t, b.store.GroupGone(b.ctx, r.fence, pageOf("members/g0", 1, true), "g0"))
				require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.Group, OktaID: "g0", Reason: mesh.GroupDeleted}}, nil, mesh.Calls{}))
			}, false},
			{"an ordinary group", func(r *run) {
				r.list(mesh.QueueRule{All: true}, minute(1), stamped("g0", minute(1)))
				r.members("g0", "u1", "u2")
			}, false},
		} {
			for _, before := range []bool{false, true} { // whatever the Full before it found
				b := newBench(b.ctx, t, b.store, fmt.Sprintf("everyone-%d-%t", i, before))
				if before {
					b.derived()
					b.mode = ""
				}
				r := b.begin()
				r.walk("users", user("u1"), user("u2"))
				c.full(r)
				r.sweep(map[string]mesh.Reason{"u3": mesh.HardDeleted, "g0": mesh.GroupDeleted, "g1": mesh.GroupDeleted})
				r.finish()
				require.Equal(t, c.want, b.derives(), "%s, derived before: %t", c.name, before)
				b.mode = "Delta"
				b.begin().finish()
				require.Equal(t, c.want, b.derives(), "%s: a delta leaves it", c.name)
				b.checkFeed()
			}
		}
	},
	"ANewcomerIsInEveryone": func(t *testing.T, b *bench) {
		b.derived()
		r := b.begin()
		// Everyone's own stamp moves with him, which is no reason to read it.
		p := r.list(mesh.QueueRule{Mark: minute(5), Overlap: 5 * time.Minute}, minute(30), everybody("g0", minute(29)))
		require.Zero(t, p.Queued)
		r.walk("users", user("u4"))
		r.finish()
		require.Equal(t, []string{"Add User u4", "Add GroupMember g0:u4"}, r.feed())
		// He leaves, and comes back.
		r = b.begin()
		r.walk("users", deprovisioned("u4"), deprovisioned("u2"))
		r.finish()
		require.Equal(t, []string{
			"Delete GroupMember g0:u2 (deprovisioned)", "Delete GroupMember g1:u2 (deprovisioned)", "Delete GroupMember g0:u4 (deprovisioned)",
			"Delete User u2 (deprovisioned)", "Delete User u4 (deprovisioned)",
		}, r.feed())
		r = b.begin()
		r.walk("users", user("u4"))
		r.finish()
		require.Equal(t, []string{"Add User u4", "Add GroupMember g0:u4"}, r.feed())
		// One whom only a look-up shows, and one who has to wait for his login.
		r = b.begin()
		r.walk("users", named("u1", "b@x"), named("u5", "a@x"))
		found := user("u6")
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.User, OktaID: "u6", Found: &found}}, nil, mesh.Calls{}))
		r.finish()
		require.Equal(t, []string{
			"Add User u6", "Delete User a@x (renamed)", "Add User b@x", "Add User a@x", "Add GroupMember g0:u5", "Add GroupMember g0:u6",
		}, r.feed()[:6])
		require.Len(t, r.feed(), 6)
		b.checkFeed()
	},
	"ANewcomerWhoIsNotInEveryone": func(t *testing.T, b *bench) {
		b.derived()
		b.mode = ""
		r := b.begin() // a Full whose list lags behind the newcomer
		r.walk("users", named("u1", "a@x"), user("u2"), user("u3"), user("u4"))
		r.list(mesh.QueueRule{All: true}, minute(30), everybody("g0", minute(29)))
		r.read("g0", minute(30), "u1", "u2", "u3")
		r.finish()
		require.Equal(t, []string{"Add User u4"}, r.feed(), "what was read counts")
		require.False(t, b.derives())
		b.mode = "Delta"
		r = b.begin()
		r.list(mesh.QueueRule{Overlap: 5 * time.Minute}, minute(35), everybody("g0", minute(29)))
		require.Equal(t, []string{"g0"}, r.queued(), "it is read again")
		r.walk("users", user("u5"))
		r.finish()
		require.Equal(t, []string{"Add User u5"}, r.feed())
		b.checkFeed()
	},
	"MembershipRefreshReadsEveryoneToo": func(t *testing.T, b *bench) {
		b.derived()
		r := b.begin()
		r.list(mesh.QueueRule{All: true}, minute(30), everybody("g0", minute(10)))
		require.Equal(t, []string{"g0"}, r.queued())
		n, err := b.store.QueueKnown(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	},
	"WithoutUsersNothingIsDerived": func(t *testing.T, b *bench) {
		b.derived()
		r := b.begin()
		r.scope.Users = false
		r.finish()
		require.False(t, b.derives())
	},
	"DeletedConnectorDerivesNothing": func(t *testing.T, b *bench) {
		b.derived()
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.KeepObjects))
		require.False(t, b.derives())
	},
}
