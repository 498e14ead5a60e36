package pdktest

import (
	"context"
	"os"
	"strings"
	"testing"
)

// TestMain lets this program stand where tocsin does, for its output alone: the real one is tested in host/cmd/tocsin.
func TestMain(m *testing.M) {
	if text := os.Getenv("PDKTEST_PRINT"); text != "" {
		_, _ = os.Stdout.WriteString(strings.TrimPrefix(text, "fail "))
		if strings.HasPrefix(text, "fail ") {
			_, _ = os.Stderr.WriteString("tocsin: it did not work\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestOutput(t *testing.T) {
	const good = `{"vector":"a.json","function":"render","name":"one","result":"ok","ms":0.1}` + "\n"
	const bad = `{"vector":"b.json","name":"two","result":"failed","at":"output.x","diff":"-1\n+2"}` + "\n"
	for _, c := range []struct {
		print   string
		results int
		want    string // of the error, or of what the last result says
	}{
		{good + good, 2, ""},
		{"fail " + good + bad, 2, "two: the output differs at output.x\n-1\n+2"},
		{"fail " + good, 0, "exit status 1: tocsin: it did not work"},
		{"fail ", 0, "tocsin: it did not work"},
		{"\n", 0, "is no result of a vector"},
		{"some text\n", 0, "is no result of a vector"},
		{`{"vector":1}`, 0, "is no result of a vector"},
	} {
		t.Setenv("PDKTEST_PRINT", c.print)
		all, err := inSandbox(context.Background(), os.Args[0], "x")
		if len(all) != c.results {
			t.Errorf("%q: got %v, %v", c.print, all, err)
			continue
		}
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case !all[len(all)-1].ok():
			got = all[len(all)-1].explain()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.print, got, c.want)
		}
	}
	if _, err := inSandbox(t.Context(), "./no-such-program", "x"); err == nil {
		t.Error("a program that is missing is none")
	}
}
