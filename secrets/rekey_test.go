package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/secrets"
)

// refs are the rows of the tests.
func refs() []secrets.Ref {
	var all []secrets.Ref
	for i := range 5 {
		all = append(all, secrets.Ref(fmt.Sprintf("secret://okta/org%d/apitoken", i)))
	}
	return all
}

func fill(t *testing.T, s *secrets.TableStore) {
	t.Helper()
	for _, ref := range refs() {
		require.NoError(t, s.Set(t.Context(), ref, []byte("value of "+ref)))
	}
}

func requireAll(t *testing.T, s *secrets.TableStore) {
	t.Helper()
	for _, ref := range refs() {
		v, err := s.Resolve(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, "value of "+string(ref), v.Reveal())
	}
}

func TestRekey(t *testing.T) {
	t.Parallel()
	store, table, path := setup(t)
	fill(t, store)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	rows := map[string][]byte{}
	for ref, sealed := range table.rows {
		rows[ref] = sealed
	}
	done, err := store.Rekey(t.Context())
	require.NoError(t, err)
	require.Equal(t, secrets.Rekeyed{Rows: 5, Resealed: 5}, done)
	requireAll(t, store)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Less(t, len(after), len(before)*3/2, "one key")
	require.EqualValues(t, 0o600, mode(t, path))
	for ref, sealed := range table.rows {
		require.NotEqual(t, rows[ref], sealed)
	}
	// The old key opens nothing any more, and the new one none of the old rows.
	require.NoError(t, os.WriteFile(path, before, 0o600))
	requireSealed(t, second(store.Resolve(t.Context(), refs()[0])), path, false)
	require.NoError(t, os.WriteFile(path, after, 0o600))
	table.rows[string(refs()[0])] = rows[string(refs()[0])]
	requireSealed(t, second(store.Resolve(t.Context(), refs()[0])), path, false)
}

// dying is a table and a key that end like a killed process after some calls.
type dying struct {
	secrets.Table
	secrets.KeyStore
	left int
}

var errKilled = errors.New("killed")

func (d *dying) call() error {
	if d.left--; d.left < 0 {
		return errKilled
	}
	return nil
}

func (d *dying) ResealSecret(ctx context.Context, ref string, before, after []byte) (bool, error) {
	if err := d.call(); err != nil {
		return false, err
	}
	done, err := d.Table.ResealSecret(ctx, ref, before, after)
	return done, errors.Join(err, d.call()) // it may die after the write, too
}

func (d *dying) Replace(text []byte) error {
	if err := d.call(); err != nil {
		return err
	}
	return errors.Join(d.KeyStore.Replace(text), d.call())
}

func TestRekeyKilledAnywhere(t *testing.T) {
	t.Parallel()
	kills := 0
	for left := 0; ; left++ {
		store, table, path := setup(t)
		fill(t, store)
		d := &dying{Table: table, KeyStore: secrets.KeyFile(path), left: left}
		_, err := secrets.NewTableStore(d, secrets.OpenKeys(d)).Rekey(t.Context())
		requireAll(t, store)
		done, again := store.Rekey(t.Context())
		require.NoError(t, again)
		require.Equal(t, 5, done.Rows)
		requireAll(t, store)
		text, readErr := os.ReadFile(path)
		require.NoError(t, readErr)
		require.Equal(t, 1, bytes.Count(text, []byte(`"keyData"`)), "the old keys are dropped in the end")
		if err == nil {
			break
		}
		require.ErrorIs(t, err, errKilled)
		kills++
	}
	require.Equal(t, 2*(2+5), kills, "before and after each write of the key and of a row")
}

