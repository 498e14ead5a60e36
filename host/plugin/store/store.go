package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin-net/tocsin/host/plugin"
)

const (
	dirModules    = "modules"
	dirRecords    = "records"
	dirGrants     = "grants"
	dirQuarantine = "quarantine"
)

// Hash is the SHA-256 of a plug-in's file. Its text is hexadecimal; the zero hash is empty text.
type Hash [sha256.Size]byte

// String writes the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the hash's beginning, for messages.
func (h Hash) Short() string { return h.String()[:12] }

// IsZero tells whether the hash stands for nothing.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) {
	if h.IsZero() {
		return nil, nil
	}
	return []byte(h.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	*h = Hash{}
	if len(b) == 0 {
		return nil
	}
	if hex.DecodedLen(len(b)) != len(h) {
		return fmt.Errorf("%q is no SHA-256", b)
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Store is the plug-in store of one data folder. It is safe for concurrent use, by several processes too.
type Store struct{ dir string }

// Open opens the store in a folder and makes it if it is missing.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("plug-in store: %w", err)
	}
	for _, d := range []string{"", dirModules, dirRecords, dirGrants, dirQuarantine} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("the plug-in store cannot be made: %w", err)
		}
	}
	return &Store{dir}, nil
}

// GrantsDir is the folder that changes when somebody grants or revokes something.
func (s *Store) GrantsDir() string { return filepath.Join(s.dir, dirGrants) }

// Path is where a module lies once it was put.
func (s *Store) Path(h Hash) string { return filepath.Join(s.dir, dirModules, h.String()+".wasm") }

// Put copies a module into the store. One that is there already is left as it is, if it is whole.
func (s *Store) Put(wasm []byte) (Hash, error) {
	h := Hash(sha256.Sum256(wasm))
	if old, err := hashFile(s.Path(h)); err == nil && old == h {
		return h, nil
	}
	if err := writeFile(s.Path(h), wasm); err != nil {
		return h, fmt.Errorf("the plug-in cannot be copied into the store: %w", err)
	}
	return h, nil
}

// Load reads a module from the store and checks all of it, its hash first.
func (s *Store) Load(h Hash) (*plugin.Package, error) {
	p, err := plugin.Load(s.Path(h))
	if err != nil {
		return nil, err
	}
	if Hash(p.Hash) != h {
		return nil, fmt.Errorf("%s was damaged: its SHA-256 is not what its name says; remove it and install the plug-in again", p.Path)
	}
	return p, nil
}

func hashFile(path string) (Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return Hash{}, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return Hash{}, err
	}
	return Hash(h.Sum(nil)), nil
}

// Prune removes the modules that no record names, except those in use.
func (s *Store) Prune(use ...Hash) error {
	records, err := s.Records()
	if err != nil {
		return err // what is unreadable may name any of them
	}
	keep := map[string]bool{}
	for _, h := range use {
		keep[h.String()+".wasm"] = true
	}
	for _, r := range records {
		keep[r.Hash.String()+".wasm"] = true
		if r.Pending != nil {
			keep[r.Pending.Hash.String()+".wasm"] = true
		}
		if r.Trial != nil {
			keep[r.Trial.Hash.String()+".wasm"] = true
		}
	}
	files, err := os.ReadDir(filepath.Join(s.dir, dirModules))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".wasm") && !keep[f.Name()] {
			errs = append(errs, remove(filepath.Join(s.dir, dirModules, f.Name())))
		}
	}
	return errors.Join(errs...)
}

// remove removes a file; that it is missing is fine.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeFile puts a file in place at once: a reader, or a crash, sees all of it or nothing.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(b); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if d, derr := os.Open(filepath.Dir(path)); derr == nil {
		_ = d.Sync() // not every system syncs folders; the file itself is on disk
		_ = d.Close()
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// readJSON reads a file; ok is false if there is none.
func readJSON(path string, v any) (ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%s is damaged: %w; remove it, and the plug-in is taken for one that was never used", path, err)
	}
	return true, nil
}
