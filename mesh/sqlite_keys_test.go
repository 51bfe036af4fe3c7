package mesh

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestKeysOfARolledBackTransactionAreForgotten(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := OpenSQLite(ctx, filepath.Join(t.TempDir(), "mesh.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	intern := func(id string, fail error) (key int64) {
		err := s.write(ctx, func(t *tx) error {
			t.conn = 1
			keys, err := t.internMembers(ctx, []string{id, id})
			if err == nil {
				key = keys[0]
				err = fail
			}
			return err
		})
		require.ErrorIs(t, err, fail)
		return key
	}
	crash := errors.New("crash")
	lost := intern("u1", crash)
	require.Equal(t, lost, intern("u2", nil), "the key is given away")
	require.NotEqual(t, lost, intern("u1", nil))
	require.Equal(t, lost, intern("u2", nil))
}

func TestKeyCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c keyCache
	found := map[memberID]int64{}
	for i := range 3 * keyCacheSize {
		found[memberID{1, fmt.Sprint(i)}] = int64(i)
	}
	c.add(found)
	require.LessOrEqual(t, len(c.young)+len(c.old), 2*keyCacheSize)
	known := 0
	for id, key := range found {
		if keys, _ := c.get(1, []string{id.oktaID}); len(keys) > 0 {
			require.Equal(t, key, keys[0])
			known++
		}
	}
	require.Positive(t, known)
	keys, missing := c.get(2, []string{"1"})
	require.Empty(t, keys)
	require.Equal(t, []string{"1"}, missing)
}
