package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
	"github.com/identitymesh/okta-connector/secrets"
)

const (
	tokenRef = secrets.Ref("secret://okta/contoso/apitoken")
	otherRef = secrets.Ref("secret://okta/fabrikam/apitoken")
	// canary is a value that must show nowhere but in Reveal.
	canary = "00Canary-token_VALUE.1234567890abcdefghijkl"
)

// memory is a Table in memory that can fail.
type memory struct {
	mu   sync.Mutex
	rows map[string][]byte
	err  error
}

func (m *memory) PutSecret(_ context.Context, ref string, sealed []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.rows[ref] = bytes.Clone(sealed)
	}
	return m.err
}

func (m *memory) GetSecret(_ context.Context, ref string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return nil, m.err
	}
	sealed, ok := m.rows[ref]
	if !ok {
		return nil, &mesh.NotFoundError{Kind: "secret", Name: ref}
	}
	return bytes.Clone(sealed), nil
}

func (m *memory) ResealSecret(_ context.Context, ref string, before, after []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil || !bytes.Equal(m.rows[ref], before) {
		return false, m.err
	}
	m.rows[ref] = bytes.Clone(after)
	return true, nil
}

func (m *memory) SecretRows(context.Context) ([]secrets.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows := make([]secrets.Row, 0, len(m.rows))
	for _, ref := range slices.Sorted(maps.Keys(m.rows)) {
		rows = append(rows, secrets.Row{Ref: ref})
	}
	return rows, m.err
}

func (m *memory) DeleteSecret(ctx context.Context, ref string) error {
	if _, err := m.GetSecret(ctx, ref); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rows, ref)
	return nil
}

func setup(t *testing.T) (*secrets.TableStore, *memory, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state", "key.json")
	table := &memory{rows: map[string][]byte{}}
	return secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(path))), table, path
}

func TestSetResolveDelete(t *testing.T) {
	t.Parallel()
	store, table, _ := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary+"\n")))
	v, err := store.Resolve(t.Context(), tokenRef)
	require.NoError(t, err)
	require.Equal(t, canary, v.Reveal())
	require.NotContains(t, string(table.rows[string(tokenRef)]), canary, "sealed")

	require.NoError(t, store.Set(t.Context(), tokenRef, []byte("rotated")))
	v, err = store.Resolve(t.Context(), tokenRef)
	require.NoError(t, err)
	require.Equal(t, "rotated", v.Reveal())

	require.NoError(t, store.Delete(t.Context(), tokenRef))
	for _, err := range []error{store.Delete(t.Context(), tokenRef), second(store.Resolve(t.Context(), tokenRef))} {
		require.True(t, secrets.IsMissing(err))
		require.EqualError(t, err, "secret secret://okta/contoso/apitoken is not in the im_secrets table; "+
			"store it with: starter secret set secret://okta/contoso/apitoken")
	}
}

func second[T any](_ T, err error) error { return err }

func TestSetTrimsOneNewline(t *testing.T) {
	t.Parallel()
	store, _, _ := setup(t)
	for given, want := range map[string]string{
		"a": "a", "a\n": "a", "a\r\n": "a", "a b": "a b", "p\u00e4ss": "p\u00e4ss",
		strings.Repeat("x", secrets.MaxValueLen) + "\n": strings.Repeat("x", secrets.MaxValueLen),
	} {
		input := []byte(given)
		require.NoError(t, store.Set(t.Context(), tokenRef, input))
		require.Equal(t, given, string(input), "the caller's bytes are untouched")
		v, err := store.Resolve(t.Context(), tokenRef)
		require.NoError(t, err)
		require.Equal(t, want, v.Reveal())
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	store, table, path := setup(t)
	for value, want := range map[string]string{
		"": "is empty", "\n": "is empty", "\r\n": "is empty", "  \n": "is blank",
		canary + "\n\n": "holds a line break", canary + "\r": "holds a line break", "a\n" + canary: "holds a line break",
		canary + "\x00": "control character", canary + "\t": "control character", canary + "\x7f": "control character",
		canary + "\u0085": "control character", canary + "\xff": "is not UTF-8",
		canary + strings.Repeat("x", secrets.MaxValueLen): "larger than 64 KiB",
	} {
		err := store.Set(t.Context(), tokenRef, []byte(value))
		var e *secrets.ValueError
		require.ErrorAs(t, err, &e)
		require.ErrorContains(t, err, "the value of secret secret://okta/contoso/apitoken "+e.Message)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "Canary")
	}
	require.Empty(t, table.rows)
	require.NoFileExists(t, path, "no key is made for a refused value")
}

