package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/app"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/report"
)

type printer struct {
	w     io.Writer
	color bool
}

func (p *printer) head(s string) { _, _ = fmt.Fprintf(p.w, "\n  %s\n\n", report.Bold(p.color, s)) }

func (p *printer) line(what, format string, args ...any) {
	_, _ = fmt.Fprintf(p.w, "  %s %s\n", report.Dim(p.color, fmt.Sprintf("%-10s", what)), fmt.Sprintf(format, args...))
}

func (p *printer) built(bs []build.Built, took time.Duration) {
	var names []string
	for _, b := range bs {
		names = append(names, fmt.Sprintf("%s %s", b.Name, report.Bytes(uint64(b.Size))))
	}
	p.line("", "%s in %s", strings.Join(names, ", "), round(took))
}

// alertRow is one line of the result: alerts of one check and one client, or host, share it.
type alertRow struct {
	severity, title, action, who string
	at                           map[string]int // arrivals by place
	sent                         map[string]int // deliveries by place
	servers                      map[string]bool
}

type stored struct {
	ID          string `json:"id"`
	Check       string `json:"check"`
	Severity    string `json:"severity"`
	SeverityID  int    `json:"severity_id"`
	Title       string `json:"title"`
	Action      string `json:"action"`
	EntityValue string `json:"entity_value"`
	IP          string `json:"ip"`
	Client      string `json:"client"`
	Server      string `json:"server"`
	Message     string `json:"message"`
}

var places = []string{"webhook", "telegram", "shell"}

// place maps the demo's recipients to where their alerts arrive.
var place = map[string]string{"siem-all": "webhook", "soc-chat": "telegram", "on-scan": "shell"}

// results compares what the ledger says with what the endpoints got, and prints both.
func (p *printer) results(ctx context.Context, a *app.App, set *setting) error {
	rows, err := a.Ledger().List(ctx, outbox.Filter{Limit: 1 << 20})
	if err != nil {
		return err
	}
	hooks, requests, refused := set.webhooks()
	scripts, err := set.scripts()
	if err != nil {
		return err
	}
	got := map[string]map[string]bool{"webhook": {}, "shell": {}}
	for _, h := range hooks {
		got["webhook"][h.AlertID] = true
	}
	for _, id := range scripts {
		got["shell"][id] = true
	}
	byKey := map[string]*alertRow{}
	severity := map[string]int{}
	var keys []string
	arrived, lost := 0, 0
	for i := range rows {
		r := &rows[i]
		var s stored
		if err := json.Unmarshal(r.Alert, &s); err != nil {
			return fmt.Errorf("an alert in the ledger: %w", err)
		}
		who := s.EntityValue
		if s.Client != "" {
			who = s.Client
		}
		key := strings.Join([]string{s.Check, s.Action, who}, "|")
		row := byKey[key]
		if row == nil {
			row = &alertRow{
				severity: s.Severity, title: s.Title, action: s.Action, who: who,
				at: map[string]int{}, sent: map[string]int{}, servers: map[string]bool{},
			}
			byKey[key], severity[key] = row, s.SeverityID
			keys = append(keys, key)
		}
		if s.Server != "" {
			row.servers[s.Server] = true
		}
		where := place[r.Recipient]
		row.sent[where]++
		confirmed := r.State == alert.Delivered || r.State == alert.Accepted || r.State == alert.Duplicate
		there := got[where][s.ID]
		if where == "telegram" {
			there = confirmed // the stand-in is asked below for the number of messages
		}
		if confirmed && there {
			row.at[where]++
			arrived++
		} else {
			lost++
		}
	}
	sort.SliceStable(keys, func(i, j int) bool {
		if severity[keys[i]] != severity[keys[j]] {
			return severity[keys[i]] > severity[keys[j]]
		}
		return keys[i] < keys[j]
	})
	p.table(keys, byKey)
	p.message(set)
	chat := set.bot.Messages()
	p.line("webhook", "%d alerts in %d signed requests, %d refused", len(hooks), requests, len(refused))
	edited := 0
	for _, m := range chat {
		edited += m.Edited
	}
	p.line("telegram", "%d messages in the chat, %d of them edited when its condition ended", len(chat), edited)
	if set.shell {
		p.line("shell", "%d runs of the script", len(scripts))
	}
	sum := fmt.Sprintf("%d deliveries of %d alerts arrived, %d did not", arrived, a.Stored(), lost)
	if lost > 0 {
		p.line("sum", "%s", report.Bad(p.color, sum))
		return fmt.Errorf("%s", sum)
	}
	p.line("sum", "%s", report.Good(p.color, sum))
	_, _ = fmt.Fprintln(p.w)
	return nil
}

func (p *printer) table(keys []string, rows map[string]*alertRow) {
	var lines [][]string
	for _, k := range keys {
		r := rows[k]
		title := r.title
		if r.action != "store" {
			title += " (" + r.action + ")"
		}
		sev := r.severity
		if p.color {
			sev = report.Severity(r.severity, r.severity)
		}
		cells := []string{sev, runewidth.Truncate(title, 44, "…"), runewidth.Truncate(r.parties(), 44, "…")}
		for _, pl := range places {
			cells = append(cells, p.mark(r.at[pl], r.sent[pl]))
		}
		lines = append(lines, cells)
	}
	head := []string{"SEVERITY", "ALERT", "WHO", "WEBHOOK", "TELEGRAM", "SHELL"}
	_, _ = fmt.Fprintf(p.w, "\n%s\n", report.Box(head, lines, 3))
}

// parties names the client and its server, or how many it has.
func (r *alertRow) parties() string {
	switch len(r.servers) {
	case 0:
		return r.who
	case 1:
		for s := range r.servers {
			return r.who + " → " + s
		}
	}
	return fmt.Sprintf("%s → %d servers", r.who, len(r.servers))
}

// mark says how many of the deliveries to a place arrived.
func (p *printer) mark(at, sent int) string {
	switch {
	case sent == 0:
		return report.Dim(p.color, "·")
	case at < sent:
		return report.Bad(p.color, fmt.Sprintf("%d of %d", at, sent))
	case at == 1:
		return report.Good(p.color, "✓")
	}
	return report.Good(p.color, fmt.Sprintf("✓ %d", at))
}

// message shows one message as a person in the chat sees it.
func (p *printer) message(set *setting) {
	msgs := set.bot.Messages()
	if len(msgs) == 0 {
		return
	}
	m := msgs[0]
	for _, c := range msgs {
		if strings.Contains(c.Plain, "scan") || strings.Contains(c.Plain, "Scan") {
			m = c
			break
		}
	}
	_, _ = fmt.Fprintf(p.w, "  %s\n%s\n", report.Dim(p.color, "what the chat shows of one of them:"), report.Frame(strings.TrimSpace(m.Plain), 78, 2))
}
