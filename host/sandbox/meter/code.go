package meter

// Costs that are not those of single instructions, in fuel.
const (
	costEnter     = 2   // beginning a function, besides its parameters and results
	costLoop      = 3   // each round of a loop: the charge itself, mostly
	costCall      = 4   // calling a function of the module
	costIndirect  = 8   // calling one by a table
	costHost      = 100 // calling a function of the host, which counts what it does for itself
	localsPerMove = 16  // a join may move all locals and the operands of a block; so many moves cost 1
	bytesShift    = 2   // copying or filling 2^bytesShift bytes of memory costs 1
	costPage      = 64 << 10 >> bytesShift
	frameUnit     = 1024 // so many values that a frame may have to hold count for one call more
)

// plan is what the first pass over a function finds out.
type plan struct {
	regions []uint64 // the cost of the function without its loops, then of each loop without inner loops
	calls   bool     // whether it calls anything
	bulk    bool     // whether it has an instruction whose cost depends on an operand
	loops   int
	frame   int64 // what a call adds to the depth
	instrs  int
	open    []uint32 // blocks that are open: the region they belong to
}

func (m *module) typeOf(f uint32) *funcType { return &m.types[m.funcs[f]] }

// plan reads a function, checks every index in it and adds up costs.
func (m *module) plan(p *plan, t *funcType, f *body) {
	m.pos, m.end = f.code.from, f.code.to
	p.regions = append(p.regions[:0], costEnter+uint64(t.nParams+t.nResults)/2)
	p.open = append(p.open[:0], 0)
	p.calls, p.bulk, p.loops, p.instrs = false, false, 0, 0
	join := uint64(f.n) / localsPerMove
	region := uint32(0)
	var i instr
	for len(p.open) > 0 {
		m.next(&i)
		p.instrs++
		cost := i.cost()
		switch i.op {
		case opBlock, opLoop, opIf:
			arity := uint64(1)
			if i.s >= 0 {
				if i.s >= int64(len(m.types)) {
					m.fail(nil, "type %d is used, but there are %d", i.s, len(m.types))
				}
				arity = uint64(m.types[i.s].nParams + m.types[i.s].nResults)
			} else if i.s < -64 || i.s > -1 || !validBlock[-i.s] {
				m.fail(ErrUnsupported, "the block type %d is not supported", i.s)
			}
			if i.op == opLoop {
				p.loops++
				region = uint32(len(p.regions))
				p.regions = append(p.regions, costLoop)
			}
			p.open = append(p.open, region)
			cost += join + arity/localsPerMove
			if i.op == opIf {
				cost++
			}
		case opElse:
			cost += join
		case opEnd:
			// What follows belongs to the block around. The join itself may happen each time an inner loop is left,
			// which is once for each round of the region around.
			p.open = p.open[:len(p.open)-1]
			if len(p.open) > 0 {
				region = p.open[len(p.open)-1]
			}
			cost += join
		case 0x0c, opBrIf, opBrTable:
			if uint64(i.a) >= uint64(len(p.open)) {
				m.fail(nil, "a branch leads %d blocks out, but there are %d", i.a, len(p.open))
			}
			cost += join
		case opCall:
			if uint64(i.a) >= uint64(len(m.funcs)) {
				m.fail(nil, "function %d is used, but there are %d", i.a, len(m.funcs))
			}
			p.calls = true
			cost += costCall
			if int(i.a) < m.imported {
				c := m.typeOf(i.a)
				cost += costHost + uint64(c.nParams+c.nResults)
			}
		case opCallIndirect:
			if uint64(i.a) >= uint64(len(m.types)) {
				m.fail(nil, "type %d is used, but there are %d", i.a, len(m.types))
			}
			p.calls = true
			c := &m.types[i.a]
			cost += costIndirect + uint64(c.nParams+c.nResults)/2
		case opLocalGet, opLocalSet, opLocalTee:
			if uint64(i.a) >= uint64(f.n) {
				m.fail(nil, "local %d is used, but there are %d", i.a, f.n)
			}
		case opGlobalGet, opGlobalSet:
			if uint64(i.a) >= uint64(m.globals) {
				m.fail(nil, "global %d is used, but there are %d", i.a, m.globals)
			}
		case opRefFunc:
			if uint64(i.a) >= uint64(len(m.funcs)) {
				m.fail(nil, "function %d is used, but there are %d", i.a, len(m.funcs))
			}
		case opMemoryGrow:
			p.bulk = true
		case opMisc:
			p.bulk = p.bulk || isBulk(i.sub)
		}
		p.regions[region] += cost
	}
	if m.pos != m.end {
		m.fail(nil, "code follows the end of a function")
	}
	p.frame = 1 + int64(f.n+p.instrs+f.n*p.loops)/frameUnit
}

// validBlock tells which negative numbers, turned positive, are types of blocks.
var validBlock = [65]bool{64: true, 1: true, 2: true, 3: true, 4: true, 5: true, 16: true, 17: true}

func isBulk(sub byte) bool {
	switch sub {
	case miscMemoryInit, miscMemoryCopy, miscMemoryFill, miscTableInit, miscTableCopy, miscTableGrow, miscTableFill:
		return true
	}
	return false
}

