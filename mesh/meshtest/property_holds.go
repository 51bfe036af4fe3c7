package meshtest

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/identitymesh/okta-connector/mesh"
)

// testHoldProperty imports random orgs by deltas and Fulls under narrow guards, with
// crashes, approvals and rejections in between. Whatever happens, no more is deleted
// within a day than the guards allow and operators approve of; what is held is live;
// the feed is sound; and a Full without guards makes the mesh equal to the org.
func testHoldProperty(t *testing.T, s mesh.Store) {
	ctx := t.Context()
	var n atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		h := &holdDriver{
			bench:  newBench(ctx, rt, s, fmt.Sprintf("hold%d", n.Add(1))),
			rt:     rt,
			org:    &org{users: map[string]*orgUser{}, groups: map[string]*orgGroup{}, logins: rapid.Bool().Draw(rt, "logins")},
			limits: &mesh.DeleteLimits{Percent: 100, Most: rapid.IntRange(0, 3).Draw(rt, "most")},
		}
		h.scope = mesh.Scope{Users: true, Groups: rapid.IntRange(0, 3).Draw(rt, "groups") > 0, UsersInGroupsOnly: rapid.IntRange(0, 2).Draw(rt, "only users in groups") == 0}
		for range rapid.IntRange(4, 14).Draw(rt, "settled in") {
			h.org.populate(rt)
		}
		h.calm = true
		h.full(nil)
		h.checkOrg(h.org, h.scope)
		h.calm = false
		for range rapid.IntRange(1, 8).Draw(rt, "imports") {
			for range rapid.IntRange(0, 6).Draw(rt, "changes") {
				h.org.change(rt)
			}
			switch rapid.SampledFrom([]string{"delta", "delta", "full", "approve", "reject"}).Draw(rt, "what") {
			case "delta":
				h.delta()
			case "full":
				h.full(h.limits)
			case "approve":
				h.approve()
			case "reject":
				h.reject()
			}
			h.check()
		}
		h.calm = true
		h.full(nil)
		h.checkOrg(h.org, h.scope)
		require.Nil(rt, h.hold(), "nothing is left to hold")
		h.checkFeed()
	})
}

type holdDriver struct {
	*bench
	rt        *rapid.T
	org       *org
	scope     mesh.Scope
	limits    *mesh.DeleteLimits
	since     int // the org's clock at the last committed run
	calm      bool
	committed bool            // the last run
	approved  map[string]bool // runs that nothing limits
}

func (h *holdDriver) start(mode string) *run {
	r := h.as(mode).begin()
	r.scope = h.scope
	return r
}

// users writes the users that changed since, or all.
func (h *holdDriver) users(r *run, stream string, since int, changed bool) {
	p := objectPage(stream, 1, true)
	p.Changed, p.MembersOnly = changed, h.scope.UsersInGroupsOnly
	for _, id := range slices.Sorted(maps.Keys(h.org.users)) {
		if u := h.org.users[id]; u.stamp > since && (changed || !u.outOfScope) {
			p.Objects = append(p.Objects, h.org.object(id))
		}
	}
	r.claim(stream, "me")
	_, err := h.store.WriteObjects(h.ctx, r.fence, p)
	require.NoError(h.rt, err)
}

// groups writes all groups with their members.
func (h *holdDriver) groups(r *run) {
	p := objectPage("groups", 1, true)
	p.Import, p.Queue = h.scope.Groups, queueAll(true)
	ids := slices.Sorted(maps.Keys(h.org.groups))
	for _, id := range ids {
		p.Objects = append(p.Objects, group(id, "n", h.org.groups[id].n))
	}
	r.claim("groups", "me")
	_, err := h.store.WriteObjects(h.ctx, r.fence, p)
	require.NoError(h.rt, err)
	for _, id := range ids {
		var members []string
		for _, m := range slices.Sorted(maps.Keys(h.org.groups[id].members)) {
			if h.org.users[m].deprovisioned {
				m += "!"
			}
			members = append(members, m)
		}
		r.members(id, members...)
	}
}

func (h *holdDriver) delta() {
	r := h.start("Delta")
	h.users(r, "changed", h.since, true)
	h.users(r, "users", h.since, false)
	h.groups(r)
	_, err := h.store.StageChanged(h.ctx, r.fence)
	require.NoError(h.rt, err)
	h.end(r, h.limits)
}

