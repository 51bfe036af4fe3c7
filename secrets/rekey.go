package secrets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Rekeyed is what a rotation of the key did.
type Rekeyed struct {
	Rows     int // in the table
	Resealed int // sealed anew by this call; the others were sealed with the newest key
	// Pending says that old keys still open rows: give the keyset that was written to
	// every process, and rotate again.
	Pending bool
}

// Rekey makes a new key, seals every row with it, and then drops the old keys. Until
// then the old keys stay readable, so that it may be killed at any point: workers go on
// resolving, and the next Rekey finishes the work. A rotation that was begun is
// finished with the key that it made.
func (s *TableStore) Rekey(ctx context.Context) (Rekeyed, error) {
	unlock, err := s.keys.store.Lock(ctx)
	if err != nil {
		return Rekeyed{}, err
	}
	defer unlock()
	key, err := s.keys.create()
	if err != nil {
		return Rekeyed{}, err
	}
	if key.size() == 1 {
		if key, err = s.keys.rotated(key); err != nil {
			return Rekeyed{}, err
		}
		if err := s.keys.replace(key); err != nil {
			return Rekeyed{}, err
		}
	}
	done, newest, err := s.reseal(ctx, key)
	if err != nil {
		return done, err
	}
	return done, s.keys.replace(newest)
}

// RekeyTo is [TableStore.Rekey] for a key that this program cannot change, or of which
// several machines have copies. It takes two calls. The first gives write the keyset
// with a new key, and changes nothing itself: with that keyset in the place of the old
// one everywhere, the second call seals every row with the new key, and gives write the
// keyset without the old ones, to be put in its place in turn. Without any key yet it
// makes one.
func (s *TableStore) RekeyTo(ctx context.Context, write func(keyset []byte) error) (Rekeyed, error) {
	key, err := s.keys.load()
	if errors.Is(err, fs.ErrNotExist) {
		if key, err = s.keys.fresh(); err != nil {
			return Rekeyed{}, err
		}
		return Rekeyed{}, hand(write, key)
	}
	if err != nil {
		return Rekeyed{}, err
	}
	if key.size() == 1 {
		if key, err = s.keys.rotated(key); err != nil {
			return Rekeyed{}, err
		}
		return Rekeyed{Pending: true}, hand(write, key)
	}
	done, newest, err := s.reseal(ctx, key)
	if err != nil {
		return done, err
	}
	return done, hand(write, newest)
}

func hand(write func([]byte) error, key *opened) error {
	text, err := key.text()
	if err != nil {
		return err
	}
	defer clear(text)
	return write(text)
}

// reseal seals every row with the newest key of the set, and returns that key alone.
// It goes on past rows that do not open, and then fails.
func (s *TableStore) reseal(ctx context.Context, key *opened) (done Rekeyed, newest *opened, err error) {
	if newest, err = s.keys.pruned(key); err != nil {
		return done, nil, err
	}
	rows, err := s.table.SecretRows(ctx)
	if err != nil {
		return done, nil, fmt.Errorf("list the rows of %s: %w", thePlace, err)
	}
	var closed []string
	for _, row := range rows {
		changed, err := s.resealRow(ctx, row.Ref, key, newest)
		switch _, damaged := errors.AsType[*SealError](err); {
		case damaged:
			closed = append(closed, row.Ref)
			continue
		case err != nil:
			return done, nil, err
		}
		done.Rows++
		if changed {
			done.Resealed++
		}
	}
	if len(closed) > 0 {
		return done, nil, &KeyError{Key: s.keys.String(), Message: fmt.Sprintf(
			"cannot open %s, so its old keys are kept; store these secrets again or delete them, and repeat", strings.Join(closed, ", "))}
	}
	return done, newest, nil
}

// resealRow seals one row anew unless newest opens it already. A row that is set
// meanwhile is looked at again; one that is deleted is done.
func (s *TableStore) resealRow(ctx context.Context, ref string, key, newest *opened) (changed bool, err error) {
	for {
		before, err := s.table.GetSecret(ctx, ref)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, tableError(Ref(ref), "cannot be read", err)
		}
		if plain, err := newest.Decrypt(before, []byte(ref)); err == nil {
			clear(plain)
			return false, nil
		}
		plain, err := key.Decrypt(before, []byte(ref))
		if err != nil {
			return false, &SealError{Ref: Ref(ref), Backend: thePlace.String(), Key: s.keys.String()}
		}
		after, err := newest.Encrypt(plain, []byte(ref))
		clear(plain)
		if err != nil {
			return false, fmt.Errorf("secret %s cannot be sealed: %w", ref, err)
		}
		if changed, err = s.table.ResealSecret(ctx, ref, before, after); err != nil {
			return false, tableError(Ref(ref), "cannot be sealed anew", err)
		}
		if changed {
			return true, nil
		}
	}
}
