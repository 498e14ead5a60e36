package meter

import "fmt"

// reader reads the binary format: https://webassembly.github.io/spec/core/binary/. Its methods end by panicking with an
// *Error, which Rewrite catches. It reads numbers exactly as wazero's decoder does.
type reader struct {
	b   []byte
	pos int
	end int // of what may be read now
	// padded is set by a LEB128 number that is longer than it has to be.
	padded bool
}

func (r *reader) fail(kind error, format string, a ...any) {
	panic(&Error{Offset: r.pos, Reason: fmt.Sprintf(format, a...), Kind: kind})
}

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.fail(nil, "it ends in the middle of something")
	}
	c := r.b[r.pos]
	r.pos++
	return c
}

func (r *reader) skip(n uint32) []byte {
	if uint64(n) > uint64(r.end-r.pos) {
		r.fail(nil, "%d bytes should follow, but there are only %d", n, r.end-r.pos)
	}
	s := r.b[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return s
}

func (r *reader) u32() uint32 {
	if r.pos < r.end && r.b[r.pos] < 0x80 {
		r.pos++
		return uint32(r.b[r.pos-1])
	}
	var v uint32
	for i := 0; ; i++ {
		c := r.byte()
		if i == 4 && c > 0x0f {
			r.fail(nil, "this number has more than 32 bits")
		}
		v |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.padded = r.padded || c == 0 && i > 0
			return v
		}
	}
}

// signed reads a signed number of 32 or 64 bits.
func (r *reader) signed(bits int) int64 {
	var (
		v     int64
		last  = (bits+6)/7 - 1
		check = byte(0x30) // wazero looks at these of the unused bits in the last byte, and at no other
	)
	if bits == 64 {
		check = 0x3e
	}
	var before byte
	for i := 0; ; i++ {
		c := r.byte()
		if i > last {
			r.fail(nil, "this number has more than %d bits", bits)
		}
		v |= int64(c&0x7f) << (7 * i)
		if c >= 0x80 {
			before = c
			continue
		}
		if i < last {
			shift := 64 - 7*(i+1)
			v = v << shift >> shift
		} else {
			if bits == 32 {
				v = int64(int32(v))
			}
			if used := c & check; v < 0 && used != check || v >= 0 && used != 0 {
				r.fail(nil, "this number has more than %d bits", bits)
			}
		}
		r.padded = r.padded || i == last || i > 0 && (c == 0 && before&0x40 == 0 || c == 0x7f && before&0x40 != 0)
		return v
	}
}

// blockType reads a signed number of 33 bits.
func (r *reader) blockType() int64 {
	var v int64
	for i := range 5 {
		c := r.byte()
		v |= int64(c&0x7f) << (7 * i)
		if i < 4 && c >= 0x80 {
			continue
		}
		r.padded = r.padded || i > 0 // Then a number is kept, but perhaps not its encoding.
		if i < 4 {
			shift := 64 - 7*(i+1)
			return v << shift >> shift
		}
		v = v << (64 - 33) >> (64 - 33)
		if unused := c & 0x20; v < 0 && unused == 0 || v >= 0 && unused != 0 {
			r.fail(nil, "this number has more than 33 bits")
		}
	}
	return v
}

// count reads the length of a vector whose elements have at least min bytes each. Decoders make room for as many elements
// as a vector says it has, so one that cannot be true must not reach them.
func (r *reader) count(min int) int {
	n := r.u32()
	if uint64(n)*uint64(min) > uint64(r.end-r.pos) {
		r.fail(nil, "it says that %d things follow, for which the %d bytes left have no room", n, r.end-r.pos)
	}
	return int(n)
}

// index reads the index of something of which there are n.
func (r *reader) index(n int, what string) uint32 {
	i := r.u32()
	if uint64(i) >= uint64(n) {
		r.fail(nil, "%s %d is used, but there are %d", what, i, n)
	}
	return i
}

func (r *reader) name() string { return string(r.skip(r.u32())) }

func (r *reader) valueType() {
	switch t := r.byte(); t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	default:
		r.pos--
		r.fail(ErrUnsupported, "the value type 0x%02x is not supported", t)
	}
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func appendSigned(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}
