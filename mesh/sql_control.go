package mesh

import "context"

// Control implements [Writer]. The smallest key makes it the same one each time.
func (s *engine) Control(ctx context.Context, f Fence, typ ObjectType) (oktaID string, err error) {
	err = s.fenced(ctx, f, func(t *tx) error {
		_, err := first(ctx, t, []any{&oktaID}, `
			SELECT i.okta_id FROM im_seen s CROSS JOIN im_objects o INDEXED BY im_objects_state ON o.key = s.key AND o.state = 'live'
			CROSS JOIN im_ids i ON i.key = s.key AND i.type = ?2
			WHERE s.run_key = ?1 AND NOT EXISTS (SELECT 1 FROM im_staged d WHERE d.run_key = ?1 AND d.key = s.key)
			ORDER BY s.key LIMIT 1`, t.run, typ)
		return err
	})
	return oktaID, err
}
