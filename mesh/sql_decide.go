package mesh

import (
	"context"
	"database/sql"
	"fmt"
)

// guardWindow is how far back the guards count deletes, in milliseconds.
const guardWindow = 24 * 60 * 60 * 1000

// Decide implements [Writer]. Once Settle has begun it repeats what it answered
// before. Of memberships it counts those that do not follow a Delete of their user or
// group: the others are decided with these.
//
// Groups are decided first, because a user may be in the mesh for his groups' sake,
// and edges last, because those of held users and groups are held with them.
func (s *engine) Decide(ctx context.Context, f Fence, scope Scope, limits *DeleteLimits) (d Decision, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		if !t.settling {
			if err := t.decide(ctx, scope, limits); err != nil {
				return err
			}
		}
		d, err = t.decided(ctx)
		return err
	})
	return d, err
}

func (t *tx) decide(ctx context.Context, scope Scope, limits *DeleteLimits) error {
	if err := t.checkLookedUp(ctx); err != nil {
		return err
	}
	v, err := t.holdView(ctx)
	if err != nil {
		return err
	}
	if err := t.undecide(ctx); err != nil {
		return err
	}
	if err := t.rescope(ctx, scope); err != nil {
		return err
	}
	if v.full() { // it looks again at what holds have kept of edges
		if _, err := t.exec(ctx, dirtyHeld+` FROM im_held h WHERE h.hold_key IN (SELECT key FROM im_holds WHERE connector_key = :conn)`,
			sql.Named("conn", t.conn)); err != nil {
			return err
		}
	}
	g := &guards{tx: t, view: v, scope: scope, limits: limits}
	if err := g.objects(ctx, Group); err != nil {
		return err
	}
	if err := g.members(ctx); err != nil {
		return err
	}
	if err := g.objects(ctx, User); err != nil {
		return err
	}
	if err := g.wait(ctx); err != nil {
		return err
	}
	return g.edges(ctx)
}

// undecide takes back what an earlier Decide of the run did.
func (t *tx) undecide(ctx context.Context) error {
	if err := t.redoHeld(ctx, t.run); err != nil {
		return err
	}
	for _, q := range []string{
		`UPDATE im_staged SET kind = 'delete' WHERE run_key = ? AND kind = 'held'`,
		`UPDATE im_staged SET looked_up = 0 WHERE run_key = ? AND looked_up >= 4`,
		`DELETE FROM im_staged_edges WHERE run_key = ?`,
		`UPDATE im_run_counts SET decided = guarded, held = 0 WHERE run_key = ?`,
	} {
		if _, err := t.exec(ctx, q, t.run); err != nil {
			return err
		}
	}
	return t.unstageMembers(ctx, stagedByMembers)
}

// checkLookedUp refuses to go on while a candidate waits for its look-up.
func (t *tx) checkLookedUp(ctx context.Context) error {
	var open int
	if _, err := first(ctx, t, []any{&open},
		`SELECT count(*) FROM im_staged WHERE run_key = ? AND kind = 'delete' AND reason = ''`, t.run); err != nil {
		return err
	}
	if open > 0 {
		return &ConflictError{fmt.Sprintf("run %s has %d candidates for deletion that nobody looked up: resolve them before settling", t.fence.RunID, open)}
	}
	return nil
}

// rescope has all edges derived again when the scope is not that of the last settle.
func (t *tx) rescope(ctx context.Context, scope Scope) error {
	text := fmt.Sprintf("users=%t groups=%t", scope.Users, scope.Groups)
	changed, err := t.exec(ctx, `UPDATE im_connectors SET settled_scope = ?1 WHERE key = ?2 AND settled_scope <> ?1`, text, t.conn)
	if err != nil || changed == 0 {
		return err
	}
	_, err = t.exec(ctx, `
		INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key) SELECT ?1, 0, 'g', i.key FROM im_ids i
		WHERE i.connector_key = ?1 AND i.type = 'Group' AND EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = i.key)`, t.conn)
	return err
}

// decided reads what Decide recorded.
func (t *tx) decided(ctx context.Context) (Decision, error) {
	d := Decision{Deletes: map[ObjectType]int{}, Held: map[ObjectType]int{}}
	_, err := collect(ctx, t, func(rows *rowSet) (_ struct{}, err error) {
		var typ ObjectType
		var deletes, held int
		err = rows.Scan(&typ, &deletes, &held)
		if deletes > 0 {
			d.Deletes[typ] = deletes
		}
		if held > 0 {
			d.Held[typ] = held
		}
		return struct{}{}, err
	}, `SELECT type, decided, held FROM im_run_counts WHERE run_key = ?`, t.run)
	return d, err
}

