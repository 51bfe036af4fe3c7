package meshtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

var watermarkTests = map[string]func(t *testing.T, b *bench){
	"SetWatermark": func(t *testing.T, b *bench) {
		stored := func() mesh.StoredWatermark {
			w, err := b.store.StoredWatermark(b.ctx, b.name)
			require.NoError(t, err)
			return w
		}
		require.Zero(t, stored())
		row := b.commit(mesh.Watermark{Users: mark(1)})
		require.Equal(t, row.RunID, stored().UpdatedBy)
		require.JSONEq(t, `{"u":"2026-04-22T08:01:00.000Z"}`, stored().Text)

		require.NoError(t, b.store.SetWatermark(b.ctx, b.name, ` {"g": "2026-04-22T10:00:00+02:00", "u":"2026-04-20T00:00:00Z"}`, "ada"))
		w := stored()
		require.Equal(t, `{"u":"2026-04-20T00:00:00.000Z","g":"2026-04-22T08:00:00.000Z"}`, w.Text, "as a run would write it")
		require.Equal(t, "ada", w.UpdatedBy)
		require.False(t, w.UpdatedAt.IsZero())

		for _, bad := range []string{"yesterday", `{"u":"yesterday"}`, `{"x":"2026-04-20T00:00:00Z"}`, `{} {}`} {
			require.Error(t, b.store.SetWatermark(b.ctx, b.name, bad, "ada"), bad)
		}
		require.Equal(t, w, stored())
		for _, none := range []string{"", "null", "{}"} {
			require.NoError(t, b.store.SetWatermark(b.ctx, b.name, none, "bob"))
			require.Empty(t, stored().Text)
			require.Equal(t, "bob", stored().UpdatedBy, "who removed it")
		}
		require.Equal(t, &mesh.Watermark{Groups: mark(1)}, b.commit(mesh.Watermark{Groups: mark(1)}).Watermark)
	},
	"SetWatermarkWhileARunWrites": func(t *testing.T, b *bench) {
		r := b.begin()
		err := b.store.SetWatermark(b.ctx, b.name, "", "ada")
		var conflict *mesh.ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Contains(t, conflict.Message, r.id)
		b.end(r.id)
		b.beginFor(shortLease)
		waitOut(t, b)
		require.NoError(t, b.store.SetWatermark(b.ctx, b.name, "", "ada"), "a lease that ran out holds nothing")
		var missing *mesh.NotFoundError
		require.ErrorAs(t, b.store.SetWatermark(b.ctx, "nobody", "", "ada"), &missing)
		_, err = b.store.StoredWatermark(b.ctx, "nobody")
		require.ErrorAs(t, err, &missing)
		_, err = b.store.ReadState(b.ctx, "nobody")
		require.ErrorAs(t, err, &missing)
	},
	"ReadAs": func(t *testing.T, b *bench) {
		read := func() string {
			s, err := b.store.ReadState(b.ctx, b.name)
			require.NoError(t, err)
			return s.ReadAs
		}
		require.Empty(t, read())
		for _, c := range []struct{ as, want string }{{"one", "one"}, {"two", "two"}, {"", "two"}} {
			r := b.begin()
			_, err := b.store.Commit(b.ctx, r.fence, mesh.CommitRun{ReadAs: c.as})
			require.NoError(t, err)
			require.Equal(t, c.want, read(), "a run that read nothing leaves it")
		}
		require.NoError(t, b.store.DeleteConnector(b.ctx, b.name, mesh.KeepObjects))
		require.Empty(t, read())
	},
}
