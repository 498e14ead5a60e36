package plugin_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
)

const mark = "tocsin-recipe-slot-1\n"

// shared is the smallest module with a slot: tiny, and a section of data that holds one.
func shared() []byte {
	slot := mark + strings.Repeat(".", 32<<10-len(mark))
	body := append([]byte("\x01\x01"), leb(len(slot))...) // one passive segment
	body = append(body, slot...)
	return append(bytes.Clone(tiny), append(append([]byte{11}, leb(len(body))...), body...)...)
}

func leb(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

const goodRequest = `
[request]
url = "{endpoint.url}/send"
headers = { Authorization = "Bearer {endpoint.token}" }
json = { text = "{text}", level = "{alert.severity | words level}", to = "{recipient.names}" }
[request.words.level]
"*" = 1
[[request.answers]]
status = "404"
outcome = "endpoint_broken"
`

func checkRequest(t *testing.T, module []byte, manifest string) string {
	t.Helper()
	parts := goodParts()
	parts.Manifest = []byte(manifest)
	packed, err := plugin.Pack(module, parts)
	if err != nil {
		return err.Error()
	}
	p, err := plugin.Parse("example.wasm", packed)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, problem := range p.Check() {
		all = append(all, problem.String())
	}
	return strings.Join(all, "\n")
}

// TestRequestTable wants each mistake in a [request] named with its line.
func TestRequestTable(t *testing.T) {
	if got := checkRequest(t, shared(), goodManifest+goodRequest); got != "" {
		t.Fatalf("a good table: %s", got)
	}
	if got := checkRequest(t, tiny, goodManifest+goodRequest); !strings.Contains(got, "only the shared module obeys") {
		t.Errorf("a module with code: %q", got)
	}
	if got := checkRequest(t, shared(), goodManifest); !strings.Contains(got, "request: is missing, but the module is the one that is shared") {
		t.Errorf("no table: %q", got)
	}
	for _, c := range []struct{ old, with, want string }{
		{"{endpoint.url}/send", "{endpoint.urll}/send", `manifest.toml:16: request.url: lint.schema.json does not have the parameter endpoint.urll; did you mean {endpoint.url}?`},
		{"{endpoint.token}", "{endpoint.token | upper}", `manifest.toml:17: request.headers.Authorization: endpoint.token is a secret, which the plug-in never sees`},
		{"alert.severity |", "alert.severty |", `manifest.toml:18: request.json.level: an alert has no field "severty"; did you mean "severity"?`},
		{"words level", "words levels", `request.json.level: there is no table of words "levels"`},
		{"{text}", "{text | shout}", `manifest.toml:18: request.json.text: "shout" is no filter`},
		{`"404"`, `"429"`, `manifest.toml:22: request.answers[0].status: "429" is answered by [outcomes] already, with "retry"`},
		{`"404"`, `"204"`, `request.answers[0].status: "204" is answered by [outcomes] already, with "delivered"`},
		{`endpoint_broken`, `broken`, `manifest.toml:23: request.answers[0].outcome: is "broken"; it must be one of`},
		{"[request]\n", "[request]\nurls = 1\n", `manifest.toml:16: request.urls: is no key of this table`},
		{"[request]\n", "[request]\nbatch = \"lines\"\n", `request.batch: warning: joins several alerts, but batch.max is 1`},
		{"[request]\n", "[features]\nedit_on_release = true\nrelease = \"vanishes\"\n[request]\n", `features.release: "vanishes" is unknown`},
		{"[request]\n", "[features]\nedit_on_release = true\n[request]\n", `features.edit_on_release: is true, but there is no [request.release]`},
		{"[request]\n", "[message]\npass_alerts = true\n[request]\n", `message.pass_alerts: is not for plug-ins with [request]`},
		{`text = "{text}"`, `text = "` + strings.Repeat("x", 33<<10) + `"`, "[request] has"},
	} {
		text := goodManifest + strings.Replace(goodRequest, c.old, c.with, 1)
		if got := checkRequest(t, shared(), text); !strings.Contains(got, c.want) {
			t.Errorf("%s:\ngot  %.1000s\nwant %s", c.with, got, c.want)
		}
	}
}

// TestSlot wants packing to be reproducible, whatever the slot held, and another table in the module to be found.
func TestSlot(t *testing.T) {
	parts := goodParts()
	parts.Manifest = []byte(goodManifest + goodRequest)
	first, err := plugin.Pack(shared(), parts)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := plugin.Pack(first, parts); err != nil || !bytes.Equal(again, first) {
		t.Errorf("packed again: %v, the same: %v", err, bytes.Equal(again, first))
	}
	if !bytes.Contains(first, []byte(mark+`{"answers":[{"outcome":"endpoint_broken"`)) {
		t.Error("the table is not in the slot")
	}
	p, err := plugin.Parse("example.wasm", first)
	if err != nil {
		t.Fatal(err)
	}
	if p.ABI.String() != "endpoint 1.1" {
		t.Errorf("the interface is %s", p.ABI)
	}
	dir := filepath.Join(t.TempDir(), "x")
	if err := p.Unpack(dir); err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(filepath.Join(dir, "module.wasm"))
	if err != nil || bytes.Contains(module, []byte("endpoint_broken")) {
		t.Errorf("the module that is unpacked still holds a table: %v", err)
	}
	if again, err := plugin.PackDir(dir, module); err != nil || !bytes.Equal(again, first) {
		t.Errorf("unpacked and packed: %v", err)
	}
	other := bytes.Replace(first, []byte(mark+`{"answers":[{"outcome":"endpoint_broken"`), []byte(mark+`{"answers":[{"outcome":"endpoint_brokex"`), 1)
	if p, err = plugin.Parse("example.wasm", other); err != nil {
		t.Fatal(err)
	}
	if got := p.Check(); len(got) != 1 || !strings.Contains(got[0].Message, "another [request] than the manifest") {
		t.Errorf("another table: %v", got)
	}
}
