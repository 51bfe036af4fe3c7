package mesh

import (
	"cmp"
	"context"
	"fmt"
	"math"
)

// Acknowledge implements [Retention]. It takes no lock of the connector: a consumer need not
// be allowed to write anything else.
func (s *engine) Acknowledge(ctx context.Context, connector, reader string, to Offset) (r FeedReader, err error) {
	if reader == "" || to.Seq < 0 {
		return r, &ConflictError{"a reader needs a name, and an offset from 0"}
	}
	err = s.write(ctx, func(t *tx) error {
		conn, err := connectorKey(ctx, t, connector)
		if err != nil {
			return err
		}
		epoch, err := ackEpoch(ctx, t, conn, connector, reader, to)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `
			INSERT INTO im_readers (connector_key, name, acked, updated_at, epoch) VALUES (?, ?, ?, `+sqlNow+`, ?)
			ON CONFLICT (connector_key, name) DO UPDATE SET
				acked = CASE WHEN im_readers.epoch IN ('', excluded.epoch) THEN max(im_readers.acked, excluded.acked) ELSE excluded.acked END,
				updated_at = excluded.updated_at, epoch = excluded.epoch`,
			conn, reader, to.Seq, epoch); err != nil {
			return err
		}
		// Prune may have gone on until the row was there: what it left is read after that.
		var at, last, pruned int64
		if _, err := first(ctx, t, []any{&r.Acked, &at}, `SELECT acked, updated_at FROM im_readers WHERE connector_key = ? AND name = ?`, conn, reader); err != nil {
			return err
		}
		if _, err := first(ctx, t, []any{&last, &pruned}, `SELECT seq, pruned_seq FROM im_connectors WHERE key = ?`, conn); err != nil {
			return err
		}
		r.Name, r.UpdatedAt, r.Epoch = reader, fromMillis(at), epoch
		switch {
		case to.Seq > last:
			return &ConflictError{fmt.Sprintf("the feed of connector %q ends with row %d: %d cannot be acknowledged", connector, last, to.Seq)}
		case r.Acked < pruned:
			return &PrunedError{Connector: connector, Since: r.Acked, First: pruned + 1}
		}
		return nil
	})
	if err != nil {
		return FeedReader{}, err
	}
	return r, nil
}

// ackEpoch is the epoch in which a reader acknowledges: the feed's. A reader of another one
// has to name it, which he learns by reading anew.
func ackEpoch(ctx context.Context, from querier, conn int64, connector, reader string, to Offset) (epoch string, err error) {
	var last int64
	if _, err := first(ctx, from, []any{&epoch, &last}, `SELECT epoch, seq FROM im_connectors WHERE key = ?`, conn); err != nil {
		return "", err
	}
	if to.Epoch == "" { // what the reader has read before
		if _, err := first(ctx, from, []any{&to.Epoch}, `SELECT epoch FROM im_readers WHERE connector_key = ? AND name = ?`, conn, reader); err != nil {
			return "", err
		}
	}
	if to.Epoch != "" && to.Epoch != epoch {
		return "", &EpochError{Connector: connector, Since: to, Epoch: epoch, Last: last}
	}
	return epoch, nil
}

// ForgetReader implements [Retention].
func (s *engine) ForgetReader(ctx context.Context, connector, reader string) error {
	return s.write(ctx, func(t *tx) error {
		conn, err := connectorKey(ctx, t, connector)
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, `DELETE FROM im_readers WHERE connector_key = ? AND name = ?`, conn, reader)
		if err == nil && n == 0 {
			err = &NotFoundError{"reader", reader}
		}
		return err
	})
}

// Feed implements [Retention].
func (s *engine) Feed(ctx context.Context, connector string) (feed *Feed, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		f := &Feed{Connector: connector, Readers: []FeedReader{}}
		if _, err := first(ctx, from, []any{&f.Epoch, &f.First, &f.Last}, `SELECT epoch, pruned_seq + 1, seq FROM im_connectors WHERE key = ?`, conn); err != nil {
			return err
		}
		f.Offset = Offset{f.Epoch, f.Last}.String()
		readers, err := feedReaders(ctx, from, conn)
		for _, r := range readers {
			r.Epoch = cmp.Or(r.Epoch, f.Epoch)
			f.Readers = append(f.Readers, r)
		}
		feed = f
		return err
	})
	if err != nil {
		return nil, err
	}
	return feed, nil
}

func feedReaders(ctx context.Context, from querier, conn int64) ([]FeedReader, error) {
	return collect(ctx, from, func(rows *rowSet) (r FeedReader, err error) {
		var at int64
		err = rows.Scan(&r.Name, &r.Acked, &at, &r.Epoch)
		r.UpdatedAt = fromMillis(at)
		return r, err
	}, `SELECT name, acked, updated_at, epoch FROM im_readers WHERE connector_key = ? ORDER BY name`, conn)
}

// Prune implements [Retention].
func (s *engine) Prune(ctx context.Context, p Prune) (done Pruned, err error) {
	switch {
	case p.ChangesOlderThan < 0 || p.RunsOlderThan < 0:
		return done, &ConflictError{"an age to keep cannot be negative"}
	case p.RunsOlderThan > 0 && p.RunsOlderThan < MinRunAge:
		return done, &ConflictError{fmt.Sprintf("runs younger than %d days are needed by the reconcile and the guards: keep them", int(MinRunAge.Hours()/24))}
	}
	after := int64(-1) // of a dry run: how far it has counted
	for more := p.ChangesOlderThan > 0; more; {
		var n int64
		if err := s.atConnector(ctx, p.Connector, func(t *tx) (err error) {
			n, after, done.WaitsFor, err = t.pruneChanges(ctx, p, after)
			return err
		}); err != nil {
			return done, err
		}
		done.Changes += n
		more = n > 0
	}
	err = s.atConnector(ctx, p.Connector, func(t *tx) error {
		if p.RunsOlderThan <= 0 {
			return nil
		}
		done.Runs, err = t.pruneRuns(ctx, t.now-p.RunsOlderThan.Milliseconds(), p.DryRun)
		return err
	})
	return done, err
}

