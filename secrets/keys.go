package secrets

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keys is the key file: a Tink keyset as JSON, in the clear, protected by its mode
// 0600 and by living outside the database. A copy of the database alone opens
// nothing.
//
// The file is read for each use, so that a worker sees a key that another process
// made or restored, and holds no key longer than it needs it.
type Keys struct{ path string }

// maxKeyFile bounds what is read; a keyset of one key has some 300 bytes.
const maxKeyFile = 1 << 20

// OpenKeys names the key file. Nothing is read or created yet: the first
// [TableStore.Set] makes the file, and its folder, when there is none.
func OpenKeys(path string) *Keys { return &Keys{path: path} }

// Path returns the name of the key file.
func (k *Keys) Path() string { return k.path }

// load reads the key. Without a file the error is a [*KeyFileError] that wraps
// fs.ErrNotExist.
func (k *Keys) load() (tink.AEAD, error) {
	text, err := k.read()
	if err != nil {
		return nil, err
	}
	defer clear(text)
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil { // not wrapped: it may quote the text
		return nil, k.fail("is damaged: it is no Tink keyset; restore it from a backup, or remove it and store the secrets again", nil)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, k.fail("holds a key of the wrong kind; restore it from a backup, or remove it and store the secrets again", nil)
	}
	return primitive, nil
}

func (k *Keys) read() ([]byte, error) {
	f, err := os.Open(k.path)
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
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, k.fail(fmt.Sprintf("is open to other users (mode %04o); run: chmod 600 %s", mode, k.path), nil)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, k.fail("cannot be read", err)
	}
	return text, nil
}

// create reads the key and makes it first when there is none. Of several processes
// that do so at once, one wins and all use its key: a complete file appears under
// the name in one step, and never replaces another.
func (k *Keys) create() (tink.AEAD, error) {
	key, err := k.load()
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return nil, k.fail("cannot be made, because its folder cannot", err)
	}
	text, err := newKeyset()
	if err != nil {
		return nil, k.fail("cannot be made", err)
	}
	defer clear(text)
	if err := k.publish(text); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, k.fail("cannot be made", err)
	}
	return k.load()
}

// publish writes text beside the key file and links it to its name, which fails
// with fs.ErrExist when another process was faster.
func (k *Keys) publish(text []byte) (err error) {
	temp := k.path + ".new-" + rand.Text()
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(temp); err == nil {
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
	if err := os.Link(temp, k.path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(k.path))
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

func newKeyset() ([]byte, error) {
	// XChaCha20-Poly1305: its nonces are long enough to be random for ever.
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (k *Keys) fail(message string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err // the path is named already
	}
	return &KeyFileError{Path: k.path, Message: message, Err: err}
}
