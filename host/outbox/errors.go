package outbox

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tocsin-net/tocsin/host/alert"
)

// Errors that callers test for with errors.Is. All come wrapped in a message that names the file and says what to do.
var (
	ErrClosed    = errors.New("the outbox is closed")
	ErrReadOnly  = errors.New("the outbox was opened for reading only")
	ErrFull      = error(fullError{})
	ErrCorrupt   = errors.New("the database is damaged")
	ErrForeign   = errors.New("it is not an outbox of tocsin")
	ErrNotFound  = errors.New("no such delivery")
	ErrNotLeased = errors.New("the delivery is not leased")
	ErrNotDead   = errors.New("only a dead delivery can be queued again")
	ErrRemoved   = errors.New("its recipient is not configured")
)

// fullError is a failure that ends by itself once somebody makes room.
type fullError struct{}

func (fullError) Error() string   { return "the disk is full" }
func (fullError) Temporary() bool { return true }

// LockedError says that another process owns the outbox.
type LockedError struct {
	Path string
	PID  int // 0 if unknown
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("%s is in use by %s: stop that one, or set another path", e.Path, who)
}

// NewerError says that a newer tocsin has written the outbox.
type NewerError struct {
	Path       string
	Has, Known int // schema versions
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has schema version %d, this tocsin knows up to %d: run the newer tocsin that wrote it, or set another path",
		e.Path, e.Has, e.Known)
}

// lockError gives the error of lockFile the name of the database in place of the lock's.
func (s *Store) lockError(err error) error {
	if le, ok := errors.AsType[*LockedError](err); ok {
		return &LockedError{Path: s.path, PID: le.PID}
	}
	return err
}

// explain wraps err with what was being done, the file, and, where SQLite's code tells, what to do about it.
func (s *Store) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = s.hint(err)
	if msg := err.Error(); strings.Contains(msg, s.path) {
		return fmt.Errorf("outbox: %s: %w", doing, err)
	}
	return fmt.Errorf("outbox: %s %s: %w", doing, s.path, err)
}

func (s *Store) hint(err error) error {
	se, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: nothing was stored by this call; free some space, then it goes on by itself (%w)", ErrFull, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: stop tocsin, keep a copy of the file and its -wal, restore a backup or move it away (%w)",
			ErrCorrupt, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %s is no SQLite database; set another path or move the file away (%w)", ErrForeign, s.path, err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("the file is read-only: let the user that runs tocsin write to it and its folder (%w)", err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("the file cannot be opened: check its owner and mode, and those of its folder (%w)", err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("another program holds the file locked: end it (%w)", err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("the disk reported an error: see the system's log (%w)", err)
	}
	return err
}

// idError names the delivery that an error is about.
func idError(id alert.ID, err error) error { return fmt.Errorf("delivery %s: %w", id, err) }
