package plugin

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Parts are the contents of tocsin's own sections.
type Parts struct {
	Manifest, Lint              []byte
	Templates, Locales, Vectors map[string][]byte
	ABI                         string // such as "endpoint 1.0"; empty: the lowest version that has what the manifest asks for
	Sig                         []byte
}

// Pack puts parts into a module, after all of its own sections and in place of any that an earlier Pack put there. The
// same input gives the same bytes. It does not look into the parts; Parse and Check do.
func Pack(wasm []byte, parts Parts) ([]byte, error) {
	m, err := sections(wasm)
	if err != nil {
		return nil, fmt.Errorf("module: %w", err)
	}
	if parts.ABI == "" {
		m, err := loosely(parts.Manifest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fileManifest, err)
		}
		lowest, ok := least(m)
		if !ok {
			return nil, fmt.Errorf("%s: world is %q; it must be \"endpoint\" or \"check\"", fileManifest, m.World)
		}
		parts.ABI = lowest.String()
	}
	out := append(make([]byte, 0, len(wasm)+64<<10), bareModule(wasm, m)...)
	if slot := slotOf(out); slot != nil {
		m, err := loosely(parts.Manifest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fileManifest, err)
		}
		if err := fillSlot(slot, m.Request); err != nil {
			return nil, err
		}
	}
	for _, part := range []struct {
		name  string
		body  []byte
		files map[string][]byte
	}{
		{name: sectionManifest, body: parts.Manifest},
		{name: sectionLint, body: parts.Lint},
		{name: sectionTemplates, files: parts.Templates},
		{name: sectionLocales, files: parts.Locales},
		{name: sectionVectors, files: parts.Vectors},
		{name: sectionABI, body: []byte(parts.ABI)},
		{name: sectionSig, body: parts.Sig},
	} {
		if part.files != nil {
			if part.body, err = writeTar(part.files); err != nil {
				return nil, fmt.Errorf("%s: %w", part.name, err)
			}
		}
		if part.body == nil {
			continue
		}
		if limit := sectionCaps[part.name]; len(part.body) > limit {
			return nil, fmt.Errorf("%s: has %d bytes; it may have %d at most", part.name, len(part.body), limit)
		}
		out = appendSection(out, part.name, part.body)
	}
	if len(out) > maxFile {
		return nil, fmt.Errorf("the plug-in would have %d bytes; it may have %d at most", len(out), maxFile)
	}
	return out, nil
}

// bareModule is the module without tocsin's own sections.
func bareModule(wasm []byte, m *module) []byte {
	bare := append(make([]byte, 0, len(wasm)), wasm[:8]...)
	for _, s := range m.sections {
		if s.id != 0 || !strings.HasPrefix(s.name, sectionPrefix) {
			bare = append(bare, wasm[s.start:s.end]...)
		}
	}
	return bare
}

func appendSection(b []byte, name string, body []byte) []byte {
	n := appendU32(nil, uint32(len(name)))
	b = append(b, 0)
	b = appendU32(b, uint32(len(n)+len(name)+len(body)))
	b = append(append(b, n...), name...)
	return append(b, body...)
}

// appendU32 writes an unsigned LEB128 number.
func appendU32(b []byte, v uint32) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// Module is the module without tocsin's own sections: what Pack was given.
func (p *Package) Module() []byte {
	bare := bareModule(p.Wasm, p.module)
	if slot := slotOf(bare); slot != nil {
		_ = fillSlot(slot, nil) // nothing fits everywhere
	}
	return bare
}

// Signed gives the SHA-256 of what the signature is for: every byte before the section tocsin.sig, which is the last. It is
// not verified. The second result is false if there is no signature.
func (p *Package) Signed() (covers [32]byte, ok bool) {
	s, ok := p.module.own[sectionSig]
	if !ok {
		return covers, false
	}
	return sha256.Sum256(p.Wasm[:s.start]), true
}

// Parts are the contents of the package's sections, which Pack makes the same file of.
func (p *Package) Parts() Parts {
	own := p.module.own
	parts := Parts{
		Manifest: own[sectionManifest].body, Lint: own[sectionLint].body,
		Templates: p.Templates, Locales: p.Locales, Vectors: p.Vectors,
		ABI: string(own[sectionABI].body), Sig: p.Sig,
	}
	return parts
}

