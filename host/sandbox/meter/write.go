package meter

// writer puts a module together again.
type writer struct {
	m   *module
	out []byte

	fuel, depth, left uint32 // globals: what is left of the slice, of the depth, and of the fuel beside the slice
	// blocks holds, for each type of the module, the type of a block with its results, encoded; nil if it is not needed yet.
	blocks   [][]byte
	newTypes []byte // types of such blocks, () -> results
	nTypes   int
	// wrappers holds the exported functions that are wrapped, and wrapper the index that a wrapper has in it.
	wrappers []uint32
	wrapper  map[uint32]int
	plan     plan
	scratch  []byte
}

// write makes the module anew. Nothing that has an index gets another one: what is new comes last.
func (m *module) write() []byte {
	w := &writer{
		m: m, fuel: uint32(m.globals), depth: uint32(m.globals + 1), left: uint32(m.globals + 2), blocks: make([][]byte, len(m.types)),
		nTypes: len(m.types), wrapper: map[uint32]int{},
	}
	// The code is written first: it decides on the types.
	code := w.code()
	w.out = append(make([]byte, 0, len(m.b)+len(code)/4+spare/16), m.b[:8]...)
	w.customs(0)
	for i, id := range order {
		switch id {
		case idType:
			w.section(id, w.nTypes, append(w.old(id), w.newTypes...))
		case idFunction:
			content := appendU32(w.old(id), uint32(w.nTypes-3))
			for _, f := range w.wrappers {
				content = appendU32(content, m.funcs[f])
			}
			content = appendU32(appendU32(content, uint32(w.nTypes-2)), uint32(w.nTypes-1))
			w.section(id, len(m.funcs)-m.imported+len(w.wrappers)+3, content)
		case idTable:
			if m.given[id] {
				w.section(id, m.counts[id], m.tables)
			}
		case idGlobal:
			content := w.old(id)
			for _, v := range []uint64{0, uint64(m.c.StackDepth), 0} {
				content = append(appendConst(append(content, typeI64, 1), v), opEnd)
			}
			w.section(id, m.globalsHere+3, content)
		case idExport:
			w.exports()
		case idStart:
			if m.given[id] {
				w.section(id, -1, appendU32(nil, w.indexOf(m.start)))
			}
		case idElement:
			w.elements()
		case idCode:
			w.section(id, len(m.bodies)+len(w.wrappers)+3, code)
		case idDataCount:
			if m.given[id] {
				w.section(id, -1, appendU32(nil, m.dataCount))
			}
		default:
			if m.given[id] {
				w.section(id, m.counts[id], w.old(id))
			}
		}
		w.customs(i + 1)
		w.check(0)
	}
	return w.out
}

// check ends everything when the module grows beyond what its size allows.
func (w *writer) check(more int) {
	if len(w.out)+more > growth*len(w.m.b)+spare {
		w.m.fail(ErrLimit, "it would grow to over %d times its size", growth)
	}
}

func (w *writer) customs(after int) {
	for _, s := range w.m.custom[after] {
		w.out = append(w.out, w.m.b[s.from:s.to]...)
	}
}

// old copies what a section holds after its first number.
func (w *writer) old(id byte) []byte {
	s := w.m.content[id]
	return append(make([]byte, 0, s.to-s.from+64), w.m.b[s.from:s.to]...)
}

// section appends a section, with the number of its elements if that is not negative.
func (w *writer) section(id byte, n int, content []byte) {
	var number []byte
	if n >= 0 {
		number = appendU32(nil, uint32(n))
	}
	w.out = appendU32(append(w.out, id), uint32(len(number)+len(content)))
	w.out = append(append(w.out, number...), content...)
}

// elements writes the element section. A function may be referred to by ref.func only if it stands in an export, a global or
// an element segment; those that are exported by their wrappers now are declared in a segment of their own.
func (w *writer) elements() {
	m := w.m
	n, content := 0, []byte(nil)
	if m.given[idElement] {
		n, content = m.counts[idElement], w.old(idElement)
	}
	if m.refers {
		var exported []byte
		k := 0
		for _, e := range m.exports {
			if e.kind == 0 && int(e.index) >= m.imported {
				exported = appendU32(exported, e.index)
				k++
			}
		}
		if k > 0 {
			n++
			content = append(appendU32(append(content, 3, 0), uint32(k)), exported...) // declarative, of functions
		}
	}
	if n > 0 || m.given[idElement] {
		w.section(idElement, n, content)
	}
}

func (w *writer) exports() {
	m := w.m
	var content []byte
	add := func(name string, kind byte, index uint32) {
		content = append(appendU32(content, uint32(len(name))), name...)
		content = appendU32(append(content, kind), index)
	}
	for _, e := range m.exports {
		if e.kind == 0 {
			e.index = w.indexOf(e.index)
		}
		add(e.name, e.kind, e.index)
	}
	own := w.yield() + 1 + uint32(len(w.wrappers))
	add(TrapExport, 0, own)
	add(FuelExport, 0, own+1)
	add(YieldExport, 0, w.yield())
	w.section(idExport, len(m.exports)+3, content)
}

// yield is the index of the function that gives the next slice of fuel, the first of ours.
func (w *writer) yield() uint32 { return uint32(len(w.m.funcs)) }