// exceeded says whether n deletes are too many for a type that had base live objects.
func (l DeleteLimits) exceeded(n, base int) bool {
	return n > 10 && n*100 > l.Percent*base ||
		base >= 3 && n*2 > base ||
		l.Most >= 0 && n > l.Most
}

// guards decides the deletes of one run, type by type.
type guards struct {
	*tx
	view   holdView
	scope  Scope
	limits *DeleteLimits // nil: an operator has approved
}

// trip says whether fresh new deletes of a type must be held: counted are they, what
// the open hold keeps already, and what the last 24 hours have seen.
func (g *guards) trip(ctx context.Context, typ ObjectType, fresh, kept int) (bool, error) {
	if g.limits == nil || g.view.approval() || fresh == 0 {
		return false, nil
	}
	var recent int
	if _, err := first(ctx, g, []any{&recent}, `
		SELECT coalesce(sum(n.guarded), 0) FROM im_runs r CROSS JOIN im_run_counts n ON n.run_key = r.key AND n.type = ?
		WHERE r.connector_key = ? AND r.mode <> 'Approval' AND (r.key = ? OR r.ended_at > ?)`,
		typ, g.conn, g.run, g.now-guardWindow); err != nil {
		return false, err
	}
	live, err := liveCount(ctx, g, g.conn, typ)
	return g.limits.exceeded(recent+fresh+kept, live+recent), err
}

// record keeps what was decided of a type: fresh deletes, all held or none.
func (g *guards) record(ctx context.Context, typ ObjectType, fresh int, held bool) error {
	write, keep := fresh, 0
	if held {
		write, keep = 0, fresh
	}
	// What this run has settled before it was asked again belongs to the answer.
	_, err := g.exec(ctx, `
		INSERT INTO im_run_counts (run_key, type, decided, held) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (run_key, type) DO UPDATE SET decided = im_run_counts.guarded + excluded.decided, held = excluded.held`, g.run, typ, write, keep)
	return err
}

// objects decides the staged deletes of users or groups.
func (g *guards) objects(ctx context.Context, typ ObjectType) error {
	if typ == User && !g.scope.Users || typ == Group && !g.scope.Groups {
		return nil // no object is deleted
	}
	const staged = ` im_staged WHERE run_key = :run AND type = :type AND kind = 'delete' AND reason <> ''
		AND EXISTS (SELECT 1 FROM im_objects o INDEXED BY im_objects_state WHERE o.key = im_staged.key AND o.state = 'live')`
	args := g.view.args(g.tx, sql.Named("type", typ))
	// What the open hold keeps stays held; what an operator refused is left alone as long
	// as Okta says nothing new of it.
	const keep = ` AND EXISTS (SELECT 1 FROM im_held h WHERE h.hold_key = :open AND h.key = im_staged.key AND h.member_key = 0)`
	const refused = ` AND EXISTS (SELECT 1 FROM im_held h WHERE h.hold_key = :closed AND h.key = im_staged.key AND h.member_key = 0
		AND h.stamp = CASE WHEN im_staged.looked_up = 2 THEN ` + membershipStamp + ` ELSE im_staged.stamp END)`
	open, closed := g.view.keeps()
	kept := 0
	if open != 0 {
		if _, err := g.exec(ctx, `UPDATE im_staged SET kind = 'held' WHERE run_key = :run AND key IN (SELECT key FROM`+staged+keep+`)`, args...); err != nil {
			return err
		}
		if _, err := first(ctx, g, []any{&kept}, `
			SELECT count(*) FROM im_held h CROSS JOIN im_objects o INDEXED BY im_objects_state ON o.key = h.key AND o.state = 'live'
			WHERE h.hold_key = ? AND h.type = ? AND h.member_key = 0`, open, typ); err != nil {
			return err
		}
	}
	if closed != 0 {
		if _, err := g.exec(ctx, `DELETE FROM im_staged WHERE run_key = :run AND key IN (SELECT key FROM`+staged+refused+`)`, args...); err != nil {
			return err
		}
	}
	var fresh int
	if _, err := first(ctx, g, []any{&fresh}, `SELECT count(*) FROM`+staged, args...); err != nil {
		return err
	}
	held, err := g.trip(ctx, typ, fresh, kept)
	if err != nil {
		return err
	}
	if held {
		if _, err := g.exec(ctx, `UPDATE im_staged SET kind = 'held' WHERE run_key = :run AND key IN (SELECT key FROM`+staged+`)`, args...); err != nil {
			return err
		}
	}
	return g.record(ctx, typ, fresh, held)
}
