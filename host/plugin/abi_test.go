package plugin_test

import (
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// TestABIs has hosts of several versions look at plug-ins of several versions: each refusal says what the plug-in needs, what
// the host speaks, and what to do.
func TestABIs(t *testing.T) {
	t.Parallel()
	host := plugin.ABIs{{World: "endpoint", Major: 2}, {World: "endpoint", Major: 3, Minor: 4}, {World: "check", Major: 1}}
	for _, c := range []struct{ abi, want string }{
		{"endpoint 2", ""},
		{"endpoint 2.0", ""},
		{" endpoint\t3.4\n", ""},
		{"endpoint 3.0", ""},
		{"endpoint 3.5", "the plug-in needs endpoint ABI 3.5: this tocsin speaks endpoint 2.0 and endpoint 3.0 to 3.4; update tocsin, or take an older version of the plug-in"},
		{"endpoint 2.1", "the plug-in needs endpoint ABI 2.1: this tocsin speaks endpoint 2.0 and endpoint 3.0 to 3.4; update tocsin"},
		{"endpoint 4", "the plug-in needs endpoint ABI 4.0: this tocsin speaks endpoint 2.0 and endpoint 3.0 to 3.4; update tocsin"},
		{"endpoint 1.7", "the plug-in needs endpoint ABI 1.7: this tocsin speaks endpoint 2.0 and endpoint 3.0 to 3.4, and that version no more; take a newer version of the plug-in"},
		{"check 1.1", "the plug-in needs check ABI 1.1: this tocsin speaks check 1.0; update tocsin"},
		{"moon 1", "the plug-in needs moon ABI 1.0: this tocsin speaks endpoint 2.0 and endpoint 3.0 to 3.4 and check 1.0; update tocsin if"},
	} {
		a, err := plugin.ParseABI(c.abi)
		if err != nil {
			t.Errorf("%q: %v", c.abi, err)
			continue
		}
		switch err := host.Check(a); {
		case c.want == "" && err != nil:
			t.Errorf("%q: got %v", c.abi, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%q: got %v, want %q", c.abi, err, c.want)
		}
	}
	for _, s := range []string{"", "endpoint", "endpoint one", "endpoint -1", "endpoint +1", "endpoint 1.", "endpoint .1", "endpoint 1.0.0", "endpoint 1 0", "endpoint 65536", "1.0"} {
		if a, err := plugin.ParseABI(s); err == nil {
			t.Errorf("%q is taken for %v", s, a)
		}
	}
}

// TestPackageOfANewerHost: a package that needs a newer host may hold what this one does not know. It is told once, and
// nothing else.
func TestPackageOfANewerHost(t *testing.T) {
	t.Parallel()
	file := string(tiny) + custom("tocsin.manifest", "tempo = 3\n") + custom("tocsin.abi", "endpoint 9.2") + custom("tocsin.novelty", "x")
	_, err := plugin.Parse("x.wasm", []byte(file))
	const want = "x.wasm: tocsin.abi: the plug-in needs endpoint ABI 9.2: this tocsin speaks endpoint 1.0 to 1.1; update tocsin, or take an older version of the plug-in"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	// A host that speaks it reads on.
	_, err = plugin.ParseFor("x.wasm", []byte(file), plugin.ABIs{{World: "endpoint", Major: 9, Minor: 2}})
	if err == nil || strings.Contains(err.Error(), "ABI") || !strings.Contains(err.Error(), "tempo") || !strings.Contains(err.Error(), "tocsin.novelty") {
		t.Errorf("got %v", err)
	}
}

// TestLowestABI: what an author packs states the lowest version that has what the manifest asks for, and cannot state less.
func TestLowestABI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ manifest, want string }{
		{"", "endpoint 1.0"},
		{"[exec]\nreason = \"to run them\"\n", "endpoint 1.0"},
		{"[[net]]\nscheme = \"https\"\nhost = \"a.example\"\nreason = \"to send\"\n", "endpoint 1.0"},
		{"[[net]]\nscheme = \"https\"\nhost = \"a.example\"\nreason = \"to send\"\n[[net]]\nscheme = \"smtp\"\nhost = \"b.example\"\nreason = \"to send\"\n", "endpoint 1.1"},
		{"[[net]]\nscheme = \"syslog\"\nhost = \"b.example\"\nreason = \"to send\"\n", "endpoint 1.1"},
		{"message.pass_alerts = true\n", "endpoint 1.1"},
		{"net = [{ scheme = \"https\", host = \"a.example\", reason = \"to send\" }, { scheme = \"smtp\", host = \"b.example\", reason = \"to send\" }]\n", "endpoint 1.1"},
		{"[syslog]\nreason = \"to write\"\n", "endpoint 1.1"},
		{"[ban]\nreason = \"to ban\"\n", "endpoint 1.1"},
	} {
		parts := goodParts()
		switch good := goodManifest; {
		case strings.HasPrefix(c.manifest, "["):
			parts.Manifest = []byte(good + "\n" + c.manifest)
		default:
			before, after, _ := strings.Cut(good, "[[net]]\n") // whose place it takes
			parts.Manifest = []byte(before + c.manifest + after[strings.Index(after, "["):])
		}
		p, err := plugin.Parse("x.wasm", pack(t, parts))
		if err != nil || p.ABI.String() != c.want {
			t.Errorf("%s: got %v, %v", c.manifest, p, err)
		}
		parts.ABI = "endpoint 1"
		_, err = plugin.Parse("x.wasm", pack(t, parts))
		if c.want == "endpoint 1.0" != (err == nil) {
			t.Errorf("%s: got %v", c.manifest, err)
		}
		if err != nil && !strings.Contains(err.Error(), "which came with "+c.want+", but the module says it was built for endpoint 1.0; correct or remove the file abi") {
			t.Errorf("%s: got %v", c.manifest, err)
		}
	}
}
