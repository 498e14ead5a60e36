package native

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/capture/dissect"
)

// TestEveryRiskIsRaised keeps checks out of the list that can never find anything: each one's risk must be used somewhere
// in package dissect or flow, outside of the file that defines the risks.
func TestEveryRiskIsRaised(t *testing.T) {
	used := map[string]bool{}
	var order []string // the constants in the order of their numbers
	for _, dir := range []string{"dissect", "flow"} {
		dir = filepath.Join("..", "..", "..", "capture", dir)
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				switch {
				case !ok:
				case f.Name() != "risk.go":
					used[id.Name] = true
				case id.Obj != nil && id.Obj.Kind == ast.Con && id.Obj.Pos() == id.Pos():
					order = append(order, id.Name)
				}
				return true
			})
		}
	}
	if len(order) < 50 {
		t.Fatalf("found %d risk constants only: has risk.go moved?", len(order))
	}
	for _, d := range Risks() {
		if name := order[d.Risk]; !used[name] {
			t.Errorf("%s: nothing raises dissect.%s (%s)", d.Key, name, d.Risk)
		}
	}
}

// TestWordsWithoutFacts: every check can put a finding into words when nothing but addresses is known.
func TestWordsWithoutFacts(t *testing.T) {
	for _, d := range Risks() {
		for _, m := range []*dissect.Meta{nil, {}, {TLS: &dissect.TLS{}, HTTP: &dissect.HTTP{}, DNS: &dissect.DNS{}, SSH: &dissect.SSH{}, Credentials: &dissect.Credentials{}}} {
			if d.Detail != nil {
				if s := d.Detail(Rec{oneFlow(m), 0}); strings.Contains(s, `""`) || strings.HasSuffix(s, " ") {
					t.Errorf("%s says %q", d.Key, s)
				}
			}
		}
	}
	for _, d := range Flows() {
		args := Args{}
		for _, p := range d.Params {
			args[p.Name] = p.Default
		}
		c, err := d.New(Env{}, args)
		if err != nil {
			t.Fatal(d.Key, err)
		}
		if w := c.Say(Rec{oneFlow(nil), 0}); w.Message == "" || strings.Contains(w.Message, "%!") {
			t.Errorf("%s says %q", d.Key, w.Message)
		}
	}
}

func TestSizesAndSpans(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 bytes", 1023: "1023 bytes", 1536: "1.5 kB", 1 << 30: "1.0 GB", 1 << 62: "4096.0 PB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0 s", time.Microsecond: "1 ms", 300 * time.Millisecond: "300 ms", 59 * time.Second: "59 s", 2 * time.Minute: "2 min",
		26*time.Hour + 90*time.Second: "26 h 1 min", 3 * time.Hour: "3 h",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
	for s, want := range map[string]string{short(strings.Repeat("ä", 120)): strings.Repeat("ä", 120), short(strings.Repeat("ä", 121)): strings.Repeat("ä", 119) + "…"} {
		if s != want {
			t.Errorf("%s, want %s", s, want)
		}
	}
}
