package mesh

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// snapshot runs fn in one reading transaction: what it reads is of one moment, and
// no writer waits for it.
func (s *engine) snapshot(ctx context.Context, fn func(from querier) error) (err error) {
	defer func() { err = s.db.explain(err) }()
	t, err := s.beginOn(ctx, s.reader.DB, s.db.reading())
	if err != nil {
		return fmt.Errorf("begin to read the mesh: %w", err)
	}
	defer func() {
		if rerr := t.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) && err == nil {
			err = rerr
		}
	}()
	return fn(readTx{t, s.db})
}

// connectorKey finds a connector, deleted ones too: their feed stays readable.
func connectorKey(ctx context.Context, from querier, name string) (key int64, err error) {
	found, err := first(ctx, from, []any{&key}, `SELECT key FROM im_connectors WHERE name = ?`, name)
	if err == nil && !found {
		err = &NotFoundError{"connector", name}
	}
	return key, err
}

// errStop ends a sequence whose consumer has had enough.
var errStop = errors.New("stop")

// sequence turns a function that emits rows into an iterator.
func sequence[T any](run func(emit func(T) error) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		err := run(func(v T) error {
			if !yield(v, nil) {
				return errStop
			}
			return nil
		})
		if err != nil && !errors.Is(err, errStop) {
			var zero T
			yield(zero, err)
		}
	}
}

// stream passes each row of q to emit as it is read.
func stream[T any](ctx context.Context, from querier, emit func(T) error, scan func(rows *rowSet) (T, error), q string, args ...any) (err error) {
	rows, err := from.QueryContext(ctx, q, args...)
	if err != nil {
		return fmt.Errorf("read the mesh: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return fmt.Errorf("read the mesh: %w", err)
		}
		if err := emit(v); err != nil {
			return err
		}
	}
	return rows.Err()
}

// edgeID is the external id of a GroupMember.
func edgeID(group, member string) string { return group + ":" + member }

// edgeAttributes makes the attributes of a GroupMember (runbook, "Group members").
func edgeAttributes(group, member string) (json.RawMessage, error) {
	return json.Marshal(struct {
		GroupID    string `json:"groupId"`
		MemberID   string `json:"memberId"`
		MemberType string `json:"memberType"`
	}{group, member, "User"})
}

