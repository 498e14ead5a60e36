package syslogd

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
	"github.com/tocsin-net/tocsin/pdk/spec"
)

const bom = "\ufeff"

// TestParse5424 takes the examples of RFC 5424 section 6.5, and refuses what its grammar does not have.
func TestParse5424(t *testing.T) {
	for _, c := range []struct {
		frame string
		want  Message
	}{
		{"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - " + bom + "'su root' failed for lonvick on /dev/pts/8", Message{
			Facility: 4, Severity: 2, Time: time.Date(2003, 10, 11, 22, 14, 15, 3_000_000, time.UTC), Host: "mymachine.example.com", App: "su", MsgID: "ID47",
			Text: "'su root' failed for lonvick on /dev/pts/8",
		}},
		{"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.", Message{
			Facility: 20, Severity: 5, Time: time.Date(2003, 8, 24, 12, 14, 15, 3000, time.UTC), Host: "192.0.2.1", App: "myproc", Proc: "8710",
			Text: "%% It's time to make the do-nuts.",
		}},
		{`<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="a\"\\\]ü"][examplePriority@32473 class="high"]`, Message{
			Facility: 20, Severity: 5, Time: time.Date(2003, 10, 11, 22, 14, 15, 3_000_000, time.UTC), Host: "h", App: "evntslog", MsgID: "ID47",
			Data: []Element{
				{ID: "exampleSDID@32473", Params: [][2]string{{"iut", "3"}, {"eventSource", `a"\]ü`}}},
				{ID: "examplePriority@32473", Params: [][2]string{{"class", "high"}}},
			},
		}},
		{"<0>1 - - - - - -", Message{}},
		{"<191>1 - - - - - [timeQuality] ", Message{Facility: 23, Severity: 7, Data: []Element{{ID: "timeQuality"}}}},
	} {
		m, err := Parse5424(c.frame)
		if err != nil {
			t.Errorf("%s: %v", c.frame, err)
			continue
		}
		m.Time = m.Time.UTC()
		if !reflect.DeepEqual(*m, c.want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", c.frame, *m, c.want)
		}
	}
	const head = "<34>1 2003-10-11T22:14:15.003Z h a p m "
	for _, c := range []struct{ frame, want string }{
		{"", "PRI"},
		{"34>1 - - - - - -", "PRI"},
		{"<192>1 - - - - - -", "PRI"},
		{"<034>1 - - - - - -", "PRI"},
		{"<+4>1 - - - - - -", "PRI"},
		{"<>1 - - - - - -", "PRI"},
		{"<34", "PRI"},
		{"<34>2 - - - - - -", "VERSION"},
		{"<34> 1 - - - - - -", "VERSION"},
		{"<34>1 2003-10-11t22:14:15Z h a p m -", "TIMESTAMP"},
		{"<34>1 2003-10-11T22:14:15z h a p m -", "TIMESTAMP"},
		{"<34>1 2003-10-11T22:14:15 h a p m -", "TIMESTAMP"},
		{"<34>1 2003-02-30T22:14:15Z h a p m -", "TIMESTAMP"},
		{"<34>1 2003-10-11T22:14:60Z h a p m -", "TIMESTAMP"},
		{"<34>1 2003-08-24T05:14:15.000000003-07:00 h a p m -", "TIMESTAMP"}, // section 6.2.3.1, example 5
		{"<34>1 2003-08-24T05:14:15+25:00 h a p m -", "TIMESTAMP"},
		{"<34>1 - " + strings.Repeat("h", 256) + " a p m -", "HOSTNAME"},
		{"<34>1 - h\u00fc a p m -", "HOSTNAME"},
		{"<34>1 -  a p m -", "HOSTNAME"},
		{"<34>1 - h " + strings.Repeat("a", 49) + " p m -", "APP-NAME"},
		{"<34>1 - h a " + strings.Repeat("p", 129) + " m -", "PROCID"},
		{"<34>1 - h a p " + strings.Repeat("m", 33) + " -", "MSGID"},
		{"<34>1 - h a p m", "MSGID: no space"},
		{head, "STRUCTURED-DATA"},
		{head + "x", "STRUCTURED-DATA"},
		{head + "-x", "STRUCTURED-DATA: want a space"},
		{head + "[", "has no end"},
		{head + "[a@1", "has no end"},
		{head + "[a@1 ]", "SD-PARAM"},
		{head + "[a]", "SD-ID: a is not registered"},
		{head + "[@1]", "SD-ID"},
		{head + "[a@]", "SD-ID"},
		{head + "[a@x]", "SD-ID"},
		{head + "[" + strings.Repeat("a", 32) + "@1]", "SD-ID"},
		{head + "[a@1][a@1]", "twice"},
		{head + `[a@1 b="1"c="2"]`, "want a space or ]"},
		{head + `[a@1 b=1]`, "SD-PARAM"},
		{head + `[a@1  b="1"]`, "SD-PARAM"},
		{head + `[a@1 ` + strings.Repeat("b", 33) + `="1"]`, "SD-PARAM"},
		{head + `[a@1 b="a]b"]`, "no backslash"},
		{head + `[a@1 b="a\n"]`, "needs none"},
		{head + `[a@1 b="a\`, "needs none"},
		{head + `[a@1 b="a`, "no end"},
		{head + `[a@1 b="` + "\xff" + `"]`, "not UTF-8"},
		{head + `[a@1 b="` + "\n" + `"]`, "controls"},
		{head + "- gefährlich", "byte order mark"},
		{head + "- " + bom + "\xff", "not UTF-8"},
		{head + "- two\nlines", "controls"},
		{head + "- " + bom + "a\u2028b", "controls"},
	} {
		if m, err := Parse5424(c.frame); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: got %+v, %v, want %s", c.frame, m, err, c.want)
		}
	}
}

func TestParse3164(t *testing.T) {
	m, err := Parse3164("<34>Oct  1 22:14:15 mymachine su[42]: 'su root' failed für lonvick")
	want := &Message{
		Facility: 4, Severity: 2, Time: time.Date(0, 10, 1, 22, 14, 15, 0, time.UTC), Host: "mymachine", App: "su", Proc: "42",
		Text: "'su root' failed für lonvick",
	}
	if err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, %v", m, err)
	}
	for _, host := range []string{"192.0.2.1", "2001:db8::1", "a-b"} {
		if m, err := Parse3164("<0>Dec 31 00:00:00 " + host + " a: "); err != nil || m.Host != host || m.Text != "" {
			t.Errorf("%s: %+v, %v", host, m, err)
		}
	}
	for _, c := range []struct{ frame, want string }{
		{"<34>1 2003-10-11T22:14:15.003Z h a p m -", "HEADER"},
		{"<192>Oct 11 22:14:15 h a: x", "PRI"},
		{"<34>Okt 11 22:14:15 h a: x", "HEADER"},
		{"<34>Oct 1 22:14:15 h a: x", "HEADER"},
		{"<34>Oct 01 22:14:15 h a: x", "HEADER"},
		{"<34>Feb 30 22:14:15 h a: x", "TIMESTAMP"},
		{"<34>Oct 11 25:14:15 h a: x", "TIMESTAMP"},
		{"<34>Oct 11 22:14:15 h.example.org a: x", "names a domain"},
		{"<34>Oct 11 22:14:15 a: x", "HEADER"},
		{"<34>Oct 11 22:14:15 h " + strings.Repeat("a", 33) + ": x", "HEADER"},
		{"<34>Oct 11 22:14:15 h a[1: x", "HEADER"},
		{"<34>Oct 11 22:14:15 h a: x\ty", "controls"},
		{"<34>Oct 11 22:14:15 h a: " + bom + "x", "byte order mark"},
		{"<34>Oct 11 22:14:15 h a: \xff", "not UTF-8"},
	} {
		if m, err := Parse3164(c.frame); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %+v, %v, want %s", c.frame, m, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`<34>1 2003-10-11T22:14:15.003Z h a p m [a@1 b="c\]"] d`)
	f.Add("<34>Oct  1 22:14:15 h a[1]: b")
	f.Add(`<27>1 - - - - - - {"a":"\u00e4"}`)
	f.Fuzz(func(_ *testing.T, frame string) {
		for name := range formats {
			_, _ = Read(name, frame)
		}
		_, _ = Read("raw", frame)
	})
}