// indexOf is the index of the function that stands for f when it is called from outside.
func (w *writer) indexOf(f uint32) uint32 {
	if i, ok := w.wrapper[f]; ok {
		return w.yield() + 1 + uint32(i)
	}
	return f
}

// wrap makes sure that a function is wrapped. A function of the host is not: it takes no fuel.
func (w *writer) wrap(f uint32) {
	if _, ok := w.wrapper[f]; ok || int(f) < w.m.imported {
		return
	}
	w.wrapper[f] = len(w.wrappers)
	w.wrappers = append(w.wrappers, f)
}

// newType adds a function type without parameters.
func (w *writer) newType(results []byte, n int) uint32 {
	w.newTypes = append(appendU32(append(w.newTypes, 0x60, 0), uint32(n)), results...)
	w.nTypes++
	return uint32(w.nTypes - 1)
}

// blockType is the encoded type of a block with the results of a function's type and no parameters.
func (w *writer) blockType(typ uint32) []byte {
	t := &w.m.types[typ]
	if w.blocks[typ] == nil {
		results := w.m.b[t.results.from:t.results.to]
		switch t.nResults {
		case 0:
			w.blocks[typ] = []byte{typeVoid}
		case 1:
			w.blocks[typ] = results
		default:
			w.blocks[typ] = appendSigned(nil, int64(w.newType(results, int(t.nResults))))
		}
	}
	return w.blocks[typ]
}

// code makes the functions: those of the module, the one that gives slices, the wrappers and the two that tell what happened.
func (w *writer) code() []byte {
	m := w.m
	out := w.bodies()
	function := func(b []byte) {
		out = append(appendU32(out, uint32(len(b))), b...)
		w.scratch = b[:0]
		w.check(len(out))
	}
	for _, e := range m.exports {
		if e.kind == 0 {
			w.wrap(e.index)
		}
	}
	if m.given[idStart] {
		w.wrap(m.start)
	}
	function(w.nextSlice(w.scratch))
	for _, f := range w.wrappers {
		function(w.wrapped(w.scratch, f))
	}
	w.newType(nil, 0)
	w.newType([]byte{typeI32}, 1)
	w.newType([]byte{typeI64}, 1)

	b := append(w.scratch, 0, opI32Const, TrapNoFuel, opI32Const, TrapTooDeep, opI32Const, TrapNone)
	b = appendGlobal(b, opGlobalGet, w.depth)
	b = append(b, opI64Const, 0, opI64LtS, opSelect)
	function(append(w.total(b), opI64Const, 0, opI64LtS, opSelect, opEnd))
	function(append(w.total(append(w.scratch, 0)), opEnd))
	return out
}

// total puts all the fuel that is left on the stack.
func (w *writer) total(out []byte) []byte {
	return append(appendGlobal(appendGlobal(out, opGlobalGet, w.left), opGlobalGet, w.fuel), opI64Add)
}

// nextSlice makes the function that is called when the slice is used up. That the depth is, functions see for themselves; here it
// keeps a module that was stopped for it from going on:
//
//	all = left + fuel
//	if all < 0 || depth < 0 { trap }
//	fuel = min(all, slice)
//	left = all - fuel
func (w *writer) nextSlice(out []byte) []byte {
	all := []byte{opLocalGet, 0}
	out = append(w.total(append(out, 1, 1, typeI64)), opLocalTee, 0)
	out = appendGlobal(out, opGlobalGet, w.depth)
	out = append(out, opI64Or, opI64Const, 0, opI64LtS, opIf, typeVoid, opUnreachable, opEnd)
	out = appendConst(append(out, all...), slice)
	out = append(appendConst(append(out, all...), slice), opI64LtS, opSelect)
	out = appendGlobal(out, opGlobalSet, w.fuel)
	out = append(appendGlobal(append(out, all...), opGlobalGet, w.fuel), opI64Sub)
	return append(appendGlobal(out, opGlobalSet, w.left), opEnd)
}

// wrapped makes the function that is exported in place of f:
//
//	before = depth
//	if before == StackDepth { fuel, left = slice, Fuel - slice }  ;; the outermost call
//	f(...)
//	depth = before
func (w *writer) wrapped(out []byte, f uint32) []byte {
	t := w.m.typeOf(f)
	before := uint32(t.nParams)
	out = append(out, 1, 1, typeI64)
	out = appendGlobal(out, opGlobalGet, w.depth)
	out = appendU32(append(out, opLocalTee), before)
	out = append(appendConst(out, uint64(w.m.c.StackDepth)), opI64Eq, opIf, typeVoid)
	first := min(w.m.c.Fuel, slice)
	out = appendGlobal(appendConst(out, first), opGlobalSet, w.fuel)
	out = appendGlobal(appendConst(out, w.m.c.Fuel-first), opGlobalSet, w.left)
	out = append(out, opEnd)
	for p := range before {
		out = appendU32(append(out, opLocalGet), p)
	}
	out = appendU32(append(out, opCall), f)
	out = appendU32(append(out, opLocalGet), before)
	out = appendGlobal(out, opGlobalSet, w.depth)
	return append(out, opEnd)
}
