package mesh

import (
	"bytes"
	"context"
	"fmt"
)

// settleHeld writes what is new of held users whom Okta shows as deprovisioned: only
// their removal waits (design.md §4). So it does with renames that wait for an external
// id. It returns how many staged rows it took. The external id stays, whatever the
// answer says: a rename is a removal too.
func (t *tx) settleHeld(ctx context.Context, ignore []string) (int, error) {
	rows, err := t.stagedRows(ctx, `(d.kind = 'held' AND d.reason = 'deprovisioned' AND d.attributes <> '' OR d.kind = 'rename' AND d.looked_up = 4)`, t.store.settleChunk)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	var feed []feedRow
	counts := map[ObjectType]Counts{}
	for _, r := range rows {
		// The row stays staged, without what has been taken from it.
		taken := `UPDATE im_staged SET attributes = '' WHERE run_key = ? AND key = ?`
		if r.kind == stagedRename {
			taken = `UPDATE im_staged SET looked_up = 5 WHERE run_key = ? AND key = ?`
			if _, err := t.exec(ctx, `UPDATE im_objects SET wants = ? WHERE key = ?`, r.payload.ExternalID, r.key); err != nil {
				return 0, err
			}
		}
		if _, err := t.exec(ctx, taken, t.run, r.key); err != nil {
			return 0, err
		}
		if !r.live {
			continue
		}
		var changed []string
		if !bytes.Equal(r.hash, r.payload.Hash) {
			if changed, err = changedNames(r.attributes, r.payload.Attributes, ignore); err != nil {
				return 0, fmt.Errorf("compare the attributes of %s %s: %w", r.typ, r.oktaID, err)
			}
		}
		if len(changed) == 0 {
			if _, err := t.exec(ctx, `UPDATE im_objects SET stamp = max(stamp, ?) WHERE key = ?`, toMillis(r.payload.Stamp), r.key); err != nil {
				return 0, err
			}
			continue
		}
		if _, err := t.exec(ctx, `UPDATE im_objects SET attributes = ?, hash = ?, stamp = max(stamp, ?), updated_at = ? WHERE key = ?`,
			string(r.payload.Attributes), r.payload.Hash, toMillis(r.payload.Stamp), t.now, r.key); err != nil {
			return 0, err
		}
		feed = append(feed, feedRow{op: Update, typ: r.typ, key: r.key, external: r.external, attrs: r.payload.Attributes, changed: changed})
		c := counts[r.typ]
		c.Updated++
		counts[r.typ] = c
	}
	for typ, c := range counts {
		if err := t.addCounts(ctx, typ, c); err != nil {
			return 0, err
		}
	}
	return len(rows), t.appendFeed(ctx, feed)
}