// TestContent has each format's own rules broken, one by one.
func TestContent(t *testing.T) {
	const (
		h3164 = "<27>Mar 14 09:26:53 vm ntopng: "
		h5424 = "<27>1 2026-03-14T09:26:53.000Z vm ntopng 42 "
		line  = "[2026-03-14T09:26:53.589793Z][Error][Port scan][Host][192.0.2.66][Engaged] 512 ports"
		own   = `[tocsin@32473 id="1" check="host/scan" category="security" entity="host" entity_value="x" action="engage" score="200"]`
		cmk   = `[Checkmk@18662 sl="5" ipaddress="192.0.2.66" host="h" application="host/scan" comment="c" severity="Error"]`
		json  = `{"entity_value":"x","ifid":"eth0","action":"engage","tstamp":1773480413,"type":"scan","entity_type":"host","message":"m","severity":"error","alert_key":22}`
		doc   = `{"@timestamp":"2026-03-14T09:26:53.5Z","message":"m","ecs":{"version":"9.4.0"},"event":{"category":["network"],"created":"2026-03-14T09:26:53.5Z",` +
			`"dataset":"d","kind":"alert","module":"m","risk_score":1,"severity":5,"severity_label":"error"},"organization":{"name":"o"},"rule":{"name":"r"}}`
	)
	swap := func(s, from, to string) string {
		t.Helper()
		if !strings.Contains(s, from) {
			t.Fatalf("%q is not in %q", from, s)
		}
		return strings.Replace(s, from, to, 1)
	}
	for _, c := range []struct{ format, frame, want string }{
		{"text", h3164 + line, ""},
		{"text", swap(h3164, "<27>", "<131>") + line, "facility is 16"},
		{"text", swap(h3164, "<27>", "<28>") + line, "the priority says 4"},
		{"text", h3164 + swap(line, "[Error]", "[error]"), "the text is not"},
		{"text", h3164 + swap(line, "[Error]", "[Bad]"), "none of ntopng's"},
		{"text", h3164 + swap(line, "[Engaged]", "[Engage]"), "the action"},
		{"text", h3164 + swap(line, "Port scan", "Port [scan]"), "the text is not"},
		{"text", h3164 + swap(line, "2026-03-14T", "2026-03-14 "), "TIMESTAMP"},
		{"text", h5424 + "- - " + line, "HEADER"},
		{"text_rfc5424", h5424 + "host/scan " + own + " " + line, ""},
		{"text_rfc5424", h5424 + "host/scan - " + line, "want one element"},
		{"text_rfc5424", h5424 + "x " + own + " " + line, "MSGID"},
		{"text_rfc5424", h5424 + "host/scan " + swap(own, `check="host/scan" `, "") + " " + line, "lacks check"},
		{"text_rfc5424", h5424 + "host/scan " + swap(own, "category", "kategorie") + " " + line, "no parameter kategorie"},
		{"text_rfc5424", h5424 + "host/scan " + swap(own, `"200"`, `"many"`) + " " + line, "score"},
		{"text_rfc5424", h5424 + "host/scan " + swap(own, "]", ` client="x"]`) + " " + line, "client of"},
		{"text_rfc5424", h5424 + "host/scan " + swap(own, "]", ` client_port="0"]`) + " " + line, "no port"},
		{"text_rfc5424", h5424 + "host/scan " + swap(own, "]", ` mac=""]`) + " " + line, "or empty"},
		{"text_rfc5424", h5424 + "host/scan " + own + " " + swap(line, "26:53", "26:54"), "the header says"},
		{"checkmk", h5424 + "- " + cmk + " " + line, ""},
		{"checkmk", h5424 + "- " + swap(cmk, `"5"`, `"high"`) + " " + line, "sl:"},
		{"checkmk", h5424 + "- " + swap(cmk, "]", ` sl="5"]`) + " " + line, "twice"},
		{"checkmk", swap(h5424, " 42 ", " x42 ") + "- " + cmk + " " + line, "PROCID"},
		{"checkmk", h5424 + "- " + swap(cmk, `"Error"`, `"Warning"`) + " " + line, "the priority says"},
		{"checkmk", h5424 + "- " + own + " " + line, "want one element"},
		{"json", h5424 + "- - " + json, ""},
		{"json", h5424 + "- " + own + " " + json, "no structured data"},
		{"json", h5424 + "- - " + swap(json, `"ifid":"eth0",`, ""), "key ifid is missing"},
		{"json", h5424 + "- - " + swap(json, `"eth0"`, "1"), "key ifid of the kind float64"},
		{"json", h5424 + "- - " + swap(json, `"ifid"`, `"interface":"x","ifid"`), "key interface"},
		{"json", h5424 + "- - " + swap(json, "1773480413", "1773480414"), "tstamp"},
		{"json", h5424 + "- - " + swap(json, `"error"`, `"info"`), "the priority says 3"},
		{"json", h5424 + "- - " + bom + swap(json, `"m"`, `"ü"`), "ASCII"},
		{"json", h5424 + "- - " + json[:len(json)-1], "no JSON"},
		{"json", h5424 + "- - " + json + "{}", "no JSON"},
		{"ecs", h5424 + "- - " + doc, ""},
		{"ecs", h5424 + "- - " + swap(doc, `["network"]`, `"network"`), "event.category"},
		{"ecs", h5424 + "- - " + swap(doc, `"organization":{"name":"o"},`, ""), "organization.name is missing"},
		{"ecs", h5424 + "- - " + swap(doc, `"rule"`, `"own":1,"rule"`), "introduction of [own]"},
		{"ecs", h5424 + "- - " + swap(doc, `"rule"`, `"network":{"transport":"tcp"},"rule"`), "source.ip of a flow is missing"},
		{"ecs", h5424 + "- - " + swap(doc, "26:53.5", "26:54.5"), "the header says"},
		{"raw", h5424 + "- - whatever", ""},
	} {
		_, err := Read(c.format, c.frame)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: got %v, want %q", c.format, c.frame, err, c.want)
		}
	}
}

