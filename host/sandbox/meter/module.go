package meter

import "strings"

const (
	idCustom = iota
	idType
	idImport
	idFunction
	idTable
	idMemory
	idGlobal
	idExport
	idStart
	idElement
	idCode
	idData
	idDataCount
)

// order is the order in which sections come. Custom sections may stand anywhere.
var order = [...]byte{idType, idImport, idFunction, idTable, idMemory, idGlobal, idExport, idStart, idElement, idDataCount, idCode, idData}

// rank is the place of a section in order, from 1.
var rank = func() (r [idDataCount + 1]int) {
	for i, id := range order {
		r[id] = i + 1
	}
	return r
}()

// span is a part of the input.
type span struct{ from, to int }

// funcType is a type; params and results are the encoded value types without their number.
type funcType struct {
	params, results   span
	nParams, nResults int32
}

type export struct {
	name  string
	kind  byte
	index uint32
}

// body is a function's code in the input.
type body struct {
	locals span // the declarations
	groups int  // of locals
	code   span
	n      int // locals, parameters included
}

// module is what a module says of itself.
type module struct {
	reader
	c Config

	// content is what a section holds after its first number, the number of its elements; given tells whether it is there.
	content [idDataCount + 1]span
	given   [idDataCount + 1]bool
	counts  [idDataCount + 1]int
	// custom holds the whole custom sections that follow the section of a rank.
	custom [len(order) + 1][]span

	types                          []funcType
	funcs                          []uint32 // the type of each function, those imported first
	imported, globals, globalsHere int      // functions imported; globals; globals that are not imported
	tables                         []byte   // the table section, with limits
	exports                        []export
	start                          uint32
	dataCount                      uint32
	elements, data                 int
	bodies                         []body
	locals                         int  // of all functions
	refers                         bool // whether the code refers to a function by ref.func
}

func (m *module) read() {
	if len(m.b) < 8 || string(m.skip(8)) != "\x00asm\x01\x00\x00\x00" {
		m.pos = 0
		m.fail(nil, "this is no core WebAssembly module of version 1")
	}
	last := 0
	for m.pos < len(m.b) {
		start := m.pos
		id := m.byte()
		size := m.u32()
		if uint64(size) > uint64(len(m.b)-m.pos) {
			m.fail(nil, "the section is longer than the module, which may have been cut off")
		}
		m.end = m.pos + int(size)
		if id == idCustom {
			if m.name() != "name" || m.names() {
				m.custom[last] = append(m.custom[last], span{start, m.end})
			}
			m.pos = m.end
		} else {
			m.pos = start
			switch {
			case id == 13:
				m.fail(ErrUnsupported, "exceptions (section 13) are not supported")
			case int(id) >= len(rank):
				m.fail(ErrUnsupported, "there is no section %d", id)
			case rank[id] <= last:
				m.fail(nil, "section %d comes twice or too late", id)
			}
			last = rank[id]
			m.pos = m.end - int(size)
			m.section(id)
			if m.pos != m.end {
				m.fail(nil, "section %d has %d bytes too many", id, m.end-m.pos)
			}
			m.content[id].to, m.given[id] = m.end, true
		}
		m.end = len(m.b)
	}
	if len(m.bodies) != len(m.funcs)-m.imported {
		m.fail(nil, "%d functions are declared, but %d are there", len(m.funcs)-m.imported, len(m.bodies))
	}
}

