package source

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// Block types of pcapng (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockOldPacket = 2
	blockSimple    = 3
	blockPacket    = 6

	byteOrderMagic = 0x1a2b3c4d
	maxInterfaces  = 1 << 16 // a section with more is taken for damage
)

type pcapng struct {
	order  binary.ByteOrder
	ifaces []iface
	last   int64 // time of the last packet, for simple packet blocks, which carry none
}

// iface is what an interface description block says.
type iface struct {
	link   uint16
	snap   uint32
	fcs    int
	mul    uint64 // a time stamp of t units is t*mul/div nanoseconds
	div    uint64
	offset int64 // nanoseconds to add
}

func (r *Reader) openPcapng(head []byte) (bool, error) {
	if len(head) < 4 || binary.LittleEndian.Uint32(head) != blockSection {
		return false, nil
	}
	if len(head) < 12 {
		return false, r.cut("its header")
	}
	if binary.LittleEndian.Uint32(head[8:]) != byteOrderMagic && binary.BigEndian.Uint32(head[8:]) != byteOrderMagic {
		return false, nil
	}
	r.ng.order = binary.LittleEndian
	r.parse = r.nextPcapng
	return true, nil
}

func (r *Reader) nextPcapng(ps []Packet) (int, error) {
	n := 0
	for n < len(ps) {
		b := r.buf[r.pos:r.end]
		if len(b) < 12 {
			if n > 0 {
				return n, nil
			}
			if err := r.fill(12); err != nil {
				return 0, err
			}
			if b = r.buf[r.pos:r.end]; len(b) == 0 {
				return 0, r.cut("")
			} else if len(b) < 12 {
				return 0, r.cut("a block's header")
			}
		}
		order := r.ng.order
		kind := order.Uint32(b)
		if kind == blockSection { // the same in either byte order
			if n > 0 {
				return n, nil // a new section forgets the interfaces; what is parsed stays as it is
			}
			switch {
			case binary.LittleEndian.Uint32(b[8:]) == byteOrderMagic:
				order = binary.LittleEndian
			case binary.BigEndian.Uint32(b[8:]) == byteOrderMagic:
				order = binary.BigEndian
			default:
				return 0, r.broken("a section header without its byte-order magic")
			}
			r.ng.order, r.ng.ifaces = order, r.ng.ifaces[:0]
		}
		size := order.Uint32(b[4:])
		if size < 12 || size%4 != 0 && size > math.MaxUint32-3 {
			if n > 0 {
				return n, nil
			}
			return 0, r.broken("a block of type %#x claims a length of %d bytes", kind, size)
		}
		padded := int64(size)
		if size%4 != 0 { // some writers leave the padding out of the length
			padded = int64(size) + int64(4-size%4)
		}
		switch kind {
		case blockInterface, blockPacket, blockSimple, blockOldPacket:
		default:
			if int64(len(b)) >= padded {
				r.pos += int(padded)
				continue
			}
			if n > 0 {
				return n, nil // skipping reads on, which would overwrite the packets handed out
			}
			got, err := r.skip(padded)
			if err != nil {
				return 0, err
			}
			if got < padded {
				return 0, r.cut("a block")
			}
			continue
		}
		if padded > maxBlock {
			if n > 0 {
				return n, nil
			}
			return 0, r.broken("a block of type %#x claims a length of %d bytes", kind, size)
		}
		if int64(len(b)) < padded {
			if n > 0 {
				return n, nil
			}
			if err := r.fill(int(padded)); err != nil {
				return 0, err
			}
			if b = r.buf[r.pos:r.end]; int64(len(b)) < padded {
				return 0, r.cut("a block")
			}
		}
		body := b[8 : size-4 : size-4]
		why := ""
		if kind == blockInterface {
			why = r.ng.describe(body)
		} else if why = r.ng.packet(kind, body, &ps[n]); why == "" {
			n++
		}
		if why != "" {
			if n > 0 {
				return n, nil
			}
			return 0, r.broken("%s", why)
		}
		r.pos += int(padded)
	}
	return n, nil
}

