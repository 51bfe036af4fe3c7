package mesh

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// openForTest opens a fresh store that does not wait for the disk.
func openForTest(t testing.TB) *SQLite {
	t.Helper()
	s, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "mesh.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.writer.ExecContext(t.Context(), `PRAGMA synchronous = OFF`)
	require.NoError(t, err)
	return s
}

func TestKeysOfARolledBackTransactionAreForgotten(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	intern := func(id string, fail error) (key int64) {
		err := s.write(t.Context(), func(x *tx) error {
			x.conn = 1
			keys, _, err := x.internAll(t.Context(), User, []string{id, id})
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

// TestInternAll names ids that are new, known, remembered and repeated.
func TestInternAll(t *testing.T) {
	t.Parallel()
	s := openForTest(t)
	intern := func(conn int64, typ ObjectType, ids ...string) (keys []int64) {
		require.NoError(t, s.write(t.Context(), func(x *tx) (err error) {
			x.conn = conn
			keys, _, err = x.internAll(t.Context(), typ, ids)
			return err
		}))
		return keys
	}
	require.Empty(t, intern(1, User))
	require.Equal(t, []int64{1, 2, 1}, intern(1, User, "b", "a", "b"), "keys have the order of the list")
	require.Equal(t, []int64{2, 3, 1}, intern(1, User, "a", "c", "b"))
	require.Equal(t, []int64{4, 5}, intern(1, Group, "a", "c"), "a type has ids of its own")
	require.Equal(t, []int64{6}, intern(2, User, "a"), "and so has a connector")
	s.keys.young, s.keys.old = nil, nil
	require.Equal(t, []int64{1, 7, 2, 7, 3}, intern(1, User, "b", "d", "a", "d", "c"), "read from the table")
	require.Equal(t, []int64{5, 4}, intern(1, Group, "c", "a"))
	long := strings.Repeat("x", cachedID)
	for range 2 { // one is remembered, the other looked up
		require.Equal(t, []int64{8, 9, 10}, intern(1, User, long, long+"y", long[1:]))
	}
}

func TestKeyCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c keyCache
	space := idSpace{conn: 1}
	found := map[string]int64{}
	for i := range 3 * keyCacheSize {
		found[fmt.Sprint(i)] = int64(i) + 1
	}
	c.add(space, found)
	require.LessOrEqual(t, len(c.young)+len(c.old), 2*keyCacheSize)
	known := 0
	for id, key := range found {
		if keys, missing := c.get(space, []string{id}); len(missing) == 0 {
			require.Equal(t, key, keys[0])
			known++
		}
	}
	require.Positive(t, known)
	for _, other := range []idSpace{{conn: 2}, {conn: 1, group: true}} {
		keys, missing := c.get(other, []string{"1"})
		require.Equal(t, []int64{0}, keys)
		require.Equal(t, []int{0}, missing)
	}
}
