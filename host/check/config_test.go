package check

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/check/native"
)

func risksOf(t *testing.T) []native.RiskDef {
	t.Helper()
	return native.Risks()
}

// TestDefinitions keeps the tables whole: unique keys and ids, and words for people everywhere.
func TestDefinitions(t *testing.T) {
	keys, ids := map[string]bool{}, map[string]string{}
	for _, i := range All() {
		if keys[i.Key] {
			t.Errorf("%s is defined twice", i.Key)
		}
		keys[i.Key] = true
		id := fmt.Sprintf("%s %d", i.Entity, i.AlertID)
		if o := ids[id]; o != "" {
			t.Errorf("%s and %s have the same alert id %s", i.Key, o, id)
		}
		ids[id] = i.Key
		// A MAC's check stands under "network", where ntopng's users look for it.
		if !strings.HasPrefix(i.Key, strings.Replace(i.Entity.String(), "mac", "network", 1)+"/") || i.Score <= 0 || i.AlertID <= 0 || i.Period == "" {
			t.Errorf("%s: %+v", i.Key, i)
		}
		if i.Title == "" || strings.HasSuffix(i.Title, ".") || !strings.HasSuffix(i.Description, ".") || !strings.HasSuffix(i.Advice, ".") {
			t.Errorf("%s: title %q, description %q, advice %q", i.Key, i.Title, i.Description, i.Advice)
		}
	}
	for _, k := range []string{
		"flow/tls_certificate_selfsigned", "flow/tls_certificate_expired", "flow/ndpi_clear_text_credentials", "flow/unexpected_dns",
		"flow/ndpi_http_suspicious_user_agent", "host/syn_scan", "host/scan_detection", "host/dns_contacts",
	} {
		if !keys[k] {
			t.Errorf("%s is missing", k)
		}
	}
}

