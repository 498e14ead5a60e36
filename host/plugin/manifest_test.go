package plugin_test

import (
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestManifestFaultsAllAtOnce spoils every field of a manifest: each fault is named, in one pass.
func TestManifestFaultsAllAtOnce(t *testing.T) {
	t.Parallel()
	parts := goodParts()
	parts.ABI = "endpoint 1.0"
	parts.Manifest = []byte(`name = "Tele gram"
version = "1.0"
world = "endpiont"
homepage = "example.org"
[message]
format = "basichtml"
unit = "rune"
max_length = 5
[batch]
max = 5000
window = 30
[rate]
count = 20
[limits]
memory_mb = -1
timeout = "1h"
parallel = 100
[[net]]
host = "{endpoint.ulr}"
reason = "x"
[[net]]
host = "https://example.org/x"
scheme = "ftp"
port = 70000
[[net]]
host = "example.org"
[[net]]
host = "{endpoint.port}"
reason = "x"
[[net]]
reason = "x"
[exec]
[outcomes]
2xx = "deliverd"
"6xx" = "retry"
"exit 300" = "skipped"
`)
	differ(t, check(t, parts), `manifest.toml:1: name: "Tele gram" must begin with a letter from a to z and go on with up to 31 of a-z, 0-9, - and _
manifest.toml: title: is missing; write the name that people know, such as title = "Telegram"
manifest.toml: description: is missing; write one sentence that says what the plug-in does
manifest.toml: licence: is missing; write an SPDX expression, such as licence = "Apache-2.0"
manifest.toml:2: version: "1.0" is no semantic version; write MAJOR.MINOR.PATCH, such as "1.0.0"
manifest.toml:3: world: "endpiont" is unknown; did you mean "endpoint"?
manifest.toml:4: homepage: "example.org" is no web address; write one that begins with https://
manifest.toml:6: message.format: "basichtml" is unknown; did you mean "basic_html"?
manifest.toml:7: message.unit: "rune" is unknown; did you mean "runes"?
manifest.toml:8: message.max_length: is 5; it must be from 64 to 1048576
manifest.toml:10: batch.max: is 5000; it must be from 0 to 1000
manifest.toml:11: batch.window: is 30ns; write the unit, such as "15s" or "500ms"
manifest.toml:12: rate: needs both count and per, such as count = 20 and per = "1m"
manifest.toml:15: limits.memory_mb: is -1; it must be from 0 to 1024
manifest.toml:17: limits.parallel: is 100; it must be from 0 to 64
manifest.toml:16: limits.timeout: is 1h0m0s; it must be from 0s to 5m0s
manifest.toml:19: net[0].host: lint.schema.json does not have the parameter endpoint.ulr; did you mean {endpoint.url}?
manifest.toml:21: net[1].reason: is missing; tell administrators why the plug-in wants to reach this host
manifest.toml:23: net[1].scheme: "ftp" is unknown; it is one of https, http, smtp, syslog
manifest.toml:24: net[1].port: is 70000; it must be from 0 to 65535
manifest.toml:22: net[1].host: "https://example.org/x" is no host; write a name alone, without scheme, port, path or *
manifest.toml:25: net[2].reason: is missing; tell administrators why the plug-in wants to reach this host
manifest.toml:25: net[2].scheme: is missing; write https (or http if there is no other way), smtp or syslog
manifest.toml:28: net[3].host: the parameter endpoint.port is no text in lint.schema.json, so it cannot hold a URL
manifest.toml:30: net[4].host: is missing; write a host name, or {endpoint.PARAMETER} for the host of a URL that users enter
manifest.toml:32: exec.reason: is missing; tell administrators why the plug-in runs scripts
manifest.toml:34: outcomes."2xx": the outcome "deliverd" is unknown; did you mean "delivered"?
manifest.toml:35: outcomes."6xx": is no status; write an HTTP status such as "429", a class such as "2xx", or "exit 0"
manifest.toml:36: outcomes."exit 300": is no exit code; they go from 0 to 255
manifest.toml:36: outcomes."exit 300": the outcome "skipped" is unknown; it is one of delivered, accepted, duplicate, retry, bad_payload, rejected, endpoint_broken
manifest.toml: help: warning: is missing; a set-up guide saves users an hour`)
}

// TestManifestTypesAllAtOnce gives values of wrong types: each is told, with what else is wrong, and nothing that follows from it.
func TestManifestTypesAllAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"lint.schema.json": goodSchema, "module.wasm": string(tiny), "manifest.toml": `name = 5
titel = "Example"
version = "1.0"
world = "endpoint"
description = "Sends alerts somewhere."
licence = "Apache-2.0"
help = "Nothing to set up."
net = [
  { host = "{endpoint.url}", reason = "to send alerts" },
  { host = "{endpoint.ulr}", reason = 7, port = "443" },
]
[message]
format = ["html"]
max_length = 50000000
[batch]
max = "10"
window = "2 seconds"
[rate]
count = "5"
per = "1m"
[exec]
reason = true
[outcomes]
2xx = 1
429 = "retyr"
[features]
digest = "yes"
`})
	_, problems := plugin.CheckFile(dir)
	differ(t, text(problems), `manifest.toml:1: name: wrong type: want text in quotes, got a whole number; put it in quotes
manifest.toml:2: titel: unknown key; did you mean "title"?
manifest.toml:3: version: "1.0" is no semantic version; write MAJOR.MINOR.PATCH, such as "1.0.0"
manifest.toml:10: net[1].port: wrong type: want a whole number, got text in quotes; remove the quotes
manifest.toml:10: net[1].reason: wrong type: want text in quotes, got a whole number; put it in quotes
manifest.toml:10: net[1].host: lint.schema.json does not have the parameter endpoint.ulr; did you mean {endpoint.url}?
manifest.toml:13: message.format: wrong type: want text in quotes, got a list
manifest.toml:14: message.max_length: is 50000000; it must be from 64 to 1048576
manifest.toml:16: batch.max: wrong type: want a whole number, got text in quotes; remove the quotes
manifest.toml:17: batch.window: "2 seconds" is no duration: write a number and a unit, such as "500ms", "90s" or "72h"
manifest.toml:19: rate.count: wrong type: want a whole number, got text in quotes; remove the quotes
manifest.toml:22: exec.reason: wrong type: want text in quotes, got true or false; put it in quotes
manifest.toml:24: outcomes.2xx: wrong type: want text in quotes, got a whole number; put it in quotes
manifest.toml:25: outcomes."429": the outcome "retyr" is unknown; did you mean "retry"?
manifest.toml:27: features.digest: wrong type: want true or false, got text in quotes`)
}

