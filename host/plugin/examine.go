package plugin

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
)

// CheckFile reads the package at path, a file or a development folder with one module, and returns all that is wrong with it,
// errors and warnings. A mistake in one part does not hide those in the others. The package is nil if it cannot be read.
func CheckFile(path string) (*Package, []Problem) {
	dir, module, err := folderModule(path)
	switch {
	case err != nil && dir:
		p, problems := CheckDir(path, nil)
		if p != nil && p.Manifest.Request != nil {
			return p, problems // it is packed with the shared module
		}
		return nil, append(listed(path, err), problems...)
	case err != nil:
		return nil, listed(path, err)
	case dir:
		return CheckDir(path, module)
	}
	wasm, err := readCapped(path)
	if err != nil {
		return nil, listed(path, err)
	}
	return examine(path, wasm, nil)
}

// noModule is the smallest WebAssembly module, which stands in for one that is not built yet.
var noModule = []byte("\x00asm\x01\x00\x00\x00")

// OpenDir reads a package of a development folder and a module from elsewhere. Without a module, nil, the package cannot be run,
// but shown. A broken package gives an *Invalid.
func OpenDir(dir string, wasm []byte) (*Package, error) {
	if wasm == nil {
		wasm = noModule
	}
	packed, err := PackDir(dir, wasm)
	if err != nil {
		return nil, err
	}
	return Parse(dir, packed)
}

// CheckDir does what CheckFile does, of a development folder and a module from elsewhere; nil means that there is none, and that
// nothing is to be said about it.
func CheckDir(dir string, wasm []byte) (*Package, []Problem) {
	if wasm == nil {
		p, problems := CheckDir(dir, noModule)
		return p, slices.DeleteFunc(problems, func(p Problem) bool { return p.Where == fileModule })
	}
	parts, strange, err := readDir(dir)
	if err != nil {
		return nil, listed(dir, err)
	}
	if parts.ABI == "" {
		// A manifest whose world cannot be read is told by the check, not by Pack.
		if m, err := loosely(parts.Manifest); err != nil {
			parts.ABI = spoken[0].String()
		} else if _, ok := least(m); !ok {
			parts.ABI = spoken[0].String()
		}
	}
	packed, err := Pack(wasm, parts)
	if err != nil {
		return nil, slices.Concat(strange, listed(dir, err))
	}
	return examine(dir, packed, strange)
}

// listed turns an error into problems.
func listed(path string, err error) []Problem {
	if bad, ok := errors.AsType[*Invalid](err); ok {
		return bad.Problems
	}
	return []Problem{{Message: strings.TrimPrefix(err.Error(), path+": "), Where: filepath.Base(path)}}
}

// examine reads a package and checks as much of it as can be read.
func examine(name string, wasm []byte, found []Problem) (*Package, []Problem) {
	p, problems, err := read(name, wasm, spoken)
	if err != nil {
		return nil, append(found, listed(name, err)...)
	}
	broken := hasErrors(found) || hasErrors(problems)
	if p.words != nil { // else what is there is not for this host
		problems = p.Check()
	}
	problems = order(slices.Concat(found, problems))
	if broken {
		p = nil
	}
	return p, problems
}

// order puts problems in the order of the package's files and of lines, warnings last.
func order(problems []Problem) []Problem {
	rank := func(p Problem) int {
		folder, _, _ := strings.Cut(p.Where, "/")
		i := slices.Index([]string{fileManifest, fileLint, dirTemplates, dirLocales, dirVectors, fileModule}, folder)
		if p.Warning {
			i += 100
		}
		return i
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if d := strings.Compare(a.Where, b.Where); d != 0 {
			return d
		}
		if a.Line == 0 || b.Line == 0 {
			return 0
		}
		return a.Line - b.Line
	})
	return problems
}
