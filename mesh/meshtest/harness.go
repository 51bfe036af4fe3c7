package meshtest

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"context"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	require.TestingT
	Helper()
}

// bench is one connector of one store under test.
type bench struct {
	t     tb
	ctx   context.Context
	store mesh.Store
	name  string
	runs  int
	mode  string // of the next runs; "" is Full
}

// longLease is a lease that no test outlives; shortLease one that a test waits out.
const (
	longLease  = time.Hour
	shortLease = time.Millisecond
)

func newBench(ctx context.Context, t tb, store mesh.Store, name string) *bench {
	t.Helper()
	_, err := store.ApplyConnector(ctx, mesh.Connector{
		Name: name, Type: "Okta", ConfigJSON: json.RawMessage(`{"a":1}`), AuthJSON: json.RawMessage(`{"b":2}`),
	})
	require.NoError(t, err)
	return &bench{t: t, ctx: ctx, store: store, name: name}
}

// run is one run of a bench's connector.
type run struct {
	*bench
	id    string
	fence mesh.Fence
	scope mesh.Scope
}

func (b *bench) beginRun(id string, ttl time.Duration) mesh.BeginRun {
	return mesh.BeginRun{
		Connector: b.name, RunID: id, WorkflowID: "wf-" + id, Namespace: "default", Mode: cmp.Or(b.mode, "Full"),
		StartedAt: time.Now().Add(-time.Second), LeaseTTL: ttl,
	}
}

// begin starts a run that holds the lease until it ends.
func (b *bench) begin() *run { b.t.Helper(); return b.beginFor(longLease) }

// beginFor starts a run, waiting until the lease of an abandoned one has run out.
func (b *bench) beginFor(ttl time.Duration) *run {
	b.t.Helper()
	b.runs++
	id := fmt.Sprintf("%s-run-%d", b.name, b.runs)
	deadline := time.Now().Add(10 * time.Second)
	for {
		fence, err := b.store.Begin(b.ctx, b.beginRun(id, ttl))
		var held *mesh.LeaseHeldError
		if errors.As(err, &held) && time.Now().Before(deadline) {
			continue // each try is a transaction: this is no busy loop to speak of
		}
		require.NoError(b.t, err)
		return &run{bench: b, id: id, fence: fence, scope: mesh.Scope{Users: true, Groups: true}}
	}
}

// claim makes "owner" the stream's attempt and returns its resume point.
func (r *run) claim(stream, owner string) mesh.Progress {
	r.t.Helper()
	p, err := r.store.Claim(r.ctx, r.fence, stream, owner)
	require.NoError(r.t, err)
	return p
}

// objectPage is a page of a stream claimed by "me".
func objectPage(stream string, number int, done bool, objects ...mesh.Object) mesh.ObjectPage {
	return mesh.ObjectPage{Page: pageOf(stream, number, done), Rows: len(objects), Objects: objects, Import: true}
}

func pageOf(stream string, number int, done bool) mesh.Page {
	p := mesh.Page{Stream: stream, Owner: "me", Number: number, Done: done, Calls: mesh.Calls{API: 1}}
	if !done {
		p.Next = fmt.Sprintf("https://example.okta.com/%s?after=%d", stream, number)
	}
	return p
}

// walk writes the objects as one page of a new stream.
func (r *run) walk(stream string, objects ...mesh.Object) {
	r.t.Helper()
	r.claim(stream, "me")
	p := objectPage(stream, 1, true, objects...)
	if stream == "groups" {
		p.Queue = &mesh.QueueRule{All: true}
	}
	_, err := r.store.WriteObjects(r.ctx, r.fence, p)
	require.NoError(r.t, err)
}

// members writes a group's complete list as one page.
func (r *run) members(group string, members ...string) {
	r.t.Helper()
	r.memberPage(group, 1, true, members...)
}