func (m *module) section(id byte) {
	if id == idStart {
		m.start = m.index(len(m.funcs), "function")
		return
	}
	if id == idDataCount {
		if m.pos < m.end { // wazero takes an empty section for the number 0.
			m.dataCount = m.u32()
		}
		return
	}
	n := m.count([...]int{idType: 3, idImport: 4, idFunction: 1, idTable: 3, idMemory: 2, idGlobal: 4, idExport: 3, idElement: 3, idCode: 3, idData: 2}[id])
	m.content[id].from, m.counts[id] = m.pos, n
	switch id {
	case idType:
		m.types = make([]funcType, n)
	case idFunction:
		m.funcs = append(make([]uint32, 0, len(m.funcs)+n), m.funcs...)
	case idTable:
		m.readTables(n)
		return
	case idGlobal:
		m.globalsHere = n
		m.globals += n
	case idElement:
		m.elements = n
	case idData:
		m.data = n
	case idCode:
		if n != len(m.funcs)-m.imported {
			m.fail(nil, "%d functions are declared, but %d are there", len(m.funcs)-m.imported, n)
		}
		m.bodies = make([]body, 0, n)
	}
	for i := range n {
		switch id {
		case idType:
			m.types[i] = m.readType()
		case idImport:
			m.readImport()
		case idFunction:
			m.funcs = append(m.funcs, m.index(len(m.types), "type"))
		case idMemory:
			m.limits("memory")
		case idGlobal:
			m.globalType()
			m.constant()
		case idExport:
			m.readExport()
		case idElement:
			m.element()
		case idCode:
			m.readBody()
		case idData:
			m.segment()
		}
	}
}

func (m *module) readType() (t funcType) {
	if c := m.byte(); c != 0x60 {
		m.pos--
		m.fail(ErrUnsupported, "the type form 0x%02x is not supported", c)
	}
	list := func() (span, int32) {
		n := m.count(1)
		if n > maxArity {
			m.fail(ErrLimit, "a function has %d parameters or results; the limit is %d", n, maxArity)
		}
		from := m.pos
		for range n {
			m.valueType()
		}
		return span{from, m.pos}, int32(n)
	}
	t.params, t.nParams = list()
	t.results, t.nResults = list()
	return t
}

func (m *module) readImport() {
	m.name()
	m.name()
	switch kind := m.byte(); kind {
	case 0:
		m.funcs = append(m.funcs, m.index(len(m.types), "type"))
		m.imported++
	case 1:
		m.refType()
		m.limits("table")
	case 2:
		m.limits("memory")
	case 3:
		m.globalType()
		m.globals++
	default:
		m.pos--
		m.fail(ErrUnsupported, "imports of kind %d are not supported", kind)
	}
}

func (m *module) refType() {
	if t := m.byte(); t != 0x70 && t != 0x6f {
		m.pos--
		m.fail(ErrUnsupported, "the reference type 0x%02x is not supported", t)
	}
}

func (m *module) limits(what string) (least, most uint32, bounded bool) {
	switch flag := m.byte(); flag {
	case 0:
		return m.u32(), 0, false
	case 1:
		least = m.u32()
		return least, m.u32(), true
	default:
		m.pos--
		m.fail(ErrUnsupported, "a %s with the flags %#x (shared or of 64 bits) is not supported", what, flag)
		return
	}
}

// readTables rewrites the table section so that all tables together stay below the limit: what is left after their
// declared sizes is shared out evenly.
func (m *module) readTables(n int) {
	type table struct {
		kind        byte
		least, most uint32
		bounded     bool
	}
	if n > maxTables {
		m.fail(ErrLimit, "it has %d tables; the limit is %d", n, maxTables)
	}
	tables, sum := make([]table, n), uint64(0)
	for i := range tables {
		t := &tables[i]
		t.kind = m.b[min(m.pos, m.end-1)]
		m.refType()
		t.least, t.most, t.bounded = m.limits("table")
		sum += uint64(t.least)
		if sum > uint64(m.c.TableSize) {
			m.fail(ErrLimit, "its tables have %d elements; the limit is %d", sum, m.c.TableSize)
		}
	}
	for _, t := range tables {
		most := t.least + uint32(uint64(m.c.TableSize)-sum)/uint32(n)
		if t.bounded {
			most = min(most, t.most) // If that is less than t.least, the module is invalid, and stays so.
		}
		m.tables = append(m.tables, t.kind, 1)
		m.tables = appendU32(appendU32(m.tables, t.least), most)
	}
}

func (m *module) globalType() {
	m.valueType()
	if c := m.byte(); c > 1 {
		m.pos--
		m.fail(nil, "0x%02x is neither constant nor variable", c)
	}
}

