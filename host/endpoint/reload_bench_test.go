package endpoint_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin/store"
	"github.com/tocsin-net/tocsin/host/sandbox"
)

// BenchmarkDropToServing is the time from a file's renaming into the plug-in folder until its version serves, as users
// have it: the 40 ms for which a file must stand still are part of it.
func BenchmarkDropToServing(b *testing.B) {
	for _, c := range []struct{ name, cache string }{{"cold", ""}, {"cached", "compiled"}} {
		b.Run(c.name, func(b *testing.B) {
			cache := c.cache
			if cache != "" {
				cache = filepath.Join(b.TempDir(), cache)
			}
			rt, err := sandbox.New(sandbox.Options{CacheDir: cache})
			if err != nil {
				b.Fatal(err)
			}
			defer rt.Close(context.Background())
			w := &bench{t: b, dir: b.TempDir(), rt: rt, changes: make(chan endpoint.FileStatus, 100)}
			w.write("webhook.wasm", packed(b, "0.1.0", nil))
			if w.store, err = store.Open(b.TempDir()); err != nil {
				b.Fatal(err)
			}
			w.registry = endpoint.NewRegistry(rt, w.dir)
			w.registry.Use(w.store, slog.New(slog.DiscardHandler))
			w.registry.Scan()
			if w.handle, err = w.registry.Handle(b.Context(), "webhook"); err != nil {
				b.Fatal(err)
			}
			defer w.registry.Close(context.Background())
			if err := w.registry.Adopt(); err != nil {
				b.Fatal(err)
			}
			w.reloader = endpoint.NewReloader(w.registry, endpoint.ReloadOptions{OnChange: func(f endpoint.FileStatus) { w.changes <- f }})
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- w.reloader.Run(ctx) }()
			defer func() { cancel(); <-done }()
			w.want("webhook.wasm", "0.1.0", endpoint.Serving)
			n := 0
			for b.Loop() {
				b.StopTimer()
				n++
				version := fmt.Sprintf("0.2.%d", n)
				wasm := packed(b, version, nil)
				b.StartTimer()
				w.write("webhook.wasm", wasm)
				w.want("webhook.wasm", version, endpoint.Serving)
			}
			b.ReportMetric(float64(len(packed(b, "0.1.0", nil)))/1e6, "MB")
		})
	}
}

// BenchmarkHandleRender is a call through a handle: beside BenchmarkRender it shows what being replaceable costs.
func BenchmarkHandleRender(b *testing.B) {
	w := follow(b, options{ReloadOptions: endpoint.ReloadOptions{Rescan: time.Hour}})
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			in := batch(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.handle.Render(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
