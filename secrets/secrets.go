// Package secrets resolves references such as secret://okta/contoso/apitoken to
// the secrets they name (runbook, Step 2).
//
// A connector's definition holds references only. An activity resolves one when it
// needs the token, and drops the [Value] afterwards. The first backend is
// [TableStore]: the im_secrets table, each row sealed with a key that is kept
// outside the database ([Keys]). Further backends implement [Resolver].
package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"unicode"
	"unicode/utf8"
)

// MaxValueLen is the largest secret, in bytes.
const MaxValueLen = 64 << 10

// backendTable names the table in messages.
const backendTable = "im_secrets table"

// Resolver finds the secret behind a reference. An unknown reference is a
// [*MissingError].
type Resolver interface {
	Resolve(ctx context.Context, ref Ref) (Value, error)
}

// Table keeps sealed values by reference; the mesh store is one. GetSecret and
// DeleteSecret report an unknown reference with an error for which
// errors.Is(err, fs.ErrNotExist) holds.
type Table interface {
	PutSecret(ctx context.Context, ref string, sealed []byte) error
	GetSecret(ctx context.Context, ref string) (sealed []byte, err error)
	DeleteSecret(ctx context.Context, ref string) error
}

// TableStore keeps secrets in a [Table], sealed with a key of [Keys]. It is safe
// for concurrent use as far as its table is.
type TableStore struct {
	table Table
	keys  *Keys
}

var _ Resolver = (*TableStore)(nil)

// NewTableStore returns the store that seals the rows of t with k. It touches
// neither before the first call.
func NewTableStore(t Table, k *Keys) *TableStore { return &TableStore{table: t, keys: k} }

// Set stores value under ref and replaces what was there; the first Set makes the
// key. One trailing newline is trimmed, because an echo or an editor puts it
// there. A value that is empty, larger than [MaxValueLen], or holds line breaks or
// other control characters is a [*ValueError].
func (s *TableStore) Set(ctx context.Context, ref Ref, value []byte) error {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return err
	}
	value = trimNewline(value)
	if message := checkValue(value); message != "" {
		return &ValueError{Ref: ref, Message: message}
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
		return fmt.Errorf("secret %s cannot be stored in the %s: %w", ref, backendTable, err)
	}
	return nil
}

// Resolve returns the secret under ref: a [*MissingError] when there is none, a
// [*SealError] when it does not open, a [*KeyFileError] when the key cannot be used.
func (s *TableStore) Resolve(ctx context.Context, ref Ref) (Value, error) {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return Value{}, err
	}
	sealed, err := s.table.GetSecret(ctx, string(ref))
	if err != nil {
		return Value{}, tableError(ref, "read from", err)
	}
	key, err := s.keys.load()
	if errors.Is(err, fs.ErrNotExist) {
		return Value{}, &SealError{Ref: ref, Backend: backendTable, KeyFile: s.keys.path, KeyMissing: true}
	}
	if err != nil {
		return Value{}, err
	}
	plain, err := key.Decrypt(sealed, []byte(ref))
	if err != nil {
		return Value{}, &SealError{Ref: ref, Backend: backendTable, KeyFile: s.keys.path}
	}
	defer clear(plain)
	return NewValue(plain), nil
}

// Delete removes the secret under ref; a [*MissingError] when there is none.
func (s *TableStore) Delete(ctx context.Context, ref Ref) error {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return err
	}
	if err := s.table.DeleteSecret(ctx, string(ref)); err != nil {
		return tableError(ref, "deleted from", err)
	}
	return nil
}

func tableError(ref Ref, verb string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &MissingError{Ref: ref, Backend: backendTable}
	}
	return fmt.Errorf("secret %s cannot be %s the %s: %w", ref, verb, backendTable, err)
}

func trimNewline(b []byte) []byte {
	if cut, ok := bytes.CutSuffix(b, []byte("\n")); ok {
		return bytes.TrimSuffix(cut, []byte("\r"))
	}
	return b
}

// checkValue says what is wrong with a value, "" when nothing is.
func checkValue(b []byte) string {
	switch {
	case len(b) == 0:
		return "is empty; give the secret on standard input"
	case len(b) > MaxValueLen:
		return "is larger than 64 KiB"
	case !utf8.Valid(b):
		return "is not UTF-8 text"
	case bytes.ContainsAny(b, "\r\n"):
		return "holds a line break; give one line"
	case bytes.ContainsFunc(b, unicode.IsControl):
		return "holds a control character; paste the secret without formatting"
	case len(bytes.TrimSpace(b)) == 0:
		return "is blank; give the secret on standard input"
	}
	return ""
}
