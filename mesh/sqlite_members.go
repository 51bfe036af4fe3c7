package mesh

import (
	"context"
)

// WriteMembers implements [Writer]. The page goes in as one JSON list and is
// joined, never looped over: memberships are the bulk of an import.
func (s *SQLite) WriteMembers(ctx context.Context, f Fence, p MemberPage) (Progress, error) {
	var got Progress
	err := s.fenced(ctx, f, func(t *tx) error {
		prog, recorded, err := t.openPage(ctx, p.Page)
		if err != nil {
			return err
		}
		if !recorded {
			if err := t.closePage(ctx, prog, p.Page, len(p.Members), prog.HighWater); err != nil {
				return err
			}
			if err := t.writeEvidence(ctx, prog.key, p); err != nil {
				return err
			}
		}
		got = prog.Progress
		return nil
	})
	return got, err
}

func (t *tx) writeEvidence(ctx context.Context, stream int64, p MemberPage) error {
	group, err := t.intern(ctx, Group, p.GroupID)
	if err != nil {
		return err
	}
	if err := t.fillPage(ctx, p.Members); err != nil {
		return err
	}
	changed, err := t.exec(ctx, `
		INSERT INTO im_edges (group_key, member_key, listed, deprovisioned) SELECT ?, member_key, 1, deprovisioned FROM temp.im_page WHERE true
		ON CONFLICT (group_key, member_key) DO UPDATE SET listed = 1, deprovisioned = excluded.deprovisioned
		WHERE listed <> 1 OR deprovisioned <> excluded.deprovisioned`, group)
	if err != nil {
		return err
	}
	unlisted, err := t.unlist(ctx, stream, group, p)
	if err != nil {
		return err
	}
	if changed+unlisted > 0 {
		if _, err := t.exec(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key) VALUES (?, 0, 'g', ?)`, t.conn, group); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, `UPDATE im_progress SET group_key = ? WHERE key = ?`, group, stream); err != nil {
		return err
	}
	if p.Done {
		if _, err := t.exec(ctx, `UPDATE im_member_queue SET done = 1 WHERE run_key = ? AND group_key = ?`, t.run, group); err != nil {
			return err
		}
	}
	return t.addCounts(ctx, GroupMember, Counts{Seen: len(p.Members)})
}

// unlist takes the evidence from the pairs that the complete list did not show.
// The pages before the last are remembered in im_seen_edges.
func (t *tx) unlist(ctx context.Context, stream, group int64, p MemberPage) (unlisted int64, err error) {
	if p.Done && p.Number == 1 {
		return t.exec(ctx, `
			UPDATE im_edges SET listed = 0 WHERE group_key = ? AND listed = 1
			AND NOT EXISTS (SELECT 1 FROM temp.im_page p WHERE p.member_key = im_edges.member_key)`, group)
	}
	if p.Number == 1 {
		if _, err := t.exec(ctx, `DELETE FROM im_seen_edges WHERE progress_key = ?`, stream); err != nil {
			return 0, err
		}
	}
	if _, err := t.exec(ctx, `INSERT OR IGNORE INTO im_seen_edges (progress_key, member_key) SELECT ?, member_key FROM temp.im_page`, stream); err != nil {
		return 0, err
	}
	if !p.Done {
		return 0, nil
	}
	if unlisted, err = t.exec(ctx, `
		UPDATE im_edges SET listed = 0 WHERE group_key = ?1 AND listed = 1
		AND NOT EXISTS (SELECT 1 FROM im_seen_edges s WHERE s.progress_key = ?2 AND s.member_key = im_edges.member_key)`, group, stream); err != nil {
		return 0, err
	}
	_, err = t.exec(ctx, `DELETE FROM im_seen_edges WHERE progress_key = ?`, stream)
	return unlisted, err
}

// intern returns the key of one id.
func (t *tx) intern(ctx context.Context, typ ObjectType, oktaID string) (key int64, err error) {
	const find = `SELECT key FROM im_ids WHERE connector_key = ? AND type = ? AND okta_id = ?`
	if found, err := first(ctx, t, []any{&key}, find, t.conn, typ, oktaID); found || err != nil {
		return key, err
	}
	_, err = first(ctx, t, []any{&key}, `INSERT INTO im_ids (connector_key, type, okta_id) VALUES (?, ?, ?) RETURNING key`, t.conn, typ, oktaID)
	return key, err
}

// fillPage puts the members' keys into the temporary table im_page. Ids that the
// store has never met are interned without an object.
func (t *tx) fillPage(ctx context.Context, members []Member) error {
	ids := make([]string, len(members))
	var deprovisioned []string
	for i, m := range members {
		if m.OktaID == "" {
			return &ConflictError{"a member without an Okta id cannot be written"}
		}
		ids[i] = m.OktaID
		if m.Deprovisioned {
			deprovisioned = append(deprovisioned, m.OktaID)
		}
	}
	all, err := jsonArg(ids)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `CREATE TEMP TABLE IF NOT EXISTS im_page (member_key INTEGER PRIMARY KEY, deprovisioned INTEGER NOT NULL)`); err != nil {
		return err
	}
	if _, err := t.exec(ctx, `DELETE FROM temp.im_page`); err != nil {
		return err
	}
	// CROSS JOIN keeps the list outermost: the planner cannot know that it is short.
	const fill = `
		INSERT OR IGNORE INTO temp.im_page (member_key, deprovisioned) SELECT i.key, 0
		FROM json_each(?) j CROSS JOIN im_ids i ON i.connector_key = ? AND i.type = 'User' AND i.okta_id = j.value`
	known, err := t.exec(ctx, fill, all, t.conn)
	if err != nil {
		return err
	}
	if known < int64(len(ids)) {
		if _, err := t.exec(ctx, `INSERT OR IGNORE INTO im_ids (connector_key, type, okta_id) SELECT ?, 'User', value FROM json_each(?)`, t.conn, all); err != nil {
			return err
		}
		if _, err := t.exec(ctx, fill, all, t.conn); err != nil {
			return err
		}
	}
	if len(deprovisioned) == 0 {
		return nil
	}
	gone, err := jsonArg(deprovisioned)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE temp.im_page SET deprovisioned = 1 WHERE member_key IN (
		SELECT i.key FROM json_each(?) j CROSS JOIN im_ids i ON i.connector_key = ? AND i.type = 'User' AND i.okta_id = j.value)`, gone, t.conn)
	return err
}

// GroupGone implements [Writer]. The group's evidence stays: Settle takes the edges
// away with the group's Delete, or keeps them if a look-up finds it after all.
func (s *SQLite) GroupGone(ctx context.Context, f Fence, p Page, groupID string) error {
	p.Done = true
	return s.fenced(ctx, f, func(t *tx) error {
		prog, recorded, err := t.openPage(ctx, p)
		if err != nil || recorded {
			return err
		}
		if err := t.closePage(ctx, prog, p, 0, prog.HighWater); err != nil {
			return err
		}
		group, err := t.intern(ctx, Group, groupID)
		if err != nil {
			return err
		}
		for _, q := range []string{
			`DELETE FROM im_seen WHERE run_key = ? AND key = ?`,
			`DELETE FROM im_staged WHERE run_key = ? AND key = ? AND kind <> 'delete'`,
			`UPDATE im_member_queue SET done = 1 WHERE run_key = ? AND group_key = ?`,
		} {
			if _, err := t.exec(ctx, q, t.run, group); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, `DELETE FROM im_seen_edges WHERE progress_key = ?`, prog.key)
		return err
	})
}
