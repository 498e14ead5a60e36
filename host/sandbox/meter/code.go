package meter

// Costs that are not those of single instructions, in fuel.
const (
	costEnter     = 2   // beginning a function, besides its parameters and results
	costUnseen    = 32  // a function that costs no more outside of its loops, and calls nothing there, leaves it to others to look at the slice
	costLoop      = 3   // each round of a loop: the charge itself, mostly
	costCall      = 4   // calling a function of the module
	costIndirect  = 8   // calling one by a table
	costHost      = 100 // calling a function of the host, which counts what it does for itself
	localsPerMove = 16  // a join may move all locals and the operands of a block; so many moves cost 1
	bytesShift    = 2   // copying or filling 2^bytesShift bytes of memory costs 1
	costPage      = 64 << 10 >> bytesShift
	costInside    = 100  // what a group may cost after its first segment
	frameUnit     = 1024 // so many values that a frame may have to hold count for one call more
)

// plan is what the first pass over a function finds out. Its code is cut into regions: the function without its loops, and each loop
// without inner ones. A region is cut into segments, at the ends of blocks and at else. Segments are put into groups, and a
// group charges where it begins.
type plan struct {
	segments []segment // in the order of their beginnings
	current  []uint32  // for each region, the segment that is being read
	jumps    []jump
	marks    []int // where the instructions stand beside which something is written, or which are written anew
	open     []block
	calls    bool   // whether it calls anything
	bulk     bool   // whether it has an instruction whose cost depends on an operand
	outside  uint64 // what all instructions outside of loops cost, and so much that it is seen if there is a call
	frame    int64
}

type segment struct {
	cost   uint64 // of its instructions; of the whole group once that is known, if it begins one
	extra  uint64 // for jumps that lead into the middle of other groups
	next   uint32 // the next one of its region; 0 if there is none
	group  uint32
	begins bool // a group
}

// jump is a branch forward, from a segment to another one.
type jump struct {
	source uint32 // the segment that has the branch
	from   uint32 // the segment of the target's region that was being read then
	to     uint32
	next   uint32 // the next one that leads to the same place, from 1; 0 if there is none
}

type block struct {
	region uint32 // that its inside belongs to
	jumps  uint32 // that lead to its end, the latest one, from 1; 0 if there is none
	orElse uint32 // of an if without else so far: the jump that is made if the condition does not hold, from 1
	loop   bool
}

func (m *module) typeOf(f uint32) *funcType { return &m.types[m.funcs[f]] }

