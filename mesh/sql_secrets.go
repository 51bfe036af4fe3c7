package mesh

import (
	"context"
)

// PutSecret implements [Secrets].
func (s *engine) PutSecret(ctx context.Context, ref string, sealed []byte) error {
	if ref == "" {
		return &ConflictError{"a secret needs a reference"}
	}
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO im_secrets (ref, sealed, created_at, updated_at) VALUES (?, ?, `+sqlNow+`, `+sqlNow+`)
			ON CONFLICT (ref) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at`, ref, sealed)
		return err
	})
}

// GetSecret implements [Secrets].
func (s *engine) GetSecret(ctx context.Context, ref string) (sealed []byte, err error) {
	found, err := first(ctx, s.reader, []any{&sealed}, `SELECT sealed FROM im_secrets WHERE ref = ?`, ref)
	if err == nil && !found {
		err = &NotFoundError{"secret", ref}
	}
	return sealed, err
}

// ResealSecret implements [Secrets].
func (s *engine) ResealSecret(ctx context.Context, ref string, before, after []byte) (done bool, err error) {
	err = s.write(ctx, func(t *tx) error {
		n, err := t.exec(ctx, `UPDATE im_secrets SET sealed = ? WHERE ref = ? AND sealed = ?`, after, ref, before)
		done = n > 0
		return err
	})
	return done, err
}

// ListSecrets implements [Secrets]; the result is sorted by reference.
func (s *engine) ListSecrets(ctx context.Context) ([]Secret, error) {
	return collect(ctx, s.reader, func(rows *rowSet) (Secret, error) {
		var sec Secret
		var created, updated int64
		err := rows.Scan(&sec.Ref, &created, &updated)
		sec.CreatedAt, sec.UpdatedAt = fromMillis(created), fromMillis(updated)
		return sec, err
	}, `SELECT ref, created_at, updated_at FROM im_secrets ORDER BY ref`)
}

// DeleteSecret implements [Secrets]; an unknown reference is a [*NotFoundError].
func (s *engine) DeleteSecret(ctx context.Context, ref string) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM im_secrets WHERE ref = ?`, ref)
		if err == nil && n == 0 {
			err = &NotFoundError{"secret", ref}
		}
		return err
	})
}