// Unpack writes the package as a development folder, which must not exist yet or be empty. PackDir makes the same bytes of
// it, if Pack made the package.
func (p *Package) Unpack(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err != nil {
		return err
	} else if len(entries) > 0 {
		return fmt.Errorf("%s is not empty; name a folder that does not exist yet", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	parts := p.Parts()
	files := map[string][]byte{
		fileManifest: parts.Manifest, fileLint: parts.Lint, fileABI: []byte(parts.ABI), fileSig: parts.Sig, fileModule: p.Module(),
	}
	for folder, list := range map[string]map[string][]byte{
		dirTemplates: parts.Templates, dirLocales: parts.Locales, dirVectors: parts.Vectors,
	} {
		for name, body := range list {
			files[folder+"/"+name] = append([]byte{}, body...)
		}
	}
	for name, body := range files {
		if body == nil {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, body, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// ReadDir reads the parts of a development folder. Files it does not know are errors, so that a misspelt name is not
// silently left out; README files, modules and names that begin with a dot are let be.
func ReadDir(dir string) (Parts, error) {
	parts, strange, err := readDir(dir)
	if err != nil {
		return Parts{}, err
	}
	for _, p := range strange {
		err = errors.Join(err, fmt.Errorf("%s: %s %s", dir, p.Where, p.Message))
	}
	if err != nil {
		return Parts{}, err
	}
	return parts, nil
}

// readDir does what ReadDir does, but for files it does not know, which are problems.
func readDir(dir string) (Parts, []Problem, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Parts{}, nil, err
	}
	defer root.Close()
	var (
		parts   Parts
		strange []Problem
	)
	known := []string{fileManifest, fileLint, fileABI, fileSig, dirTemplates, dirLocales, dirVectors}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return Parts{}, nil, fmt.Errorf("%s: %w", dir, err)
	}
	for _, e := range entries {
		name := e.Name()
		switch name {
		case fileManifest:
			parts.Manifest, err = readPart(root, name, sectionCaps[sectionManifest])
		case fileLint:
			parts.Lint, err = readPart(root, name, sectionCaps[sectionLint])
		case fileSig:
			parts.Sig, err = readPart(root, name, sectionCaps[sectionSig])
		case fileABI:
			var b []byte
			b, err = readPart(root, name, sectionCaps[sectionABI])
			parts.ABI = string(b)
		case dirTemplates:
			parts.Templates, err = readParts(root, name, sectionCaps[sectionTemplates])
		case dirLocales:
			parts.Locales, err = readParts(root, name, sectionCaps[sectionLocales])
		case dirVectors:
			parts.Vectors, err = readParts(root, name, sectionCaps[sectionVectors])
		default:
			if name[0] != '.' && path.Ext(name) != ".wasm" && !strings.HasPrefix(strings.ToLower(name), "readme") {
				p := Problem{Where: strict.OneLine(name), Message: "is no part of a plug-in; "}
				if near := strict.Nearest(name, known); near != "" {
					p.Message += fmt.Sprintf("did you mean %q?", near)
				} else {
					p.Message += "the parts are " + strings.Join(known, ", ")
				}
				strange = append(strange, p)
			}
		}
		if err != nil {
			return Parts{}, nil, fmt.Errorf("%s: %w", dir, err)
		}
	}
	if parts.Manifest == nil {
		return Parts{}, strange, fmt.Errorf("%s: %s is missing; every plug-in needs one", dir, fileManifest)
	}
	return parts, strange, nil
}

func readPart(root *os.Root, name string, limit int) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s: is larger than %d bytes, the most it may have", name, limit)
	}
	return b, nil
}

func readParts(root *os.Root, dir string, limit int) (map[string][]byte, error) {
	var files map[string][]byte
	err := fs.WalkDir(root.FS(), dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		if len(files) >= maxEntries {
			return fmt.Errorf("%s: holds more than %d files", dir, maxEntries)
		}
		b, err := readPart(root, name, limit)
		if err != nil {
			return err
		}
		if limit -= len(b); files == nil {
			files = map[string][]byte{}
		}
		files[strings.TrimPrefix(name, dir+"/")] = b
		return nil
	})
	return files, err
}

// PackDir packs a module with the files of a development folder.
func PackDir(dir string, wasm []byte) ([]byte, error) {
	parts, err := ReadDir(dir)
	if err != nil {
		return nil, err
	}
	packed, err := Pack(wasm, parts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return packed, nil
}

// packFolder packs a development folder with the one module in it.
func packFolder(dir string) ([]byte, error) {
	_, wasm, err := folderModule(dir)
	if err != nil {
		return nil, err
	}
	packed, err := PackDir(dir, wasm)
	var outside *fs.PathError
	if err != nil && !errors.As(err, &outside) {
		return nil, &Invalid{dir, []Problem{{Message: strings.ReplaceAll(err.Error(), dir+": ", "")}}}
	}
	return packed, err
}

// folderModule reads the one module of a folder. The first result is false for a path that is no folder.
func folderModule(path string) (bool, []byte, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return false, nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return true, nil, err
	}
	var modules []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".wasm" {
			modules = append(modules, filepath.Join(path, e.Name()))
		}
	}
	switch len(modules) {
	case 0:
		return true, nil, &Invalid{path, []Problem{{Message: "the folder holds no .wasm file; build the module into it"}}}
	case 1:
	default:
		return true, nil, &Invalid{path, []Problem{{Message: fmt.Sprintf("the folder holds %d .wasm files, %s and others; leave one in it",
			len(modules), filepath.Base(modules[0]))}}}
	}
	wasm, err := readCapped(modules[0])
	return true, wasm, err
}
