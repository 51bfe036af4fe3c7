// Package oskey keeps the key of the im_secrets table in the operating system's
// credential store: the Keychain of macOS, the Credential Manager of Windows, the
// Secret Service (GNOME Keyring, KWallet) of a Linux desktop. It protects a key that no
// other user of the machine should see even as a file; a server without a session has
// no such store.
package oskey

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/zalando/go-keyring"

	"github.com/identitymesh/okta-connector/secrets"
)

// Under these names the key shows in the system's own tools.
const (
	Service = "identitymesh-okta-connector"
	Account = "secrets-key"
)

// Store is a [secrets.KeyStore].
type Store struct{ lock string }

var _ secrets.KeyStore = (*Store)(nil)

// Open names the store. The file lockPath, made when needed, orders the processes that
// change it, which the system's stores do not.
func Open(lockPath string) *Store { return &Store{lock: lockPath} }

func (*Store) String() string {
	return "key " + Account + " of " + Service + " in the system's credential store"
}

// Read implements [secrets.KeyStore].
func (s *Store) Read() ([]byte, error) {
	text, err := keyring.Get(Service, Account)
	if errors.Is(err, keyring.ErrNotFound) {
		return nil, s.fail("does not exist", fs.ErrNotExist)
	}
	if err != nil {
		return nil, s.fail("cannot be read; is the store unlocked, and is there a desktop session? A server keeps its key in a file", err)
	}
	return []byte(text), nil
}

// Create implements [secrets.KeyStore]. The caller holds the lock: [secrets.TableStore]
// does.
func (s *Store) Create(text []byte) error {
	old, err := s.Read()
	clear(old)
	if err == nil {
		return s.fail("cannot be made", fs.ErrExist)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.Replace(text)
}

// Replace implements [secrets.KeyStore].
func (s *Store) Replace(text []byte) error {
	if err := keyring.Set(Service, Account, string(text)); err != nil {
		return s.fail("cannot be stored; is the store unlocked, and is there a desktop session? A server keeps its key in a file", err)
	}
	return nil
}

// Lock implements [secrets.KeyStore].
func (s *Store) Lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(s.lock), 0o700); err != nil {
		return nil, s.fail("cannot be locked", err)
	}
	if unlock, err = secrets.LockFile(ctx, s.lock); err != nil {
		return nil, s.fail("cannot be locked", err)
	}
	return unlock, nil
}

func (s *Store) fail(message string, err error) error {
	return &secrets.KeyError{Key: s.String(), Message: message, Err: err}
}
