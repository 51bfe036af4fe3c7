package mesh

import (
	"context"
	"database/sql"
	"fmt"
	"math"
)

// The stages of im_dirty.
const (
	stageDeletes = iota
	stageIndex
	stageAdds
)

// edgeDuty is one of the two passes that write edges into the feed.
type edgeDuty struct {
	stage int
	op    Op
	live  int
	due   string // which edges of the window to write
	may   string // what a hold says of it
	why   string // the reason to write
	note  string // im_chunk.note
}

// Where the ends stand once all that is staged is applied. u and g are the ends'
// objects, su and sg their staged rows. An end that is not imported is not checked,
// but for a member that its group's list showed as deprovisioned and for a group
// that is known to be gone.
const (
	userStays = `CASE WHEN :users <> 0
		THEN coalesce(su.kind, '') IN ('add', 'rename') OR (coalesce(u.state, '') = 'live' AND coalesce(su.kind, 'held') = 'held')
		ELSE e.deprovisioned = 0 END`
	groupStays = `CASE WHEN :groups <> 0
		THEN coalesce(sg.kind, '') IN ('add', 'rename') OR (coalesce(g.state, '') = 'live' AND coalesce(sg.kind, 'held') = 'held')
		ELSE coalesce(sg.kind, '') <> 'delete' END`
)

var (
	// An edge that leaves with an end says why that end left.
	dueDeletes = edgeDuty{stage: stageDeletes, op: Delete, live: 0,
		due: `e.live = 1 AND NOT (e.listed = 1 AND ` + userStays + ` AND ` + groupStays + `)`, may: mayGo,
		why: `CASE
			WHEN NOT ` + userStays + ` THEN CASE WHEN :users <> 0 THEN coalesce(nullif(su.reason, ''), nullif(u.reason, ''), 'out-of-scope') ELSE 'deprovisioned' END
			WHEN NOT ` + groupStays + ` THEN coalesce(nullif(sg.reason, ''), nullif(g.reason, ''), 'group-deleted')
			ELSE 'member-removed' END`,
		note: `CASE WHEN ` + followsEnd + ` THEN 1 ELSE 0 END`}
	dueAdds = edgeDuty{stage: stageAdds, op: Add, live: 1,
		due: `e.live = 0 AND e.listed = 1 AND ` + userStays + ` AND ` + groupStays, may: `true`,
		why: `''`, note: `e.deprovisioned`}
)

// edgeWalk goes over the edges of the dirty ids of one stage and side, from just
// behind (key, after). The position is kept in im_dirty, so that every transaction
// gets further however small the budget of a call is.
type edgeWalk struct {
	conn       int64
	stage      int
	side       string
	key, after int64
	other      string // the column of the end that is not dirty
}

// dueWalk is the walk of a stage, nil when no id is left there.
func (t *tx) dueWalk(ctx context.Context, stage int) (*edgeWalk, error) {
	w := &edgeWalk{conn: t.conn, stage: stage}
	due, err := first(ctx, t, []any{&w.side, &w.key, &w.after},
		`SELECT side, key, after FROM im_dirty WHERE connector_key = ? AND stage = ? ORDER BY side, key LIMIT 1`, t.conn, stage)
	if err != nil || !due {
		return nil, err
	}
	w.other = "e.member_key"
	if w.side == "m" {
		w.other = "k.group_key"
	}
	return w, nil
}

// settleEdges looks at one window of edges and writes what is due. It says false
// when no id is left at the duty's stage.
func (t *tx) settleEdges(ctx context.Context, duty edgeDuty, scope Scope) (due bool, written int, err error) {
	w, err := t.dueWalk(ctx, duty.stage)
	if err != nil || w == nil {
		return false, 0, err
	}
	lastKey, lastOther, err := w.window(ctx, t, t.store.edgeWindow)
	if err != nil {
		return false, 0, err
	}
	if written, err = w.write(ctx, t, duty, scope, lastKey, lastOther); err != nil {
		return false, 0, err
	}
	return true, written, t.passDirty(ctx, w, lastKey, lastOther)
}

