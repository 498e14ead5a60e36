package source

import (
	"encoding/binary"
	"io"
)

// pcap is the state of the classic format (draft-ietf-opsawg-pcap).
type pcap struct {
	order  binary.ByteOrder
	big    bool
	header int   // length of a record header: 16, or 24 in Kuznetzov's variant
	unit   int64 // nanoseconds of one unit of the fraction
	link   uint16
	fcs    int // bytes of frame check sequence at the end of each packet
}

// openPcap reads the file header if head is that of a pcap file.
func (r *Reader) openPcap(head []byte) (bool, error) {
	if len(head) < 4 {
		return false, nil
	}
	p := pcap{order: binary.LittleEndian, header: 16, unit: 1000}
	magic := binary.LittleEndian.Uint32(head)
	if head[0] == 0xa1 {
		p.order, p.big = binary.BigEndian, true
		magic = binary.BigEndian.Uint32(head)
	}
	switch magic {
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		p.unit = 1
	case 0xa1b2cd34:
		p.header = 24
	default:
		return false, nil
	}
	if len(head) < 24 {
		return false, r.cut("its header")
	}
	if major := p.order.Uint16(head[4:]); major != 2 {
		return false, r.broken("pcap version %d.%d, only 2.x is known", major, p.order.Uint16(head[6:]))
	}
	network := p.order.Uint32(head[20:])
	p.link = uint16(network)
	if network&(1<<26) != 0 {
		p.fcs = int(network>>28) * 2
	}
	r.pcap, r.parse = p, r.nextPcap
	r.pos = 24
	return true, nil
}

func (r *Reader) nextPcap(ps []Packet) (int, error) {
	n := 0
	hl := r.pcap.header
	for n < len(ps) {
		b := r.buf[r.pos:r.end]
		if len(b) < hl {
			if n > 0 {
				return n, nil
			}
			if err := r.fill(hl); err != nil {
				return 0, err
			}
			if b = r.buf[r.pos:r.end]; len(b) == 0 {
				return 0, r.cut("")
			} else if len(b) < hl {
				return 0, r.cut("a packet's header")
			}
		}
		var sec, frac, caplen, wire uint32
		if r.pcap.big {
			sec, frac = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
			caplen, wire = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
		} else {
			sec, frac = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
			caplen, wire = binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
		}
		if caplen > maxCapture {
			if n > 0 {
				return n, nil
			}
			return 0, r.broken("a packet claims %d captured bytes", caplen)
		}
		size := hl + int(caplen)
		if len(b) < size {
			if n > 0 {
				return n, nil
			}
			if err := r.fill(size); err != nil {
				return 0, err
			}
			if b = r.buf[r.pos:r.end]; len(b) < size {
				return 0, r.cut("a packet")
			}
		}
		r.pos += size
		p := &ps[n]
		p.Data, p.Wire = frame(b[hl:size:size], int(wire), r.pcap.fcs)
		p.Time = int64(sec)*1e9 + int64(frac)*r.pcap.unit
		p.Link = r.pcap.link
		n++
	}
	return n, nil
}

// frame cuts the check sequence off a packet. Writers sometimes leave out the length on the wire; then it is what was
// captured.
func frame(data []byte, wire, fcs int) ([]byte, int) {
	if wire < len(data) || wire > 1<<30 {
		wire = len(data)
	}
	if fcs > 0 && wire > fcs {
		wire -= fcs
		data = data[:min(len(data), wire)]
	}
	return data, wire
}

var _ io.Closer = (*Reader)(nil)
