package decode_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/tocsin-net/tocsin/capture/decode"
	"github.com/tocsin-net/tocsin/capture/source"
)

// corpus finds captures outside the repository; the test is skipped without them.
func corpus(t testing.TB) []string {
	dir := os.Getenv("TOCSIN_TESTDATA")
	for up, n := "..", 0; dir == "" && n < 6; up, n = filepath.Join("..", up), n+1 {
		if d := filepath.Join(up, "shared", "data"); isDir(d) {
			dir = d
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "ndpi", "pcap", "*"))
	if len(files) == 0 {
		t.Skip("no corpus of captures: put it into ../shared/data or set TOCSIN_TESTDATA")
	}
	return files
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// each calls f with every packet of a capture, up to its damage.
func each(t testing.TB, path string, f func(p *source.Packet)) {
	r, err := source.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ps := make([]source.Packet, source.BatchSize)
	for {
		n, err := r.Next(ps)
		for i := range ps[:n] {
			f(&ps[i])
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Log(err)
			}
			return
		}
	}
}

// TestOracle compares every plain packet of the corpus with what gopacket makes of it.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	compared, differ := 0, 0
	for _, path := range corpus(t) {
		d := decode.New()
		var got decode.Packet
		each(t, path, func(p *source.Packet) {
			ok := d.Decode(&got, p.Link, p.Data, p.Wire, p.Time)
			if got.Tunnel != decode.NoTunnel || p.Link > 255 || got.WholeLen != got.PayloadLen {
				return
			}
			want := gopacket.NewPacket(p.Data, layers.LinkType(p.Link), gopacket.DecodeOptions{Lazy: false, NoCopy: true})
			if want.ErrorLayer() != nil {
				return
			}
			var src, dst, payload []byte
			for _, l := range want.Layers() {
				switch l := l.(type) {
				case *layers.IPv4:
					if l.Version != 4 { // gopacket believes the link layer
						return
					}
					if l.Flags&layers.IPv4MoreFragments != 0 || l.FragOffset != 0 {
						return
					}
					src, dst = l.SrcIP.To4(), l.DstIP.To4()
				case *layers.IPv6:
					src, dst = l.SrcIP, l.DstIP
				case *layers.IPv6Fragment:
					return
				}
			}
			var sport, dport uint16
			var seq uint32
			switch l := want.TransportLayer().(type) {
			case *layers.TCP:
				sport, dport, seq, payload = uint16(l.SrcPort), uint16(l.DstPort), l.Seq, l.Payload
			case *layers.UDP:
				sport, dport, payload = uint16(l.SrcPort), uint16(l.DstPort), l.Payload
			default:
				return
			}
			compared++
			if !ok || !bytes.Equal(got.Src.Netip(got.V6).AsSlice(), src) || !bytes.Equal(got.Dst.Netip(got.V6).AsSlice(), dst) ||
				got.SrcPort != sport || got.DstPort != dport || got.Seq != seq || !bytes.Equal(got.Payload, payload) {
				if differ++; differ < 10 {
					t.Errorf("%s: found %v: %v:%d > %v:%d seq %d, %d bytes; gopacket: %v:%d > %v:%d seq %d, %d bytes", filepath.Base(path), ok,
						got.Src.Netip(got.V6), got.SrcPort, got.Dst.Netip(got.V6), got.DstPort, got.Seq, len(got.Payload), src, sport, dst, dport, seq, len(payload))
				}
			}
		})
	}
	t.Logf("%d packets compared, %d differ", compared, differ)
	if compared < 10000 {
		t.Errorf("only %d packets could be compared", compared)
	}
}
