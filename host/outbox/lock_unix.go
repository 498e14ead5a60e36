//go:build unix

package outbox

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func flock(f *os.File) (held bool, err error) {
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

// unsafeMode says whether others than the owner may read or write.
func unsafeMode(m fs.FileMode) bool { return m.Perm()&0o077 != 0 }
