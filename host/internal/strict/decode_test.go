package strict_test

import (
	"errors"
	"testing"
	"time"

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
	Free map[string]string `toml:"free"`
	Any  map[string]any    `toml:"any"`
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
	f.Fuzz(func(t *testing.T, data []byte) {
		var d doc
		var e *strict.Error
		if err := strict.Decode("f", data, &d); err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		} else if e != nil {
			for _, m := range e.Mistakes {
				if m.Message == "" {
					t.Fatalf("empty message for %q", data)
				}
			}
		}
	})
}