func (r *run) memberPage(group string, number int, done bool, members ...string) {
	r.t.Helper()
	stream := "members/" + group
	r.claim(stream, "me")
	p := mesh.MemberPage{Page: pageOf(stream, number, done), GroupID: group}
	for _, m := range members {
		id, gone := strings.CutSuffix(m, "!") // u1! is deprovisioned
		p.Members = append(p.Members, mesh.Member{OktaID: id, Deprovisioned: gone})
	}
	_, err := r.store.WriteMembers(r.ctx, r.fence, p)
	require.NoError(r.t, err)
}

// sweep stages what was not seen and resolves each candidate with its reason in
// verdicts; a candidate without one is acquitted.
func (r *run) sweep(verdicts map[string]mesh.Reason) {
	r.t.Helper()
	for _, typ := range []mesh.ObjectType{mesh.User, mesh.Group} {
		_, err := r.store.StageSweep(r.ctx, r.fence, typ, true)
		require.NoError(r.t, err)
	}
	found, err := r.store.Candidates(r.ctx, r.fence, 0)
	require.NoError(r.t, err)
	var all []mesh.Verdict
	for _, c := range found {
		all = append(all, mesh.Verdict{Type: c.Type, OktaID: c.OktaID, Reason: verdicts[c.OktaID]})
	}
	require.NoError(r.t, r.store.Resolve(r.ctx, r.fence, all, nil, mesh.Calls{}))
}

// settle settles to the end.
func (r *run) settle() mesh.SettleResult {
	r.t.Helper()
	require.NoError(r.t, r.store.CheckExternalIDs(r.ctx, r.fence))
	var total mesh.SettleResult
	for range 10_000 {
		res, err := r.store.Settle(r.ctx, r.fence, r.scope, time.Second)
		require.NoError(r.t, err)
		total.Edges += res.Edges
		total.Other += res.Other
		if res.Done {
			total.Done = true
			return total
		}
	}
	require.Fail(r.t, "Settle never ends")
	return total
}

// finish settles and commits.
func (r *run) finish() *mesh.Run {
	r.t.Helper()
	r.settle()
	done, err := r.store.Commit(r.ctx, r.fence, r.commitRun(mesh.Watermark{}))
	require.NoError(r.t, err)
	return done
}

// commitRun commits both types as walked in full unless the bench's mode is Delta.
func (b *bench) commitRun(w mesh.Watermark) mesh.CommitRun {
	full := b.mode != "Delta"
	return mesh.CommitRun{Watermark: w, UsersFull: full, GroupsFull: full, HoldTimeLimit: 72 * time.Hour}
}

// object makes an object whose attributes carry its Okta id, as mapping does.
func object(typ mesh.ObjectType, id, external string, attrs map[string]any) mesh.Object {
	all := map[string]any{"oktaId": id}
	maps.Copy(all, attrs)
	b, err := json.Marshal(all)
	if err != nil {
		panic(err) // the tests' own data
	}
	hash := sha256.Sum256(b)
	return mesh.Object{Type: typ, OktaID: id, ExternalID: external, Attributes: b, Hash: hash[:]}
}

func user(id string, kv ...any) mesh.Object  { return object(mesh.User, id, id, pairs(kv)) }
func group(id string, kv ...any) mesh.Object { return object(mesh.Group, id, id, pairs(kv)) }

// named is a user whose external id is a login.
func named(id, login string, kv ...any) mesh.Object {
	return object(mesh.User, id, login, pairs(kv))
}

func pairs(kv []any) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i].(string)] = kv[i+1]
	}
	return m
}

// deprovisioned is a user that Okta shows as one the mesh must not hold.
func deprovisioned(id string) mesh.Object {
	o := user(id)
	o.Delete = mesh.Deprovisioned
	return o
}

func at(o mesh.Object, second int) mesh.Object {
	o.Stamp = time.Date(2026, 4, 22, 8, 0, second, 0, time.UTC)
	return o
}

// line is a change in short: "Add User u1", "Delete User u1 (hard-deleted)",
// "Update User u1 [a b]".
func line(c mesh.Change) string {
	s := fmt.Sprintf("%s %s %s", c.Op, c.Type, c.ExternalID)
	if c.Reason != "" {
		s += fmt.Sprintf(" (%s)", c.Reason)
	}
	if len(c.Changed) > 0 {
		s += fmt.Sprintf(" %v", c.Changed)
	}
	return s
}

