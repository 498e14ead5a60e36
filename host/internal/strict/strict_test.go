package strict

import (
	"strings"
	"testing"
)

type item struct {
	Name   string         `toml:"name"`
	Size   int            `toml:"size"`
	Free   map[string]any `toml:"free"`
	Nested struct {
		Deep bool `toml:"deep"`
	} `toml:"nested"`
}

type file struct {
	Title string `toml:"title"`
	Item  []item `toml:"item"`
	Text  string `toml:"text"`
	List  []any  `toml:"list"`
}

func TestDecode(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"fine", "title = \"x\"\n[[item]]\nname = \"a\"\nfree.any = 1\n", ""},
		{"near", "titel = \"x\"\n", `f.toml:1: unknown key "titel": did you mean "title"?`},
		{"far", "colour = 1\n", `f.toml:1: unknown key "colour": remove it`},
		{"in an array", "[[item]]\nname = \"a\"\n\n[[item]]\nnmae = \"b\"\n", `f.toml:5: unknown key "item.nmae": did you mean "item.name"?`},
		{"nested", "[[item]]\n[item.nested]\ndeap = true\n", `f.toml:3: unknown key "item.nested.deap": did you mean "item.nested.deep"?`},
		{"unknown table once", "[itms]\na = 1\nb = 2\n", `f.toml:1: unknown key "itms": did you mean "item"?`},
		{"after a long string", "text = \"\"\"\ntitel = 1\n\"\"\"\ntitel = 2\n", `f.toml:4: unknown key "titel"`},
		{"after a long list", "list = [\n  \"[x]\", # ]\n  2,\n]\ntitel = 2\n", `f.toml:5: unknown key "titel"`},
		{"both", "titel = 1\n[[item]]\nsise = 1\n", "f.toml:1: unknown key \"titel\": did you mean \"title\"?\nf.toml:3: unknown key \"item.sise\": did you mean \"item.size\"?"},
		{"wrong type", "title = \"x\"\n[[item]]\nsize = \"big\"\n", `f.toml:3: item.size: `},
		{"syntax", "title = \"x\n", `f.toml:1: `},
		{"twice", "title = \"x\"\ntitle = \"y\"\n", `f.toml:2: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f file
			_, err := Decode("f.toml", []byte(c.in), &f)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("error\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestLine(t *testing.T) {
	const in = "a = 1\n[[item]]\nname = \"x\"\n[item.free]\nk = 1\n[[item]]\nname = \"y\"\n  [item.free]\n  k = 2\n[other]\nname = 3\n"
	d := scan("f.toml", []byte(in))
	for _, c := range []struct {
		table string
		index int
		key   string
		want  int
	}{
		{"item", 0, "name", 3}, {"item", 1, "name", 7}, {"item", 0, "free.k", 5}, {"item", 1, "free.k", 9},
		{"item", 1, "", 6}, {"item", 1, "missing", 6}, {"", 0, "other.name", 11}, {"", 0, "nowhere", 0}, {"", 0, "a", 1},
	} {
		if got := d.Line(c.table, c.index, c.key); got != c.want {
			t.Errorf("line of %s[%d].%s is %d, want %d", c.table, c.index, c.key, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"telegram", "webhook", "shell"}
	for in, want := range map[string]string{"telgram": "telegram", "Webhok": "webhook", "shlel": "shell", "x": "", "elasticsearch": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("nearest to %q is %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("title = \"x\"\n[[item]]\nnmae = 1\n")
	f.Add("list = [[1, {a = \"]\"}], '''\n''']\n[a.\"b.c\"]\nd=1")
	f.Add("\"\"\"\n\"\"\"\n[[")
	f.Fuzz(func(_ *testing.T, s string) {
		var v file
		d, _ := Decode("f.toml", []byte(s), &v) // must not panic
		_ = d.Line("item", 0, "name")
	})
}
