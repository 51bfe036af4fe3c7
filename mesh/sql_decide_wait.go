package mesh

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
)

// taken says of a staged row s that the external id which it wants stays with somebody
// whose delete is held, or was refused, or whose own rename has to wait; of one who has
// waited outside, with anybody who is live.
const taken = ` EXISTS (SELECT 1 FROM im_objects o INDEXED BY im_objects_fold
	LEFT JOIN im_staged d ON d.run_key = :run AND d.key = o.key
	WHERE o.connector_key = :conn AND o.type = s.type AND o.external_fold = s.external_fold AND o.state = 'live' AND o.key <> s.key
	AND (d.kind = 'held' OR d.looked_up >= 4 OR d.kind IS NULL AND (s.looked_up = 2 OR EXISTS (
		SELECT 1 FROM im_held h WHERE h.hold_key IN (:open, :closed) AND h.key = o.key AND h.member_key = 0))))`

// wait makes those wait who want an external id that a hold keeps: a hold blocks
// nothing, so that they must not fail the run as a collision. A newcomer is kept
// outside, from where a later Decide brings him in once the id is free. Of a rename,
// the other attributes are written under the old name (settleHeld); the object waits
// for the new one.
//
// The values of im_staged.looked_up: 4, a rename that waits, or an add that will; 5, the
// attributes of the rename are written.
func (g *guards) wait(ctx context.Context) error {
	args := g.view.args(g.tx)
	if err := g.wishes(ctx); err != nil {
		return err
	}
	if err := g.giveWay(ctx); err != nil {
		return err
	}
	for {
		n, err := g.exec(ctx, `UPDATE im_staged AS s SET looked_up = 4
			WHERE s.run_key = :run AND s.kind = 'rename' AND s.looked_up = 0 AND`+taken, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
	}
	if _, err := g.exec(ctx, `
		INSERT INTO im_objects (key, connector_key, type, external_id, external_fold, attributes, hash, stamp, state, reason, created_at, updated_at)
		SELECT s.key, :conn, s.type, s.external_id, s.external_fold, s.attributes, s.hash, s.stamp, 'outside', 'waiting', :now, :now
		FROM im_staged s WHERE s.run_key = :run AND s.kind = 'add' AND (s.looked_up = 4 OR`+taken+`)
		ON CONFLICT (key) DO UPDATE SET external_id = excluded.external_id, external_fold = excluded.external_fold,
			attributes = excluded.attributes, hash = excluded.hash, stamp = max(im_objects.stamp, excluded.stamp),
			state = 'outside', reason = 'waiting', wants = '', updated_at = excluded.updated_at`, append(args, sql.Named("now", g.now))...); err != nil {
		return err
	}
	_, err := g.exec(ctx, `DELETE FROM im_staged AS s WHERE s.run_key = :run AND s.kind = 'add' AND (s.looked_up = 4 OR`+taken+`)`, args...)
	return err
}

// giveWay makes those wait for whom no answer of this run's says that they still want
// their external id, when another wants it too: Okta has given it to him whom the run
// saw, or else to him of whom it spoke last. The others may be gone; a Full finds out.
func (g *guards) giveWay(ctx context.Context) error {
	_, err := g.exec(ctx, `
		WITH wanted AS (
			SELECT s.key, s.type, s.external_fold, s.stamp,
				CASE WHEN EXISTS (SELECT 1 FROM im_seen n WHERE n.run_key = ?1 AND n.key = s.key) THEN 1 ELSE 0 END AS seen
			FROM im_staged s WHERE s.run_key = ?1 AND s.kind IN ('add', 'rename')),
		rivals AS (
			SELECT w.key, w.seen, max(w.seen) OVER (PARTITION BY w.type, w.external_fold) AS another,
				row_number() OVER (PARTITION BY w.type, w.external_fold ORDER BY w.stamp DESC, w.key DESC) AS place
			FROM wanted w)
		UPDATE im_staged SET looked_up = 4 WHERE run_key = ?1 AND key IN (
			SELECT r.key FROM rivals r WHERE r.seen = 0 AND (r.another = 1 OR r.place > 1))`, g.run)
	return err
}

// wishes stages again the renames that have waited, unless somebody who stays has the
// id they want. Those whose own delete is held keep the id that they have.
func (g *guards) wishes(ctx context.Context) error {
	type wish struct {
		o   Object
		key int64
	}
	open, closed := g.view.keeps()
	found, err := collect(ctx, g.tx, func(rows *rowSet) (w wish, err error) {
		var attributes string
		var stamp int64
		err = rows.Scan(&w.key, &w.o.Type, &w.o.OktaID, &w.o.ExternalID, &attributes, &w.o.Hash, &stamp)
		w.o.Attributes, w.o.Stamp = json.RawMessage(attributes), fromMillis(stamp)
		return w, err
	}, `SELECT o.key, o.type, i.okta_id, o.wants, o.attributes, o.hash, o.stamp
		FROM im_objects o INDEXED BY im_objects_wants JOIN im_ids i ON i.key = o.key
		WHERE o.connector_key = ?1 AND o.wants <> '' AND o.state = 'live'
		AND NOT EXISTS (SELECT 1 FROM im_staged d WHERE d.run_key = ?2 AND d.key = o.key)
		AND NOT EXISTS (SELECT 1 FROM im_held h WHERE h.hold_key IN (?3, ?4) AND h.key = o.key AND h.member_key = 0)`, g.conn, g.run, open, closed)
	if err != nil {
		return err
	}
	for _, w := range found {
		if _, err := g.exec(ctx, `
			INSERT INTO im_staged (run_key, key, kind, type, external_id, external_fold, attributes, hash, stamp)
			SELECT ?1, ?2, 'rename', ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (
				SELECT 1 FROM im_objects o INDEXED BY im_objects_fold
				WHERE o.connector_key = ?9 AND o.type = ?3 AND o.external_fold = ?5 AND o.state = 'live' AND o.key <> ?2
				AND NOT EXISTS (SELECT 1 FROM im_staged d WHERE d.run_key = ?1 AND d.key = o.key))`,
			g.run, w.key, w.o.Type, w.o.ExternalID, externalFold(w.o), string(w.o.Attributes), w.o.Hash, toMillis(w.o.Stamp), g.conn); err != nil {
			return err
		}
	}
	return nil
}

// noteWaiting says in the run row how many wait for an external id.
func (t *tx) noteWaiting(ctx context.Context) error {
	var n int
	if _, err := first(ctx, t, []any{&n}, `
		SELECT (SELECT count(*) FROM im_objects INDEXED BY im_objects_waiting WHERE connector_key = ?1 AND reason = 'waiting' AND state = 'outside')
			+ (SELECT count(*) FROM im_objects INDEXED BY im_objects_wants WHERE connector_key = ?1 AND wants <> '' AND state = 'live')`, t.conn); err != nil || n == 0 {
		return err
	}
	_, err := t.exec(ctx, `UPDATE im_runs SET note = note || CASE note WHEN '' THEN '' ELSE '; ' END || ? WHERE key = ?`,
		fmt.Sprintf("users who wait for an external id that a hold keeps: %d", n), t.run)
	return err
}
