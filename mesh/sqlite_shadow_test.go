package mesh_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/identitymesh/okta-connector/mesh"
)

// dump is every row of every table, as text.
func dump(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	tables := texts(t, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'im\_%' ESCAPE '\'`)
	require.NotEmpty(t, tables)
	all := map[string][]string{}
	for _, table := range tables {
		rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+table) // #nosec G202 -- names of the schema
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values, dest := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				dest[i] = &values[i]
			}
			require.NoError(t, rows.Scan(dest...))
			all[table] = append(all[table], fmt.Sprint(values...))
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		slices.Sort(all[table])
	}
	return all
}

func texts(t *testing.T, db *sql.DB, q string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), q)
	require.NoError(t, err)
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		all = append(all, s)
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	return all
}

// importOrg runs an import of n users in one group, with something left over for each
// table when it is not ended.
func importOrg(t *testing.T, s *mesh.SQLite, connector, run string, n int, end bool) {
	t.Helper()
	ctx := t.Context()
	f, err := s.Begin(ctx, mesh.BeginRun{Connector: connector, RunID: run, Mode: "Full", LeaseTTL: time.Hour})
	require.NoError(t, err)
	object := func(typ mesh.ObjectType, id, external string) mesh.Object {
		return mesh.Object{Type: typ, OktaID: id, ExternalID: external, Attributes: json.RawMessage(`{"run":"` + run + `"}`), Hash: []byte(run)}
	}
	page := func(stream string) mesh.Page {
		_, err := s.Claim(ctx, f, stream, "me")
		require.NoError(t, err)
		return mesh.Page{Stream: stream, Owner: "me", Number: 1, Done: end, Next: "next"}
	}
	users := mesh.ObjectPage{Page: page("users"), Import: true}
	members := mesh.MemberPage{Page: page("members/g1"), GroupID: "g1"}
	for i := range n {
		id := fmt.Sprint("u", i)
		users.Objects = append(users.Objects, object(mesh.User, id, id))
		members.Members = append(members.Members, mesh.Member{OktaID: id})
	}
	if !end {
		users.Objects = append(users.Objects, object(mesh.User, "clash", "u0"))
	}
	_, err = s.WriteObjects(ctx, f, users)
	require.NoError(t, err)
	_, err = s.WriteObjects(ctx, f, mesh.ObjectPage{
		Page: page("groups"), Import: true, Queue: &mesh.QueueRule{All: true}, Objects: []mesh.Object{object(mesh.Group, "g1", "g1")},
	})
	require.NoError(t, err)
	_, err = s.WriteMembers(ctx, f, members)
	require.NoError(t, err)
	_, err = s.WriteObjects(ctx, f, mesh.ObjectPage{Page: page("changed"), Changed: true, Objects: users.Objects})
	require.NoError(t, err)
	if !end {
		return
	}
	for done := false; !done; {
		res, err := s.Settle(ctx, f, mesh.Scope{Users: true, Groups: true}, time.Second)
		require.NoError(t, err)
		done = res.Done
	}
	_, err = s.Commit(ctx, f, mesh.CommitRun{
		Watermark: mesh.Watermark{Users: mesh.NewMark(time.Now())}, UsersFull: true, GroupsFull: true, ReadAs: "x", HoldTimeLimit: time.Hour,
	})
	require.NoError(t, err)
}

