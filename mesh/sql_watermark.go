package mesh

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
)

// moveWatermark merges the run's marks into the stored watermark: a nil mark keeps
// the stored key, and malformed text is replaced. No mark moves backwards but that of
// a walk in full, which was built on no mark: a wrong one does not outlive it.
func (t *tx) moveWatermark(ctx context.Context, c CommitRun) error {
	if c.Watermark.String() == "" {
		return nil
	}
	var text sql.NullString
	if _, err := first(ctx, t, []any{&text}, `SELECT watermark FROM im_watermarks WHERE connector_key = ?`, t.conn); err != nil {
		return err
	}
	stored, err := ParseWatermark(text.String)
	if err != nil {
		stored = Watermark{} // the run did not build on it
	}
	return t.storeWatermark(ctx, Watermark{
		Users:  movedMark(stored.Users, c.Watermark.Users, c.UsersFull),
		Groups: movedMark(stored.Groups, c.Watermark.Groups, c.GroupsFull),
	}, t.fence.RunID)
}

func movedMark(stored, moved *Mark, full bool) *Mark {
	switch {
	case full:
		return cmp.Or(moved, stored)
	case moved == nil || stored != nil && stored.After(moved.Time):
		return stored
	}
	return moved
}

// storeWatermark replaces the stored text; a watermark without marks is null.
func (t *tx) storeWatermark(ctx context.Context, w Watermark, by string) error {
	_, err := t.exec(ctx, `
		INSERT INTO im_watermarks (connector_key, watermark, updated_at, updated_by) VALUES (?, nullif(?, ''), ?, ?)
		ON CONFLICT (connector_key) DO UPDATE SET watermark = excluded.watermark, updated_at = excluded.updated_at, updated_by = excluded.updated_by`,
		t.conn, w.String(), t.now, by)
	return err
}

// SetWatermark implements [Operator].
func (s *engine) SetWatermark(ctx context.Context, connector, text, by string) error {
	w, err := ParseWatermark(text)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		l, err := t.lease(ctx, connector)
		if err != nil {
			return err
		}
		if l.run != "" && l.until > t.now {
			return &ConflictError{fmt.Sprintf("connector %q is being imported by run %s, which will move the watermark: wait for its end or cancel it, then set the watermark", connector, l.run)}
		}
		return t.storeWatermark(ctx, w, by)
	})
}

// RawWatermark implements [Reader].
func (s *engine) RawWatermark(ctx context.Context, connector string) (string, error) {
	w, err := s.StoredWatermark(ctx, connector)
	return w.Text, err
}

// StoredWatermark implements [Reader]; zero when nobody ever wrote one.
func (s *engine) StoredWatermark(ctx context.Context, connector string) (w StoredWatermark, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		var at int64
		_, err = first(ctx, from, []any{&w.Text, &at, &w.UpdatedBy}, `
			SELECT coalesce(watermark, ''), coalesce(updated_at, 0), coalesce(updated_by, '') FROM im_watermarks WHERE connector_key = ?`, conn)
		w.UpdatedAt = fromMillis(at)
		return err
	})
	return w, err
}

// ReadState implements [Reader].
func (s *engine) ReadState(ctx context.Context, connector string) (r ReadState, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		var restored int64
		_, err = first(ctx, from, []any{&r.ReadAs, &r.DerivesEveryone, &restored, &r.Unhealed},
			`SELECT read_as, everyone_key IS NOT NULL, coalesce(restored_at, 0), unhealed FROM im_connectors WHERE key = ?`, conn)
		r.RestoredAt = fromMillis(restored)
		return err
	})
	return r, err
}