// function appends a function, rewritten, to out. The body stands in two blocks: leaving the inner one is returning, and
// leaving the outer one, which only charges do, ends in a trap.
//
//	block                        ;; out of fuel, or too deep
//	  block (result ...)         ;; what leaves the function comes here: branches keep their numbers
//	    charge for the function
//	    ...
//	  end
//	  leave: depth += frame      ;; if the function calls anything
//	  return
//	end
//	unreachable
func (w *writer) function(out []byte, typ uint32, f *body) []byte {
	m, p := w.m, &w.plan
	t := &m.types[typ]
	m.plan(p, t, f)

	groups := f.groups
	if p.bulk {
		groups++
	}
	out = appendU32(out, uint32(groups))
	out = append(out, m.b[f.locals.from:f.locals.to]...)
	if p.bulk {
		out = append(out, 2, typeI32)
	}
	scratch := uint32(f.n)

	out = append(out, opBlock, typeVoid, opBlock)
	out = append(out, w.blockType(typ)...)
	out = w.enter(out, p)
	m.pos, m.end = f.code.from, f.code.to
	var i instr
	loop := 0
	for depth := 1; ; { // blocks that are open, not counting the outermost
		m.next(&i)
		switch i.op {
		case opLoop:
			depth++
			loop++
			out = i.appendTo(out)
			out = w.charge(out, p.regions[loop], depth)
			continue
		case opBlock, opIf:
			depth++
		case opEnd:
			depth--
			if depth == 0 {
				out = append(out, opEnd)
				if p.calls {
					out = appendGlobal(out, opGlobalGet, w.depth)
					out = append(appendSigned(append(out, opI64Const), p.frame), opI64Add)
					out = appendGlobal(out, opGlobalSet, w.depth)
				}
				return append(out, opReturn, opEnd, opUnreachable, opEnd)
			}
		case opReturn:
			out = appendU32(append(out, 0x0c), uint32(depth-1))
			continue
		case opMemoryGrow:
			out = w.grow(out, &i, scratch, costPage, depth)
			continue
		case opMisc:
			switch {
			case i.sub == miscTableGrow:
				out = w.grow(out, &i, scratch, 1, depth)
				continue
			case i.sub <= miscMemoryFill && isBulk(i.sub):
				out = w.bulk(out, scratch, bytesShift, depth)
			case isBulk(i.sub):
				out = w.bulk(out, scratch, 0, depth)
			}
		}
		out = i.appendTo(out)
	}
}

func appendGlobal(out []byte, op byte, g uint32) []byte { return appendU32(append(out, op), g) }

func appendConst(out []byte, v uint64) []byte { return appendSigned(append(out, opI64Const), int64(v)) }

// enter charges for a function and, if it calls others, for its frame. One test sees to both.
func (w *writer) enter(out []byte, p *plan) []byte {
	if !p.calls {
		return w.charge(out, p.regions[0], 1)
	}
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = append(appendConst(out, p.regions[0]), opI64Sub)
	out = appendGlobal(out, opGlobalSet, w.fuel)
	out = appendGlobal(out, opGlobalGet, w.depth)
	out = append(appendConst(out, uint64(p.frame)), opI64Sub)
	out = appendGlobal(out, opGlobalSet, w.depth)
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = appendGlobal(out, opGlobalGet, w.depth)
	return append(out, opI64Or, opI64Const, 0, opI64LtS, opBrIf, 1)
}

// charge takes a cost off the fuel and leaves for the trap if there is none left; depth blocks are open.
func (w *writer) charge(out []byte, cost uint64, depth int) []byte {
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = appendConst(out, cost)
	return w.charged(out, depth)
}

// charged ends a charge: the fuel and the cost, an i64, are on the stack.
func (w *writer) charged(out []byte, depth int) []byte {
	out = append(out, opI64Sub)
	out = appendGlobal(out, opGlobalSet, w.fuel)
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = append(out, opI64Const, 0, opI64LtS, opBrIf)
	return appendU32(out, uint32(depth))
}

// bulk charges for an instruction that follows, whose length is on the stack.
func (w *writer) bulk(out []byte, scratch, shift uint32, depth int) []byte {
	out = appendU32(append(out, opLocalSet), scratch)
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = append(appendU32(append(out, opLocalGet), scratch), opI64ExtendU)
	if shift > 0 {
		out = append(out, opI64Const, byte(shift), opI64ShrU)
	}
	out = w.charged(out, depth)
	return appendU32(append(out, opLocalGet), scratch)
}

// grow writes an instruction that grows something, and charges for what was grown, if it was. It is bounded by the limit
// of what it grows, and asking for more than that is no fault.
func (w *writer) grow(out []byte, i *instr, scratch uint32, cost uint64, depth int) []byte {
	out = appendU32(append(out, opLocalTee), scratch)
	out = i.appendTo(out)
	out = appendU32(append(out, opLocalSet), scratch+1)
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = appendU32(append(out, opLocalGet), scratch)
	out = append(out, opI32Const, 0)
	out = appendU32(append(out, opLocalGet), scratch+1)
	out = append(out, opI32Const, 0x7f, opI32Ne, opSelect, opI64ExtendU)
	out = append(appendConst(out, cost), opI64Mul)
	out = w.charged(out, depth)
	return appendU32(append(out, opLocalGet), scratch+1)
}
