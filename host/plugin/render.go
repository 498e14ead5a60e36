package plugin

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// Text is a rendered message.
type Text struct {
	Subject string // one line of plain text, at most maxSubject runes
	Text    string // in the format of the manifest, or plain text
}

// maxSubject bounds subjects, in runes.
const maxSubject = 250

// Render writes an alert as a message with the package's template: in the manifest's format, or as plain text if plain is
// set. The message fits the manifest's max_length: the alert's own long texts are shortened, never what is rendered. The
// error is a *TemplateError. Safe for concurrent use.
func (p *Package) Render(a *pdk.Alert, locale string, plain bool) (Text, error) {
	fail := func(err error) (Text, error) {
		return Text{}, &TemplateError{Plugin: p.Name(), Problem: templateProblem(err)}
	}
	r := p.message.pool.Get().(*runner)
	defer p.message.pool.Put(r)
	r.s.lang, r.s.zone = p.words.in(locale), time.UTC
	if p.Zone != nil {
		r.s.zone = p.Zone
	}
	block, f := blockText, formats[p.message.format]
	if plain {
		f = formats["text"]
		if p.message.plain {
			block = blockPlain
		} else if p.message.format == "json" {
			block = blockHost
		}
	}
	limit := p.message.max
	text, err := r.fit(a, block, f, limit, p.message.unit)
	if err != nil {
		return fail(err)
	}
	subject, err := r.fit(a, blockSubject, formats["text"], maxSubject, "runes")
	if err != nil {
		return fail(err)
	}
	return Text{Subject: strings.Join(strings.Fields(subject), " "), Text: text}, nil
}

// Compose does what Render does, of an alert's JSON.
func (p *Package) Compose(alertJSON []byte, locale string, plain bool) (subject, text string, err error) {
	var a pdk.Alert
	if err := json.Unmarshal(alertJSON, &a); err != nil {
		return "", "", fmt.Errorf("plug-in %s: the alert is no valid JSON: %w", p.Name(), err)
	}
	t, err := p.Render(&a, locale, plain)
	return t.Subject, t.Text, err
}

// tidy takes away what conditions in a template leave behind, spaces at line ends and empty lines, and keeps the empty lines
// that the template has of its own.
func tidy(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	gap := false
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == paragraph {
			gap = true
		}
		if line = strings.ReplaceAll(line, paragraph, ""); line == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
			if gap {
				b.WriteByte('\n')
			}
		}
		gap = false
		b.WriteString(line)
	}
	return b.String()
}

// fit renders a block and, as long as it does not fit, shortens the longest texts of the alert to one length and renders it
// again.
func (r *runner) fit(a *pdk.Alert, block string, f *format, limit int, unit string) (string, error) {
	short := *a
	list := r.m.texts(&short)
	most := maxValue
	if limit > 0 {
		most = min(most, limit)
	}
	for _, t := range list {
		*t = clean(shorten(*t, most, unit))
	}
	level, before := most, -1
	for {
		out, err := r.run(block, f, fields(&short))
		if err != nil {
			return "", err
		}
		if f == formats["json"] {
			out = strings.ReplaceAll(out, paragraph, "")
		} else {
			out = tidy(out)
		}
		n := length(f.visible(out), unit)
		if limit == 0 || n <= limit {
			return out, nil
		}
		if level == 0 {
			return "", fmt.Errorf("template: %s:1: block %q has %d %s even without the alert's texts; it may have %d", fileMessage, block, n,
				unitName(unit), limit)
		}
		next := levelFor(list, n-limit, unit)
		if n == before { // what was cut is not part of this block
			next = min(next, level/2)
		}
		level, before = min(next, level-1), n
		for _, t := range list {
			*t = shorten(*t, level, unit)
		}
	}
}

// levelFor is the length that texts have to be cut to, so that together they lose at least so many units.
func levelFor(list []*string, lose int, unit string) int {
	lengths := make([]int, len(list))
	longest := 0
	for i, t := range list {
		lengths[i] = length(*t, unit)
		longest = max(longest, lengths[i])
	}
	// The first level that loses too little; the one below it is the answer.
	return max(0, sort.Search(longest, func(level int) bool {
		lost := 0
		for _, n := range lengths {
			lost += max(0, n-level)
		}
		return lost < lose
	})-1)
}

func unitName(unit string) string {
	switch unit {
	case "bytes":
		return "bytes"
	case "utf16":
		return "UTF-16 units"
	}
	return "characters"
}

// texts are those fields of an alert that the template uses and that may be long. The names of severity, action and the like
// are not among them: templates compare them.
func (m *message) texts(a *pdk.Alert) []*string {
	list := make([]*string, 0, 16)
	for _, t := range []struct {
		key  string
		text *string
	}{
		{"message", &a.Message}, {"info", &a.Info}, {"hostname", &a.Hostname}, {"advice", &a.Advice}, {"title", &a.Title},
		{"name", &a.Name}, {"interface", &a.Interface}, {"entity_value", &a.EntityValue}, {"key", &a.Key}, {"check", &a.Check},
		{"protocol", &a.Protocol}, {"client", &a.Client}, {"server", &a.Server}, {"ip", &a.IP}, {"mac", &a.MAC}, {"l4", &a.L4},
		{"attacker", &a.Attacker}, {"victim", &a.Victim}, {"community_id", &a.CommunityID}, {"id", &a.ID}, {"time", &a.Time},
	} {
		if m.used[t.key] {
			list = append(list, t.text)
		}
	}
	return list
}

// alertKeys are the fields that a template can use, by the names of the alert's JSON.
var alertKeys = func() []string {
	var keys []string
	for k := range fields(&pdk.Alert{}) {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}()

// fields is an alert as templates see it: every field is there, by its name in JSON.
func fields(a *pdk.Alert) map[string]any {
	return map[string]any{
		"id": a.ID, "entity": a.Entity, "entity_id": a.EntityID, "entity_value": a.EntityValue, "alert_id": a.AlertID,
		"check": a.Check, "title": a.Title, "category": a.Category, "severity": a.Severity, "severity_id": a.SeverityID,
		"score": a.Score, "action": a.Action, "tstamp": a.Tstamp, "time": a.Time, "message": a.Message, "advice": a.Advice,
		"engaged_tstamp": a.EngagedAt, "key": a.Key, "interface": a.Interface, "ip": a.IP, "name": a.Name, "mac": a.MAC,
		"local": a.Local, "attacker": a.Attacker, "victim": a.Victim, "value": a.Value, "threshold": a.Threshold, "l4": a.L4,
		"client": a.Client, "client_port": int(a.ClientPort), "server": a.Server, "server_port": int(a.ServerPort),
		"client_local": a.ClientLocal, "server_local": a.ServerLocal, "vlan": int(a.VLAN), "protocol": a.Protocol,
		"hostname": a.Hostname, "community_id": a.CommunityID, "first": a.First, "last": a.Last,
		"packets": []int64{signed(a.Packets[0]), signed(a.Packets[1])}, "bytes": []int64{signed(a.Bytes[0]), signed(a.Bytes[1])},
		"info": a.Info,
	}
}

func signed(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