// TestVectors has the documents and the structured data of the plug-in's vectors follow their format.
func TestVectors(t *testing.T) {
	all, err := spec.ReadVectors(os.DirFS("../../../../plugins/syslog/testdata/vectors"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range all {
		var in pdk.RenderInput
		var out pdk.RenderOutput
		if v.Function != "render" || in.DecodeJSON(v.Input) != nil || out.DecodeJSON(v.Output) != nil {
			continue
		}
		name := in.Endpoint.String("syslog_alert_format", "text")
		for _, m := range out.Requests[0].Syslog.Messages {
			q := &Message{
				Facility: m.Facility, Severity: m.Severity, Time: time.UnixMilli(m.Time), App: m.AppName, Proc: "42", MsgID: m.MsgID[:min(len(m.MsgID), 32)], Text: pdk.Line(m.Text),
			} // the host makes texts one line
			for _, e := range m.Data {
				el := Element{ID: e.ID}
				for _, p := range e.Params {
					el.Params = append(el.Params, [2]string{p.Name, p.Value})
				}
				q.Data = append(q.Data, el)
			}
			seen[name]++
			if err := formats[name].check(q); err != nil && !strings.Contains(v.File, "bare") {
				t.Errorf("%s: %v", v.File, err)
			}
		}
	}
	if len(seen) != len(formats) {
		t.Errorf("vectors of %v", seen)
	}
}