// TestAgainstNtopng compares keys, ids, categories, scores, parameters, defaults and states with ntopng's table, which is
// not part of this repository.
func TestAgainstNtopng(t *testing.T) {
	f, err := os.Open(filepath.Join(testdata(t), "checks.tsv"))
	if err != nil {
		t.Skip("no table of ntopng's checks here:", err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes = '\t', true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	col := map[string]int{}
	for i, n := range rows[0] {
		col[n] = i
	}
	theirs := map[string][]string{}
	for _, row := range rows[1:] {
		theirs[row[col["entity"]]+"/"+strings.TrimSuffix(row[col["key"]], "~")] = row
	}
	limit, bounds := regexp.MustCompile(`^> (\d+) (.+)$`), regexp.MustCompile(`min (\d+) max (\d+)`)
	for _, i := range All() {
		row := theirs[i.Key]
		if row == nil {
			if i.Key != "host/syn_flood" { // known from ntopng's tests and older releases only
				t.Errorf("ntopng has no check %s", i.Key)
			}
			continue
		}
		get := func(n string) string { return row[col[n]] }
		score, word, _ := strings.Cut(get("severity_or_score"), " ")
		if got := strconv.Itoa(i.Score); got != score {
			t.Errorf("%s: score %s, ntopng %s", i.Key, got, score)
		}
		if word != "" {
			// The words are preset in ntopng's pages; its alerts have the severity of their score, and so have ours.
			if s, err := alert.ParseSeverity(strings.Trim(word, "()")); err != nil {
				t.Error(err)
			} else if s != i.Severity {
				t.Logf("%s: severity %s follows from the score %d; ntopng's page says %s", i.Key, i.Severity, i.Score, s)
			}
		}
		if i.Entity == alert.EntityMAC {
			continue // the table leaves the rest out
		}
		if got := strconv.Itoa(i.AlertID); got != get("alert_id") {
			t.Errorf("%s: id %s, ntopng %s", i.Key, got, get("alert_id"))
		}
		if i.Category.String() != get("alert_category") {
			t.Errorf("%s: category %s, ntopng %s", i.Key, i.Category, get("alert_category"))
		}
		if (get("default_enabled") == "on") != i.DefaultOn {
			t.Errorf("%s: on by default %t, ntopng %s", i.Key, i.DefaultOn, get("default_enabled"))
		}
		if want := map[string]string{"min": "every minute", "per flow": i.Period}[get("period")]; i.Period != want {
			t.Errorf("%s: period %s, ntopng %s", i.Key, i.Period, get("period"))
		}
		if m := limit.FindStringSubmatch(get("default")); m != nil {
			p := i.Params[0]
			if fmt.Sprint(p.Default) != m[1] || p.Unit != m[2] {
				t.Errorf("%s: default %v %s, ntopng %s", i.Key, p.Default, p.Unit, get("default"))
			}
			if m := bounds.FindStringSubmatch(get("parameter")); m != nil && (fmt.Sprint(p.Min) != m[1] || fmt.Sprint(p.Max) != m[2]) {
				t.Errorf("%s: range %d to %d, ntopng %s", i.Key, p.Min, p.Max, get("parameter"))
			}
		}
		if (get("parameter") == "") != (len(i.Params) == 0) {
			t.Errorf("%s: parameters %q, ntopng %q", i.Key, i.Parameter, get("parameter"))
		}
		for _, p := range i.Params {
			if !strings.Contains(get("parameter"), p.Name) {
				t.Errorf("%s: parameter %s is not in ntopng's %q", i.Key, p.Name, get("parameter"))
			}
		}
	}
}

// testdata finds the folder of shared test data, which is no part of the project.
func testdata(t *testing.T) string {
	t.Helper()
	if d := os.Getenv("TOCSIN_TESTDATA"); d != "" {
		return d
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if d := filepath.Join(dir, "..", "shared", "data"); isDir(d) {
			return d
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skip("no shared/data beside the repository and no $TOCSIN_TESTDATA: this test needs captures that are not part of it")
		}
		dir = up
	}
}

func isDir(p string) bool {
	i, err := os.Stat(p)
	return err == nil && i.IsDir()
}

func TestParseSelection(t *testing.T) {
	ids := func(s string) []string {
		t.Helper()
		c, err := ParseSelection(s)
		if err != nil {
			t.Fatal(s, err)
		}
		sel, err := c.resolve()
		if err != nil {
			t.Fatal(s, err)
		}
		var l []string
		for _, r := range sel.risks {
			l = append(l, r.Key)
		}
		for _, f := range sel.flows {
			l = append(l, f.info.Key)
		}
		for _, h := range sel.hosts {
			l = append(l, h.info.Key)
		}
		if sel.arp {
			l = append(l, "network/ip_reassignment")
		}
		slices.Sort(l)
		return l
	}
	var all, def []string
	for _, i := range All() {
		all = append(all, i.Key)
		if i.DefaultOn {
			def = append(def, i.Key)
		}
	}
	without := func(l []string, k string) []string {
		return slices.DeleteFunc(slices.Clone(l), func(s string) bool { return s == k })
	}
	for s, want := range map[string][]string{
		"all": all, "none": nil, "": def, "default": def,
		"flow/unexpected_dns, host/syn_scan":                 {"flow/unexpected_dns", "host/syn_scan"},
		"none,host/syn_scan":                                 {"host/syn_scan"},
		"all,-host/syn_scan":                                 without(all, "host/syn_scan"),
		"-flow/low_goodput":                                  without(def, "flow/low_goodput"),
		"default,-flow/low_goodput,flow/tls_unsafe_ciphers,": without(def, "flow/low_goodput"),
	} {
		if got := ids(s); !slices.Equal(got, want) {
			t.Errorf("%q selects %d checks, want %d", s, len(got), len(want))
		}
	}
	for s, want := range map[string]string{
		"flow/unexpected_dnss":         `there is no check "flow/unexpected_dnss": did you mean "flow/unexpected_dns"?`,
		"syn_scan":                     `did you mean "host/syn_scan"?`,
		"flow/syn_scan":                `did you mean "host/syn_scan"?`,
		"host/nothing_like_it_at_alll": "tocsin checks list shows them all",
		"flow/x,host/y":                `there is no check "host/y"`,
	} {
		_, err := ParseSelection(s)
		ce, ok := errors.AsType[*ConfigError](err)
		if !ok || ce.Check == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Enabled: map[string]bool{"flow/unexpected_dn": true}}, `did you mean "flow/unexpected_dns"?`},
		{Config{Params: map[string]Params{"host/syn_scam": nil}}, `did you mean "host/syn_scan"?`},
		{Config{Params: map[string]Params{"host/syn_scan": {"treshold": int64(1)}}}, `check host/syn_scan: parameter treshold: there is none of that name: did you mean "threshold"?`},
		{Config{Params: map[string]Params{"host/syn_scan": {"items": int64(1)}}}, "it has threshold"},
		{Config{Params: map[string]Params{"flow/tls_certificate_expired": {"items": int64(1)}}}, "this check has no parameters"},
		{Config{Params: map[string]Params{"host/syn_scan": {"threshold": "many"}}}, `want a whole number of SYNs/min, not the text "many"`},
		{Config{Params: map[string]Params{"host/syn_scan": {"threshold": 2.5}}}, "2.5 is no whole number"},
		{Config{Params: map[string]Params{"host/syn_scan": {"threshold": int64(0)}}}, "0 is out of range: 1 to 65535 SYNs/min"},
		{Config{Params: map[string]Params{"host/syn_scan": {"threshold": true}}}, "not true"},
		{Config{Params: map[string]Params{"flow/unexpected_dns": {"items": "192.0.2.1"}}}, `want a list such as ["192.0.2.1"], not the text "192.0.2.1"`},
		{Config{Params: map[string]Params{"flow/unexpected_dns": {"items": []any{true}}}}, "one item is true"},
		{Config{Params: map[string]Params{"flow/unexpected_dns": {"items": []any{"192.0.2.1/99"}}}}, `check flow/unexpected_dns: parameter items: "192.0.2.1/99" is no address, network or host name`},
		{Config{Params: map[string]Params{"flow/long_lived": {"items": []any{"NoSuchThing"}}}}, `unknown protocol "NoSuchThing"`},
		{Config{Params: map[string]Params{"flow/vlan_bidirectional_traffic": {"items": []any{"5000"}}}}, `"5000" is no VLAN id`},
	} {
		_, err := New(tt.cfg, func(*alert.Alert) {})
		if _, ok := errors.AsType[*ConfigError](err); !ok || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
	}
	two := Config{Params: map[string]Params{"host/syn_scan": {"threshold": "x"}, "host/rst_scan": {"threshold": "y"}}}
	if _, err := New(two, nil); err == nil || !strings.Contains(err.Error(), "syn_scan") || !strings.Contains(err.Error(), "rst_scan") {
		t.Error("two mistakes are not both reported:", err)
	}
}

