package outbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/filelock"
)

// fileLock keeps other processes out for as long as this one lives: the system drops it with the process, so a crash
// leaves nothing to clean up. The file stays; its content, the owner's pid, is for messages only.
type fileLock struct{ f *os.File }

// lockFile takes the lock or returns a *LockedError with the pid the file names.
func lockFile(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	held, err := filelock.Try(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %s: %w", path, err), f.Close())
	}
	if held {
		b, _ := io.ReadAll(io.LimitReader(f, 32)) // only for the message
		pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
		return nil, errors.Join(&LockedError{Path: path, PID: pid}, f.Close())
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot write %s: %w", path, err), f.Close())
	}
	return &fileLock{f}, nil
}

func (l *fileLock) unlock() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}