// Objects implements [Reader]: users by external id, then groups by external id,
// then memberships by group id and member id, each bytewise.
func (s *engine) Objects(ctx context.Context, q ObjectQuery) iter.Seq2[StoredObject, error] {
	return sequence(func(emit func(StoredObject) error) error {
		left := sqlLimit(q.Limit)
		counted := func(o StoredObject) error {
			if left == 0 {
				return errStop
			}
			left--
			return emit(o)
		}
		return s.snapshot(ctx, func(from querier) error {
			conn, err := connectorKey(ctx, from, q.Connector)
			if err != nil {
				return err
			}
			for _, typ := range ObjectTypes {
				if q.Type != "" && q.Type != typ {
					continue
				}
				read := readObjects
				if typ == GroupMember {
					read = readEdges
				}
				if err := read(ctx, from, conn, typ, q, counted); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func readObjects(ctx context.Context, from querier, conn int64, typ ObjectType, q ObjectQuery, emit func(StoredObject) error) error {
	where, args := `o.connector_key = ? AND o.type = ?`, []any{conn, typ}
	if q.ID != "" {
		where = `o.key IN (
			SELECT key FROM im_ids WHERE connector_key = ? AND type = ? AND okta_id = ?
			UNION SELECT key FROM im_objects WHERE connector_key = ? AND type = ? AND external_id = ?)`
		args = []any{conn, typ, q.ID, conn, typ, q.ID}
	}
	if q.All {
		where += ` AND o.state <> 'outside'` // never was in the mesh, or is in none of its groups
	} else {
		where += ` AND o.state = 'live'`
	}
	return stream(ctx, from, emit, func(rows *rowSet) (o StoredObject, err error) {
		var attrs string
		err = rows.Scan(&o.Type, &o.ExternalID, &o.State, &attrs, &o.Reason)
		o.Attributes = json.RawMessage(attrs)
		return o, err
	}, `SELECT o.type, o.external_id, o.state, o.attributes, o.reason FROM im_objects o
		WHERE `+where+` ORDER BY o.external_id, o.key LIMIT ?`, append(args, sqlLimit(q.Limit))...)
}

func readEdges(ctx context.Context, from querier, conn int64, _ ObjectType, q ObjectQuery, emit func(StoredObject) error) error {
	where, args := `g.connector_key = ? AND g.type = 'Group'`, []any{conn}
	if q.All {
		where += ` AND (e.live = 1 OR e.reason <> '')`
	} else {
		where += ` AND e.live = 1`
	}
	if q.ID != "" {
		group, member, ok := strings.Cut(q.ID, ":")
		if !ok {
			return nil
		}
		where += ` AND g.okta_id = ? AND e.member_key = (SELECT key FROM im_ids WHERE connector_key = ? AND type = 'User' AND okta_id = ?)`
		args = append(args, group, conn, member)
	}
	// The order of the joins gives the order of the groups; only the members of one
	// group are sorted at a time.
	return stream(ctx, from, emit, func(rows *rowSet) (o StoredObject, err error) {
		var group, member string
		var live bool
		if err := rows.Scan(&group, &member, &live, &o.Reason); err != nil {
			return o, err
		}
		o.Type, o.ExternalID, o.State = GroupMember, edgeID(group, member), Deleted
		if live {
			o.State = Live
		}
		o.Attributes, err = edgeAttributes(group, member)
		return o, err
	}, `SELECT g.okta_id, m.okta_id, e.live, e.reason
		FROM im_ids g CROSS JOIN im_edges e ON e.group_key = g.key CROSS JOIN im_ids m ON m.key = e.member_key
		WHERE `+where+` ORDER BY g.okta_id, m.okta_id LIMIT ?`, append(args, sqlLimit(q.Limit))...)
}

// Changes implements [Reader].
func (s *engine) Changes(ctx context.Context, q ChangeQuery) iter.Seq2[Change, error] {
	return sequence(func(emit func(Change) error) error {
		return s.snapshot(ctx, func(from querier) error {
			conn, err := connectorKey(ctx, from, q.Connector)
			if err != nil {
				return err
			}
			epoch, err := checkOffset(ctx, from, conn, &q)
			if err != nil {
				return err
			}
			dated := func(c Change) error {
				c.Epoch = epoch
				return emit(c)
			}
			where, args := `c.connector_key = ? AND c.seq > ?`, []any{conn, q.Since}
			if q.ID != "" {
				group, member, _ := strings.Cut(q.ID, ":")
				where += ` AND (c.external_id = ?
					OR c.member_key = (SELECT key FROM im_ids WHERE connector_key = ? AND type = 'User' AND okta_id = ?)
					AND c.key = (SELECT key FROM im_ids WHERE connector_key = ? AND type = 'Group' AND okta_id = ?))`
				args = append(args, q.ID, conn, member, conn, group)
			}
			if q.RunID != "" {
				where += ` AND c.run_key = (SELECT key FROM im_runs WHERE run_id = ?)`
				args = append(args, q.RunID)
			}
			return stream(ctx, from, dated, scanChange, `
				SELECT c.seq, c.op, c.type, c.external_id, c.attributes, c.changed, c.reason, coalesce(r.run_id, ''), c.at, g.okta_id, m.okta_id
				FROM im_changes c
				LEFT JOIN im_runs r ON r.key = c.run_key
				LEFT JOIN im_ids m ON m.key = c.member_key
				LEFT JOIN im_ids g ON g.key = c.key AND c.member_key IS NOT NULL
				WHERE `+where+` ORDER BY c.seq LIMIT ?`, append(args, sqlLimit(q.Limit))...)
		})
	})
}

func scanChange(rows *rowSet) (Change, error) {
	c := Change{Changed: []string{}}
	var external, attrs, changed, group, member sql.NullString
	var at int64
	err := rows.Scan(&c.Seq, &c.Op, &c.Type, &external, &attrs, &changed, &c.Reason, &c.RunID, &at, &group, &member)
	if err != nil {
		return c, err
	}
	c.At = fromMillis(at)
	if c.Type == GroupMember {
		c.ExternalID = edgeID(group.String, member.String)
		c.Attributes, err = edgeAttributes(group.String, member.String)
		return c, err
	}
	c.ExternalID, c.Attributes = external.String, json.RawMessage(attrs.String)
	if changed.Valid {
		err = json.Unmarshal([]byte(changed.String), &c.Changed)
	}
	return c, err
}

const countLiveEdges = `
	SELECT count(*) FROM im_ids g CROSS JOIN im_edges e ON e.group_key = g.key
	WHERE g.connector_key = ? AND g.type = 'Group' AND e.live = 1`

func liveCounts(ctx context.Context, from querier, conn int64) (map[ObjectType]int, error) {
	counts := map[ObjectType]int{}
	for _, typ := range ObjectTypes {
		n, err := liveCount(ctx, from, conn, typ)
		if err != nil {
			return nil, err
		}
		counts[typ] = n
	}
	return counts, nil
}

func liveCount(ctx context.Context, from querier, conn int64, typ ObjectType) (n int, err error) {
	if typ == GroupMember {
		_, err = first(ctx, from, []any{&n}, countLiveEdges, conn)
		return n, err
	}
	_, err = first(ctx, from, []any{&n}, `SELECT count(*) FROM im_objects WHERE connector_key = ? AND type = ? AND state = 'live'`, conn, typ)
	return n, err
}

// LiveCounts implements [Reader].
func (s *engine) LiveCounts(ctx context.Context, connector string) (counts map[ObjectType]int, err error) {
	err = s.snapshot(ctx, func(from querier) error {
		conn, err := connectorKey(ctx, from, connector)
		if err != nil {
			return err
		}
		counts, err = liveCounts(ctx, from, conn)
		return err
	})
	return counts, err
}
