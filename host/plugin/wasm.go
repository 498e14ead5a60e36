package plugin

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Import is something a module wants from its host.
type Import struct {
	Module, Name string
	Kind         string // func, table, memory, global, tag
}

// Export is something a module offers.
type Export struct {
	Name string
	Kind string // func, table, memory, global, tag
}

// Sizes that a module may have at most. They bound what is read of a hostile file, long before anything is compiled.
const (
	maxFile    = 64 << 20
	maxImports = 1000
	maxExports = 1000
	maxName    = 1 << 10
)

// sectionCaps are the sizes that tocsin's own sections may have.
var sectionCaps = map[string]int{
	sectionManifest:  128 << 10,
	sectionLint:      256 << 10,
	sectionTemplates: 512 << 10,
	sectionLocales:   1 << 20,
	sectionVectors:   8 << 20,
	sectionABI:       64,
	sectionSig:       64 << 10,
}

// The sections that make a module a plug-in.
const (
	sectionPrefix    = "tocsin."
	sectionManifest  = "tocsin.manifest"
	sectionLint      = "tocsin.lint"
	sectionTemplates = "tocsin.templates"
	sectionLocales   = "tocsin.locales"
	sectionVectors   = "tocsin.vectors"
	sectionABI       = "tocsin.abi"
	sectionSig       = "tocsin.sig"
)

// A section of a WebAssembly file; see the WebAssembly Core Specification 2.0, 5.5.2.
type section struct {
	id         byte
	name       string // of a custom section
	start, end int    // of the whole section with its header
	body       []byte // after the name
	bodyAt     int
}

// formatError says what is wrong with a file and where.
type formatError struct {
	section string
	offset  int // in the file; -1 if it does not matter
	message string
}

func (e *formatError) Error() string {
	s := e.message
	if e.offset >= 0 {
		s = fmt.Sprintf("at byte %d: %s", e.offset, s)
	}
	if e.section != "" {
		s = "section " + e.section + ": " + s
	}
	return s
}

// module is what sections finds in a file.
type module struct {
	sections []section
	own      map[string]section // the tocsin.* sections
	imports  []Import
	exports  []Export
	// strange is the first tocsin.* section that this host does not know. It is no fault of a module that needs a newer host.
	strange *formatError
}

// sections reads the outline of a WebAssembly file. It decodes the import and export sections and no other code.
func sections(file []byte) (*module, error) {
	if len(file) > maxFile {
		return nil, &formatError{offset: -1, message: fmt.Sprintf("the file has %d bytes; a plug-in may have %d at most", len(file), maxFile)}
	}
	if len(file) < 8 || string(file[:4]) != "\x00asm" {
		return nil, &formatError{offset: -1, message: "this is no WebAssembly module" + looksLike(file)}
	}
	if layer := [2]byte(file[6:8]); layer == [2]byte{1, 0} {
		return nil, &formatError{offset: 4, message: "this is a WebAssembly component, but tocsin takes core modules; build " +
			"for wasip1 instead of wasip2, or take the core module out with wasm-tools component unbundle"}
	}
	if !bytes.Equal(file[4:8], []byte{1, 0, 0, 0}) {
		return nil, &formatError{offset: 4, message: fmt.Sprintf("WebAssembly version % x is unknown; tocsin reads version 1", file[4:8])}
	}
	m := &module{own: map[string]section{}}
	r := reader{file: file, pos: 8, end: len(file)}
	for r.pos < r.end {
		s, err := m.next(&r)
		if err != nil {
			return nil, err
		}
		m.sections = append(m.sections, s)
	}
	return m, nil
}

