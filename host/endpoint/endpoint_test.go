package endpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/sandbox"
	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

// runtime makes a sandbox whose compiled code is kept between test runs, as compiling under the race detector takes long.
func runtime(t testing.TB) *sandbox.Runtime {
	t.Helper()
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	rt, err := sandbox.New(sandbox.Options{CacheDir: filepath.Join(base, "tocsin", "test-compiled")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close(context.Background()) })
	return rt
}

func load(t testing.TB, name string) *endpoint.Type {
	t.Helper()
	ty, err := endpoint.Load(t.Context(), runtime(t), build.ForTest(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return ty
}

// TestVectorsInSandbox runs each first-party plug-in's vectors, which its own test runs natively, as WebAssembly.
func TestVectorsInSandbox(t *testing.T) {
	for _, name := range []string{"webhook", "telegram", "shell"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vectors, err := spec.ReadVectors(os.DirFS(filepath.Join("..", "..", "plugins", name, "testdata", "vectors")))
			if err != nil {
				t.Fatal(err)
			}
			for file, err := range load(t, name).RunVectors(t.Context(), vectors) {
				t.Errorf("%s: %v", file, err)
			}
		})
	}
}

// samples are alerts as the host writes them, as long as real ones are.
var samples = sync.OnceValue(func() (all [][]byte) {
	for _, a := range plugin.Samples() {
		if raw, err := json.Marshal(a); err == nil && len(raw) <= 2000 {
			all = append(all, raw)
		}
	}
	return all
})

func batch(n int) *pdk.RenderInput {
	in := &pdk.RenderInput{
		Now: 1718000100000, Locale: "en", Recipient: pdk.Params{"telegram_channel": "-1001234567890"},
		Endpoint: pdk.Params{"webhook_url": "https://alerts.example.org/hook", "telegram_token": "tocsin-secret-0123456789abcdef0123456789abcdef"},
	}
	for i := range n {
		in.Deliveries = append(in.Deliveries, pdk.Delivery{
			ID: fmt.Sprintf("0192f0c1-a000-7000-8000-%012d", i), Alert: pdk.Alert{Raw: samples()[i%len(samples())]}, Attempt: 1, Subject: "subject",
			Text: "🔴 <b>TLS certificate expired</b>\nThe certificate of intranet.example, which 192.0.2.7 was shown by 198.51.100.9, expired 12 days ago.\nRenew it.",
		})
	}
	return in
}

func TestRenderAndClassify(t *testing.T) {
	ty := load(t, "webhook")
	in := batch(10)
	out, err := ty.Render(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Requests) != 1 || len(out.Requests[0].Deliveries) != 10 {
		t.Fatalf("got %+v", out)
	}
	var body struct{ Alerts []json.RawMessage }
	if err := json.Unmarshal([]byte(out.Requests[0].HTTP.Body), &body); err != nil || len(body.Alerts) != 10 {
		t.Fatal(err)
	}
	if string(body.Alerts[3]) != string(in.Deliveries[3].Alert.Raw) {
		t.Errorf("got %s", body.Alerts[3])
	}
	info := pdk.RequestInfo{Deliveries: out.Requests[0].Deliveries, Kind: "http"}
	before := ty.Stats().Calls
	// The manifest's table decides 2xx without a call of the guest.
	c, err := ty.Classify(t.Context(), &pdk.ClassifyInput{Request: info, Response: &pdk.Response{Status: 202}})
	if err != nil || len(c.Verdicts) != 10 || c.Verdicts[9].Outcome != pdk.Delivered || c.Verdicts[9].Delivery != info.Deliveries[9] {
		t.Fatalf("got %+v, %v", c, err)
	}
	if n := ty.Stats().Calls; n != before {
		t.Errorf("the guest was called %d times", n-before)
	}
	c, err = ty.Classify(t.Context(), &pdk.ClassifyInput{Request: info, Response: &pdk.Response{Status: 429, Headers: map[string]string{"retry-after": "99999999"}}})
	if err != nil || c.Verdicts[0].Outcome != pdk.Retry || c.Verdicts[0].RetryAfterMS != 24*60*60*1000 {
		t.Fatalf("got %+v, %v", c, err)
	}
	if _, err := ty.Classify(t.Context(), &pdk.ClassifyInput{Request: info}); err == nil {
		t.Error("want an error without response and error")
	}
	if _, err := ty.Render(t.Context(), &pdk.RenderInput{}); err == nil {
		t.Error("want an error without deliveries")
	}
	problems, err := ty.Lint(t.Context(), &pdk.LintInput{Endpoint: pdk.Params{"headers": []any{"Host: x"}}})
	if err != nil || len(problems) != 1 || problems[0].Field != "endpoint.headers[0]" {
		t.Errorf("got %+v, %v", problems, err)
	}
	if steps, err := ty.Probe(t.Context(), &pdk.ProbeInput{}); err != nil || steps != nil {
		t.Errorf("got %+v, %v", steps, err)
	}
}

