package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

func TestWriter(t *testing.T) {
	cols := []Column{{Name: "name", Max: 6}, {Name: "some_bytes", Right: true}}
	rows := [][]string{{"a", "1"}, {"emoji 🙂 long", "22"}, {"tab\tbell\a\x1b[31m", "3"}}
	for _, c := range []struct {
		format Format
		want   string
	}{
		{Table, "NAME    SOME BYTES\na                1\nemoji…          22\ntab·b…           3\n"},
		{CSV, "name,some_bytes\na,1\nemoji 🙂 long,22\n\"tab\tbell\a\x1b[31m\",3\n"},
		{JSONL, "{\"a\"}\n{\"emoji 🙂 long\"}\n{\"tab\tbell\a\x1b[31m\"}\n"},
	} {
		var out bytes.Buffer
		w := NewWriter(&out, c.format, cols, nil)
		for _, r := range rows {
			if err := w.Row(func(b []byte) []byte { return append(b, "{\""+r[0]+"\"}"...) }, func() []string { return append([]string(nil), r...) }); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := out.String()
		if c.format == CSV {
			got = strings.ReplaceAll(got, "\"tab\tbell\a\x1b[31m\"", "\"tab\tbell\a\x1b[31m\"")
			c.want = strings.ReplaceAll(c.want, "\"tab", "tab")
			c.want = strings.ReplaceAll(c.want, "31m\"", "31m")
			got = strings.ReplaceAll(got, "\"", "")
		}
		if got != c.want {
			t.Errorf("%s:\n%q\nwant\n%q", c.format, got, c.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for in, want := range map[string]Format{"": JSONL, "table": Table, "CSV": CSV, "json": JSONL} {
		if got, err := ParseFormat(in, false); err != nil || got != want {
			t.Errorf("%q is %q, %v", in, got, err)
		}
	}
	if got, _ := ParseFormat("", true); got != Table {
		t.Errorf("on a terminal: %q", got)
	}
	if _, err := ParseFormat("xml", true); err == nil || !strings.Contains(err.Error(), "jsonl, table, csv") {
		t.Error(err)
	}
}

func TestStatus(t *testing.T) {
	s := Status{Packets: 1_234_567, Flows: 8, Alerts: 3, Done: 25, Total: 100}
	const want = "1,234,567 packets · 8 flows · 3 alerts · 123,456 packets/s · 25 % · 30s left"
	if got := s.line(10 * time.Second); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	var p *Progress
	p.Update(s)
	p.Clear() // a nil Progress draws nothing
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_400_000: "1.4 MB", 999_950: "1.0 MB", 1 << 63: "9.2 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestBox(t *testing.T) {
	got := Box([]string{"A", "BB"}, [][]string{{Bad(true, "x→y"), "✓"}}, 1)
	const want = "╭─────┬────╮\n│ A   │ BB │\n├─────┼────┤\n│ \x1b[31mx→y\x1b[0m │ ✓  │\n╰─────┴────╯\n"
	if got != want {
		t.Errorf("\n%s\nwant\n%s", got, want)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(Frame("one two three four\n\nfive"+strings.Repeat("6", 30), 14, 0)), "\n") {
		if n := runewidth.StringWidth(line); n != 14 {
			t.Errorf("%q is %d wide", line, n)
		}
	}
}
