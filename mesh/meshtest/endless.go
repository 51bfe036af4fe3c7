package meshtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// endlessTests have lists whose next links are always new.
var endlessTests = map[string]func(t *testing.T, b *bench){
	"AListThatRepeatsItsRowsIsEndless": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "me")
		n, err := readOn(func(n int) error {
			_, err := b.store.WriteObjects(b.ctx, r.fence, objectPage("users", n, false, user("u1"), user("u2"), user("u3")))
			return err
		})
		var endless *mesh.EndlessError
		require.ErrorAs(t, err, &endless)
		require.Equal(t, mesh.EndlessError{Stream: "users", Page: 128, Rows: 384, Shown: 3}, *endless)
		require.Equal(t, n-1, r.claim("users", "me").Page, "the page is not written")
		require.Equal(t, []string{"Add User u1", "Add User u2", "Add User u3"}, r.feed())
	},
	"AMemberListThatRepeatsItsRowsIsEndless": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("groups", group("g1"))
		r.claim("members/g1", "me")
		_, err := readOn(func(n int) error {
			_, err := b.store.WriteMembers(b.ctx, r.fence, mesh.MemberPage{Page: pageOf("members/g1", n, false), GroupID: "g1",
				Members: []mesh.Member{{OktaID: "u1"}, {OktaID: fmt.Sprint("u", n%40)}, {OktaID: "u3"}}})
			return err
		})
		var endless *mesh.EndlessError
		require.ErrorAs(t, err, &endless)
		require.Equal(t, 40, endless.Shown)
	},
}

// longListTests record hundreds of pages.
var longListTests = map[string]func(t *testing.T, b *bench){
	"AListOfEmptyPagesIsEndless": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("groups", "me")
		_, err := readOn(func(n int) error {
			_, err := b.store.WriteObjects(b.ctx, r.fence, objectPage("groups", n, false))
			return err
		})
		var endless *mesh.EndlessError
		require.ErrorAs(t, err, &endless)
		require.Zero(t, endless.Rows)
	},
	"ALongListIsNotEndless": func(t *testing.T, b *bench) {
		r := b.begin()
		r.claim("users", "me")
		r.claim("changed", "me")
		r.claim("look-ups", "me")
		const pages = 300
		for n := 1; n <= pages; n++ {
			// Each second page shows one again, as a list does that changes meanwhile.
			page := objectPage("users", n, n == pages, user(fmt.Sprint("u", n)), user(fmt.Sprint("u", n-n%2)))
			_, err := b.store.WriteObjects(b.ctx, r.fence, page)
			require.NoError(t, err)
			// What does not count as seen: who changed, and what is looked up.
			page = objectPage("changed", n, n == pages, user("stranger"))
			page.Changed = true
			_, err = b.store.WriteObjects(b.ctx, r.fence, page)
			require.NoError(t, err)
			page = objectPage("look-ups", n, n == pages)
			page.Rows = 50
			_, err = b.store.WriteObjects(b.ctx, r.fence, page)
			require.NoError(t, err)
		}
		require.Equal(t, pages, r.claim("users", "me").Page)
		_, err := b.store.End(b.ctx, r.id, mesh.Cancelled, "")
		require.NoError(t, err)
		r = b.begin() // a delta or Full of what is known: nothing is added
		r.claim("users", "me")
		for n := 1; n <= pages; n++ {
			_, err := b.store.WriteObjects(b.ctx, r.fence, objectPage("users", n, n == pages, user(fmt.Sprint("u", n))))
			require.NoError(t, err)
		}
	},
}

// readOn calls page with 1, 2, 3 … until it fails, and returns where.
func readOn(page func(n int) error) (n int, err error) {
	for n = 1; n <= 2000 && err == nil; n++ {
		err = page(n)
	}
	return n - 1, err
}
