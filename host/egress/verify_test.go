//go:build unix

package egress

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// TestVerifyRunsNothing wants a script looked at and left alone.
func TestVerifyRunsNothing(t *testing.T) {
	dir := t.TempDir()
	ran := filepath.Join(dir, "ran")
	for name, f := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"good.sh": {"#!/bin/sh\ntouch " + ran + "\n", 0o755}, "plain.sh": {"#!/bin/sh\n", 0o644},
		"lost.sh": {"#! /no/such/interpreter -x\n", 0o755}, "crlf.sh": {"#!/bin/sh\r\ntrue\r\n", 0o755},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(f.text), f.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, name), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	x, err := New(Options{ScriptsDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for name, want := range map[string]string{
		"good.sh": "", "plain.sh": "is not executable", "lost.sh": "the interpreter in its first line does not exist",
		"crlf.sh": "the interpreter in its first line does not exist", "none.sh": "there is no script none.sh",
	} {
		resp, terr := x.Do(t.Context(), &pdk.Request{Exec: &pdk.ExecRequest{Script: name, Verify: true}}, Policy{Exec: true})
		switch {
		case want == "" && (terr != nil || resp.Status != 0):
			t.Errorf("%s: %+v, %+v", name, resp, terr)
		case want != "" && (terr == nil || terr.Stage != StageStart || !strings.Contains(terr.Message, want)):
			t.Errorf("%s: %+v, want %q", name, terr, want)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("the script was run")
	}
}