func TestManifestAndModule(t *testing.T) {
	t.Parallel()
	parts := goodParts()
	parts.Manifest = []byte(strings.Replace(goodManifest, `"2xx"`, `"exit 1"`, 1))
	differ(t, check(t, parts), `manifest.toml:12: outcomes."exit 1": is about scripts, but the plug-in does not ask to run any; add [exec] with a reason`)

	parts = goodParts()
	parts.ABI = "check 1"
	if got := check(t, parts); !strings.Contains(got, `the plug-in needs check ABI 1.0: this tocsin speaks endpoint`) {
		t.Error(got)
	}

	b, err := plugin.Pack([]byte("\x00asm\x01\x00\x00\x00"), goodParts())
	if err != nil {
		t.Fatal(err)
	}
	p, err := plugin.Parse("x", b)
	if err != nil {
		t.Fatal(err)
	}
	if got := text(p.Check()); !strings.Contains(got, "module.wasm: the module exports no function render") {
		t.Error(got)
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	m := plugin.Manifest{Outcomes: map[string]string{
		"2xx": "delivered", "202": "accepted", "409": "duplicate", "exit 0": "delivered", "exit 75": "retry",
	}}
	for _, tc := range []struct {
		kind   string
		status int
		want   pdk.Outcome
	}{
		{"http", 200, pdk.Delivered},
		{"http", 204, pdk.Delivered},
		{"http", 202, pdk.Accepted},
		{"http", 409, pdk.Duplicate},
		{"http", 500, ""},
		{"http", 0, ""},
		{"http", 2000, ""},
		{"http", -1, ""},
		{"exec", 0, pdk.Delivered},
		{"exec", 75, pdk.Retry},
		{"exec", 200, ""},
		{"exec", -1, ""},
		{"smtp", 200, ""},
	} {
		if got, ok := m.Outcome(tc.kind, tc.status); got != tc.want || ok != (tc.want != "") {
			t.Errorf("%s %d: %q, %v; want %q", tc.kind, tc.status, got, ok, tc.want)
		}
	}
	if _, ok := (&plugin.Manifest{}).Outcome("http", 200); ok {
		t.Error("an empty table has an outcome")
	}
}

// TestFirstParty checks the manifests that tocsin ships: not even a warning.
func TestFirstParty(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"webhook", "telegram", "shell"} {
		p := firstParty(t, name)
		if got := text(p.Check()); got != "" || p.Name() != name {
			t.Errorf("%s:\n%s", name, got)
		}
		if langs := strings.Join(p.Languages(), " "); langs != "en it" {
			t.Errorf("%s: languages %s", name, langs)
		}
		en, it := p.Fields("en"), p.Fields("it-CH")
		for i := range en {
			if en[i].Title == "" || en[i].Help == "" || it[i].Help == en[i].Help {
				t.Errorf("%s: %s is %q and %q in English, %q in Italian", name, en[i].Path(), en[i].Title, en[i].Help, it[i].Help)
			}
		}
		about, help := p.Describe("it")
		if about == p.Manifest.Description || help == p.Manifest.Help {
			t.Errorf("%s: described as %q", name, about)
		}
	}
}

