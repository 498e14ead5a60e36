package meter

// Instructions that this package writes or treats specially:
// https://webassembly.github.io/spec/core/binary/instructions.html.
const (
	opUnreachable  = 0x00
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opSelect       = 0x1b
	opLocalGet     = 0x20
	opLocalSet     = 0x21
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opF32Const     = 0x43
	opF64Const     = 0x44
	opI32Ne        = 0x47
	opI64Eq        = 0x51
	opI64LtS       = 0x53
	opI64Add       = 0x7c
	opI64Sub       = 0x7d
	opI64Mul       = 0x7e
	opI64Or        = 0x84
	opI64ShrU      = 0x88
	opI64ExtendU   = 0xad
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
	vecConst       = 0x0c

	miscMemoryInit = 8
	miscMemoryCopy = 10
	miscMemoryFill = 11
	miscTableInit  = 12
	miscTableCopy  = 14
	miscTableGrow  = 15
	miscTableFill  = 17

	typeVoid = 0x40
	typeI32  = 0x7f
	typeI64  = 0x7e
)

// kind says what follows an opcode.
type kind byte

const (
	unknown kind = iota
	plain
	blockType // a signed number
	oneIndex
	twoIndexes
	memArg // alignment and offset
	memArgLane
	zeroByte
	twoZeroBytes
	indexZero
	const32
	const64
	bytes4
	bytes8
	bytes16
	oneByte
	refKind
	labels
	selectTypes
	prefixed
)

// instr is an instruction. What follows the opcode is in a and b, or s, as its kind has it.
type instr struct {
	op, sub  byte // sub is what follows a prefix
	kind     kind
	padded   bool // it is not in the shortest form
	a, b     uint32
	s        int64
	from, to int // where it stands in the module
	at       int // where the immediates begin
	labels   int // where the labels of br_table begin
}

var kinds, miscKinds, vectorKinds = func() (k, misc, vec [256]kind) {
	set := func(t *[256]kind, from, to int, k kind) {
		for i := from; i <= to; i++ {
			t[i] = k
		}
	}
	set(&k, 0x00, 0x01, plain)
	set(&k, opBlock, opIf, blockType)
	k[opElse], k[opEnd], k[opReturn] = plain, plain, plain
	set(&k, 0x0c, opBrIf, oneIndex)
	k[opBrTable] = labels
	k[opCall], k[opCallIndirect] = oneIndex, twoIndexes
	set(&k, 0x1a, opSelect, plain)
	k[0x1c] = selectTypes
	set(&k, opLocalGet, 0x26, oneIndex)
	set(&k, 0x28, 0x3e, memArg)
	set(&k, 0x3f, opMemoryGrow, zeroByte)
	k[opI32Const], k[opI64Const], k[opF32Const], k[opF64Const] = const32, const64, bytes4, bytes8
	set(&k, 0x45, 0xc4, plain)
	k[opRefNull], k[0xd1], k[opRefFunc] = refKind, plain, oneIndex
	k[opMisc], k[opVector] = prefixed, prefixed

	set(&misc, 0, 7, plain)
	misc[miscMemoryInit], misc[9], misc[miscMemoryCopy], misc[miscMemoryFill] = indexZero, oneIndex, twoZeroBytes, zeroByte
	misc[miscTableInit], misc[13], misc[miscTableCopy] = twoIndexes, oneIndex, twoIndexes
	set(&misc, miscTableGrow, miscTableFill, oneIndex)

	set(&vec, 0x00, 0xff, plain)
	set(&vec, 0x00, 0x0b, memArg)
	set(&vec, vecConst, 0x0d, bytes16)
	set(&vec, 0x15, 0x22, oneByte)
	set(&vec, 0x54, 0x5b, memArgLane)
	set(&vec, 0x5c, 0x5d, memArg)
	for _, op := range []byte{
		0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb, 0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee,
	} {
		vec[op] = unknown
	}
	return k, misc, vec
}()

// proposals names what instructions belong to that this package does not know.
var proposals = map[byte]string{
	0x06: "exceptions", 0x07: "exceptions", 0x08: "exceptions", 0x09: "exceptions", 0x0a: "exceptions", 0x18: "exceptions",
	0x19: "exceptions", 0x1f: "exceptions", 0x12: "tail calls", 0x13: "tail calls", 0x14: "typed function references",
	0x15: "typed function references", 0xd3: "garbage collection", 0xd4: "typed function references",
	0xd5: "typed function references", 0xd6: "typed function references", 0xfb: "garbage collection", 0xfe: "threads",
}

