package store

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Record is what is known of one plug-in. Version, Hash, File, Generation and Since are those of the version that proved
// itself last, which is also the one that a start takes.
type Record struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Hash       Hash      `json:"sha256"`
	File       string    `json:"file"`       // where in the plug-in folder it came from
	Generation int       `json:"generation"` // counts every version that ever served, from 1
	Since      time.Time `json:"since"`      // when this version took over
	Pending    *Pending  `json:"pending,omitempty"`
	Trial      *Trial    `json:"trial,omitempty"`
}

// Trial is a version that serves, while the one before stands by. A service that ends removes it; one that was killed leaves
// it, and the next start does.
type Trial struct {
	Version    string    `json:"version"`
	Hash       Hash      `json:"sha256"`
	File       string    `json:"file"`
	Generation int       `json:"generation"`
	Since      time.Time `json:"since"`
}

// Pending is a version that waits while another runs.
type Pending struct {
	Version string    `json:"version"`
	Hash    Hash      `json:"sha256"`
	File    string    `json:"file"`
	Reason  string    `json:"reason"` // what it waits for, and what to do
	Since   time.Time `json:"since"`
}

// Quarantined is a version that failed in use and is not tried again.
type Quarantined struct {
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Hash    Hash      `json:"sha256"`
	File    string    `json:"file"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"`
}

// names keeps a name from leading out of the folder. It is looser than what a manifest may hold.
var names = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (s *Store) file(dir, name, end string) (string, error) {
	if !names.MatchString(name) {
		return "", fmt.Errorf("%q is no plug-in's name: it has lower-case letters, digits, - and _ only", name)
	}
	return filepath.Join(s.dir, dir, name+end), nil
}

// Record reads what is known of a plug-in; nil if nothing is.
func (s *Store) Record(name string) (*Record, error) {
	path, err := s.file(dirRecords, name, ".json")
	if err != nil {
		return nil, err
	}
	r := new(Record)
	if ok, err := readJSON(path, r); !ok {
		return nil, err
	}
	return r, nil
}

// SetRecord writes what is known of a plug-in. The service is the only writer while it runs.
func (s *Store) SetRecord(r *Record) error {
	path, err := s.file(dirRecords, r.Name, ".json")
	if err != nil {
		return err
	}
	return writeJSON(path, r)
}

// Records reads all records, in order of their names.
func (s *Store) Records() ([]*Record, error) {
	return readAll[Record](filepath.Join(s.dir, dirRecords))
}

// Quarantine remembers that a version must not be tried again.
func (s *Store) Quarantine(q Quarantined) error {
	return writeJSON(filepath.Join(s.dir, dirQuarantine, q.Hash.String()+".json"), &q)
}

// Quarantined tells whether and why a version is not tried; nil if it may be.
func (s *Store) Quarantined(h Hash) (*Quarantined, error) {
	q := new(Quarantined)
	if ok, err := readJSON(filepath.Join(s.dir, dirQuarantine, h.String()+".json"), q); !ok {
		return nil, err
	}
	return q, nil
}

// AllQuarantined reads every quarantined version.
func (s *Store) AllQuarantined() ([]*Quarantined, error) {
	return readAll[Quarantined](filepath.Join(s.dir, dirQuarantine))
}

// Lift lets a quarantined version be tried again.
func (s *Store) Lift(h Hash) error {
	return remove(filepath.Join(s.dir, dirQuarantine, h.String()+".json"))
}

// Remove forgets a plug-in: its record, its grants, what of it is quarantined, and its modules.
func (s *Store) Remove(name string) error {
	path, err := s.file(dirRecords, name, ".json")
	if err != nil {
		return err
	}
	rec, err := s.Record(name)
	if err != nil {
		return err
	}
	if err := remove(path); err != nil {
		return err
	}
	if rec != nil {
		if err := remove(s.Path(rec.Hash)); err != nil {
			return err
		}
		if rec.Pending != nil {
			if err := remove(s.Path(rec.Pending.Hash)); err != nil {
				return err
			}
		}
		if rec.Trial != nil {
			if err := remove(s.Path(rec.Trial.Hash)); err != nil {
				return err
			}
		}
	}
	bad, err := s.AllQuarantined()
	if err != nil {
		return err
	}
	for _, q := range bad {
		if q.Name == name {
			if err := s.Lift(q.Hash); err != nil {
				return err
			}
		}
	}
	grants, err := filepath.Glob(filepath.Join(s.dir, dirGrants, name+".*"))
	if err != nil {
		return err
	}
	for _, g := range grants {
		if err := remove(g); err != nil {
			return err
		}
	}
	return nil
}

func readAll[T any](dir string) ([]*T, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []*T
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		v := new(T)
		ok, err := readJSON(filepath.Join(dir, f.Name()), v)
		if err != nil {
			return nil, err
		}
		if ok { // else it was removed since the folder was read
			all = append(all, v)
		}
	}
	return all, nil
}
