package mesh

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// memberBench writes member lists and knows what the store must hold of them.
type memberBench struct {
	store *SQLite
	runs  int
}

func newMemberBench(t testing.TB) *memberBench {
	t.Helper()
	b := &memberBench{store: openForTest(t)}
	_, err := b.store.ApplyConnector(t.Context(), Connector{Name: "c", Type: "Okta"})
	require.NoError(t, err)
	return b
}

// want is the evidence by member: listed, and deprovisioned.
type want map[string][2]bool

// list is what a complete list makes of the evidence before it.
func (w want) list(pages [][]Member) {
	for id, e := range w {
		w[id] = [2]bool{false, e[1]}
	}
	for _, page := range pages {
		gone := map[string]bool{}
		for _, m := range page {
			gone[m.OktaID] = gone[m.OktaID] || m.Deprovisioned
		}
		for id, is := range gone {
			w[id] = [2]bool{true, is}
		}
	}
}

// write reads a group's list in a run of its own, up to its end unless it is cut, and
// says whether the group's edges have to be derived again.
func (b *memberBench) write(t require.TestingT, group string, pages [][]Member, cut bool) (dirty bool) {
	ctx := testContext(t)
	b.runs++
	run := fmt.Sprint("run", b.runs)
	f, err := b.store.Begin(ctx, BeginRun{Connector: "c", RunID: run, LeaseTTL: time.Hour})
	require.NoError(t, err)
	_, err = b.store.Claim(ctx, f, "members", "me")
	require.NoError(t, err)
	require.NoError(t, b.store.write(ctx, func(x *tx) error {
		_, err := x.exec(ctx, `DELETE FROM im_dirty`)
		return err
	}))
	seen := 0
	for i, members := range pages {
		p := MemberPage{GroupID: group, Members: members, Page: Page{
			Stream: "members", Owner: "me", Number: i + 1, Next: fmt.Sprint("n", i), Done: i == len(pages)-1 && !cut}}
		for range 2 { // again: it is recorded
			prog, err := b.store.WriteMembers(ctx, f, p)
			require.NoError(t, err)
			require.Equal(t, i+1, prog.Page)
		}
		seen += len(members)
	}
	var marks, left int
	_, err = first(ctx, b.store.reader, []any{&marks, &left}, `SELECT (SELECT count(*) FROM im_dirty), (SELECT count(*) FROM im_seen_edges)`)
	require.NoError(t, err)
	if !cut {
		require.Zero(t, left)
	}
	r, err := b.store.End(ctx, run, Failed, "")
	require.NoError(t, err)
	require.Equal(t, seen, r.Counts[GroupMember].Seen)
	return marks > 0
}

