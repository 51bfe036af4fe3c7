package mesh

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
)

const selectConnector = `SELECT name, type, config_json, auth_json, created_at, updated_at FROM im_connectors WHERE deleted_at IS NULL`

func scanConnector(rows *rowSet) (Connector, error) {
	var c Connector
	var config, auth string
	var created, updated int64
	err := rows.Scan(&c.Name, &c.Type, &config, &auth, &created, &updated)
	c.ConfigJSON, c.AuthJSON = json.RawMessage(config), json.RawMessage(auth)
	c.CreatedAt, c.UpdatedAt = fromMillis(created), fromMillis(updated)
	return c, err
}

// ApplyConnector implements [Connectors].
func (s *engine) ApplyConnector(ctx context.Context, c Connector) (created bool, err error) {
	if c.Name == "" {
		return false, &ConflictError{"a connector needs a name"}
	}
	err = s.write(ctx, func(t *tx) error {
		if err := t.lock(ctx, `name = ?`, c.Name); err != nil {
			return err
		}
		var live int
		if _, err := first(ctx, t, []any{&live},
			`SELECT count(*) FROM im_connectors WHERE name = ? AND deleted_at IS NULL`, c.Name); err != nil {
			return err
		}
		created = live == 0
		_, err := t.exec(ctx, `
			INSERT INTO im_connectors (name, type, config_json, auth_json, created_at, updated_at, epoch)
			VALUES (?, ?, ?, ?, `+sqlNow+`, `+sqlNow+`, ?)
			ON CONFLICT (name) DO UPDATE SET type = excluded.type, config_json = excluded.config_json,
				auth_json = excluded.auth_json, updated_at = excluded.updated_at, deleted_at = NULL`,
			c.Name, c.Type, string(c.ConfigJSON), string(c.AuthJSON), rand.Text())
		return err
	})
	return created, err
}

// Shared implements [Connectors].
func (s *engine) Shared() bool { return s.db.remote() }

// Connector implements [Connectors].
func (s *engine) Connector(ctx context.Context, name string) (*Connector, error) {
	all, err := collect(ctx, s.reader, scanConnector, selectConnector+` AND name = ?`, name)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &NotFoundError{"connector", name}
	}
	return &all[0], nil
}

// ListConnectors implements [Connectors]; the result is sorted by name.
func (s *engine) ListConnectors(ctx context.Context) ([]Connector, error) {
	return collect(ctx, s.reader, scanConnector, selectConnector+` AND shadow_of IS NULL ORDER BY name`)
}

// DeleteConnector implements [Connectors]. Whatever the mode, the watermark goes:
// a connector that is applied again later begins with a Full.
func (s *engine) DeleteConnector(ctx context.Context, name string, mode DeleteMode) error {
	err := s.write(ctx, func(t *tx) error {
		if err := t.lock(ctx, `name = ?`, name); err != nil {
			return err
		}
		var holder sql.NullString
		var expired bool
		found, err := first(ctx, t, []any{&t.conn, &holder, &expired, &t.now}, `
			SELECT key, lease_run, lease_until <= `+sqlNow+`, `+sqlNow+`
			FROM im_connectors WHERE name = ? AND deleted_at IS NULL AND shadow_of IS NULL`, name)
		if err != nil {
			return err
		}
		if !found {
			return &NotFoundError{"connector", name}
		}
		if holder.Valid && !expired {
			return &ConflictError{fmt.Sprintf("connector %q is being imported by run %s: cancel the run or wait for its end, then delete the connector", name, holder.String)}
		}
		switch mode {
		case RefuseIfLive:
			if err := t.refuseIfLive(ctx, name); err != nil {
				return err
			}
		case KeepObjects:
		case Purge:
			if err := t.purge(ctx); err != nil {
				return err
			}
		default:
			return &ConflictError{fmt.Sprintf("unknown way %d to delete a connector", mode)}
		}
		if holder.Valid {
			if err := t.supersede(ctx, holder.String, "its lease ran out and the connector was deleted"); err != nil {
				return err
			}
		}
		return t.retire(ctx)
	})
	if err != nil {
		return err
	}
	_ = s.dropCondemned(ctx) // the connector is deleted; the next dry run drops what is left of its copies
	return nil
}

// retire ends all that a deleted connector's runs left for their successors.
func (t *tx) retire(ctx context.Context) error {
	if err := t.condemnShadows(ctx, t.conn, true); err != nil {
		return err
	}
	for _, q := range []string{
		`DELETE FROM im_watermarks WHERE connector_key = ?2`,
		`DELETE FROM im_held WHERE hold_key IN (SELECT key FROM im_holds WHERE connector_key = ?2)`,
		`UPDATE im_holds SET state = 'Replaced', changed_at = ?1 WHERE connector_key = ?2 AND state = 'Open'`,
		// The new token fences whoever held the lease.
		`UPDATE im_connectors SET deleted_at = ?1, lease_run = NULL, lease_token = lease_token + 1, waiting_run = NULL, waiting_until = 0,
			read_as = '', everyone_key = NULL WHERE key = ?2`,
	} {
		if _, err := t.exec(ctx, q, t.now, t.conn); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) refuseIfLive(ctx context.Context, name string) error {
	counts, err := liveCounts(ctx, t, t.conn)
	if err != nil {
		return err
	}
	if counts[User]+counts[Group]+counts[GroupMember] == 0 {
		return nil
	}
	return &ConflictError{fmt.Sprintf("connector %q still holds %d users, %d groups and %d memberships: keep them with --keep-objects or delete them with --purge",
		name, counts[User], counts[Group], counts[GroupMember])}
}

// purge writes the Deletes of all that is live, edges first, and drops the evidence.
func (t *tx) purge(ctx context.Context) error {
	var edges, objects int64
	if _, err := first(ctx, t, []any{&edges}, countLiveEdges, t.conn); err != nil {
		return err
	}
	if _, err := first(ctx, t, []any{&objects},
		`SELECT count(*) FROM im_objects WHERE connector_key = ? AND state = 'live'`, t.conn); err != nil {
		return err
	}
	base, err := t.reserveSeq(ctx, edges+objects)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO im_changes (connector_key, seq, op, type, key, member_key, reason, at)
			SELECT i.connector_key, ?2 + row_number() OVER (ORDER BY e.group_key, e.member_key), 'Delete', 'GroupMember', e.group_key, e.member_key, 'purged', ?3
			FROM im_ids i CROSS JOIN im_edges e ON e.group_key = i.key
			WHERE i.connector_key = ?1 AND i.type = 'Group' AND e.live = 1`, []any{t.conn, base, t.now}},
		{`INSERT INTO im_changes (connector_key, seq, op, type, key, external_id, attributes, reason, at)
			SELECT connector_key, ?2 + row_number() OVER (ORDER BY key), 'Delete', type, key, external_id, attributes, 'purged', ?3
			FROM im_objects WHERE connector_key = ?1 AND state = 'live'`, []any{t.conn, base + edges, t.now}},
		{`UPDATE im_edges SET listed = 0, live = 0, run_key = NULL, reason = CASE live WHEN 1 THEN 'purged' ELSE reason END
			WHERE group_key IN (SELECT key FROM im_ids WHERE connector_key = ? AND type = 'Group')`, []any{t.conn}},
		{`DELETE FROM im_objects WHERE connector_key = ? AND state = 'outside'`, []any{t.conn}},
		{`UPDATE im_objects SET state = 'deleted', reason = 'purged', updated_at = ?2 WHERE connector_key = ?1 AND state = 'live'`, []any{t.conn, t.now}},
	} {
		if _, err := t.exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	return nil
}