func TestBadReference(t *testing.T) {
	t.Parallel()
	store, table, path := setup(t)
	for _, err := range []error{
		store.Set(t.Context(), canary, []byte("x")), second(store.Resolve(t.Context(), canary)), store.Delete(t.Context(), canary),
	} {
		require.ErrorIs(t, err, secrets.ErrRef)
		require.NotContains(t, err.Error(), canary, "a token pasted in the reference's place")
	}
	require.Empty(t, table.rows)
	require.NoFileExists(t, path)
}

// A row that was changed, cut, or moved to another reference does not open.
func TestTamper(t *testing.T) {
	t.Parallel()
	store, table, path := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	require.NoError(t, store.Set(t.Context(), otherRef, []byte("another")))
	good := maps.Clone(table.rows)
	sealed := good[string(tokenRef)]

	damaged := [][]byte{nil, {}, sealed[:len(sealed)-1], append(slices.Clone(sealed), 0), good[string(otherRef)], []byte(canary)}
	for i := range sealed {
		flipped := slices.Clone(sealed)
		flipped[i] ^= 1
		damaged = append(damaged, flipped)
	}
	for _, row := range damaged {
		table.rows[string(tokenRef)] = row
		v, err := store.Resolve(t.Context(), tokenRef)
		require.True(t, v.IsZero())
		requireSealed(t, err, path, false)
		require.NotContains(t, err.Error(), canary)
	}

	table.rows[string(tokenRef)] = sealed
	require.Equal(t, canary, must(store.Resolve(t.Context(), tokenRef)).Reveal())
	table.rows[string(tokenRef)], table.rows[string(otherRef)] = good[string(otherRef)], sealed
	for _, ref := range []secrets.Ref{tokenRef, otherRef} {
		requireSealed(t, second(store.Resolve(t.Context(), ref)), path, false)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func requireSealed(t *testing.T, err error, keyFile string, keyMissing bool) {
	t.Helper()
	var e *secrets.SealError
	require.ErrorAs(t, err, &e)
	require.Equal(t, keyMissing, e.KeyMissing)
	for _, part := range []string{keyFile, "secret://okta/", "im_secrets table", "starter secret set"} {
		require.Contains(t, err.Error(), part)
	}
}

// The same value sealed twice gives different rows.
func TestSealsDiffer(t *testing.T) {
	t.Parallel()
	store, table, _ := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	first := table.rows[string(tokenRef)]
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	require.NotEqual(t, first, table.rows[string(tokenRef)])
}

func TestTableErrors(t *testing.T) {
	t.Parallel()
	store, table, _ := setup(t)
	require.NoError(t, store.Set(t.Context(), tokenRef, []byte(canary)))
	table.err = errors.New("disk on fire")
	for verb, err := range map[string]error{
		"stored":  store.Set(t.Context(), tokenRef, []byte(canary)),
		"read":    second(store.Resolve(t.Context(), tokenRef)),
		"deleted": store.Delete(t.Context(), tokenRef),
	} {
		require.ErrorIs(t, err, table.err)
		require.ErrorContains(t, err, "secret://okta/contoso/apitoken in the im_secrets table cannot be "+verb+": disk on fire")
		_, later := secrets.RetryLater(err)
		require.True(t, later)
		require.NotErrorIs(t, err, fs.ErrNotExist)
		require.NotContains(t, err.Error(), canary)
	}
}

func TestParseRef(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"secret://okta/contoso/apitoken", "secret://a/b", "secret://A-1._x/y/z", "secret://a/.b",
		"secret://a/" + strings.Repeat("b", secrets.MaxRefLen-len("secret://a/")),
	} {
		ref, err := secrets.ParseRef(good)
		require.NoError(t, err, good)
		require.Equal(t, good, ref.String())
	}
	for _, bad := range []string{
		"", canary, "secret://", "secret://okta", "secret://okta/", "secret:///x", "secret://a//b", "secret://a/b/",
		"secret://a/..", "secret://./a", "secret://a/b?c=d", "secret://a/b#c", "secret://a/b c", "secret://a/b\n",
		"secret://u:p@a/b", "secret://a:1/b", "SECRET://a/b", "http://a/b", "secret://a/é", "secret://a/%2e",
		"secret://a/" + strings.Repeat("b", secrets.MaxRefLen),
	} {
		ref, err := secrets.ParseRef(bad)
		require.ErrorIs(t, err, secrets.ErrRef, bad)
		require.Empty(t, ref)
	}
}
