package meshtest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// standing is how the bench's connector stands.
func (b *bench) standing() mesh.Standing {
	b.t.Helper()
	all, err := b.store.Standings(b.ctx)
	require.NoError(b.t, err)
	for _, s := range all {
		if s.Connector == b.name {
			return s
		}
	}
	require.Fail(b.t, "the connector is not listed", b.name)
	return mesh.Standing{}
}

// ends are the runs of a standing by mode and outcome.
func ends(s mesh.Standing) map[string]int {
	n := map[string]int{}
	for _, e := range s.Ends {
		n[e.Mode+" "+string(e.Outcome)] = e.Runs
	}
	return n
}

var standingTests = map[string]func(t *testing.T, b *bench){
	"EmptyStanding": func(t *testing.T, b *bench) {
		s := b.standing()
		require.Empty(t, s.Ends)
		require.Empty(t, s.Running)
		require.Equal(t, map[mesh.ObjectType]mesh.Counts{mesh.User: {}, mesh.Group: {}, mesh.GroupMember: {}}, s.Changes)
		require.Equal(t, map[mesh.ObjectType]int{mesh.User: 0, mesh.Group: 0, mesh.GroupMember: 0}, s.Held)
		require.Zero(t, s.HoldOpened)
		require.Zero(t, s.Watermark)
		require.False(t, s.CreatedAt.IsZero())
	},
	"StandingCountsWhatRunsCameTo": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"), user("u2"))
		s := b.standing()
		require.Contains(t, s.Running, "Full")
		require.Empty(t, s.Ends)
		require.Equal(t, mesh.Counts{Added: 2}, s.Changes[mesh.User], "while it runs")
		r.settle()
		row, err := b.store.Commit(b.ctx, r.fence, b.commitRun(mesh.Watermark{Users: mark(1)}))
		require.NoError(t, err)
		s = b.standing()
		require.Empty(t, s.Running)
		require.Equal(t, []mesh.RunTotal{{Mode: "Full", Outcome: mesh.Completed, Runs: 1, EndedAt: *row.EndedAt, Duration: time.Duration(row.DurationMs) * time.Millisecond}}, s.Ends)
		require.Equal(t, mesh.Counts{Added: 2}, s.Changes[mesh.User], "counted once when it ended")
		require.Equal(t, mesh.Watermark{Users: mark(1)}, s.Watermark)

		_, err = b.store.Commit(b.ctx, r.fence, mesh.CommitRun{})
		require.NoError(t, err)
		b.mode = "Delta"
		r = b.begin()
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "no")
		require.NoError(t, err)
		_, err = b.store.End(b.ctx, r.id, mesh.Failed, "no")
		require.NoError(t, err)
		for range 2 {
			_, err = b.store.Skip(b.ctx, b.beginRun("skipped", longLease), "gave way")
			require.NoError(t, err)
		}
		s = b.standing()
		require.Equal(t, map[string]int{"Full Completed": 1, "Delta Failed": 1, "Delta Skipped": 1}, ends(s), "asking twice counts once")
		require.Equal(t, mesh.Counts{Added: 2}, s.Changes[mesh.User])
	},
	"ASupersededRunIsCountedOnce": func(t *testing.T, b *bench) {
		lost := b.beginFor(shortLease)
		b.beginFor(longLease)
		require.Equal(t, map[string]int{"Full Failed": 1}, ends(b.standing()))
		_, err := b.store.End(b.ctx, lost.id, mesh.Cancelled, "")
		require.NoError(t, err)
		require.Equal(t, map[string]int{"Full Failed": 1}, ends(b.standing()))
	},
	"StandingShowsTheHold": func(t *testing.T, b *bench) {
		b.tick(gone(b.staff(30)[:11]...)...)
		s, h := b.standing(), b.hold()
		require.Equal(t, h.Deletes[mesh.User], s.Held[mesh.User])
		require.Positive(t, s.Held[mesh.User])
		require.Equal(t, h.OpenedAt, s.HoldOpened)
		require.Equal(t, h.ExpiresAt, s.HoldExpires)
		require.NoError(t, b.store.CloseHold(b.ctx, b.name, h.RunID, mesh.HoldRejected, "me"))
		s = b.standing()
		require.Zero(t, s.Held[mesh.User])
		require.Zero(t, s.HoldExpires)
	},
	"StandingsLeaveOutShadowsAndTheDeleted": func(t *testing.T, b *bench) {
		b.commit(mesh.Watermark{})
		shadow := b.shadow("dry")
		shadow.commit(mesh.Watermark{})
		other := newBench(b.ctx, t, b.store, "other")
		all, err := b.store.Standings(b.ctx)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.Equal(t, "contoso", all[0].Connector)
		require.Equal(t, map[string]int{"Full Completed": 1}, ends(all[0]))
		require.NoError(t, b.store.DropShadow(b.ctx, shadow.name))
		require.NoError(t, b.store.DeleteConnector(b.ctx, other.name, mesh.Purge))
		all, err = b.store.Standings(b.ctx)
		require.NoError(t, err)
		require.Len(t, all, 1)
	},
}

