package meshtest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// mark is a point of the hour after 2026-04-22T08:00:00Z.
func mark(minute int) *mesh.Mark {
	return mesh.NewMark(time.Date(2026, 4, 22, 8, minute, 0, 0, time.UTC))
}

// commit runs an empty import that ends with w.
func (b *bench) commit(w mesh.Watermark) *mesh.Run {
	b.t.Helper()
	r := b.begin()
	row, err := b.store.Commit(b.ctx, r.fence, b.commitRun(w))
	require.NoError(b.t, err)
	return row
}

var runTests = map[string]func(t *testing.T, b *bench){
	"CommitIsIdempotent": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"))
		r.settle()
		first, err := b.store.Commit(b.ctx, r.fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mark(1)}, UsersFull: true, GroupsFull: true})
		require.NoError(t, err)
		require.Equal(t, mesh.Completed, first.Outcome)
		require.Equal(t, &mesh.Watermark{Users: mark(1)}, first.Watermark)
		require.NotNil(t, first.EndedAt)
		require.GreaterOrEqual(t, first.DurationMs, int64(1000), "from the workflow's start")
		require.Equal(t, "wf-"+r.id, first.WorkflowID)
		again, err := b.store.Commit(b.ctx, r.fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mark(2)}, UsersFull: true, GroupsFull: true})
		require.NoError(t, err)
		require.Equal(t, first, again)
		// Another run may even have come since.
		b.commit(mesh.Watermark{Users: mark(3)})
		again, err = b.store.Commit(b.ctx, r.fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mark(2)}, UsersFull: true, GroupsFull: true})
		require.NoError(t, err)
		require.Equal(t, first, again)
		ended, err := b.store.End(b.ctx, r.id, mesh.Failed, "too late")
		require.NoError(t, err)
		require.Equal(t, first, ended)
	},
	"WatermarkMergesAndNeverMovesBack": func(t *testing.T, b *bench) {
		raw := func() string {
			text, err := b.store.RawWatermark(b.ctx, b.name)
			require.NoError(t, err)
			return text
		}
		require.Empty(t, raw())
		b.mode = "Delta"
		require.Nil(t, b.commit(mesh.Watermark{}).Watermark)
		b.commit(mesh.Watermark{Users: mark(1), Groups: mark(5)})
		require.JSONEq(t, `{"u":"2026-04-22T08:01:00.000Z","g":"2026-04-22T08:05:00.000Z"}`, raw())
		b.commit(mesh.Watermark{Users: mark(2)})
		require.JSONEq(t, `{"u":"2026-04-22T08:02:00.000Z","g":"2026-04-22T08:05:00.000Z"}`, raw())
		row := b.commit(mesh.Watermark{Users: mark(1), Groups: mark(6)})
		require.JSONEq(t, `{"u":"2026-04-22T08:02:00.000Z","g":"2026-04-22T08:06:00.000Z"}`, raw())
		require.Equal(t, &mesh.Watermark{Users: mark(2), Groups: mark(6)}, row.Watermark)
		b.commit(mesh.Watermark{})
		require.JSONEq(t, `{"u":"2026-04-22T08:02:00.000Z","g":"2026-04-22T08:06:00.000Z"}`, raw())
	},
	"AFullReplacesTheWatermark": func(t *testing.T, b *bench) {
		b.mode = "Delta"
		b.commit(mesh.Watermark{Users: mark(9), Groups: mark(9)})
		b.mode = "Full"
		row := b.commit(mesh.Watermark{Users: mark(3)})
		require.Equal(t, &mesh.Watermark{Users: mark(3), Groups: mark(9)}, row.Watermark, "a wrong mark does not outlive a Full; a pass that is off keeps its own")
		r := b.begin()
		row, err := b.store.Commit(b.ctx, r.fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mark(1), Groups: mark(1)}, GroupsFull: true})
		require.NoError(t, err)
		require.Equal(t, &mesh.Watermark{Users: mark(3), Groups: mark(1)}, row.Watermark, "one type alone was walked in full")
	},
	"EndLeavesTheWatermark": func(t *testing.T, b *bench) {
		b.commit(mesh.Watermark{Users: mark(1)})
		r := b.begin()
		r.walk("users", user("u1"))
		row, err := b.store.End(b.ctx, r.id, mesh.Failed, "the reason")
		require.NoError(t, err)
		require.Equal(t, mesh.Failed, row.Outcome)
		require.Equal(t, "the reason", row.Error)
		require.Equal(t, &mesh.Watermark{Users: mark(1)}, row.Watermark)
		require.Equal(t, 1, row.Counts[mesh.User].Added)
		again, err := b.store.End(b.ctx, r.id, mesh.Cancelled, "other")
		require.NoError(t, err)
		require.Equal(t, row, again)
		holder, err := b.store.Holder(b.ctx, b.name)
		require.NoError(t, err)
		require.Empty(t, holder)
		var missing *mesh.NotFoundError
		_, err = b.store.End(b.ctx, "nobody", mesh.Failed, "")
		require.ErrorAs(t, err, &missing)
		var conflict *mesh.ConflictError
		_, err = b.store.End(b.ctx, r.id, "", "")
		require.ErrorAs(t, err, &conflict)
	},
	"RunsNewestFirst": func(t *testing.T, b *bench) {
		for range 3 {
			b.commit(mesh.Watermark{})
		}
		r := b.begin()
		all, err := b.store.Runs(b.ctx, b.name, 0)
		require.NoError(t, err)
		require.Len(t, all, 4)
		require.Equal(t, r.id, all[0].RunID)
		require.Empty(t, all[0].Outcome)
		require.Nil(t, all[0].EndedAt)
		require.Len(t, all[0].Counts, 3)
		all, err = b.store.Runs(b.ctx, b.name, 2)
		require.NoError(t, err)
		require.Len(t, all, 2)
	},
	"RunIDOfAnotherConnector": func(t *testing.T, b *bench) {
		r := b.begin()
		other := newBench(b.ctx, t, b.store, "acme")
		_, err := b.store.Begin(b.ctx, other.beginRun(r.id, longLease))
		var conflict *mesh.ConflictError
		require.ErrorAs(t, err, &conflict)
	},
}

