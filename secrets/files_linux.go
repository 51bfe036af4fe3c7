package secrets

import (
	"os"

	"golang.org/x/sys/unix"
)

// onReadOnlyMount says whether the file lies on a mount that nobody can write through.
func onReadOnlyMount(f *os.File) bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return false
	}
	return st.Flags&unix.ST_RDONLY != 0
}
