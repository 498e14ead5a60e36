package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/scaffold"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/pdk"
)

// DevPlugin are the flags of `tocsin plugin dev`.
type DevPlugin struct {
	Streams
	Dir     string
	Sample  string // a part of a sample's name; empty: the first
	Locale  string
	Set     []string // PART.NAME=VALUE: parameters
	Install string   // a plug-in folder that gets each build that is fine; may be empty
	Once    bool     // end after the first round
}

// quiet is how long nothing must have changed before a round begins: editors and compilers write in several steps.
const quiet = 300 * time.Millisecond

// Run builds, tests and shows the plug-in, and again after each change, until ctx is done. A round that fails is printed and
// no error, as the author is about to mend it; with Once it is the error.
func (d DevPlugin) Run(ctx context.Context) error {
	if !scaffold.IsProject(d.Dir) {
		return usage("%s is no author's folder: it needs build.sh and manifest/manifest.toml; tocsin plugin new makes one", d.Dir)
	}
	sample, err := findSample(d.Sample)
	if err != nil {
		return err
	}
	if _, _, err := d.parameters(nil); err != nil {
		return err
	}
	if d.Once {
		return d.round(ctx, sample)
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer w.Close()
	if err := watch(w, d.Dir); err != nil {
		return err
	}
	for {
		if err := d.round(ctx, sample); err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintln(d.Err, report.Bad(report.Inspect(d.Err).Color, err.Error()))
		}
		_, _ = fmt.Fprintf(d.Err, "\nwaiting for changes in %s; Ctrl-C ends\n", d.Dir)
		if err := d.changed(ctx, w); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// left out of watching: what builds write, and what is no source.
func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || filepath.Ext(name) == ".wasm" || name == "node_modules" || name == "target" ||
		strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#")
}

// watch adds a folder and those below it.
func watch(w *fsnotify.Watcher, dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if !e.IsDir() {
			return nil
		}
		if path != dir && ignored(e.Name()) {
			return filepath.SkipDir
		}
		return w.Add(path)
	})
}

// changed waits for a change and then for quiet, or for the end of ctx.
func (d DevPlugin) changed(ctx context.Context, w *fsnotify.Watcher) error {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		case err, ok := <-w.Errors:
			if !ok {
				return nil
			}
			return fmt.Errorf("watching %s: %w", d.Dir, err)
		case e, ok := <-w.Events:
			if !ok {
				return nil
			}
			if ignored(filepath.Base(e.Name)) || e.Op == fsnotify.Chmod {
				continue
			}
			if info, err := os.Stat(e.Name); err == nil && info.IsDir() {
				if err := watch(w, e.Name); err != nil {
					return err
				}
			}
			timer.Reset(quiet)
		}
	}
}

// round builds the plug-in, runs its vectors, shows what it would send, and installs it.
func (d DevPlugin) round(ctx context.Context, sample *plugin.Sample) error {
	start := time.Now()
	pkg, err := openPlugin(ctx, d.Dir, true)
	if err != nil {
		return err
	}
	built := time.Since(start)
	for _, p := range pkg.Check() {
		_, _ = fmt.Fprintf(d.Err, "warning: %s\n", p) // what is more than a warning has ended the round above
	}
	return withEndpoint(ctx, d.Streams, pkg, func(typ *endpoint.Type) error {
		vectors, err := typ.Vectors()
		if err != nil {
			return err
		}
		failed := 0
		for _, v := range vectors {
			if row := runVector(ctx, typ, v); row.Result != resultOK {
				failed++
				if err := row.explain(d.Streams, report.Inspect(d.Out).Color); err != nil {
					return err
				}
			}
		}
		if _, err := fmt.Fprintf(d.Out, "%s %s: built in %.1f s, %s, %d of %d test vectors pass\n", pkg.Name(), pkg.Manifest.Version,
			built.Seconds(), report.Bytes(uint64(len(pkg.Wasm))), len(vectors)-failed, len(vectors)); err != nil {
			return err
		}
		if err := d.show(ctx, typ, sample); err != nil {
			return err
		}
		if failed > 0 {
			return fmt.Errorf("%d of %d test vectors failed", failed, len(vectors))
		}
		if d.Install == "" {
			return nil
		}
		file := filepath.Join(d.Install, pkg.Name()+".wasm")
		if err := writeOut(file, pkg.Wasm); err != nil {
			return err
		}
		_, err = fmt.Fprintf(d.Out, "installed as %s\n", file)
		return err
	})
}