// changes returns the feed after since.
func (b *bench) changes(since int64) []mesh.Change {
	b.t.Helper()
	var all []mesh.Change
	for c, err := range b.store.Changes(b.ctx, mesh.ChangeQuery{Connector: b.name, Since: since}) {
		require.NoError(b.t, err)
		all = append(all, c)
	}
	return all
}

// feed returns the changes of a run in short.
func (r *run) feed() []string {
	r.t.Helper()
	lines := []string{}
	for c, err := range r.store.Changes(r.ctx, mesh.ChangeQuery{Connector: r.name, RunID: r.id}) {
		require.NoError(r.t, err)
		lines = append(lines, line(c))
	}
	return lines
}

// objects returns the external ids of the live objects of a type.
func (b *bench) objects(typ mesh.ObjectType) []string {
	b.t.Helper()
	ids := []string{}
	for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name, Type: typ}) {
		require.NoError(b.t, err)
		require.Equal(b.t, mesh.Live, o.State)
		ids = append(ids, o.ExternalID)
	}
	return ids
}

// checkFeed replays the feed from empty, checks each row against what came before
// it, and compares the result with the objects of the store.
func (b *bench) checkFeed() {
	b.t.Helper()
	type id struct {
		typ      mesh.ObjectType
		external string
	}
	live := map[id]string{}
	ends := map[string]bool{}      // Okta ids of live users and groups
	edges := map[string][]string{} // live edges, by the Okta id of an end
	for i, c := range b.changes(0) {
		require.EqualValues(b.t, i+1, c.Seq, "the feed has no gap")
		key, was := id{c.Type, c.ExternalID}, live[id{c.Type, c.ExternalID}]
		switch c.Op {
		case mesh.Add:
			require.Empty(b.t, was, "%s: it is there already", line(c))
			live[key] = string(c.Attributes)
		case mesh.Update:
			require.NotEmpty(b.t, was, "%s: it is not there", line(c))
			require.NotEmpty(b.t, c.Changed)
			live[key] = string(c.Attributes)
		case mesh.Delete:
			require.Equal(b.t, was, string(c.Attributes), "%s: as it was last", line(c))
			require.NotEmpty(b.t, c.Reason)
			delete(live, key)
		}
		if c.Type != mesh.GroupMember {
			var a struct{ OktaID string }
			require.NoError(b.t, json.Unmarshal(c.Attributes, &a))
			ends[a.OktaID] = c.Op != mesh.Delete || c.Reason == mesh.Renamed
			if !ends[a.OktaID] {
				require.Empty(b.t, edges[a.OktaID], "%s leaves edges behind", line(c))
			}
			continue
		}
		g, m, _ := strings.Cut(c.ExternalID, ":")
		for _, end := range []string{g, m} {
			if c.Op == mesh.Add {
				edges[end] = append(edges[end], c.ExternalID)
			} else {
				edges[end] = slices.DeleteFunc(edges[end], func(s string) bool { return s == c.ExternalID })
			}
		}
		b.checkEnds(c, ends, g, m)
	}
	held := map[id]string{}
	for o, err := range b.store.Objects(b.ctx, mesh.ObjectQuery{Connector: b.name}) {
		require.NoError(b.t, err)
		held[id{o.Type, o.ExternalID}] = string(o.Attributes)
	}
	require.Equal(b.t, held, live, "the feed replayed gives the objects")
}

// checkEnds checks that an edge's Add follows its ends' Adds. An end that was never
// imported is not checked.
func (b *bench) checkEnds(c mesh.Change, ends map[string]bool, g, m string) {
	b.t.Helper()
	if c.Op != mesh.Add {
		return
	}
	for _, end := range []string{g, m} {
		if here, imported := ends[end]; imported {
			require.True(b.t, here, "%s: %s is not there", line(c), end)
		}
	}
}

// queueAll is the rule that queues every group of a page, nil when not wanted.
func queueAll(wanted bool) *mesh.QueueRule {
	if !wanted {
		return nil
	}
	return &mesh.QueueRule{All: true}
}
