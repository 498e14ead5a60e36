package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/tocsin-net/tocsin/host/internal/filelock"
)

const (
	maxKeyFile   = 64 << 10
	maxDataFile  = 128 << 20 // maxCount secrets of maxValue, in base64, with room to spare
	lockPatience = 10 * time.Second
)

// keyring is the keys of the key file, the one that new files are encrypted to first.
type keyring []*age.X25519Identity

func (k keyring) texts() []string {
	var all []string
	for _, id := range k {
		all = append(all, id.Recipient().String())
	}
	return all
}

func newKey() (*age.X25519Identity, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return id, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// keys reads the key file; nil without an error if there is none.
func (s *Store) keys() (keyring, error) {
	path := s.path(keyFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("%w %s cannot be read: run this as the user that owns it: %w", ErrKey, path, fs.ErrPermission)
		}
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w %s is not a regular file", ErrKey, path)
	case filelock.Unsafe(info.Mode()):
		return nil, fmt.Errorf("%w %s may be read by others (mode %04o): run chmod 600 %s, and tocsin secret rotate if somebody may have copied it", ErrKey, path, info.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	keys, ok := parseKeys(b)
	if !ok {
		return nil, fmt.Errorf("%w %s is damaged: it must hold a line that begins with AGE-SECRET-KEY-1; %s", ErrKey, path, s.hint())
	}
	return keys, nil
}

// parseKeys reads the format of age-keygen: identities, comments and empty lines. It gives no error of the library's, which
// might quote a part of a key.
func parseKeys(b []byte) (keyring, bool) {
	if len(b) > maxKeyFile {
		return nil, false
	}
	ids, err := age.ParseIdentities(bytes.NewReader(b))
	if err != nil {
		return nil, false
	}
	var keys keyring
	for _, id := range ids {
		x, ok := id.(*age.X25519Identity)
		if !ok {
			return nil, false
		}
		keys = append(keys, x)
	}
	return keys, true
}

func (s *Store) writeKeys(keys keyring) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# created: %s\n# This key opens %s. Keep a copy of both, apart from each other.\n", time.Now().UTC().Format(time.RFC3339), dataFile)
	for _, k := range keys {
		fmt.Fprintf(&b, "# public key: %s\n%s\n", k.Recipient(), k)
	}
	return replace(s.path(keyFile), []byte(b.String()))
}

// open decrypts the secrets; without a file of them there are none.
func (s *Store) open(keys keyring) (*content, error) {
	path := s.path(dataFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &content{Version: 1, Secrets: map[string]entry{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secrets cannot be read: %w", err)
	}
	defer f.Close()
	if keys == nil {
		return nil, fmt.Errorf("%w %s is missing, and %s cannot be opened without it: %s", ErrKey, s.path(keyFile), path, s.hint())
	}
	c, err := decrypt(f, keys)
	var noMatch *age.NoIdentityMatchError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &noMatch):
		return nil, fmt.Errorf("%w %s does not open %s, which was encrypted with another key: %s", ErrKey, s.path(keyFile), path, s.hint())
	case errors.Is(err, errVersion):
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return nil, fmt.Errorf("%w %s: %s", ErrDamaged, path, s.hint())
}

var errVersion = errors.New("was written by a newer tocsin: use that one")

// decrypt reads a file of secrets. All of it is authenticated before any of it is used.
func decrypt(r io.Reader, keys keyring) (*content, error) {
	ids := make([]age.Identity, len(keys))
	for i, k := range keys {
		ids[i] = k
	}
	plain, err := age.Decrypt(r, ids...)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(plain, maxDataFile+1))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	if len(b) > maxDataFile {
		return nil, errors.New("too large")
	}
	c := &content{}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, errors.New("not the JSON of a store of secrets") // the library's error may quote the text
	}
	if c.Version != 1 {
		return nil, errVersion
	}
	if c.Secrets == nil {
		c.Secrets = map[string]entry{}
	}
	return c, nil
}

// seal encrypts the secrets to a key and puts the file in place.
func (s *Store) seal(c *content, key *age.X25519Identity) error {
	plain, err := json.Marshal(c)
	if err != nil {
		return err
	}
	defer clear(plain)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, key.Recipient())
	if err != nil {
		return fmt.Errorf("encrypt secrets: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return fmt.Errorf("encrypt secrets: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("encrypt secrets: %w", err)
	}
	return replace(s.path(dataFile), b.Bytes())
}

// replace puts a file in place in one step, readable by its owner alone, and returns when it is on disk.
func replace(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	if d, derr := os.Open(filepath.Dir(path)); derr == nil {
		_ = d.Sync() // not every system syncs folders; the file itself is on disk
		_ = d.Close()
	}
	return nil
}

// locked runs f while no other process changes the secrets. A change takes milliseconds, so it waits for its turn.
func (s *Store) locked(f func() error) (err error) {
	if err := s.makeDir(); err != nil {
		return err
	}
	path := s.path(lockName)
	l, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for deadline := time.Now().Add(lockPatience); ; {
		held, err := filelock.Try(l)
		if err != nil {
			return fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if !held {
			return f()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another tocsin secret command has held %s for %s: wait for it, or end it", path, lockPatience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
