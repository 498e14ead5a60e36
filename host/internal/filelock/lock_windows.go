package filelock

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// Try takes the lock of an open file and reports whether somebody else holds it. Closing the file gives it back. It locks
// one byte far behind the text, because a locked byte cannot be read by others, and they may want the text.
func Try(f *os.File) (held bool, err error) {
	at := &windows.Overlapped{Offset: 1 << 30}
	err = windows.LockFileEx(windows.Handle(f.Fd()),
		windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return true, nil
	}
	return false, err
}

// Unsafe is always false: access is governed by the folder's ACL.
func Unsafe(fs.FileMode) bool { return false }
