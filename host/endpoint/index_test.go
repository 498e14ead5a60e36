package endpoint_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/endpoint"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/store"
)

// indexed scans a folder until the store's index knows its files: it takes none that changed in the last two seconds.
func indexed(b *bench, data, name string) string {
	b.t.Helper()
	file := filepath.Join(data, "index.json")
	b.until("the index has "+name, func() bool {
		scanned(b, data)
		text, err := os.ReadFile(file)
		return err == nil && bytes.Contains(text, []byte(name))
	})
	return file
}

// scanned is a new registry of the folder, as a start makes it.
func scanned(b *bench, data string) *endpoint.Registry {
	b.t.Helper()
	s, err := store.Open(data)
	if err != nil {
		b.t.Fatal(err)
	}
	r := endpoint.NewRegistry(b.rt, b.dir)
	r.Use(s, slog.New(slog.DiscardHandler))
	if problems := r.Scan(); len(problems) > 0 {
		b.t.Fatal(problems)
	}
	return r
}

// TestStaleIndex has an index that is wrong about a file. It may tell wrong things of it for a while; what runs is the file's own
// content all the same, judged and recorded by its own hash, and the index is mended.
func TestStaleIndex(t *testing.T) {
	data := t.TempDir()
	b := &bench{t: t, dir: t.TempDir(), rt: runtime(t)}
	wasm := packed(t, "0.1.0", nil)
	b.write("webhook.wasm", wasm)
	p, err := plugin.Parse("x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	own := store.Hash(p.Hash)
	wrong := store.Hash{1, 2, 3}
	file := indexed(b, data, "webhook.wasm")
	text, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(text, []byte(own.String())) {
		t.Fatalf("the index is %s, %v", text, err)
	}
	bad := strings.NewReplacer(own.String(), wrong.String(), `"0.1.0"`, `"9.9.9"`).Replace(string(text))
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	r := scanned(b, data)
	if all := r.List(); len(all) != 1 || all[0].Version != "9.9.9" || all[0].Hash != wrong {
		t.Fatalf("the index was not used: %+v", all)
	}
	h, err := r.Handle(t.Context(), "webhook")
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Status(); got.Hash != own || got.Version != "0.1.0" {
		t.Errorf("what runs is told as %s of version %s", got.Hash.Short(), got.Version)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}

	w := follow(t, options{dir: b.dir, data: data}) // a whole start, with the index as wrong as before
	if f := w.want("webhook.wasm", "0.1.0", endpoint.Serving); f.Hash != own {
		t.Errorf("the file is told as %s", f.Hash.Short())
	}
	w.serves("0.1.0", false)
	w.stop()
	if all := scanned(b, data).List(); len(all) != 1 || all[0].Hash != own || all[0].Version != "0.1.0" {
		t.Errorf("the index was not mended: %+v", all)
	}
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all := scanned(b, data).List(); len(all) != 1 || all[0].Hash != own {
		t.Errorf("got %+v", all)
	}
}

// TestQuarantineBesideAStaleIndex: a version in quarantine does not run, whatever the index says of its file.
func TestQuarantineBesideAStaleIndex(t *testing.T) {
	data := t.TempDir()
	b := &bench{t: t, dir: t.TempDir(), rt: runtime(t)}
	wasm := packed(t, "0.1.0", nil)
	b.write("webhook.wasm", wasm)
	p, err := plugin.Parse("x", wasm)
	if err != nil {
		t.Fatal(err)
	}
	file := indexed(b, data, "webhook.wasm")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(store.Hash(p.Hash).String()), []byte(store.Hash{1}.String())), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(store.Quarantined{Name: "webhook", Hash: p.Hash, Reason: "it failed"}); err != nil {
		t.Fatal(err)
	}
	if _, err := scanned(b, data).Handle(t.Context(), "webhook"); err == nil || !strings.Contains(err.Error(), "is in quarantine") {
		t.Errorf("got %v", err)
	}
}
