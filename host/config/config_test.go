package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

const good = `
data_dir = "/var/lib/tocsin"
[capture]
local_networks = ["192.0.2.0/24", "2001:db8::1"]
[checks]
enable = ["host/syn_scan"]
[checks.parameters."flow/unexpected_dns"]
items = ["192.0.2.53"]
[delivery]
max_age = "2h"
[[endpoint]]
name = "bot"
type = "telegram"
parameters.telegram_token = "env:TOKEN"
[[recipient]]
name = "ops"
endpoint = "bot"
minimum_severity = "Error"
categories = ["security"]
actions = ["engage", "release"]
parameters = { telegram_channel = "-100" }
`

func TestFail2ban(t *testing.T) {
	c, err := Parse("/etc/tocsin/tocsin.toml", []byte("[egress]\nfail2ban = \"fail2ban-client\"\nfail2ban_socket = \"f2b.sock\"\nnever_ban = [\"192.0.2.1\", \"2001:db8::/32\"]\n"))
	if err != nil || c.Egress.Fail2ban != "fail2ban-client" || c.Egress.Fail2banSocket != filepath.Join("/etc/tocsin", "f2b.sock") || len(c.Egress.NeverBan) != 2 {
		t.Errorf("got %+v, %v", c, err)
	}
	c, err = Parse("/etc/tocsin/tocsin.toml", []byte("[egress]\nfail2ban = \"bin/fail2ban-client\"\n"))
	if err != nil || c.Egress.Fail2ban != filepath.Join("/etc/tocsin", "bin", "fail2ban-client") {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := Parse("tocsin.toml", []byte("[egress]\nnever_ban = [\"gateway\"]\n")); err == nil || !strings.Contains(err.Error(), `tocsin.toml:2: "gateway" is no network`) {
		t.Errorf("got %v", err)
	}
}

func TestParse(t *testing.T) {
	c, err := Parse("/etc/tocsin/tocsin.toml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != "/var/lib/tocsin" || c.Plugins.Folder != filepath.Join("/etc/tocsin", "plugins.d") {
		t.Errorf("folders %s and %s", c.DataDir, c.Plugins.Folder)
	}
	if got := time.Duration(c.Delivery.MaxAge); got != 2*time.Hour {
		t.Errorf("max_age %v", got)
	}
	f := c.Rules()[0]
	if f.MinSeverity != alert.Error || len(f.Categories) != 1 || len(f.Actions) != 2 || f.Actions[1] != alert.Release {
		t.Errorf("filter %+v", f)
	}
	if got := c.Endpoints[0].Parameters["telegram_token"]; got != "env:TOKEN" {
		t.Errorf("token %v", got)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "max_age", "max_aeg", `tocsin.toml:10: delivery.max_aeg: unknown key; did you mean "max_age"?`},
		{"unknown endpoint", `endpoint = "bot"`, `endpoint = "bto"`, `tocsin.toml:17: recipient "ops": there is no endpoint "bto": did you mean "bot"?`},
		{"no endpoint", `endpoint = "bot"`, ``, `tocsin.toml:15: recipient "ops" names no endpoint`},
		{"severity", `"Error"`, `"bad"`, `tocsin.toml:18: recipient "ops": unknown severity "bad": it is one of none, debug`},
		{"category", `["security"]`, `["secrity"]`, `tocsin.toml:19: recipient "ops": unknown category "secrity"`},
		{"action", `"engage", "release"`, `"engaged"`, `tocsin.toml:20: recipient "ops": unknown action "engaged"`},
		{"network", `"192.0.2.0/24"`, `"192.0.2.0/33"`, `tocsin.toml:4: "192.0.2.0/33" is no network`},
		{"duration", `"2h"`, `"2 hours"`, `tocsin.toml:10: `},
		{"type", `[[endpoint]]`, "[[endpoint]]\nname=\"x\"\n[[endpoint]]", `tocsin.toml:11: endpoint "x" has no type`},
		{"name twice", `[[recipient]]`, "[[endpoint]]\nname=\"bot\"\ntype=\"shell\"\n[[recipient]]", `tocsin.toml:16: a second endpoint is named "bot"`},
		{"name", `name = "bot"`, `name = "my bot"`, `tocsin.toml:12: endpoint name "my bot": use 1 to 64 letters`},
		{"time zone", `data_dir = "/var/lib/tocsin"`, `timezone = "Europe/Roma"`, `tocsin.toml:2: there is no time zone "Europe/Roma": write its IANA name, such as "Europe/Rome" or "UTC", or "Local" for this machine's`},
		{"wrong type", `enable = ["host/syn_scan"]`, `enable = "host/syn_scan"`, `tocsin.toml:6: `},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("tocsin.toml", []byte(strings.Replace(good, c.from, c.to, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestMistakesAllAtOnce spoils types, keys and values: each is told with its line, and nothing that only follows from another.
func TestMistakesAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Parse("tocsin.toml", []byte(`data_dir = 5
loacle = "it"
[capture]
local_networks = "10.0.0.0/8"
max_flows = "many"
[delivery]
max_age = "2 hours"
max_queue = "1000"
max_dead = -1
[api]
listen = 9464
[[endpoint]]
name = "bot"
tpye = "telegram"
parameters = "x"
[[endpoint]]
name = 7
type = "shell"
[[recipient]]
name = "ops"
endpoint = "bott"
silence = "10"
silence_by = ["check"]
muted = "yes"
categories = ["security", 5]
pools = ["lan"]
[[recipient]]
name = "late"
endpoint = "bot"
silence = true
minimum_severity = "bad"
[[pool]]
nmae = "lan"
members = ["10.0.0.0/8"]
[[maintenance]]
name = "night"
schedule = "0 2 * * *"
duration = ["2h"]
recipients = ["opps"]
`))
	want := `tocsin.toml:1: data_dir: wrong type: want text in quotes, got a whole number; put it in quotes
tocsin.toml:2: loacle: unknown key; did you mean "locale"?
tocsin.toml:4: capture.local_networks: wrong type: want a list, got text in quotes; put it in [ ]
tocsin.toml:5: capture.max_flows: wrong type: want a whole number, got text in quotes
tocsin.toml:7: delivery.max_age: "2 hours" is no duration: write a number and a unit, such as "90s", "15m" or "72h"
tocsin.toml:8: delivery.max_queue: wrong type: want a whole number, got text in quotes; remove the quotes
tocsin.toml:9: max_dead is -1: it is a number of deliveries, not below 0
tocsin.toml:11: api.listen: wrong type: want text in quotes, got a whole number; put it in quotes
tocsin.toml:14: endpoint.tpye: unknown key; did you mean "type"?
tocsin.toml:15: endpoint.parameters: wrong type: want a table, got text in quotes
tocsin.toml:17: endpoint.name: wrong type: want text in quotes, got a whole number; put it in quotes
tocsin.toml:22: recipient.silence: "10" is no duration: write a number and a unit, such as "90s", "15m" or "72h"
tocsin.toml:24: recipient.muted: wrong type: want true or false, got text in quotes
tocsin.toml:25: recipient.categories: wrong type: want text in quotes, got a whole number; put it in quotes
tocsin.toml:30: recipient.silence: "true" is no duration: write a number and a unit, such as "90s", "15m" or "72h"
tocsin.toml:31: recipient "late": unknown severity "bad": it is one of none, debug, info, notice, warning, error, critical, alert, emergency
tocsin.toml:33: pool.nmae: unknown key; did you mean "name"?
tocsin.toml:38: maintenance.duration: wrong type: want text in quotes, got a list
tocsin.toml:39: maintenance "night": there is no recipient "opps": did you mean "ops"?`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, err := Parse("tocsin.toml", []byte("data_dir = 5\nx\n")); err == nil || err.Error() != `tocsin.toml:2: expected '.' or '=', but got '\n' instead` {
		t.Errorf("syntax error: %v", err)
	}
}

func TestZone(t *testing.T) {
	for text, want := range map[string]string{"": "UTC", "timezone = \"Europe/Rome\"\n": "Europe/Rome", "timezone = \"Local\"\n": "Local"} {
		c, err := Parse("tocsin.toml", []byte(text))
		if err != nil || c.Zone().String() != want {
			t.Errorf("%q: got %v, %v", text, c, err)
		}
	}
	if z := Default("x").Zone(); z != time.UTC {
		t.Errorf("got %v", z)
	}
}

func TestLoadMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "tocsin.toml"))
	if err == nil || !strings.Contains(err.Error(), "does not exist: create it") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add(routed)
	f.Fuzz(func(_ *testing.T, s string) { _, _ = Parse("tocsin.toml", []byte(s)) })
}
