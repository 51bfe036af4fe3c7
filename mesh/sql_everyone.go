package mesh

import (
	"context"
)

// everyone is the group whose edges are derived, 0 when none are.
func (t *tx) everyone(ctx context.Context) (key int64, err error) {
	_, err = first(ctx, t, []any{&key}, `SELECT coalesce(everyone_key, 0) FROM im_connectors WHERE key = ?`, t.conn)
	return key, err
}

// joinEveryone gives users who came into the mesh the evidence that Okta makes them
// members of Everyone: its list lags, and it is not read for a newcomer.
func (t *tx) joinEveryone(ctx context.Context, users []int64) error {
	if len(users) == 0 {
		return nil
	}
	group, err := t.everyone(ctx)
	if err != nil || group == 0 {
		return err
	}
	list := keyList(users)
	if err := t.later(ctx, `
		INSERT INTO im_edges (group_key, member_key, listed) SELECT ?1, j.value, 1 FROM json_each(?2) j WHERE true
		ON CONFLICT (group_key, member_key) DO UPDATE SET listed = 1, deprovisioned = 0 WHERE im_edges.listed <> 1 OR im_edges.deprovisioned <> 0`,
		group, list); err != nil {
		return err
	}
	return t.later(ctx, `INSERT OR IGNORE INTO im_member_groups (member_key, group_key) SELECT j.value, ?1 FROM json_each(?2) j`, group, list)
}

// decideEveryone derives the edges of the group Everyone from now on if the run, a
// Full of both types, found exactly one whose members are exactly the live users. A
// connector that no longer imports users has none to derive them from.
func (t *tx) decideEveryone(ctx context.Context, c CommitRun) error {
	if !c.UsersFull || !c.GroupsFull {
		return t.later(ctx, `UPDATE im_connectors SET everyone_key = NULL
			WHERE key = ? AND everyone_key IS NOT NULL AND settled_scope LIKE 'users=false%'`, t.conn)
	}
	group, err := t.everyoneRead(ctx)
	if err != nil {
		return err
	}
	if group != 0 {
		var members, live, users int
		if _, err := first(ctx, t, []any{&members, &live}, `
			SELECT count(*), count(CASE WHEN u.state = 'live' THEN 1 END)
			FROM im_edges e LEFT JOIN im_objects u INDEXED BY im_objects_state ON u.key = e.member_key
			WHERE e.group_key = ? AND e.listed = 1 AND e.deprovisioned = 0`, group); err != nil {
			return err
		}
		if _, err := first(ctx, t, []any{&users},
			`SELECT count(*) FROM im_objects WHERE connector_key = ? AND type = 'User' AND state = 'live'`, t.conn); err != nil {
			return err
		}
		if members != live || live != users {
			group = 0
		}
	}
	return t.later(ctx, `UPDATE im_connectors SET everyone_key = nullif(?1, 0) WHERE key = ?2 AND coalesce(everyone_key, 0) <> ?1`, group, t.conn)
}

// everyoneRead is the only group Everyone whose members this run has read, 0 if there
// is none, there are several, or it is gone by now.
func (t *tx) everyoneRead(ctx context.Context) (int64, error) {
	found, err := collect(ctx, t, scanKey, `SELECT CASE WHEN q.done = 1 AND q.gone = 0 AND coalesce(g.state, 'live') = 'live' THEN q.group_key ELSE 0 END
		FROM im_member_queue q LEFT JOIN im_objects g INDEXED BY im_objects_state ON g.key = q.group_key
		WHERE q.run_key = ? AND q.everyone = 1`, t.run)
	if err != nil || len(found) != 1 {
		return 0, err
	}
	return found[0], nil
}
