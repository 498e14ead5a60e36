package flow

import (
	"math/bits"
	"math/rand/v2"

	"github.com/tocsin-net/tocsin/capture/decode"
)

// key is a flow's canonical tuple: the lower endpoint first, then the higher one, then ports, VLAN, protocol and version.
type key struct {
	a, b decode.Addr
	rest uint64 // a's port, b's port, VLAN, layer 4 protocol, IP version; 16, 16, 16, 8 and 8 bits
}

// makeKey also returns which side sent the packet: 0 for a, 1 for b.
func makeKey(src, dst decode.Addr, sport, dport, vlan uint16, l4 uint8, v6 bool) (k key, side uint8) {
	if src.Hi > dst.Hi || src.Hi == dst.Hi && (src.Lo > dst.Lo || src.Lo == dst.Lo && sport > dport) {
		src, dst, sport, dport, side = dst, src, dport, sport, 1
	}
	k.a, k.b = src, dst
	k.rest = uint64(sport)<<48 | uint64(dport)<<32 | uint64(vlan)<<16 | uint64(l4)<<8
	if v6 {
		k.rest |= 1
	}
	return k, side
}

// equal spares the call that comparing the whole struct would cost.
func (k *key) equal(o *key) bool {
	return k.rest == o.rest && k.a.Lo == o.a.Lo && k.b.Lo == o.b.Lo && k.a.Hi == o.a.Hi && k.b.Hi == o.b.Hi
}

func (k *key) port(side uint8) uint16 { return uint16(k.rest >> (48 - 16*(side&1))) }
func (k *key) vlan() uint16           { return uint16(k.rest >> 16) }
func (k *key) l4() uint8              { return uint8(k.rest >> 8) }
func (k *key) v6() bool               { return k.rest&1 != 0 }

func (k *key) addr(side uint8) decode.Addr {
	if side == 0 {
		return k.a
	}
	return k.b
}

// seeds keep an attacker from choosing tuples that collide.
type seeds [4]uint64

func newSeeds() seeds {
	return seeds{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (s *seeds) hash(k *key) uint32 {
	h := fold(k.a.Hi^s[0], k.a.Lo^s[1]) + k.rest
	h = fold(k.b.Hi^s[2]^h, k.b.Lo^s[3])
	h = fold(h^s[1], s[0])
	return uint32(h ^ h>>32)
}

// index is an open-addressing hash table from a 32-bit hash to a slab index. Hashes may repeat; the caller compares the
// records. A slot holds the hash in its upper half and the index plus one in its lower; deleting shifts back, so there
// are no tombstones, and growing needs no record.
type index struct {
	slots []uint64
	mask  uint32
	n     int
}

func newIndex() index { return index{slots: make([]uint64, 1024), mask: 1023} }

func (x *index) insert(h, i uint32) {
	if x.n*8 >= len(x.slots)*5 {
		old := x.slots
		x.slots = make([]uint64, 2*len(old))
		x.mask = uint32(len(x.slots) - 1)
		for _, s := range old {
			if s != 0 {
				x.place(s)
			}
		}
	}
	x.place(uint64(h)<<32 | uint64(i+1))
	x.n++
}

func (x *index) place(s uint64) {
	p := uint32(s>>32) & x.mask
	for x.slots[p] != 0 {
		p = (p + 1) & x.mask
	}
	x.slots[p] = s
}

func (x *index) remove(h, i uint32) {
	want := uint64(h)<<32 | uint64(i+1)
	p := h & x.mask
	for x.slots[p] != want {
		if x.slots[p] == 0 {
			return
		}
		p = (p + 1) & x.mask
	}
	x.n--
	for q := (p + 1) & x.mask; x.slots[q] != 0; q = (q + 1) & x.mask {
		home := uint32(x.slots[q]>>32) & x.mask
		if (q-home)&x.mask >= (q-p)&x.mask {
			x.slots[p] = x.slots[q]
			p = q
		}
	}
	x.slots[p] = 0
}

// slab is a growing array of records that never move. Freed ones are used again.
type slab[T any] struct {
	chunks []*[chunkSize]T
	n      uint32 // records ever used
	free   []uint32
}

const (
	chunkBits = 8
	chunkSize = 1 << chunkBits
)

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i>>chunkBits][i&(chunkSize-1)] }

// take returns a record's index; the record holds what its last user left.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if s.n&(chunkSize-1) == 0 {
		s.chunks = append(s.chunks, new([chunkSize]T))
	}
	s.n++
	return s.n - 1
}

func (s *slab[T]) give(i uint32) { s.free = append(s.free, i) }
func (s *slab[T]) used() int     { return int(s.n) - len(s.free) }
