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
		return Text{}, &TemplateError{Plugin: p.Name(), Problem: templateProblem(err), Err: err}
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

// fit renders a block. If the result does not fit, it cuts the alert's texts to one length, the largest that does.
func (r *runner) fit(a *pdk.Alert, block string, f *format, limit int, unit string) (string, error) {
	whole := *a
	most := maxValue
	if limit > 0 {
		most = min(most, limit)
	}
	longest := 0
	for _, t := range r.m.texts(&whole) {
		*t = clean(shorten(*t, most, unit))
		longest = max(longest, length(*t, unit))
	}
	out, n, err := r.measured(&whole, block, f, unit)
	if err != nil || limit == 0 || n <= limit {
		return out, err
	}
	// The message grows with the level, so the first level that is too large can be searched for.
	best, shortest := "", n
	level := sort.Search(longest, func(level int) bool {
		cut := whole
		for _, t := range r.m.texts(&cut) {
			*t = shorten(*t, level, unit)
		}
		var text string
		if text, n, err = r.measured(&cut, block, f, unit); err == nil && n <= limit {
			best = text
			return false
		}
		shortest = min(shortest, n)
		return true
	})
	if level > 0 {
		return best, nil
	}
	if err == nil {
		err = fmt.Errorf("template: %s:1: block %q has %d %s even without the alert's texts; it may have %d", fileMessage, block, shortest,
			unitName(unit), limit)
	}
	return "", err
}

// measured renders a block and counts what a reader sees of it.
func (r *runner) measured(a *pdk.Alert, block string, f *format, unit string) (string, int, error) {
	out, err := r.run(block, f, fields(a))
	if err != nil {
		return "", 0, err
	}
	if f == formats["json"] {
		out = strings.ReplaceAll(out, paragraph, "")
	} else {
		out = tidy(out)
	}
	return out, length(f.visible(out), unit), nil
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
		{"message", &a.Message},
		{"info", &a.Info},
		{"hostname", &a.Hostname},
		{"advice", &a.Advice},
		{"title", &a.Title},
		{"name", &a.Name},
		{"interface", &a.Interface},
		{"entity_value", &a.EntityValue},
		{"key", &a.Key},
		{"check", &a.Check},
		{"protocol", &a.Protocol},
		{"client", &a.Client},
		{"server", &a.Server},
		{"ip", &a.IP},
		{"mac", &a.MAC},
		{"l4", &a.L4},
		{"attacker", &a.Attacker},
		{"victim", &a.Victim},
		{"community_id", &a.CommunityID},
		{"id", &a.ID},
		{"time", &a.Time},
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
		"link":           a.Link,
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
