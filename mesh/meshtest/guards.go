package meshtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var guardTests = map[string]func(t *testing.T, b *bench){
	"GuardCases": func(t *testing.T, b *bench) {
		for i, c := range []struct {
			live, deletes int
			limits        *mesh.DeleteLimits
			held          bool
		}{
			{200, 20, tenPercent, false},
			{200, 21, tenPercent, true},
			{50, 10, tenPercent, false}, // of a small type ten may go
			{50, 11, tenPercent, true},
			{4, 2, tenPercent, false},
			{4, 3, tenPercent, true},
			{3, 2, tenPercent, true},
			{2, 2, tenPercent, false},
			{1, 1, tenPercent, false},
			{50, 3, &mesh.DeleteLimits{Percent: 10, Most: 2}, true},
			{50, 2, &mesh.DeleteLimits{Percent: 10, Most: 2}, false},
			{50, 1, &mesh.DeleteLimits{Percent: 10, Most: 0}, true},
			{50, 25, &mesh.DeleteLimits{Percent: 100, Most: -1}, false},
			{50, 26, &mesh.DeleteLimits{Percent: 100, Most: -1}, true},
			{50, 50, nil, false},
		} {
			one := newBench(b.ctx, t, b.store, fmt.Sprintf("case%d", i))
			all := people(c.live)
			r := one.begin()
			r.walk("users", all...)
			r.guarded()
			r = one.as("Delta").begin()
			r.walk("users", gone(all[:c.deletes]...)...)
			want := mesh.Decision{Deletes: map[mesh.ObjectType]int{mesh.User: c.deletes}, Held: map[mesh.ObjectType]int{}}
			if c.held {
				want.Deletes, want.Held = want.Held, want.Deletes
			}
			require.Equal(t, want, r.decideBy(c.limits), "%d of %d", c.deletes, c.live)
			row := r.finish()
			require.Equal(t, c.held, row.Outcome == mesh.HeldDeletes)
			require.Equal(t, want.Held[mesh.User], row.Counts[mesh.User].Held)
			require.Len(t, one.objects(mesh.User), c.live-want.Deletes[mesh.User])
			one.checkFeed()
		}
	},
	"NinePercentATickDoesNotPassForEver": func(t *testing.T, b *bench) {
		all := b.staff(100)
		_, row := b.tick(gone(all[:9]...)...)
		require.Equal(t, mesh.Completed, row.Outcome)
		_, row = b.tick(gone(all[9])...)
		require.Equal(t, mesh.Completed, row.Outcome)
		// 10 are gone; 8 more would be 18 of 100 within a day.
		r, row := b.tick(gone(all[10:18]...)...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Len(t, b.held(), 8)
		require.Len(t, b.objects(mesh.User), 90)
		require.Len(t, r.feed(), 8)
		b.checkFeed()
	},
	"TheDeletesOfAFailedRunCount": func(t *testing.T, b *bench) {
		all := b.staff(100)
		r := b.as("Delta").begin()
		r.walk("users", gone(all[:10]...)...)
		r.decideBy(tenPercent)
		r.settle()
		_, err := b.store.End(b.ctx, r.id, mesh.Failed, "crash before the commit")
		require.NoError(t, err)
		_, row := b.tick(gone(all[10])...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
	},
	"EachTypeIsGuardedOnItsOwn": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", people(40)...)
		r.walk("groups", group("g1"), group("g2"), group("g3"))
		r.members("g1", "p000", "p001")
		r.members("g2", "p000")
		r.members("g3", "p001")
		r.guarded()
		r = b.begin()
		r.walk("users", people(39)...)
		r.walk("groups", group("g1"))
		r.members("g1", "p000")
		r.sweep(map[string]mesh.Reason{"p039": mesh.HardDeleted, "g2": mesh.GroupDeleted, "g3": mesh.GroupDeleted})
		require.Equal(t, mesh.Decision{
			Deletes: map[mesh.ObjectType]int{mesh.User: 1, mesh.GroupMember: 1}, Held: map[mesh.ObjectType]int{mesh.Group: 2},
		}, r.decideBy(tenPercent), "edges that follow their group are not counted")
		require.Equal(t, mesh.HeldDeletes, r.finish().Outcome)
		require.Equal(t, []string{"Delete GroupMember g1:p001 (member-removed)", "Delete User p039 (hard-deleted)"}, r.feed())
		require.Equal(t, []string{"g1:p000", "g2:p000", "g3:p001"}, b.objects(mesh.GroupMember), "the edges of held groups are held with them")
		require.Equal(t, []string{"g2", "g3"}, b.held())
		r, row := b.approved(map[string]mesh.Reason{"g2": mesh.GroupDeleted, "g3": mesh.GroupDeleted})
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Len(t, r.feed(), 4)
		require.Equal(t, []string{"g1:p000"}, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
	"DecideStaysWithItsAnswer": func(t *testing.T, b *bench) {
		all := b.staff(30)
		r := b.as("Delta").begin()
		r.walk("users", gone(all[:10]...)...)
		r.members("g1", "p000", "p001", "p002")
		want := r.decideBy(tenPercent)
		require.Equal(t, map[mesh.ObjectType]int{mesh.User: 10}, want.Deletes)
		for {
			res, err := b.store.Settle(b.ctx, r.fence, r.scope, 0)
			require.NoError(t, err)
			require.Equal(t, want, r.decideBy(tenPercent), "after a crash in Settle")
			if res.Done {
				break
			}
		}
		// One more delete is read when the others are written already: it is held.
		r.walk("more", gone(all[10])...)
		require.Equal(t, mesh.Decision{
			Deletes: map[mesh.ObjectType]int{mesh.User: 10}, Held: map[mesh.ObjectType]int{mesh.User: 1},
		}, r.decideBy(tenPercent))
		require.Equal(t, mesh.HeldDeletes, r.finish().Outcome)
		require.Equal(t, []string{"p010"}, b.held())
		b.checkFeed()
	},
	"NothingIsDecidedBeforeTheLookUps": func(t *testing.T, b *bench) {
		b.staff(3)
		r := b.begin()
		_, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		_, err = b.store.Decide(b.ctx, r.fence, r.scope, tenPercent)
		requireConflict(t, err)
	},
	"AHeldSweepSurvivesItsRepetition": func(t *testing.T, b *bench) {
		all := b.staff(30)
		r := b.begin()
		r.walk("users", all[11:]...)
		r.walk("groups", group("g1"))
		r.members("g1")
		verdicts := map[string]mesh.Reason{}
		for _, u := range all[:11] {
			verdicts[u.OktaID] = mesh.HardDeleted
		}
		r.sweep(verdicts)
		want := r.decideBy(tenPercent)
		n, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, want, r.decideBy(tenPercent))
		require.Equal(t, mesh.HeldDeletes, r.finish().Outcome)
		require.Len(t, b.objects(mesh.GroupMember), 2, "the edges of held users are held with them")
		b.checkFeed()
	},
}

// crowd is an org whose one group has n members.
func (b *bench) crowd(n int) []string {
	b.t.Helper()
	all := people(n)
	r := b.as("Full").begin()
	r.walk("users", all...)
	r.walk("groups", group("g1"), group("g2"))
	r.members("g1", oktaIDs(all...)...)
	r.members("g2")
	require.Equal(b.t, mesh.Completed, r.guarded().Outcome)
	return oktaIDs(all...)
}

// relist is a delta that reads g1 again.
func (b *bench) relist(members ...string) (*run, *mesh.Run) {
	b.t.Helper()
	r := b.as("Delta").begin()
	r.members("g1", members...)
	row := r.guarded()
	return r, row
}

var edgeGuardTests = map[string]func(t *testing.T, b *bench){
	"HeldEdges": func(t *testing.T, b *bench) {
		ids := b.crowd(30)
		r, row := b.relist(ids[11:]...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Equal(t, 11, row.Counts[mesh.GroupMember].Held)
		require.Empty(t, r.feed())
		h := b.hold()
		require.Equal(t, map[mesh.ObjectType]int{mesh.GroupMember: 11}, h.Deletes)
		require.Equal(t, map[mesh.ObjectType]int{mesh.GroupMember: 30}, h.Live)
		require.Equal(t, mesh.HeldDelete{Type: mesh.GroupMember, ExternalID: "g1:p000", OktaID: "g1:p000", Reason: mesh.MemberRemoved, RunID: r.id}, h.Sample[0])
		// A delta adds to it; one who is back leaves it; one who is gone takes his edge along.
		r = b.as("Delta").begin()
		r.members("g1", append(ids[12:], ids[0])...)
		r.walk("users", gone(people(2)[1])...)
		row = r.guarded()
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Equal(t, 1, row.Counts[mesh.GroupMember].Held)
		require.Equal(t, []string{"Delete GroupMember g1:p001 (deprovisioned)", "Delete User p001 (deprovisioned)"}, r.feed())
		var want []string
		for _, id := range ids[2:12] {
			want = append(want, "g1:"+id)
		}
		require.Equal(t, want, b.held())
		r, row = b.approved(nil)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, 10, row.Counts[mesh.GroupMember].Deleted)
		require.Equal(t, "Delete GroupMember g1:p002 (member-removed)", r.feed()[0])
		require.Nil(t, b.hold())
		b.checkFeed()
	},
	"HeldEdgesOfARunThatDied": func(t *testing.T, b *bench) {
		ids := b.crowd(30)
		r := b.as("Delta").begin()
		r.members("g1", ids[11:]...)
		require.Equal(t, map[mesh.ObjectType]int{mesh.GroupMember: 11}, r.decideBy(tenPercent).Held)
		r.settle()
		r.walk("users", user("p000", "n", 1))
		require.Equal(t, map[mesh.ObjectType]int{mesh.GroupMember: 11}, r.decideBy(tenPercent).Held, "something was read after the settle")
		r.settle()
		_, err := b.store.End(b.ctx, r.id, mesh.Failed, "crash before the commit")
		require.NoError(t, err)
		require.Nil(t, b.hold())
		_, row := b.tick()
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Len(t, b.held(), 11)
	},
	"RejectedEdges": func(t *testing.T, b *bench) {
		ids := b.crowd(30)
		r, _ := b.relist(ids[11:]...)
		require.NoError(t, b.store.CloseHold(b.ctx, b.name, r.id, mesh.HoldExpired, "time limit"))
		r, row := b.relist(ids[12:]...)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, []string{"Delete GroupMember g1:p011 (member-removed)"}, r.feed())
		full := func(members ...string) (*run, *mesh.Run) {
			r := b.as("Full").begin()
			r.walk("users", people(30)...)
			r.walk("groups", group("g1"), group("g2"))
			r.members("g1", members...)
			r.members("g2")
			row := r.guarded()
			return r, row
		}
		_, row = full(ids[12:]...)
		require.Equal(t, mesh.HeldDeletes, row.Outcome)
		require.Len(t, b.held(), 11)
		r, row = full(ids[2:]...)
		require.Equal(t, mesh.Completed, row.Outcome)
		require.Equal(t, []string{"Delete GroupMember g1:p000 (member-removed)", "Delete GroupMember g1:p001 (member-removed)", "Add GroupMember g1:p011"}, r.feed())
		require.Nil(t, b.hold())
		b.checkFeed()
	},
	"EdgesOfEndsThatAreNotImported": func(t *testing.T, b *bench) {
		list := func(mode string, groups ...string) *run {
			r := b.as(mode).begin()
			r.scope = mesh.Scope{}
			r.claim("groups", "me")
			p := objectPage("groups", 1, true)
			for _, g := range groups {
				p.Objects = append(p.Objects, group(g))
			}
			p.Import, p.Queue = false, &mesh.QueueRule{All: true}
			_, err := b.store.WriteObjects(b.ctx, r.fence, p)
			require.NoError(t, err)
			return r
		}
		ids := oktaIDs(people(20)...)
		r := list("Full", "g1", "g2")
		r.members("g1", ids...)
		r.members("g2", ids[0])
		r.guarded()
		// Half of g1 is deprovisioned, and g2 is gone.
		shown := append([]string{}, ids[12:]...)
		for _, id := range ids[:12] {
			shown = append(shown, id+"!")
		}
		r = list("Full", "g1")
		r.members("g1", shown...)
		r.sweep(map[string]mesh.Reason{"g2": mesh.GroupDeleted})
		require.Equal(t, map[mesh.ObjectType]int{mesh.GroupMember: 13}, r.decideBy(tenPercent).Held)
		require.Equal(t, mesh.HeldDeletes, r.finish().Outcome)
		require.Empty(t, r.feed())
		require.Equal(t, map[mesh.Reason]int{mesh.Deprovisioned: 12, mesh.GroupDeleted: 1}, b.hold().Reasons)
		h := b.hold()
		require.NoError(t, b.store.ApproveHold(b.ctx, b.name, h.RunID, "ann"))
		r = b.as("Approval").begin()
		r.scope = mesh.Scope{}
		n, err := b.store.StageHold(b.ctx, r.fence, h.RunID)
		require.NoError(t, err)
		require.Zero(t, n)
		r.guarded()
		require.Len(t, r.feed(), 13)
		require.Len(t, b.objects(mesh.GroupMember), 8)
		b.checkFeed()
	},
	"AGroupThatIsNoLongerImportedStays": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.scope = mesh.Scope{Users: true}
		r.walk("users", user("u1", "n", 1), user("u2", "n", 2))
		n, err := b.store.StageSweep(b.ctx, r.fence, mesh.Group, false)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.Group, OktaID: "g1", Reason: mesh.GroupDeleted}}, nil, mesh.Calls{}))
		_, err = b.store.Settle(b.ctx, r.fence, r.scope, time.Minute)
		require.NoError(t, err)
		r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u1 (group-deleted)", "Delete GroupMember g1:u2 (group-deleted)"}, r.feed())
		require.Equal(t, []string{"g1"}, b.objects(mesh.Group), "nobody imports groups any more")
		r = b.begin()
		r.scope = mesh.Scope{Users: true}
		n, err = b.store.StageSweep(b.ctx, r.fence, mesh.Group, false)
		require.NoError(t, err)
		require.Zero(t, n, "its edges are gone")
	},
}
