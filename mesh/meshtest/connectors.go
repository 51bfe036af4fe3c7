package meshtest

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var connectorTests = map[string]func(t *testing.T, b *bench){
	"ConnectorApplyReplaceList": func(t *testing.T, b *bench) {
		got, err := b.store.Connector(b.ctx, "contoso")
		require.NoError(t, err)
		require.JSONEq(t, `{"a":1}`, string(got.ConfigJSON))
		require.JSONEq(t, `{"b":2}`, string(got.AuthJSON))
		require.False(t, got.CreatedAt.IsZero())

		created, err := b.store.ApplyConnector(b.ctx, mesh.Connector{Name: "contoso", Type: "Okta", ConfigJSON: json.RawMessage(`{"a":3}`), AuthJSON: json.RawMessage(`{}`)})
		require.NoError(t, err)
		require.False(t, created)
		created, err = b.store.ApplyConnector(b.ctx, mesh.Connector{Name: "acme", Type: "Okta"})
		require.NoError(t, err)
		require.True(t, created)
		all, err := b.store.ListConnectors(b.ctx)
		require.NoError(t, err)
		require.Len(t, all, 2)
		require.Equal(t, "acme", all[0].Name)
		require.JSONEq(t, `{"a":3}`, string(all[1].ConfigJSON))
	},
	"ConnectorUnknown": func(t *testing.T, b *bench) {
		var missing *mesh.NotFoundError
		_, err := b.store.Connector(b.ctx, "nobody")
		require.ErrorAs(t, err, &missing)
		require.ErrorAs(t, b.store.DeleteConnector(b.ctx, "nobody", mesh.Purge), &missing)
		in := b.beginRun("r", longLease)
		in.Connector = "nobody"
		_, err = b.store.Begin(b.ctx, in)
		require.ErrorAs(t, err, &missing)
	},
	"ConnectorDeleteRefusedWhileLiveOrRunning": func(t *testing.T, b *bench) {
		var conflict *mesh.ConflictError
		r := b.begin()
		require.ErrorAs(t, b.store.DeleteConnector(b.ctx, b.name, mesh.KeepObjects), &conflict)
		r.walk("users", user("u1"))
		r.finish()
		require.ErrorAs(t, b.store.DeleteConnector(b.ctx, b.name, mesh.RefuseIfLive), &conflict)
		require.Contains(t, conflict.Message, "1 users")
	},
	"ConnectorPurge": func(t *testing.T, b *bench) {
		b.imported()
		since := int64(len(b.changes(0)))
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.Purge))
		var lines []string
		for _, c := range b.changes(since) {
			lines = append(lines, line(c))
		}
		require.Equal(t, []string{
			"Delete GroupMember g1:u1 (purged)", "Delete GroupMember g1:u2 (purged)",
			"Delete User u1 (purged)", "Delete User u2 (purged)", "Delete Group g1 (purged)",
		}, lines)
		b.checkFeed()
		all, err := b.store.ListConnectors(b.ctx)
		require.NoError(t, err)
		require.Empty(t, all)
		raw, err := b.store.RawWatermark(b.ctx, b.name)
		require.NoError(t, err)
		require.Empty(t, raw, "what comes back begins with a Full")

		// The evidence is gone: reviving it and importing the users alone gives no edge.
		created, err := b.store.ApplyConnector(b.ctx, mesh.Connector{Name: b.name, Type: "Okta"})
		require.NoError(t, err)
		require.True(t, created)
		r := b.begin()
		r.walk("users", user("u1"), user("u2"))
		r.walk("groups", group("g1"))
		r.finish()
		require.Empty(t, b.objects(mesh.GroupMember))
		b.checkFeed()
	},
	"ConnectorKeepObjects": func(t *testing.T, b *bench) {
		b.imported()
		feed := b.changes(0)
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.KeepObjects))
		require.Equal(t, feed, b.changes(0), "the feed stays readable")
		require.Equal(t, []string{"u1", "u2"}, b.objects(mesh.User))
		var missing *mesh.NotFoundError
		_, err := b.store.Connector(b.ctx, b.name)
		require.ErrorAs(t, err, &missing)
	},
	"ConnectorsDoNotMix": func(t *testing.T, b *bench) {
		b.imported()
		other := newBench(b.ctx, t, b.store, "acme")
		r := other.begin()
		r.walk("users", user("u1", "n", "other"))
		r.members("g1", "u1", "u2")
		r.finish()
		require.Equal(t, []string{"Add User u1"}, r.feed())
		require.EqualValues(t, 1, other.changes(0)[0].Seq)
		r = other.begin()
		r.walk("groups", group("g1"))
		r.finish()
		require.Equal(t, []string{"Add Group g1", "Add GroupMember g1:u1"}, r.feed())
		r = other.begin()
		r.sweep(map[string]mesh.Reason{"u1": mesh.HardDeleted, "g1": mesh.GroupDeleted})
		r.finish()
		require.Empty(t, other.objects(mesh.User))
		require.Equal(t, []string{"u1", "u2"}, b.objects(mesh.User))
		b.checkFeed()
		other.checkFeed()
	},
}

// imported runs an import of two users in one group.
func (b *bench) imported() *run {
	b.t.Helper()
	r := b.begin()
	r.walk("users", user("u1", "n", 1), user("u2", "n", 2))
	r.walk("groups", group("g1", "name", "One"))
	r.members("g1", "u1", "u2")
	r.settle()
	_, err := b.store.Commit(b.ctx, r.fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mark(10), Groups: mark(20)}, UsersFull: true, GroupsFull: true})
	require.NoError(b.t, err)
	return r
}

func testSecrets(t *testing.T, s mesh.Store) {
	ctx := t.Context()
	var missing *mesh.NotFoundError
	_, err := s.GetSecret(ctx, "secret://a")
	require.ErrorAs(t, err, &missing)
	require.ErrorAs(t, s.DeleteSecret(ctx, "secret://a"), &missing)
	require.NoError(t, s.PutSecret(ctx, "secret://b", []byte{0, 1, 2}))
	require.NoError(t, s.PutSecret(ctx, "secret://a", []byte("x")))
	require.NoError(t, s.PutSecret(ctx, "secret://a", []byte("y")))
	got, err := s.GetSecret(ctx, "secret://a")
	require.NoError(t, err)
	require.Equal(t, []byte("y"), got)
	all, err := s.ListSecrets(ctx)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Equal(t, "secret://a", all[0].Ref)
	require.False(t, all[0].UpdatedAt.Before(all[0].CreatedAt))
	done, err := s.ResealSecret(ctx, "secret://a", []byte("x"), []byte("z"))
	require.NoError(t, err)
	require.False(t, done, "it is y by now")
	done, err = s.ResealSecret(ctx, "secret://a", []byte("y"), []byte("z"))
	require.NoError(t, err)
	require.True(t, done)
	got, err = s.GetSecret(ctx, "secret://a")
	require.NoError(t, err)
	require.Equal(t, []byte("z"), got)
	again, err := s.ListSecrets(ctx)
	require.NoError(t, err)
	require.Equal(t, all, again, "the times are the secret's and not the key's")
	done, err = s.ResealSecret(ctx, "secret://c", nil, []byte("z"))
	require.NoError(t, err)
	require.False(t, done, "no such row")
	require.NoError(t, s.DeleteSecret(ctx, "secret://a"))
	_, err = s.GetSecret(ctx, "secret://a")
	require.ErrorAs(t, err, &missing)
}