// TestDroppedShadowLeavesNothing compares every row before and after a dry run, one
// that ended and one that was lost in the middle. A second connector stands by whose
// rows must be neither copied nor dropped.
func TestDroppedShadowLeavesNothing(t *testing.T) {
	t.Parallel()
	s, path := openTemp(t)
	ctx, raw := t.Context(), openRaw(t, path)
	for _, name := range []string{"a", "b"} {
		_, err := s.ApplyConnector(ctx, mesh.Connector{Name: name, Type: "Okta"})
		require.NoError(t, err)
		importOrg(t, s, name, name+"1", 20, true)
	}
	for _, q := range []string{ // what the guards know
		`UPDATE im_run_counts SET guarded = 7 WHERE type = 'User'`,
		`INSERT INTO im_holds (connector_key, run_key, state, opened_at, changed_at, expires_at)
			SELECT connector_key, key, 'Open', 1, 2, 3 FROM im_runs`,
		`INSERT INTO im_held (hold_key, key, type, reason, run_key)
			SELECT h.key, i.key, i.type, 'deprovisioned', h.run_key FROM im_holds h JOIN im_ids i ON i.connector_key = h.connector_key AND i.okta_id IN ('u1', 'g1')`,
		`INSERT INTO im_held (hold_key, key, member_key, type, reason, run_key)
			SELECT h.key, e.group_key, e.member_key, 'GroupMember', 'member-removed', h.run_key
			FROM im_holds h JOIN im_ids i ON i.connector_key = h.connector_key JOIN im_edges e ON e.member_key = i.key WHERE i.okta_id = 'u2'`,
		`INSERT INTO im_dirty (connector_key, stage, side, key, after) SELECT connector_key, 2, 'g', key, 5 FROM im_ids WHERE type = 'Group'`,
	} {
		_, err := raw.ExecContext(ctx, q)
		require.NoError(t, err)
	}
	known := func(connector string) []string {
		return texts(t, raw, `SELECT d.type || ' ' || i.okta_id || ' ' || coalesce(m.okta_id, '') || ' ' || d.reason || h.expires_at
			FROM im_connectors c JOIN im_holds h ON h.connector_key = c.key JOIN im_held d ON d.hold_key = h.key
			JOIN im_ids i ON i.key = d.key AND i.connector_key = c.key LEFT JOIN im_ids m ON m.key = d.member_key AND m.connector_key = c.key
			WHERE c.name = '`+connector+`'
			UNION ALL SELECT n.type || ' ' || n.guarded FROM im_connectors c JOIN im_runs r ON r.connector_key = c.key
			JOIN im_run_counts n ON n.run_key = r.key WHERE c.name = '`+connector+`' AND n.guarded > 0 ORDER BY 1`)
	}
	want := []string{"Group g1  deprovisioned3", "GroupMember g1 u2 member-removed3", "User 7", "User u1  deprovisioned3"}
	require.Equal(t, want, known("a"))
	before := dump(t, raw)
	for _, table := range []string{"im_objects", "im_edges", "im_member_groups", "im_group_reads", "im_changes", "im_watermarks"} {
		require.NotEmpty(t, before[table], table)
	}
	for i, ended := range []bool{true, false} {
		run := fmt.Sprint("dry", i)
		name, err := s.Shadow(ctx, "a", run)
		require.NoError(t, err)
		require.Equal(t, want, known(name))
		copied := dump(t, raw)
		for _, table := range []string{"im_ids", "im_objects", "im_edges", "im_member_groups", "im_group_reads"} {
			require.Len(t, copied[table], len(before[table])*3/2, table)
		}
		require.Equal(t, before["im_changes"], copied["im_changes"])
		importOrg(t, s, name, run, 30, ended)
		require.NotEqual(t, before, dump(t, raw))
		require.NoError(t, s.DropShadow(ctx, name))
		require.Equal(t, before, dump(t, raw), "ended: %t", ended)
	}
	// What this process remembers of a dropped shadow's ids does not outlive it.
	importOrg(t, s, "b", "b2", 40, true)
	name, err := s.Shadow(ctx, "a", "dry3")
	require.NoError(t, err)
	importOrg(t, s, name, "dry3", 20, true)
	live, err := s.LiveCounts(ctx, name)
	require.NoError(t, err)
	require.Equal(t, map[mesh.ObjectType]int{mesh.User: 20, mesh.Group: 1, mesh.GroupMember: 20}, live)
}
