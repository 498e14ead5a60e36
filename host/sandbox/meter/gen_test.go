package meter_test

import (
	"encoding/binary"
	"math/rand/v2"
)

// This file makes random modules that are valid by construction. Their memory is exported as "memory", their variables as "g0" to "g3",
// their functions as "f0" and so on, each with two parameters of type i32.

const (
	i32, i64, f32, f64, v128 = 0x7f, 0x7e, 0x7d, 0x7c, 0x7b
	void                     = 0x40
)

// signature of a function or a block.
type signature struct{ params, results []byte }

// label is what a branch may lead to.
type label struct {
	types []byte // of the values that it takes
	loop  bool
}

type generator struct {
	r      *rand.Rand
	b      []byte
	types  []signature
	funcs  []int // types
	locals []byte
	labels []label
	result []byte // of the function
	budget int    // instructions left, about
}

var valueTypes = []byte{i32, i64, f32, f64, v128}

func leb(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func sleb(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func (g *generator) emit(b ...byte) { g.b = append(g.b, b...) }

// u writes a number, now and then in a longer form than it needs.
func (g *generator) u(v int) {
	if v < 1<<14 && g.r.IntN(8) == 0 {
		g.emit(byte(v)|0x80, byte(v>>7)|0x80, 0)
		return
	}
	g.b = leb(g.b, uint64(v))
}

func (g *generator) pick(n int) int { return g.r.IntN(n) }

func (g *generator) typeList(max int) []byte {
	l := make([]byte, g.pick(max+1))
	for i := range l {
		l[i] = valueTypes[g.pick(len(valueTypes))]
	}
	return l
}

func (g *generator) constant(t byte) {
	interesting := []int64{0, 1, -1, 2, 63, 64, -64, 127, 128, 1 << 15, 65535, 1 << 30, -1 << 31}
	v := interesting[g.pick(len(interesting))]
	switch t {
	case i32:
		g.b = sleb(append(g.b, 0x41), v)
	case i64:
		g.b = sleb(append(g.b, 0x42), v<<(g.pick(3)*8))
	case f32:
		g.emit(0x43, 0, 0, 0x80, 0x3f+byte(g.pick(3)))
	case f64:
		g.emit(0x44, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f+byte(g.pick(2)))
	case v128:
		g.emit(0xfd, 0x0c)
		for range 16 {
			g.emit(byte(g.pick(256)))
		}
	}
}

func (g *generator) localOf(t byte) (int, bool) {
	n := g.pick(len(g.locals))
	for i := range g.locals {
		if k := (i + n) % len(g.locals); g.locals[k] == t {
			return k, true
		}
	}
	return 0, false
}

// value writes code that pushes a value of a type.
func (g *generator) value(t byte, depth int) {
	g.budget--
	if depth <= 0 || g.budget <= 0 {
		if l, ok := g.localOf(t); ok && g.pick(3) > 0 {
			g.emit(0x20)
			g.u(l)
			return
		}
		g.constant(t)
		return
	}
	depth--
	switch g.pick(9) {
	case 0:
		g.value(t, 0)
	case 1:
		if l, ok := g.localOf(t); ok {
			g.value(t, depth)
			g.emit(0x22)
			g.u(l)
			return
		}
		g.constant(t)
	case 2: // select
		g.value(t, depth)
		g.value(t, depth)
		g.value(i32, depth)
		if g.pick(2) == 0 {
			g.emit(0x1c, 1, t)
		} else {
			g.emit(0x1b)
		}
	case 3: // a block with a result
		g.block(signature{results: []byte{t}}, depth)
	case 4: // a call
		for i, n := g.pick(len(g.funcs)), 0; n < len(g.funcs); n++ {
			f := (i + n) % len(g.funcs)
			s := g.types[g.funcs[f]]
			if len(s.results) != 1 || s.results[0] != t {
				continue
			}
			g.values(s.params, depth)
			if g.pick(2) == 0 {
				g.emit(0x10)
				g.u(f)
			} else {
				g.value(i32, 0)
				g.emit(0x41, 3, 0x71, 0x11) // i32.and 3: may well be another type, or none
				g.u(g.funcs[f])
				g.emit(0)
			}
			return
		}
		g.constant(t)
	default:
		g.operation(t, depth)
	}
}

func (g *generator) values(types []byte, depth int) {
	for _, t := range types {
		g.value(t, depth)
	}
}

// address pushes an address that is usually in range.
func (g *generator) address(depth int) {
	g.value(i32, depth)
	if g.pick(20) > 0 {
		g.b = append(sleb(append(g.b, 0x41), 0x7fff), 0x71)
	}
}

func (g *generator) operation(t byte, depth int) {
	unary := func(of byte, ops ...byte) {
		g.value(of, depth)
		g.emit(ops[g.pick(len(ops))])
	}
	binary := func(of, from, to byte) {
		g.value(of, depth)
		g.value(of, depth)
		g.emit(from + byte(g.pick(int(to-from)+1)))
	}
	switch t {
	case i32:
		switch g.pick(10) {
		case 0:
			binary(i32, 0x46, 0x4f)
		case 1:
			binary(i64, 0x51, 0x5a)
		case 2:
			binary(f32, 0x5b, 0x60)
		case 3:
			binary(f64, 0x61, 0x66)
		case 4:
			unary(i32, 0x45, 0x67, 0x68, 0x69, 0xc0, 0xc1)
		case 5:
			unary(i64, 0xa7, 0x50)
		case 6:
			g.address(depth)
			g.emit(0x2c+byte(g.pick(4)), 0, byte(g.pick(128)))
		case 7:
			g.value(f64, depth)
			g.emit(0xfc, byte(2+g.pick(2)))
		case 8:
			switch g.pick(3) {
			case 0:
				g.emit(0x3f, 0)
			case 1:
				g.emit(0x41, byte(g.pick(2)), 0x40, 0)
			case 2:
				g.emit(0xd2)
				g.u(g.pick(len(g.funcs)))
				g.emit(0xd1)
			}
		default:
			binary(i32, 0x6a, 0x78)
		}
	case i64:
		switch g.pick(5) {
		case 0:
			unary(i32, 0xac, 0xad)
		case 1:
			unary(i64, 0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4)
		case 2:
			g.address(depth)
			g.emit(0x30+byte(g.pick(6)), 0, byte(g.pick(128)))
		default:
			binary(i64, 0x7c, 0x8a)
		}
	case f32:
		if g.pick(3) == 0 {
			unary(i32, 0xb2, 0xb3)
			return
		}
		binary(f32, 0x92, 0x98)
	case f64:
		if g.pick(3) == 0 {
			unary(i64, 0xb9, 0xba)
			return
		}
		binary(f64, 0xa0, 0xa6)
	case v128:
		switch g.pick(4) {
		case 0:
			g.value(i32, depth)
			g.emit(0xfd, 0x0f+byte(g.pick(3)))
		case 1:
			g.value(i64, depth)
			g.emit(0xfd, 0x12)
		default:
			g.value(v128, depth)
			g.value(v128, depth)
			ops := [][]byte{{0xfd, 0x4e}, {0xfd, 0x50}, {0xfd, 0x51}, {0xfd, 0x6e}, {0xfd, 0x8e, 1}, {0xfd, 0xae, 1}, {0xfd, 0xce, 1}, {0xfd, 0xb5, 1}, {0xfd, 0x23}}
			g.emit(ops[g.pick(len(ops))]...)
		}
	}
}

// block writes a block, loop or if, whose parameters are on the stack already.
func (g *generator) block(s signature, depth int) {
	op := []byte{0x02, 0x03, 0x04}[g.pick(3)]
	if op == 0x04 {
		g.value(i32, depth)
	}
	g.emit(op)
	switch {
	case len(s.params) == 0 && len(s.results) == 0:
		g.emit(void)
	case len(s.params) == 0 && len(s.results) == 1:
		g.emit(s.results[0])
	default:
		for i, t := range g.types {
			if string(t.params) == string(s.params) && string(t.results) == string(s.results) {
				g.b = sleb(g.b, int64(i))
				break
			}
		}
	}
	body := func() {
		for range s.params {
			g.emit(0x1a)
		}
		g.statements(depth)
		g.values(s.results, depth)
		if op == 0x03 && g.pick(2) == 0 && len(s.params) == 0 {
			g.value(i32, depth)
			g.emit(0x0d, 0) // once more, perhaps
		} else if g.pick(4) == 0 && op != 0x03 {
			g.value(i32, depth)
			g.emit(0x0d, 0)
		}
	}
	l := label{types: s.results}
	if op == 0x03 {
		l = label{types: s.params, loop: true}
	}
	g.labels = append(g.labels, l)
	body()
	if op == 0x04 {
		g.emit(0x05)
		body()
	}
	g.emit(0x0b)
	g.labels = g.labels[:len(g.labels)-1]
}

func (g *generator) statements(depth int) {
	for range g.pick(4) {
		if g.budget <= 0 {
			return
		}
		g.statement(depth - 1)
	}
}

func (g *generator) statement(depth int) {
	g.budget--
	if depth < 0 {
		g.emit(0x01)
		return
	}
	switch g.pick(14) {
	case 0, 1, 2:
		l := g.pick(len(g.locals))
		g.value(g.locals[l], depth)
		g.emit(0x21)
		g.u(l)
	case 3:
		i := g.pick(4)
		g.value([]byte{i32, i64, i32, i64}[i], depth)
		g.emit(0x24)
		g.u(i)
	case 4:
		g.address(depth)
		g.value(i32, depth)
		g.emit([]byte{0x36, 0x3a, 0x3b}[g.pick(3)], 0, byte(g.pick(128)))
	case 5:
		g.address(depth)
		g.value(i64, depth)
		g.emit(0x37, 0, byte(g.pick(128)))
	case 6, 7: // a block of any type
		s := g.types[g.pick(len(g.types))]
		if g.pick(2) == 0 {
			s = signature{}
		}
		g.values(s.params, depth)
		g.block(s, depth)
		for range s.results {
			g.emit(0x1a)
		}
	case 8: // a branch, on a condition
		n := g.pick(len(g.labels))
		l := g.labels[len(g.labels)-1-n]
		g.values(l.types, depth)
		g.value(i32, depth)
		g.emit(0x0d)
		g.u(n)
		for range l.types {
			g.emit(0x1a)
		}
	case 9: // an end in the middle, in a block of its own
		g.emit(0x02, void)
		g.labels = append(g.labels, label{})
		g.value(i32, depth)
		g.emit(0x45, 0x0d, 0)
		switch g.pick(6) {
		case 0:
			g.emit(0x00)
		case 1, 2:
			n := g.pick(len(g.labels))
			g.values(g.labels[len(g.labels)-1-n].types, depth)
			g.emit(0x0c)
			g.u(n)
		case 3:
			var same []int
			n := g.pick(len(g.labels))
			for i := range g.labels {
				if string(g.labels[len(g.labels)-1-i].types) == string(g.labels[len(g.labels)-1-n].types) {
					same = append(same, i)
				}
			}
			g.values(g.labels[len(g.labels)-1-n].types, depth)
			g.value(i32, depth)
			g.emit(0x0e)
			k := g.pick(5)
			g.u(k)
			for range k + 1 {
				g.u(same[g.pick(len(same))])
			}
		default:
			g.values(g.result, depth)
			g.emit(0x0f)
		}
		g.emit(0x0b)
		g.labels = g.labels[:len(g.labels)-1]
	case 10: // memory.fill, copy, init
		g.address(depth)
		g.address(depth)
		g.value(i32, 0)
		g.b = append(sleb(append(g.b, 0x41), 0xfff), 0x71)
		switch g.pick(3) {
		case 0:
			g.emit(0xfc, 0x0b, 0)
		case 1:
			g.emit(0xfc, 0x8a, 0x00, 0, 0) // in a longer form
		case 2:
			g.emit(0xfc, 0x08, 0, 0)
		}
	case 11: // table.grow, fill, set, copy
		switch g.pick(4) {
		case 0:
			g.emit(0xd0, 0x70, 0x41, byte(g.pick(3)), 0xfc, 0x0f, 0, 0x1a)
		case 1:
			g.emit(0x41, 0, 0xd2)
			g.u(g.pick(len(g.funcs)))
			g.emit(0x41, byte(g.pick(4)), 0xfc, 0x11, 0)
		case 2:
			g.emit(0x41, byte(g.pick(6)), 0xd2)
			g.u(g.pick(len(g.funcs)))
			g.emit(0x26, 0)
		case 3:
			g.emit(0x41, 0, 0x41, 1, 0x41, byte(g.pick(4)), 0xfc, 0x0e, 0, 0)
		}
	case 12: // a call of anything
		f := g.pick(len(g.funcs))
		s := g.types[g.funcs[f]]
		g.values(s.params, depth)
		g.emit(0x10)
		g.u(f)
		for range s.results {
			g.emit(0x1a)
		}
	case 13:
		g.value(valueTypes[g.pick(len(valueTypes))], depth)
		g.emit(0x1a)
	}
}

// module makes a module; the same seed makes the same one.
func generate(seed uint64) (wasm []byte, functions int) {
	g := &generator{r: rand.New(rand.NewPCG(seed, 1))}
	for range 1 + g.pick(4) {
		g.types = append(g.types, signature{g.typeList(3), g.typeList(3)})
	}
	for _, t := range valueTypes[:4] {
		g.types = append(g.types, signature{[]byte{i32, i32}, []byte{t}})
	}
	n := 1 + g.pick(5)
	for range n {
		g.funcs = append(g.funcs, g.pick(len(g.types)))
	}
	exported := n
	for i := range 1 + g.pick(3) {
		g.funcs = append(g.funcs, len(g.types)-4+i)
	}
	section := func(id byte, n int, items []byte) []byte {
		c := append(leb(nil, uint64(n)), items...)
		return append(leb([]byte{id}, uint64(len(c))), c...)
	}
	var types, funcs, code, exports, elems []byte
	for _, s := range g.types {
		types = append(append(leb(append(types, 0x60), uint64(len(s.params))), s.params...), byte(len(s.results)))
		types = append(types, s.results...)
	}
	for i, t := range g.funcs {
		funcs = leb(funcs, uint64(t))
		elems = leb(elems, uint64(i))
		if i >= exported {
			exports = append(exports, 2, 'f', '0'+byte(i-exported), 0, byte(i))
		}
	}
	for i := range 4 {
		exports = append(exports, 2, 'g', '0'+byte(i), 3, byte(i))
	}
	exports = append(exports, 6, 'm', 'e', 'm', 'o', 'r', 'y', 2, 0)
	for _, t := range g.funcs {
		s := g.types[t]
		own := append(g.typeList(4), i32, i64)
		g.locals = append(append([]byte(nil), s.params...), own...)
		g.labels, g.result = []label{{types: s.results}}, s.results
		g.b, g.budget = nil, 20+g.pick(150)
		g.b = leb(g.b, uint64(len(own)))
		for _, t := range own {
			g.emit(1, t)
		}
		for range 1 + g.pick(5) {
			g.statement(4)
		}
		g.values(s.results, 3)
		g.emit(0x0b)
		code = append(leb(code, uint64(len(g.b))), g.b...)
	}
	out := append([]byte("\x00asm\x01\x00\x00\x00"), section(1, len(g.types), types)...)
	out = append(out, section(3, len(g.funcs), funcs)...)
	out = append(out, section(4, 1, []byte{0x70, 1, 4, 8})...)
	out = append(out, section(5, 1, []byte{1, 1, 3})...)
	out = append(out, section(6, 4, []byte{i32, 1, 0x41, 1, 0x0b, i64, 1, 0x42, 2, 0x0b, i32, 1, 0x41, 3, 0x0b, i64, 1, 0x42, 4, 0x0b})...)
	out = append(out, section(7, len(g.funcs)-exported+5, exports)...)
	active := append([]byte{0, 0x41, 0, 0x0b, byte(min(4, len(g.funcs)))}, elems[:min(4, len(g.funcs))]...)
	declared := append([]byte{3, 0, byte(len(g.funcs))}, elems...)
	out = append(out, section(9, 2, append(active, declared...))...)
	out = append(out, 12, 1, 1)
	out = append(out, section(10, len(g.funcs), code)...)
	out = append(out, section(11, 1, append([]byte{1, 16}, "0123456789abcdef"...))...)
	return out, len(g.funcs) - exported
}
