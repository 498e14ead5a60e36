// Command variant writes a classic pcap file of Ethernet packets in another form: other byte order, another link layer,
// or damaged. It is part of what makes the captures of capture/testdata and is used by nothing else.
//
//	variant bigendian|vlan|qinq|ppp|truncated|corrupt IN.pcap OUT.pcap
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

const (
	magic    = 0xa1b2c3d4 // microseconds
	fileHead = 24
	recHead  = 16
	ethHead  = 14
	linkPPP  = 9 // LINKTYPE_PPP: frames may begin with address and control, FF 03 (RFC 1662)
)

// A record is one packet: its header's four words and its bytes.
type record struct {
	sec, usec, wire uint32
	data            []byte
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: variant bigendian|vlan|qinq|ppp|truncated|corrupt IN.pcap OUT.pcap")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "variant:", err)
		os.Exit(1)
	}
}

func run(kind, in, out string) error {
	recs, err := read(in)
	if err != nil {
		return fmt.Errorf("%s: %w", in, err)
	}
	if len(recs) < 4 {
		return fmt.Errorf("%s: %d packets, want at least 4", in, len(recs))
	}
	var order binary.AppendByteOrder = binary.LittleEndian
	link := uint32(1)
	switch kind {
	case "bigendian":
		order = binary.BigEndian
	case "vlan": // 802.1Q, id 42
		tag(recs, 0x8100, 42)
	case "qinq": // 802.1ad, outer id 100, inner id 42
		tag(recs, 0x8100, 42)
		tag(recs, 0x88a8, 100)
	case "ppp":
		link = linkPPP
		err = ppp(recs)
	case "truncated", "corrupt":
	default:
		err = fmt.Errorf("unknown variant %q", kind)
	}
	if err != nil {
		return err
	}
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	for _, v := range []uint32{0, 0, 262144, link} {
		b = order.AppendUint32(b, v)
	}
	for i, r := range recs {
		length := uint32(len(r.data))
		if kind == "corrupt" && i == len(recs)/2 {
			length = 0x7fffffff
		}
		for _, v := range []uint32{r.sec, r.usec, length, r.wire} {
			b = order.AppendUint32(b, v)
		}
		b = append(b, r.data...)
		if kind == "truncated" && i == len(recs)/2 {
			b = b[:len(b)-len(r.data)+10] // ends ten bytes into this packet
			break
		}
	}
	return os.WriteFile(out, b, 0o644)
}

func read(name string) ([]record, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if len(b) < fileHead || le.Uint32(b) != magic || le.Uint32(b[20:]) != 1 {
		return nil, errors.New("want a little-endian pcap file of Ethernet packets with microseconds")
	}
	var recs []record
	for b = b[fileHead:]; len(b) > 0; {
		if len(b) < recHead || uint64(len(b)) < recHead+uint64(le.Uint32(b[8:])) {
			return nil, fmt.Errorf("packet %d is cut", len(recs)+1)
		}
		n := recHead + int(le.Uint32(b[8:]))
		recs = append(recs, record{le.Uint32(b), le.Uint32(b[4:]), le.Uint32(b[12:]), b[recHead:n:n]})
		b = b[n:]
	}
	return recs, nil
}

// tag inserts a VLAN tag after the addresses, outside of those that are there.
func tag(recs []record, ethertype, id uint16) {
	for i := range recs {
		r := &recs[i]
		d := append([]byte(nil), r.data[:12]...)
		d = binary.BigEndian.AppendUint16(d, ethertype)
		d = binary.BigEndian.AppendUint16(d, id)
		r.data = append(d, r.data[12:]...)
		r.wire += 4
	}
}

// ppp replaces Ethernet headers by PPP's.
func ppp(recs []record) error {
	for i := range recs {
		r := &recs[i]
		var proto uint16
		switch binary.BigEndian.Uint16(r.data[12:]) {
		case 0x0800:
			proto = 0x0021
		case 0x86dd:
			proto = 0x0057
		default:
			return fmt.Errorf("packet %d is neither IPv4 nor IPv6", i+1)
		}
		d := binary.BigEndian.AppendUint16([]byte{0xff, 0x03}, proto)
		r.data = append(d, r.data[ethHead:]...)
		r.wire -= ethHead - 4
	}
	return nil
}
