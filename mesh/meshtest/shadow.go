package meshtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// shadow makes a copy for a dry run and returns a bench of it.
func (b *bench) shadow(runID string) *bench {
	b.t.Helper()
	name, err := b.store.Shadow(b.ctx, b.name, runID)
	require.NoError(b.t, err)
	again, err := b.store.Shadow(b.ctx, b.name, runID)
	require.NoError(b.t, err)
	require.Equal(b.t, name, again)
	return &bench{t: b.t, ctx: b.ctx, store: b.store, name: name, mode: b.mode}
}

// all is everything that readers see of a connector.
func (b *bench) all() []any {
	b.t.Helper()
	var seen []any
	for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name, All: true}) {
		require.NoError(b.t, err)
		seen = append(seen, o)
	}
	for _, c := range b.changes(0) {
		seen = append(seen, c)
	}
	runs, err := b.store.Runs(b.ctx, b.name, 0)
	require.NoError(b.t, err)
	stored, err := b.store.StoredWatermark(b.ctx, b.name)
	require.NoError(b.t, err)
	state, err := b.store.ReadState(b.ctx, b.name)
	require.NoError(b.t, err)
	return append(seen, runs, stored, state)
}

// eventful is a run with something of everything, over what derived leaves behind.
func eventful(b *bench) *mesh.Run {
	b.t.Helper()
	r := b.begin()
	r.walk("users", named("u1", "b@x"), deprovisioned("u2"), user("u3", "n", 3), user("u4"))
	p := r.list(mesh.QueueRule{Overlap: 5 * time.Minute}, minute(30), everybody("g0", minute(29)), stamped("g1", minute(29)), group("g2"))
	require.Equal(b.t, 2, p.Queued)
	require.Equal(b.t, []string{"g1", "g2"}, r.queued())
	r.read("g1", minute(30), "u3")
	r.read("g2", minute(30), "u1", "u4")
	r.settle()
	row, err := b.store.Commit(b.ctx, r.fence, b.commitRun(mesh.Watermark{Users: mark(40)}))
	require.NoError(b.t, err)
	return row
}

