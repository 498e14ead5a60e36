package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	pluginwatch "github.com/tocsin-net/tocsin/host/plugin/watch"
	"github.com/tocsin-net/tocsin/host/report"
)

func storeDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "plugins") }

// folder is the plug-in folder and the store, as a command finds them, beside a service that may be running.
type folder struct {
	cfg    *config.Config
	store  *store.Store
	files  []*plugin.Package
	broken []error // of files that cannot be read
}

// openFolder reads the plug-in folder. A store that does not exist yet is made only if the command writes to it.
func openFolder(path string, write bool) (*folder, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, &UsageError{err}
	}
	f := &folder{cfg: cfg}
	if _, err := os.Stat(storeDir(cfg)); write || err == nil {
		if f.store, err = store.Open(storeDir(cfg)); err != nil {
			return nil, err
		}
	}
	files, err := os.ReadDir(cfg.Plugins.Folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range files {
		if !pluginwatch.Plugin(e.Name()) {
			continue
		}
		p, err := plugin.Load(filepath.Join(cfg.Plugins.Folder, e.Name()))
		if err != nil {
			f.broken = append(f.broken, err)
			continue
		}
		f.files = append(f.files, p)
	}
	return f, nil
}

// find gives the folder's files that bring a plug-in; none is an error if the store does not know it either.
func (f *folder) find(name string) ([]*plugin.Package, error) {
	var found []*plugin.Package
	var names []string
	for _, p := range f.files {
		names = append(names, p.Name())
		if p.Name() == name {
			found = append(found, p)
		}
	}
	rec, err := f.store.Record(name)
	if err != nil {
		return nil, &UsageError{err}
	}
	if found == nil && rec == nil {
		text := fmt.Sprintf("there is no plug-in %q in %s", name, f.cfg.Plugins.Folder)
		if near := strict.Nearest(name, names); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		return nil, usage("%s", text)
	}
	return found, nil
}

var pluginColumns = []report.Column{
	{Name: "name"},
	{Name: "version"},
	{Name: "world"},
	{Name: "state"},
	{Name: "generation", Right: true},
	{Name: "size", Right: true},
	{Name: "file"},
	{Name: "description", Max: 70},
	{Name: "reason", Max: 120},
}

type pluginRow struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	World       string   `json:"world"`
	State       string   `json:"state"` // in use, on trial, stands by, pending, new, quarantined or available
	Reason      string   `json:"reason,omitempty"`
	Generation  int      `json:"generation,omitempty"`
	Size        int      `json:"size"`
	SHA256      string   `json:"sha256"`
	File        string   `json:"file"`
	Granted     []string `json:"granted,omitempty"`
	Description string   `json:"description"`
}

// row tells what is known of one version: a file of the folder, or one that is in the store only.
func (f *folder) row(p *plugin.Package) (pluginRow, error) {
	hash := store.Hash(p.Hash)
	r := pluginRow{
		Name: p.Name(), Version: p.Manifest.Version, World: p.ABI.World, State: "available", Size: len(p.Wasm),
		SHA256: hash.String(), File: p.Path, Description: p.Manifest.Description,
	}
	if f.store == nil {
		return r, nil
	}
	rec, err := f.store.Record(r.Name)
	if err != nil {
		return r, err
	}
	q, err := f.store.Quarantined(hash)
	if err != nil {
		return r, err
	}
	switch {
	case rec != nil && rec.Trial != nil && rec.Trial.Hash == hash:
		r.State, r.Generation = "on trial", rec.Trial.Generation
		r.Reason = fmt.Sprintf("it serves since %s; %s stands by until it has proved itself", rec.Trial.Since.Local().Format(time.DateTime), rec.Version)
	case rec != nil && rec.Hash == hash:
		r.State, r.Generation = "in use", rec.Generation
		if rec.Trial != nil {
			r.State, r.Reason = "stands by", fmt.Sprintf("%s is on trial; this version serves again if that fails where it does not, and after a restart", rec.Trial.Version)
		}
		g, err := f.store.Grants(r.Name)
		if err != nil {
			return r, err
		}
		for _, have := range g.List {
			r.Granted = append(r.Granted, string(have.Wish))
		}
	case q != nil:
		r.State, r.Reason = "quarantined", q.Reason
	case rec != nil && rec.Pending != nil && rec.Pending.Hash == hash:
		r.State, r.Reason = "pending", rec.Pending.Reason
	case rec != nil:
		r.State, r.Reason = "new", "a running service takes it in, or the next start does"
	}
	return r, nil
}

