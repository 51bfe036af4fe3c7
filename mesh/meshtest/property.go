package meshtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
)

// testProperty imports random orgs through random crashes, repeats and zombies and
// compares each completed run with the org itself, and the feed with the objects.
func testProperty(t *testing.T, s mesh.Store) {
	ctx := t.Context()
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(ctx, rt, s, fmt.Sprintf("org%d", n.Add(1)))
		o := &org{users: map[string]*orgUser{}, groups: map[string]*orgGroup{}, logins: rapid.Bool().Draw(rt, "logins")}
		scope := mesh.Scope{Users: rapid.IntRange(0, 3).Draw(rt, "users") > 0, Groups: rapid.IntRange(0, 3).Draw(rt, "groups") > 0}
		for range rapid.IntRange(0, 12).Draw(rt, "settled in") {
			o.populate(rt)
		}
		for range rapid.IntRange(1, 5).Draw(rt, "imports") {
			scope.UsersInGroupsOnly = rapid.IntRange(0, 3).Draw(rt, "only users in groups") == 0
			for range rapid.IntRange(0, 8).Draw(rt, "changes") {
				o.change(rt)
			}
			for tries := 0; ; tries++ {
				r := b.beginFor(shortLease)
				r.scope = scope
				d := &driver{run: r, rt: rt, org: o, mayCrash: tries < 3, owners: map[string]string{}}
				if d.full() {
					break
				}
				b.checkFeed()
				for range rapid.IntRange(0, 2).Draw(rt, "changes before the next try") {
					o.change(rt)
				}
			}
			b.checkOrg(o, scope)
			b.checkFeed()
		}
		// Once more, undisturbed: nothing has changed, so nothing is written.
		feed := len(b.changes(0))
		r := b.beginFor(shortLease)
		r.scope = scope
		require.True(rt, (&driver{run: r, rt: rt, org: o, quiet: true, owners: map[string]string{}}).full())
		require.Len(rt, b.changes(0), feed)
		row, err := s.Run(ctx, r.id)
		require.NoError(rt, err)
		for typ, c := range row.Counts {
			require.Zero(rt, c.Added+c.Updated+c.Deleted, typ)
		}
	})
}

// checkOrg compares the live objects with the org.
func (b *bench) checkOrg(o *org, scope mesh.Scope) {
	b.t.Helper()
	got := map[string]string{}
	for obj, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name}) {
		require.NoError(b.t, err)
		got[string(obj.Type)+" "+obj.ExternalID] = string(obj.Attributes)
	}
	require.Equal(b.t, o.want(scope), got)
}

// driver runs one Full as the activities do, stumbling on purpose.
type driver struct {
	*run
	rt       *rapid.T
	org      *org
	mayCrash bool
	quiet    bool              // the org stands still while it is read
	owners   map[string]string // who claimed a stream last
	attempts int
	moment   func() // called now and then; nil: not
}

func (d *driver) chance(oneIn int, what string) bool {
	return rapid.IntRange(1, oneIn).Draw(d.rt, what) == 1
}

// crash says whether the run dies here. It may or may not be told to end.
func (d *driver) crash() bool {
	if d.moment != nil {
		d.moment()
	}
	if !d.mayCrash || !d.chance(25, "crash") {
		return false
	}
	if d.chance(2, "end") {
		_, err := d.store.End(d.ctx, d.id, mesh.Failed, "crash")
		require.NoError(d.t, err)
	}
	return true
}

// twice calls fn once or, as a retry after a lost answer does, twice.
func (d *driver) twice(fn func() error) {
	d.t.Helper()
	require.NoError(d.t, fn())
	if d.chance(6, "repeat") {
		require.NoError(d.t, fn())
	}
}

// full walks, sweeps, settles and commits. False: the run died on the way.
func (d *driver) full() bool {
	users := d.org.listed(d.chance(2, "deprovisioned are listed"))
	var groups []mesh.Object
	ghost := !d.quiet && d.chance(4, "ghost") // a group that is deleted once it was listed
	if ghost {
		groups = append(groups, group("ghost"))
	}
	for _, id := range slices.Sorted(maps.Keys(d.org.groups)) {
		groups = append(groups, group(id, "n", d.org.groups[id].n))
	}
	open := map[string][]mesh.Object{"groups": groups}
	if d.scope.Users {
		open["users"] = users
	}
	for len(open) > 0 {
		if d.crash() {
			return false
		}
		stream := pick(d.rt, open)
		done := false
		if id, ok := strings.CutPrefix(stream, "members/"); ok {
			done = d.memberStep(stream, id)
		} else {
			done = d.objectStep(stream, open[stream])
		}
		if done {
			delete(open, stream)
		}
		for range lanes {
			for _, id := range d.claimGroups() {
				open["members/"+id] = nil
			}
			if len(open) > 0 {
				break
			}
		}
	}
	return d.sweepAll() && d.settleAndCommit()
}

// lanes read member lists, by turns.
const lanes = 3

// claimGroups takes groups for the next lane: what an earlier attempt left, or new ones.
func (d *driver) claimGroups() (ids []string) {
	d.attempts++
	owner := fmt.Sprintf("attempt-%d", d.attempts)
	got, err := d.store.ClaimGroups(d.ctx, d.fence, mesh.ClaimGroups{Lane: d.attempts%lanes + 1, Prefix: "members/", Owner: owner, Share: 2, Most: 3})
	require.NoError(d.t, err)
	for _, g := range got.Groups {
		d.owners["members/"+g.OktaID] = owner
		ids = append(ids, g.OktaID)
	}
	return ids
}

