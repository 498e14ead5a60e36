package source

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

type rec struct {
	time int64
	data string
	wire int
	link uint16
}

// classic writes a pcap file.
func classic(o binary.AppendByteOrder, magic uint32, link uint32, recs ...rec) []byte {
	b := o.AppendUint32(nil, magic)
	b = o.AppendUint16(b, 2)
	b = o.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = o.AppendUint32(b, 262144)
	b = o.AppendUint32(b, link)
	unit := int64(1000)
	if magic == 0xa1b23c4d {
		unit = 1
	}
	for _, r := range recs {
		b = o.AppendUint32(b, uint32(r.time/1e9))
		b = o.AppendUint32(b, uint32(r.time%1e9/unit))
		b = o.AppendUint32(b, uint32(len(r.data)))
		b = o.AppendUint32(b, uint32(r.wire))
		if magic == 0xa1b2cd34 {
			b = append(b, make([]byte, 8)...)
		}
		b = append(b, r.data...)
	}
	return b
}

// block writes a pcapng block.
func block(o binary.AppendByteOrder, kind uint32, body []byte) []byte {
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	n := uint32(12 + len(body))
	b := o.AppendUint32(nil, kind)
	b = o.AppendUint32(b, n)
	b = append(b, body...)
	return o.AppendUint32(b, n)
}

func section(o binary.AppendByteOrder) []byte {
	b := o.AppendUint32(nil, byteOrderMagic)
	b = o.AppendUint16(b, 1)
	b = o.AppendUint16(b, 0)
	return block(o, blockSection, o.AppendUint64(b, ^uint64(0)))
}

func ifaceBlock(o binary.AppendByteOrder, link uint16, options ...byte) []byte {
	b := o.AppendUint16(nil, link)
	b = o.AppendUint16(b, 0)
	b = o.AppendUint32(b, 0)
	return block(o, blockInterface, append(b, options...))
}

