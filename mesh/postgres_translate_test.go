package mesh

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestPostgresWords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, in string
		args     []any
		want     string
		uses     []int
	}{
		{"parameters in turn", `UPDATE t SET a = ?, b = ? WHERE c = '?'`, []any{1, "x"}, `UPDATE t SET a = $1::bigint, b = $2::text WHERE c = '?'`, []int{0, 1}},
		{"numbered ones, not all", `SELECT ?3, ?1, ?3`, []any{true, 2, []byte{1}}, `SELECT $1::bytea, $2::bigint, $1::bytea`, []int{2, 0}},
		{"named ones", `SELECT :b WHERE x > :a`, []any{sql.Named("a", Reason("r")), sql.Named("b", 1)}, `SELECT $1::bigint WHERE x > $2::text`, []int{1, 0}},
		{"null", `VALUES (?)`, []any{nil}, `VALUES ($1)`, []int{0}},
		{"a list", `SELECT j.value FROM json_each(?) j WHERE true`, []any{keyList{1}}, `SELECT j.value FROM unnest($1::bigint[]) WITH ORDINALITY AS j(value, key) WHERE true`, []int{0}},
		{"in a list", `DELETE FROM t WHERE a IN (SELECT j.value FROM json_each(?) j) AND b IN (1, 2)`, []any{textList{"x"}}, `DELETE FROM t WHERE a = ANY ($1::text[]) AND b IN (1, 2)`, []int{0}},
		{"in a query", `DELETE FROM t WHERE a IN (SELECT b FROM u WHERE c IN (SELECT d FROM v)) AND e`, nil, `DELETE FROM t WHERE a = ANY (ARRAY(SELECT b FROM u WHERE c = ANY (ARRAY(SELECT d FROM v)))) AND e`, nil},
		{"ordered joins", `SELECT 1 FROM im_a a CROSS JOIN im_b b INDEXED BY i ON b.x = a.x AND b.y IN (1) LEFT JOIN im_c c ON c.x = b.x WHERE a.z`, nil,
			`SELECT 1 FROM im_a a CROSS JOIN LATERAL (SELECT b.* FROM im_b b WHERE b.x = a.x AND b.y IN (1) OFFSET 0) b LEFT JOIN LATERAL (SELECT c.* FROM im_c c WHERE c.x = b.x OFFSET 0) c ON true WHERE a.z`, nil},
		{"a join at the end of a query within", `SELECT (SELECT 1 FROM im_a a JOIN im_b b ON b.x = a.x) ORDER BY 1`, nil, `SELECT (SELECT 1 FROM im_a a CROSS JOIN LATERAL (SELECT b.* FROM im_b b WHERE b.x = a.x OFFSET 0) b ) ORDER BY 1`, nil},
		{"a join before a conflict", `INSERT INTO t SELECT 1 FROM im_a a JOIN im_b b ON b.x = a.x ON CONFLICT DO NOTHING`, nil, `INSERT INTO t SELECT 1 FROM im_a a CROSS JOIN LATERAL (SELECT b.* FROM im_b b WHERE b.x = a.x OFFSET 0) b ON CONFLICT DO NOTHING`, nil},
		{"exists", `SELECT NOT EXISTS (SELECT 1 FROM t WHERE (a OR b))`, nil, `SELECT NOT EXISTS (SELECT 1 FROM t WHERE (a OR b) OFFSET 0)`, nil},
		{"or ignore", `INSERT OR IGNORE INTO t (a) VALUES (?)`, []any{1}, `INSERT INTO t (a) VALUES ($1::bigint) ON CONFLICT DO NOTHING`, []int{0}},
		{"or replace", `INSERT OR REPLACE INTO im_seen_edges (progress_key, page, members) VALUES (1, 2, 3)`, nil, `INSERT INTO im_seen_edges (progress_key, page, members) VALUES (1, 2, 3) ON CONFLICT (progress_key, page) DO UPDATE SET members = excluded.members`, nil},
		{"the larger and the largest", `SELECT max(a, b), max(c), min(max(d), (SELECT e, f)), max(g) OVER (PARTITION BY h, i)`, nil, `SELECT greatest(a, b), max(c), least(max(d), (SELECT e, f)), max(g) OVER (PARTITION BY h, i)`, nil},
		{"the clock", `SELECT ` + sqlNow, nil, `SELECT ` + pgNow, nil},
		{"the temporary table", `DELETE FROM temp.im_chunk`, nil, `DELETE FROM pg_temp.im_chunk`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := translate(c.in, c.args)
			squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
			require.Equal(t, squeeze(c.want), squeeze(got.sql))
			require.Equal(t, c.uses, got.uses)
		})
	}
	require.Panics(t, func() { translate(`SELECT ?`, nil) })
	require.Panics(t, func() { pgValue(3.5) })
}

func TestPackedTexts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune{0, 'a', '0', 'f', 0xE000, 0xFFFD})),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "text")
		packed := pack(s)
		require.NotContains(rt, packed, "\x00")
		require.Equal(rt, strings.ToValidUTF8(packed, "?"), packed)
		require.Equal(rt, s, unpack(packed))
	})
	require.Equal(t, "plain", pack("plain"))
}

// TestTriesAgain: a transaction that the server undid for others' sake is tried again.
func TestTriesAgain(t *testing.T) {
	t.Parallel()
	db := &pgDialect{}
	undone := fmt.Errorf("a statement: %w", &pgconn.PgError{Code: pgDeadlock, Message: "deadlock detected"})
	require.True(t, db.again(undone))
	require.False(t, db.again(errors.New("other")))
	var away *UnavailableError
	require.ErrorAs(t, db.explain(undone), &away)
	require.ErrorIs(t, away, undone)

	s := openForTest(t)
	s.db = retrying{sqliteDialect{}, undone}
	for _, alone := range []bool{true, false} {
		for _, failures := range []int{1, maxTries - 1, maxTries} {
			tries := 0
			err := s.submit(&writeCall{ctx: t.Context(), alone: alone, fn: func(*tx) error {
				if tries++; tries <= failures {
					return undone
				}
				return nil
			}})
			require.Equal(t, min(failures+1, maxTries), tries)
			if failures < maxTries {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, undone)
			}
		}
	}
}

// retrying is SQLite that tries again after one error.
type retrying struct {
	sqliteDialect
	after error
}

func (r retrying) again(err error) bool { return errors.Is(err, r.after) }
