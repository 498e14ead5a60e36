//go:build unix

package filelock

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// Try takes the lock of an open file and reports whether somebody else holds it. Closing the file gives it back.
func Try(f *os.File) (held bool, err error) {
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// Unsafe says whether others than the owner may read or write a file of this mode.
func Unsafe(m fs.FileMode) bool { return m.Perm()&0o077 != 0 }
