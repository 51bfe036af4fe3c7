package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Table keeps sealed values by reference; the mesh store is one. GetSecret and
// DeleteSecret report an unknown reference with an error for which
// errors.Is(err, fs.ErrNotExist) holds.
type Table interface {
	PutSecret(ctx context.Context, ref string, sealed []byte) error
	GetSecret(ctx context.Context, ref string) (sealed []byte, err error)
	DeleteSecret(ctx context.Context, ref string) error
	// ResealSecret replaces before by after, and says whether before was still there.
	// The row's times stay: the secret is the same.
	ResealSecret(ctx context.Context, ref string, before, after []byte) (bool, error)
	// SecretRows lists the rows, sorted by reference.
	SecretRows(ctx context.Context) ([]Row, error)
}

// Row is a row of a [Table] without its value.
type Row struct {
	Ref              string
	Created, Updated time.Time
}

// TableStore keeps secrets in a [Table], sealed with a key of [Keys]. It is safe
// for concurrent use as far as its table is.
type TableStore struct {
	table Table
	keys  *Keys
}

var _ Writer = (*TableStore)(nil)

// NewTableStore returns the store that seals the rows of t with k. It touches
// neither before the first call.
func NewTableStore(t Table, k *Keys) *TableStore { return &TableStore{table: t, keys: k} }

// Keys returns the key that seals the rows.
func (s *TableStore) Keys() *Keys { return s.keys }

// thePlace is the place of every row.
var thePlace = Place{Backend: BackendTable, Name: "the im_secrets table"}

// Where implements [Backend].
func (*TableStore) Where(ref Ref) (Place, error) {
	if _, err := ParseRef(string(ref)); err != nil {
		return Place{}, err
	}
	return thePlace, nil
}

// HowToStore implements [Backend].
func (*TableStore) HowToStore(ref Ref) string {
	return "store it with: starter secret set " + string(ref)
}

// Close implements [Backend]. The table is the caller's.
func (*TableStore) Close() error { return nil }

// Set implements [Writer]; the first Set makes the key. One trailing newline is
// trimmed, because an echo or an editor puts it there. A value that is empty, larger
// than [MaxValueLen], or holds line breaks or other control characters and is neither
// a PEM block nor a JSON object, is a [*ValueError].
func (s *TableStore) Set(ctx context.Context, ref Ref, value []byte) error {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return err
	}
	value = trimNewline(value)
	if message := checkValue(value); message != "" {
		return &ValueError{Ref: ref, Message: message}
	}
	// A rotation would drop the key under which this row is about to be sealed.
	unlock, err := s.keys.store.Lock(ctx)
	switch {
	case err == nil:
		defer unlock()
	case ctx.Err() != nil:
		return ctx.Err()
	default: // a store that this program cannot write, no rotation writes either
	}
	key, err := s.keys.create()
	if err != nil {
		return err
	}
	sealed, err := key.Encrypt(value, []byte(ref))
	if err != nil {
		return fmt.Errorf("secret %s cannot be sealed: %w", ref, err)
	}
	if err := s.table.PutSecret(ctx, string(ref), sealed); err != nil {
		return tableError(ref, "cannot be stored", err)
	}
	return nil
}

// Resolve implements [Resolver]: besides [*Error], a [*SealError] when the row does not
// open, a [*KeyError] when the key cannot be used.
func (s *TableStore) Resolve(ctx context.Context, ref Ref) (Value, error) {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return Value{}, err
	}
	var tried []byte
	for {
		sealed, err := s.table.GetSecret(ctx, string(ref))
		if err != nil {
			return Value{}, tableError(ref, "cannot be read", err)
		}
		key, err := s.keys.load()
		if errors.Is(err, fs.ErrNotExist) {
			return Value{}, &SealError{Ref: ref, Backend: thePlace.String(), Key: s.keys.String(), KeyMissing: true}
		}
		if err != nil {
			return Value{}, err
		}
		plain, err := key.Decrypt(sealed, []byte(ref))
		if err == nil {
			return Found(ref, thePlace, plain)
		}
		// A rotation may have sealed the row anew between the two reads, and dropped the
		// key: then the row is another one by now.
		if tried != nil && bytes.Equal(tried, sealed) {
			return Value{}, &SealError{Ref: ref, Backend: thePlace.String(), Key: s.keys.String()}
		}
		tried = bytes.Clone(sealed)
		if tried == nil {
			tried = []byte{}
		}
	}
}

// Stat implements [Backend].
func (s *TableStore) Stat(ctx context.Context, ref Ref) (Info, error) {
	v, err := s.Resolve(ctx, ref)
	if err != nil {
		return Info{}, err
	}
	v.Wipe()
	rows, err := s.table.SecretRows(ctx)
	if err != nil {
		return Info{}, tableError(ref, "cannot be read", err)
	}
	for _, row := range rows {
		if row.Ref == string(ref) {
			return Info{Created: row.Created, Updated: row.Updated}, nil
		}
	}
	return Info{}, tableError(ref, "", fs.ErrNotExist) // deleted just now
}

// Delete implements [Writer].
func (s *TableStore) Delete(ctx context.Context, ref Ref) error {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return err
	}
	if err := s.table.DeleteSecret(ctx, string(ref)); err != nil {
		return tableError(ref, "cannot be deleted", err)
	}
	return nil
}

// List returns the rows, sorted by reference.
func (s *TableStore) List(ctx context.Context) ([]Row, error) { return s.table.SecretRows(ctx) }

// tableError translates an error of the table. What is not a missing row is the
// database's trouble, and passes with it.
func tableError(ref Ref, cause string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Ref: ref, Place: thePlace, Kind: Missing, Remedy: (*TableStore)(nil).HowToStore(ref)}
	}
	return &Error{Ref: ref, Place: thePlace, Kind: Unavailable, Cause: cause, Err: err}
}
