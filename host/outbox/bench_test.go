package outbox

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tocsin-net/tocsin/host/alert"
)

func entries(n int, targets ...string) []Entry {
	es := make([]Entry, n)
	for i := range es {
		es[i] = Entry{flowAlert("The certificate of expired.example ran out 12 days ago"), to(targets...)}
	}
	return es
}

// BenchmarkStore measures durable alerts with one delivery each; an operation is one alert.
func BenchmarkStore(b *testing.B) {
	for _, writers := range []int{1, 8} {
		for _, batch := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("writers=%d/batch=%d", writers, batch), func(b *testing.B) {
				s := open(b, filepath.Join(b.TempDir(), "o.db"), Options{})
				calls := make([][]Entry, (b.N+batch-1)/batch)
				for i := range calls {
					calls[i] = entries(batch, "ops@hook")
				}
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ReportAllocs()
				b.ResetTimer()
				for range writers {
					wg.Go(func() {
						for {
							i := int(next.Add(1)) - 1
							if i >= len(calls) {
								return
							}
							if err := s.Store(b.Context(), calls[i]); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(len(calls)*batch)/b.Elapsed().Seconds(), "alerts/s")
			})
		}
	}
}

// fill stores n alerts that wait for two recipients in turn.
func fill(b *testing.B, s *Store, n int) {
	b.Helper()
	for n > 0 {
		es := entries(min(n, 2000), "ops@hook")
		for i := range es {
			if i%2 == 0 {
				es[i].Targets = to("net@hook")
			}
		}
		ok(b, s.Store(b.Context(), es))
		n -= len(es)
	}
}

// BenchmarkLeaseSettle measures deliveries leased and settled in batches, with a backlog behind them; an operation is
// one delivery.
func BenchmarkLeaseSettle(b *testing.B) {
	for _, batch := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "o.db"), Options{})
			fill(b, s, b.N+1000)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				ds, err := s.Lease(b.Context(), "hook", batch)
				ok(b, err)
				vs := make([]alert.Settlement, len(ds))
				for i, d := range ds {
					vs[i] = alert.Settlement{Delivery: d.ID, State: alert.Delivered, Status: 200}
				}
				ok(b, s.Settle(b.Context(), vs))
				n += len(ds)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// BenchmarkBacklog measures Lease of 10 (given back untouched), Next and Counts with that many deliveries waiting. The
// million is stored only with TOCSIN_BENCH_LARGE=1: that takes a minute.
func BenchmarkBacklog(b *testing.B) {
	sizes := []int{1000, 100_000}
	if os.Getenv("TOCSIN_BENCH_LARGE") != "" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		s := open(b, filepath.Join(b.TempDir(), "o.db"), Options{})
		fill(b, s, n)
		b.Run(fmt.Sprintf("lease/waiting=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ds, err := s.Lease(b.Context(), "hook", 10)
				ok(b, err)
				b.StopTimer()
				vs := make([]alert.Settlement, len(ds))
				for i, d := range ds {
					vs[i] = alert.Settlement{Delivery: d.ID, State: alert.Queued, Uncounted: true}
				}
				ok(b, s.Settle(b.Context(), vs))
				b.StartTimer()
			}
			b.ReportMetric(float64(residentKB())/1024, "rss-MB")
		})
		b.Run(fmt.Sprintf("next/waiting=%d", n), func(b *testing.B) {
			for b.Loop() {
				_, _, err := s.Next(b.Context(), "hook")
				ok(b, err)
			}
		})
		b.Run(fmt.Sprintf("counts/waiting=%d", n), func(b *testing.B) {
			for b.Loop() {
				_, err := s.Counts(b.Context())
				ok(b, err)
			}
		})
	}
}

// residentKB is the process's resident memory where /proc tells, else 0: SQLite's memory is outside Go's heap.
func residentKB() (kb int) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var total, resident int
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize() / 1024
}
