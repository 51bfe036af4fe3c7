package mesh

import (
	"context"
	"math"
)

// maxPairs is how many pairs of a group are in memory at once, beside a page.
const maxPairs = 10_000

// WriteMembers implements [Writer]. Memberships are the bulk of an import, and most
// lists are as they were: a page is compared with what is stored, and only what differs
// is written.
func (s *engine) WriteMembers(ctx context.Context, f Fence, p MemberPage) (Progress, error) {
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
	var changed int64
	if p.Done && p.Number == 1 {
		changed, err = t.writeList(ctx, group, listed)
	} else {
		changed, err = t.writePart(ctx, prog.key, group, p, listed)
	}
	if err != nil {
		return err
	}
	if changed > 0 {
		if err := t.later(ctx, `INSERT OR REPLACE INTO im_dirty (connector_key, stage, side, key) VALUES (?, 0, 'g', ?)`, t.conn, group); err != nil {
			return err
		}
	}
	if p.Number == 1 {
		if err := t.later(ctx, `UPDATE im_progress SET group_key = ? WHERE key = ?`, group, prog.key); err != nil {
			return err
		}
	}
	if err := checkEnd(prog, p.Page, t.shownMembers(ctx, prog.key)); err != nil {
		return err
	}
	if p.Done {
		if err := t.readToEnd(ctx, group, toMillis(prog.FirstDate)); err != nil {
			return err
		}
	}
	return t.addCounts(ctx, GroupMember, Counts{Seen: len(p.Members)})
}

// listed is the page's evidence.
func (t *tx) listed(ctx context.Context, members []Member) ([]pair, error) {
	ids := make([]string, len(members))
	for i, m := range members {
		if m.OktaID == "" {
			return nil, &ConflictError{"a member without an Okta id cannot be written"}
		}
		ids[i] = m.OktaID
	}
	keys, _, err := t.internAll(ctx, User, ids)
	if err != nil {
		return nil, err
	}
	pairs := make([]pair, len(keys))
	for i, key := range keys {
		pairs[i] = pair(key<<pairBits) | pairListed
		if members[i].Deprovisioned {
			pairs[i] |= pairDeprovisioned
		}
	}
	return sortPairs(pairs), nil
}

// writeList writes a complete list and returns how many pairs it changed.
func (t *tx) writeList(ctx context.Context, group int64, listed []pair) (changed int64, err error) {
	stored, all, err := t.storedPairs(ctx, group, math.MinInt64, math.MaxInt64, 2*len(listed)+maxPairs)
	if err != nil {
		return 0, err
	}
	if all {
		return t.writeDiff(ctx, group, stored, listed, true)
	}
	if changed, err = t.putPairs(ctx, group, listed); err != nil {
		return 0, err
	}
	var seen keySet
	for _, p := range listed {
		seen.add(p.key())
	}
	unlisted, err := t.unlist(ctx, group, &seen)
	return changed + unlisted, err
}

// writePart writes a page of a list of several. The members of the pages before the last
// are remembered in im_seen_edges: who is on none of them is no longer listed.
func (t *tx) writePart(ctx context.Context, stream, group int64, p MemberPage, listed []pair) (changed int64, err error) {
	if len(listed) > 0 {
		// Okta lists members in the order of users, more or less: what is stored between
		// the first and the last of the page is about the page.
		low, high := listed[0].key(), listed[len(listed)-1].key()
		stored, all, err := t.storedPairs(ctx, group, low, high, 2*len(listed))
		if err != nil {
			return 0, err
		}
		if all {
			changed, err = t.writeDiff(ctx, group, stored, listed, false)
		} else {
			changed, err = t.putPairs(ctx, group, listed)
		}
		if err != nil {
			return 0, err
		}
	}
	if p.Number == 1 {
		if err := t.forgetSeen(ctx, stream); err != nil {
			return 0, err
		}
	}
	if !p.Done {
		return changed, t.rememberSeen(ctx, stream, p.Number, listed)
	}
	seen, err := t.seen(ctx, stream)
	if err != nil {
		return 0, err
	}
	for _, p := range listed {
		seen.add(p.key())
	}
	unlisted, err := t.unlist(ctx, group, seen)
	if err != nil {
		return 0, err
	}
	return changed + unlisted, t.forgetSeen(ctx, stream)
}

func (t *tx) writeDiff(ctx context.Context, group int64, stored, listed []pair, whole bool) (int64, error) {
	fresh, other := diffPairs(stored, listed, whole)
	if err := t.addPairs(ctx, group, fresh); err != nil {
		return 0, err
	}
	changed, err := t.putPairs(ctx, group, other)
	return int64(len(fresh)) + changed, err
}

// unlist takes the evidence from the group's pairs whose members are not in seen.
func (t *tx) unlist(ctx context.Context, group int64, seen *keySet) (unlisted int64, err error) {
	for low, all := int64(math.MinInt64), false; !all; {
		var stored, gone []pair
		if stored, all, err = t.storedPairs(ctx, group, low, math.MaxInt64, maxPairs); err != nil {
			return 0, err
		}
		for _, p := range stored {
			low = p.key() + 1
			if p&pairListed != 0 && !seen.has(p.key()) {
				gone = append(gone, p&^pairListed)
			}
		}
		n, err := t.putPairs(ctx, group, gone)
		if err != nil {
			return 0, err
		}
		unlisted += n
	}
	return unlisted, nil
}

// GroupGone implements [Writer]. The group's evidence stays: Settle takes the edges
// away with the group's Delete, or keeps them if a look-up finds it after all. It is
// staged here because a delta has no sweep.
func (s *engine) GroupGone(ctx context.Context, f Fence, p Page, groupID string) error {
	p.Done = true
	return s.fencedPage(ctx, f, func(t *tx) error {
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
			if err := t.later(ctx, q, t.run, group); err != nil {
				return err
			}
		}
		if err := t.later(ctx, `UPDATE im_connectors SET everyone_key = NULL WHERE key = ? AND everyone_key = ?`, t.conn, group); err != nil {
			return err
		}
		if err := t.markDirty(ctx, []edgeSide{{Group, group}}); err != nil {
			return err
		}
		return t.forgetSeen(ctx, prog.key)
	})
}