// next reads the next instruction. Indexes are not checked. Most instructions are read without a call.
func (r *reader) next(i *instr) {
	from := r.pos
	if from >= r.end {
		r.byte() // fails
	}
	op := r.b[from]
	r.pos = from + 1
	k := kinds[op]
	i.op, i.sub, i.kind, i.from, i.padded = op, 0, k, from, false
	if k == plain {
		i.to = r.pos
		return
	}
	if r.pos < r.end && r.b[r.pos] < 0x80 {
		c := r.b[r.pos]
		switch k {
		case oneIndex:
			i.a = uint32(c)
			r.pos++
			i.to = r.pos
			return
		case const32, const64:
			i.s = int64(int8(c<<1) >> 1)
			r.pos++
			i.to = r.pos
			return
		case memArg:
			if r.pos+1 < r.end && r.b[r.pos+1] < 0x80 {
				i.a, i.b = uint32(c), uint32(r.b[r.pos+1])
				r.pos += 2
				i.to = r.pos
				return
			}
		default:
		}
	}
	r.padded = false
	if k == prefixed {
		if op == opMisc {
			n := r.u32()
			if n < 256 {
				k = miscKinds[n]
			} else {
				k = unknown
			}
			i.sub = byte(n)
			if k == unknown {
				r.pos = from
				r.fail(ErrUnsupported, "the instruction 0xfc %d is not supported", n)
			}
		} else {
			// wazero takes the second byte for the whole opcode and finds an instruction in a third one. Only with this
			// one, a nop, is that the same as what the specification says.
			i.sub = r.byte()
			if i.sub >= 0x80 && r.byte() != 1 || vectorKinds[i.sub] == unknown {
				r.pos = from
				r.fail(ErrUnsupported, "the vector instruction 0xfd 0x%02x is not supported", i.sub)
			}
			k = vectorKinds[i.sub]
		}
	} else if k == unknown {
		r.pos = from
		if p := proposals[op]; p != "" {
			r.fail(ErrUnsupported, "the instruction 0x%02x is not supported: %s", op, p)
		}
		r.fail(ErrUnsupported, "the instruction 0x%02x is not supported", op)
	}
	i.kind, i.at = k, r.pos
	switch k {
	case blockType:
		i.s = r.blockType()
	case oneIndex:
		i.a = r.u32()
	case twoIndexes, memArg:
		i.a, i.b = r.u32(), r.u32()
	case memArgLane:
		i.a, i.b = r.u32(), r.u32()
		r.byte()
	case indexZero:
		i.a = r.u32()
		r.zero()
	case twoZeroBytes:
		r.zero()
		r.zero()
	case zeroByte:
		r.zero()
	case const32:
		i.s = r.signed(32)
	case const64:
		i.s = r.signed(64)
	case bytes4:
		r.skip(4)
	case bytes8:
		r.skip(8)
	case bytes16:
		r.skip(16)
	case oneByte:
		r.byte()
	case refKind:
		if t := r.byte(); t != 0x70 && t != 0x6f {
			r.pos--
			r.fail(ErrUnsupported, "the reference type 0x%02x is not supported", t)
		}
	case selectTypes:
		if n := r.byte(); n != 1 {
			r.fail(nil, "select has %d types", n)
		}
		r.valueType()
	case labels:
		n := r.count(1)
		i.labels = r.pos
		i.a = 0 // becomes the highest label
		for range n + 1 {
			i.a = max(i.a, r.u32())
		}
	case unknown, plain, prefixed: // nothing follows the opcode
	}
	i.padded, i.to = r.padded, r.pos
}

func (r *reader) zero() {
	if r.byte() != 0 {
		r.pos--
		r.fail(ErrUnsupported, "several memories are not supported")
	}
}

// appendTo writes an instruction in its shortest form. There is then only one way to read it, so that what this package
// took for an instruction's number is not taken for another instruction by whoever compiles the result.
func (i *instr) appendTo(b, module []byte) []byte {
	if !i.padded {
		return append(b, module[i.from:i.to]...)
	}
	b = append(b, i.op)
	if i.op == opMisc {
		b = append(b, i.sub) // all known ones are below 0x80
	} else if i.op == opVector {
		b = append(b, module[i.from+1:i.at]...)
	}
	switch i.kind {
	case blockType, const32, const64:
		b = appendSigned(b, i.s)
	case oneIndex:
		b = appendU32(b, i.a)
	case indexZero:
		b = append(appendU32(b, i.a), 0)
	case twoIndexes, memArg:
		b = appendU32(appendU32(b, i.a), i.b)
	case memArgLane:
		b = append(appendU32(appendU32(b, i.a), i.b), module[i.to-1])
	case labels:
		r := reader{b: module, pos: i.at, end: i.to}
		for r.pos < r.end {
			b = appendU32(b, r.u32())
		}
	default: // The opcode of one with a prefix was padded.
		b = append(b, module[i.at:i.to]...)
	}
	return b
}

// costs holds the cost of each instruction without a prefix.
var costs = func() (c [256]uint16) {
	for op := range c {
		c[op] = uint16((&instr{op: byte(op)}).slowCost())
	}
	return c
}()

// cost of an instruction in fuel, without what depends on the function or on operands. It follows roughly what the
// instruction takes on a current processor after wazero's compiler.
func (i *instr) cost() uint64 {
	if i.op == opMisc {
		return i.slowCost()
	}
	return uint64(costs[i.op])
}

func (i *instr) slowCost() uint64 {
	switch op := i.op; {
	case op == 0x01 || op >= opBlock && op <= opEnd:
		return 0
	case op == opMemoryGrow:
		return 1500 // The host does it.
	case op >= 0x6d && op <= 0x70 || op >= 0x7f && op <= 0x82: // integer divisions
		return 8
	case op == 0x91 || op == 0x95 || op == 0x9f || op == 0xa3: // square roots and divisions
		return 6
	case op == opMisc && i.sub == miscTableGrow:
		return 1500
	case op == opMisc && i.sub >= miscMemoryInit:
		return 20
	case op == opVector:
		return 3
	}
	return 1
}
