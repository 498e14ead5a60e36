package plugin

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Package is a plug-in as read from its file. It is not changed after Parse, so it may be used by several goroutines.
type Package struct {
	Path     string // the file or folder it was read from, or the name given to Parse
	Manifest *Manifest
	ABI      ABI
	Lint     *Schema // never nil; without parameters where the package has no lint section
	// Templates, Locales and Vectors are the files of these sections by name.
	Templates, Locales, Vectors map[string][]byte
	Sig                         []byte   // reserved for a signature; nil if there is none
	Wasm                        []byte   // the whole file
	Hash                        [32]byte // SHA-256 of Wasm
	Imports                     []Import
	Exports                     []Export
	// Zone is the time zone of times in messages; nil means UTC. Set it before the package is used by others.
	Zone *time.Location

	module  *module
	words   *words
	message *message
	forms   map[string]*formTemplate // by part; nil for one with problems
	// formProblems are what is wrong with the forms. They are no reason to refuse the file before Check.
	formProblems []Problem
	guides       sync.Map // of template.HTML by language
	// found holds what Parse found.
	found []Problem
	// unread are the mistakes of form in the manifest; nil if there are none.
	unread *strict.Error

	check    sync.Once
	problems []Problem
}

// The names of a package's parts in the development form, a folder.
const (
	fileManifest = "manifest.toml"
	fileLint     = "lint.schema.json"
	fileABI      = "abi"
	fileSig      = "sig"
	fileModule   = "module.wasm"
	dirTemplates = "templates"
	dirLocales   = "locales"
	dirVectors   = "vectors"
)

// Open reads a package from a .wasm file, or from a development folder with manifest.toml and one module. It runs nothing.
// A broken package gives an *Invalid that lists everything wrong with it; see Parse.
func Open(path string) (*Package, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		wasm, err := packFolder(path)
		if err != nil {
			return nil, err
		}
		return Parse(path, wasm)
	}
	wasm, err := readCapped(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, wasm)
}

func readCapped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &Invalid{path, []Problem{{Message: "this is no plain file"}}}
	}
	b := make([]byte, 0, min(info.Size(), maxFile)+1)
	for {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > maxFile {
			return nil, &Invalid{path, []Problem{{Message: fmt.Sprintf("the file is larger than %d bytes, the most a plug-in may have", maxFile)}}}
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, min(len(b)+512, maxFile+1-len(b)))
		}
	}
}

// Load opens a package and checks all of it, templates included. Its error is an *Invalid with every problem that is more
// than a warning. What is loaded to be used goes through it.
func Load(path string) (*Package, error) {
	p, err := Open(path)
	if err != nil {
		return nil, err
	}
	if err := invalid(path, p.Check()); err != nil {
		return nil, err
	}
	return p, nil
}

// Parse reads a package from the bytes of its file. The name appears in errors. Nothing is run: sections are capped in size
// and read, the manifest and the lint schema decoded, templates and locales parsed. The error is an *Invalid. Parse keeps
// wasm, which must not be changed any more.
func Parse(name string, wasm []byte) (*Package, error) { return ParseFor(name, wasm, spoken) }

// ParseFor is Parse for a host that speaks other interfaces than this one. A package that needs one which is not among
// them is refused before anything else of it is read.
func ParseFor(name string, wasm []byte, speaks ABIs) (*Package, error) {
	p, problems, err := read(name, wasm, speaks)
	if err != nil {
		return nil, err
	}
	if err := invalid(name, problems); err != nil {
		return nil, err
	}
	return p, nil
}

// read reads what can be read of a package, and lists what is wrong with it. Its words are nil if it is none for this host.
func read(name string, wasm []byte, speaks ABIs) (*Package, []Problem, error) {
	p := &Package{Path: name, Wasm: wasm}
	m, err := sections(wasm)
	if err != nil {
		return nil, nil, &Invalid{name, []Problem{{Message: err.Error()}}}
	}
	p.module, p.Imports, p.Exports = m, m.imports, m.exports
	p.Hash = sha256.Sum256(wasm)
	return p, p.read(speaks), nil
}

// read decodes tocsin's own sections and returns all that is wrong with them.
func (p *Package) read(speaks ABIs) []Problem {
	own := p.module.own
	if _, ok := own[sectionManifest]; !ok {
		if len(own) == 0 {
			return []Problem{{Message: "this module is no tocsin plug-in: it has no tocsin.manifest section; make one with " +
				"tocsin plugin pack"}}
		}
		return []Problem{{Message: "the tocsin.manifest section is missing; pack the plug-in again with its manifest.toml"}}
	}
	var problems []Problem
	note := func(list ...Problem) { problems = append(problems, list...) }

	bad, known := p.readABI(own, speaks)
	if !known {
		return bad
	}
	p.Manifest = &Manifest{}
	err := strict.Decode(fileManifest, own[sectionManifest].body, p.Manifest)
	p.unread, _ = errors.AsType[*strict.Error](err)
	note(tomlProblems(fileManifest, err)...)
	p.Manifest.defaults()
	note(bad...)
	note(p.tooLow()...)
	if p.module.strange != nil {
		note(Problem{Message: p.module.strange.Error()})
	}
	if s, ok := own[sectionLint]; ok {
		schema, bad := parseSchema(s.body)
		p.Lint = schema
		note(bad...)
	} else {
		p.Lint = noParameters()
		if p.ABI.World == "endpoint" {
			note(Problem{Where: sectionLint, Message: "the section is missing; write lint.schema.json, if only with empty parameters"})
		}
	}
	for _, part := range []struct {
		section string
		files   *map[string][]byte
	}{{sectionTemplates, &p.Templates}, {sectionLocales, &p.Locales}, {sectionVectors, &p.Vectors}} {
		s, ok := own[part.section]
		if !ok {
			continue
		}
		files, err := readTar(s.body)
		if err != nil {
			note(Problem{Where: part.section, Message: err.Error()})
			continue
		}
		*part.files = files
	}
	if s, ok := own[sectionSig]; ok {
		p.Sig = s.body
	}
	var list []Problem
	p.words, list = parseWords(p.Locales, p.Manifest, p.Lint)
	note(list...)
	p.message, list = parseMessage(p.Templates, p.Manifest.Message, p.words)
	note(list...)
	p.forms, p.formProblems = parseForms(p.Templates, p.words, p.Lint)
	p.found = problems
	return problems
}

// tomlProblems turns the mistakes that package strict lists into problems.
func tomlProblems(where string, err error) []Problem {
	if err == nil {
		return nil
	}
	var e *strict.Error
	if !errors.As(err, &e) {
		return []Problem{{Where: where, Message: err.Error()}}
	}
	var list []Problem
	for _, m := range e.Mistakes {
		list = append(list, Problem{Where: where, Line: m.Line, Field: strict.OneLine(cmp.Or(m.Path, m.Key)), Message: m.Message})
	}
	return list
}

// Name is the endpoint type that users write, such as "telegram".
func (p *Package) Name() string { return p.Manifest.Name }
