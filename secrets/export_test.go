package secrets

import (
	"context"
	"os"
)

// PutRaw seals what [TableStore.Set] would refuse.
func (s *TableStore) PutRaw(ctx context.Context, ref Ref, raw []byte) error {
	key, err := s.keys.create()
	if err != nil {
		return err
	}
	sealed, err := key.Encrypt(raw, []byte(ref))
	if err != nil {
		return err
	}
	return s.table.PutSecret(ctx, string(ref), sealed)
}

// SetReadOnly says that all files lie on a read-only mount, or none.
func (f *Files) SetReadOnly(yes bool) { f.readOnly = func(*os.File) bool { return yes } }

// OnReadOnlyMount asks the system.
var OnReadOnlyMount = onReadOnlyMount
