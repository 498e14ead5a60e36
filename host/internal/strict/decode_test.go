package strict_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"github.com/tocsin-net/tocsin/host/internal/strict"
)

type doc struct {
	Name  string        `toml:"name"`
	Wait  time.Duration `toml:"wait"`
	Batch struct {
		Max int `toml:"max"`
	} `toml:"batch"`
	Net []struct {
		Host   string `toml:"host"`
		Reason string `toml:"reason"`
	} `toml:"net"`
	Free  map[string]string `toml:"free"`
	List  []int             `toml:"list"`
	Small *uint8            `toml:"small"`
	Any   map[string]any    `toml:"any"`
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"good", "name = \"a\"\nwait = \"15s\"\n[free]\nany = \"x\"\n[any.thing]\nx = 1\n[[net]]\nhost = \"h\"\n", ""},
		{"typo", "# c\n\nnmae = \"a\"\n", `f.toml:3: nmae: unknown key; did you mean "name"?`},
		{"in table", "[batch]\nmaxx = 1\n", `f.toml:2: batch.maxx: unknown key; did you mean "max"?`},
		{"dotted", "batch.maximum = 1\n", `f.toml:1: batch.maximum: unknown key; remove it`},
		{"inline", "name = 'x'\nbatch = { mex = 1 }\n", `f.toml:2: batch.mex: unknown key; did you mean "max"?`},
		{"array of tables", "[[net]]\nhost = 'a'\n[[net]]\nresaon = '''\nmaxx = 2\n'''\n", `f.toml:4: net.resaon: unknown key; did you mean "reason"?`},
		{"unknown table is one mistake", "[bathc]\nmax = 1\nmin = 2\n", `f.toml:1: bathc: unknown key; did you mean "batch"?`},
		{
			"all at once", "x = 1\nname = \"\"\"\ny = 1\\\"\"\"\"\n\"z q\" = [ # c\n 1,\n]\nqqq = 2 # d\n",
			"f.toml:1: x: unknown key; remove it\nf.toml:4: \"z q\": unknown key; remove it\nf.toml:7: qqq: unknown key; remove it",
		},
		{"wrong type", "name = \"a\"\n[batch]\nmax = \"two\"\n", `f.toml:3: batch.max: wrong type: want a whole number, got text in quotes`},
		{
			"all types at once", "nmae = 1\nname = 5\nwait = \"2 hours\"\n[batch]\nmax = \"7\"\n[free]\na = \"x\"\nb = 1.5\n[[net]]\nhost = true\n[[net]]\n" +
				"host = [\n 1,\n]\nreson = 1\n",
			`f.toml:1: nmae: unknown key; did you mean "name"?
f.toml:2: name: wrong type: want text in quotes, got a whole number; put it in quotes
f.toml:3: wait: "2 hours" is no duration: write a number and a unit, such as "500ms", "90s" or "72h"
f.toml:5: batch.max: wrong type: want a whole number, got text in quotes; remove the quotes
f.toml:8: free.b: wrong type: want text in quotes, got a number; put it in quotes
f.toml:10: net.host: wrong type: want text in quotes, got true or false; put it in quotes
f.toml:12: net.host: wrong type: want text in quotes, got a list
f.toml:15: net.reson: unknown key; did you mean "reason"?`,
		},
		{"list in one line", "net = [{host = \"a\"},\n {host = 1}]\n", "f.toml:2: net.host: wrong type: want text in quotes, got a whole number; put it in quotes"},
		{"entry of a list", "list = [\n 1,\n \"2\",\n]\n", "f.toml:3: list: wrong type: want a whole number, got text in quotes; remove the quotes"},
		{"table, list", "batch = 1\nnet = 2\nlist = \"x\"\nsmall = 300\n", `f.toml:1: batch: wrong type: want a table, got a whole number
f.toml:2: net: wrong type: want a list, got a whole number; put it in [ ]
f.toml:3: list: wrong type: want a list, got text in quotes; put it in [ ]
f.toml:4: small: 300 is out of range`},
		{"one table", "[net]\nhost = 'a'\n", "f.toml:1: net: wrong type: want a list, got a table; write its header as [[net]]"},
		{"syntax", "name = \"a\"\nwait\n", `f.toml:2: expected '.' or '=', but got '\n' instead`},
		{"not UTF-8", "name = \"a\"\n\xff\xfe = 1", `f.toml:2: this byte is not UTF-8 text; save the file as UTF-8`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var d doc
			err := strict.Decode("f.toml", []byte(tc.in), &d)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// TestDecodeRest shows that a mistake leaves only its own place unread, and what it covers.
func TestDecodeRest(t *testing.T) {
	t.Parallel()
	var d doc
	err := strict.Decode("f.toml", []byte("nmae = 1\nwait = \"1s\"\nsmall = 7\nlist = [1, \"x\", 3]\n[[net]]\nhost = 5\nreason = \"a\"\n[[net]]\nhost = \"b\"\n"), &d)
	if d.Wait != time.Second || *d.Small != 7 || len(d.List) != 3 || d.List[2] != 3 || len(d.Net) != 2 || d.Net[0].Reason != "a" || d.Net[1].Host != "b" {
		t.Errorf("decoded %+v", d)
	}
	e, ok := errors.AsType[*strict.Error](err)
	if !ok || e.Cut {
		t.Fatalf("error %v", err)
	}
	for path, want := range map[string]bool{
		"name": true, "nmae": true, "list": true, "list[1]": true, "list[10]": false, "net[0].host": true, "net[0]": true, "net": true, "net[1].host": false,
		"net[0].hostname": false, "net[0].Host": true, "wait": false, "": false,
	} {
		if e.Covers(path) != want {
			t.Errorf("Covers(%q) = %v", path, !want)
		}
	}
	if e = nil; e.Covers("name") {
		t.Error("nothing covers something")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"webhook_url", "webhook_username", "headers"}
	for word, want := range map[string]string{
		"webhook_ulr": "webhook_url", "WEBHOOK_URL": "webhook_url", "header": "headers", "xyz": "", "": "",
		"webhook_user": "webhook_username",
	} {
		if got := strict.Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("name = \"a\"\n[[net]]\nhost = '''x\n'''\nq = { a = [1, 2], \"b\\\"c\" = 3 }\n"))
	f.Add([]byte("a.b.\"c d\" = '''''x'''''\n[x.y] # z\n"))
	f.Add([]byte("[batch]\nmax = 1\nmaxx = \"\"\"\\\\\"\"\"\n"))
	f.Add([]byte("[any]\nx = nan\ny = inf\n"))
	f.Add([]byte("Name = 'a'\nname = 'b'\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d doc
		var e *strict.Error
		if err := strict.Decode("f", data, &d); err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		} else if e != nil {
			for _, m := range e.Mistakes {
				if m.Message == "" || m.Line == 0 && !e.Cut {
					t.Fatalf("%+v for %q", m, data)
				}
			}
		} else { // what is right is what the library reads
			var want doc
			md, err := toml.Decode(string(data), &want)
			same := fmt.Sprint(d.Any) == fmt.Sprint(want.Any) // as text, since nan is not equal to itself
			d.Any, want.Any = nil, nil
			if err != nil || len(md.Undecoded()) > 0 || !same || !reflect.DeepEqual(d, want) {
				t.Fatalf("%q is\n%+v, the library has\n%+v, %v, %v", data, d, want, err, md.Undecoded())
			}
		}
	})
}

