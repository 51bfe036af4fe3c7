package mesh

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"
)

// pair is one member of a group with the evidence of him, in one integer: the member's
// key above a bit for listed and one for deprovisioned. Lists of pairs have the order of
// their keys.
type pair int64

const (
	pairDeprovisioned pair = 1
	pairListed        pair = 2
	pairBits               = 2

	// How SQL makes a pair and takes it apart.
	sqlPair    = `member_key * 4 + listed * 2 + deprovisioned`
	sqlMember  = `j.value >> 2`
	sqlListed  = `j.value >> 1 & 1`
	sqlRetired = `j.value & 1`
)

func (p pair) key() int64 { return int64(p >> pairBits) }

// sortPairs sorts pairs and leaves one of each key, deprovisioned if any of them is.
func sortPairs(pairs []pair) []pair {
	slices.Sort(pairs)
	kept := pairs[:0]
	for i, p := range pairs {
		if i+1 == len(pairs) || pairs[i+1].key() != p.key() {
			kept = append(kept, p)
		}
	}
	return kept
}

// pairList is a list of pairs as a parameter for json_each.
type pairList []pair

// Value implements [driver.Valuer].
func (l pairList) Value() (driver.Value, error) { return integersJSON(l), nil }

// parsePairs reads what string_agg made of pairs.
func parsePairs(text []byte) ([]pair, error) {
	if len(text) == 0 {
		return nil, nil
	}
	pairs := make([]pair, 0, len(text)/6+1)
	var p pair
	for _, c := range text {
		switch {
		case c == ',':
			pairs = append(pairs, p)
			p = 0
		case c >= '0' && c <= '9':
			p = p*10 + pair(c-'0')
		default:
			return nil, fmt.Errorf("the mesh holds a pair with a negative key: the database is damaged, restore a copy of it")
		}
	}
	pairs = append(pairs, p)
	if !slices.IsSorted(pairs) { // string_agg promises no order
		slices.Sort(pairs)
	}
	return pairs, nil
}

// storedPairs reads the pairs of a group from the member low to the member high; all is
// false when there are more of them than limit, which are left out. They come as one
// text: a row for each would cost twice as much.
func (t *tx) storedPairs(ctx context.Context, group, low, high int64, limit int) (pairs []pair, all bool, err error) {
	var text []byte
	if _, err := first(ctx, t, []any{&text}, `SELECT string_agg(CAST(e.p AS TEXT), ',') FROM (
		SELECT `+sqlPair+` AS p FROM im_edges WHERE group_key = ? AND member_key BETWEEN ? AND ? ORDER BY member_key LIMIT ?) e`,
		group, low, high, limit+1); err != nil {
		return nil, false, err
	}
	if pairs, err = parsePairs(text); err != nil {
		return nil, false, err
	}
	if len(pairs) > limit {
		return pairs[:limit], false, nil
	}
	return pairs, true, nil
}

// diffPairs compares what is stored with what is listed: fresh are pairs that are not
// stored, changed those stored with other evidence. With whole, the list is complete and
// who is not on it is no longer listed.
func diffPairs(stored, listed []pair, whole bool) (fresh, changed []pair) {
	for len(stored) > 0 || len(listed) > 0 {
		switch {
		case len(stored) == 0 || len(listed) > 0 && listed[0].key() < stored[0].key():
			fresh, listed = append(fresh, listed[0]), listed[1:]
		case len(listed) == 0 || stored[0].key() < listed[0].key():
			if whole && stored[0]&pairListed != 0 {
				changed = append(changed, stored[0]&^pairListed)
			}
			stored = stored[1:]
		default:
			if stored[0] != listed[0] {
				changed = append(changed, listed[0])
			}
			stored, listed = stored[1:], listed[1:]
		}
	}
	return fresh, changed
}

// addPairs writes pairs that are not stored. They carry the run from the start, so that
// the settle changes them in place.
func (t *tx) addPairs(ctx context.Context, group int64, fresh []pair) error {
	if len(fresh) == 0 {
		return nil
	}
	return t.later(ctx, `INSERT INTO im_edges (group_key, member_key, listed, deprovisioned, run_key)
		SELECT ?1, `+sqlMember+`, `+sqlListed+`, `+sqlRetired+`, ?3 FROM json_each(?2) j`, group, pairList(fresh), t.run)
}

// putPairs writes pairs that may be stored and returns how many were not stored so.
func (t *tx) putPairs(ctx context.Context, group int64, pairs []pair) (changed int64, err error) {
	if len(pairs) == 0 {
		return 0, nil
	}
	return t.exec(ctx, `INSERT INTO im_edges (group_key, member_key, listed, deprovisioned, run_key)
		SELECT ?1, `+sqlMember+`, `+sqlListed+`, `+sqlRetired+`, ?3 FROM json_each(?2) j WHERE true
		ON CONFLICT (group_key, member_key) DO UPDATE SET listed = excluded.listed, deprovisioned = excluded.deprovisioned
		WHERE im_edges.listed <> excluded.listed OR im_edges.deprovisioned <> excluded.deprovisioned`, group, pairList(pairs), t.run)
}
