package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

func TestLink(t *testing.T) {
	c := &Config{}
	c.Delivery.Link = "https://siem.example/a/{check}?id={id}&ip={ip}&to={server}&at={tstamp}&c={community_id}"
	id := alert.NewID()
	a := &alert.Alert{ID: id, Check: "flow/x y", Time: time.Unix(5, 0), Flow: &alert.Flow{
		Client: netip.MustParseAddr("fe80::1"), Server: netip.MustParseAddr("192.0.2.1"), CommunityID: "1:a+b/c=",
	}}
	want := "https://siem.example/a/flow%2Fx%20y?id=" + id.String() + "&ip=fe80%3A%3A1&to=192.0.2.1&at=5&c=1%3Aa%2Bb%2Fc%3D"
	if got := c.Linker()(a); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := (&Config{}).Linker()(a); got != "" {
		t.Errorf("without a link: %q", got)
	}
	for link, want := range map[string]string{
		"https://x.example/{id}":                "",
		"https://exam.example/?q={ip}":          "",
		"https://exam.example?q={ip}":           "",
		"https://siem.local#{id}":               "",
		"https://x.example/{idd}":               "did you mean {id}?",
		"https://x.example/{what}":              "{community_id}",
		"x.example/{id}":                        "no address of a page",
		"javascript:alert({id})":                "no address of a page",
		"https://u:p@x.example/":                "no address of a page",
		"https://x.example/\"><b>":              "no address of a page",
		"https://{ip}.example/":                 "braces in its host",
		"https://x/" + strings.Repeat("y", 1e4): "at most",
	} {
		if got := checkLink(link); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", link, got, want)
		}
	}
}
