package mesh

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
)

// keySet is a set of keys that lie close together, a bit for each: 100,000 members of a
// group take 13 kB. The zero value is empty.
type keySet struct {
	blocks map[int64]*[64]uint64 // of 4096 keys each
}

func (s *keySet) add(key int64) {
	b := s.blocks[key>>12]
	if b == nil {
		if s.blocks == nil {
			s.blocks = map[int64]*[64]uint64{}
		}
		b = new([64]uint64)
		s.blocks[key>>12] = b
	}
	b[key>>6&63] |= 1 << (key & 63)
}

func (s *keySet) has(key int64) bool {
	b := s.blocks[key>>12]
	return b != nil && b[key>>6&63]&(1<<(key&63)) != 0
}

// rememberSeen keeps the members of a page until the list is complete, as the distances
// between their keys.
func (t *tx) rememberSeen(ctx context.Context, stream int64, page int, listed []pair) error {
	members := make([]byte, 0, 2*len(listed))
	last := int64(0)
	for _, p := range listed {
		members = binary.AppendUvarint(members, uint64(p.key()-last)) // #nosec G115 -- sorted
		last = p.key()
	}
	return t.later(ctx, `INSERT OR REPLACE INTO im_seen_edges (progress_key, page, members) VALUES (?, ?, ?)`, stream, page, members)
}

// seen is the members of the pages so far.
func (t *tx) seen(ctx context.Context, stream int64) (*keySet, error) {
	seen := &keySet{}
	_, err := collect(ctx, t, func(rows *rowSet) (_ struct{}, err error) {
		var members sql.RawBytes
		if err := rows.Scan(&members); err != nil {
			return struct{}{}, err
		}
		for key := int64(0); len(members) > 0; {
			distance, n := binary.Uvarint(members)
			if n <= 0 {
				return struct{}{}, errors.New("im_seen_edges holds a page that cannot be read: the database is damaged, restore a copy of it")
			}
			key += int64(distance) // #nosec G115 -- as written
			seen.add(key)
			members = members[n:]
		}
		return struct{}{}, nil
	}, `SELECT members FROM im_seen_edges WHERE progress_key = ?`, stream)
	return seen, err
}

func (t *tx) forgetSeen(ctx context.Context, stream int64) error {
	return t.later(ctx, `DELETE FROM im_seen_edges WHERE progress_key = ?`, stream)
}
