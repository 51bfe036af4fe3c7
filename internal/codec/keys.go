package codec

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/identitymesh/okta-connector/internal/private"
)

// keys is a parsed key file: a Tink keyset as JSON, in the clear, protected by its mode.
type keys struct {
	aead   tink.AEAD // finds the key by the number at the head of a ciphertext
	active uint32
	all    []uint32
}

func (k *keys) has(name string) bool { return slices.Contains(k.ids(), name) }

func (k *keys) ids() []string {
	if k == nil {
		return nil
	}
	names := make([]string, len(k.all))
	for i, n := range k.all {
		names[i] = id(n)
	}
	return names
}

// errKeys is why a text is no key file. Tink's own error is not shown: it may quote it.
var errKeys = errors.New("holds no keys for payloads: it must be what 'starter codec key add' writes")

func parseKeys(text []byte) (*keys, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, errKeys
	}
	return newKeys(handle)
}

func newKeys(handle *keyset.Handle) (*keys, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errKeys
	}
	k := &keys{aead: primitive, active: handle.KeysetInfo().GetPrimaryKeyId()}
	for _, info := range handle.KeysetInfo().GetKeyInfo() {
		k.all = append(k.all, info.GetKeyId())
	}
	return k, nil
}

// Key is one key of a key file, without the key itself.
type Key struct {
	ID     string `json:"id"`
	Active bool   `json:"active"` // it encrypts; the others only decrypt
}

// KeyFile is a key file that is made and changed. Processes that use it read the change
// within their next payload.
type KeyFile struct{ path string }

// OpenKeyFile names a key file. Nothing is read or made yet.
func OpenKeyFile(path string) *KeyFile { return &KeyFile{path} }

// List returns the keys, the active one among them.
func (f *KeyFile) List() ([]Key, error) {
	handle, err := f.read()
	if err != nil {
		return nil, err
	}
	return list(handle), nil
}

// Add makes a key and returns its id. The first key of a new file is active; a further
// one only decrypts until [KeyFile.Use], so that every process can have it before the
// first payload needs it.
func (f *KeyFile) Add() (string, error) {
	handle, err := f.read()
	fresh := errors.Is(err, fs.ErrNotExist)
	if err != nil && !fresh {
		return "", err
	}
	manager := keyset.NewManager()
	if !fresh {
		manager = keyset.NewManagerFromHandle(handle)
	}
	// XChaCha20-Poly1305: its nonces are long enough to be random for ever.
	added, err := manager.Add(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return "", fmt.Errorf("make a key: %w", err)
	}
	if fresh {
		if err := manager.SetPrimary(added); err != nil {
			return "", fmt.Errorf("make a key: %w", err)
		}
	}
	return id(added), f.write(manager, fresh)
}

// Use makes a key of the file the active one.
func (f *KeyFile) Use(name string) error {
	return f.change(name, func(m *keyset.Manager, n uint32, _ bool) error { return m.SetPrimary(n) })
}

// Remove deletes a key. What is encrypted with it cannot be read any more; the active
// key cannot be removed.
func (f *KeyFile) Remove(name string) error {
	return f.change(name, func(m *keyset.Manager, n uint32, active bool) error {
		if active {
			return fmt.Errorf("key %s is the active one: add another and use that first", name)
		}
		return m.Delete(n)
	})
}

func (f *KeyFile) change(name string, do func(m *keyset.Manager, n uint32, active bool) error) error {
	n, err := strconv.ParseUint(name, 10, 32)
	if err != nil { // what was given is not repeated: it may be a key in the wrong place
		return errors.New("a key's id is a number: 'starter codec key list' shows the keys")
	}
	handle, err := f.read()
	if err != nil {
		return err
	}
	all := list(handle)
	i := slices.IndexFunc(all, func(k Key) bool { return k.ID == name })
	if i < 0 {
		return fmt.Errorf("%s has no key %s: 'starter codec key list' shows its keys", f.path, name)
	}
	manager := keyset.NewManagerFromHandle(handle)
	if err := do(manager, uint32(n), all[i].Active); err != nil {
		return err
	}
	return f.write(manager, false)
}

func (f *KeyFile) read() (*keyset.Handle, error) {
	text, err := private.Read(f.path)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err == nil {
		_, err = newKeys(handle)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w", f.path, errKeys)
	}
	return handle, nil
}

func (f *KeyFile) write(m *keyset.Manager, fresh bool) error {
	handle, err := m.Handle()
	if err != nil {
		return fmt.Errorf("make the keys of %s: %w", f.path, err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return fmt.Errorf("write the keys of %s: %w", f.path, err)
	}
	defer func() { clear(b.Bytes()) }()
	return private.Write(f.path, b.Bytes(), fresh)
}

func list(handle *keyset.Handle) []Key {
	info := handle.KeysetInfo()
	all := make([]Key, len(info.GetKeyInfo()))
	for i, k := range info.GetKeyInfo() {
		all[i] = Key{ID: id(k.GetKeyId()), Active: k.GetKeyId() == info.GetPrimaryKeyId()}
	}
	return all
}
