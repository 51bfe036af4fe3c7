package mesh

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// querier is what reads rows: a writing transaction, a reading one, or a pool.
type querier interface {
	QueryContext(ctx context.Context, q string, args ...any) (*rowSet, error)
}

// collect reads all rows of q.
func collect[T any](ctx context.Context, from querier, scan func(rows *rowSet) (T, error), q string, args ...any) (all []T, err error) {
	rows, err := from.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", q, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", q, err)
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

// first reads the first row of q into dest and says whether there was one.
func first(ctx context.Context, from querier, dest []any, q string, args ...any) (found bool, err error) {
	rows, err := from.QueryContext(ctx, q, args...)
	if err != nil {
		return false, fmt.Errorf("%.80q: %w", q, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return false, rows.Err()
	}
	if err := rows.Scan(dest...); err != nil {
		return false, fmt.Errorf("%.80q: %w", q, err)
	}
	return true, nil
}

// toMillis is a time as it is stored; 0 for the zero time.
func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
