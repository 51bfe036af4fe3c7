package secrets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
)

// KeyFile is a [KeyStore]: a file of mode 0600, named by its path.
type KeyFile string

var _ KeyStore = KeyFile("")

func (k KeyFile) String() string { return "key file " + string(k) }

// forbiddenKeyModes are the mode bits of a key file that is refused: others may do nothing
// with it, and its group may only read it. A group must be allowed to read: Kubernetes
// mounts a secret as 0440 or 0640 for a process that does not run as root, and a secret of
// Docker Compose is a file of the host's, which containers of several users share by a group.
const forbiddenKeyModes = 0o037

// Read implements [KeyStore].
func (k KeyFile) Read() ([]byte, error) {
	f, err := os.Open(string(k))
	if err != nil {
		return nil, k.fail("cannot be opened", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, k.fail("cannot be examined", err)
	}
	if !info.Mode().IsRegular() {
		return nil, k.fail("is no regular file", nil)
	}
	// Windows has no such mode bits; there the folder's access list protects the file.
	if mode := info.Mode().Perm(); mode&forbiddenKeyModes != 0 && runtime.GOOS != "windows" {
		return nil, k.fail(fmt.Sprintf("is open to other users (mode %04o); run: chmod 600 %s", mode, string(k)), nil)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyset))
	if err != nil {
		return nil, k.fail("cannot be read", err)
	}
	return text, nil
}

// Create implements [KeyStore]; it makes the folder when there is none. A complete
// file appears under the name in one step.
func (k KeyFile) Create(text []byte) error { return k.publish(text, os.Link) }

// Replace implements [KeyStore].
func (k KeyFile) Replace(text []byte) error { return k.publish(text, os.Rename) }

// publish writes text beside the key file and moves it to its name.
func (k KeyFile) publish(text []byte, move func(from, to string) error) (err error) {
	if err := k.makeFolder(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = k.fail("cannot be written", err)
		}
	}()
	temp := string(k) + ".new-" + rand.Text()
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(temp); err == nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := move(temp, string(k)); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(string(k)))
}

func (k KeyFile) makeFolder() error {
	if err := os.MkdirAll(filepath.Dir(string(k)), 0o700); err != nil {
		return k.fail("cannot be written, because its folder cannot be made", err)
	}
	return nil
}

// syncFolder makes the new name durable before a secret that needs the key is
// stored. Windows cannot sync a folder and does not need it.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}

// Lock implements [KeyStore], with a file beside the key file.
func (k KeyFile) Lock(ctx context.Context) (unlock func(), err error) {
	if err := k.makeFolder(); err != nil {
		return nil, err
	}
	if unlock, err = LockFile(ctx, string(k)+".lock"); err != nil {
		return nil, k.fail("cannot be locked", err)
	}
	return unlock, nil
}

// lockInterval is how often a taken lock is tried.
const lockInterval = 50 * time.Millisecond

// LockFile takes the operating system's lock on the file at path, which it makes when
// needed. The lock ends with the process; the file stays, because removing it would
// let two processes lock two files of one name.
func LockFile(ctx context.Context, path string) (unlock func(), err error) {
	lock := flock.New(path, flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockInterval); err != nil {
		return nil, err
	}
	return func() { _ = lock.Unlock() }, nil // the end of the process unlocks, too
}

func (k KeyFile) fail(message string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the path is named already
	}
	return &KeyError{Key: k.String(), Message: message, Err: err}
}