func TestConcurrentUse(t *testing.T) {
	ty := load(t, "shell")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				in := batch(3)
				in.Endpoint = pdk.Params{"shell_script": "x.sh"}
				if out, err := ty.Render(context.Background(), in); err != nil || len(out.Requests) != 3 {
					t.Errorf("got %v, %v", out, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"webhook", "shell"} {
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), build.ForTest(t, name).Wasm, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "z-copy.wasm"), build.ForTest(t, "shell").Wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"bad.wasm": "no module", "empty.wasm": "", "cut.wasm": string(build.ForTest(t, "shell").Wasm[:1000]), "readme.txt": "x", ".half.wasm": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(dir, "none")
	r := endpoint.NewRegistry(runtime(t), dir, missing)
	problems := r.Scan()
	var paths []string
	for _, p := range problems {
		paths = append(paths, filepath.Base(p.Path))
	}
	if got := strings.Join(paths, " "); got != "bad.wasm cut.wasm empty.wasm z-copy.wasm none" {
		t.Errorf("problems with %s: %v", got, problems)
	}
	if !strings.Contains(problems[3].Err.Error(), `the name "shell" is taken by `) {
		t.Error(problems[3].Err)
	}
	all := r.List()
	if len(all) != 2 || all[0].Name != "shell" || all[1].Name != "webhook" {
		t.Errorf("got %+v", all)
	}
	var wg sync.WaitGroup
	types := make([]*endpoint.Type, 4)
	for i := range types {
		wg.Go(func() {
			var err error
			if types[i], err = r.Type(context.Background(), "shell"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if types[0] == nil || types[0] != types[3] {
		t.Error("the module was compiled more than once")
	}
	_, err := r.Type(t.Context(), "webhok")
	var unknown *endpoint.UnknownTypeError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), `offers the endpoint type "webhok"; there are: shell, webhook`) {
		t.Errorf("got %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := types[0].Render(t.Context(), batch(1)); !errors.Is(err, sandbox.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkRender(b *testing.B) {
	for _, name := range []string{"webhook", "telegram"} {
		for _, n := range []int{1, 10, 100} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				ty, in := load(b, name), batch(n)
				b.SetBytes(int64(len(in.AppendJSON(nil))))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ty.Render(b.Context(), in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for name, r := range map[string]*pdk.Response{
		"table": {Status: 200},
		"guest": {Status: 429, Headers: map[string]string{"retry-after": "3", "content-type": "application/json", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}, Body: `{"error":"slow down"}`},
	} {
		b.Run(name, func(b *testing.B) {
			ty := load(b, "webhook")
			in := &pdk.ClassifyInput{Request: pdk.RequestInfo{Deliveries: []string{"0192f0c1-a000-7000-8000-000000000001"}, Kind: "http"}, Response: r}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ty.Classify(b.Context(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"webhook", "telegram", "shell"} {
		pkg := build.ForTest(b, name)
		one := func(b *testing.B, dir string) {
			rt, err := sandbox.New(sandbox.Options{CacheDir: dir})
			if err != nil {
				b.Fatal(err)
			}
			ty, err := endpoint.Load(b.Context(), rt, pkg)
			if err != nil {
				b.Fatal(err)
			}
			in := batch(1)
			in.Endpoint["shell_script"] = "x"
			if _, err := ty.Render(b.Context(), in); err != nil {
				b.Fatal(err)
			}
			if err := rt.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(name+"/cold", func(b *testing.B) {
			for b.Loop() {
				one(b, filepath.Join(b.TempDir(), fmt.Sprint(b.N)))
			}
		})
		b.Run(name+"/cached", func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "c")
			one(b, dir)
			for b.Loop() {
				one(b, dir)
			}
		})
	}
}
