package mesh

import (
	"context"
	"slices"
	"time"
)

// WriteObjects implements [Writer].
func (s *engine) WriteObjects(ctx context.Context, f Fence, p ObjectPage) (Progress, error) {
	return s.recordPage(ctx, f, p.Page, func(t *tx, prog *progress) error { return t.writePage(ctx, prog, p) })
}

// recordPage has a page written whole, unless it was recorded before.
func (s *engine) recordPage(ctx context.Context, f Fence, p Page, write func(t *tx, prog *progress) error) (got Progress, err error) {
	err = s.fencedPage(ctx, f, func(t *tx) error {
		prog, recorded, err := t.openPage(ctx, p)
		if err != nil {
			return err
		}
		if !recorded {
			if err := write(t, prog); err != nil {
				return err
			}
		}
		got = prog.Progress
		return nil
	})
	return got, err
}

func (t *tx) writePage(ctx context.Context, prog *progress, p ObjectPage) error {
	if err := t.unsettle(ctx); err != nil {
		return err
	}
	var newest time.Time
	for _, o := range p.Objects {
		if o.Stamp.After(newest) {
			newest = o.Stamp
		}
	}
	if err := t.closePage(ctx, prog, p.Page, p.Rows, newest); err != nil {
		return err
	}
	w := &objectWriter{tx: t, ignore: p.Ignore, membersOnly: p.MembersOnly, knownOnly: p.Changed}
	if err := w.load(ctx, p.Objects); err != nil {
		return err
	}
	write := w.list
	switch {
	case p.Changed:
		write = w.noteChanged
	case p.Import:
		write = w.write
	}
	if err := write(ctx, p.Objects); err != nil {
		return err
	}
	shown := t.shownObjects(ctx)
	if p.Changed || p.Rows != len(p.Objects) { // what does not count as seen, and look-ups
		shown = nil
	}
	if err := checkEnd(prog, p.Page, shown); err != nil {
		return err
	}
	if p.Queue != nil && !p.Changed {
		return t.queueMembers(ctx, w, prog, p)
	}
	return nil
}

// list takes note of objects that are not imported. Groups that must not count are
// staged, so that Settle takes their members' edges away.
func (w *objectWriter) list(ctx context.Context, objects []Object) error {
	var excluded []stagedExclusion
	var alive []int64
	for _, o := range objects {
		s := w.states[idOf(o)]
		if o.Delete == "" {
			alive = append(alive, s.key)
		} else if o.Type == Group {
			excluded = append(excluded, stagedExclusion{s.key, o.Delete})
		}
	}
	if err := w.exclude(ctx, excluded); err != nil {
		return err
	}
	if err := w.releaseHeld(ctx, alive); err != nil {
		return err
	}
	return w.markSeen(ctx)
}

// stagedExclusion is a group that is not imported and must not count.
type stagedExclusion struct {
	key    int64
	reason Reason
}

// exclude stages groups that have edges, and has their members read again should they
// ever count again.
func (w *objectWriter) exclude(ctx context.Context, groups []stagedExclusion) error {
	if len(groups) == 0 {
		return nil
	}
	reasons := map[int64]Reason{}
	sides := make([]edgeSide, len(groups))
	keys := make([]int64, len(groups))
	for i, g := range groups {
		reasons[g.key] = g.reason
		sides[i], keys[i] = edgeSide{Group, g.key}, g.key
	}
	byReason := map[Reason]keyList{}
	for key, reason := range reasons {
		byReason[reason] = append(byReason[reason], key)
	}
	for reason, list := range byReason {
		slices.Sort(list)
		if err := w.later(ctx, `
			INSERT OR REPLACE INTO im_staged (run_key, key, kind, type, reason)
			SELECT ?1, j.value, 'delete', 'Group', ?3 FROM json_each(?2) j
			WHERE EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = j.value AND (e.live = 1 OR e.listed = 1))`, w.run, list, reason); err != nil {
			return err
		}
	}
	if err := w.forgetReads(ctx, keys); err != nil {
		return err
	}
	return w.markDirty(ctx, sides)
}

// noteChanged remembers which known users changed and stages those who left. The rows
// are not the connector's users, so nothing else is believed of them. No object counts
// as seen: a newer stamp keeps a stale answer from undoing a Delete.
func (w *objectWriter) noteChanged(ctx context.Context, objects []Object) error {
	var keys []int64
	for _, o := range objects {
		s, stamp := w.states[idOf(o)], toMillis(o.Stamp)
		switch {
		case s == nil || !s.exists:
			continue
		case o.Delete == "" || stamp != 0 && stamp < max(s.stamp, s.seenStamp):
			keys = append(keys, s.key)
			continue
		}
		s.leave(o)
		if stamp > s.stamp {
			s.stamp, s.touchObject = stamp, true
		}
	}
	if err := w.later(ctx, `INSERT OR IGNORE INTO im_changed (run_key, key) SELECT ?, j.value FROM json_each(?) j`, w.run, keyList(keys)); err != nil {
		return err
	}
	return w.flush(ctx)
}
