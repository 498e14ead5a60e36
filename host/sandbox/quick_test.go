package sandbox

import (
	"fmt"
	"os"
	"testing"
	"time"
)

func TestQuick(t *testing.T) {
	wasm, err := os.ReadFile("/tmp/webhook.wasm")
	if err != nil {
		t.Skip()
	}
	dir := t.TempDir()
	os.Chmod(dir, 0o700)
	for range 3 {
		r, err := New(Options{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		b := time.Now()
		m, err := r.Compile(t.Context(), "webhook", wasm, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("compile", time.Since(b))
		in := []byte(`{"now":1,"locale":"en","endpoint":{"webhook_url":"http://x"},"recipient":{},"deliveries":[{"id":"a","alert":{"id":"b","score":9007199254740993},"text":"t","subject":"s","attempt":1}]}`)
		for range 3 {
			b = time.Now()
			out, err := m.Call(t.Context(), "render", in)
			fmt.Println("call", time.Since(b), string(out), err)
		}
		_, err = m.Call(t.Context(), "render", []byte(`{"now":"x"}`))
		fmt.Println(err)
		_, err = m.Call(t.Context(), "probe", []byte(`{}`))
		fmt.Println(err, m.Stats())
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