func (m *module) readExport() {
	e := export{name: m.name(), kind: m.byte()}
	if strings.HasPrefix(e.name, ownPrefix) {
		m.fail(nil, "it has an export %q; names that begin with %s are the host's", e.name, ownPrefix)
	}
	switch e.kind {
	case 0:
		e.index = m.index(len(m.funcs), "function")
	case 1, 2:
		e.index = m.u32()
	case 3:
		e.index = m.index(m.globals, "global")
	default:
		m.fail(ErrUnsupported, "exports of kind %d are not supported", e.kind)
	}
	m.exports = append(m.exports, e)
}

// constant reads a constant expression.
func (m *module) constant() {
	for {
		switch op := m.byte(); op {
		case opEnd:
			return
		case opI32Const:
			m.signed(32)
		case opI64Const:
			m.signed(64)
		case opF32Const:
			m.skip(4)
		case opF64Const:
			m.skip(8)
		case opGlobalGet:
			m.index(m.globals, "global")
		case opRefNull:
			m.refType()
		case opRefFunc:
			m.index(len(m.funcs), "function")
		case opVector:
			if op := m.byte(); op != vecConst {
				m.pos--
				m.fail(ErrUnsupported, "the vector instruction %d is not supported in a constant", op)
			}
			m.skip(16)
		default:
			m.pos--
			m.fail(ErrUnsupported, "the instruction 0x%02x is not supported in a constant", op)
		}
	}
}

func (m *module) element() {
	flags := m.u32()
	if flags > 7 {
		m.fail(nil, "an element segment has the flags %#x", flags)
	}
	if flags&1 == 0 { // active
		if flags&2 != 0 {
			m.u32() // the table
		}
		m.constant()
	}
	if flags&3 != 0 {
		if flags&4 != 0 {
			m.refType()
		} else if m.byte() != 0 {
			m.fail(nil, "an element segment is of an unknown kind")
		}
	}
	for range m.count(1) {
		if flags&4 != 0 {
			m.constant()
		} else {
			m.index(len(m.funcs), "function")
		}
	}
}

func (m *module) segment() {
	switch flags := m.u32(); flags {
	case 0:
		m.constant()
	case 1:
	case 2:
		m.u32() // the memory
		m.constant()
	default:
		m.fail(nil, "a data segment has the flags %#x", flags)
	}
	m.skip(m.u32())
}

func (m *module) readBody() {
	size := m.u32()
	if uint64(size) > uint64(m.end-m.pos) {
		m.fail(nil, "a function is longer than the code section")
	}
	end := m.end
	m.end = m.pos + int(size)
	f := body{groups: m.count(2), n: int(m.types[m.funcs[m.imported+len(m.bodies)]].nParams)}
	f.locals.from = m.pos
	for range f.groups {
		n := m.u32()
		if n > maxLocals || f.n+int(n) > maxLocals {
			m.fail(ErrLimit, "a function has more than %d local variables", maxLocals)
		}
		f.n += int(n)
		m.locals += int(n)
		m.valueType()
	}
	if m.locals > max(allLocals, localsPerByte*len(m.b)) {
		m.fail(ErrLimit, "its functions have more than %d local variables together", max(allLocals, localsPerByte*len(m.b)))
	}
	f.locals.to = m.pos
	f.code = span{m.pos, m.end}
	m.bodies = append(m.bodies, f)
	m.pos, m.end = m.end, end
}

// names tells whether the name section is in order. Damaged names are no reason to refuse a module, the specification says, but wazero
// reads them, so they are left out.
func (m *module) names() (ok bool) {
	end := m.end
	defer func() {
		if p := recover(); p != nil {
			if _, damaged := p.(*Error); !damaged {
				panic(p)
			}
			ok = false
		}
		m.end = end
	}()
	for m.pos < m.end {
		id := m.byte()
		size := m.u32()
		if id > 2 {
			m.skip(size)
			continue
		}
		from, end := m.pos, m.end
		m.end = from + len(m.skip(size))
		m.pos = from
		switch id {
		case 0:
			m.name()
		case 1:
			m.nameMap()
		case 2:
			for range m.count(2) {
				m.u32()
				m.nameMap()
			}
		}
		if m.pos != m.end {
			m.fail(nil, "the section of names is damaged")
		}
		m.end = end
	}
	return true
}

func (m *module) nameMap() {
	for range m.count(2) {
		m.u32()
		m.name()
	}
}