// TestDeep: a text that is nested deep is refused before it costs anything, and nothing that is not nested is.
func TestDeep(t *testing.T) {
	for name, text := range map[string]string{
		"lists":          "# a ]\nx = " + strings.Repeat("[", 30000) + strings.Repeat("]", 30000),
		"lists, open":    "a = 1\nx = " + strings.Repeat("[", 30000),
		"tables":         "a = '''\n'''\nx = " + strings.Repeat("{a=", 10000) + "1" + strings.Repeat("}", 10000),
		"a dotted key":   "\na" + strings.Repeat(".a", 10000) + " = 1",
		"a quoted one":   "\n" + `"]"` + strings.Repeat(` . "a"`, 10000) + " = 1",
		"a dotted table": "\n[a" + strings.Repeat(".a", 10000) + "]",
	} {
		t.Run(name, func(t *testing.T) {
			var v map[string]any
			var e *strict.Error
			err := strict.Decode("f.toml", []byte(text), &v)
			if !errors.As(err, &e) || !e.Cut || !strings.Contains(err.Error(), "nested deeper than 64") || name == "a dotted key" && e.Mistakes[0].Line != 2 {
				t.Errorf("got %v", err)
			}
		})
	}
	flat := "a = [" + strings.Repeat("[1.5, '[', \"{\\\"[\"], # [[[ '\n", 1000) + "]\n" + strings.Repeat("# a.b.c [\n", 100) + strings.Repeat("[[b.c.d.e]]\nf.g = {h = {i = [1.5]}}\n", 1000)
	var v map[string]any
	if err := strict.Decode("f.toml", []byte(flat), &v); err != nil {
		t.Error(err)
	}
}

// TestManyLongKeys: keys whose places are long are read, though nobody can be told the line of each.
func TestManyLongKeys(t *testing.T) {
	var b strings.Builder
	b.WriteString("[" + strings.Repeat("k", 60_000) + "]\n")
	for i := range 8000 {
		fmt.Fprintf(&b, "a%d=1\n", i)
	}
	var v map[string]any
	if err := strict.Decode("f.toml", []byte(b.String()), &v); err != nil {
		t.Error(err)
	}
	n := testing.AllocsPerRun(1, func() { strict.Scan("f.toml", []byte(b.String())) })
	if at := strict.Scan("f.toml", []byte(b.String())).At(strings.Repeat("k", 60_000)); at != 1 || n > 200_000 {
		t.Errorf("line %d, %v allocations", at, n)
	}
}

// TestTwice: keys that differ by case are one.
func TestTwice(t *testing.T) {
	var v struct {
		Recipient []struct{ Name string }
		Zone      string
	}
	err := strict.Decode("f.toml", []byte("[[recipient]]\nname = 'a'\n[[Recipient]]\nname = 'b'\n"), &v)
	if err == nil || !strings.Contains(err.Error(), `f.toml:1: recipient: is there twice, as "Recipient" too: write all of it as "Recipient"`) {
		t.Errorf("got %v", err)
	}
	if at := strict.Scan("f.toml", []byte("a = 1\nZONE = 2\n")).At("zone"); at != 2 {
		t.Errorf("line %d", at)
	}
	many := strings.Repeat("[[net]]\nx = 1\n", 5000)
	var e *strict.Error
	if err := strict.Decode("f.toml", []byte(many), &struct{ Net []struct{ Host string } }{}); !errors.As(err, &e) || len(e.Mistakes) != 100 {
		t.Errorf("got %v", err)
	}
}