// pruneChanges removes the oldest rows, at most a window of them.
func (t *tx) pruneChanges(ctx context.Context, p Prune, after int64) (n, last int64, waitsFor string, err error) {
	if q := t.store.db.lockReaders(); q != "" { // nobody is declared meanwhile
		if _, err := t.exec(ctx, q); err != nil {
			return 0, 0, "", err
		}
	}
	readers, err := feedReaders(ctx, t, t.conn)
	if err != nil {
		return 0, 0, "", err
	}
	limit, slowest := int64(math.MaxInt64), ""
	for _, r := range readers {
		if r.Acked < limit {
			limit, slowest = r.Acked, r.Name
		}
	}
	var pruned int64
	if _, err := first(ctx, t, []any{&pruned}, `SELECT pruned_seq FROM im_connectors WHERE key = ?`, t.conn); err != nil {
		return 0, 0, "", err
	}
	from := max(pruned, after)
	// Old ones up to the first that is not, whatever came after it.
	if _, err := first(ctx, t, []any{&last}, `
		SELECT coalesce(min(CASE WHEN c.at >= ? THEN c.seq END) - 1, max(c.seq), ?) FROM (
			SELECT seq, at FROM im_changes WHERE connector_key = ? AND seq > ? ORDER BY seq LIMIT ?) c`,
		t.now-p.ChangesOlderThan.Milliseconds(), from, t.conn, from, t.store.edgeWindow); err != nil {
		return 0, 0, "", err
	}
	if last > limit {
		last, waitsFor = max(limit, from), slowest
	}
	if n = last - from; n <= 0 || p.DryRun {
		return n, last, waitsFor, nil
	}
	if n, err = t.exec(ctx, `DELETE FROM im_changes WHERE connector_key = ? AND seq <= ?`, t.conn, last); err != nil {
		return 0, 0, "", err
	}
	_, err = t.exec(ctx, `UPDATE im_connectors SET pruned_seq = ? WHERE key = ?`, last, t.conn)
	return n, last, waitsFor, err
}

// prunable selects the runs r of the connector ?1 that ended before ?2 and that nothing
// refers to: their rows of the feed are gone, which were written before their end, and they
// hold nothing. The newest key is never given to another run.
const prunable = ` r.connector_key = ?1 AND r.ended_at < ?2
	AND r.ended_at < coalesce((SELECT c.at FROM im_changes c WHERE c.connector_key = ?1 ORDER BY c.seq LIMIT 1), 9223372036854775807)
	AND r.key < (SELECT max(m.key) FROM im_runs m)
	AND r.key < (SELECT max(n.key) FROM im_runs n WHERE n.connector_key = ?1 AND n.mode = r.mode AND n.outcome = r.outcome)
	AND NOT EXISTS (SELECT 1 FROM im_holds h WHERE h.connector_key = ?1 AND h.run_key = r.key)
	AND NOT EXISTS (SELECT 1 FROM im_holds h JOIN im_held d ON d.hold_key = h.key WHERE h.connector_key = ?1 AND d.run_key = r.key)`

// pruneRuns removes run rows, and holds that were closed long ago and keep nothing.
func (t *tx) pruneRuns(ctx context.Context, before int64, dry bool) (n int64, err error) {
	if dry {
		_, err = first(ctx, t, []any{&n}, `SELECT count(*) FROM im_runs r WHERE`+prunable, t.conn, before)
		return n, err
	}
	if _, err := t.exec(ctx, `
		DELETE FROM im_holds WHERE connector_key = ?1 AND state <> 'Open' AND changed_at < ?2
		AND NOT EXISTS (SELECT 1 FROM im_held d WHERE d.hold_key = im_holds.key)`, t.conn, before); err != nil {
		return 0, err
	}
	keys, err := collect(ctx, t, scanKey, `SELECT r.key FROM im_runs r WHERE`+prunable, t.conn, before)
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	for _, q := range []string{`DELETE FROM im_run_counts WHERE run_key`, `DELETE FROM im_runs WHERE key`} {
		if n, err = t.exec(ctx, q+` IN (SELECT j.value FROM json_each(?) j)`, keyList(keys)); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// checkOffset refuses to read on after since when that is not a place in the feed, or when the
// next row was removed. It returns the feed's epoch.
func checkOffset(ctx context.Context, from querier, conn int64, q *ChangeQuery) (epoch string, err error) {
	var pruned, last int64
	if _, err := first(ctx, from, []any{&pruned, &last, &epoch}, `SELECT pruned_seq, seq, epoch FROM im_connectors WHERE key = ?`, conn); err != nil {
		return "", err
	}
	switch {
	case q.Epoch != "" && q.Epoch != epoch, q.Since > last:
		return "", &EpochError{Connector: q.Connector, Since: Offset{q.Epoch, q.Since}, Epoch: epoch, Last: last}
	case q.Since >= pruned:
		return epoch, nil
	case q.Kept:
		q.Since = pruned
		return epoch, nil
	}
	return "", &PrunedError{Connector: q.Connector, Since: q.Since, First: pruned + 1}
}
