package plugin

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWhole cuts a package at every byte: only all of it, or all but its signature, is whole.
func TestWhole(t *testing.T) {
	bare := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00")
	wasm, err := Pack(bare, Parts{Manifest: []byte("name = \"x\"\n"), Lint: []byte("{}"), ABI: "endpoint 1.0"})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Pack(bare, Parts{Manifest: []byte("name = \"x\"\n"), Lint: []byte("{}"), ABI: "endpoint 1.0", Sig: []byte("s")})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.wasm")
	whole := func(b []byte) bool {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return Whole(path)
	}
	for n := range len(signed) + 1 {
		if got, want := whole(signed[:n]), n == len(wasm) || n == len(signed); got != want {
			t.Errorf("of %d bytes the first %d: whole is %v", len(signed), n, got)
		}
	}
	for name, c := range map[string]struct {
		file string
		want bool
	}{
		"no module":                     {"#!/bin/sh\nexit 1\n", true},
		"a module, but no plug-in":      {string(bare), false},
		"a size that is no number":      {string(bare) + "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", true},
		"a size that leads far out":     {string(bare) + "\x01\xff\xff\xff\xff\x0f...", false},
		"a component":                   {"\x00asm\x0d\x00\x01\x00", true},
		"the beginning of a size, only": {string(bare) + "\x01\xff", false},
	} {
		if got := whole([]byte(c.file)); got != c.want {
			t.Errorf("%s: whole is %v", name, got)
		}
	}
	if Whole(filepath.Join(t.TempDir(), "none.wasm")) {
		t.Error("a file that is not there is whole")
	}
}
