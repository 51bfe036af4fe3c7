package mesh

import (
	"context"
	"math"
	"sync"
)

const (
	// keyCacheSize bounds each of the two generations of a keyCache: about 8 MB.
	keyCacheSize = 1 << 17
	// cachedID is the length of Okta's ids. Longer ones are not remembered.
	cachedID = 20
)

// keyCache remembers the integer keys of Okta ids: a member list names each user once
// for every group he is in, and finding 1,000 texts in an index costs more than writing
// their edges. Rows of im_ids are never changed or removed while the feed's epoch lasts, so
// an entry is never wrong; only committed keys may be added.
type keyCache struct {
	mu         sync.Mutex
	young, old map[idName]int64
}

// idSpace is a type of a connector: ids are unique within it.
type idSpace struct {
	conn    int64
	lineage uint32 // keys of another epoch may be somebody else's
	group   bool
}

// idName is what im_ids has one row for. It holds no pointer, so that the garbage
// collector need not look into the cache.
type idName struct {
	idSpace
	length uint8
	id     [cachedID]byte
}

func (s idSpace) name(id string) (n idName, ok bool) {
	if len(id) > cachedID {
		return n, false
	}
	n.idSpace, n.length = s, uint8(len(id)) // #nosec G115 -- at most cachedID
	copy(n.id[:], id)
	return n, true
}

// get returns the keys of ids, 0 for those it does not know, whose places it names.
func (c *keyCache) get(space idSpace, ids []string) (keys []int64, missing []int) {
	keys = make([]int64, len(ids))
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, id := range ids {
		name, ok := space.name(id)
		if ok {
			keys[i], ok = c.find(name)
		}
		if !ok {
			missing = append(missing, i)
		}
	}
	return keys, missing
}

func (c *keyCache) find(name idName) (key int64, ok bool) {
	if key, ok = c.young[name]; ok {
		return key, true
	}
	if key, ok = c.old[name]; ok {
		c.put(name, key) // used again: it stays for another generation
	}
	return key, ok
}

func (c *keyCache) put(name idName, key int64) {
	if c.young == nil || len(c.young) >= keyCacheSize {
		c.old, c.young = c.young, make(map[idName]int64)
	}
	c.young[name] = key
}

// add remembers keys that are not 0.
func (c *keyCache) add(space idSpace, found map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, key := range found {
		if name, ok := space.name(id); ok && key != 0 {
			c.put(name, key)
		}
	}
}

// intern returns the key of one id.
func (t *tx) intern(ctx context.Context, typ ObjectType, oktaID string) (key int64, err error) {
	keys, _, err := t.internAll(ctx, typ, []string{oktaID})
	if err != nil {
		return 0, err
	}
	return keys[0], nil
}

// internAll returns the key of each id, in the order of ids. Ids that the store has
// never met are interned without an object: their keys are fresh and above.
func (t *tx) internAll(ctx context.Context, typ ObjectType, ids []string) (keys []int64, fresh int64, err error) {
	return t.keysOf(ctx, typ, ids, t.addKeys)
}

// knownKeys returns the key of each id, 0 for an id that the store has never met.
func (t *tx) knownKeys(ctx context.Context, typ ObjectType, ids []string) ([]int64, error) {
	keys, _, err := t.keysOf(ctx, typ, ids, func(context.Context, ObjectType, []string, map[string]int64) (int64, error) { return 0, nil })
	return keys, err
}

// keysOf finds keys, and has strange add those of ids that are nowhere.
func (t *tx) keysOf(ctx context.Context, typ ObjectType, ids []string,
	strange func(ctx context.Context, typ ObjectType, ids []string, found map[string]int64) (fresh int64, err error),
) (keys []int64, fresh int64, err error) {
	space := idSpace{t.conn, t.lineage, typ == Group}
	keys, missing := t.store.keys.get(space, ids)
	if len(missing) == 0 {
		return keys, math.MaxInt64, nil
	}
	found := make(map[string]int64, len(missing))
	names := make([]string, len(missing))
	for i, at := range missing {
		names[i] = ids[at]
	}
	if err := t.findKeys(ctx, typ, names, found); err != nil {
		return nil, 0, err
	}
	strangers := names[:0]
	for _, name := range names {
		if _, ok := found[name]; !ok {
			found[name] = 0 // each once
			strangers = append(strangers, name)
		}
	}
	if fresh, err = strange(ctx, typ, strangers, found); err != nil {
		return nil, 0, err
	}
	for _, i := range missing {
		keys[i] = found[ids[i]]
	}
	t.met(found)
	t.afterCommit = append(t.afterCommit, func() { t.store.keys.add(space, found) })
	return keys, fresh, nil
}

// findKeys adds to found the keys of those ids that the store has met.
func (t *tx) findKeys(ctx context.Context, typ ObjectType, ids []string, found map[string]int64) error {
	// CROSS JOIN keeps the list outermost: the planner cannot know that it is short.
	_, err := collect(ctx, t, func(rows *rowSet) (_ struct{}, err error) {
		var id string
		var key int64
		err = rows.Scan(&id, &key)
		found[id] = key
		return struct{}{}, err
	}, `SELECT i.okta_id, i.key FROM json_each(?) j
		CROSS JOIN im_ids i ON i.connector_key = ? AND i.type = ? AND i.okta_id = j.value`, textList(ids), t.conn, typ)
	return err
}

// addKeys gives keys to ids that the store has never met, and adds them to found: they are
// all at least fresh, and larger than those that the connector has.
func (t *tx) addKeys(ctx context.Context, typ ObjectType, ids []string, found map[string]int64) (fresh int64, err error) {
	if len(ids) == 0 {
		return math.MaxInt64, nil
	}
	return t.store.db.addKeys(ctx, t, typ, ids, found)
}
