// Package secret keeps secrets at rest: one file, encrypted with age (age-encryption.org/v1) to a key that lies beside it
// and that its owner alone may read. It knows names and values; what a secret is for, and who may see it, is decided
// elsewhere. Values leave it through Get only, never through an error, a list or a log.
package secret

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

const (
	keyFile  = "secret.key"
	dataFile = "secrets.age"
	lockName = "secrets.lock"
	// maxValue bounds a secret: whatever is larger is not a secret but a mistake. It is what a file: reference may hold too.
	maxValue = 64 << 10
	maxCount = 1000
)

var (
	// ErrKey is what errors about the key file wrap: it is missing, damaged, open to others, or not the right one.
	ErrKey = errors.New("key file")
	// ErrDamaged is what errors about a file of secrets wrap that the key opens, or should, and that cannot be read all the same.
	ErrDamaged = errors.New("damaged file of secrets")
	// ErrValue is what errors about a name or a value that cannot be stored wrap.
	ErrValue = errors.New("cannot be stored")
)

// MissingError says that there is no secret of a name.
type MissingError struct {
	Name    string
	Nearest string // the name that was probably meant, or empty
}

// Reason says what is missing, and no more.
func (e *MissingError) Reason() string {
	text := fmt.Sprintf("there is no secret %q", e.Name)
	if e.Nearest != "" {
		text += fmt.Sprintf(": did you mean %q?", e.Nearest)
	}
	return text
}

// Error says how to store it, too.
func (e *MissingError) Error() string {
	return e.Reason() + " (tocsin secret set " + e.Name + " stores it)"
}

// Info is what may be said of a secret.
type Info struct {
	Name string
	Set  time.Time // when its value was stored last
}

// Store is the secrets of one folder. It reads its files anew for each call, so it sees what another process changed, and
// is safe for concurrent use, between processes too: writers wait for each other, and readers see all of a change or none.
type Store struct{ dir string }

// Open names the folder, which is data_dir. Nothing is read or made yet: the key is made when the first secret is stored.
func Open(dir string) *Store { return &Store{dir: dir} }

// entry is a secret as the encrypted file holds it; JSON carries the value in base64.
type entry struct {
	Value []byte    `json:"value"`
	Set   time.Time `json:"set"`
}

// content is the plain text of the file.
type content struct {
	Version int              `json:"version"` // 1
	Secrets map[string]entry `json:"secrets"`
}

// Get gives a secret's value. The error is a *MissingError if there is none.
func (s *Store) Get(name string) (string, error) {
	c, err := s.read()
	if err != nil {
		return "", err
	}
	e, ok := c.Secrets[name]
	if !ok {
		return "", missing(c, name)
	}
	return string(e.Value), nil
}

// List tells which secrets there are, by name.
func (s *Store) List() ([]Info, error) {
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	all := make([]Info, 0, len(c.Secrets))
	for _, name := range slices.Sorted(maps.Keys(c.Secrets)) {
		all = append(all, Info{Name: name, Set: c.Secrets[name].Set})
	}
	return all, nil
}

// Set stores a value, in place of an older one of the same name, and tells whether there was one. It returns when the
// value is on disk.
func (s *Store) Set(name, value string) (replaced bool, err error) {
	switch {
	case !nameRule.MatchString(name):
		return false, fmt.Errorf("a secret named %q %w: use 1 to 64 letters, digits, dots, dashes and underscores, starting with a letter or digit", strict.OneLine(name), ErrValue)
	case value == "":
		return false, fmt.Errorf("an empty secret %w", ErrValue)
	case len(value) > maxValue:
		return false, fmt.Errorf("a secret of %d bytes %w: the most is %d; is this the right file?", len(value), ErrValue, maxValue)
	}
	err = s.change(func(c *content) error {
		_, replaced = c.Secrets[name]
		if !replaced && len(c.Secrets) >= maxCount {
			return fmt.Errorf("another secret %w: there are %d, the most; tocsin secret remove takes one out", ErrValue, maxCount)
		}
		c.Secrets[name] = entry{Value: []byte(value), Set: time.Now().UTC().Truncate(time.Second)}
		return nil
	})
	return replaced, err
}

// Remove forgets a secret. The error is a *MissingError if there is none.
func (s *Store) Remove(name string) error {
	return s.change(func(c *content) error {
		if _, ok := c.Secrets[name]; !ok {
			return missing(c, name)
		}
		delete(c.Secrets, name)
		return nil
	})
}

// Rotate makes a new key and encrypts every secret to it; it returns how many. The old key opens nothing of this store any
// more. A crash on the way leaves a store that can be read: the key file holds both keys until the new file is in place.
func (s *Store) Rotate() (n int, err error) {
	err = s.locked(func() error {
		keys, err := s.keys()
		if err != nil {
			return err
		}
		if keys == nil {
			return fmt.Errorf("%w %s does not exist: there is nothing to rotate before the first tocsin secret set", ErrKey, s.path(keyFile))
		}
		c, err := s.open(keys)
		if err != nil {
			return err
		}
		n = len(c.Secrets)
		fresh, err := newKey()
		if err != nil {
			return err
		}
		if err := s.writeKeys(append(keyring{fresh}, keys...)); err != nil {
			return err
		}
		if err := s.seal(c, fresh); err != nil {
			return err
		}
		return s.writeKeys(keyring{fresh})
	})
	return n, err
}

var nameRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func missing(c *content, name string) error {
	e := &MissingError{Name: strict.OneLine(name)}
	if near := strict.Nearest(name, slices.Sorted(maps.Keys(c.Secrets))); near != name {
		e.Nearest = near
	}
	return e
}

// change reads the secrets, changes them and writes them back while no other process does.
func (s *Store) change(f func(*content) error) error {
	return s.locked(func() error {
		keys, err := s.keys()
		if err != nil {
			return err
		}
		c, err := s.open(keys)
		if err != nil {
			return err
		}
		if err := f(c); err != nil {
			return err
		}
		if keys == nil {
			fresh, err := newKey()
			if err != nil {
				return err
			}
			keys = keyring{fresh}
			if err := s.writeKeys(keys); err != nil {
				return err
			}
		}
		if err := s.seal(c, keys[0]); err != nil {
			return err
		}
		if len(keys) > 1 { // a rotation was cut off: the older key opens nothing any more
			return s.writeKeys(keys[:1])
		}
		return nil
	})
}

// read gives the secrets as they are now. It takes no lock, since each file is replaced in one step; between the two
// readings a rotation may have replaced both, so a key that does not fit is read again as long as it changes.
func (s *Store) read() (*content, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	for {
		c, err := s.open(keys)
		if err == nil || !errors.Is(err, ErrKey) {
			return c, err
		}
		again, kerr := s.keys()
		if kerr != nil || slices.Equal(again.texts(), keys.texts()) {
			return nil, err
		}
		keys = again
	}
}

// hint is what can be done about secrets that no key opens any more.
func (s *Store) hint() string {
	rm := "rm"
	if runtime.GOOS == "windows" {
		rm = "del"
	}
	return fmt.Sprintf("put the right file back from a backup, or start again: %s %s, then tocsin secret set for each", rm, strings.Join([]string{s.path(keyFile), s.path(dataFile)}, " "))
}

// makeDir makes the folder for the first secret, closed to others.
func (s *Store) makeDir() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w: make the folder, or name one that can be written to", err)
	}
	return nil
}
