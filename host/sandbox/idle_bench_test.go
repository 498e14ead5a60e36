package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"testing"
)

// held is the memory in use after a collection: Go's heap and, where the system tells, what is resident, in KiB.
func held() (heap, resident float64) {
	goruntime.GC()
	debug.FreeOSMemory()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	var pages, rss float64
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(b), &pages, &rss)
	}
	return float64(m.HeapAlloc) / 1024, rss * float64(os.Getpagesize()) / 1024
}

// BenchmarkIdle measures what a first-party plug-in's module holds with its first instance, and what each further instance does that waits
// for calls. A guest's linear memory is a part of Go's heap.
func BenchmarkIdle(b *testing.B) {
	const more = 8
	file := filepath.Join(b.TempDir(), "webhook.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-ldflags=-s -w", "-o", file, "../../plugins/webhook")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	wasm, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	dir := filepath.Join(b.TempDir(), "c")
	var sum [5]float64
	rounds := 0
	for b.Loop() {
		rounds++
		heap0, rss0 := held()
		r, err := New(Options{CacheDir: dir, Instances: more + 1})
		if err != nil {
			b.Fatal(err)
		}
		m, err := r.Compile(b.Context(), "webhook", wasm, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		heap1, rss1 := held()
		var all []*instance
		for range more + 1 {
			in, err := m.take(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			all = append(all, in)
		}
		memory := all[0].memory()
		for _, in := range all {
			m.give(b.Context(), in)
		}
		heap2, rss2 := held()
		for i, v := range []float64{heap1 - heap0, rss1 - rss0, (heap2 - heap1) / more, (rss2 - rss1) / more, float64(memory) / 1024} {
			sum[i] += v
		}
		if err := r.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for i, unit := range []string{"first-heap-KiB", "first-RSS-KiB", "more-heap-KiB", "more-RSS-KiB", "linear-KiB"} {
		b.ReportMetric(sum[i]/float64(rounds), unit)
	}
	b.ReportMetric(0, "ns/op")
}