// next reads one section and checks what must hold of it.
func (m *module) next(r *reader) (section, error) {
	s := section{start: r.pos}
	s.id = r.byte()
	r.section = sectionName(s.id)
	size := r.u32()
	if r.err == nil && int64(size) > int64(r.end-r.pos) {
		r.fail(s.start, fmt.Sprintf("claims %d bytes but only %d are left; the file is cut short or corrupt", size, r.end-r.pos))
	}
	if r.err != nil {
		return s, r.err
	}
	s.end = r.pos + int(size)
	in := reader{file: r.file, pos: r.pos, end: s.end, section: r.section}
	if sig, ok := m.own[sectionSig]; ok {
		in.fail(s.start, fmt.Sprintf("stands after %s, which began at byte %d and must be the last; the file was changed after "+
			"it was signed", sectionSig, sig.start))
	}
	switch s.id {
	case 0:
		s.name = in.name()
		in.section = s.name
		s.bodyAt = in.pos
		if in.err == nil {
			s.body = r.file[in.pos:s.end]
			m.custom(&in, s)
		}
	case 2:
		m.imports = in.imports()
	case 7:
		m.exports = in.exports()
	default:
		if s.id > 13 {
			in.section = ""
			in.fail(s.start, fmt.Sprintf("section id %d is unknown; the file is corrupt", s.id))
		}
	}
	r.pos = s.end
	return s, in.err
}

// custom checks one of tocsin's own sections and takes note of it; it lets all others be.
func (m *module) custom(in *reader, s section) {
	if !strings.HasPrefix(s.name, sectionPrefix) {
		return
	}
	limit, known := sectionCaps[s.name]
	if !known {
		if m.strange == nil {
			m.strange = &formatError{s.name, s.start, "this host does not know the section; a newer tocsin may, or the name is misspelt"}
		}
		return
	}
	if len(s.body) > limit {
		in.fail(s.start, fmt.Sprintf("has %d bytes; it may have %d at most", len(s.body), limit))
	}
	if before, ok := m.own[s.name]; ok {
		in.fail(s.start, fmt.Sprintf("stands twice; the first is at byte %d", before.start))
	}
	m.own[s.name] = s
}

func sectionName(id byte) string {
	names := []string{
		"custom", "type", "import", "function", "table", "memory", "global", "export", "start", "element", "code",
		"data", "data count", "tag",
	}
	if int(id) < len(names) {
		return names[id]
	}
	return fmt.Sprintf("%d", id)
}

// reader decodes part of a file. The first error stays and makes everything after it zero.
type reader struct {
	file     []byte
	pos, end int
	section  string
	err      error
}

func (r *reader) fail(at int, message string) {
	if r.err == nil {
		r.err = &formatError{section: r.section, offset: at, message: message}
	}
}

func (r *reader) byte() byte {
	if r.err != nil || r.pos >= r.end {
		r.fail(r.pos, "ends in the middle; the file is cut short or corrupt")
		return 0
	}
	r.pos++
	return r.file[r.pos-1]
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	at := r.pos
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	r.fail(at, "a number is longer than 32 bits; the file is corrupt")
	return 0
}

// name reads a name: a length and that many bytes of UTF-8.
func (r *reader) name() string {
	at := r.pos
	n := r.u32()
	if r.err != nil {
		return ""
	}
	if int64(n) > int64(r.end-r.pos) {
		r.fail(at, fmt.Sprintf("a name of %d bytes does not fit in the section; the file is corrupt", n))
		return ""
	}
	if n > maxName {
		r.fail(at, fmt.Sprintf("a name has %d bytes; it may have %d at most", n, maxName))
		return ""
	}
	s := string(r.file[r.pos : r.pos+int(n)])
	r.pos += int(n)
	if !utf8.ValidString(s) {
		r.fail(at, "a name is not valid UTF-8; the file is corrupt")
		return ""
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		r.fail(at, fmt.Sprintf("the name %q holds a control character", s))
		return ""
	}
	return s
}

var kinds = []string{"func", "table", "memory", "global", "tag"}

func (r *reader) kind() byte {
	at := r.pos
	k := r.byte()
	if r.err == nil && int(k) >= len(kinds) {
		r.fail(at, fmt.Sprintf("%d is no kind of import or export", k))
		return 0
	}
	return k
}

