package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// TestREADME wants the README to say what the manifests say.
func TestREADME(t *testing.T) {
	root, err := build.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := updated(root, readme)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(readme) {
		t.Error("the table of endpoints in README.md is out of date; run: go run ./host/internal/endpointtable")
	}
	if _, err := updated(root, []byte("no marks")); err == nil {
		t.Error("a README without marks is none")
	}
}

func TestRate(t *testing.T) {
	for want, r := range map[string]plugin.Rate{
		"–": {}, "1/s": {Count: 1, Per: time.Second}, "20/m": {Count: 20, Per: time.Minute}, "5/10m": {Count: 5, Per: 10 * time.Minute}, "3/1h30m": {Count: 3, Per: 90 * time.Minute},
		"9/10s": {Count: 9, Per: 10 * time.Second},
	} {
		if got := rate(r); got != want {
			t.Errorf("%v: %s, want %s", r, got, want)
		}
	}
}
