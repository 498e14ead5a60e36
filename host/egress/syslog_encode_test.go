package egress

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leodido/go-syslog/v4/rfc3164"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/tocsin-net/tocsin/pdk"
)

func testEncoder(bsd, local bool, limit int) *syslogEncoder {
	return &syslogEncoder{bsd: bsd, local: local, max: limit, host: "watch.example.org", pid: "42", now: time.Unix(1_800_000_000, 0), zone: time.FixedZone("", 7200)}
}

func TestSyslogForms(t *testing.T) {
	at := time.Date(2026, 11, 5, 22, 1, 9, 7_000_000, time.UTC).UnixMilli()
	msg := func(f func(*pdk.SyslogMessage)) pdk.SyslogMessage {
		m := pdk.SyslogMessage{Facility: 16, Severity: 4, Time: at, AppName: "tocsin", Text: "port scan"}
		f(&m)
		return m
	}
	checkmk := []pdk.SDElement{{ID: "Checkmk@18662", Params: []pdk.Header{{Name: "sl", Value: "30"}, {Name: "comment", Value: `a "b" \ [c]` + "\nd"}}}}
	for _, c := range []struct {
		name string
		e    *syslogEncoder
		m    pdk.SyslogMessage
		want string
	}{
		{
			"plain", testEncoder(false, false, 2048), msg(func(*pdk.SyslogMessage) {}),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - port scan",
		},
		{"all fields", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) {
			m.Hostname, m.ProcID, m.MsgID, m.Data, m.Facility, m.Severity = "h", "7", "scan", checkmk, 0, 0
		}), `<0>1 2026-11-05T22:01:09.007Z h tocsin 7 scan [Checkmk@18662 sl="30" comment="a \"b\" \\ [c\] d"] port scan`},
		{
			"lowest priority", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Facility, m.Severity, m.AppName = 23, 7, "" }),
			"<191>1 2026-11-05T22:01:09.007Z watch.example.org - 42 - - port scan",
		},
		{
			"time of the host", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Time = 0 }),
			"<132>1 2027-01-15T08:00:00.000Z watch.example.org tocsin 42 - - port scan",
		},
		{"fields that are none", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) {
			m.Hostname, m.AppName, m.ProcID, m.MsgID = "höst name", "a b\n<1>1", "p\x00", "\u202em"
		}), "<132>1 2026-11-05T22:01:09.007Z h__st_name a_b_<1>1 p_ ___m - port scan"},
		{"long fields", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) {
			m.Hostname, m.AppName, m.ProcID, m.MsgID = strings.Repeat("h", 300), strings.Repeat("a", 300), strings.Repeat("p", 300), strings.Repeat("m", 300)
		}), "<132>1 2026-11-05T22:01:09.007Z " + strings.Repeat("h", 255) + " " + strings.Repeat("a", 48) + " " + strings.Repeat("p", 128) + " " + strings.Repeat("m", 32) + " - port scan"},
		{
			"beyond ASCII", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Text = "Rechner gefährdet" }),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - \ufeffRechner gefährdet",
		},
		{
			"mark of its own", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Text = "\ufeffé" }),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - \ufeffé",
		},
		{
			"lines and escapes", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Text = "a\r\n<0>1 b\x1b[31m\x7f\tc\n" }),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - a  <0>1 b [31m  c",
		},
		{
			"bad UTF-8", testEncoder(false, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Text = "a\xffb\u0085\u2028" }),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - \ufeffa\ufffdb  ",
		},
		{
			"cut", testEncoder(false, false, 100), msg(func(m *pdk.SyslogMessage) { m.Text = strings.Repeat("x", 60) }),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - " + strings.Repeat("x", 33) + "...",
		},
		{
			"cut in a character", testEncoder(false, false, 100), msg(func(m *pdk.SyslogMessage) { m.Text = strings.Repeat("ä", 30) }),
			"<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - - \ufeff" + strings.Repeat("ä", 15) + "...",
		},
		{"cut values", testEncoder(false, false, 120), msg(func(m *pdk.SyslogMessage) {
			m.Data = []pdk.SDElement{{ID: "a@1", Params: []pdk.Header{{Name: "v", Value: strings.Repeat("]", 90)}}}}
		}), "<132>1 2026-11-05T22:01:09.007Z watch.example.org tocsin 42 - [a@1 v=\"" + strings.Repeat(`\]`, 15) + "\"] port scan"},
		{
			"BSD", testEncoder(true, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Data = checkmk }),
			"<132>Nov  6 00:01:09 watch tocsin[42]: port scan",
		},
		{
			"BSD with a host", testEncoder(true, false, 2048), msg(func(m *pdk.SyslogMessage) { m.Hostname, m.ProcID = "a.example", "-" }),
			"<132>Nov  6 00:01:09 a.example tocsin: port scan",
		},
		{"BSD tag", testEncoder(true, false, 2048), msg(func(m *pdk.SyslogMessage) {
			m.AppName, m.ProcID, m.Text = "a b:c[d]"+strings.Repeat("x", 40), "1]: x", "\ufeffü"
		}), "<132>Nov  6 00:01:09 watch a_b_c_d_" + strings.Repeat("x", 24) + "[1_:_x]: ü"},
		{
			"BSD local", testEncoder(true, true, 2048), msg(func(m *pdk.SyslogMessage) { m.Hostname, m.AppName = "h", "" }),
			"<132>Nov  6 00:01:09 tocsin[42]: port scan",
		},
	} {
		if err := c.e.check(&c.m); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, cut, err := c.e.append([]byte("kept"), &c.m)
		if err != nil || string(got) != "kept"+c.want || cut != strings.HasPrefix(c.name, "cut") {
			t.Errorf("%s: cut=%v err=%v\n got %q\nwant %q", c.name, cut, err, got[4:], c.want)
		}
	}
}

