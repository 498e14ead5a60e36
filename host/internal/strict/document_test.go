package strict

import "testing"

func TestLine(t *testing.T) {
	const in = "a = 1\n[[item]]\nname = \"x\"\n[item.free]\nk = 1\n[[item]]\nname = \"y\"\n  [item.free]\n  k = 2\n[other]\nname = 3\n" +
		"[[item]]\nfree = { k = 1, l = 2 }\nfree2.m = 1\n[[item.sub]]\n[[item.sub]]\nz = [\n1, 2, [3,\n4]]\n"
	d := Scan("f.toml", []byte(in))
	for _, c := range []struct {
		table string
		index int
		key   string
		want  int
	}{
		{"item", 0, "name", 3},
		{"item", 1, "name", 7},
		{"item", 0, "free.k", 5},
		{"item", 1, "free.k", 9},
		{"item", 1, "", 6},
		{"item", 1, "missing", 6},
		{"", 0, "other.name", 11},
		{"", 0, "nowhere", 0},
		{"", 0, "a", 1},
		{"item", 2, "free.l", 13},
		{"item", 2, "free2.m", 14},
	} {
		if got := d.Line(c.table, c.index, c.key); got != c.want {
			t.Errorf("line of %s[%d].%s is %d, want %d", c.table, c.index, c.key, got, c.want)
		}
	}
	for path, want := range map[string]int{"item[2].sub[1].z": 17, "item[2].sub[1].z[1]": 18, "item[2].sub[1].z[2][1]": 19, "item": 2, "item[2].sub[2]": 0} {
		if got := d.At(path); got != want {
			t.Errorf("line of %s is %d, want %d", path, got, want)
		}
	}
	if got := d.Problem("item", 0, "name", "bad").Error(); got != "f.toml:3: bad" {
		t.Errorf("problem %q", got)
	}
}
