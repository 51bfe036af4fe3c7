// Package private reads and writes the small files that hold keys: theirs is the one
// rule about who else may touch them.
package private

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// MaxSize is the largest file that [Read] reads, in bytes.
const MaxSize = 1 << 20

// Error says that a file cannot be used. It never holds what is in the file.
type Error struct {
	Path    string
	Message string // the cause and the remedy
	Err     error  // what the system said, nil when it said nothing
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s %s: %v", e.Path, e.Message, e.Err)
	}
	return fmt.Sprintf("%s %s", e.Path, e.Message)
}

// Unwrap returns what the system said.
func (e *Error) Unwrap() error { return e.Err }

// forbidden are the mode bits of a file that [Read] refuses: others may do nothing with
// it, and its group may only read it. Kubernetes mounts a secret as 0440 or 0640 for a
// process that does not run as root, so that a group that reads must be allowed.
const forbidden = 0o037

// Read returns what is in a file of at most [MaxSize] bytes that nobody but its owner
// may write and nobody but its owner and its group may read. The error is an [*Error],
// for which errors.Is(err, fs.ErrNotExist) tells whether there is a file.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fail(path, "cannot be opened", err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fail(path, "cannot be examined", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fail(path, "is no regular file", nil)
	}
	// Windows has no such mode bits; there the folder's access list protects the file.
	if mode := info.Mode().Perm(); mode&forbidden != 0 && runtime.GOOS != "windows" {
		return nil, fail(path, fmt.Sprintf("is open to other users (mode %04o); run: chmod 600 %s", mode, path), nil)
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fail(path, "cannot be read", err)
	}
	if len(text) > MaxSize {
		clear(text)
		return nil, fail(path, "is larger than 1 MiB: it is another file", nil)
	}
	return text, nil
}

// Write puts text into a file of mode 0600, in a folder that is made 0700 when it is
// missing. A reader sees the old file or the new one, never a part. With fresh it does
// not replace a file: the error then is fs.ErrExist.
func Write(path string, text []byte, fresh bool) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(path, "cannot be made, because its folder cannot", err)
	}
	temp := path + ".new-" + rand.Text()
	if err := fill(temp, text); err != nil {
		return fail(path, "cannot be written", errors.Join(err, os.Remove(temp)))
	}
	if fresh { // a link, unlike a rename, fails when there is a file
		err := os.Link(temp, path)
		if e := os.Remove(temp); err == nil {
			err = e
		}
		if err != nil {
			return fail(path, "cannot be made", err)
		}
		return nil
	}
	if err := os.Rename(temp, path); err != nil {
		return fail(path, "cannot be replaced", errors.Join(err, os.Remove(temp)))
	}
	return nil
}

func fill(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func fail(path, message string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err // the path is named already
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return &Error{Path: path, Message: message, Err: err}
}