// show prints the requests that the plug-in makes of a sample.
func (d DevPlugin) show(ctx context.Context, typ *endpoint.Type, sample *plugin.Sample) error {
	pkg := typ.Package()
	ep, rc, err := d.parameters(pkg)
	if err != nil {
		return err
	}
	for _, p := range pkg.Lint.Lint(ep, rc) { // made-up values may well be wrong
		if slices.ContainsFunc(d.Set, func(set string) bool { return strings.HasPrefix(set, p.Field+"=") }) {
			_, _ = fmt.Fprintf(d.Err, "warning: %s\n", p)
		}
	}
	ep, rc = pkg.Lint.Fill(ep, rc)
	for _, path := range pkg.Lint.Secrets() {
		part, name, _ := strings.Cut(path, ".")
		m := map[string]map[string]any{"endpoint": ep, "recipient": rc}[part]
		if _, ok := m[name]; ok {
			m[name] = "<" + path + ">" // stands for the placeholder
		}
	}
	text, err := pkg.Render(&sample.Alert, d.Locale, false)
	if err != nil {
		return err
	}
	out, err := typ.Render(ctx, &pdk.RenderInput{
		Now: sample.Alert.Tstamp * 1000, Locale: d.Locale, Endpoint: ep, Recipient: rc,
		Deliveries: []pdk.Delivery{{ID: sample.Alert.ID, Alert: sample.Alert, Text: text.Text, Subject: text.Subject, Attempt: 1}},
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(d.Out, preview(out, fmt.Sprintf("the sample alert %q", sample.Name), func(s string) string { return s }, report.Inspect(d.Out).Color))
	return err
}

// parameters are those of --set, and for others that the plug-in requires made-up ones. A nil package gives the first alone.
func (d DevPlugin) parameters(pkg *plugin.Package) (ep, rc map[string]any, err error) {
	both := map[string]map[string]any{"endpoint": {}, "recipient": {}}
	var fields []plugin.Field
	if pkg != nil {
		fields = pkg.Fields(d.Locale)
	}
	for _, f := range fields {
		if f.Default == nil && f.Required {
			both[f.Part][f.Name] = madeUp(f, pkg.Name())
		}
	}
	for _, set := range d.Set {
		path, value, ok := strings.Cut(set, "=")
		part, name, ok2 := strings.Cut(path, ".")
		if !ok || !ok2 || both[part] == nil || name == "" {
			return nil, nil, usage("--set %s: write endpoint.NAME=VALUE or recipient.NAME=VALUE", set)
		}
		if pkg == nil {
			continue
		}
		i := slices.IndexFunc(fields, func(f plugin.Field) bool { return f.Path() == path })
		if i < 0 {
			return nil, nil, usage("--set %s: the plug-in has no parameter %s", set, path)
		}
		both[part][name], err = parameter(fields[i], value)
		if err != nil {
			return nil, nil, usage("--set %s: %v", set, err)
		}
	}
	return both["endpoint"], both["recipient"], nil
}

// madeUp is a value for a parameter that nobody gave.
func madeUp(f plugin.Field, name string) any {
	switch {
	case len(f.Enum) > 0:
		return f.Enum[0]
	case f.Type == "integer" || f.Type == "number":
		if f.Minimum != nil {
			return *f.Minimum
		}
		return 1.0
	case f.Type == "boolean":
		return false
	case f.Type == "array":
		return []any{"example"}
	case f.Widget == "url":
		return "https://" + name + ".example.org"
	}
	return "example"
}

// parameter reads a value as a parameter's type.
func parameter(f plugin.Field, value string) (any, error) {
	switch f.Type {
	case "integer", "number":
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no number", value)
		}
		return v, nil
	case "boolean":
		if value != "true" && value != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", value)
		}
		return value == "true", nil
	case "array":
		var list []any
		for v := range strings.SplitSeq(value, ",") {
			list = append(list, v)
		}
		return list, nil
	}
	return value, nil
}

// guestLog shows what a plug-in logs to its author.
func guestLog(s Streams) *slog.Logger {
	return slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}
