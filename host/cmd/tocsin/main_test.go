package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin-net/tocsin/host/app"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tocsin": func() { os.Exit(run(os.Args[1:], app.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})) },
	})
}

// TestScripts runs the command line as a user does; each file of testdata/script is one story.
func TestScripts(t *testing.T) {
	captures, err := filepath.Abs("../../../capture/testdata")
	if err != nil {
		t.Fatal(err)
	}
	packed := map[string][]byte{}
	for _, name := range []string{"webhook", "telegram", "shell"} {
		packed[name] = build.ForTest(t, name).Wasm
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CAPTURES", captures)
			e.Setenv("NO_COLOR", "1")
			e.Setenv("TOCSIN_CACHE", compiled(t))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"plugins": func(ts *testscript.TestScript, _ bool, args []string) { installPlugins(ts, packed, args) },
			"sink":    sink,
			"idof":    idOf,
		},
	})
}

// compiled is a folder of compiled plug-ins that outlives a test: compiling takes seconds, with the race detector a minute.
func compiled(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "tocsin", "test-compiled")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// exits runs a command and wants an exit code: exits CODE COMMAND [ARGUMENT ...].
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARGUMENT ...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// installPlugins puts plug-ins into a folder: plugins FOLDER NAME...; the names "text" and "bare" stand for a file that is
// no module, and a module that is no plug-in.
func installPlugins(ts *testscript.TestScript, packed map[string][]byte, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	for _, name := range args[1:] {
		data := packed[name]
		switch name {
		case "text":
			data = []byte("this is no module\n")
		case "bare":
			data = []byte("\x00asm\x01\x00\x00\x00")
		case "half":
			data = packed["webhook"][:len(packed["webhook"])/2]
		case "component":
			data = []byte("\x00asm\x0d\x00\x01\x00")
		}
		if data == nil {
			ts.Fatalf("no plug-in %s", name)
		}
		ts.Check(os.WriteFile(filepath.Join(dir, name+".wasm"), data, 0o644))
	}
}

// idOf puts an id of the first delivery that was listed into a variable: idof VARIABLE id|alert.
func idOf(ts *testscript.TestScript, _ bool, args []string) {
	var row struct {
		ID    string `json:"id"`
		Alert struct {
			ID string `json:"id"`
		} `json:"alert"`
	}
	ts.Check(json.NewDecoder(strings.NewReader(ts.ReadFile("stdout"))).Decode(&row))
	if args[1] == "alert" {
		row.ID = row.Alert.ID
	}
	ts.Setenv(args[0], row.ID)
}

// sink starts a server on loopback and puts its URL into a variable: sink VARIABLE STATUS...; it answers with each status
// in turn and with the last one from then on.
func sink(ts *testscript.TestScript, _ bool, args []string) {
	var codes []int
	for _, a := range args[1:] {
		n, err := strconv.Atoi(a)
		ts.Check(err)
		codes = append(codes, n)
	}
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		w.WriteHeader(codes[min(int(n.Add(1)), len(codes))-1])
		_, _ = fmt.Fprintf(w, "answer %d", n.Load())
	}))
	ts.Defer(srv.Close)
	ts.Setenv(args[0], srv.URL+"/hook")
}
