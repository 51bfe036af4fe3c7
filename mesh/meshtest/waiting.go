package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// waiting is a run that asks until it gets the lease.
func (b *bench) waiting(id string, ttl time.Duration) mesh.BeginRun {
	r := b.beginRun(id, ttl)
	r.Wait = true
	return r
}

// refused checks that a run may not begin now and says whom it gives way to.
func (b *bench) refused(r mesh.BeginRun) mesh.LeaseHeldError {
	b.t.Helper()
	_, err := b.store.Begin(b.ctx, r)
	var held *mesh.LeaseHeldError
	require.ErrorAs(b.t, err, &held)
	require.NotEmpty(b.t, held.Error())
	return *held
}

func (b *bench) end(id string) {
	b.t.Helper()
	_, err := b.store.End(b.ctx, id, mesh.Failed, "x")
	require.NoError(b.t, err)
}

var waitingTests = map[string]func(t *testing.T, b *bench){
	"TheWaitingRunGoesFirst": func(t *testing.T, b *bench) {
		r := b.begin()
		held := b.refused(b.waiting("full", longLease))
		require.Equal(t, r.id, held.RunID)
		require.Equal(t, "wf-"+r.id, held.WorkflowID)
		require.Equal(t, "default", held.Namespace)
		require.False(t, held.Waiting)
		// A delta gives way to it while the lease is held and when it is free.
		for range 2 {
			held = b.refused(b.beginRun("delta", longLease))
			require.Equal(t, "full", held.RunID)
			require.True(t, held.Waiting)
			require.True(t, held.Until.After(time.Now()))
			b.end(r.id)
		}
		// So does another run that waits, which may then be the next.
		held = b.refused(b.waiting("second", longLease))
		require.Equal(t, "full", held.RunID)
		require.True(t, held.Waiting)
		_, err := b.store.Begin(b.ctx, b.waiting("full", longLease))
		require.NoError(t, err)
		held = b.refused(b.waiting("second", longLease))
		require.Equal(t, "full", held.RunID)
		require.False(t, held.Waiting)
		b.end("full")
		require.Equal(t, "second", b.refused(b.beginRun("delta", longLease)).RunID)
		_, err = b.store.Begin(b.ctx, b.waiting("second", longLease))
		require.NoError(t, err)
		b.end("second")
		_, err = b.store.Begin(b.ctx, b.beginRun("delta", longLease))
		require.NoError(t, err, "nobody waits any more")
	},
	"TheHolderIsNotDisturbedByWhoWaits": func(t *testing.T, b *bench) {
		r := b.begin()
		b.refused(b.waiting("full", longLease))
		again, err := b.store.Begin(b.ctx, b.beginRun(r.id, longLease))
		require.NoError(t, err)
		require.Equal(t, r.fence, again)
	},
	"WhoStopsAskingIsForgotten": func(t *testing.T, b *bench) {
		r := b.begin()
		b.refused(b.waiting("full", shortLease))
		require.Eventually(t, func() bool { return b.refused(b.beginRun("delta", longLease)).RunID == r.id }, 10*time.Second, time.Millisecond)
		b.refused(b.waiting("full", longLease)) // asks again
		require.Equal(t, "full", b.refused(b.beginRun("delta", longLease)).RunID)
	},
	"EndOfAWaitingRun": func(t *testing.T, b *bench) {
		r := b.begin()
		b.refused(b.waiting("full", longLease))
		_, err := b.store.End(b.ctx, "full", mesh.Cancelled, "by hand")
		var missing *mesh.NotFoundError
		require.ErrorAs(t, err, &missing, "it never began")
		require.Equal(t, r.id, b.refused(b.beginRun("delta", longLease)).RunID)
	},
	"AClosedHolderIsTakenOverAtOnce": func(t *testing.T, b *bench) {
		r := b.begin()
		b.refused(b.waiting("full", longLease))
		next := b.waiting("full", longLease)
		next.Closed = "another"
		b.refused(next)
		next.Closed = r.id
		delta := b.beginRun("delta", longLease)
		delta.Closed = r.id
		require.Equal(t, "full", b.refused(delta).RunID, "not past the run that waits")
		fence, err := b.store.Begin(b.ctx, next)
		require.NoError(t, err)
		require.Greater(t, fence.Token, r.fence.Token)
		dead, err := b.store.Run(b.ctx, r.id)
		require.NoError(t, err)
		require.Equal(t, mesh.Failed, dead.Outcome)
		require.Equal(t, "its workflow was closed in Temporal and run full took over", dead.Error)
		_, err = b.store.Claim(b.ctx, r.fence, "users", "me")
		var fenced *mesh.FencedError
		require.ErrorAs(t, err, &fenced)
	},
	"AnExpiredLeaseIsLeftToWhoWaits": func(t *testing.T, b *bench) {
		dead := b.beginFor(time.Second)
		b.refused(b.waiting("full", longLease))
		waitOut(t, b)
		require.Equal(t, "full", b.refused(b.beginRun("delta", longLease)).RunID)
		_, err := b.store.Begin(b.ctx, b.waiting("full", longLease))
		require.NoError(t, err)
		row, err := b.store.Run(b.ctx, dead.id)
		require.NoError(t, err)
		require.Equal(t, "its lease ran out and run full took over", row.Error)
	},
	"TheNoteAndTheModeOfTheLastBegin": func(t *testing.T, b *bench) {
		first := b.beginRun("r", longLease)
		first.Mode, first.Note = "Auto", ""
		fence, err := b.store.Begin(b.ctx, first)
		require.NoError(t, err)
		first.Mode, first.Note = "Full", "Full: the definition changed"
		again, err := b.store.Begin(b.ctx, first)
		require.NoError(t, err)
		require.Equal(t, fence, again)
		row, err := b.store.Run(b.ctx, "r")
		require.NoError(t, err)
		require.Equal(t, "Full", row.Mode)
		require.Equal(t, "Full: the definition changed", row.Note)
		row, err = b.store.Commit(b.ctx, fence, mesh.CommitRun{})
		require.NoError(t, err)
		require.Equal(t, "Full: the definition changed", row.Note)
	},
	"SkippedRun": func(t *testing.T, b *bench) {
		r := b.begin()
		var first *mesh.Run
		for range 2 {
			row, err := b.store.Skip(b.ctx, b.beginRun("delta", longLease), "gave way to run "+r.id)
			require.NoError(t, err)
			require.Equal(t, mesh.Skipped, row.Outcome)
			require.Equal(t, "gave way to run "+r.id, row.Note)
			require.Empty(t, row.Error)
			require.NotNil(t, row.EndedAt)
			require.Equal(t, "wf-delta", row.WorkflowID)
			if first != nil {
				require.Equal(t, first, row)
			}
			first = row
		}
		ended, err := b.store.End(b.ctx, "delta", mesh.Failed, "later")
		require.NoError(t, err)
		require.Equal(t, first, ended)
		holder, err := b.store.Holder(b.ctx, b.name)
		require.NoError(t, err)
		require.Equal(t, r.id, holder)
		all, err := b.store.Runs(b.ctx, b.name, 0)
		require.NoError(t, err)
		require.Len(t, all, 2)
		var conflict *mesh.ConflictError
		_, err = b.store.Skip(b.ctx, b.beginRun(r.id, longLease), "x")
		require.ErrorAs(t, err, &conflict, "it has begun")
		unknown := b.beginRun("other", longLease)
		unknown.Connector = "nobody"
		var missing *mesh.NotFoundError
		_, err = b.store.Skip(b.ctx, unknown, "x")
		require.ErrorAs(t, err, &missing)
	},
	"ASkippedRunWaitsNoMore": func(t *testing.T, b *bench) {
		r := b.begin()
		b.refused(b.waiting("full", longLease))
		_, err := b.store.Skip(b.ctx, b.beginRun("full", longLease), "x")
		require.NoError(t, err)
		require.Equal(t, r.id, b.refused(b.beginRun("delta", longLease)).RunID)
	},
	"ModeRuns": func(t *testing.T, b *bench) {
		for _, mode := range []string{"Full", "Delta", "Full"} {
			b.mode = mode
			b.commit(mesh.Watermark{})
		}
		full, err := b.store.ModeRuns(b.ctx, b.name, "Full", time.Now().Add(-time.Hour))
		require.NoError(t, err)
		require.Len(t, full, 2)
		require.Equal(t, b.name+"-run-3", full[0].RunID)
		require.Equal(t, b.name+"-run-1", full[1].RunID)
		full, err = b.store.ModeRuns(b.ctx, b.name, "Full", full[0].StartedAt.Add(time.Millisecond))
		require.NoError(t, err)
		require.Empty(t, full)
		var missing *mesh.NotFoundError
		_, err = b.store.ModeRuns(b.ctx, "nobody", "Full", time.Time{})
		require.ErrorAs(t, err, &missing)
	},
}
