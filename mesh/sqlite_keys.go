package mesh

import (
	"context"
	"database/sql"
	"slices"
	"sync"
)

// keyCacheSize bounds each of the two generations of a keyCache: about 5 MB.
const keyCacheSize = 1 << 16

// keyCache remembers the integer keys of users' Okta ids: a member list names each
// user once for every group he is in, and finding 1,000 texts in an index costs more
// than writing their edges. Rows of im_ids are never changed or removed, so an entry
// is never wrong; only committed keys may be added.
type keyCache struct {
	mu         sync.Mutex
	young, old map[memberID]int64
}

// memberID is a user of a connector.
type memberID struct {
	conn   int64
	oktaID string
}

// get returns the keys it knows, the others as missing.
func (c *keyCache) get(conn int64, ids []string) (keys []int64, missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys = make([]int64, 0, len(ids))
	for _, id := range ids {
		name := memberID{conn, id}
		key, ok := c.young[name]
		if !ok {
			if key, ok = c.old[name]; ok {
				c.put(name, key) // used again: it stays for another generation
			}
		}
		if ok {
			keys = append(keys, key)
		} else {
			missing = append(missing, id)
		}
	}
	return keys, missing
}

func (c *keyCache) put(name memberID, key int64) {
	if c.young == nil || len(c.young) >= keyCacheSize {
		c.old, c.young = c.young, make(map[memberID]int64)
	}
	c.young[name] = key
}

func (c *keyCache) add(found map[memberID]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, key := range found {
		c.put(name, key)
	}
}

// intern returns the key of one id.
func (t *tx) intern(ctx context.Context, typ ObjectType, oktaID string) (key int64, err error) {
	const find = `SELECT key FROM im_ids WHERE connector_key = ? AND type = ? AND okta_id = ?`
	if found, err := first(ctx, t, []any{&key}, find, t.conn, typ, oktaID); found || err != nil {
		return key, err
	}
	_, err = first(ctx, t, []any{&key}, `INSERT INTO im_ids (connector_key, type, okta_id) VALUES (?, ?, ?) RETURNING key`, t.conn, typ, oktaID)
	return key, err
}

// internMembers returns the keys of users, sorted and each once. Ids that the store
// has never met are interned without an object.
func (t *tx) internMembers(ctx context.Context, ids []string) ([]int64, error) {
	keys, missing := t.store.keys.get(t.conn, ids)
	if len(missing) > 0 {
		list, err := jsonArg(missing)
		if err != nil {
			return nil, err
		}
		found := map[memberID]int64{}
		// CROSS JOIN keeps the list outermost: the planner cannot know that it is short.
		if _, err := collect(ctx, t, func(rows *sql.Rows) (_ struct{}, err error) {
			name, key := memberID{conn: t.conn}, int64(0)
			err = rows.Scan(&name.oktaID, &key)
			found[name] = key
			return struct{}{}, err
		}, `SELECT i.okta_id, i.key FROM json_each(?) j
			CROSS JOIN im_ids i ON i.connector_key = ? AND i.type = 'User' AND i.okta_id = j.value`, list, t.conn); err != nil {
			return nil, err
		}
		for _, id := range missing {
			name := memberID{t.conn, id}
			key, ok := found[name]
			if !ok {
				if key, err = t.intern(ctx, User, id); err != nil {
					return nil, err
				}
				found[name] = key
			}
			keys = append(keys, key)
		}
		t.afterCommit = append(t.afterCommit, func() { t.store.keys.add(found) })
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}