// TestWants: the engine asks the capture only for what its checks need.
func TestWants(t *testing.T) {
	for sel, want := range map[string]struct {
		hooks   flow.HookSet
		periods int
	}{
		"none":                   {0, 0},
		"host/syn_scan":          {0, 1},
		"flow/tcp_flow_reset":    {flow.Hooks(flow.End), 0},
		"flow/unexpected_dns":    {flow.Hooks(flow.Detected, flow.Periodic, flow.End), 0},
		"host/remote_connection": {flow.Hooks(flow.Detected, flow.Periodic), 1},
	} {
		e, _ := engine(t, sel, nil)
		if e.Hooks() != want.hooks || len(e.Periods()) != want.periods {
			t.Errorf("%s wants hooks %b and %d periods", sel, e.Hooks(), len(e.Periods()))
		}
	}
}

func FuzzParseSelection(f *testing.F) {
	for _, s := range []string{"", "all", "none", "default,-flow/low_goodput", "flow/unexpected_dns,host/syn_scan", ",,-", "flow/", "ÿ"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseSelection(s)
		if err != nil {
			return
		}
		if _, err := New(c, func(*alert.Alert) {}); err != nil {
			t.Errorf("%q is a selection, but no engine can be made of it: %v", s, err)
		}
	})
}