var readTests = map[string]func(t *testing.T, b *bench){
	"ObjectsQuery": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", named("u1", "b@x"), named("u2", "a@x"), user("u3"))
		r.walk("groups", group("g1"), group("g2"))
		r.members("g1", "u2", "u1", "u3")
		r.members("g2", "u1")
		r.finish()
		r = b.begin()
		r.walk("users", deprovisioned("u3"))
		r.finish()
		for name, c := range map[string]struct {
			q    mesh.ObjectQuery
			want []string
		}{
			"all live":       {mesh.ObjectQuery{}, []string{"a@x", "b@x", "g1", "g2", "g1:u1", "g1:u2", "g2:u1"}},
			"deleted too":    {mesh.ObjectQuery{All: true, Type: mesh.User}, []string{"a@x", "b@x", "u3"}},
			"deleted edges":  {mesh.ObjectQuery{All: true, Type: mesh.GroupMember}, []string{"g1:u1", "g1:u2", "g1:u3", "g2:u1"}},
			"limit":          {mesh.ObjectQuery{Limit: 3}, []string{"a@x", "b@x", "g1"}},
			"by external id": {mesh.ObjectQuery{ID: "a@x"}, []string{"a@x"}},
			"by Okta id":     {mesh.ObjectQuery{ID: "u2"}, []string{"a@x"}},
			"an edge":        {mesh.ObjectQuery{ID: "g1:u2"}, []string{"g1:u2"}},
			"nothing":        {mesh.ObjectQuery{ID: "g1:u9"}, []string{}},
		} {
			c.q.Connector = b.name
			got := []string{}
			for o, err := range b.store.Objects(b.ctx, c.q) {
				require.NoError(t, err, name)
				got = append(got, o.ExternalID)
			}
			require.Equal(t, c.want, got, name)
		}
		for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name, ID: "g1:u3", All: true}) {
			require.NoError(t, err)
			require.Equal(t, mesh.StoredObject{
				Type: mesh.GroupMember, ExternalID: "g1:u3", State: mesh.Deleted, Reason: mesh.Deprovisioned,
				Attributes: []byte(`{"groupId":"g1","memberId":"u3","memberType":"User"}`),
			}, o)
		}
		counts, err := b.store.LiveCounts(b.ctx, b.name)
		require.NoError(t, err)
		require.Equal(t, map[mesh.ObjectType]int{mesh.User: 2, mesh.Group: 2, mesh.GroupMember: 3}, counts)
	},
	"ChangesQuery": func(t *testing.T, b *bench) {
		first := b.imported()
		r := b.begin()
		r.walk("users", user("u1", "n", 7))
		r.members("g1", "u1")
		r.finish()
		for name, c := range map[string]struct {
			q    mesh.ChangeQuery
			want []string
		}{
			"since":  {mesh.ChangeQuery{Since: 5}, []string{"Update User u1 [n]", "Delete GroupMember g1:u2 (member-removed)"}},
			"limit":  {mesh.ChangeQuery{Limit: 2}, []string{"Add User u1", "Add User u2"}},
			"object": {mesh.ChangeQuery{ID: "u1"}, []string{"Add User u1", "Update User u1 [n]"}},
			"edge":   {mesh.ChangeQuery{ID: "g1:u2"}, []string{"Add GroupMember g1:u2", "Delete GroupMember g1:u2 (member-removed)"}},
			"run":    {mesh.ChangeQuery{RunID: first.id, ID: "g1"}, []string{"Add Group g1"}},
		} {
			c.q.Connector = b.name
			got := []string{}
			for change, err := range b.store.Changes(b.ctx, c.q) {
				require.NoError(t, err, name)
				got = append(got, line(change))
				require.False(t, change.At.IsZero())
				require.NotEmpty(t, change.RunID)
				require.NotNil(t, change.Changed)
			}
			require.Equal(t, c.want, got, name)
		}
	},
	"UnknownConnector": func(t *testing.T, b *bench) {
		var missing *mesh.NotFoundError
		for _, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: "nobody"}) {
			require.ErrorAs(t, err, &missing)
		}
		for _, err := range b.store.Changes(b.ctx, mesh.ChangeQuery{Connector: "nobody"}) {
			require.ErrorAs(t, err, &missing)
		}
		_, err := b.store.Runs(b.ctx, "nobody", 0)
		require.ErrorAs(t, err, &missing)
		_, err = b.store.LiveCounts(b.ctx, "nobody")
		require.ErrorAs(t, err, &missing)
		_, err = b.store.RawWatermark(b.ctx, "nobody")
		require.ErrorAs(t, err, &missing)
		_, err = b.store.Holder(b.ctx, "nobody")
		require.ErrorAs(t, err, &missing)
	},
	"ReaderSeesOneMomentAndBlocksNobody": func(t *testing.T, b *bench) {
		b.imported()
		n := 0
		for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name}) {
			require.NoError(t, err)
			if n == 0 { // in the middle of reading, a whole run happens
				r := b.begin()
				r.walk("users", deprovisioned("u1"), deprovisioned("u2"), user("u9"))
				r.finish()
				require.Equal(t, []string{"u9"}, b.objects(mesh.User))
			}
			n++
			require.NotEqual(t, "u9", o.ExternalID)
		}
		require.Equal(t, 5, n)
	},
	"ReaderMayStopEarly": func(t *testing.T, b *bench) {
		b.imported()
		for range 50 { // more than any pool of connections
			for _, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name}) {
				require.NoError(t, err)
				break
			}
			for _, err := range b.store.Changes(b.ctx, mesh.ChangeQuery{Connector: b.name}) {
				require.NoError(t, err)
				break
			}
		}
	},
}
