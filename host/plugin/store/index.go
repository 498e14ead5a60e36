package store

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

const fileIndex = "index.json"

// racy is how old a file's last change must be for its content to be remembered by it: a file that changes twice within the
// granularity of its file system's clock shows the second change in no time. FAT's is the coarsest, with two seconds.
const racy = 2 * time.Second

// Seen is what a start must know of a plug-in's file that nothing uses.
type Seen struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	World   string `json:"world"`
	Hash    Hash   `json:"sha256"`
}

// stamp is what tells that a file did not change. Where the system keeps them, the file's number and the time of the last
// change of any kind, which no program can set, are among it.
type stamp struct {
	Size    int64  `json:"size"`
	Mod     int64  `json:"mtime_ns"`
	Changed int64  `json:"ctime_ns,omitempty"`
	Device  uint64 `json:"device,omitempty"`
	Inode   uint64 `json:"inode,omitempty"`
}

// Index remembers what is in the files of plug-in folders, so that those which did not change need not be read at each start.
// It is a hint, never a proof: what is run is read and hashed when it is run. One that is missing, damaged or of another
// version of tocsin is made anew. It is safe for concurrent use; of several processes the last one that saves wins.
type Index struct {
	path string
	now  func() time.Time // of the machine; tests have their own

	mu      sync.Mutex // mu guards what follows
	entries map[string]*indexed
	changed bool
}

type indexed struct {
	Seen
	stamp
	asked bool // by this process
}

// indexFile is the index on disk. Form tells what it was made with: another tocsin may read files otherwise.
type indexFile struct {
	Form  string              `json:"form"`
	Files map[string]*indexed `json:"files"`
}

func form() string { return "1, " + plugin.Spoken().String() }

// Index opens the store's index.
func (s *Store) Index() *Index {
	x := &Index{path: filepath.Join(s.dir, fileIndex), now: time.Now, entries: map[string]*indexed{}}
	var f indexFile
	if b, err := os.ReadFile(x.path); err == nil && json.Unmarshal(b, &f) == nil && f.Form == form() {
		for path, e := range f.Files {
			if e != nil && e.Name != "" && !e.Hash.IsZero() {
				x.entries[path] = e
			}
		}
	}
	return x
}

// Look tells what is in a file. The package is nil if the file did not change since it was looked at, by this process or one
// before; else the error is that of plugin.Open.
func (x *Index) Look(path string) (Seen, *plugin.Package, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Seen{}, nil, err
	}
	before, ok := stampOf(path)
	x.mu.Lock()
	if e := x.entries[path]; ok && e != nil && e.stamp == before {
		e.asked = true
		seen := e.Seen
		x.mu.Unlock()
		return seen, nil, nil
	}
	x.mu.Unlock()
	now := x.now()
	p, err := plugin.Open(path)
	if err != nil {
		x.Forget(path)
		return Seen{}, nil, err
	}
	seen := Seen{Name: p.Manifest.Name, Version: p.Manifest.Version, World: p.Manifest.World, Hash: Hash(p.Hash)}
	after, still := stampOf(path)
	last := time.Unix(0, max(before.Mod, before.Changed))
	// Without a time of the last change of any kind (Windows) a version with the size and the time of the one before looks like it.
	if !ok || !still || before != after || before.Changed == 0 || now.Sub(last) < racy {
		x.Forget(path)
		return seen, p, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries[path] = &indexed{Seen: seen, stamp: before, asked: true}
	x.changed = true
	return seen, p, nil
}

// Forget makes the next Look read a file.
func (x *Index) Forget(path string) {
	path, err := filepath.Abs(path)
	if err != nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.entries[path] != nil {
		delete(x.entries, path)
		x.changed = true
	}
}

// Save writes the index, if there is anything new in it. What nobody asked for since it was opened is left out: it is gone.
func (x *Index) Save() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	known := len(x.entries)
	maps.DeleteFunc(x.entries, func(_ string, e *indexed) bool { return !e.asked })
	if !x.changed && len(x.entries) == known {
		return nil
	}
	if err := writeJSON(x.path, indexFile{form(), x.entries}); err != nil {
		return err
	}
	x.changed = false
	return nil
}

// stampOf gives the stamp of a plain file.
func stampOf(path string) (stamp, bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return stamp{}, false
	}
	s := stamp{Size: info.Size(), Mod: info.ModTime().UnixNano()}
	s.Device, s.Inode, s.Changed = identity(info)
	return s, true
}
