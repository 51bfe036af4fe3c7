package mesh

import (
	"context"
	"fmt"
)

// CheckComplete implements [Writer].
func (s *engine) CheckComplete(ctx context.Context, f Fence, streams []string) error {
	return s.fenced(ctx, f, func(t *tx) error {
		for _, stream := range streams {
			var pages int
			found, err := first(ctx, t, []any{&pages}, `SELECT page FROM im_progress WHERE run_key = ? AND stream = ? AND done = 1`, t.run, stream)
			if err != nil {
				return err
			}
			if !found {
				return &IncompleteError{RunID: f.RunID, What: stream}
			}
		}
		var open int
		if _, err := first(ctx, t, []any{&open}, `SELECT count(*) FROM im_member_queue WHERE run_key = ? AND done = 0`, t.run); err != nil {
			return err
		}
		if open > 0 {
			return &IncompleteError{RunID: f.RunID, What: fmt.Sprintf("members of %d groups", open)}
		}
		return nil
	})
}

// Acquitted implements [Writer].
func (s *engine) Acquitted(ctx context.Context, f Fence) (map[ObjectType]int, error) {
	counts := map[ObjectType]int{}
	err := s.fenced(ctx, f, func(t *tx) error {
		_, err := collect(ctx, t, func(rows *rowSet) (_ struct{}, err error) {
			var typ ObjectType
			var n int
			err = rows.Scan(&typ, &n)
			counts[typ] = n
			return struct{}{}, err
		}, `SELECT type, acquitted FROM im_run_counts WHERE run_key = ?`, t.run)
		return err
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// countAcquitted adds one acquittal.
func (t *tx) countAcquitted(ctx context.Context, typ ObjectType) error {
	_, err := t.exec(ctx, `
		INSERT INTO im_run_counts (run_key, type, acquitted) VALUES (?, ?, 1)
		ON CONFLICT (run_key, type) DO UPDATE SET acquitted = im_run_counts.acquitted + 1`, t.run, typ)
	return err
}
