package mesh

import (
	"context"
	"time"
)

// groupRead is when and for which stamp a group's members were last read.
type groupRead struct {
	known  bool
	stamp  int64
	readAt int64
	reads  int
}

// longestLag is well above the longest lag of a member list that was recorded, 2 s
// (facts.md §14).
const longestLag = 10 * time.Second

// due says whether a group's members are to be read that is listed with stamp at the
// time now, 0 when Okta sent no Date.
func (q QueueRule) due(r groupRead, stamp, now int64) bool {
	// Stamps are whole seconds: only when its second is over is nothing hidden behind it.
	mark, settled := toMillis(q.Mark), stamp+q.Overlap.Milliseconds()+1000
	switch {
	case q.All || !r.known:
		return true
	case stamp == 0: // nothing tells that they changed: read them twice
		return r.reads < 2 && (r.readAt == 0 || now == 0)
	case stamp > r.stamp, mark != 0 && stamp > mark:
		return true
	case stamp < r.stamp: // a stale listing
		return false
	}
	// Member lists lag behind the stamp: once more. If that came at once, too, a third
	// time, when they have had time to settle (docs/adr/0007).
	if r.reads == 1 && (r.readAt == 0 || r.readAt < settled) {
		return true
	}
	hasty := stamp + min(q.Overlap, longestLag).Milliseconds() + 1000
	return r.readAt != 0 && r.readAt < hasty && now >= settled
}

// queueMembers appends the groups that are due to the run's queue, each once.
func (t *tx) queueMembers(ctx context.Context, w *objectWriter, prog *progress, p ObjectPage) error {
	var reads map[int64]groupRead
	var everyone int64
	if !p.Queue.All {
		var err error
		if reads, err = t.groupReads(ctx, w); err != nil {
			return err
		}
		if everyone, err = t.everyone(ctx); err != nil {
			return err
		}
	}
	var due []queueEntry
	for _, o := range p.Objects {
		s := w.states[idOf(o)]
		if o.Type != Group || o.Delete != "" || s.key == everyone {
			continue
		}
		read := reads[s.key]
		if s.staged == stagedAdd {
			read = groupRead{} // it comes back: what it had is void
		}
		if !p.Queue.due(read, toMillis(o.MembersStamp), toMillis(prog.FirstDate)) {
			continue
		}
		e := queueEntry{key: s.key, stamp: toMillis(o.MembersStamp)}
		if o.Everyone {
			e.everyone = 1
		}
		due = append(due, e)
	}
	if len(due) == 0 {
		return nil
	}
	var err error
	prog.Queued, err = t.appendQueue(ctx, due)
	return err
}

// queueEntry is a group that is about to be queued.
type queueEntry struct {
	key      int64
	stamp    int64
	everyone int // 1: a BUILT_IN group Everyone
}

// appendQueue queues those of the groups that are not queued, and returns how many the run
// has queued then. A group that is there twice is queued once, by its newest stamp.
func (t *tx) appendQueue(ctx context.Context, due []queueEntry) (queued int, err error) {
	at := make(map[int64]int, len(due))
	var all []queueEntry
	var keys keyList
	for _, e := range due {
		i, twice := at[e.key]
		if !twice {
			at[e.key] = len(all)
			all, keys = append(all, e), append(keys, e.key)
			continue
		}
		all[i].stamp, all[i].everyone = max(all[i].stamp, e.stamp), max(all[i].everyone, e.everyone)
	}
	there, err := collect(ctx, t, scanKey, `
		SELECT q.group_key FROM json_each(?2) j CROSS JOIN im_member_queue q ON q.run_key = ?1 AND q.group_key = j.value`, t.run, keys)
	if err != nil {
		return 0, err
	}
	for _, key := range there {
		all[at[key]].key = 0
	}
	if queued, err = t.queued(ctx); err != nil {
		return 0, err
	}
	rows := rowWriter{width: 5, head: `INSERT INTO im_member_queue (run_key, ordinal, group_key, stamp, everyone)`}
	for _, e := range all {
		if e.key != 0 {
			queued++
			rows.add(t.run, int64(queued), e.key, e.stamp, int64(e.everyone))
		}
	}
	return queued, rows.write(ctx, t)
}