func (r *reader) count(most int, what string) int {
	at := r.pos
	n := r.u32()
	if r.err == nil && int64(n) > int64(most) {
		r.fail(at, fmt.Sprintf("has %d %s; a plug-in may have %d at most", n, what, most))
		return 0
	}
	return int(n)
}

func (r *reader) imports() []Import {
	n := r.count(maxImports, "imports")
	list := make([]Import, 0, min(n, 64))
	for range n {
		var im Import
		im.Module = r.name()
		im.Name = r.name()
		k := r.kind()
		im.Kind = kinds[k]
		switch k {
		case 0:
			r.u32()
		case 1:
			r.valueType()
			r.limits()
		case 2:
			r.limits()
		case 3:
			r.valueType()
			r.byte()
		case 4:
			r.byte()
			r.u32()
		}
		if r.err != nil {
			return nil
		}
		list = append(list, im)
	}
	r.done()
	return list
}

func (r *reader) exports() []Export {
	n := r.count(maxExports, "exports")
	list := make([]Export, 0, min(n, 64))
	for range n {
		ex := Export{Name: r.name()}
		ex.Kind = kinds[r.kind()]
		r.u32()
		if r.err != nil {
			return nil
		}
		list = append(list, ex)
	}
	r.done()
	return list
}

// valueType skips a value type. Typed references carry a heap type after them.
func (r *reader) valueType() {
	if b := r.byte(); b == 0x63 || b == 0x64 {
		r.u32()
	}
}

// limits skips the limits of a table or memory.
func (r *reader) limits() {
	flags := r.byte()
	if flags&4 != 0 {
		r.fail(r.pos-1, "a memory of 64 bits is not supported; build the plug-in for wasm32")
		return
	}
	r.u32()
	if flags&1 != 0 {
		r.u32()
	}
}

func (r *reader) done() {
	if r.err == nil && r.pos != r.end {
		r.fail(r.pos, fmt.Sprintf("%d bytes are left over; the file is corrupt", r.end-r.pos))
	}
}

// looksLike tells what a file that is no module seems to be.
func looksLike(file []byte) string {
	if len(file) == 0 {
		return ": the file is empty"
	}
	if strings.HasPrefix("\x00asm\x01\x00\x00\x00", string(file)) {
		return fmt.Sprintf(": the file has %d bytes only, so it is cut short", len(file))
	}
	for _, k := range []struct{ magic, what string }{
		{"\x7fELF", "a Linux program; build it with GOOS=wasip1 GOARCH=wasm, or your language's WebAssembly target"},
		{"MZ", "a Windows program; build it for WebAssembly"},
		{"\xcf\xfa\xed\xfe", "a macOS program; build it for WebAssembly"},
		{"\x1f\x8b", "a gzip file; unpack it first"},
		{"PK\x03\x04", "a zip file; unpack it first"},
		{"(module", "WebAssembly text; translate it with wat2wasm"},
		{"(component", "WebAssembly text of a component, but tocsin takes core modules"},
		{"!<arch>", "an archive; with Go, a main package and -buildmode=c-shared are needed"},
		{"\xd4\xc3\xb2\xa1", "a packet capture; read it with tocsin run -r"},
		{"\xa1\xb2\xc3\xd4", "a packet capture; read it with tocsin run -r"},
		{"\x0a\x0d\x0d\x0a", "a packet capture; read it with tocsin run -r"},
		{"#!", "a script; to run scripts use the shell endpoint"},
		{"<!DOCTYPE", "an HTML page; the download has probably failed"},
		{"<html", "an HTML page; the download has probably failed"},
		{"version https://git-lfs", "a Git LFS pointer; fetch the file with git lfs pull"},
		{"{", "JSON"},
	} {
		if len(file) >= len(k.magic) && strings.EqualFold(string(file[:len(k.magic)]), k.magic) {
			return ": it looks like " + k.what
		}
	}
	head := file[:min(len(file), 8)]
	return fmt.Sprintf(": it begins with % x", head)
}
