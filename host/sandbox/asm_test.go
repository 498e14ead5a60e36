package sandbox

import "slices"

// This file assembles small modules for tests, by hand: https://webassembly.github.io/spec/core/binary/.

const (
	tI32, tI64 = 0x7f, 0x7e

	opUnreachable, opLoop, opEnd, opBr, opCall, opDrop    = 0x00, 0x03, 0x0b, 0x0c, 0x10, 0x1a
	opLocalGet, opLocalSet, opI32Const, opI64Const, opEqz = 0x20, 0x21, 0x41, 0x42, 0x45
	opI64Add, opGrow, opBrIf, opExtend                    = 0x7c, 0x40, 0x0d, 0xad
	void                                                  = 0x40
)

type asm struct {
	imports []imp
	// body is the code of the export "render", of type () -> i32, with two i64 locals; no closing end. Function 0 to
	// len(imports)-1 are the imports, len(imports) is render itself.
	body     []byte
	start    bool   // run a function of "unreachable" at start
	memory   []byte // limits; default one page
	data     []byte // placed at address 0
	custom   [][]byte
	noMemory bool
}

type imp struct {
	module, name    string
	params, results []byte
}

func ext(name string) imp {
	t := envTypes[name]
	return imp{envModule, name, t.params, t.results}
}

func bulk(name string) imp {
	t := bulkTypes[name]
	return imp{ourModule, name, t.params, t.results}
}

func wasi(name string, params ...byte) imp { return imp{wasiModule, name, params, []byte{tI32}} }

func u(n int) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// sn is a signed LEB128 number.
func sn(n int64) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func i32c(n int64) []byte { return append([]byte{opI32Const}, sn(n)...) }
func i64c(n int64) []byte { return append([]byte{opI64Const}, sn(n)...) }
func callFn(n int) []byte { return append([]byte{opCall}, u(n)...) }

func code(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

func str(s string) []byte { return append(u(len(s)), s...) }

func section(id byte, items ...[]byte) []byte {
	body := u(len(items))
	for _, i := range items {
		body = append(body, i...)
	}
	return append(append([]byte{id}, u(len(body))...), body...)
}

func customSection(name string, data []byte) []byte {
	body := append(str(name), data...)
	return append(append([]byte{0}, u(len(body))...), body...)
}

func (a asm) bytes() []byte {
	types := [][]byte{{0x60, 0, 1, tI32}, {0x60, 0, 0}}
	var imports [][]byte
	for _, i := range a.imports {
		types = append(types, slices.Concat([]byte{0x60}, u(len(i.params)), i.params, u(len(i.results)), i.results))
		imports = append(imports, slices.Concat(str(i.module), str(i.name), []byte{0}, u(len(types)-1)))
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, types...)...)
	if len(imports) > 0 {
		out = append(out, section(2, imports...)...)
	}
	funcs := [][]byte{{0}}
	render := slices.Concat(u(1), u(2), []byte{tI64}, a.body, []byte{opEnd})
	bodies := [][]byte{append(u(len(render)), render...)}
	if a.start {
		funcs = append(funcs, []byte{1})
		bodies = append(bodies, []byte{3, 0, opUnreachable, opEnd})
	}
	out = append(out, section(3, funcs...)...)
	exports := [][]byte{slices.Concat(str("render"), []byte{0}, u(len(a.imports)))}
	if !a.noMemory {
		if a.memory == nil {
			a.memory = []byte{0, 1}
		}
		out = append(out, section(5, a.memory)...)
		exports = append(exports, slices.Concat(str("memory"), []byte{2, 0}))
	}
	out = append(out, section(7, exports...)...)
	if a.start {
		out = append(out, append([]byte{8}, append(u(1), u(len(a.imports)+1)...)...)...)
	}
	out = append(out, section(10, bodies...)...)
	if a.data != nil {
		out = append(out, section(11, slices.Concat([]byte{0}, i32c(0), []byte{opEnd}, u(len(a.data)), a.data))...)
	}
	for _, c := range a.custom {
		out = append(out, c...)
	}
	return out
}
