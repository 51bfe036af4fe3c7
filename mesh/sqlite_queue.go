package mesh

import (
	"context"
	"database/sql"
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
	type entry struct {
		Key      int64 `json:"key"`
		Stamp    int64 `json:"stamp"`
		Everyone int   `json:"everyone"`
	}
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
	var due []entry
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
		e := entry{Key: s.key, Stamp: toMillis(o.MembersStamp)}
		if o.Everyone {
			e.Everyone = 1
		}
		due = append(due, e)
	}
	if len(due) == 0 {
		return nil
	}
	list, err := jsonArg(due)
	if err != nil {
		return err
	}
	if _, err = t.exec(ctx, `
		INSERT INTO im_member_queue (run_key, ordinal, group_key, stamp, everyone)
		SELECT ?1, (SELECT coalesce(max(ordinal), 0) FROM im_member_queue WHERE run_key = ?1) + row_number() OVER (ORDER BY min(j.key)),
			j.value ->> 'key', max(j.value ->> 'stamp'), max(j.value ->> 'everyone')
		FROM json_each(?2) j
		WHERE NOT EXISTS (SELECT 1 FROM im_member_queue q WHERE q.run_key = ?1 AND q.group_key = j.value ->> 'key')
		GROUP BY j.value ->> 'key'`, t.run, list); err != nil {
		return err
	}
	prog.Queued, err = t.queued(ctx)
	return err
}

// groupReads returns what is known of the reading of the page's groups.
func (t *tx) groupReads(ctx context.Context, w *objectWriter) (map[int64]groupRead, error) {
	keys := make([]int64, 0, len(w.order))
	for _, id := range w.order {
		keys = append(keys, w.states[id].key)
	}
	list, err := jsonArg(keys)
	if err != nil {
		return nil, err
	}
	reads := map[int64]groupRead{}
	_, err = collect(ctx, t, func(rows *sql.Rows) (_ struct{}, err error) {
		var key int64
		r := groupRead{known: true}
		err = rows.Scan(&key, &r.stamp, &r.readAt, &r.reads)
		reads[key] = r
		return struct{}{}, err
	}, `SELECT r.group_key, r.stamp, r.read_at, r.reads FROM json_each(?) j CROSS JOIN im_group_reads r ON r.group_key = j.value`, list)
	return reads, err
}

// queued is how many groups the run has queued.
func (t *tx) queued(ctx context.Context) (n int, err error) {
	_, err = first(ctx, t, []any{&n}, `SELECT coalesce(max(ordinal), 0) FROM im_member_queue WHERE run_key = ?`, t.run)
	return n, err
}

// QueueKnown implements [Writer]. A group whose object is deleted is left out unless
// its members still count, because groups are no longer imported.
func (s *SQLite) QueueKnown(ctx context.Context, f Fence) (queued int, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		if _, err := t.exec(ctx, `
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
	var stamp int64
	fresh, err := first(ctx, t, []any{&stamp}, `
		UPDATE im_member_queue SET done = 1, gone = 0 WHERE run_key = ? AND group_key = ? AND (done = 0 OR gone = 1) RETURNING stamp`, t.run, group)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `
		INSERT INTO im_group_reads (group_key, stamp, read_at) VALUES (?1, ?2, ?3)
		ON CONFLICT (group_key) DO UPDATE SET stamp = max(stamp, ?2), read_at = ?3,
			reads = CASE WHEN ?2 > stamp THEN 1 ELSE reads + ?4 END`, group, stamp, readAt, fresh)
	return err
}

// forgetReads has the members of groups that come back read as if for the first time.
func (t *tx) forgetReads(ctx context.Context, groups []int64) error {
	list, err := jsonArg(groups)
	if err != nil || len(groups) == 0 {
		return err
	}
	_, err = t.exec(ctx, `DELETE FROM im_group_reads WHERE group_key IN (SELECT value FROM json_each(?))`, list)
	return err
}

// forgetGoneReads forgets the groups that Okta answered 404 for in this run, unless a
// look-up found them after all: nobody asks for their members again.
func (t *tx) forgetGoneReads(ctx context.Context) error {
	_, err := t.exec(ctx, `
		DELETE FROM im_group_reads WHERE group_key IN (
			SELECT q.group_key FROM im_member_queue q WHERE q.run_key = ?1 AND q.gone = 1
			AND NOT EXISTS (SELECT 1 FROM im_seen s WHERE s.run_key = ?1 AND s.key = q.group_key))`, t.run)
	return err
}