// resume claims a stream, at times in the place of a zombie that still writes.
func (d *driver) resume(stream string) (mesh.Progress, mesh.Page) {
	d.attempts++
	zombie := d.owners[stream]
	owner := fmt.Sprintf("attempt-%d", d.attempts)
	d.owners[stream] = owner
	p := d.claim(stream, owner)
	page := mesh.Page{Stream: stream, Owner: owner, Number: p.Page + 1, Calls: mesh.Calls{API: 1}}
	if zombie != "" && d.chance(5, "zombie") {
		late := page
		late.Owner, late.Done = zombie, true
		_, err := d.store.WriteObjects(d.ctx, d.fence, mesh.ObjectPage{Page: late, Import: true, Objects: []mesh.Object{user("zombie")}})
		var fenced *mesh.FencedError
		require.ErrorAs(d.t, err, &fenced)
	}
	return p, page
}

// cut takes the next page of a list, from where the next link says.
func cut[T any](d *driver, list []T, p mesh.Progress, page *mesh.Page) []T {
	from := 0
	if _, pos, ok := strings.Cut(p.Next, "?after="); ok {
		from, _ = strconv.Atoi(pos)
	}
	to := min(len(list), from+rapid.IntRange(1, 6).Draw(d.rt, "page size"))
	if page.Done = to == len(list); !page.Done {
		page.Next = fmt.Sprintf("%s?after=%d", page.Stream, to)
	}
	return list[min(from, to):to]
}

func (d *driver) objectStep(stream string, list []mesh.Object) bool {
	p, page := d.resume(stream)
	objects := cut(d, list, p, &page)
	in := mesh.ObjectPage{
		Page: page, Rows: len(objects), Objects: objects,
		Import: stream == "users" || d.scope.Groups, Queue: queueAll(stream == "groups"),
		MembersOnly: stream == "users" && d.scope.UsersInGroupsOnly,
	}
	d.twice(func() (err error) { p, err = d.store.WriteObjects(d.ctx, d.fence, in); return err })
	return p.Done
}

func (d *driver) memberStep(stream, id string) bool {
	p, page := d.resume(stream)
	g := d.org.groups[id]
	if g == nil {
		d.twice(func() error { return d.store.GroupGone(d.ctx, d.fence, page, id) })
		return true
	}
	var all []mesh.Member
	for _, m := range slices.Sorted(maps.Keys(g.members)) {
		all = append(all, mesh.Member{OktaID: m, Deprovisioned: d.org.users[m].deprovisioned})
	}
	in := mesh.MemberPage{GroupID: id, Members: cut(d, all, p, &page), Page: page}
	in.Page = page
	d.twice(func() (err error) { p, err = d.store.WriteMembers(d.ctx, d.fence, in); return err })
	return p.Done
}

func (d *driver) sweepAll() bool {
	for _, typ := range []mesh.ObjectType{mesh.User, mesh.Group} {
		if typ == mesh.User && !d.scope.Users {
			continue
		}
		d.twice(func() error { _, err := d.store.StageSweep(d.ctx, d.fence, typ, true); return err })
	}
	d.twice(func() error { _, err := d.store.StageHolders(d.ctx, d.fence); return err })
	for {
		if d.crash() {
			return false
		}
		found, err := d.store.Candidates(d.ctx, d.fence, rapid.IntRange(1, 5).Draw(d.rt, "batch"))
		require.NoError(d.t, err)
		if len(found) == 0 {
			return true
		}
		var verdicts []mesh.Verdict
		for _, c := range found {
			verdicts = append(verdicts, d.org.verdict(c))
		}
		d.twice(func() error { return d.store.Resolve(d.ctx, d.fence, verdicts, nil, mesh.Calls{API: 1}) })
	}
}

func (d *driver) settleAndCommit() bool {
	decide := func() error { _, err := d.store.Decide(d.ctx, d.fence, d.scope, nil); return err }
	d.twice(decide)
	require.NoError(d.t, d.store.CheckExternalIDs(d.ctx, d.fence))
	for done := false; !done; {
		if d.crash() {
			return false
		}
		budget := time.Duration(0)
		if !d.mayCrash {
			budget = time.Second
		}
		res, err := d.store.Settle(d.ctx, d.fence, d.scope, budget)
		require.NoError(d.t, err)
		if done = res.Done; d.mayCrash && d.chance(10, "decide again") { // as an activity that died does
			require.NoError(d.t, decide())
		}
	}
	d.twice(func() error {
		row, err := d.store.Commit(d.ctx, d.fence, mesh.CommitRun{Watermark: mesh.Watermark{Users: mark(d.org.clock % 60)}, UsersFull: true, GroupsFull: true})
		if err == nil {
			d.checkCounts(row)
		}
		return err
	})
	return true
}

// checkCounts compares the run row with the run's rows of the feed.
func (d *driver) checkCounts(row *mesh.Run) {
	d.t.Helper()
	want := map[mesh.ObjectType]mesh.Counts{mesh.User: {}, mesh.Group: {}, mesh.GroupMember: {}}
	for c, err := range d.store.Changes(d.ctx, mesh.ChangeQuery{Connector: d.name, RunID: d.id}) {
		require.NoError(d.t, err)
		n := want[c.Type]
		switch c.Op {
		case mesh.Add:
			n.Added++
		case mesh.Update:
			n.Updated++
		case mesh.Delete:
			n.Deleted++
		}
		want[c.Type] = n
	}
	for typ, n := range want {
		got := row.Counts[typ]
		n.Seen, n.Unchanged = got.Seen, got.Unchanged
		require.Equal(d.t, n, got, typ)
	}
}