// follow is a follower that another process may relieve after a moment or never.
func follow(owner string, ttl time.Duration) mesh.Follow {
	return mesh.Follow{Follower: "pager", Owner: owner, TTL: ttl, MaxAge: time.Hour}
}

// told is what the follower is handed next.
func (b *bench) told(f mesh.Follow) *mesh.EndedRun {
	b.t.Helper()
	e, err := b.store.ClaimEnded(b.ctx, f)
	require.NoError(b.t, err)
	return e
}

// fails begins a run and fails it.
func (b *bench) fails() *run {
	b.t.Helper()
	r := b.begin()
	_, err := b.store.End(b.ctx, r.id, mesh.Failed, "no")
	require.NoError(b.t, err)
	return r
}

var followTests = map[string]func(t *testing.T, b *bench){
	"AFollowerIsToldOfEachEndedRunOnce": func(t *testing.T, b *bench) {
		me := follow("me", longLease)
		require.Nil(t, b.told(me))
		failed := b.fails()
		again := b.fails()
		_, err := b.store.Skip(b.ctx, b.beginRun("skipped", longLease), "gave way")
		require.NoError(t, err)
		good := b.commit(mesh.Watermark{})
		running := b.begin()
		for i, want := range []struct {
			id     string
			before int
		}{{failed.id, 0}, {again.id, 1}, {"skipped", 2}, {good.RunID, 2}} {
			e := b.told(me)
			require.NotNil(t, e, i)
			require.Equal(t, want.id, e.Run.RunID)
			require.Equal(t, want.before, e.FailedBefore, want.id)
			require.Zero(t, e.Attempts)
			require.NoError(t, b.store.PassEnded(b.ctx, e))
		}
		require.Nil(t, b.told(me), "the next run has not ended")
		running.settle()
		require.Equal(t, running.finish().RunID, b.told(me).Run.RunID)
		require.Equal(t, failed.id, b.told(mesh.Follow{Follower: "mail", Owner: "me", TTL: longLease, MaxAge: time.Hour}).Run.RunID, "another follower has its own place")
	},
	"OneOwnerTells": func(t *testing.T, b *bench) {
		b.fails()
		first := b.told(follow("me", longLease))
		require.NotNil(t, first)
		require.Nil(t, b.told(follow("you", longLease)), "it is in hand")
		require.Nil(t, b.told(follow("me", longLease)))
		require.NoError(t, b.store.PutBackEnded(b.ctx, first, 0))
		second := b.told(follow("you", shortLease))
		require.Equal(t, first.Run, second.Run)
		require.Equal(t, 1, second.Attempts)
		var third *mesh.EndedRun
		for third == nil { // you died
			third = b.told(follow("me", longLease))
		}
		require.Equal(t, first.Run, third.Run)
		require.ErrorAs(t, b.store.PassEnded(b.ctx, second), new(*mesh.ConflictError))
		require.ErrorAs(t, b.store.PutBackEnded(b.ctx, second, 0), new(*mesh.ConflictError))
		require.NoError(t, b.store.PutBackEnded(b.ctx, third, time.Hour))
		require.Nil(t, b.told(follow("you", longLease)), "not before its time")
	},
	"ManyOwnersTellOnce": func(t *testing.T, b *bench) {
		const runs = 8
		for range runs {
			b.fails()
		}
		var mu sync.Mutex
		var told []string
		var wg sync.WaitGroup
		for _, owner := range []string{"a", "b", "c"} {
			wg.Go(func() {
				for {
					mu.Lock()
					done := len(told) >= runs
					mu.Unlock()
					if done {
						return
					}
					e, err := b.store.ClaimEnded(b.ctx, follow(owner, longLease))
					if err != nil {
						t.Error(err)
						return
					}
					if e == nil {
						continue // somebody has it in hand; each look is a transaction
					}
					mu.Lock()
					told = append(told, e.Run.RunID)
					mu.Unlock()
					if err := b.store.PassEnded(b.ctx, e); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		want, err := b.store.Runs(b.ctx, b.name, 0)
		require.NoError(t, err)
		require.Len(t, told, runs)
		for i, id := range told {
			require.Equal(t, want[runs-1-i].RunID, id, "in order")
		}
	},
	"OldNewsIsPassedOver": func(t *testing.T, b *bench) {
		old := b.fails()
		late := mesh.Follow{Follower: "late", Owner: "me", TTL: longLease, MaxAge: -time.Hour}
		require.Nil(t, b.told(late))
		late.MaxAge = time.Hour
		require.Nil(t, b.told(late), "its place moved on")
		fresh := b.fails()
		e := b.told(late)
		require.Equal(t, fresh.id, e.Run.RunID)
		require.Equal(t, 1, e.FailedBefore)
		require.Equal(t, old.id, b.told(follow("me", longLease)).Run.RunID)
	},
	"NobodyIsToldOfDryRuns": func(t *testing.T, b *bench) {
		b.shadow("dry").fails()
		require.Nil(t, b.told(follow("me", longLease)))
	},
}