// groupReads returns what is known of the reading of the page's groups.
func (t *tx) groupReads(ctx context.Context, w *objectWriter) (map[int64]groupRead, error) {
	keys := make([]int64, 0, len(w.order))
	for _, id := range w.order {
		keys = append(keys, w.states[id].key)
	}
	reads := map[int64]groupRead{}
	_, err := collect(ctx, t, func(rows *rowSet) (_ struct{}, err error) {
		var key int64
		r := groupRead{known: true}
		err = rows.Scan(&key, &r.stamp, &r.readAt, &r.reads)
		reads[key] = r
		return struct{}{}, err
	}, `SELECT r.group_key, r.stamp, r.read_at, r.reads FROM json_each(?) j CROSS JOIN im_group_reads r ON r.group_key = j.value`, keyList(keys))
	return reads, err
}

// queued is how many groups the run has queued.
func (t *tx) queued(ctx context.Context) (n int, err error) {
	_, err = first(ctx, t, []any{&n}, `SELECT coalesce(max(ordinal), 0) FROM im_member_queue WHERE run_key = ?`, t.run)
	return n, err
}

// QueueKnown implements [Writer]. A group whose object is deleted is left out unless
// its members still count, because groups are no longer imported.
func (s *engine) QueueKnown(ctx context.Context, f Fence) (queued int, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		if err := t.later(ctx, `
			INSERT INTO im_member_queue (run_key, ordinal, group_key, stamp)
			SELECT ?1, (SELECT coalesce(max(ordinal), 0) FROM im_member_queue WHERE run_key = ?1) + row_number() OVER (ORDER BY r.group_key),
				r.group_key, r.stamp
			FROM im_ids i CROSS JOIN im_group_reads r ON r.group_key = i.key
			LEFT JOIN im_objects o INDEXED BY im_objects_state ON o.key = i.key
			WHERE i.connector_key = ?2 AND i.type = 'Group'
			AND NOT EXISTS (SELECT 1 FROM im_member_queue q WHERE q.run_key = ?1 AND q.group_key = i.key)
			AND NOT EXISTS (SELECT 1 FROM im_staged d WHERE d.run_key = ?1 AND d.key = i.key AND d.kind = 'delete')
			AND (coalesce(o.state, 'live') = 'live'
				OR EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = i.key AND e.listed = 1))`, t.run, t.conn); err != nil {
			return err
		}
		queued, err = t.queued(ctx)
		return err
	})
	return queued, err
}

// readToEnd notes that the group's member list was read to its end, by a walk that
// began at readAt. A second reading of one run is no second look at the stamp.
func (t *tx) readToEnd(ctx context.Context, group, readAt int64) error {
	const unread = ` FROM im_member_queue WHERE run_key = ?1 AND group_key = ?2 AND (done = 0 OR gone = 1)`
	if err := t.later(ctx, `
		INSERT INTO im_group_reads (group_key, stamp, read_at) SELECT ?2, coalesce((SELECT stamp`+unread+`), 0), ?3 WHERE true
		ON CONFLICT (group_key) DO UPDATE SET stamp = max(im_group_reads.stamp, excluded.stamp), read_at = excluded.read_at,
			reads = CASE WHEN excluded.stamp > im_group_reads.stamp THEN 1 ELSE im_group_reads.reads + (SELECT count(*)`+unread+`) END`,
		t.run, group, readAt); err != nil {
		return err
	}
	return t.later(ctx, `UPDATE im_member_queue SET done = 1, gone = 0 WHERE run_key = ? AND group_key = ? AND (done = 0 OR gone = 1)`, t.run, group)
}

// forgetReads has the members of groups that come back read as if for the first time.
func (t *tx) forgetReads(ctx context.Context, groups []int64) error {
	if len(groups) == 0 {
		return nil
	}
	return t.later(ctx, `DELETE FROM im_group_reads WHERE group_key IN (SELECT j.value FROM json_each(?) j)`, keyList(groups))
}

// forgetGoneReads forgets the groups that Okta answered 404 for in this run, unless a
// look-up found them after all: nobody asks for their members again.
func (t *tx) forgetGoneReads(ctx context.Context) error {
	return t.later(ctx, `
		DELETE FROM im_group_reads WHERE group_key IN (
			SELECT q.group_key FROM im_member_queue q WHERE q.run_key = ?1 AND q.gone = 1
			AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = q.group_key))`, t.run)
}
