package meshtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// minute is a point of the hour after 2026-04-22T08:00:00Z; unknown is no point at all.
func minute(m int) time.Time {
	if m == unknown {
		return time.Time{}
	}
	return mark(m).Time
}

const unknown = -1

// stamped is a group whose members changed at stamp.
func stamped(id string, stamp time.Time) mesh.Object {
	o := group(id)
	o.MembersStamp = stamp
	return o
}

// list writes groups as the only page of the group list, answered at date.
func (r *run) list(rule mesh.QueueRule, date time.Time, groups ...mesh.Object) mesh.Progress {
	r.t.Helper()
	r.claim("groups", "me")
	p := objectPage("groups", 1, true, groups...)
	p.Queue, p.Date = &rule, date
	got, err := r.store.WriteObjects(r.ctx, r.fence, p)
	require.NoError(r.t, err)
	return got
}

// read reads the members of a queued group in pages, answered from date on.
func (r *run) read(group string, date time.Time, members ...string) {
	r.t.Helper()
	stream := "members/" + group
	r.claim(stream, "me")
	p := mesh.MemberPage{Page: pageOf(stream, 1, true), GroupID: group}
	p.Date = date
	for _, m := range members {
		p.Members = append(p.Members, mesh.Member{OktaID: m})
	}
	_, err := r.store.WriteMembers(r.ctx, r.fence, p)
	require.NoError(r.t, err)
}

// queued returns the groups that the run has queued.
func (r *run) queued() []string {
	r.t.Helper()
	ids := []string{}
	for i, q := range r.claimGroups("me") {
		require.Equal(r.t, i+1, q.Ordinal)
		ids = append(ids, q.OktaID)
	}
	return ids
}

// claimGroups takes every queued group that is not read for owner.
func (r *run) claimGroups(owner string) (groups []mesh.QueuedGroup) {
	r.t.Helper()
	for lane := 1; ; lane++ { // one that has groups gets no more
		got, err := r.store.ClaimGroups(r.ctx, r.fence, mesh.ClaimGroups{Lane: lane, Prefix: "members/", Owner: owner, Share: 1, Most: 1000})
		require.NoError(r.t, err)
		if len(got.Groups) == 0 {
			return groups
		}
		groups = append(groups, got.Groups...)
	}
}

// reading is a member list that an earlier run read, in minutes.
type reading struct{ stamp, date int }

// ticks runs a delta every so often for an hour in which the members of g1 change once,
// offset after its beginning, and returns how long after that they were read.
func (b *bench) ticks(overlap, every, offset time.Duration) (reads []time.Duration) {
	b.t.Helper()
	r := b.begin()
	r.list(mesh.QueueRule{All: true}, minute(0), stamped("g1", minute(0).Add(-time.Hour)))
	r.read("g1", minute(0), "u1")
	r.finish()
	b.mode = "Delta"
	last, stamp := minute(0), minute(0).Add(offset)
	for now := last.Add(every); now.Before(minute(59)); now = now.Add(every) {
		r := b.begin()
		var listed []mesh.Object // by a filter for whole seconds from the watermark minus the overlap
		if !stamp.After(now) && !stamp.Before(last.Add(-overlap).Truncate(time.Second)) {
			listed = append(listed, stamped("g1", stamp))
		}
		r.list(mesh.QueueRule{Mark: last, Overlap: overlap}, now, listed...)
		for _, id := range r.queued() {
			r.read(id, now, "u1")
			reads = append(reads, now.Sub(stamp))
		}
		r.finish()
		last = now
	}
	return reads
}

