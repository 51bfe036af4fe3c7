package mesh

import (
	"context"
	"math"
)

// StageSweep implements [Writer]. For groups it also stages those that are no
// objects of the mesh (a connector that imports memberships alone) but have edges:
// they too went missing from a complete listing, and their edges go with them. The
// Group of an earlier configuration is staged for its edges alone: it stays itself.
func (s *engine) StageSweep(ctx context.Context, f Fence, typ ObjectType, imported bool) (candidates int, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		if typ != User && typ != Group {
			return &ConflictError{"only users and groups are swept: memberships follow their evidence"}
		}
		if err := t.unsettle(ctx); err != nil {
			return err
		}
		const stage = `INSERT INTO im_staged (run_key, key, kind, type) `
		const restage = ` ON CONFLICT (run_key, key) DO UPDATE SET kind = 'delete', reason = '', looked_up = 0,
			external_id = '', external_fold = '', attributes = '', hash = NULL, stamp = 0 WHERE im_staged.kind IN ('add', 'rename')`
		if imported {
			if _, err := t.exec(ctx, stage+`
				SELECT ?1, o.key, 'delete', o.type FROM im_objects o INDEXED BY im_objects_fold
				WHERE o.connector_key = ?2 AND o.type = ?3 AND o.state = 'live'
				AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = o.key)`+restage, t.run, t.conn, typ); err != nil {
				return err
			}
		}
		if typ == User { // who was not even in the mesh needs no look-up
			if _, err := t.exec(ctx, `
				UPDATE im_objects INDEXED BY im_objects_outside SET state = 'deleted', reason = 'out-of-scope', updated_at = ?3
				WHERE connector_key = ?2 AND state = 'outside' AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = im_objects.key)`,
				t.run, t.conn, t.now); err != nil {
				return err
			}
		}
		if typ == Group {
			if _, err := t.exec(ctx, stage+`
				SELECT ?1, i.key, 'delete', i.type FROM im_ids i
				WHERE i.connector_key = ?2 AND i.type = 'Group'
				AND NOT (?3 <> 0 AND EXISTS (SELECT 1 FROM im_objects o WHERE o.key = i.key AND o.state = 'live'))
				AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = i.key)
				AND EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = i.key AND (e.live = 1 OR e.listed = 1))`+restage, t.run, t.conn, imported); err != nil {
				return err
			}
		}
		candidates, err = t.dirtyCandidates(ctx, typ)
		return err
	})
	return candidates, err
}

// dirtyCandidates marks the edges of a type's candidates as dirty and counts them.
func (t *tx) dirtyCandidates(ctx context.Context, typ ObjectType) (int, error) {
	sides, err := collect(ctx, t, func(rows *rowSet) (e edgeSide, err error) {
		e.typ = typ
		return e, rows.Scan(&e.key)
	}, `SELECT key FROM im_staged WHERE run_key = ? AND kind = 'delete' AND reason = '' AND type = ?`, t.run, typ)
	if err != nil {
		return 0, err
	}
	return len(sides), t.markDirty(ctx, sides)
}

// StageHolders implements [Writer].
func (s *engine) StageHolders(ctx context.Context, f Fence) (candidates int, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		if err := t.unsettle(ctx); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `
			INSERT INTO im_staged (run_key, key, kind, type)
			SELECT DISTINCT ?1, o.key, 'delete', o.type FROM im_staged a
			CROSS JOIN im_objects o INDEXED BY im_objects_fold
				ON o.connector_key = ?2 AND o.type = a.type AND o.external_fold = a.external_fold AND o.state = 'live' AND o.key <> a.key
			WHERE a.run_key = ?1 AND a.kind IN ('add', 'rename')
			AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = o.key)
			ON CONFLICT (run_key, key) DO NOTHING`, t.run, t.conn); err != nil {
			return err
		}
		// Who has waited outside for an id that may be free now is asked for as well.
		if _, err := t.exec(ctx, `
			INSERT INTO im_staged (run_key, key, kind, type)
			SELECT ?1, w.key, 'delete', w.type FROM im_objects w INDEXED BY im_objects_waiting
			WHERE w.connector_key = ?2 AND w.reason = 'waiting' AND w.state = 'outside'
			AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = w.key)
			AND NOT EXISTS (SELECT 1 FROM im_objects o INDEXED BY im_objects_fold
				WHERE o.connector_key = ?2 AND o.type = w.type AND o.external_fold = w.external_fold AND o.state = 'live'
				AND NOT EXISTS (SELECT 1 FROM im_staged d WHERE d.run_key = ?1 AND d.key = o.key))
			ON CONFLICT (run_key, key) DO NOTHING`, t.run, t.conn); err != nil {
			return err
		}
		candidates, err = t.dirtyCandidates(ctx, User)
		return err
	})
	return candidates, err
}

