package endpoint_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"testing"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
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

// BenchmarkInstalled reads a folder of 100 plug-ins, as a first start does and as a later one does, and then uses three of them.
func BenchmarkInstalled(b *testing.B) {
	for _, c := range []struct {
		name  string
		n     int
		again bool
	}{{"3", 3, false}, {"100", 100, false}, {"100/again", 100, true}} {
		b.Run(c.name, func(b *testing.B) {
			n := c.n
			dir, cache := b.TempDir(), filepath.Join(b.TempDir(), "c")
			for i := range n {
				name := fmt.Sprintf("hook%d", i)
				wasm := packed(b, "0.1.0", nil, `name = "webhook"`, `name = "`+name+`"`)
				if err := os.WriteFile(filepath.Join(dir, name+".wasm"), wasm, 0o600); err != nil {
					b.Fatal(err)
				}
			}
			data := b.TempDir()
			s, err := store.Open(data)
			if err != nil {
				b.Fatal(err)
			}
			if c.again {
				w := &bench{t: b, dir: dir}
				w.until("the index has them all", func() bool {
					scanned(w, data)
					text, err := os.ReadFile(filepath.Join(data, "index.json"))
					return err == nil && bytes.Count(text, []byte("sha256")) == n
				})
			}
			var heap, rss float64
			rounds := 0
			for b.Loop() {
				rounds++
				b.StopTimer()
				heap0, rss0 := held()
				rt, err := sandbox.New(sandbox.Options{CacheDir: cache})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				r := endpoint.NewRegistry(rt, dir)
				if c.again {
					r.Use(s, slog.New(slog.DiscardHandler))
				}
				if problems := r.Scan(); len(problems) > 0 {
					b.Fatal(problems)
				}
				b.StopTimer()
				heap1, rss1 := held()
				heap, rss = heap+heap1-heap0, rss+rss1-rss0
				if rounds == 1 { // the three work
					for i := range 3 {
						if _, err := r.Handle(b.Context(), fmt.Sprintf("hook%d", i)); err != nil {
							b.Fatal(err)
						}
					}
				}
				if err := r.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
				_ = rt.Close(b.Context())
				b.StartTimer()
			}
			b.ReportMetric(heap/float64(rounds), "heap-KiB")
			b.ReportMetric(rss/float64(rounds), "RSS-KiB")
		})
	}
}

// BenchmarkCall takes the call of a guest apart: writing its input, the call, reading its output, and beside it what is left of a call when
// the guest does nothing.
func BenchmarkCall(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		in := batch(n)
		input := in.AppendJSON(nil)
		module, err := runtime(b).Compile(b.Context(), "webhook", build.ForTest(b, "webhook").Wasm, sandbox.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		output, err := module.Call(b.Context(), pdk.ExportRender, input)
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, f func() error) {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("marshal", func() error { in.AppendJSON(nil); return nil })
		run("guest", func() error { _, err := module.Call(b.Context(), pdk.ExportRender, input); return err })
		run("unmarshal", func() error { return new(pdk.RenderOutput).DecodeJSON(output) })
		echo, err := runtime(b).Compile(b.Context(), "echo", echoModule(b), sandbox.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		run("echo", func() error { _, err := echo.Call(b.Context(), pdk.ExportRender, input); return err })
	}
}

// echoModule answers with its input, which it does not look at.
func echoModule(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "sandbox", "testdata", "hostile", "echo.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