// ListPlugins prints the plug-ins of the configured folder, and those in use whose files are not there any more. Those that
// cannot be used are the error.
func ListPlugins(_ context.Context, l Listing) error {
	w, err := l.writer(pluginColumns, nil)
	if err != nil {
		return err
	}
	f, err := openFolder(l.Config, false)
	if err != nil {
		return err
	}
	var rows []pluginRow
	errs := f.broken
	for _, p := range f.files {
		r, err := f.row(p)
		if err != nil {
			return err
		}
		rows = append(rows, r)
	}
	if f.store != nil {
		records, err := f.store.Records()
		if err != nil {
			return err
		}
		for _, rec := range records {
			more, err := f.stored(rec, rows)
			rows = append(rows, more...)
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	slices.SortStableFunc(rows, func(a, b pluginRow) int { return strings.Compare(a.Name, b.Name) })
	for _, r := range rows {
		if err := w.Row(func(b []byte) []byte { return appendJSON(b, r) }, func() []string {
			gen := ""
			if r.Generation > 0 {
				gen = fmt.Sprint(r.Generation)
			}
			return []string{r.Name, r.Version, r.World, r.State, gen, report.Bytes(uint64(r.Size)), r.File, r.Description, r.Reason}
		}); err != nil {
			return err
		}
	}
	if len(rows)+len(errs) == 0 {
		errs = append(errs, fmt.Errorf("there is no plug-in in %s: tocsin plugin build --out %s makes the first-party ones", f.cfg.Plugins.Folder, f.cfg.Plugins.Folder))
	}
	return errors.Join(w.Close(), errors.Join(errs...))
}

// stored makes rows of the versions of a plug-in that serve, or stand by, and whose file is not in the folder.
func (f *folder) stored(rec *store.Record, rows []pluginRow) (more []pluginRow, err error) {
	serving := []store.Hash{rec.Hash}
	if rec.Trial != nil {
		serving = append(serving, rec.Trial.Hash)
	}
	another := slices.ContainsFunc(rows, func(r pluginRow) bool { return r.Name == rec.Name })
	for _, h := range serving {
		if slices.ContainsFunc(rows, func(r pluginRow) bool { return r.SHA256 == h.String() }) {
			continue
		}
		p, err := f.store.Load(h)
		if err != nil {
			return more, err
		}
		r, err := f.row(p)
		if err != nil {
			return more, err
		}
		switch {
		case r.Reason != "":
		case another:
			r.Reason = "its file is not in the plug-in folder any more; it serves from the store until another version takes over"
		default:
			r.Reason = "its file is not in the plug-in folder any more; tocsin plugin remove takes it out of use"
		}
		r.File = cmp.Or(rec.File, r.File)
		if rec.Trial != nil && h == rec.Trial.Hash {
			r.File = rec.Trial.File
		}
		more = append(more, r)
	}
	return more, nil
}

// InstallOptions are the flags of `tocsin plugin install`.
type InstallOptions struct {
	Config         string
	LiftQuarantine bool
	Grant          bool
}

// InstallPlugin checks a package and puts it into the plug-in folder, in place of the file that brought the plug-in before.
func InstallPlugin(s Streams, path string, o InstallOptions) error {
	if err := there(path); err != nil {
		return err
	}
	p, err := plugin.Load(path)
	if err != nil {
		return err
	}
	f, err := openFolder(o.Config, true)
	if err != nil {
		return err
	}
	q, err := f.store.Quarantined(store.Hash(p.Hash))
	if err != nil {
		return err
	}
	if q != nil && !o.LiftQuarantine {
		return fmt.Errorf("%s: this very version is in quarantine: %s; install another, or add --lift-quarantine to try it again", path, q.Reason)
	}
	if err := os.MkdirAll(f.cfg.Plugins.Folder, 0o755); err != nil {
		return err
	}
	target := filepath.Join(f.cfg.Plugins.Folder, p.Name()+".wasm")
	for _, old := range f.files {
		switch {
		case old.Name() == p.Name():
			target = old.Path
		case old.Path == target:
			return fmt.Errorf("%s holds another plug-in, %s: rename that file first", target, old.Name())
		}
	}
	if err := f.store.Lift(store.Hash(p.Hash)); err != nil { // before a running service sees the file
		return err
	}
	if err := replaceFile(target, p.Wasm); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.Out, "%s %s is in %s\n", p.Name(), p.Manifest.Version, target); err != nil {
		return err
	}
	g, err := f.store.Grants(p.Name())
	if err != nil {
		return err
	}
	missing := g.Missing(store.Wishes(p.Manifest))
	if o.Grant {
		return grantWishes(s, f, p, missing)
	}
	for _, w := range missing {
		note := "granted by the first endpoint that is configured with it"
		if g.Known {
			note = "not granted: tocsin plugin grant " + p.Name() + " lets this version in"
		}
		if _, err := fmt.Fprintf(s.Out, "  wants %s: %s (%s)\n", w.Words(), w.Reason(p.Manifest), note); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes beside the target and renames, so that nobody sees half a file. Others may read it, as the service may
// run under another user.
func replaceFile(target string, b []byte) error { return replaceWith(target, b, 0o644, true) }

// replaceWith is replaceFile with a mode, of which the umask takes its part unless it is exact.
func replaceWith(target string, b []byte, mode fs.FileMode, exact bool) (err error) {
	name := filepath.Join(filepath.Dir(target), ".install-"+rand.Text())
	tmp, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(name)
		}
	}()
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if exact {
		if err = os.Chmod(name, mode); err != nil {
			return err
		}
	}
	return os.Rename(name, target)
}

// writeOut writes a file that a user named, at once, and makes its folder. A file that is there keeps its mode. What is no plain
// file (a link, a pipe, a terminal, /dev/stdout) is written through: to replace it would take it away from others.
func writeOut(file string, b []byte) error {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return usage("%s is a folder: name a file in it", file)
	}
	switch info, err := os.Lstat(file); {
	case err == nil && !info.Mode().IsRegular():
		return os.WriteFile(file, b, 0o666)
	case err == nil:
		return replaceWith(file, b, info.Mode().Perm(), true)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return replaceWith(file, b, 0o666, false)
}

// RemovePlugin takes a plug-in out of the folder and forgets it with its grants. Endpoints that use it have to go first.
func RemovePlugin(s Streams, path, name string) error {
	f, err := openFolder(path, true)
	if err != nil {
		return err
	}
	found, err := f.find(name)
	if err != nil {
		return err
	}
	for _, e := range f.cfg.Endpoints {
		if e.Type == name {
			return fmt.Errorf("the endpoint %q uses the plug-in %s: take it out of %s first", e.Name, name, f.cfg.File)
		}
	}
	for _, p := range found {
		if err := os.Remove(p.Path); err != nil {
			return err
		}
	}
	if err := f.store.Remove(name); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s is removed; a running service keeps what it uses until it is restarted\n", name)
	return err
}

// GrantPlugin grants everything that the versions in the folder want.
func GrantPlugin(s Streams, path, name string) error {
	f, err := openFolder(path, true)
	if err != nil {
		return err
	}
	found, err := f.find(name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("no file in %s brings %s any more: put the version there that is to be granted what it wants", f.cfg.Plugins.Folder, name)
	}
	for _, p := range found {
		g, err := f.store.Grants(name)
		if err != nil {
			return err
		}
		if err := grantWishes(s, f, p, g.Missing(store.Wishes(p.Manifest))); err != nil {
			return err
		}
	}
	return nil
}

func grantWishes(s Streams, f *folder, p *plugin.Package, missing []store.Wish) error {
	by := "unknown"
	if u, err := user.Current(); err == nil {
		by = u.Username
	}
	if err := f.store.Grant(p.Name(), by, missing...); err != nil {
		return err
	}
	if len(missing) == 0 {
		_, err := fmt.Fprintf(s.Out, "%s %s has everything it wants\n", p.Name(), p.Manifest.Version)
		return err
	}
	for _, w := range missing {
		if _, err := fmt.Fprintf(s.Out, "%s may use %s: %s\n", p.Name(), w.Words(), w.Reason(p.Manifest)); err != nil {
			return err
		}
	}
	return nil
}

// RevokePlugin takes grants back; without wishes, all.
func RevokePlugin(s Streams, path, name string, wishes []string) error {
	f, err := openFolder(path, true)
	if err != nil {
		return err
	}
	if _, err := f.find(name); err != nil {
		return err
	}
	var ws []store.Wish
	for _, w := range wishes {
		ws = append(ws, store.Wish(w))
	}
	gone, err := f.store.Revoke(name, ws...)
	for _, w := range gone {
		if _, err := fmt.Fprintf(s.Out, "%s may not use %s any more\n", name, w.Words()); err != nil {
			return err
		}
	}
	if len(gone) == 0 && err == nil {
		_, err = fmt.Fprintf(s.Out, "%s was granted nothing\n", name)
	}
	return err
}
