package meshtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// wishBench is a connector whose user u2 keeps the login bob@x, because his Delete is
// held, so that u1, who is ann@x in the mesh, waits for it. u4 is dan@x.
type wishBench struct {
	*bench
	has     map[string]mesh.Object // Okta's users as they are now
	unasked bool                   // nobody is looked up for the external id's sake
}

func newWishBench(b *bench) *wishBench {
	b.t.Helper()
	w := &wishBench{bench: b, has: map[string]mesh.Object{}}
	w.ticks(at(named("u1", "ann@x"), 1), at(named("u2", "bob@x"), 1), at(named("u4", "dan@x"), 1))
	require.ElementsMatch(b.t, []string{"ann@x", "bob@x", "dan@x"}, b.objects(mesh.User))
	require.Empty(b.t, w.ticks(at(left("u2", "bob@x"), 2), at(named("u1", "bob@x"), 2)))
	require.Equal(b.t, []string{"u2"}, b.held())
	return w
}

// left is a user whom Okta shows as deprovisioned.
func left(id, login string) mesh.Object {
	o := named(id, login)
	o.Delete = mesh.Deprovisioned
	return o
}

// ticks is a delta that shows the users and holds every delete back. It returns its feed.
func (w *wishBench) ticks(users ...mesh.Object) []string {
	w.t.Helper()
	r := w.as("Delta").begin()
	for _, u := range users {
		w.has[u.OktaID] = u
	}
	r.walk("users", users...)
	return w.ends(r, &mesh.DeleteLimits{Percent: 100, Most: 0})
}

// approves carries out the hold.
func (w *wishBench) approves() []string {
	w.t.Helper()
	h := w.hold()
	require.NoError(w.t, w.store.ApproveHold(w.ctx, w.name, h.RunID, "ann"))
	r := w.as("Approval").begin()
	_, err := w.store.StageHold(w.ctx, r.fence, h.RunID)
	require.NoError(w.t, err)
	return w.ends(r, nil)
}

// ends looks up whoever has to be, and ends the run.
func (w *wishBench) ends(r *run, limits *mesh.DeleteLimits) []string {
	w.t.Helper()
	if !w.unasked {
		_, err := w.store.StageHolders(w.ctx, r.fence)
		require.NoError(w.t, err)
	}
	for open := true; open; {
		found, err := w.store.Candidates(w.ctx, r.fence, 0)
		require.NoError(w.t, err)
		var verdicts []mesh.Verdict
		for _, c := range found {
			v := mesh.Verdict{Type: c.Type, OktaID: c.OktaID, Reason: mesh.HardDeleted}
			if o, ok := w.has[c.OktaID]; ok {
				v.Reason, v.Found = o.Delete, &o
			}
			verdicts = append(verdicts, v)
		}
		require.NoError(w.t, w.store.Resolve(w.ctx, r.fence, verdicts, nil, mesh.Calls{}))
		open = len(found) > 0
	}
	r.decideBy(limits)
	r.finish()
	w.checkFeed()
	return r.feed()
}

// What a user waits for is no answer of this run's: alone it never makes a collision.
var wishTests = map[string]func(t *testing.T, b *bench){
	"ALoginThatIsBackIsNoLongerWaitedFor": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		require.Empty(t, w.ticks(at(named("u1", "ann@x"), 3), at(named("u3", "bob@x"), 3)), "u3 waits in the place of u1")
		require.Equal(t, []string{"Delete User bob@x (deprovisioned)", "Add User bob@x"}, w.approves())
		require.ElementsMatch(t, []string{"ann@x", "dan@x", "bob@x"}, b.objects(mesh.User))
	},
	"ANewcomerGoesBeforeAWish": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		delete(w.has, "u1") // which no delta tells
		require.Empty(t, w.ticks(at(named("u3", "bob@x"), 3)))
		require.Equal(t, []string{"Delete User bob@x (deprovisioned)", "Add User bob@x"}, w.approves())
		require.ElementsMatch(t, []string{"ann@x", "dan@x", "bob@x"}, b.objects(mesh.User), "a Full finds out about u1")
	},
	"AHolderWhomALookUpShowsIsAskedFor": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		require.Empty(t, w.ticks(at(named("u4", "ann@x"), 3)), "u4 waits for u1, who waits for u2")
		require.Empty(t, w.ticks(at(named("u3", "dan@x"), 4)), "and u3 for u4")
		w.has["u2"] = at(named("u2", "robert@x"), 5)
		require.Equal(t, []string{
			"Delete User ann@x (renamed)", "Delete User bob@x (renamed)", "Delete User dan@x (renamed)",
			"Add User bob@x", "Add User robert@x", "Add User ann@x", "Add User dan@x",
		}, w.ticks(w.has["u2"]))
	},
	"OfTwoWishesTheNewerComesTrue": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		delete(w.has, "u1")
		require.Empty(t, w.ticks(at(named("u4", "BOB@x"), 3), at(named("u5", "dan@x"), 3)), "u5 waits for u4")
		require.Equal(t, []string{
			"Delete User bob@x (deprovisioned)", "Delete User dan@x (renamed)", "Add User BOB@x", "Add User dan@x",
		}, w.approves())
		require.ElementsMatch(t, []string{"ann@x", "BOB@x", "dan@x"}, b.objects(mesh.User))
	},
	"OfTwoWhoWaitOutsideTheNewerComesIn": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		require.Empty(t, w.ticks(at(named("u5", "bob@x"), 3)))
		delete(w.has, "u5")
		require.Empty(t, w.ticks(at(named("u3", "bob@x"), 4)))
		w.unasked = true // as when Decide itself frees the login
		require.Equal(t, []string{"Delete User bob@x (deprovisioned)", "Add User bob@x"}, w.approves())
		for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name, ID: "bob@x"}) {
			require.NoError(t, err)
			require.JSONEq(t, `{"oktaId":"u3"}`, string(o.Attributes))
		}
	},
	"WhoIsHeldWishesNothing": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		require.Empty(t, w.ticks(at(left("u1", "bob@x"), 3)))
		require.ElementsMatch(t, []string{"u1", "u2"}, b.held())
		require.Equal(t, []string{"Delete User bob@x (renamed)", "Add User robert@x"}, w.ticks(at(named("u2", "robert@x"), 4)))
		require.Equal(t, []string{"Add User bob@x"}, w.ticks(at(named("u3", "bob@x"), 5)))
		require.Equal(t, []string{"u1"}, b.held())
	},
	"ANewcomerGoesBeforeTheWishOfAHeldUser": func(t *testing.T, b *bench) {
		w := newWishBench(b)
		require.Empty(t, w.ticks(at(left("u1", "bob@x"), 3)))
		require.Equal(t, []string{"Delete User bob@x (renamed)", "Add User robert@x", "Add User bob@x"},
			w.ticks(at(named("u2", "robert@x"), 4), at(named("u3", "bob@x"), 4)))
	},
}
