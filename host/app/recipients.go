package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/check"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/host/route"
)

// RecipientState is what became of the alerts that a recipient's filters saw. Deliveries are those that the ledger still
// has; the rest counts from the database's beginning.
type RecipientState struct {
	Recipient       string `json:"recipient"`
	Endpoint        string `json:"endpoint"`
	MinimumSeverity string `json:"minimum_severity"`
	Held            string `json:"held,omitempty"` // "muted" or "maintenance NAME": nothing, or not all, goes there now

	Queued    int64 `json:"queued"` // those being sent included
	Delivered int64 `json:"delivered"`
	Accepted  int64 `json:"accepted"`
	Silenced  int64 `json:"silenced"`
	Skipped   int64 `json:"skipped"`
	Digested  int64 `json:"digested"`
	Dead      int64 `json:"dead"`
	Dropped   int64 `json:"dropped"` // for want of room

	Failed     uint64            `json:"failed"` // attempts
	Filtered   uint64            `json:"filtered"`
	FilteredBy map[string]uint64 `json:"filtered_by"`

	LastUse     time.Time `json:"last_use,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	Oldest      time.Time `json:"oldest,omitzero"` // since when the oldest queued one waits

	Confirmed   time.Time `json:"confirmed,omitzero"`   // when the code of a test message came back: it had arrived
	Unconfirmed bool      `json:"unconfirmed,omitzero"` // the code of the last one has not come back
	confirmed   string    // both in words
}

// Recipients tells how the configured recipients do, now. It is for metrics and the API; it may be called at any time
// between New and Stop.
func (a *App) Recipients(ctx context.Context) ([]RecipientState, error) {
	a.foldFilters()
	return recipientStates(ctx, a.cfg, a.store)
}

// recipientStates reads the states of the configured recipients; without a ledger they are all zero.
func recipientStates(ctx context.Context, cfg *config.Config, s *outbox.Store) ([]RecipientState, error) {
	now := time.Now()
	out := make([]RecipientState, len(cfg.Recipients))
	at := map[string]*RecipientState{}
	for i := range cfg.Recipients {
		rule := &cfg.Rules()[i]
		out[i] = RecipientState{Recipient: rule.Recipient, Endpoint: rule.Endpoint, MinimumSeverity: rule.MinSeverity.String(), Held: held(rule, now), FilteredBy: map[string]uint64{}}
		at[rule.Recipient] = &out[i]
		if c, err := readConfirmation(cfg, i); err == nil { // a damaged one is told of when it is needed
			out[i].Confirmed, out[i].Unconfirmed, out[i].confirmed = c.Confirmed, c.Code != "", c.note()
		}
	}
	if s == nil {
		return out, nil
	}
	counts, err := s.Counts(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range counts {
		if r := at[c.Recipient]; r != nil {
			r.Queued, r.Delivered, r.Accepted, r.Silenced = c.Queued+c.Leased, c.Delivered+c.Duplicate, c.Accepted, c.Silenced
			r.Skipped, r.Digested, r.Dead, r.Oldest = c.Skipped, c.Digested, c.Dead, c.Oldest
		}
	}
	drops, err := s.Dropped(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range drops {
		if r := at[d.Recipient]; r != nil {
			r.Dropped += d.N
		}
	}
	usage, err := s.Usage(ctx)
	if err != nil {
		return nil, err
	}
	for name, u := range usage {
		if r := at[name]; r != nil {
			r.Failed, r.LastUse, r.LastError, r.LastErrorAt, r.FilteredBy = u.Failed, u.LastUse, u.LastError, u.LastErrorAt, u.Filtered
			for _, n := range u.Filtered {
				r.Filtered += n
			}
		}
	}
	return out, nil
}

// held names what keeps alerts from a recipient now; empty if nothing does.
func held(r *route.Rule, now time.Time) string {
	if r.Muted {
		return "muted"
	}
	for _, w := range r.Maintenance {
		if w.Open(now) {
			return "maintenance " + w.Name()
		}
	}
	return ""
}

// states reads the configuration and what its ledger, if there is one yet, says of its recipients.
func (l *Listing) states(ctx context.Context) (_ *config.Config, _ []RecipientState, err error) {
	cfg, err := config.Load(l.Config)
	if err != nil {
		return nil, nil, &UsageError{err}
	}
	if _, err := os.Stat(dbPath(cfg)); errors.Is(err, fs.ErrNotExist) {
		rs, err := recipientStates(ctx, cfg, nil)
		return cfg, rs, err
	}
	s, err := l.ledger(ctx, true)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	rs, err := recipientStates(ctx, cfg, s)
	return cfg, rs, err
}

var recipientColumns = []report.Column{
	{Name: "recipient", Max: 24},
	{Name: "endpoint", Max: 24},
	{Name: "minimum_severity"},
	{Name: "filtered", Right: true},
	{Name: "silenced", Right: true},
	{Name: "queued", Right: true},
	{Name: "delivered", Right: true},
	{Name: "failed", Right: true},
	{Name: "dead", Right: true},
	{Name: "dropped", Right: true},
	{Name: "last_use"},
	{Name: "note", Max: 60},
}

func (r *RecipientState) cells() []string {
	note := r.Held
	if r.LastError != "" && !r.LastErrorAt.Before(r.LastUse) { // the last attempt failed
		note = strings.TrimPrefix(note+"; "+r.LastError, "; ")
	}
	if r.Unconfirmed {
		note = strings.TrimPrefix(note+"; "+r.confirmed, "; ")
	}
	return []string{
		r.Recipient, r.Endpoint, r.MinimumSeverity, fmt.Sprint(r.Filtered), n64(r.Silenced), n64(r.Queued), n64(r.Delivered + r.Accepted),
		fmt.Sprint(r.Failed), n64(r.Dead), n64(r.Dropped), local(r.LastUse), note,
	}
}

func local(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateTime)
}

// ListRecipients prints the configured recipients with what became of their alerts.
func ListRecipients(ctx context.Context, l Listing) error {
	w, err := l.writer(recipientColumns, nil)
	if err != nil {
		return err
	}
	_, rs, err := l.states(ctx)
	if err != nil {
		return err
	}
	for i := range rs {
		r := &rs[i]
		if err := w.Row(func(b []byte) []byte { return appendJSON(b, r) }, r.cells); err != nil {
			return err
		}
	}
	return w.Close()
}

// ShowRecipient prints one recipient: what it gets, in words, and what became of it.
func ShowRecipient(ctx context.Context, l Listing, name string) error {
	cfg, rs, err := l.states(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(rs, func(r RecipientState) bool { return r.Recipient == name })
	if i < 0 {
		var names []string
		for _, r := range rs {
			names = append(names, r.Recipient)
		}
		if near := strict.Nearest(name, names); near != "" {
			return usage("there is no recipient %q: did you mean %q?", name, near)
		}
		return usage("there is no recipient %q: tocsin recipient list shows them", name)
	}
	r := &rs[i]
	switch l.Format {
	case "jsonl", "json":
		_, err = l.Out.Write(append(appendJSON(nil, r), '\n'))
		return err
	case "", "text":
	default:
		return usage("unknown format %q: it is jsonl or text", l.Format)
	}
	p := &facts{w: l.Out}
	p.line("recipient", r.Recipient)
	p.line("endpoint", r.Endpoint)
	describe(p, cfg, i, time.Now())
	p.line("", "")
	p.line("filtered", fmt.Sprint(r.Filtered))
	for _, f := range append(route.Filters(), outbox.NotFollowed) {
		if n := r.FilteredBy[f]; n > 0 {
			p.line("  "+f, fmt.Sprint(n))
		}
	}
	for _, c := range []struct {
		name string
		n    int64
		note string
	}{
		{"silenced", r.Silenced, "the same again, or muted or in maintenance when its turn came"},
		{"queued", r.Queued, since(r.Oldest)},
		{"delivered", r.Delivered, ""},
		{"accepted", r.Accepted, "taken by the service, which does not confirm"},
		{"skipped", r.Skipped, ""},
		{"digested", r.Digested, ""},
		{"dead", r.Dead, "tocsin deliveries list --state dead shows why"},
		{"dropped", r.Dropped, "for want of room"},
	} {
		text := n64(c.n)
		if c.n > 0 && c.note != "" {
			text += " (" + c.note + ")"
		}
		p.line(c.name, text)
	}
	if r.confirmed != "" {
		p.line("confirmed", r.confirmed)
	}
	p.line("failed", fmt.Sprintf("%d attempts", r.Failed))
	p.line("last use", local(r.LastUse))
	if r.LastError != "" {
		p.line("last error", local(r.LastErrorAt)+" "+r.LastError)
	}
	return p.err
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "the oldest since " + local(t)
}

// facts prints names with what is to be said of them, in two columns.
type facts struct {
	w   io.Writer
	err error
}

func (f *facts) line(name, text string) {
	if f.err != nil {
		return
	}
	_, f.err = fmt.Fprintln(f.w, strings.TrimRight(fmt.Sprintf("%-14s %s", name, strict.OneLine(text)), " "))
}

func (f *facts) list(name string, words []string, join string) {
	if len(words) > 0 {
		f.line(name, strings.Join(words, join))
	}
}

// describe says in words what a recipient gets.
func describe(p *facts, cfg *config.Config, i int, now time.Time) {
	rc, rule := &cfg.Recipients[i], &cfg.Rules()[i]
	severity := "any"
	if rc.MinimumSeverity != "" && rule.MinSeverity > 0 {
		severity = rule.MinSeverity.String() + " and above"
	}
	p.line("severity", severity)
	p.list("actions", rc.Actions, ", ")
	p.list("notifications", rc.Notifications, ", ")
	p.list("checks", rc.Checks, ", ")
	if len(rc.Checks) > 0 && len(rc.Categories)+len(rc.Entities) > 0 {
		p.line("", "these decide, not its categories and entities")
	} else {
		p.list("categories", rc.Categories, ", ")
		p.list("entities", rc.Entities, ", ")
	}
	p.list("am hosts", rc.AMHosts, ", ")
	p.list("client in", rc.ClientPools, " or ")
	p.list("server in", rc.ServerPools, " or ")
	var one []string
	for _, c := range []struct {
		words []string
		text  string
	}{{rc.Pools, "is in "}, {rc.Roles, "is "}, {rc.Locality, "is "}} {
		if len(c.words) > 0 {
			one = append(one, c.text+strings.Join(c.words, " or "))
		}
	}
	if len(one) > 0 {
		p.line("hosts", "one host of the alert "+strings.Join(one, " and "))
	}
	if rc.Silence > 0 {
		var by []string
		for _, part := range rule.Silence {
			by = append(by, part.String())
		}
		p.line("silence", fmt.Sprintf("%v after a success for the same %s", time.Duration(rc.Silence), strings.Join(by, " and ")))
	}
	if rc.Muted {
		p.line("muted", "nothing is sent but the release of what was sent before")
	}
	for _, w := range rule.Maintenance {
		p.line("maintenance", windowWords(cfg, w, now))
	}
}

// windowWords says when a maintenance window is open and what it holds back.
func windowWords(cfg *config.Config, w *route.Window, now time.Time) string {
	m := &cfg.Maintenance[slices.Index(cfg.Windows(), w)]
	text := w.Name() + ": "
	if m.Schedule != "" {
		text += fmt.Sprintf("%q for %v", m.Schedule, time.Duration(m.Duration))
		if m.Timezone != "" {
			text += " (" + m.Timezone + ")"
		}
		text += ", "
	}
	switch from, until, ok := w.Around(now); {
	case !ok:
		text += "over"
	case from.After(now):
		text += "next " + local(from) + " to " + local(until)
	default:
		text += "open now, until " + local(until)
	}
	if about := slices.Concat(m.Pools, m.Hosts); len(about) > 0 {
		text += ", for alerts about " + strings.Join(about, ", ")
	}
	return text
}

// checkRecipients wants the checks that recipients ask for to exist. Those of entities that no check here is about may
// come from elsewhere.
func checkRecipients(cfg *config.Config) error {
	known, entities := CheckKeys(), map[string]bool{}
	for _, k := range check.All() {
		entity, _, _ := strings.Cut(k.Key, "/")
		entities[entity] = true
	}
	var errs []error
	for i := range cfg.Recipients {
		r := &cfg.Recipients[i]
		for _, k := range r.Checks {
			if entity, _, _ := strings.Cut(k, "/"); !entities[entity] || slices.Contains(known, k) {
				continue
			}
			text := fmt.Sprintf("recipient %q: there is no check %q", r.Name, k)
			if near := strict.Nearest(k, known); near != "" {
				text += fmt.Sprintf(": did you mean %q?", near)
			} else {
				text += ": tocsin checks list shows them all"
			}
			errs = append(errs, cfg.RecipientProblem(i, "checks", text))
		}
	}
	return errors.Join(errs...)
}

// RecipientNames lists the recipients of a configuration, for completion; none if it cannot be read.
func RecipientNames(path string) []string {
	cfg, err := config.Load(path)
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for i := range cfg.Recipients {
		names[cfg.Recipients[i].Name] = true
	}
	return slices.Sorted(maps.Keys(names))
}
