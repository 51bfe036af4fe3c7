package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var leaseTests = map[string]func(t *testing.T, b *bench){
	"BeginIsIdempotent": func(t *testing.T, b *bench) {
		r := b.begin()
		again, err := b.store.Begin(b.ctx, b.beginRun(r.id, longLease))
		require.NoError(t, err)
		require.Equal(t, r.fence, again)
		holder, err := b.store.Holder(b.ctx, b.name)
		require.NoError(t, err)
		require.Equal(t, r.id, holder)
	},
	"BeginHeldByAnother": func(t *testing.T, b *bench) {
		r := b.begin()
		_, err := b.store.Begin(b.ctx, b.beginRun("other", longLease))
		var held *mesh.LeaseHeldError
		require.ErrorAs(t, err, &held)
		require.Equal(t, r.id, held.RunID)
		require.Equal(t, "wf-"+r.id, held.WorkflowID)
		require.True(t, held.Until.After(time.Now()))
		_, err = b.store.Run(b.ctx, "other")
		var missing *mesh.NotFoundError
		require.ErrorAs(t, err, &missing, "a refused run leaves no row")
	},
	"BeginOfAnEndedRun": func(t *testing.T, b *bench) {
		r := b.begin()
		_, err := b.store.End(b.ctx, r.id, mesh.Failed, "x")
		require.NoError(t, err)
		_, err = b.store.Begin(b.ctx, b.beginRun(r.id, longLease))
		var conflict *mesh.ConflictError
		require.ErrorAs(t, err, &conflict)
	},
	"TokensGrow": func(t *testing.T, b *bench) {
		var last int64
		for range 3 {
			r := b.begin()
			require.Greater(t, r.fence.Token, last)
			last = r.fence.Token
			_, err := b.store.End(b.ctx, r.id, mesh.Failed, "x")
			require.NoError(t, err)
		}
	},
	"ExpiredLeaseStillWritesUntilTaken": func(t *testing.T, b *bench) {
		r := b.beginFor(shortLease)
		waitOut(t, b)
		r.walk("users", user("u1"))
		r.finish()
	},
	"RenewKeepsOthersOut": func(t *testing.T, b *bench) {
		r := b.beginFor(shortLease)
		require.NoError(t, b.store.Renew(b.ctx, r.fence, longLease))
		r.walk("users", user("u1")) // a page must not shorten it
		_, err := b.store.Begin(b.ctx, b.beginRun("other", longLease))
		var held *mesh.LeaseHeldError
		require.ErrorAs(t, err, &held)
		require.True(t, held.Until.After(time.Now().Add(longLease/2)))
	},
	"ZombieIsFenced": func(t *testing.T, b *bench) {
		old := b.beginFor(shortLease)
		old.walk("users", user("u1"))
		old.claim("groups", "me")
		r := b.begin() // takes over
		feed := b.changes(0)
		for name, call := range old.everyCall() {
			var fenced *mesh.FencedError
			require.ErrorAs(t, call(), &fenced, name)
			require.Equal(t, r.id, fenced.Holder, name)
		}
		_, err := b.store.Begin(b.ctx, b.beginRun(old.id, longLease))
		var held *mesh.LeaseHeldError
		require.ErrorAs(t, err, &held)
		require.Equal(t, feed, b.changes(0))

		dead, err := b.store.Run(b.ctx, old.id)
		require.NoError(t, err)
		require.Equal(t, mesh.Failed, dead.Outcome)
		require.Contains(t, dead.Error, r.id)
		// Its own End may still come, says how it really ended, and frees nothing.
		dead, err = b.store.End(b.ctx, old.id, mesh.Cancelled, "by hand")
		require.NoError(t, err)
		require.Equal(t, mesh.Cancelled, dead.Outcome)
		holder, err := b.store.Holder(b.ctx, b.name)
		require.NoError(t, err)
		require.Equal(t, r.id, holder)
	},
	"FencedAfterEnd": func(t *testing.T, b *bench) {
		r := b.begin()
		_, err := b.store.End(b.ctx, r.id, mesh.Cancelled, "")
		require.NoError(t, err)
		for name, call := range r.everyCall() {
			var fenced *mesh.FencedError
			require.ErrorAs(t, call(), &fenced, name)
		}
	},
	"DeadRunLeavesNothingToItsSuccessor": func(t *testing.T, b *bench) {
		old := b.beginFor(shortLease)
		old.walk("groups", group("g1"))
		old.claim("users", "me")
		_, err := b.store.WriteObjects(b.ctx, old.fence, objectPage("users", 1, false, user("u1")))
		require.NoError(t, err)
		r := b.begin()
		require.Equal(t, mesh.Progress{Stream: "users"}, r.claim("users", "me"))
		require.Empty(t, r.claimGroups("me"))
		n, err := b.store.StageSweep(b.ctx, r.fence, mesh.User, true)
		require.NoError(t, err)
		require.Equal(t, 1, n, "what the dead run saw is not seen")
	},
}

// waitOut returns once nobody holds the bench's lease.
func waitOut(t *testing.T, b *bench) {
	t.Helper()
	require.Eventually(t, func() bool {
		holder, err := b.store.Holder(b.ctx, b.name)
		return err == nil && holder == ""
	}, 10*time.Second, time.Millisecond)
}

// everyCall is each method that takes a fence.
func (r *run) everyCall() map[string]func() error {
	ctx, s, f := r.ctx, r.store, r.fence
	return map[string]func() error{
		"Renew":         func() error { return s.Renew(ctx, f, time.Second) },
		"Claim":         func() error { _, err := s.Claim(ctx, f, "users", "me"); return err },
		"RecordFailure": func() error { _, err := s.RecordFailure(ctx, f, "groups", "me", mesh.Calls{}); return err },
		"RecordCalls":   func() error { return s.RecordCalls(ctx, f, mesh.Calls{API: 1}) },
		"WriteObjects": func() error {
			_, err := s.WriteObjects(ctx, f, objectPage("groups", 1, true, group("g1")))
			return err
		},
		"WriteMembers": func() error {
			_, err := s.WriteMembers(ctx, f, mesh.MemberPage{Page: pageOf("groups", 1, true), GroupID: "g1"})
			return err
		},
		"GroupGone": func() error { return s.GroupGone(ctx, f, pageOf("groups", 1, true), "g1") },
		"ClaimGroups": func() error {
			_, err := s.ClaimGroups(ctx, f, mesh.ClaimGroups{Lane: 1, Prefix: "members/", Owner: "me"})
			return err
		},
		"QueueKnown":       func() error { _, err := s.QueueKnown(ctx, f); return err },
		"CheckComplete":    func() error { return s.CheckComplete(ctx, f, nil) },
		"Acquitted":        func() error { _, err := s.Acquitted(ctx, f); return err },
		"StageSweep":       func() error { _, err := s.StageSweep(ctx, f, mesh.User, true); return err },
		"Candidates":       func() error { _, err := s.Candidates(ctx, f, 1); return err },
		"Resolve":          func() error { return s.Resolve(ctx, f, nil, nil, mesh.Calls{}) },
		"CheckExternalIDs": func() error { return s.CheckExternalIDs(ctx, f) },
		"Settle":           func() error { _, err := s.Settle(ctx, f, r.scope, time.Second); return err },
		"Commit": func() error {
			_, err := s.Commit(ctx, f, mesh.CommitRun{Watermark: mesh.Watermark{}, UsersFull: true, GroupsFull: true})
			return err
		},
	}
}
