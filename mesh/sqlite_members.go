package mesh

import (
	"context"
)

// WriteMembers implements [Writer]. The page goes in as one JSON list and is
// joined, never looped over: memberships are the bulk of an import.
func (s *SQLite) WriteMembers(ctx context.Context, f Fence, p MemberPage) (Progress, error) {
	return s.recordPage(ctx, f, p.Page, func(t *tx, prog *progress) error {
		if err := t.closePage(ctx, prog, p.Page, len(p.Members), prog.HighWater); err != nil {
			return err
		}
		return t.writeEvidence(ctx, prog, p)
	})
}

func (t *tx) writeEvidence(ctx context.Context, prog *progress, p MemberPage) error {
	if err := t.unsettle(ctx); err != nil {
		return err
	}
	group, err := t.intern(ctx, Group, p.GroupID)
	if err != nil {
		return err
	}
	listed, err := t.listed(ctx, p.Members)
	if err != nil {
		return err
	}
	changed, err := t.exec(ctx, `
		INSERT INTO im_edges (group_key, member_key, listed, deprovisioned)
		SELECT ?1, m.value, 1, d.value IS NOT NULL FROM json_each(?2) m LEFT JOIN json_each(?3) d ON d.value = m.value WHERE true
		ON CONFLICT (group_key, member_key) DO UPDATE SET listed = 1, deprovisioned = excluded.deprovisioned
		WHERE listed <> 1 OR deprovisioned <> excluded.deprovisioned`, group, listed.all, listed.deprovisioned)
	if err != nil {
		return err
	}
	unlisted, err := t.unlist(ctx, prog.key, group, p, listed)
	if err != nil {
		return err
	}
	if changed+unlisted > 0 {
		if _, err := t.exec(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key) VALUES (?, 0, 'g', ?)`, t.conn, group); err != nil {
			return err
		}
	}
	if _, err := t.exec(ctx, `UPDATE im_progress SET group_key = ? WHERE key = ?`, group, prog.key); err != nil {
		return err
	}
	if p.Done {
		if err := t.readToEnd(ctx, group, toMillis(prog.FirstDate)); err != nil {
			return err
		}
	}
	return t.addCounts(ctx, GroupMember, Counts{Seen: len(p.Members)})
}

// memberKeys are the keys of a page's members as lists for json_each, and how many
// there are.
type memberKeys struct {
	all, deprovisioned string
	n                  int
}

func (t *tx) listed(ctx context.Context, members []Member) (k memberKeys, err error) {
	ids := make([]string, len(members))
	var gone []string
	for i, m := range members {
		if m.OktaID == "" {
			return k, &ConflictError{"a member without an Okta id cannot be written"}
		}
		ids[i] = m.OktaID
		if m.Deprovisioned {
			gone = append(gone, m.OktaID)
		}
	}
	keys, err := t.internMembers(ctx, ids)
	if err != nil {
		return k, err
	}
	goneKeys, err := t.internMembers(ctx, gone)
	if err != nil {
		return k, err
	}
	k.n = len(keys)
	if k.all, err = jsonArg(keys); err != nil {
		return k, err
	}
	k.deprovisioned, err = jsonArg(goneKeys)
	return k, err
}

// unlist takes the evidence from the pairs that the complete list did not show.
// The pages before the last are remembered in im_seen_edges.
func (t *tx) unlist(ctx context.Context, stream, group int64, p MemberPage, listed memberKeys) (unlisted int64, err error) {
	if p.Done && p.Number == 1 {
		var have int
		if _, err := first(ctx, t, []any{&have}, `SELECT count(*) FROM im_edges WHERE group_key = ? AND listed = 1`, group); err != nil || have == listed.n {
			return 0, err // the usual case: nobody left
		}
		return t.exec(ctx, `UPDATE im_edges SET listed = 0 WHERE group_key = ? AND listed = 1
			AND member_key NOT IN (SELECT value FROM json_each(?))`, group, listed.all)
	}
	if p.Number == 1 {
		if _, err := t.exec(ctx, `DELETE FROM im_seen_edges WHERE progress_key = ?`, stream); err != nil {
			return 0, err
		}
	}
	if _, err := t.exec(ctx, `INSERT OR IGNORE INTO im_seen_edges (progress_key, member_key) SELECT ?, value FROM json_each(?)`, stream, listed.all); err != nil {
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

// GroupGone implements [Writer]. The group's evidence stays: Settle takes the edges
// away with the group's Delete, or keeps them if a look-up finds it after all. It is
// staged here because a delta has no sweep.
func (s *SQLite) GroupGone(ctx context.Context, f Fence, p Page, groupID string) error {
	p.Done = true
	return s.fenced(ctx, f, func(t *tx) error {
		prog, recorded, err := t.openPage(ctx, p)
		if err != nil || recorded {
			return err
		}
		if err := t.unsettle(ctx); err != nil {
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
			`UPDATE im_member_queue SET done = 1, gone = 1 WHERE run_key = ? AND group_key = ?`,
			`INSERT OR IGNORE INTO im_staged (run_key, key, kind, type) SELECT ?1, ?2, 'delete', 'Group'
				WHERE EXISTS (SELECT 1 FROM im_objects WHERE key = ?2 AND state = 'live')
				OR EXISTS (SELECT 1 FROM im_edges WHERE group_key = ?2 AND (live = 1 OR listed = 1))`,
		} {
			if _, err := t.exec(ctx, q, t.run, group); err != nil {
				return err
			}
		}
		if _, err := t.exec(ctx, `UPDATE im_connectors SET everyone_key = NULL WHERE key = ? AND everyone_key = ?`, t.conn, group); err != nil {
			return err
		}
		if err := t.markDirty(ctx, []edgeSide{{Group, group}}); err != nil {
			return err
		}
		_, err = t.exec(ctx, `DELETE FROM im_seen_edges WHERE progress_key = ?`, prog.key)
		return err
	})
}