func option(o binary.AppendByteOrder, code uint16, v []byte) []byte {
	b := o.AppendUint16(nil, code)
	b = o.AppendUint16(b, uint16(len(v)))
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func packetBlock(o binary.AppendByteOrder, id uint32, stamp uint64, data string, wire int) []byte {
	b := o.AppendUint32(nil, id)
	b = o.AppendUint32(b, uint32(stamp>>32))
	b = o.AppendUint32(b, uint32(stamp))
	b = o.AppendUint32(b, uint32(len(data)))
	b = o.AppendUint32(b, uint32(wire))
	return block(o, blockPacket, append(b, data...))
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func cat(bs ...[]byte) []byte { return bytes.Join(bs, nil) }

// drain reads all packets; the last error is nil for io.EOF.
func drain(in io.Reader, batch int) ([]rec, error) {
	r, err := NewReader(in, "x.pcap")
	if err != nil {
		return nil, err
	}
	var got []rec
	ps := make([]Packet, batch)
	for {
		n, err := r.Next(ps)
		for _, p := range ps[:n] {
			got = append(got, rec{p.Time, string(p.Data), p.Wire, p.Link})
		}
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

var sample = []rec{
	{1700000000123456000, "hello", 5, 1},
	{1700000001000000000, strings.Repeat("x", 70000), 90000, 1},
	{1700000001000001000, "", 60, 1},
}

func TestFormats(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	ngRecs := func(o binary.AppendByteOrder) []byte {
		b := cat(section(o), block(o, 4, []byte("names")), ifaceBlock(o, 1))
		for _, r := range sample {
			b = append(b, packetBlock(o, 0, uint64(r.time/1000), r.data, r.wire)...)
			b = append(b, block(o, 0xbad, bytes.Repeat([]byte{7}, 300000))...) // longer than the buffer
		}
		return b
	}
	for name, file := range map[string][]byte{
		"micro le":   classic(le, 0xa1b2c3d4, 1, sample...),
		"micro be":   classic(be, 0xa1b2c3d4, 1, sample...),
		"nano le":    classic(le, 0xa1b23c4d, 1, sample...),
		"nano be":    classic(be, 0xa1b23c4d, 1, sample...),
		"kuznetzov":  classic(le, 0xa1b2cd34, 1, sample...),
		"ng le":      ngRecs(le),
		"ng be":      ngRecs(be),
		"gzip":       zip(classic(le, 0xa1b2c3d4, 1, sample...)),
		"gzip twice": cat(zip(classic(le, 0xa1b2c3d4, 1, sample[0])), zip(classic(le, 0xa1b2c3d4, 1, sample[1:]...)[24:])),
		"gzip of ng": zip(ngRecs(be)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, in := range []struct {
				how   string
				r     io.Reader
				batch int
			}{
				{"whole", bytes.NewReader(file), 128},
				{"one by one", bytes.NewReader(file), 1},
				{"halves", iotest.HalfReader(bytes.NewReader(file)), 2},
				{"data with error", iotest.DataErrReader(bytes.NewReader(file)), 128},
			} {
				got, err := drain(in.r, in.batch)
				if err != nil || fmt.Sprint(got) != fmt.Sprint(sample) {
					t.Errorf("%s: got %d packets, error %v", in.how, len(got), err)
				}
			}
		})
	}
}

func TestPcapngInterfaces(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	simple := block(le, blockSimple, append(le.AppendUint32(nil, 100), "abcd"...))
	old := le.AppendUint16(nil, 1)
	old = le.AppendUint16(old, 0)
	old = append(old, le.AppendUint32(le.AppendUint32(nil, 0), 5)...)
	old = append(old, le.AppendUint32(le.AppendUint32(nil, 2), 2)...)
	file := cat(
		section(le),
		ifaceBlock(le, 1, option(le, 9, []byte{9})...),
		ifaceBlock(le, 101, cat(option(le, 9, []byte{0x80 | 1}), option(le, 14, le.AppendUint64(nil, 1000)))...),
		packetBlock(le, 0, 1_000_000_007, "a", 1),
		packetBlock(le, 1, 5, "b", 1),
		simple,
		block(le, blockOldPacket, append(old, "cc"...)),
		section(be),
		ifaceBlock(be, 113, option(be, 13, []byte{4})...),
		packetBlock(be, 0, 3_000_000, "dFCS!", 5),
		packetBlock(be, 0, 3_000_000, "cut", 9),
	)
	want := []rec{
		{1_000_000_007, "a", 1, 1},
		{1002_500_000_000, "b", 1, 101},
		{1002_500_000_000, "abcd", 100, 1},
		{1002_500_000_000, "cc", 2, 101},
		{3_000_000_000, "d", 1, 113},
		{3_000_000_000, "cut", 5, 113},
	}
	got, err := drain(bytes.NewReader(file), 128)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
}

func TestDamage(t *testing.T) {
	le := binary.LittleEndian
	pcapFile := classic(le, 0xa1b2c3d4, 1, rec{1e9, "0123456789", 10, 1}, rec{2e9, "abcdefghij", 10, 1})
	ng := cat(section(le), ifaceBlock(le, 1), packetBlock(le, 0, 1e6, "0123456789", 10))
	huge := append(slices.Clip(pcapFile), "12345678\xff\xff\xff\x7f\xff\xff\xff\x7f"...)
	zipped := zip(pcapFile)
	badSum := bytes.Clone(zipped)
	badSum[len(badSum)-8] ^= 1
	for _, tc := range []struct {
		name    string
		file    []byte
		packets int
		offset  int64 // -1: not checked
		reason  string
	}{
		{"cut in a packet", pcapFile[:len(pcapFile)-3], 1, 50, "the file ends within a packet"},
		{"cut in a header", pcapFile[:24+26+9], 1, 50, "the file ends within a packet's header"},
		{"cut in the file header", pcapFile[:10], 0, 0, "the file ends within its header"},
		{"absurd length", huge, 2, 76, "claims 2147483647 captured bytes"},
		{"old version", append([]byte("\xd4\xc3\xb2\xa1\x09\x00\x00\x00"), make([]byte, 16)...), 0, 0, "pcap version 9.0"},
		{"ng cut", append(slices.Clip(ng), ng[len(ng)-44:len(ng)-20]...), 1, int64(len(ng)), "the file ends within a block"},
		{"ng bad length", append(slices.Clip(ng), "\x06\x00\x00\x00\x05\x00\x00\x00____"...), 1, int64(len(ng)), "length of 5 bytes"},
		{"ng no interface", append(slices.Clip(ng), packetBlock(le, 7, 0, "x", 1)...), 1, int64(len(ng)), "was not described"},
		{"gzip cut", zipped[:len(zipped)-9], -1, -1, "the gzip file ends early"},
		{"gzip checksum", badSum, 2, -1, "the gzip checksum does not match"},
		{"gzip and rubbish", append(slices.Clip(zipped), "rubbish that is no gzip"...), 2, -1, "not gzip follows"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := drain(bytes.NewReader(tc.file), 128)
			var d *DamageError
			if !errors.As(err, &d) {
				t.Fatalf("error %v, want a DamageError", err)
			}
			if tc.packets >= 0 && len(got) != tc.packets {
				t.Errorf("%d packets before the damage, want %d", len(got), tc.packets)
			}
			if tc.offset >= 0 && d.Offset != tc.offset {
				t.Errorf("offset %d, want %d", d.Offset, tc.offset)
			}
			if !strings.Contains(err.Error(), tc.reason) || !strings.Contains(err.Error(), "x.pcap") {
				t.Errorf("message %q lacks %q or the file", err, tc.reason)
			}
		})
	}
}

func TestNoCapture(t *testing.T) {
	for want, file := range map[string][]byte{
		"empty":                             nil,
		"it is text":                        []byte("hello, world\nthis is no capture\n"),
		"it is JSON":                        []byte(`{"a":1}`),
		"ELF":                               []byte("\x7fELF\x02\x01\x01\x00 and so on and on"),
		"gzip of text":                      zip([]byte("hello, world, how are you today?")),
		"gzip of empty":                     zip(nil),
		"zstd -dc":                          []byte("\x28\xb5\x2f\xfd 0123456789 0123456789"),
		"a broken gzip file":                []byte("\x1f\x8b\x08"),
		"unknown data that begins with 01 ": {1, 2, 3},
	} {
		_, err := drain(bytes.NewReader(file), 128)
		var f *FormatError
		if !errors.As(err, &f) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "pcapng") {
			t.Errorf("error %v, want a FormatError with %q and what is read", err, want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("open a folder: %v", err)
	}
}

func TestReadErrorIsNoDamage(t *testing.T) {
	fault := errors.New("disk on fire")
	file := classic(binary.LittleEndian, 0xa1b2c3d4, 1, sample...)
	got, err := drain(io.MultiReader(bytes.NewReader(file[:60]), iotest.ErrReader(fault)), 128)
	if len(got) != 1 || !errors.Is(err, fault) || errors.As(err, new(*DamageError)) {
		t.Errorf("%d packets, error %v", len(got), err)
	}
}

func TestOpenCountsProgress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcap")
	file := classic(binary.LittleEndian, 0xa1b2c3d4, 1, sample...)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ps := make([]Packet, 16)
	for err == nil {
		_, err = r.Next(ps)
	}
	if r.BytesRead() != int64(len(file)) || r.Size() != int64(len(file)) || r.Name() != path {
		t.Errorf("read %d of %d, want %d", r.BytesRead(), r.Size(), len(file))
	}
}

func FuzzReader(f *testing.F) {
	le, be := binary.LittleEndian, binary.BigEndian
	small := []rec{{1e9, "0123456789", 10, 1}, {2e9, "abc", 60, 1}}
	f.Add(classic(le, 0xa1b2c3d4, 1, small...))
	f.Add(classic(be, 0xa1b23c4d, 1<<26|4<<28|1, small...))
	f.Add(cat(section(le), ifaceBlock(le, 1, option(le, 9, []byte{0x8a})...), packetBlock(le, 0, 77, "abc", 3), block(le, blockSimple, []byte("\x03\x00\x00\x00abc"))))
	f.Add(cat(section(be), ifaceBlock(be, 1), packetBlock(be, 0, 77, "abc", 3), section(le)))
	f.Add(zip(classic(le, 0xa1b2c3d4, 1, small...)))
	f.Fuzz(func(t *testing.T, file []byte) {
		one, err1 := drain(iotest.OneByteReader(bytes.NewReader(file)), 1)
		all, err2 := drain(bytes.NewReader(file), 128)
		if fmt.Sprint(one) != fmt.Sprint(all) || fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Errorf("the result depends on how the input arrives: %d packets, %v; %d packets, %v", len(one), err1, len(all), err2)
		}
		for _, p := range all {
			if p.wire < len(p.data) {
				t.Errorf("wire length %d of %d captured bytes", p.wire, len(p.data))
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	var recs []rec
	for i := range 10000 {
		recs = append(recs, rec{int64(i) * 1e6, strings.Repeat("p", 60+i*7%1400), 1500, 1})
	}
	for name, file := range map[string][]byte{"pcap": classic(binary.LittleEndian, 0xa1b2c3d4, 1, recs...), "pcapng": func() []byte {
		f := cat(section(binary.LittleEndian), ifaceBlock(binary.LittleEndian, 1))
		for _, r := range recs {
			f = append(f, packetBlock(binary.LittleEndian, 0, uint64(r.time/1000), r.data, r.wire)...)
		}
		return f
	}()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ps := make([]Packet, BatchSize)
			packets := 0
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(file), "bench")
				for err == nil {
					var n int
					n, err = r.Next(ps)
					packets += n
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		})
	}
}