func (h *holdDriver) full(limits *mesh.DeleteLimits) {
	r := h.start("Full")
	if limits == nil {
		h.unlimited(r)
	}
	h.users(r, "users", -1, false)
	h.groups(r)
	for _, typ := range []mesh.ObjectType{mesh.User, mesh.Group} {
		_, err := h.store.StageSweep(h.ctx, r.fence, typ, typ == mesh.User || h.scope.Groups)
		require.NoError(h.rt, err)
	}
	h.end(r, limits)
}

func (h *holdDriver) unlimited(r *run) {
	if h.approved == nil {
		h.approved = map[string]bool{}
	}
	h.approved[r.id] = true
}

func (h *holdDriver) approve() {
	open := h.hold()
	if open == nil {
		return
	}
	require.NoError(h.rt, h.store.ApproveHold(h.ctx, h.name, open.RunID, "ann"))
	r := h.start("Approval")
	h.unlimited(r)
	_, err := h.store.StageHold(h.ctx, r.fence, open.RunID)
	require.NoError(h.rt, err)
	if h.end(r, nil) {
		require.Nil(h.rt, h.hold(), "it has been carried out")
	} else {
		require.Equal(h.rt, open.Deletes[mesh.User], h.hold().Deletes[mesh.User], "a failed approval leaves the hold")
	}
}

func (h *holdDriver) reject() {
	if open := h.hold(); open != nil {
		require.NoError(h.rt, h.store.CloseHold(h.ctx, h.name, open.RunID, mesh.HoldRejected, "bob"))
	}
}

// end looks up, decides, settles and commits, unless it dies on the way.
func (h *holdDriver) end(r *run, limits *mesh.DeleteLimits) bool {
	h.committed = false
	_, err := h.store.StageHolders(h.ctx, r.fence)
	require.NoError(h.rt, err)
	for open := true; open; { // what a look-up finds may call for another
		found, err := h.store.Candidates(h.ctx, r.fence, 0)
		require.NoError(h.rt, err)
		var verdicts []mesh.Verdict
		for _, c := range found {
			verdicts = append(verdicts, h.org.verdict(c))
		}
		require.NoError(h.rt, h.store.Resolve(h.ctx, r.fence, verdicts, nil, mesh.Calls{}))
		open = len(found) > 0
	}
	d, err := h.store.Decide(h.ctx, r.fence, h.scope, limits)
	require.NoError(h.rt, err)
	for done := false; !done; {
		if !h.calm && rapid.IntRange(1, 30).Draw(h.rt, "crash") == 1 {
			_, err := h.store.End(h.ctx, r.id, mesh.Failed, "crash")
			require.NoError(h.rt, err)
			return false
		}
		if !h.calm && rapid.IntRange(1, 6).Draw(h.rt, "decide again") == 1 {
			again, err := h.store.Decide(h.ctx, r.fence, h.scope, limits)
			require.NoError(h.rt, err)
			require.Equal(h.rt, d, again)
		}
		res, err := h.store.Settle(h.ctx, r.fence, h.scope, 0)
		require.NoError(h.rt, err)
		done = res.Done
	}
	full := h.mode == "Full"
	row, err := h.store.Commit(h.ctx, r.fence, mesh.CommitRun{UsersFull: full, GroupsFull: full, HoldTimeLimit: time.Hour})
	require.NoError(h.rt, err)
	for _, typ := range mesh.ObjectTypes {
		require.Equal(h.rt, d.Held[typ], row.Counts[typ].Held)
	}
	require.Equal(h.rt, len(d.Held) > 0, row.Outcome == mesh.HeldDeletes)
	if h.mode != "Approval" {
		h.since = h.org.clock
	}
	h.committed = true
	return true
}

// check checks what always holds.
func (h *holdDriver) check() {
	h.checkFeed()
	live := map[string]bool{}
	for _, typ := range mesh.ObjectTypes {
		for _, id := range h.objects(typ) {
			live[id] = true
		}
	}
	if h.committed { // an approval that died has deleted some
		for d, err := range h.store.Held(h.ctx, h.name) {
			require.NoError(h.rt, err)
			require.True(h.rt, live[d.ExternalID], "%s is held but not live", d.OktaID)
		}
	}
	deletes := map[mesh.ObjectType]int{}
	for _, c := range h.changes(0) {
		alone := c.Type != mesh.GroupMember || c.Reason == mesh.MemberRemoved                 // other edges follow an end
		if c.Op == mesh.Delete && alone && c.Reason != mesh.Renamed && !h.approved[c.RunID] { // a rename loses nothing
			deletes[c.Type]++
		}
	}
	for typ, n := range deletes {
		require.LessOrEqual(h.rt, n, h.limits.Most, "%ss deleted without a word", typ)
	}
}
