package oskey_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zalando/go-keyring"

	"github.com/identitymesh/okta-connector/secrets"
	"github.com/identitymesh/okta-connector/secrets/oskey"
)

// table is one row.
type table struct{ sealed []byte }

func (m *table) PutSecret(_ context.Context, _ string, sealed []byte) error {
	m.sealed = sealed
	return nil
}
func (m *table) GetSecret(context.Context, string) ([]byte, error) { return m.sealed, nil }
func (*table) DeleteSecret(context.Context, string) error          { return nil }
func (m *table) ResealSecret(_ context.Context, _ string, _, after []byte) (bool, error) {
	m.sealed = after
	return true, nil
}
func (*table) SecretRows(context.Context) ([]secrets.Row, error) {
	return []secrets.Row{{Ref: "secret://a/b"}}, nil
}

// The library's stand-in of the system's store: a real one needs a desktop session.
func TestStore(t *testing.T) { //nolint:paralleltest // the stand-in is global
	keyring.MockInit()
	keys := secrets.OpenKeys(oskey.Open(filepath.Join(t.TempDir(), "state", "lock")))
	require.False(t, keys.Exists())
	s := secrets.NewTableStore(&table{}, keys)
	require.NoError(t, s.Set(t.Context(), "secret://a/b", []byte("value")))
	require.True(t, keys.Exists())
	first, err := keyring.Get(oskey.Service, oskey.Account)
	require.NoError(t, err)

	require.NoError(t, s.Set(t.Context(), "secret://a/b", []byte("value")))
	_, err = s.Rekey(t.Context())
	require.NoError(t, err)
	v, err := s.Resolve(t.Context(), "secret://a/b")
	require.NoError(t, err)
	require.Equal(t, "value", v.Reveal())
	next, err := keyring.Get(oskey.Service, oskey.Account)
	require.NoError(t, err)
	require.NotEqual(t, first, next)

	require.NoError(t, keyring.Delete(oskey.Service, oskey.Account))
	_, err = s.Resolve(t.Context(), "secret://a/b")
	var lost *secrets.SealError
	require.ErrorAs(t, err, &lost)
	require.True(t, lost.KeyMissing)

	keyring.MockInitWithError(errors.New("the collection is locked"))
	_, err = s.Resolve(t.Context(), "secret://a/b")
	var e *secrets.KeyError
	require.ErrorAs(t, err, &e)
	require.ErrorContains(t, err, "the collection is locked")
	require.ErrorContains(t, err, "desktop session")
	require.Error(t, s.Set(t.Context(), "secret://a/b", []byte("value")))
	require.True(t, keys.Exists(), "one that cannot be read is not replaced")
}
