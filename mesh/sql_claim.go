package mesh

import (
	"context"
)

// ClaimGroups implements [Writer].
func (s *engine) ClaimGroups(ctx context.Context, f Fence, c ClaimGroups) (got ClaimedGroups, err error) {
	err = s.fencedPage(ctx, f, func(t *tx) error {
		if err := t.fillLane(ctx, c); err != nil {
			return err
		}
		if err := t.later(ctx, `
			INSERT INTO im_progress (run_key, stream, owner)
			SELECT q.run_key, ?3 || i.okta_id, ?4 FROM im_member_queue q CROSS JOIN im_ids i ON i.key = q.group_key
			WHERE q.run_key = ?1 AND q.lane = ?2 AND q.done = 0
			ON CONFLICT (run_key, stream) DO UPDATE SET owner = excluded.owner`, t.run, c.Lane, c.Prefix, c.Owner); err != nil {
			return err
		}
		if got.Groups, err = t.laneGroups(ctx, c); err != nil {
			return err
		}
		got.Queued, err = t.queued(ctx)
		return err
	})
	return got, err
}

// fillLane gives the lane what it lacks of free groups. Free groups are the end of the
// queue, since they are taken in order.
func (t *tx) fillLane(ctx context.Context, c ClaimGroups) error {
	var have, next, last int
	if _, err := first(ctx, t, []any{&have, &next, &last}, `
		SELECT (SELECT count(*) FROM im_member_queue WHERE run_key = ?1 AND lane = ?2 AND done = 0),
			(SELECT coalesce(min(ordinal), 0) FROM im_member_queue WHERE run_key = ?1 AND lane = 0),
			(SELECT coalesce(max(ordinal), 0) FROM im_member_queue WHERE run_key = ?1)`, t.run, c.Lane); err != nil {
		return err
	}
	if have > 0 || next == 0 {
		return nil
	}
	n := min(max((last-next+1)/max(c.Share, 1), 1), max(c.Most, 1))
	return t.later(ctx, `UPDATE im_member_queue SET lane = ? WHERE run_key = ? AND ordinal BETWEEN ? AND ? AND lane = 0`, c.Lane, t.run, next, next+n-1)
}

// laneGroups returns the groups of a lane that are not read to their end.
func (t *tx) laneGroups(ctx context.Context, c ClaimGroups) ([]QueuedGroup, error) {
	return collect(ctx, t, func(rows *rowSet) (g QueuedGroup, err error) {
		var date, water int64
		p := &g.Progress
		err = rows.Scan(&g.Ordinal, &g.OktaID, &g.Had, &p.Page, &p.Next, &p.Done, &p.Seen, &date, &water, &p.Failures)
		p.Stream, p.FirstDate, p.HighWater = c.Prefix+g.OktaID, fromMillis(date), fromMillis(water)
		return g, err
	}, `SELECT q.ordinal, i.okta_id, EXISTS (SELECT 1 FROM im_edges e WHERE e.group_key = q.group_key AND e.listed = 1),
			p.page, p.next, p.done, p.seen, p.first_date, p.high_water, p.failures
		FROM im_member_queue q CROSS JOIN im_ids i ON i.key = q.group_key
		CROSS JOIN im_progress p ON p.run_key = q.run_key AND p.stream = ?3 || i.okta_id
		WHERE q.run_key = ?1 AND q.lane = ?2 AND q.done = 0 ORDER BY q.ordinal`, t.run, c.Lane, c.Prefix)
}
