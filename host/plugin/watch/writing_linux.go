package watch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// writing tells whether some process has a file open for writing, if that can be known: the system gives out a read lease
// only if none has (fcntl(2), F_SETLEASE), and only for files of one's own. Closing the file gives the lease back.
func writing(path string) (open, known bool) {
	f, err := os.Open(path)
	if err != nil {
		return false, false
	}
	defer f.Close()
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return errors.Is(err, unix.EAGAIN), err == nil || errors.Is(err, unix.EAGAIN)
}
