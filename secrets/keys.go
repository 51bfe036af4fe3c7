package secrets

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keys is the key of a [TableStore]: a Tink keyset as JSON, in the clear, protected by
// the [KeyStore] and by lying outside the database. A copy of the database alone opens
// nothing.
//
// The store is read for each use, so that a worker sees a key that another process
// made, replaced or restored, and holds no key longer than it needs it.
type Keys struct{ store KeyStore }

// KeyStore keeps the text of one keyset. All errors are [*KeyError].
type KeyStore interface {
	// String says what it is and where, such as "key file /var/lib/…/secrets.key".
	String() string
	// Read returns a copy of the text. Without one the error wraps fs.ErrNotExist.
	Read() ([]byte, error)
	// Create stores the first text, and never replaces another: then the error wraps
	// fs.ErrExist.
	Create(text []byte) error
	// Replace stores text in the place of what is there, in one step. A store that
	// this program cannot change returns an error that wraps errors.ErrUnsupported.
	Replace(text []byte) error
	// Lock keeps other processes from changing the store, until unlock is called or
	// this process ends. It waits for its turn until ctx ends. Reading needs no lock.
	Lock(ctx context.Context) (unlock func(), err error)
}

// maxKeyset bounds what is read; a keyset of one key has some 300 bytes.
const maxKeyset = 1 << 20

// OpenKeys returns the keyset in store. Nothing is read or created yet: the first
// [TableStore.Set] makes the key when there is none.
func OpenKeys(store KeyStore) *Keys { return &Keys{store: store} }

// NewKeyset returns the text of a new keyset, for a key that is to be in its place before
// the first secret is set. It is a secret; who has it clears it.
func NewKeyset() ([]byte, error) {
	fresh, err := OpenKeys(NewKeyText("new", "")).fresh()
	if err != nil {
		return nil, err
	}
	return fresh.text()
}

// String says what keeps the key, and where.
func (k *Keys) String() string { return k.store.String() }

// Exists says whether there is a key. One that cannot be read exists.
func (k *Keys) Exists() bool {
	text, err := k.store.Read()
	clear(text)
	return !errors.Is(err, fs.ErrNotExist)
}

// opened is a keyset in memory: its first key seals, all of them open.
type opened struct {
	handle *keyset.Handle
	tink.AEAD
}

// load reads the keyset. Without one the error is a [*KeyError] that wraps
// fs.ErrNotExist.
func (k *Keys) load() (*opened, error) {
	text, err := k.store.Read()
	if err != nil {
		return nil, err
	}
	defer clear(text)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil { // not wrapped: it may quote the text
		return nil, k.fail("is damaged: it is no Tink keyset; restore it from a backup, or remove it and store the secrets again")
	}
	return k.open(handle)
}

func (k *Keys) open(handle *keyset.Handle) (*opened, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, k.fail("holds a key of the wrong kind; restore it from a backup, or remove it and store the secrets again")
	}
	return &opened{handle: handle, AEAD: primitive}, nil
}

// create reads the keyset and makes it first when there is none. Of several processes
// that do so at once, one wins and all use its key.
func (k *Keys) create() (*opened, error) {
	key, err := k.load()
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	fresh, err := k.fresh()
	if err != nil {
		return nil, err
	}
	text, err := fresh.text()
	if err != nil {
		return nil, err
	}
	defer clear(text)
	if err := k.store.Create(text); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return k.load()
}

// fresh makes a keyset of one new key.
func (k *Keys) fresh() (*opened, error) {
	handle, err := keyset.NewHandle(template())
	if err != nil {
		return nil, &KeyError{Key: k.String(), Message: "cannot be made", Err: err}
	}
	return k.open(handle)
}

// template is XChaCha20-Poly1305: its nonces are long enough to be random for ever.
var template = aead.XChaCha20Poly1305KeyTemplate

// replace stores a keyset in the place of the present one.
func (k *Keys) replace(o *opened) error {
	text, err := o.text()
	if err != nil {
		return err
	}
	defer clear(text)
	return k.store.Replace(text)
}

// rotated is the keyset with a new key that seals; the old ones still open.
func (k *Keys) rotated(o *opened) (*opened, error) {
	m := keyset.NewManagerFromHandle(o.handle)
	id, err := m.Add(template())
	if err == nil {
		err = m.SetPrimary(id)
	}
	return k.changed(m, err)
}

// pruned is the keyset with the sealing key alone.
func (k *Keys) pruned(o *opened) (*opened, error) {
	m := keyset.NewManagerFromHandle(o.handle)
	info := o.handle.KeysetInfo()
	for _, key := range info.GetKeyInfo() {
		if id := key.GetKeyId(); id != info.GetPrimaryKeyId() {
			if err := m.Delete(id); err != nil {
				return k.changed(nil, err)
			}
		}
	}
	return k.changed(m, nil)
}

func (k *Keys) changed(m *keyset.Manager, err error) (*opened, error) {
	if err == nil {
		var handle *keyset.Handle
		if handle, err = m.Handle(); err == nil {
			return k.open(handle)
		}
	}
	return nil, &KeyError{Key: k.String(), Message: "cannot be rotated", Err: err}
}

// size is the number of keys.
func (o *opened) size() int { return o.handle.Len() }

// text is the keyset as the store keeps it; the caller clears it.
func (o *opened) text() ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(o.handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (k *Keys) fail(message string) error { return &KeyError{Key: k.String(), Message: message} }