var queueTests = map[string]func(t *testing.T, b *bench){
	"DueRules": func(t *testing.T, b *bench) {
		for i, c := range []struct {
			name     string
			readings []reading
			stamp    int
			now      int
			mark     int
			due      bool
		}{
			{"never read", nil, 10, 30, unknown, true},
			{"never read, without a stamp", nil, unknown, 30, unknown, true},
			{"read for this stamp", []reading{{10, 20}}, 10, 30, unknown, false},
			{"read for an older stamp", []reading{{10, 20}}, 11, 30, unknown, true},
			{"a stale listing", []reading{{10, 20}}, 9, 30, unknown, false},
			{"a stale listing that became due by itself", []reading{{10, 11}}, 9, 30, unknown, false},
			{"the mark is set before the stamp", []reading{{10, 20}}, 10, 30, 5, true},
			{"the mark is the stamp", []reading{{10, 20}}, 10, 30, 10, false},
			{"read early: once more", []reading{{10, 12}}, 10, 14, unknown, true},
			{"read early, settled now", []reading{{10, 12}}, 10, 16, unknown, true},
			{"read at once: once more", []reading{{10, 10}}, 10, 10, unknown, true},
			{"read at once, twice", []reading{{10, 10}, {10, 10}}, 10, 14, unknown, false},
			{"read at once, twice, the last second is not over", []reading{{10, 10}, {10, 10}}, 10, 15, unknown, false},
			{"read at once, twice, settled now", []reading{{10, 10}, {10, 10}}, 10, 16, unknown, true},
			{"read at once, twice, and when settled", []reading{{10, 10}, {10, 10}, {10, 16}}, 10, 17, unknown, false},
			{"read when settled", []reading{{10, 16}}, 10, 30, unknown, false},
			{"read early, twice: never again", []reading{{10, 12}, {10, 13}}, 10, 16, unknown, false},
			{"read early and when settled", []reading{{10, 12}, {10, 16}}, 10, 30, unknown, false},
			{"read once at an unknown time", []reading{{10, unknown}}, 10, 14, unknown, true},
			{"no Dates at all: once more", []reading{{10, unknown}}, 10, unknown, unknown, true},
			{"no Dates at all: never again", []reading{{10, unknown}, {10, unknown}}, 10, unknown, unknown, false},
			{"no Dates at all: a new stamp", []reading{{10, unknown}, {10, unknown}}, 11, unknown, unknown, true},
			{"no Dates at all: once more for a new stamp", []reading{{9, unknown}, {9, unknown}, {10, unknown}}, 10, unknown, unknown, true},
			{"read early, now is unknown", []reading{{10, 12}}, 10, unknown, unknown, true},
			{"read when settled, now is unknown", []reading{{10, 16}}, 10, unknown, unknown, false},
			{"without a stamp", []reading{{unknown, 12}}, unknown, 13, unknown, false},
			{"without a stamp or a Date", []reading{{unknown, unknown}}, unknown, unknown, unknown, true},
			{"without a stamp or a Date, read twice", []reading{{unknown, unknown}, {unknown, unknown}}, unknown, unknown, unknown, false},
			{"the stamp came later", []reading{{unknown, 20}}, 10, 30, unknown, true},
		} {
			b := newBench(b.ctx, t, b.store, fmt.Sprintf("due-%d", i))
			for _, read := range c.readings {
				r := b.begin()
				r.list(mesh.QueueRule{All: true}, minute(unknown), stamped("g1", minute(read.stamp)))
				r.read("g1", minute(read.date), "u1")
				r.finish()
			}
			r := b.begin()
			g := stamped("g1", minute(c.stamp))
			p := r.list(mesh.QueueRule{Mark: minute(c.mark), Overlap: 5 * time.Minute}, minute(c.now), g)
			want := []string{}
			if c.due {
				want = []string{"g1"}
			}
			require.Equal(t, want, r.queued(), c.name)
			require.Equal(t, len(want), p.Queued, c.name)
			// What must not count is never read.
			g.Delete = mesh.OutOfScope
			r.claim("more", "me")
			again := objectPage("more", 1, true, g)
			again.Queue = &mesh.QueueRule{All: true}
			_, err := b.store.WriteObjects(b.ctx, r.fence, again)
			require.NoError(t, err)
			require.Equal(t, want, r.queued(), c.name)
		}
	},
	"OnceMoreThenNeverAgain": func(t *testing.T, b *bench) {
		for _, c := range []struct{ overlap, every, offset time.Duration }{
			{5 * time.Minute, time.Minute, time.Second},
			{5 * time.Minute, time.Minute, time.Minute}, // in the very second of a tick
			{5 * time.Minute, 15 * time.Minute, 450 * time.Second},
			{5 * time.Minute, 15 * time.Minute, 10 * time.Minute},
			{5 * time.Minute, 15 * time.Minute, 15 * time.Minute},
			{0, time.Minute, 30 * time.Second},
			{0, time.Minute, time.Minute},
		} {
			b := newBench(b.ctx, t, b.store, fmt.Sprint("ticks", c))
			reads := b.ticks(c.overlap, c.every, c.offset)
			require.NotEmpty(t, reads, c)
			require.LessOrEqual(t, len(reads), 2, "%v: %v", c, reads)
			require.GreaterOrEqual(t, reads[len(reads)-1], min(c.overlap, 10*time.Second)+time.Second, "%v: %v", c, reads)
		}
	},
	"AGroupThatComesBackIsReadAgain": func(t *testing.T, b *bench) {
		rule := mesh.QueueRule{Overlap: 5 * time.Minute}
		g := stamped("g1", minute(1))
		r := b.begin()
		r.walk("users", user("u1"))
		r.list(rule, minute(20), g)
		r.read("g1", minute(20), "u1")
		r.finish()
		gone := g
		gone.Delete = mesh.OutOfScope
		r = b.begin()
		r.list(rule, minute(21), gone)
		require.Empty(t, r.queued())
		r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u1 (out-of-scope)", "Delete Group g1 (out-of-scope)"}, r.feed())
		// It is renamed back into the filter, but the run dies before it reads the members.
		r = b.begin()
		r.list(rule, minute(22), g)
		b.end(r.id)
		r = b.begin()
		r.list(rule, minute(23), g)
		require.Equal(t, []string{"g1"}, r.queued())
		r.read("g1", minute(23), "u1")
		r.finish()
		require.Equal(t, []string{"Add GroupMember g1:u1"}, r.feed())
		b.checkFeed()
	},
	"AGroupThatIsNotImportedIsExcluded": func(t *testing.T, b *bench) {
		list := func(r *run, groups ...mesh.Object) {
			r.scope = mesh.Scope{}
			r.claim("groups", "me")
			p := objectPage("groups", 1, true, groups...)
			p.Import, p.Queue = false, &mesh.QueueRule{Overlap: 5 * time.Minute}
			_, err := b.store.WriteObjects(b.ctx, r.fence, p)
			require.NoError(t, err)
		}
		g1, g2 := stamped("g1", minute(1)), stamped("g2", minute(1))
		r := b.begin()
		list(r, g1, g2)
		r.read("g1", minute(20), "u1")
		r.read("g2", minute(20), "u1")
		r.finish()
		gone := g1
		gone.Delete = mesh.OutOfScope
		never := stamped("g3", minute(1))
		never.Delete = mesh.OutOfScope
		r = b.begin()
		list(r, gone, never, g2)
		require.Empty(t, r.queued())
		row := r.finish()
		require.Equal(t, []string{"Delete GroupMember g1:u1 (out-of-scope)"}, r.feed())
		require.Zero(t, row.Counts[mesh.Group].Deleted)
		r = b.begin()
		n, err := b.store.QueueKnown(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, []string{"g2"}, r.queued())
		list(r, g1)
		require.Equal(t, []string{"g2", "g1"}, r.queued(), "it counts again")
		b.checkFeed()
	},
	"QueueKnown": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"))
		r.list(mesh.QueueRule{All: true}, minute(20), stamped("g1", minute(1)), stamped("g2", minute(1)), stamped("g3", minute(1)), stamped("g4", minute(1)))
		for _, id := range []string{"g1", "g2", "g3"} {
			r.read(id, minute(20), "u1")
		}
		r.finish()
		gone, last := stamped("g2", minute(1)), stamped("g3", minute(2))
		gone.Delete = mesh.OutOfScope
		r = b.begin()
		p := r.list(mesh.QueueRule{Overlap: 5 * time.Minute}, minute(30), gone, last)
		require.Equal(t, 1, p.Queued)
		for range 2 {
			n, err := b.store.QueueKnown(b.ctx, r.fence)
			require.NoError(t, err)
			require.Equal(t, 2, n, "g4 was never read, g2 is about to go")
		}
		require.Equal(t, 2, r.claim("members/g1", "me").Queued)
		require.Equal(t, []string{"g3", "g1"}, r.queued())
		r.read("g1", minute(30), "u1")
		r.read("g3", minute(30), "u1")
		r.finish()
		r = b.begin()
		n, err := b.store.QueueKnown(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 2, n, "g2 is deleted")
		// It is read for the stamp that it was read for before.
		r.read("g1", minute(40), "u1")
		b.end(r.id)
		r = b.begin()
		r.list(mesh.QueueRule{Overlap: 5 * time.Minute}, minute(50), stamped("g1", minute(1)))
		require.Empty(t, r.queued())
	},
	"ASecondReadingOfARunIsNoSecondLook": func(t *testing.T, b *bench) {
		r := b.begin()
		r.walk("users", user("u1"))
		rule, g := mesh.QueueRule{Overlap: 5 * time.Minute}, stamped("g1", minute(10))
		r.list(rule, minute(11), g)
		for _, stream := range []string{"members/g1", "again/g1"} { // later than a hasty look, before the list has settled
			r.claim(stream, "me")
			p := mesh.MemberPage{Page: pageOf(stream, 1, true), GroupID: "g1", Members: []mesh.Member{{OktaID: "u1"}}}
			p.Date = minute(11)
			_, err := r.store.WriteMembers(r.ctx, r.fence, p)
			require.NoError(t, err)
		}
		r.finish()
		r = b.begin()
		r.list(rule, minute(20), g)
		require.Equal(t, []string{"g1"}, r.queued(), "it was looked at once, as the run saw it")
	},
	"AGoneGroupIsACandidateOfADelta": func(t *testing.T, b *bench) {
		b.imported()
		b.mode = "Delta"
		r := b.begin()
		_, err := b.store.QueueKnown(b.ctx, r.fence)
		require.NoError(t, err)
		for _, id := range []string{"g1", "never known"} {
			r.claim("members/"+id, "me")
			require.NoError(t, b.store.GroupGone(b.ctx, r.fence, pageOf("members/"+id, 1, true), id))
		}
		found, err := b.store.Candidates(b.ctx, r.fence, 0)
		require.NoError(t, err)
		require.Equal(t, []mesh.Candidate{{Type: mesh.Group, OktaID: "g1"}}, found)
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.Group, OktaID: "g1", Reason: mesh.GroupDeleted}}, nil, mesh.Calls{}))
		r.finish()
		require.Equal(t, []string{
			"Delete GroupMember g1:u1 (group-deleted)", "Delete GroupMember g1:u2 (group-deleted)", "Delete Group g1 (group-deleted)",
		}, r.feed())
		r = b.begin()
		n, err := b.store.QueueKnown(b.ctx, r.fence)
		require.NoError(t, err)
		require.Zero(t, n, "nobody asks for its members again")
		b.checkFeed()
	},
	"AGoneGroupThatIsThereAfterAll": func(t *testing.T, b *bench) {
		b.imported()
		r := b.begin()
		r.walk("groups", group("g1", "name", "One"))
		r.claim("members/g1", "me")
		require.NoError(t, b.store.GroupGone(b.ctx, r.fence, pageOf("members/g1", 1, true), "g1"))
		require.NoError(t, b.store.Resolve(b.ctx, r.fence, []mesh.Verdict{{Type: mesh.Group, OktaID: "g1"}}, nil, mesh.Calls{}))
		b.mode = "Delta"
		r.finish()
		require.Empty(t, r.feed())
		r = b.begin()
		n, err := b.store.QueueKnown(b.ctx, r.fence)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, []mesh.QueuedGroup{{Ordinal: 1, OktaID: "g1", Had: true, Progress: mesh.Progress{Stream: "members/g1"}}}, r.claimGroups("me"))
	},
}