var shadowTests = map[string]func(t *testing.T, b *bench){
	"ADryRunDoesWhatTheRunWillDo": func(t *testing.T, b *bench) {
		b.derived()
		require.NoError(t, b.store.SetWatermark(b.ctx, b.name, `{"u":"2026-04-22T08:01:00.000Z","g":"2026-04-22T08:02:00.000Z"}`, "ada"))
		before := b.all()
		s := b.shadow("dry-1")
		require.Equal(t, b.objects(mesh.GroupMember), s.objects(mesh.GroupMember))
		require.Equal(t, b.objects(mesh.User), s.objects(mesh.User))
		require.Empty(t, s.changes(0))
		require.True(t, s.derives())
		was, err := b.store.Connector(b.ctx, b.name)
		require.NoError(t, err)
		copied, err := b.store.Connector(b.ctx, s.name)
		require.NoError(t, err)
		require.Equal(t, was.ConfigJSON, copied.ConfigJSON)
		require.Equal(t, was.AuthJSON, copied.AuthJSON)
		require.Equal(t, was.Type, copied.Type)
		raw, err := b.store.RawWatermark(b.ctx, s.name)
		require.NoError(t, err)
		require.JSONEq(t, `{"u":"2026-04-22T08:01:00.000Z","g":"2026-04-22T08:02:00.000Z"}`, raw)

		dry := eventful(s)
		all, err := b.store.ListConnectors(b.ctx)
		require.NoError(t, err)
		require.Len(t, all, 1)
		again, err := b.store.Run(b.ctx, dry.RunID)
		require.NoError(t, err)
		require.Equal(t, dry, again, "until it is dropped")
		require.Equal(t, before, b.all(), "nothing is written to the connector")
		feed := s.lines()
		for range 2 {
			require.NoError(t, b.store.DropShadow(b.ctx, s.name))
		}
		require.Equal(t, before, b.all())
		var missing *mesh.NotFoundError
		_, err = b.store.Run(b.ctx, dry.RunID)
		require.ErrorAs(t, err, &missing)
		_, err = b.store.Connector(b.ctx, s.name)
		require.ErrorAs(t, err, &missing)

		from := len(b.changes(0))
		row := eventful(b)
		require.Equal(t, dry.Counts, row.Counts)
		require.Equal(t, dry.Watermark, row.Watermark)
		require.Equal(t, feed, b.lines()[from:])
		b.checkFeed()
	},
	"ADryRunKnowsWhatIsHeld": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"), user("u2"), user("u3"), user("u4"))
		r.finish()
		b.mode = "Delta"
		limits := &mesh.DeleteLimits{Percent: 10, Most: -1}
		delta := func(b *bench, deleted ...string) *mesh.Run {
			r := b.begin()
			var users []mesh.Object
			for _, id := range deleted {
				users = append(users, deprovisioned(id))
			}
			r.walk("users", users...)
			_, err := b.store.Decide(b.ctx, r.fence, r.scope, limits)
			require.NoError(t, err)
			return r.finish()
		}
		require.Equal(t, mesh.Completed, delta(b, "u1").Outcome)
		require.Equal(t, mesh.HeldDeletes, delta(b, "u2", "u3").Outcome, "with u1, who went today")
		held, err := b.store.Hold(b.ctx, b.name, 10)
		require.NoError(t, err)
		for i, deleted := range [][]string{{"u2", "u3"}, {"u2", "u3", "u4"}} {
			s := b.shadow(fmt.Sprint("dry", i))
			copied, err := b.store.Hold(b.ctx, s.name, 10)
			require.NoError(t, err)
			require.Equal(t, held.Deletes, copied.Deletes)
			require.Equal(t, held.Live, copied.Live)
			require.Equal(t, held.ExpiresAt, copied.ExpiresAt)
			dry := delta(s, deleted...)
			require.NoError(t, b.store.DropShadow(b.ctx, s.name))
			row := delta(b, deleted...)
			require.Equal(t, row.Counts, dry.Counts)
			require.Equal(t, row.Outcome, dry.Outcome)
			held, err = b.store.Hold(b.ctx, b.name, 10)
			require.NoError(t, err)
			require.Len(t, held.Sample, len(deleted))
		}
		require.Equal(t, []string{"u2", "u3", "u4"}, b.objects(mesh.User))
	},
	"ADryRunWhileARunWrites": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("users", deprovisioned("u1"), user("u2", "n", 2), user("u3"))
		res, err := b.store.Settle(b.ctx, r.fence, r.scope, 0) // half way
		require.NoError(t, err)
		require.False(t, res.Done)
		s := b.shadow("dry-1")
		d := s.begin()
		d.walk("users", user("u1", "n", 1), user("u3"))
		d.walk("groups", group("g1", "name", "One"))
		d.members("g1", "u1", "u2", "u3")
		d.finish()
		require.Equal(t, []string{"g1:u1", "g1:u2", "g1:u3"}, s.objects(mesh.GroupMember))
		r.finish()
		require.Equal(t, []string{"u2", "u3"}, b.objects(mesh.User))
		require.NoError(t, b.store.DropShadow(b.ctx, s.name))
		b.checkFeed()
	},
	"ShadowsOfLostDryRunsAreDropped": func(t *testing.T, b *bench) {
		b.imported()
		dead, alive, fresh := b.shadow("dead"), b.shadow("alive"), b.shadow("fresh")
		d := dead.beginFor(shortLease)
		d.walk("users", user("u9"))
		a := alive.begin()
		a.walk("users", user("u9"))
		var missing *mesh.NotFoundError
		require.Eventually(t, func() bool {
			next := b.shadow("next")
			require.NoError(t, b.store.DropShadow(b.ctx, next.name))
			_, err := b.store.Connector(b.ctx, dead.name)
			return err != nil
		}, 10*time.Second, time.Millisecond)
		_, err := b.store.Run(b.ctx, d.id)
		require.ErrorAs(t, err, &missing)
		var fenced *mesh.FencedError
		_, err = b.store.Claim(b.ctx, d.fence, "groups", "me")
		require.ErrorAs(t, err, &fenced)
		_, err = b.store.Connector(b.ctx, fresh.name)
		require.NoError(t, err, "its run may still come")
		a.finish()
	},
	"ShadowRefuses": func(t *testing.T, b *bench) {
		var missing *mesh.NotFoundError
		_, err := b.store.Shadow(b.ctx, "nobody", "dry")
		require.ErrorAs(t, err, &missing)
		var conflict *mesh.ConflictError
		_, err = b.store.Shadow(b.ctx, b.name, "")
		require.ErrorAs(t, err, &conflict)
		s := b.shadow("dry")
		_, err = b.store.Shadow(b.ctx, s.name, "dry")
		require.ErrorAs(t, err, &conflict)
		require.ErrorAs(t, b.store.DropShadow(b.ctx, b.name), &conflict)
		require.ErrorAs(t, b.store.DeleteConnector(b.ctx, s.name, mesh.Purge), &missing)
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.Purge))
		_, err = b.store.Connector(b.ctx, s.name)
		require.ErrorAs(t, err, &missing, "it goes with its connector")
		require.NoError(t, b.store.DropShadow(b.ctx, "nobody"))
	},
}
