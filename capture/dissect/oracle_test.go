package dissect_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/dissect"
	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/capture/source"
)

// testdata finds the folder of captures with labels that lies beside the repository, or where $TOCSIN_TESTDATA says.
func testdata(t *testing.T) string {
	t.Helper()
	if d := os.Getenv("TOCSIN_TESTDATA"); d != "" {
		return d
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if d := filepath.Join(dir, "shared", "data"); isDir(d) {
			return d
		}
	}
	t.Skip("no ../shared/data beside the repository and no $TOCSIN_TESTDATA: labelled captures are not part of the project")
	return ""
}

func isDir(d string) bool {
	st, err := os.Stat(d)
	return err == nil && st.IsDir()
}

// wanted is a labelled flow.
type wanted struct {
	File, L4, Src, Dst, Proto string
	SPort, DPort              uint16
	Host                      string `json:"Hostname/SNI"`
	JA4                       string
	SHA1                      string `json:"Certificate SHA-1"`
	Cipher                    string
}

type result struct {
	protocol, app dissect.Protocol
	meta          *dissect.Meta
}

// flowKey is the same for both directions.
func flowKey(l4 string, a netip.Addr, ap uint16, b netip.Addr, bp uint16) string {
	x, y := netip.AddrPortFrom(a.Unmap(), ap), netip.AddrPortFrom(b.Unmap(), bp)
	if x.Compare(y) > 0 {
		x, y = y, x
	}
	return fmt.Sprint(l4, x, y)
}

// collector keeps the first flow of each key.
type collector struct{ flows map[string]result }

func (c collector) Hooks() flow.HookSet         { return flow.Hooks(flow.End) }
func (c collector) Periods() []flow.Period      { return nil }
func (c collector) Hosts(*flow.HostBatch) error { return nil }
func (c collector) Flows(b *flow.Block) error {
	for i := range b.N {
		k := flowKey(flow.L4Name(b.L4[i]), b.Client[i], b.ClientPort[i], b.Server[i], b.ServerPort[i])
		if _, ok := c.flows[k]; !ok {
			c.flows[k] = result{b.Protocol[i], b.App[i], b.Meta[i]}
		}
	}
	return nil
}

// share counts agreement.
type share struct{ same, all int }

func (s *share) add(same bool) {
	s.all++
	if same {
		s.same++
	}
}

func (s share) percent() float64 { return 100 * float64(s.same) / float64(max(s.all, 1)) }

// TestOracle compares with the labels and metadata that nDPI gives to the captures of its regression tests. nDPI takes the
// first two characters of an ALPN for JA4 and reads "i" as "the name is an address", FoxIO the first and the last and "no
// name": those three characters are left out.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 350 captures")
	}
	dir := filepath.Join(testdata(t), "ndpi")
	in, err := os.Open(filepath.Join(dir, "flows.jsonl.gz"))
	if err != nil {
		t.Skip("no labels: ", err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]wanted{}
	for sc := bufio.NewScanner(z); sc.Scan(); {
		var w wanted
		if err := json.Unmarshal(sc.Bytes(), &w); err != nil {
			t.Fatal(err)
		}
		want[w.File] = append(want[w.File], w)
	}
	var master, full, sni, ja4, cert, cipher share
	for file, ws := range want {
		if file == "synscan.pcap" {
			continue
		}
		r, err := source.Open(filepath.Join(dir, "pcap", file))
		if err != nil {
			continue
		}
		c := collector{map[string]result{}}
		_, _ = capture.Run(context.Background(), r, c, capture.Options{}) // damaged captures are read as far as they go
		for _, w := range ws {
			src, err1 := netip.ParseAddr(strings.Trim(w.Src, "[]"))
			dst, err2 := netip.ParseAddr(strings.Trim(w.Dst, "[]"))
			if err1 != nil || err2 != nil {
				continue
			}
			g, ok := c.flows[flowKey(w.L4, src, w.SPort, dst, w.DPort)]
			if !ok {
				continue
			}
			m, _, _ := strings.Cut(w.Proto, ".")
			master.add(m == g.protocol.String())
			full.add(w.Proto == dissect.Label(g.protocol, g.app))
			tls := &dissect.TLS{}
			if g.meta != nil && g.meta.TLS != nil {
				tls = g.meta.TLS
			}
			if w.JA4 != "" {
				ja4.add(g.meta != nil && stripJA4(w.JA4) == stripJA4(g.meta.JA4))
				if w.Host != "" {
					sni.add(strings.EqualFold(w.Host, tls.SNI))
				}
			}
			if w.SHA1 != "" {
				cert.add(tls.Certificate != nil && tls.Certificate.SHA1 == w.SHA1)
			}
			if w.Cipher != "" {
				cipher.add(dissect.CipherName(tls.Cipher) == w.Cipher)
			}
		}
	}
	t.Logf("agreement: master %.1f%%, full %.1f%% of %d flows; SNI %.1f%% of %d, JA4 %.1f%% of %d, certificate %.1f%% of %d, cipher %.1f%% of %d",
		master.percent(), full.percent(), master.all, sni.percent(), sni.all, ja4.percent(), ja4.all, cert.percent(), cert.all, cipher.percent(), cipher.all)
	for _, x := range []struct {
		what string
		s    share
		min  float64
	}{{"master", master, 93}, {"full", full, 90}, {"SNI", sni, 97}, {"JA4", ja4, 95}, {"certificate", cert, 97}, {"cipher", cipher, 95}} {
		if x.s.percent() < x.min {
			t.Errorf("%s agrees in %.1f%%, want %.0f%%", x.what, x.s.percent(), x.min)
		}
	}
}

func stripJA4(s string) string {
	if len(s) < 36 {
		return s
	}
	s = s[:3] + s[4:8] + s[10:]
	return strings.ReplaceAll(s, "e3b0c44298fc", "000000000000") // the hash of nothing
}