// StageChanged implements [Writer]. Users outside are asked too: one who has left the
// scope must not come in with a group.
func (s *engine) StageChanged(ctx context.Context, f Fence) (candidates int, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		if err := t.unsettle(ctx); err != nil {
			return err
		}
		if _, err := t.exec(ctx, `
			INSERT OR IGNORE INTO im_staged (run_key, key, kind, type)
			SELECT ?1, c.key, 'delete', 'User' FROM im_changed c
			CROSS JOIN im_objects o INDEXED BY im_objects_state ON o.key = c.key AND o.state IN ('live', 'outside')
			WHERE c.run_key = ?1 AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = c.key)`, t.run); err != nil {
			return err
		}
		candidates, err = t.dirtyCandidates(ctx, User)
		return err
	})
	return candidates, err
}

// Candidates implements [Writer]; in a fixed order.
func (s *engine) Candidates(ctx context.Context, f Fence, limit int) (found []Candidate, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		found, err = collect(ctx, t, func(rows *rowSet) (c Candidate, err error) {
			return c, rows.Scan(&c.Type, &c.OktaID)
		}, `SELECT i.type, i.okta_id FROM im_staged d JOIN im_ids i ON i.key = d.key
			WHERE d.run_key = ? AND d.kind = 'delete' AND d.reason = '' ORDER BY d.key LIMIT ?`, t.run, sqlLimit(limit))
		return err
	})
	return found, err
}

// sqlLimit is a limit where 0 means all.
func sqlLimit(n int) int64 {
	if n <= 0 {
		return math.MaxInt64
	}
	return int64(n)
}

// Resolve implements [Writer]. A verdict on an object that is not staged changes
// nothing unless it acquits with what was found, which is written like a page's row.
func (s *engine) Resolve(ctx context.Context, f Fence, verdicts []Verdict, ignore []string, calls Calls) error {
	return s.fenced(ctx, f, func(t *tx) error {
		if err := t.unsettle(ctx); err != nil {
			return err
		}
		if err := t.addCalls(ctx, calls); err != nil {
			return err
		}
		var inside, outside []Object
		var insideKeys []int64
		var acquitted []objectID
		for _, v := range verdicts {
			key, err := t.intern(ctx, v.Type, v.OktaID)
			if err != nil {
				return err
			}
			if v.Reason != "" {
				if err := t.sentence(ctx, key, v); err != nil {
					return err
				}
				continue
			}
			unstaged, err := t.exec(ctx, `DELETE FROM im_staged WHERE run_key = ? AND key = ? AND kind = 'delete'`, t.run, key)
			if err != nil {
				return err
			}
			var stays bool
			if _, err := first(ctx, t, []any{&stays}, `SELECT count(*) > 0 FROM im_objects WHERE key = ? AND state = 'outside'`, key); err != nil {
				return err
			}
			if unstaged > 0 && !stays { // no listing missed whom the mesh does not hold
				if err := t.countAcquitted(ctx, v.Type); err != nil {
					return err
				}
			}
			if v.Found == nil {
				acquitted = append(acquitted, objectID{v.Type, v.OktaID})
				continue
			}
			o := *v.Found
			o.Type, o.OktaID = v.Type, v.OktaID
			if stays {
				outside = append(outside, o)
			} else {
				inside, insideKeys = append(inside, o), append(insideKeys, key)
			}
		}
		if err := t.acquit(ctx, acquitted); err != nil {
			return err
		}
		for _, w := range []struct {
			*objectWriter
			found []Object
		}{{&objectWriter{tx: t, ignore: ignore}, inside}, {&objectWriter{tx: t, ignore: ignore, membersOnly: true}, outside}} {
			if err := w.load(ctx, w.found); err != nil {
				return err
			}
			if err := w.write(ctx, w.found); err != nil {
				return err
			}
		}
		return t.stageHoldersOf(ctx, insideKeys)
	})
}