// describe takes an interface description block; it returns what is wrong with it.
func (g *pcapng) describe(b []byte) string {
	if len(b) < 8 {
		return "an interface description that is too short"
	}
	if len(g.ifaces) >= maxInterfaces {
		return "a section with too many interfaces"
	}
	f := iface{link: g.order.Uint16(b), snap: g.order.Uint32(b[4:]), mul: 1000, div: 1}
	for o := b[8:]; len(o) >= 4; {
		code, n := g.order.Uint16(o), int(g.order.Uint16(o[2:]))
		o = o[4:]
		if code == 0 || n > len(o) {
			break
		}
		v := o[:n]
		switch {
		case code == 9 && n >= 1: // if_tsresol
			if f.mul, f.div = resolution(v[0]); f.div == 0 {
				return "an interface with a time resolution that cannot be represented"
			}
		case code == 14 && n >= 8: // if_tsoffset, seconds
			if s := int64(g.order.Uint64(v)); s > -1<<32 && s < 1<<32 {
				f.offset = s * 1e9
			}
		case code == 13 && n >= 1: // if_fcslen, in bits or bytes by writer
			if f.fcs = int(v[0]); f.fcs >= 16 {
				f.fcs /= 8
			}
		}
		o = o[min(len(o), (n+3)&^3):]
	}
	g.ifaces = append(g.ifaces, f)
	return ""
}

// resolution turns if_tsresol into the factor to nanoseconds; a div of 0 says that there is none.
func resolution(v byte) (mul, div uint64) {
	if v&0x80 != 0 {
		if v&0x7f > 63 {
			return 0, 0
		}
		return 1e9, 1 << (v & 0x7f)
	}
	if v > 19 {
		return 0, 0
	}
	mul, div = 1, 1
	for i := v; i < 9; i++ {
		mul *= 10
	}
	for i := byte(9); i < v; i++ {
		div *= 10
	}
	return mul, div
}

// packet reads a packet's block into p; it returns what is wrong with it.
func (g *pcapng) packet(kind uint32, b []byte, p *Packet) string {
	var id, caplen, wire uint32
	var stamp uint64
	timed := true
	o := g.order
	switch kind {
	case blockPacket:
		if len(b) < 20 {
			return "a packet block that is too short"
		}
		id, caplen, wire = o.Uint32(b), o.Uint32(b[12:]), o.Uint32(b[16:])
		stamp = uint64(o.Uint32(b[4:]))<<32 | uint64(o.Uint32(b[8:]))
		b = b[20:]
	case blockOldPacket:
		if len(b) < 20 {
			return "a packet block that is too short"
		}
		id, caplen, wire = uint32(o.Uint16(b)), o.Uint32(b[12:]), o.Uint32(b[16:])
		stamp = uint64(o.Uint32(b[4:]))<<32 | uint64(o.Uint32(b[8:]))
		b = b[20:]
	default:
		if len(b) < 4 {
			return "a packet block that is too short"
		}
		wire = o.Uint32(b)
		b = b[4:]
		caplen = min(wire, uint32(len(b)))
		timed = false
	}
	if uint64(id) >= uint64(len(g.ifaces)) {
		return "a packet of an interface that was not described"
	}
	f := &g.ifaces[id]
	if !timed && f.snap > 0 {
		caplen = min(caplen, f.snap)
	}
	if int64(caplen) > int64(len(b)) {
		return "a packet that is longer than its block"
	}
	if caplen > maxCapture {
		return "a packet that claims too many captured bytes"
	}
	if timed {
		g.last = f.time(stamp)
	}
	p.Data, p.Wire = frame(b[:caplen:caplen], int(wire), f.fcs)
	p.Time = g.last
	p.Link = f.link
	return ""
}

// time converts a time stamp to Unix nanoseconds, never negative; one that does not fit becomes the offset alone.
func (f *iface) time(t uint64) int64 {
	hi, lo := bits.Mul64(t, f.mul)
	if hi >= f.div {
		return max(f.offset, 0)
	}
	ns, _ := bits.Div64(hi, lo, f.div)
	if ns > math.MaxInt64/2 {
		return max(f.offset, 0)
	}
	return max(int64(ns)+f.offset, 0)
}
