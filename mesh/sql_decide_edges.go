package mesh

import (
	"context"
	"database/sql"
)

// What a hold keeps of edges, in the terms of userStays and groupStays.
const (
	// An edge that goes with an object that the run deletes is decided with it.
	followsEnd = `(:users <> 0 AND coalesce(su.kind, '') = 'delete' AND coalesce(u.state, '') = 'live'
		OR :groups <> 0 AND coalesce(sg.kind, '') = 'delete' AND coalesce(g.state, '') = 'live')`
	// The edges of held users and groups are held with them.
	heldBefore = `(coalesce(su.kind, '') = 'held' OR coalesce(sg.kind, '') = 'held'
		OR EXISTS (SELECT 1 FROM im_held h WHERE h.hold_key IN (:open, :closed) AND h.key = e.group_key AND h.member_key IN (0, e.member_key))
		OR EXISTS (SELECT 1 FROM im_held h WHERE h.hold_key IN (:open, :closed) AND h.key = e.member_key AND h.member_key = 0))`
	heldNow = `EXISTS (SELECT 1 FROM im_staged_edges x WHERE x.run_key = :run AND x.group_key = e.group_key AND x.member_key = e.member_key)`
	// mayGo says whether nothing keeps an edge back that is due for its Delete.
	mayGo = `(` + followsEnd + ` OR NOT (` + heldBefore + ` OR ` + heldNow + `))`
)

// joinMemberEnd and joinGroupEnd join the ends of an edge, as userStays and groupStays
// name them, by the column that holds the end's key.
func joinMemberEnd(key string) string {
	return `
	LEFT JOIN im_objects u INDEXED BY im_objects_state ON u.key = ` + key + `
	LEFT JOIN im_staged su ON su.run_key = :run AND su.key = ` + key
}

func joinGroupEnd(key string) string {
	return `
	LEFT JOIN im_objects g INDEXED BY im_objects_state ON g.key = ` + key + `
	LEFT JOIN im_staged sg ON sg.run_key = :run AND sg.key = ` + key
}

// The edges of dirty groups, and those of dirty members. An edge may be both.
const (
	edgesOfDirtyGroups = ` FROM im_dirty d CROSS JOIN im_edges e ON e.group_key = d.key`
	ofDirtyGroups      = ` d.connector_key = :conn AND d.stage = 0 AND d.side = 'g' `

	edgesOfDirtyMembers = ` FROM im_dirty d CROSS JOIN im_member_groups k ON k.member_key = d.key
		CROSS JOIN im_edges e ON e.group_key = k.group_key AND e.member_key = k.member_key`
	ofDirtyMembers = ` d.connector_key = :conn AND d.stage = 0 AND d.side = 'm' `
)

// edges decides the edges that go although both their ends stay: these are what Settle
// would delete on its own account. Those held are named in im_staged_edges.
func (g *guards) edges(ctx context.Context) error {
	args := g.view.args(g.tx, sql.Named("users", g.scope.Users), sql.Named("groups", g.scope.Groups))
	for _, side := range [][2]string{{edgesOfDirtyGroups, ofDirtyGroups}, {edgesOfDirtyMembers, ofDirtyMembers}} {
		if _, err := g.exec(ctx, `INSERT OR IGNORE INTO im_staged_edges (run_key, group_key, member_key, reason)
			SELECT :run, e.group_key, e.member_key, `+dueDeletes.why+side[0]+joinMemberEnd(`e.member_key`)+joinGroupEnd(`e.group_key`)+` WHERE `+side[1]+` AND `+dueDeletes.due+`
			AND NOT `+followsEnd+` AND NOT `+heldBefore, args...); err != nil {
			return err
		}
	}
	var fresh, kept int
	if _, err := first(ctx, g, []any{&fresh}, `SELECT count(*) FROM im_staged_edges WHERE run_key = ?`, g.run); err != nil {
		return err
	}
	if open, _ := g.view.keeps(); open != 0 && fresh > 0 {
		if _, err := first(ctx, g, []any{&kept}, `
			SELECT count(*) FROM im_held h JOIN im_edges e ON e.group_key = h.key AND e.member_key = h.member_key
			WHERE h.hold_key = ? AND h.member_key <> 0 AND `+stillDue, open); err != nil {
			return err
		}
	}
	held, err := g.trip(ctx, GroupMember, fresh, kept)
	if err != nil {
		return err
	}
	if !held {
		if _, err := g.exec(ctx, `DELETE FROM im_staged_edges WHERE run_key = ?`, g.run); err != nil {
			return err
		}
	}
	return g.record(ctx, GroupMember, fresh, held)
}
