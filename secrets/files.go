package secrets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// DefaultFilesDir is where Docker mounts secrets.
const DefaultFilesDir = "/run/secrets"

// maxFileName is the longest name of a key in a Kubernetes Secret.
const maxFileName = 253

// Files reads secrets from files in one folder, as Docker and Kubernetes mount them,
// each from the file that [FlatName] says. The file is read for each use, so that a
// mounted secret that was replaced is seen.
//
// A file that its group or others can write is refused: whoever writes it chooses the
// token. One that others can read is refused unless it lies on a read-only mount, as
// in a container, where nobody else is and the modes are not the operator's.
// Symbolic links are followed inside the folder, which is how Kubernetes replaces all
// files at once, and not out of it.
type Files struct {
	dir string
	// readOnly says whether a file lies on a read-only mount; tests replace it.
	readOnly func(*os.File) bool
}

var _ Backend = (*Files)(nil)

// NewFiles returns the backend of the files in dir. Nothing is read yet; the folder
// may appear later.
func NewFiles(dir string) *Files { return &Files{dir: dir, readOnly: onReadOnlyMount} }

// Where implements [Backend].
func (f *Files) Where(ref Ref) (Place, error) {
	ref, err := ParseRef(string(ref))
	if err != nil {
		return Place{}, err
	}
	name := FlatName(ref)
	place := Place{Backend: BackendFiles, Name: "the secret files", Path: filepath.Join(f.dir, name)}
	if len(name) > maxFileName {
		return Place{}, TooLong(ref, place, "file", len(name), maxFileName)
	}
	return place, nil
}

// TooLong is the [*Error] of a reference whose name in place has length characters,
// when at most most are allowed; what is what bears the name.
func TooLong(ref Ref, place Place, what string, length, most int) error {
	place.Path = ""
	return &Error{Ref: ref, Place: place, Kind: Misconfigured,
		Cause:  fmt.Sprintf("has no place: the name of its %s would have %d characters, and %d are allowed", what, length, most),
		Remedy: "use a shorter reference; capitals, dots and underscores take five characters each"}
}

// Resolve implements [Resolver].
func (f *Files) Resolve(ctx context.Context, ref Ref) (Value, error) {
	v, _, err := f.read(ctx, ref)
	return v, err
}

// Stat implements [Backend]. Updated is when the file was written.
func (f *Files) Stat(ctx context.Context, ref Ref) (Info, error) {
	v, info, err := f.read(ctx, ref)
	v.Wipe()
	return info, err
}

func (f *Files) read(ctx context.Context, ref Ref) (Value, Info, error) {
	place, err := f.Where(ref)
	if err != nil {
		return Value{}, Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return Value{}, Info{}, err
	}
	fail := func(kind Kind, cause, remedy string, err error) (Value, Info, error) {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err // the path is named already
		}
		return Value{}, Info{}, &Error{Ref: ref, Place: place, Kind: kind, Cause: cause, Remedy: remedy, Err: err}
	}
	file, err := f.open(filepath.Base(place.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Value{}, Info{}, &Error{Ref: ref, Place: place, Kind: Missing, Remedy: f.HowToStore(ref)}
	case errors.Is(err, fs.ErrPermission):
		return fail(Denied, "cannot be opened", "let the worker's user read it, for instance by the group of the mount", err)
	case err != nil:
		return fail(Unusable, "cannot be opened", "check the file; a link must stay inside the folder", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fail(Unusable, "cannot be examined", "check the file", err)
	}
	if !info.Mode().IsRegular() {
		return fail(Unusable, "is no regular file", "put the secret's text there", nil)
	}
	if cause, fix := f.exposed(file, info.Mode().Perm()); cause != "" {
		return fail(Denied, cause, "run: chmod "+fix+" "+place.Path, nil)
	}
	raw, err := io.ReadAll(io.LimitReader(file, MaxValueLen+3)) // CR, LF, and one too many
	if err != nil {
		return fail(Unusable, "cannot be read", "check the file", err)
	}
	v, err := Found(ref, place, raw)
	return v, Info{Updated: info.ModTime()}, err
}

// open opens a file of the folder. Opening must not wait for the writer of a pipe.
func (f *Files) open(name string) (*os.File, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// exposed says how others could misuse a file of that mode, and what its mode should
// lose. Windows has no such modes; there the folder's access list protects the file.
func (f *Files) exposed(file *os.File, mode fs.FileMode) (cause, fix string) {
	switch {
	case runtime.GOOS == "windows":
		return "", ""
	case mode&0o022 != 0:
		return fmt.Sprintf("can be written by other users (mode %04o)", mode), "go-w"
	case mode&0o004 != 0 && !f.readOnly(file):
		return fmt.Sprintf("can be read by other users (mode %04o) and lies on no read-only mount", mode), "o-r"
	}
	return "", ""
}

// HowToStore implements [Backend].
func (f *Files) HowToStore(ref Ref) string {
	path := filepath.Join(f.dir, FlatName(ref))
	return fmt.Sprintf("write it to the file %s, for instance with: install -m 0400 /dev/stdin %s", path, path)
}

// Close implements [Backend].
func (*Files) Close() error { return nil }
