package app

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// counter is the sink of the benchmarks: it counts a mark in the bodies that arrive, and tells when so many were there. It
// does not decode, for it shares the machine with what is measured.
type counter struct {
	mark    []byte
	arrived atomic.Int64
	on      func(body []byte) // if set, is given each body

	mu   sync.Mutex // mu guards what follows
	want int64
	done chan struct{}
}

func (c *counter) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender tries again
	}
	if c.on != nil {
		c.on(body)
	}
	n := c.arrived.Add(int64(bytes.Count(body, c.mark)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done != nil && n >= c.want {
		close(c.done)
		c.done = nil
	}
}

// after gives a channel that is closed when n more marks have arrived.
func (c *counter) after(n int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want, c.done = c.arrived.Load()+int64(n), make(chan struct{})
	return c.done
}

// benchAlert is a flow alert of usual size.
func benchAlert(i int) *alert.Alert {
	now := time.Now()
	return &alert.Alert{
		ID: alert.NewID(), Time: now, Entity: alert.EntityFlow, AlertID: 28, Check: "flow/tls_certificate_expired",
		Title: "TLS certificate expired", Category: alert.Security, Severity: alert.Error, Score: 100,
		Message:   "The certificate of expired.example ran out 12 days ago.",
		Advice:    "Renew the certificate; until then clients that check it refuse the service.",
		Interface: "bench", Flow: &alert.Flow{
			L4: "TCP", Client: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Server: netip.MustParseAddr("203.0.113.20"),
			ClientPort: uint16(40000 + i%20000), ServerPort: 443, Protocol: "TLS", Hostname: "expired.example",
			CommunityID: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", First: now.Add(-time.Second), Last: now,
			Packets: [2]uint64{12, 14}, Bytes: [2]uint64{1800, 9600}, Attacker: alert.Client, Victim: alert.Server,
		},
	}
}

// batched is the webhook plug-in with another batch in its manifest.
func batched(b testing.TB, most int, window string) []byte {
	b.Helper()
	p := build.ForTest(b, "webhook")
	parts := p.Parts()
	const own = "max = 100\n"
	if !strings.Contains(string(parts.Manifest), own) {
		b.Fatal("the webhook's manifest has another [batch] by now: change this test")
	}
	m := strings.Replace(string(parts.Manifest), own, fmt.Sprintf("max = %d\nwindow = %q\n", most, window), 1)
	if strings.Contains(m, "[features]") {
		b.Fatal("the webhook's manifest has [features] by now: change this test")
	}
	parts.Manifest = []byte(m + "\n[features]\ndigest = true\n")
	wasm, err := plugin.Pack(p.Module(), parts)
	if err != nil {
		b.Fatal(err)
	}
	return wasm
}

// delivering starts a service that sends everything to a webhook at a real HTTP server on the loopback.
func delivering(b testing.TB, sink http.Handler, wasm []byte) *App {
	b.Helper()
	cfg := configured(b, serving(b, sink))
	drop(b, cfg, wasm)
	return started(b, cfg)
}

// raise hands n alerts to the service as a capture does, in blocks.
func raise(b testing.TB, k *keeper, n, block int) {
	b.Helper()
	for i := range n {
		k.add(benchAlert(i))
		if (i+1)%block == 0 || i == n-1 {
			if err := k.flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

const benchRound = 5000 // alerts in one operation

// BenchmarkEndToEnd measures alerts from the checks to a local webhook: stored with their deliveries (durable, as always),
// leased, rendered by the real plug-in, sent over HTTP, and settled. An operation is benchRound alerts.
func BenchmarkEndToEnd(b *testing.B) {
	for _, most := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", most), func(b *testing.B) {
			sink := &counter{mark: []byte(`"alert_id":`)}
			a := delivering(b, sink, batched(b, most, "0s"))
			k := newKeeper(b.Context(), a)
			b.ReportAllocs()
			var begin time.Duration
			for b.Loop() {
				if begin == 0 {
					begin = cpuTime(b)
				}
				all := sink.after(benchRound)
				raise(b, k, benchRound, 500)
				<-all
				if left, _, err := a.WaitIdle(b.Context()); err != nil || left != 0 {
					b.Fatalf("%d left, %v", left, err)
				}
			}
			b.ReportMetric(benchRound*float64(b.N)/b.Elapsed().Seconds(), "alerts/s")
			b.ReportMetric(float64((cpuTime(b)-begin).Microseconds())/benchRound/float64(b.N), "cpu-us/alert")
			b.StopTimer()
			if err := k.close(); err != nil {
				b.Fatal(err)
			}
			counts, err := a.Ledger().Counts(b.Context())
			if err != nil || len(counts) != 1 || counts[0].Delivered != int64(benchRound*b.N) || sink.arrived.Load() != int64(benchRound*b.N) {
				b.Fatalf("%d arrived of %d, the ledger says %+v, %v", sink.arrived.Load(), benchRound*b.N, counts, err)
			}
		})
	}
}

// BenchmarkLatency raises 1,000 alerts a second, one at a time, and measures from there to the sink. An operation is one
// alert; ask for -benchtime 5000x.
func BenchmarkLatency(b *testing.B) {
	for _, c := range []struct {
		most   int
		window string
	}{{1, "0s"}, {100, "0s"}, {100, "5ms"}} {
		b.Run(fmt.Sprintf("batch=%d/window=%s", c.most, c.window), func(b *testing.B) {
			var mu sync.Mutex // guards raised and took
			raised := map[string]time.Time{}
			took := make([]time.Duration, 0, b.N)
			id := []byte(`"id":"`)
			sink := &counter{mark: []byte(`"alert_id":`)}
			sink.on = func(body []byte) {
				now := time.Now()
				mu.Lock()
				defer mu.Unlock()
				for rest := body; ; {
					i := bytes.Index(rest, id)
					if i < 0 || len(rest) < i+len(id)+36 {
						return
					}
					rest = rest[i+len(id):]
					if t, ok := raised[string(rest[:36])]; ok {
						took = append(took, now.Sub(t))
						delete(raised, string(rest[:36]))
					}
				}
			}
			a := delivering(b, sink, batched(b, c.most, c.window))
			k := newKeeper(b.Context(), a)
			all := sink.after(b.N)
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			b.ResetTimer()
			begin := time.Now()
			for i := 0; i < b.N; {
				<-tick.C
				for due := min(b.N, int(time.Since(begin)/time.Millisecond)); i < due; i++ {
					al := benchAlert(i)
					mu.Lock()
					raised[al.ID.String()] = time.Now()
					mu.Unlock()
					k.add(al)
					if err := k.flush(); err != nil {
						b.Fatal(err)
					}
				}
			}
			<-all
			b.StopTimer()
			if err := k.close(); err != nil {
				b.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(took)
			for _, q := range []int{50, 99} {
				b.ReportMetric(float64(took[len(took)*q/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", q))
			}
		})
	}
}
