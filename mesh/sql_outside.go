package mesh

import (
	"bytes"
	"context"
)

// stateOutside is the state of a user who is known and kept current but is in none of
// the groups that count ([ObjectPage].MembersOnly). Readers never show him.
const stateOutside = "outside"

// keepOutside takes what is new of a user who is not in the mesh.
func (s *objectState) keepOutside(o Object) {
	s.unstage()
	if s.outside && s.external == o.ExternalID && bytes.Equal(s.hash, o.Hash) {
		if stamp := toMillis(o.Stamp); stamp > s.stamp {
			s.stamp, s.touchObject = stamp, true
		}
		return
	}
	s.entered = s.entered || !s.outside
	s.outside, s.left = true, ""
	s.take(o)
}

// forgetOutside ends what is known of a user outside whom Okta shows as gone.
func (t *tx) forgetOutside(ctx context.Context, s *objectState) error {
	if err := t.later(ctx, `UPDATE im_objects SET state = 'deleted', reason = ?, stamp = ?, updated_at = ? WHERE key = ?`,
		s.left, s.stamp, t.now, s.key); err != nil || s.left != Deprovisioned {
		return err
	}
	return t.later(ctx, `UPDATE im_edges SET deprovisioned = 1 WHERE deprovisioned = 0 AND `+edgesOfMember, s.key)
}