// stageHoldersOf is StageHolders for what look-ups found: whoever holds an external id
// that they show with somebody else is a candidate in his turn.
func (t *tx) stageHoldersOf(ctx context.Context, found []int64) error {
	if len(found) == 0 {
		return nil
	}
	sides, err := collect(ctx, t, func(rows *rowSet) (e edgeSide, err error) {
		return e, rows.Scan(&e.typ, &e.key)
	}, `INSERT INTO im_staged (run_key, key, kind, type)
		SELECT DISTINCT ?1, o.key, 'delete', o.type FROM json_each(?3) j
		CROSS JOIN im_staged a ON a.run_key = ?1 AND a.key = j.value AND a.kind IN ('add', 'rename')
		CROSS JOIN im_objects o INDEXED BY im_objects_fold
			ON o.connector_key = ?2 AND o.type = a.type AND o.external_fold = a.external_fold AND o.state = 'live' AND o.key <> a.key
		WHERE NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = o.key)
		ON CONFLICT (run_key, key) DO NOTHING RETURNING type, key`, t.run, t.conn, keyList(found))
	if err != nil {
		return err
	}
	return t.markDirty(ctx, sides)
}

// sentence decides a candidate's Delete. What was found of a deprovisioned user is
// kept: a hold shows it.
func (t *tx) sentence(ctx context.Context, key int64, v Verdict) error {
	var o Object
	if v.Found != nil {
		o = *v.Found
	}
	stamp := toMillis(o.Stamp)
	if v.Reason != Deprovisioned {
		o = Object{}
	}
	_, err := t.exec(ctx, `UPDATE im_staged SET reason = ?, looked_up = 1, external_id = ?, attributes = ?, hash = ?, stamp = ?
		WHERE run_key = ? AND key = ? AND kind = 'delete'`,
		v.Reason, o.ExternalID, string(o.Attributes), o.Hash, stamp, t.run, key)
	return err
}

// acquit marks objects as seen of which nothing new is known.
func (t *tx) acquit(ctx context.Context, ids []objectID) error {
	var alive []int64
	for _, id := range ids {
		key, err := t.intern(ctx, id.typ, id.oktaID)
		if err != nil {
			return err
		}
		alive = append(alive, key)
		fresh, err := t.exec(ctx, `INSERT OR IGNORE INTO im_seen (run_key, key) VALUES (?, ?)`, t.run, key)
		if err != nil {
			return err
		}
		if err := t.addCounts(ctx, id.typ, Counts{Seen: int(fresh), Unchanged: int(fresh)}); err != nil {
			return err
		}
	}
	if len(alive) == 0 {
		return nil
	}
	return t.releaseHeld(ctx, alive)
}

// CheckExternalIDs implements [Writer]. Only a staged add or rename can collide:
// everything else was compared with the live objects when it was written. An object
// whose delete is held still has its external id.
func (s *engine) CheckExternalIDs(ctx context.Context, f Fence) error {
	return s.fenced(ctx, f, func(t *tx) error { return t.checkExternalIDs(ctx) })
}

func (t *tx) checkExternalIDs(ctx context.Context) error {
	var c CollisionError
	found, err := first(ctx, t, []any{&c.Type, &c.ExternalID, &c.OktaIDs[0], &c.OktaIDs[1]}, `
		WITH wanted AS MATERIALIZED (
			SELECT key, type, external_id, external_fold FROM im_staged WHERE run_key = ?1 AND kind IN ('add', 'rename') AND looked_up < 4),
		clash AS (
			SELECT p.type, p.external_id, p.one, p.two FROM (
				SELECT a.type, a.external_id, a.key AS one, lead(a.key) OVER (PARTITION BY a.type, a.external_fold ORDER BY a.key) AS two
				FROM wanted a) p WHERE p.two IS NOT NULL
			UNION ALL
			SELECT a.type, a.external_id, a.key, o.key FROM wanted a CROSS JOIN im_objects o INDEXED BY im_objects_fold
				ON o.connector_key = ?2 AND o.type = a.type AND o.external_fold = a.external_fold AND o.state = 'live' AND o.key <> a.key
			WHERE NOT EXISTS (SELECT 1 FROM im_staged d WHERE d.run_key = ?1 AND d.key = o.key AND d.kind <> 'held' AND d.looked_up < 4))
		SELECT c.type, c.external_id, min(x.okta_id, y.okta_id) AS low, max(x.okta_id, y.okta_id) FROM clash c
		JOIN im_ids x ON x.key = c.one JOIN im_ids y ON y.key = c.two
		ORDER BY c.type, c.external_id, low LIMIT 1`, t.run, t.conn)
	if err != nil {
		return err
	}
	if found {
		return &c
	}
	return nil
}
