package meter

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// partSize is about how many bytes of code are rewritten at a time.
const partSize = 64 << 10

// part is a run of functions that follow each other.
type part struct {
	from, to int // of m.bodies
	out      []byte
	refers   bool
	fault    *Error
}

// bodies rewrites the module's functions, on all processors at once. One function has nothing to do with another, so the result
// does not depend on how many there are.
func (w *writer) bodies() []byte {
	m := w.m
	var parts []*part
	for i := range m.bodies {
		f := &m.bodies[i]
		w.blockType(m.funcs[m.imported+i]) // all types are made here, in the order of the functions
		if n := len(parts); n == 0 || f.code.to-m.bodies[parts[n-1].from].code.from > partSize {
			parts = append(parts, &part{from: i})
		}
		parts[len(parts)-1].to = i + 1
	}
	most := int64(growth*len(m.b) + spare)
	var next, size atomic.Int64
	work := func() {
		own := *m
		v := &writer{m: &own, fuel: w.fuel, depth: w.depth, left: w.left, blocks: w.blocks}
		for size.Load() <= most {
			i := int(next.Add(1)) - 1
			if i >= len(parts) {
				return
			}
			own.refers = false
			parts[i].fault = v.part(parts[i], &size, most)
			parts[i].refers = own.refers
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(parts)) - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
	w.check(int(size.Load())) // else every part was done
	out := make([]byte, 0, size.Load()+256)
	for _, p := range parts {
		if p.fault != nil {
			panic(p.fault)
		}
		m.refers = m.refers || p.refers
		out = append(out, p.out...)
	}
	return out
}

// part rewrites some functions and returns what is wrong with the first that cannot be. It stops when size, of all
// parts together, is over most.
func (w *writer) part(p *part, size *atomic.Int64, most int64) (fault *Error) {
	defer func() {
		if v := recover(); v != nil {
			e, ok := v.(*Error)
			if !ok {
				panic(v)
			}
			fault = e
		}
	}()
	m := w.m
	first, last := &m.bodies[p.from], &m.bodies[p.to-1]
	p.out = make([]byte, 0, (last.code.to-first.code.from)*5/4)
	for i := p.from; i < p.to; i++ {
		b := w.function(w.scratch, m.funcs[m.imported+i], &m.bodies[i])
		before := len(p.out)
		p.out = append(appendU32(p.out, uint32(len(b))), b...)
		w.scratch = b[:0]
		if size.Add(int64(len(p.out)-before)) > most {
			return nil
		}
	}
	return nil
}
