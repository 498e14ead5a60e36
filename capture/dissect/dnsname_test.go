package dissect

import (
	"strings"
	"testing"
)

func TestLongName(t *testing.T) {
	tunnel := strings.Repeat("ab12", 15) + ".t.example.org"
	for _, tc := range []struct{ name, want string }{
		{"www.example.org", ""},
		{tunnel, tunnel},
		{strings.Repeat("a", 49) + ".example.org", ""},
		{strings.Repeat("a", 50) + ".example.org", strings.Repeat("a", 50) + ".example.org"},
		{"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", ""},
	} {
		f := newFeed(l4UDP, 53)
		f.send(0, dnsQuery(tc.name, 16, 0x100))
		if f.s.Meta == nil || f.s.Meta.DNS == nil {
			t.Fatalf("%s: no DNS", tc.name)
		}
		if got := f.s.Meta.DNS.LongName; got != tc.want {
			t.Errorf("%s: long name %q, want %q", tc.name, got, tc.want)
		}
	}
}