// Workers resolve and an operator sets while keys are rotated, by two at a time.
func TestRekeyUnderLoad(t *testing.T) {
	t.Parallel()
	store, table, path := setup(t)
	fill(t, store)
	var stop atomic.Bool
	var others, rotations sync.WaitGroup
	for _, ref := range refs() {
		others.Go(func() {
			for !stop.Load() {
				v, err := store.Resolve(t.Context(), ref)
				if err != nil || v.Reveal() != "value of "+string(ref) {
					t.Errorf("%s: %v", ref, err)
					return
				}
			}
		})
	}
	others.Go(func() {
		own := secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(path)))
		for !stop.Load() {
			if err := own.Set(t.Context(), refs()[0], []byte("value of "+refs()[0])); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		rotations.Go(func() {
			own := secrets.NewTableStore(table, secrets.OpenKeys(secrets.KeyFile(path)))
			for range 5 {
				if _, err := own.Rekey(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	rotations.Wait()
	stop.Store(true)
	others.Wait()
	requireAll(t, store)
}

// A row that no key opens keeps the old keys; the others move on.
func TestRekeyPastADamagedRow(t *testing.T) {
	t.Parallel()
	store, table, path := setup(t)
	fill(t, store)
	table.rows["secret://okta/broken/apitoken"] = []byte("damaged")
	done, err := store.Rekey(t.Context())
	var e *secrets.KeyError
	require.ErrorAs(t, err, &e)
	require.ErrorContains(t, err, "cannot open secret://okta/broken/apitoken, so its old keys are kept")
	require.Equal(t, 5, done.Resealed)
	requireAll(t, store)
	require.NoError(t, store.Delete(t.Context(), "secret://okta/broken/apitoken"))
	done, err = store.Rekey(t.Context())
	require.NoError(t, err)
	require.Equal(t, secrets.Rekeyed{Rows: 5}, done, "the rotation that was begun is finished")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(text, []byte(`"keyData"`)))
}

// A key in a variable: two calls, and the processes with the old and the new variable.
func TestRekeyTo(t *testing.T) {
	t.Parallel()
	table := &memory{rows: map[string][]byte{}}
	with := func(text []byte) *secrets.TableStore {
		return secrets.NewTableStore(table, secrets.OpenKeys(secrets.NewKeyText("IDENTITYMESH_KEY", string(text))))
	}
	out := func(s *secrets.TableStore, want secrets.Rekeyed) (text []byte) {
		t.Helper()
		done, err := s.RekeyTo(t.Context(), func(keyset []byte) error {
			text = bytes.Clone(keyset)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, want, done)
		return text
	}
	first := out(with(nil), secrets.Rekeyed{})
	old := with(first)
	fill(t, old)
	_, err := old.Rekey(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "--key-out")
	requireAll(t, old)

	both := out(old, secrets.Rekeyed{Pending: true})
	requireAll(t, old)
	between := with([]byte(base64.StdEncoding.EncodeToString(both)))
	requireAll(t, between)
	last := out(between, secrets.Rekeyed{Rows: 5, Resealed: 5})
	requireAll(t, between)
	requireAll(t, with(last))
	require.Error(t, second(old.Resolve(t.Context(), refs()[0])), "the old key alone opens nothing any more")

	failed := errors.New("disk full")
	_, err = with(last).RekeyTo(t.Context(), func([]byte) error { return failed })
	require.ErrorIs(t, err, failed)
	requireAll(t, with(last))
}

func TestKeyTextDamaged(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "is missing", "\n": "is missing", canary: "neither the JSON", "{" + canary: "no Tink keyset",
		base64.StdEncoding.EncodeToString([]byte(canary)): "no Tink keyset",
	} {
		keys := secrets.OpenKeys(secrets.NewKeyText("IDENTITYMESH_KEY", text))
		store := secrets.NewTableStore(&memory{rows: map[string][]byte{}}, keys)
		err := store.Set(t.Context(), tokenRef, []byte(canary))
		var e *secrets.KeyError
		require.ErrorAs(t, err, &e)
		require.NotContains(t, err.Error(), canary)
		if want != "is missing" {
			require.ErrorContains(t, err, want)
		} else {
			require.ErrorContains(t, err, "rekey --key-out")
			require.False(t, keys.Exists())
		}
	}
}
