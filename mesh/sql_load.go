package mesh

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"math"
)

// load reads the states of the objects, and of what apply will look at.
func (w *objectWriter) load(ctx context.Context, objects []Object) error {
	w.states = make(map[objectID]*objectState, len(objects))
	w.byKey = make(map[int64]*objectState, len(objects))
	w.holders = map[holder]int64{}
	w.counts = map[ObjectType]Counts{}
	ids := map[ObjectType][]string{}
	for _, o := range objects {
		if err := checkObject(o, w.knownOnly); err != nil {
			return err
		}
		if _, dup := w.states[idOf(o)]; !dup {
			w.states[idOf(o)] = nil
			w.order = append(w.order, idOf(o))
			ids[o.Type] = append(ids[o.Type], o.OktaID)
		}
	}
	for typ, list := range ids {
		if err := w.loadStates(ctx, typ, list); err != nil {
			return err
		}
	}
	if w.knownOnly {
		return nil // nothing is added or compared
	}
	return w.loadRest(ctx, objects)
}

func (w *objectWriter) loadStates(ctx context.Context, typ ObjectType, ids []string) error {
	keys, fresh, err := w.keysToLoad(ctx, typ, ids)
	if err != nil {
		return err
	}
	var known []int64
	for i, key := range keys {
		if key == 0 {
			continue
		}
		s := &objectState{key: key}
		w.states[objectID{typ, ids[i]}] = s
		if key < fresh {
			w.byKey[key] = s
			known = append(known, key)
		}
	}
	if len(known) == 0 {
		return nil
	}
	// CROSS JOIN keeps the list outermost: the planner cannot know that it is short.
	_, err = collect(ctx, w, func(rows *rowSet) (_ struct{}, err error) {
		var key int64
		var state sql.NullString
		var seen sql.NullInt64
		var l objectState
		err = rows.Scan(&key, &state, &l.external, &l.hash, &l.stamp, &l.wishes, &seen, &l.staged, &l.reason)
		s := w.byKey[key]
		*s = l
		s.key, s.exists, s.live, s.outside = key, state.Valid, state.String == string(Live), state.String == stateOutside
		s.seen, s.seenStamp = seen.Valid, seen.Int64
		return struct{}{}, err
	}, `SELECT j.value, o.state, coalesce(o.external_id, ''), o.hash, coalesce(o.stamp, 0), coalesce(o.wants <> '', false), s.stamp, coalesce(d.kind, ''), coalesce(d.reason, '')
		FROM json_each(?1) j
		LEFT JOIN im_objects o ON o.key = j.value
		LEFT JOIN im_seen s ON s.run_key = ?2 AND s.key = j.value
		LEFT JOIN im_staged d ON d.run_key = ?2 AND d.key = j.value`, keyList(known), w.run)
	return err
}

// keysToLoad are the keys of ids, 0 for those to be left alone; keys from fresh on are new.
func (w *objectWriter) keysToLoad(ctx context.Context, typ ObjectType, ids []string) (keys []int64, fresh int64, err error) {
	if !w.knownOnly {
		return w.internAll(ctx, typ, ids)
	}
	keys, err = w.knownKeys(ctx, typ, ids)
	return keys, math.MaxInt64, err
}

// loadRest reads the attributes of those objects that may have changed, and who holds the
// external ids of those that may come.
func (w *objectWriter) loadRest(ctx context.Context, objects []Object) error {
	var changed []int64
	folds := map[ObjectType][]string{}
	for _, o := range objects {
		s := w.states[idOf(o)]
		switch {
		case o.Delete != "":
		case !s.live:
			folds[o.Type] = append(folds[o.Type], externalFold(o))
		case s.external == o.ExternalID && !bytes.Equal(s.hash, o.Hash):
			changed = append(changed, s.key)
		}
	}
	for typ, list := range folds {
		if err := w.loadHolders(ctx, typ, list); err != nil {
			return err
		}
	}
	return w.readAttributes(ctx, changed)
}

func (w *objectWriter) loadHolders(ctx context.Context, typ ObjectType, folds []string) error {
	_, err := collect(ctx, w, func(rows *rowSet) (_ struct{}, err error) {
		var fold string
		var key int64
		err = rows.Scan(&fold, &key)
		w.holders[holder{typ, fold}] = key
		return struct{}{}, err
	}, `SELECT o.external_fold, o.key FROM json_each(?) j
		CROSS JOIN im_objects o INDEXED BY im_objects_fold
		ON o.connector_key = ? AND o.type = ? AND o.external_fold = j.value AND o.state = 'live'`, textList(folds), w.conn, typ)
	return err
}

// readAttributes reads what the objects are compared with.
func (w *objectWriter) readAttributes(ctx context.Context, keys []int64) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := collect(ctx, w, func(rows *rowSet) (_ struct{}, err error) {
		var key int64
		var attributes string
		err = rows.Scan(&key, &attributes)
		w.byKey[key].was = json.RawMessage(attributes)
		return struct{}{}, err
	}, `SELECT o.key, o.attributes FROM json_each(?) j CROSS JOIN im_objects o ON o.key = j.value`, keyList(keys))
	return err
}