func (b *memberBench) evidence(t require.TestingT, group string) want {
	ctx, got := testContext(t), want{}
	rows, err := b.store.reader.QueryContext(ctx, `SELECT m.okta_id, e.listed, e.deprovisioned FROM im_ids g JOIN im_edges e ON e.group_key = g.key
		JOIN im_ids m ON m.key = e.member_key WHERE g.okta_id = ? AND g.type = 'Group'`, group)
	require.NoError(t, err)
	for rows.Next() {
		var id string
		var e [2]bool
		require.NoError(t, rows.Scan(&id, &e[0], &e[1]))
		got[id] = e
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	return got
}

// numbered are the members u<from> to u<to-1>, and those of them deprovisioned whose
// number a remainder of 7 picks.
func numbered(from, to int) (all []Member) {
	for n := from; n < to; n++ {
		all = append(all, Member{OktaID: fmt.Sprintf("u%06d", n), Deprovisioned: n%7 == 3})
	}
	return all
}

func inPages(members []Member, size int) (pages [][]Member) {
	for page := range slices.Chunk(members, size) {
		pages = append(pages, page)
	}
	if len(pages) == 0 {
		pages = [][]Member{nil}
	}
	return pages
}

// TestMemberLists writes one list after the other of one group.
func TestMemberLists(t *testing.T) {
	t.Parallel()
	many, flipped := numbered(0, 13_000), numbered(0, 13_000)
	for i := range flipped {
		flipped[i].Deprovisioned = !flipped[i].Deprovisioned
	}
	type step struct {
		name  string
		pages [][]Member
		dirty bool
	}
	for name, steps := range map[string][]step{
		"empty":          {{"nobody", [][]Member{nil}, false}, {"nobody in two pages", [][]Member{nil, nil}, false}},
		"come and go":    {{"three", [][]Member{numbered(0, 3)}, true}, {"same", [][]Member{numbered(0, 3)}, false}, {"nobody", [][]Member{nil}, true}, {"nobody again", [][]Member{nil}, false}, {"back", [][]Member{numbered(0, 3)}, true}},
		"page by page":   {{"five", inPages(numbered(0, 5), 2), true}, {"same in one", inPages(numbered(0, 5), 5), false}, {"same in others", inPages(numbered(0, 5), 1), false}, {"fewer", inPages(numbered(1, 4), 2), true}, {"nobody, two pages", [][]Member{nil, nil}, true}},
		"twice":          {{"within a page", [][]Member{append(numbered(0, 4), numbered(2, 5)...)}, true}, {"across pages", [][]Member{numbered(0, 3), numbered(2, 5)}, false}},
		"one of two":     {{"deprovisioned once", [][]Member{{{OktaID: "a"}, {OktaID: "a", Deprovisioned: true}, {OktaID: "a"}}}, true}, {"the last page wins", [][]Member{{{OktaID: "a", Deprovisioned: true}}, {{OktaID: "a"}}}, true}},
		"last page only": {{"empty pages first", [][]Member{nil, nil, numbered(0, 3)}, true}, {"empty page last", [][]Member{numbered(0, 3), nil}, false}},
		"flips":          {{"some", [][]Member{numbered(0, 20)}, true}, {"others", [][]Member{flipped[:20]}, true}, {"in pages", inPages(numbered(0, 20), 6), true}, {"again", inPages(numbered(0, 20), 7), false}},
		"sparse":         {{"dense", inPages(numbered(0, 3000), 1000), true}, {"few far apart", [][]Member{append(numbered(0, 1), numbered(2999, 3000)...), numbered(1, 2)}, true}, {"all", inPages(numbered(0, 3000), 999), true}},
		"shrinks":        {{"many", [][]Member{many}, true}, {"three", [][]Member{numbered(12_000, 12_003)}, true}, {"three again", [][]Member{numbered(12_000, 12_003)}, false}, {"others", [][]Member{numbered(0, 2), numbered(12_998, 13_001)}, true}},
		"many flip":      {{"many", inPages(many, 1000), true}, {"flipped", inPages(flipped, 1000), true}, {"as one", [][]Member{flipped}, false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, w := newMemberBench(t), want{}
			for _, s := range steps {
				require.Equal(t, s.dirty, b.write(t, "g", s.pages, false), s.name)
				w.list(s.pages)
				require.Equal(t, w, b.evidence(t, "g"), s.name)
			}
		})
	}
}

// TestCutListUnlistsNobody ends a run before the last page.
func TestCutListUnlistsNobody(t *testing.T) {
	t.Parallel()
	b := newMemberBench(t)
	require.True(t, b.write(t, "g", inPages(numbered(0, 10), 4), false))
	require.False(t, b.write(t, "g", inPages(numbered(0, 6), 2), true))
	require.True(t, b.write(t, "g", inPages(numbered(8, 12), 2), true))
	got := b.evidence(t, "g")
	require.Len(t, got, 12)
	for id, e := range got {
		require.True(t, e[0], id)
	}
	require.True(t, b.write(t, "g", inPages(numbered(0, 1), 1), false))
	require.True(t, b.evidence(t, "g")["u000000"][0])
	require.False(t, b.evidence(t, "g")["u000011"][0])
}

// TestRandomMemberLists writes random lists in random pages.
func TestRandomMemberLists(t *testing.T) {
	t.Parallel()
	b := newMemberBench(t)
	groups := 0
	member := rapid.Custom(func(t *rapid.T) Member {
		return Member{OktaID: fmt.Sprint("u", rapid.IntRange(0, 30).Draw(t, "user")), Deprovisioned: rapid.IntRange(0, 4).Draw(t, "deprovisioned") == 0}
	})
	rapid.Check(t, func(t *rapid.T) {
		groups++
		group, w := fmt.Sprint("g", groups), want{}
		for range rapid.IntRange(1, 5).Draw(t, "lists") {
			pages := rapid.SliceOfN(rapid.SliceOfN(member, 0, 20), 1, 4).Draw(t, "pages")
			before := maps.Clone(w)
			w.list(pages)
			dirty := b.write(t, group, pages, false)
			require.Equal(t, w, b.evidence(t, group))
			if !maps.Equal(before, w) {
				require.True(t, dirty)
			}
		}
	})
}

// TestLargeGroup lists 100,000 members, then all but one of each page.
func TestLargeGroup(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	const size = 100_000
	b, pages := newMemberBench(t), inPages(numbered(0, size), 1000)
	counts := func() (all, listed int) {
		_, err := first(t.Context(), b.store.reader, []any{&all, &listed}, `SELECT count(*), sum(listed) FROM im_edges`)
		require.NoError(t, err)
		return all, listed
	}
	require.True(t, b.write(t, "g", pages, false))
	require.False(t, b.write(t, "g", pages, false))
	for i := range pages {
		pages[i] = pages[i][:999]
	}
	require.True(t, b.write(t, "g", pages, false))
	all, listed := counts()
	require.Equal(t, size, all)
	require.Equal(t, size-100, listed)
	require.False(t, b.write(t, "g", pages, false))
}

// TestMemberBeforeUser has a member list name users before their own page does: he has
// one key, and comes into the mesh with his edges.
func TestMemberBeforeUser(t *testing.T) {
	t.Parallel()
	b := newMemberBench(t)
	ctx, s := t.Context(), b.store
	f, err := s.Begin(ctx, BeginRun{Connector: "c", RunID: "r", LeaseTTL: time.Hour})
	require.NoError(t, err)
	page := func(stream string) Page {
		_, err := s.Claim(ctx, f, stream, "me")
		require.NoError(t, err)
		return Page{Stream: stream, Owner: "me", Number: 1, Done: true}
	}
	objects := func(typ ObjectType, ids ...string) (all []Object) {
		for _, id := range ids {
			all = append(all, Object{Type: typ, OktaID: id, ExternalID: id, Attributes: []byte(`{}`), Hash: []byte{1}})
		}
		return all
	}
	_, err = s.WriteMembers(ctx, f, MemberPage{Page: page("members"), GroupID: "g", Members: []Member{{OktaID: "late"}, {OktaID: "never"}, {OktaID: "later"}}})
	require.NoError(t, err)
	_, err = s.WriteObjects(ctx, f, ObjectPage{Page: page("users"), Import: true, Objects: objects(User, "new", "later", "late", "newer")})
	require.NoError(t, err)
	_, err = s.WriteObjects(ctx, f, ObjectPage{Page: page("groups"), Import: true, Objects: objects(Group, "g", "late")})
	require.NoError(t, err)
	res, err := s.Settle(ctx, f, Scope{Users: true, Groups: true}, time.Hour)
	require.NoError(t, err)
	require.Equal(t, SettleResult{Edges: 2, Done: true}, res)
	var edges []string
	for o, err := range s.Objects(ctx, ObjectQuery{Connector: "c", Type: GroupMember}) {
		require.NoError(t, err)
		edges = append(edges, o.ExternalID)
	}
	require.Equal(t, []string{"g:late", "g:later"}, edges)
}