// plan reads a function, checks every index in it and adds up costs.
func (m *module) plan(p *plan, t *funcType, f *body) {
	m.pos, m.end = f.code.from, f.code.to
	p.segments = append(p.segments[:0], segment{cost: costEnter + uint64(t.nParams+t.nResults)/2, begins: true})
	p.current, p.jumps, p.marks = append(p.current[:0], 0), p.jumps[:0], p.marks[:0]
	p.open = append(p.open[:0], block{})
	p.calls, p.bulk, p.outside = false, false, p.segments[0].cost
	join := uint64(f.n) / localsPerMove
	instrs := 0
	var i instr
	for len(p.open) > 0 {
		m.next(&i)
		instrs++
		cost := i.cost()
		top := &p.open[len(p.open)-1]
		here, outside := p.current[top.region], top.region == 0
		switch i.op {
		case opBlock, opLoop, opIf:
			cost += join + m.arity(i.s)/localsPerMove
			b := block{region: top.region}
			switch i.op {
			case opIf:
				cost++
				b.orElse = p.jump(here, here, 0)
			case opLoop:
				b.loop, b.region = true, uint32(len(p.current))
				here = uint32(len(p.segments))
				p.segments = append(p.segments, segment{cost: costLoop, begins: true})
				p.current = append(p.current, here)
			}
			p.open = append(p.open, b)
		case opElse:
			cost += join
			if top.orElse == 0 {
				m.fail(nil, "there is an else without its if")
			}
			top.jumps = p.jump(here, here, top.jumps)
			p.jumps[top.orElse-1].to, top.orElse = p.segment(top.region), 0
		case opEnd:
			cost += join
			b := *top
			p.open = p.open[:len(p.open)-1]
			if b.loop || len(p.open) == 0 {
				break
			}
			next := p.segment(b.region)
			if b.orElse > 0 {
				p.jumps[b.orElse-1].to = next
			}
			for j := b.jumps; j > 0; j = p.jumps[j-1].next {
				p.jumps[j-1].to = next
			}
		case 0x0c, opBrIf:
			cost += join
			m.branch(p, here, i.a)
		case opBrTable:
			cost += join
			if uint64(i.a) >= uint64(len(p.open)) {
				m.branch(p, here, i.a) // fails
			}
			for r := (reader{b: m.b, pos: i.labels, end: i.to}); r.pos < r.end; {
				m.branch(p, here, r.u32())
			}
		case opCall:
			m.use(i.a, len(m.funcs), "function")
			p.calls = true
			cost += costCall
			if int(i.a) < m.imported {
				c := m.typeOf(i.a)
				cost += costHost + uint64(c.nParams+c.nResults)
			}
		case opCallIndirect:
			m.use(i.a, len(m.types), "type")
			p.calls = true
			c := &m.types[i.a]
			cost += costIndirect + uint64(c.nParams+c.nResults)/2
		case opLocalGet, opLocalSet, opLocalTee:
			m.use(i.a, f.n, "local")
		case opGlobalGet, opGlobalSet:
			m.use(i.a, m.globals, "global")
		case opRefFunc:
			m.use(i.a, len(m.funcs), "function")
			m.refers = true
		case opMemoryGrow:
			p.bulk = true
		case opMisc:
			p.bulk = p.bulk || isBulk(i.sub)
		}
		if i.padded || marked[i.op] {
			p.marks = append(p.marks, i.from)
		}
		p.segments[here].cost += cost
		if outside {
			p.outside += cost
			if i.op == opCall || i.op == opCallIndirect {
				p.outside += costUnseen
			}
		}
	}
	if m.pos != m.end {
		m.fail(nil, "code follows the end of a function")
	}
	p.frame = 1 + int64(f.n+instrs+f.n*(len(p.current)-1))/frameUnit
	inside := uint64(costInside)
	if m.c.precise {
		inside = 0
	}
	p.group(inside)
}

// marked tells of the instructions at which function does more than copy.
var marked = [256]bool{
	opBlock: true, opLoop: true, opIf: true, opElse: true, opEnd: true, opReturn: true, opMemoryGrow: true, opMisc: true,
}

// use checks an index of something of which there are n.
func (m *module) use(i uint32, n int, what string) {
	if uint64(i) >= uint64(n) {
		m.fail(nil, "%s %d is used, but there are %d", what, i, n)
	}
}

// arity is the number of operands and results of a block's type.
func (m *module) arity(t int64) uint64 {
	switch {
	case t >= int64(len(m.types)):
		m.fail(nil, "type %d is used, but there are %d", t, len(m.types))
	case t >= 0:
		return uint64(m.types[t].nParams + m.types[t].nResults)
	case t < -64 || !validBlock[-t]:
		m.fail(ErrUnsupported, "the block type %d is not supported", t)
	}
	return 1
}

// branch notes a branch to a label, if it leads forward and not out of the function.
func (m *module) branch(p *plan, here, label uint32) {
	if uint64(label) >= uint64(len(p.open)) {
		m.fail(nil, "a branch leads %d blocks out, but there are %d", label, len(p.open))
	}
	target := len(p.open) - 1 - int(label)
	if b := &p.open[target]; target > 0 && !b.loop {
		b.jumps = p.jump(here, p.current[b.region], b.jumps)
	}
}

func (p *plan) jump(source, from, next uint32) uint32 {
	p.jumps = append(p.jumps, jump{source: source, from: from, next: next})
	return uint32(len(p.jumps))
}

// segment begins a new segment of a region.
func (p *plan) segment(region uint32) uint32 {
	n := uint32(len(p.segments))
	p.segments[p.current[region]].next = n
	p.segments = append(p.segments, segment{})
	p.current[region] = n
	return n
}

