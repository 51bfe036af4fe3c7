package mesh

import (
	"context"
	"time"
)

// countEnd adds a run that is about to end to the totals of its connector. A run that was
// ended before, by whoever took its lease over, is in them already.
func (t *tx) countEnd(ctx context.Context, run int64, outcome Outcome) error {
	if _, err := t.exec(ctx, `
		INSERT INTO im_run_totals (connector_key, mode, outcome, runs, ended_at, duration_ms)
		SELECT r.connector_key, r.mode, CAST(?2 AS TEXT), 1, CAST(?3 AS BIGINT), CAST(?3 AS BIGINT) - r.started_at FROM im_runs r WHERE r.key = ?1 AND r.ended_at IS NULL
		ON CONFLICT (connector_key, mode, outcome) DO UPDATE
			SET runs = im_run_totals.runs + 1, ended_at = excluded.ended_at, duration_ms = excluded.duration_ms`,
		run, outcome, t.now); err != nil {
		return err
	}
	_, err := t.exec(ctx, `
		INSERT INTO im_change_totals (connector_key, type, added, updated, deleted)
		SELECT r.connector_key, n.type, n.added, n.updated, n.deleted
		FROM im_runs r JOIN im_run_counts n ON n.run_key = r.key WHERE r.key = ?1 AND r.ended_at IS NULL
		ON CONFLICT (connector_key, type) DO UPDATE SET added = im_change_totals.added + excluded.added,
			updated = im_change_totals.updated + excluded.updated, deleted = im_change_totals.deleted + excluded.deleted`, run)
	return err
}

// Standings implements [Observer].
func (s *engine) Standings(ctx context.Context) (all []Standing, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		b := standings{ctx: ctx, from: from, by: map[int64]*Standing{}}
		for _, load := range []func() error{b.connectors, b.ends, b.running, b.changes, b.holds, b.held, b.watermarks} {
			if err := load(); err != nil {
				return err
			}
		}
		for _, key := range b.order {
			all = append(all, *b.by[key])
		}
		return nil
	})
	return all, err
}

// standings are the connectors being read, by key.
type standings struct {
	ctx   context.Context
	from  querier
	by    map[int64]*Standing
	order []int64
}

func (b *standings) connectors() error {
	_, err := collect(b.ctx, b.from, func(rows *rowSet) (_ struct{}, err error) {
		var key, created int64
		var name string
		err = rows.Scan(&key, &name, &created)
		st := &Standing{Connector: name, CreatedAt: fromMillis(created), Running: map[string]time.Time{}, Changes: map[ObjectType]Counts{}, Held: map[ObjectType]int{}}
		for _, typ := range ObjectTypes {
			st.Changes[typ], st.Held[typ] = Counts{}, 0
		}
		b.by[key] = st
		b.order = append(b.order, key)
		return struct{}{}, err
	}, `SELECT key, name, created_at FROM im_connectors WHERE deleted_at IS NULL AND shadow_of IS NULL ORDER BY name`)
	return err
}

// each reads rows of known connectors; key is where a row's connector is scanned to.
func (b *standings) each(key *int64, dest []any, add func(st *Standing), query string) error {
	_, err := collect(b.ctx, b.from, func(rows *rowSet) (_ struct{}, _ error) {
		if err := rows.Scan(append([]any{key}, dest...)...); err != nil {
			return struct{}{}, err
		}
		if st := b.by[*key]; st != nil { // a shadow or a deleted one
			add(st)
		}
		return struct{}{}, nil
	}, query)
	return err
}

func (b *standings) ends() error {
	var key, ended, took int64
	var r RunTotal
	return b.each(&key, []any{&r.Mode, &r.Outcome, &r.Runs, &ended, &took}, func(st *Standing) {
		r.EndedAt, r.Duration = fromMillis(ended), max(time.Duration(took)*time.Millisecond, 0)
		st.Ends = append(st.Ends, r)
	}, `SELECT connector_key, mode, outcome, runs, ended_at, duration_ms FROM im_run_totals ORDER BY mode, outcome`)
}

func (b *standings) running() error {
	var key, started int64
	var mode string
	return b.each(&key, []any{&mode, &started}, func(st *Standing) {
		st.Running[mode] = fromMillis(started)
	}, `SELECT connector_key, mode, started_at FROM im_runs WHERE ended_at IS NULL ORDER BY key`)
}

func (b *standings) changes() error {
	var key int64
	var typ ObjectType
	var c Counts
	add := func(st *Standing) {
		sum := st.Changes[typ]
		st.Changes[typ] = Counts{Added: sum.Added + c.Added, Updated: sum.Updated + c.Updated, Deleted: sum.Deleted + c.Deleted}
	}
	dest := []any{&typ, &c.Added, &c.Updated, &c.Deleted}
	if err := b.each(&key, dest, add, `SELECT connector_key, type, added, updated, deleted FROM im_change_totals`); err != nil {
		return err
	}
	return b.each(&key, dest, add, `
		SELECT r.connector_key, n.type, n.added, n.updated, n.deleted
		FROM im_runs r JOIN im_run_counts n ON n.run_key = r.key WHERE r.ended_at IS NULL`)
}

func (b *standings) holds() error {
	var key, opened, expires int64
	return b.each(&key, []any{&opened, &expires}, func(st *Standing) {
		st.HoldOpened, st.HoldExpires = fromMillis(opened), fromMillis(expires)
	}, `SELECT connector_key, opened_at, expires_at FROM im_holds WHERE state = 'Open'`)
}

func (b *standings) held() error {
	var key int64
	var typ ObjectType
	var n int
	return b.each(&key, []any{&typ, &n}, func(st *Standing) { st.Held[typ] = n }, `
		SELECT h.connector_key, d.type, count(*) FROM im_holds h JOIN im_held d ON d.hold_key = h.key
		WHERE h.state = 'Open' GROUP BY h.connector_key, d.type`)
}

func (b *standings) watermarks() error {
	var key int64
	var text string
	return b.each(&key, []any{&text}, func(st *Standing) {
		if w, err := ParseWatermark(text); err == nil { // a malformed one is a matter of the next run
			st.Watermark = w
		}
	}, `SELECT connector_key, coalesce(watermark, '') FROM im_watermarks`)
}