func TestSyslogRefusals(t *testing.T) {
	sd := func(id, name string) []pdk.SDElement {
		return []pdk.SDElement{{ID: id, Params: []pdk.Header{{Name: name, Value: "v"}}}}
	}
	for says, m := range map[string]pdk.SyslogMessage{
		"facility 24":         {Facility: 24},
		"facility -1":         {Facility: -1},
		"severity 8":          {Severity: 8},
		"time -1":             {Time: -1},
		"year 9999":           {Time: 1 << 60},
		`"" is no SD-ID`:      {Data: sd("", "a")},
		`"@1" is no SD-ID`:    {Data: sd("@1", "a")},
		`"mine" is no SD-ID`:  {Data: sd("mine", "a")},
		`"a@b" is no SD-ID`:   {Data: sd("a@b", "a")},
		`"a@1@2" is no SD-ID`: {Data: sd("a@1@2", "a")},
		`"a b@1" is no SD-ID`: {Data: sd("a b@1", "a")},
		`"a]@1" is no SD-ID`:  {Data: sd("a]@1", "a")},
		`x@1" is no SD-ID`:    {Data: sd(strings.Repeat("x", 32)+"x@1", "a")},
		`"a=b" is no param`:   {Data: sd("a@1", "a=b")},
		`"" is no param`:      {Data: sd("a@1", "")},
		`"ü" is no param`:     {Data: sd("origin", "ü")},
		"twice":               {Data: append(sd("a@1", "a"), sd("a@1", "b")...)},
	} {
		if err := testEncoder(false, false, 2048).check(&m); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v", says, err)
		}
	}
	many := pdk.SyslogMessage{Data: []pdk.SDElement{{ID: "a@1"}}}
	for range 300 {
		many.Data[0].Params = append(many.Data[0].Params, pdk.Header{Name: "name", Value: "v"})
	}
	if _, _, err := testEncoder(false, false, 2048).append(nil, &many); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("got %v", err)
	}
}