// TestFirstPartyParameters holds the parameters of each endpoint type against the names that ntopng users know.
func TestFirstPartyParameters(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name                string
		fields, secrets     string
		endpoint, recipient map[string]any
		want                string
	}{
		{
			name: "webhook",
			fields: "endpoint.webhook_url* endpoint.webhook_sharedsecret endpoint.webhook_username endpoint.webhook_password " +
				"endpoint.signing_secret endpoint.headers",
			secrets: "endpoint.webhook_sharedsecret endpoint.webhook_password endpoint.signing_secret",
			endpoint: map[string]any{
				"webhook_url": "example.org/x", "webhook_pasword": "hunter2", "webhook_password": "hunter2",
				"signing_secret": "hunter2", "headers": []string{"X-Site: Pisa", "X-Bad: a\r\nHost: b"},
			},
			recipient: map[string]any{"webhook_url": "https://x.example"},
			want: `endpoint.webhook_url: the value is not right; write the whole address, such as https://alerts.example.org/hook
endpoint.webhook_username: is missing together with webhook_password (Password); a user name may hold no colon and no control character
endpoint.signing_secret: the value is not right; write whsec_ and 24 to 64 random bytes in base64, such as the output of: echo whsec_$(openssl rand -base64 32)
endpoint.headers[1]: "X-Bad: a  Host: b" is not right; write each header as Name: value, such as X-Site: Pisa
endpoint.webhook_pasword: unknown parameter; did you mean "webhook_password"?
recipient.webhook_url: unknown parameter; it belongs to the endpoint`,
		},
		{
			name:      "telegram",
			fields:    "endpoint.telegram_token* endpoint.telegram_api_url recipient.telegram_channel* recipient.message_thread_id",
			secrets:   "endpoint.telegram_token",
			endpoint:  map[string]any{"telegram_token": 5},
			recipient: map[string]any{"telegram_channel": int64(-1001234567890), "message_thread_id": "7"},
			want: `endpoint.telegram_token: must be text, but is a number; put it in quotes; a token is a number, a colon and about 35 letters, such as 123456789:AAE...; ask @BotFather for it with /mybots
recipient.telegram_channel: must be text, but is a number; put it in quotes; write a chat id such as -1001234567890, or a name such as @mychannel
recipient.message_thread_id: must be a whole number, but is text; write it without quotes`,
		},
		{
			name:      "shell",
			fields:    "endpoint.shell_script* recipient.shell_script_options recipient.shell_script_execution recipient.timeout",
			endpoint:  map[string]any{"shell_script": "../../bin/sh"},
			recipient: map[string]any{"shell_script_options": "--x", "shell_script_execution": "relase", "timeout": 3000},
			want: `endpoint.shell_script: "../../bin/sh" is not right; write the file's name alone, such as block-host.sh, and put the file in the scripts folder
recipient.shell_script_options: must be a list, but is text; write a list such as ["a", "b"]; write each argument as a text of its own, without quotes around it, such as --site and then Pisa
recipient.shell_script_execution: "relase" is unknown; did you mean "release"?
recipient.timeout: is 3000; it must be 300 or less`,
		},
	} {
		p := firstParty(t, tc.name)
		var names []string
		for _, f := range p.Lint.Fields() {
			n := f.Path()
			if f.Required {
				n += "*"
			}
			names = append(names, n)
		}
		differ(t, strings.Join(names, " "), tc.fields)
		differ(t, strings.Join(p.Lint.Secrets(), " "), tc.secrets)
		got := text(p.Lint.Lint(tc.endpoint, tc.recipient))
		differ(t, got, tc.want)
		if strings.Contains(got, "hunter2") {
			t.Error("a secret is shown")
		}
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(goodManifest))
	f.Add([]byte("name = \"x\"\n[[net]]\nhost = \"{endpoint.url\"\n[outcomes]\n\"exit 99999999999999999999\" = \"\"\n"))
	f.Add([]byte("[batch]\nwindow = \"1s\"\nmax = 99999999999999999999\n"))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		b, err := plugin.Pack(tiny, plugin.Parts{Manifest: manifest, Lint: []byte(goodSchema), ABI: "endpoint 1.0"})
		if err != nil {
			t.Skip("too large")
		}
		p, err := plugin.Parse("f", b)
		if err != nil {
			return
		}
		p.Check()
		for _, status := range []int{0, 99, 204, 599} {
			p.Manifest.Outcome("http", status)
		}
	})
}
