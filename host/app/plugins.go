package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/report"
)

// BuildPlugins builds first-party plug-ins of the clone that the working folder lies in; without names, all.
func BuildPlugins(ctx context.Context, s Streams, names []string, out string) error {
	if len(names) == 0 {
		_, err := build.All(ctx, ".", out, s.Err)
		return err
	}
	root, err := build.Root(".")
	if err != nil {
		return err
	}
	known, err := build.Names(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strict.Nearest(name, known) != name {
			text := fmt.Sprintf("there is no plug-in %q: it is one of %s", name, strings.Join(known, ", "))
			if near := strict.Nearest(name, known); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			return usage("%s", text)
		}
		b, err := build.One(ctx, root, name, out)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(s.Err, "plug-in %-12s %s, %s\n", b.Name, b.Path, report.Bytes(uint64(b.Size)))
	}
	return nil
}

// PackPlugin puts the files of a development folder into a module. Without a module it is the one that plug-ins without code
// share, built from the clone that the working folder lies in. Where out is a folder, or ends like one, the file in it is
// named after the plug-in; folders are made.
func PackPlugin(ctx context.Context, s Streams, module, dir, out string) error {
	var wasm []byte
	var err error
	named := module
	if module == "" {
		if wasm, err = build.Shared(ctx, "."); errors.Is(err, build.ErrNoSource) {
			err = fmt.Errorf("%w; elsewhere name a module: any plug-in of this kind serves, such as plugins.d/ntfy.wasm", err)
		}
		module = "the shared module"
	} else {
		wasm, err = os.ReadFile(module)
	}
	if err != nil {
		return err
	}
	if err := there(dir); err != nil {
		return err
	}
	packed, err := plugin.PackDir(dir, wasm)
	if err != nil {
		return err
	}
	p, err := plugin.Parse(cmp.Or(named, dir), packed)
	if err != nil {
		return err
	}
	if err := aboutSignature(s, module, wasm, dir, p); err != nil {
		return err
	}
	if info, err := os.Stat(out); out == "" || os.IsPathSeparator(out[len(out)-1]) || err == nil && info.IsDir() {
		out = filepath.Join(out, p.Name()+".wasm")
	}
	if err := writeOut(out, packed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s: %s, sha256 %x\n", out, report.Bytes(uint64(len(packed))), p.Hash)
	return err
}

// aboutSignature tells what became of signatures when a package was made. There is none that this host could verify or make.
func aboutSignature(s Streams, module string, wasm []byte, dir string, p *plugin.Package) error {
	covers, signed := p.Signed()
	switch old, err := plugin.Parse(module, wasm); {
	case signed:
		_, err := fmt.Fprintf(s.Err, "%s was put last, as it stands: it holds if it was made for the content with sha256 %x\n", filepath.Join(dir, "sig"), covers)
		return err
	case err == nil && old.Sig != nil:
		_, err := fmt.Fprintf(s.Err, "%s was signed; the signature was for that file and is left out: sign the new one\n", module)
		return err
	}
	return nil
}

// UnpackPlugin writes a plug-in as a development folder.
func UnpackPlugin(s Streams, file, dir string) error {
	if err := there(file); err != nil {
		return err
	}
	p, err := plugin.Open(file)
	if err != nil {
		return err
	}
	if err := p.Unpack(dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s %s is in %s\n", p.Name(), p.Manifest.Version, dir)
	return err
}

// LintPlugins prints every mistake of the given packages, which may be author's folders that are built; the error says how many packages cannot be used.
func LintPlugins(s Streams, paths []string) error {
	for _, path := range paths {
		if err := there(path); err != nil {
			return err
		}
	}
	broken := 0
	for _, path := range paths {
		problems := checkPlugin(path)
		bad := false
		for _, p := range problems {
			kind := "error"
			if p.Warning {
				kind = "warning"
			}
			bad = bad || !p.Warning
			p.Warning = false // said already
			if _, err := fmt.Fprintf(s.Out, "%s: %s: %s\n", path, kind, p); err != nil {
				return err
			}
		}
		switch {
		case bad:
			broken++
		case len(problems) == 0:
			if _, err := fmt.Fprintf(s.Out, "%s: fine\n", path); err != nil {
				return err
			}
		}
	}
	if broken > 0 {
		return fmt.Errorf("%d of %d plug-ins cannot be used", broken, len(paths))
	}
	return nil
}
