package flow

import (
	"math"
	"math/bits"
	"slices"
)

// distinct counts different 64-bit values in bounded memory: exactly up to maxExact, then with a HyperLogLog sketch of
// 1,024 registers (Flajolet and others, 2007), whose standard error is 3.3 %. The zero value is empty.
type distinct struct {
	one   uint64   // the first value, so that counting one costs no table; 0 for none
	exact []uint64 // the others: open addressing, 0 is free; nil once the sketch took over
	n     int      // values in exact
	regs  *[sketchSize]uint8
}

const (
	maxExact   = 192
	sketchBits = 10
	sketchSize = 1 << sketchBits
)

// add takes a value. Values should be well mixed: see mix.
func (d *distinct) add(v uint64) {
	if v == 0 {
		v = 1
	}
	switch {
	case d.regs != nil:
		d.observe(v)
		return
	case d.one == 0 || d.one == v:
		d.one = v
		return
	case len(d.exact) > 0:
		mask := uint64(len(d.exact) - 1)
		p := v & mask
		for ; d.exact[p] != 0; p = (p + 1) & mask {
			if d.exact[p] == v {
				return
			}
		}
		if d.n*4 < len(d.exact)*3 {
			d.exact[p] = v
			d.n++
			return
		}
	}
	d.grow()
	d.add(v)
}

func (d *distinct) grow() {
	if d.n >= maxExact {
		d.sketch()
		return
	}
	old := d.exact
	d.exact, d.n = make([]uint64, max(8, 2*len(old))), 0
	for _, v := range old {
		if v != 0 {
			d.add(v)
		}
	}
}

// sketch gives up exactness.
func (d *distinct) sketch() {
	d.regs = new([sketchSize]uint8)
	for v := range d.values {
		d.observe(v)
	}
	d.one, d.exact, d.n = 0, nil, 0
}

// values yields the values while they are kept exactly.
func (d *distinct) values(yield func(uint64) bool) {
	if d.one != 0 && !yield(d.one) {
		return
	}
	for _, v := range d.exact {
		if v != 0 && !yield(v) {
			return
		}
	}
}

// clone copies d, which may be nil.
func (d *distinct) clone() *distinct {
	if d == nil {
		return nil
	}
	c := *d
	c.exact = slices.Clone(d.exact)
	if d.regs != nil {
		regs := *d.regs
		c.regs = &regs
	}
	return &c
}

func (d *distinct) observe(v uint64) {
	r := &d.regs[v>>(64-sketchBits)]
	*r = max(*r, uint8(bits.LeadingZeros64(v<<sketchBits|1)+1))
}

// merge adds the values of o.
func (d *distinct) merge(o *distinct) {
	if o.regs == nil {
		for v := range o.values {
			d.add(v)
		}
		return
	}
	if d.regs == nil {
		d.sketch()
	}
	for i, r := range o.regs {
		d.regs[i] = max(d.regs[i], r)
	}
}

// count is the number of different values, exact or estimated; d may be nil.
func (d *distinct) count() uint32 {
	switch {
	case d == nil || d.regs == nil && d.one == 0:
		return 0
	case d.regs == nil:
		return uint32(d.n + 1)
	}
	sum, zeros := 0.0, 0
	for _, r := range d.regs {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	const m = float64(sketchSize)
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 { // linear counting is better for few values
		e = m * math.Log(m/float64(zeros))
	}
	return uint32(e + 0.5)
}

// mix spreads a value over 64 bits (the finaliser of SplitMix64).
func mix(v uint64) uint64 {
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

func mixString(s string) uint64 { // FNV-1a, mixed
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	return mix(h)
}