// indexEdges enters one window of edges into im_member_groups, sorted.
func (t *tx) indexEdges(ctx context.Context) (due bool, err error) {
	w, err := t.dueWalk(ctx, stageIndex)
	if err != nil || w == nil {
		return false, err
	}
	lastKey, lastOther, err := w.window(ctx, t, t.store.indexWindow)
	if err != nil {
		return false, err
	}
	insert, lacking := t.store.db.indexEdges()
	if err := t.later(ctx, insert+` im_member_groups (member_key, group_key)
		SELECT e.member_key, e.group_key`+w.edges("")+w.until()+w.dirty()+` AND d.key <= :lastKey`+lacking+` ORDER BY e.member_key, e.group_key`,
		w.args(sql.Named("lastKey", lastKey), sql.Named("lastOther", lastOther))...); err != nil {
		return false, err
	}
	return true, t.passDirty(ctx, w, lastKey, lastOther)
}

// edges, until and dirty are the parts of a query that walks the edges in order; near
// joins what belongs to the dirty id, before its edges.
func (w *edgeWalk) edges(near string) string {
	const after = ` > CASE WHEN d.key = :key THEN :after ELSE 0 END`
	if w.side == "m" {
		return ` FROM im_dirty d` + near + ` CROSS JOIN im_member_groups k ON k.member_key = d.key AND k.group_key` + after + `
			CROSS JOIN im_edges e ON e.group_key = k.group_key AND e.member_key = k.member_key`
	}
	return ` FROM im_dirty d` + near + ` CROSS JOIN im_edges e ON e.group_key = d.key AND e.member_key` + after
}

func (w *edgeWalk) until() string {
	return ` AND ` + w.other + ` <= CASE WHEN d.key = :lastKey THEN :lastOther ELSE 9223372036854775807 END `
}

func (w *edgeWalk) dirty() string {
	return ` WHERE d.connector_key = :conn AND d.stage = :stage AND d.side = :side AND d.key >= :key`
}

func (w *edgeWalk) args(more ...any) []any {
	return append([]any{sql.Named("conn", w.conn), sql.Named("stage", w.stage), sql.Named("side", w.side),
		sql.Named("key", w.key), sql.Named("after", w.after)}, more...)
}

// window finds the last of the next n edges; beyond all keys when fewer are left.
func (w *edgeWalk) window(ctx context.Context, t *tx, n int) (lastKey, lastOther int64, err error) {
	found, err := first(ctx, t, []any{&lastKey, &lastOther}, `SELECT d.key, `+w.other+w.edges("")+w.dirty()+`
		ORDER BY `+t.store.db.windowOrder(w.other)+` LIMIT 1 OFFSET :skip`, w.args(sql.Named("skip", n-1))...)
	if err == nil && !found {
		return math.MaxInt64, 0, nil
	}
	return lastKey, lastOther, err
}

// due is the query for the window's edges that are due, in order. Of a run that has
// staged nothing, an Add's ends need only be looked at where they must be live, and an
// edge whose end is not is passed at once: a first import consists of such edges.
func (w *edgeWalk) due(duty edgeDuty, scope Scope, staged bool) string {
	group, member, due := `d.key`, `e.member_key`, duty.due+` AND `+duty.may
	if w.side == "m" {
		group, member = `e.group_key`, `d.key`
	}
	ofGroup, ofMember := joinGroupEnd(group), joinMemberEnd(member)
	if duty.op == Add && !staged {
		const live = ` CROSS JOIN im_objects %[1]s INDEXED BY im_objects_state ON %[1]s.key = %[2]s AND %[1]s.state = 'live' `
		ofGroup, ofMember, due = "", "", `e.live = 0 AND e.listed = 1`
		if scope.Groups {
			ofGroup = fmt.Sprintf(live, "g", group)
		}
		if scope.Users {
			ofMember = fmt.Sprintf(live, "u", member)
		} else {
			due += ` AND e.deprovisioned = 0`
		}
	}
	near, far := ofGroup, ofMember
	if w.side == "m" {
		near, far = ofMember, ofGroup
	}
	return `SELECT e.group_key, e.member_key, ` + duty.why + `, ` + duty.note + w.edges(near) + w.until() + far + w.dirty() + `
		AND d.key <= :lastKey AND ` + due + ` ORDER BY d.key, ` + w.other
}