// group puts segments into groups. What a group costs after its first segment is at most most, so that this much,
// charged where a jump begins, pays for a jump into the middle of a group whose own charge was jumped over.
func (p *plan) group(most uint64) {
	groups := uint32(0)
	for first := range p.segments {
		if !p.segments[first].begins || p.segments[first].group > 0 {
			continue // not the first one of a region
		}
		inside := uint64(0)
		for i := uint32(first); ; i = p.segments[i].next {
			s := &p.segments[i]
			if inside += s.cost; i == uint32(first) || inside > most {
				inside, s.begins = 0, true
				groups++
			}
			s.group = groups
			if s.next == 0 {
				break
			}
		}
	}
	// A jump leaves its segment for good, until the region is run again, so one charge serves all jumps of a segment.
	for _, j := range p.jumps {
		if to := &p.segments[j.to]; !to.begins && to.group != p.segments[j.from].group {
			p.segments[j.source].extra = most
		}
	}
	for i := len(p.segments) - 1; i >= 0; i-- { // From the end: each one adds to the one before in its group.
		s := &p.segments[i]
		s.cost += s.extra
		if s.next > 0 && !p.segments[s.next].begins {
			s.cost += p.segments[s.next].cost
		}
	}
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

// function appends a function, rewritten, to out. The body stands in a block, and leaving that is returning.
//
//	block (result ...)         ;; what leaves the function comes here: branches keep their numbers
//	  charge for the function
//	  ...
//	end
//	leave: depth += frame      ;; if the function calls anything
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

	out = append(out, opBlock)
	out = append(out, w.blockType(typ)...)
	out = w.enter(out, p)
	m.end = f.code.to
	i := instr{to: f.code.from}
	p.open = append(p.open[:0], block{})
	mark := 0
	for n := 0; ; { // the segment
		out = append(out, m.b[i.to:p.marks[mark]]...)
		m.pos = p.marks[mark]
		mark++
		m.next(&i)
		depth := len(p.open) // blocks that are open, counting the one around the body
		switch i.op {
		case opBlock, opLoop, opIf:
			p.open = append(p.open, block{loop: i.op == opLoop})
			out = i.appendTo(out, m.b)
			if i.op == opLoop {
				n++
				out = w.head(out, p.segments[n].cost, i.s < 0 || m.types[i.s].nParams == 0)
			}
			continue
		case opElse:
			out = i.appendTo(out, m.b)
			if n++; p.segments[n].begins {
				out = w.take(out, p.segments[n].cost)
			}
			continue
		case opEnd:
			if depth == 1 {
				return w.leave(append(out, opEnd), p)
			}
			loop := p.open[depth-1].loop
			p.open = p.open[:depth-1]
			out = i.appendTo(out, m.b)
			if loop {
				continue
			}
			if n++; p.segments[n].begins {
				out = w.take(out, p.segments[n].cost)
			}
			continue
		case opReturn:
			out = appendU32(append(out, 0x0c), uint32(depth-1))
			continue
		case opMemoryGrow:
			out = w.grow(out, &i, scratch, costPage)
			continue
		case opMisc:
			switch {
			case i.sub == miscTableGrow:
				out = w.grow(out, &i, scratch, 1)
				continue
			case i.sub <= miscMemoryFill && isBulk(i.sub):
				out = w.bulk(out, scratch, bytesShift)
			case isBulk(i.sub):
				out = w.bulk(out, scratch, 0)
			}
		}
		out = i.appendTo(out, m.b)
	}
}

func appendGlobal(out []byte, op byte, g uint32) []byte { return appendU32(append(out, op), g) }

func appendConst(out []byte, v uint64) []byte { return appendSigned(append(out, opI64Const), int64(v)) }