// FuzzSyslogEncode wants of every message that the checks let through: one line, of the size that was asked for, which a
// parser of the format reads back.
func FuzzSyslogEncode(f *testing.F) {
	f.Add(16, 4, int64(1_800_000_000_123), "host.example", "tocsin", "1", "id", "Checkmk@18662", "comment", `a "b" \ ]`, "text", 2048)
	f.Add(0, 0, int64(0), "", "", "", "", "origin", "ip", "\xff\n", "\ufeff\x00<0>1 - ü\u2028", 480)
	f.Add(23, 7, int64(1), "h h", "a:[b]", "-", "\u202e", "a@1", "n", "\\", "\xf0\x9f\x92", 600)
	f.Add(1, 1, int64(1), "h", "]", "[", "m", "x@1.2", "n", strings.Repeat("]", 4000), strings.Repeat("ä\xff", 3000), 2048)
	p5424, p3164 := rfc5424.NewParser(), rfc3164.NewParser()
	f.Fuzz(func(t *testing.T, facility, severity int, at int64, host, app, pid, id, sd, name, value, text string, limit int) {
		m := pdk.SyslogMessage{
			Facility: facility, Severity: severity, Time: at, Hostname: host, AppName: app, ProcID: pid, MsgID: id, Text: text,
			Data: []pdk.SDElement{{ID: sd, Params: []pdk.Header{{Name: name, Value: value}}}},
		}
		limit = 700 + max(limit, -limit, 0)%4096
		for _, e := range []*syslogEncoder{testEncoder(false, false, limit), testEncoder(true, false, limit), testEncoder(true, true, limit)} {
			if e.check(&m) != nil {
				return
			}
			b, cut, err := e.append(nil, &m)
			if err != nil || len(b) > limit || !utf8.Valid(b) || strings.ContainsAny(string(b), "\r\n\x00") {
				t.Fatalf("%d bytes of %d, %v: %q", len(b), limit, err, b)
			}
			switch {
			case e.local:
			case e.bsd:
				got, err := p3164.Parse(b)
				if err != nil {
					t.Fatalf("%v: %q", err, b)
				}
				if s := got.(*rfc3164.SyslogMessage); int(*s.Priority) != facility*8+severity {
					t.Fatalf("priority %d: %q", *s.Priority, b)
				}
			default:
				got, err := p5424.Parse(b)
				if err != nil {
					t.Fatalf("%v: %q", err, b)
				}
				s := got.(*rfc5424.SyslogMessage)
				if int(*s.Priority) != facility*8+severity || at != 0 && s.Timestamp.UnixMilli() != at {
					t.Fatalf("priority %d at %v: %q", *s.Priority, s.Timestamp, b)
				}
				if want := string(appendClean(nil, value, false)); !cut && (*s.StructuredData)[sd][name] != want {
					t.Fatalf("value %q, want %q: %q", (*s.StructuredData)[sd][name], want, b)
				}
			}
		}
	})
}

func BenchmarkSyslogEncode(b *testing.B) {
	m := pdk.SyslogMessage{
		Facility: 16, Severity: 4, Time: 1_800_000_000_123, AppName: "tocsin", MsgID: "alert",
		Data: []pdk.SDElement{{ID: "Checkmk@18662", Params: []pdk.Header{{Name: "sl", Value: "30"}, {Name: "comment", Value: `a "quoted" comment`}}}},
		Text: strings.Repeat("An expired certificate was used by 192.0.2.7. ", 6),
	}
	for _, c := range []struct {
		name string
		bsd  bool
	}{{"rfc5424", false}, {"rfc3164", true}} {
		b.Run(c.name, func(b *testing.B) {
			e := testEncoder(c.bsd, false, maxSyslogUDP)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if err = e.check(&m); err == nil {
					buf, _, err = e.append(buf[:0], &m)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