// enter charges for a function and, if it calls others, for its frame.
func (w *writer) enter(out []byte, p *plan) []byte {
	if !p.calls {
		return w.take(out, p.segments[0].cost)
	}
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = append(appendConst(out, p.segments[0].cost), opI64Sub)
	out = appendGlobal(out, opGlobalSet, w.fuel)
	out = appendGlobal(out, opGlobalGet, w.depth)
	out = append(appendConst(out, uint64(p.frame)), opI64Sub)
	out = appendGlobal(out, opGlobalSet, w.depth)
	out = appendGlobal(out, opGlobalGet, w.depth)
	return append(out, opI64Const, 0, opI64LtS, opIf, typeVoid, opUnreachable, opEnd)
}

// leave ends a function, after its block. Here is where the slice is looked at: less has to be saved for a call than at the
// beginning. A function that does little is left to those who call it.
func (w *writer) leave(out []byte, p *plan) []byte {
	if p.calls {
		out = appendGlobal(out, opGlobalGet, w.depth)
		out = append(appendSigned(append(out, opI64Const), p.frame), opI64Add)
		out = appendGlobal(out, opGlobalSet, w.depth)
	}
	if p.outside > costUnseen {
		out = w.next(appendGlobal(out, opGlobalGet, w.fuel))
	}
	return append(out, opEnd)
}

// take takes a cost off the slice of fuel.
func (w *writer) take(out []byte, cost uint64) []byte {
	out = appendConst(appendGlobal(out, opGlobalGet, w.fuel), cost)
	return appendGlobal(append(out, opI64Sub), opGlobalSet, w.fuel)
}

// head charges at the head of a loop. After the next slice came, a loop without parameters begins its round anew and is charged once
// more: so the way that is taken nearly always has no call in it behind which the compiler would have to bring
// all variables back to where they were.
func (w *writer) head(out []byte, cost uint64, bare bool) []byte {
	out = w.charge(out, cost)
	if !bare || cost > slice/100 {
		return out
	}
	return append(out[:len(out)-1], 0x0c, 1, opEnd) // br to the loop, out of the if
}

// charge takes a cost off the slice of fuel and asks for the next slice if it is used up.
func (w *writer) charge(out []byte, cost uint64) []byte {
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = appendConst(out, cost)
	return w.charged(out)
}

// charged ends a charge: the fuel and the cost, an i64, are on the stack.
func (w *writer) charged(out []byte) []byte {
	out = append(out, opI64Sub)
	out = appendGlobal(out, opGlobalSet, w.fuel)
	return w.next(appendGlobal(out, opGlobalGet, w.fuel))
}

// next calls the function that gives the next slice if the i64 on the stack is negative.
func (w *writer) next(out []byte) []byte {
	out = append(out, opI64Const, 0, opI64LtS, opIf, typeVoid, opCall)
	return append(appendU32(out, w.yield()), opEnd)
}

// bulk charges for an instruction that follows, whose length is on the stack.
func (w *writer) bulk(out []byte, scratch, shift uint32) []byte {
	out = appendU32(append(out, opLocalSet), scratch)
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = append(appendU32(append(out, opLocalGet), scratch), opI64ExtendU)
	if shift > 0 {
		out = append(out, opI64Const, byte(shift), opI64ShrU)
	}
	out = w.charged(out)
	return appendU32(append(out, opLocalGet), scratch)
}

// grow writes an instruction that grows something, and charges for what was grown, if it was. It is bounded by the limit
// of what it grows, and asking for more than that is no fault.
func (w *writer) grow(out []byte, i *instr, scratch uint32, cost uint64) []byte {
	out = appendU32(append(out, opLocalTee), scratch)
	out = i.appendTo(out, w.m.b)
	out = appendU32(append(out, opLocalSet), scratch+1)
	out = appendGlobal(out, opGlobalGet, w.fuel)
	out = appendU32(append(out, opLocalGet), scratch)
	out = append(out, opI32Const, 0)
	out = appendU32(append(out, opLocalGet), scratch+1)
	out = append(out, opI32Const, 0x7f, opI32Ne, opSelect, opI64ExtendU)
	out = append(appendConst(out, cost), opI64Mul)
	out = w.charged(out)
	return appendU32(append(out, opLocalGet), scratch+1)
}
