package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/report"
)

// Listing is what the commands that list something share.
type Listing struct {
	Streams
	Config, Format string
}

// DeliveryFilter are the flags of `tocsin deliveries list`.
type DeliveryFilter struct {
	State, Recipient, Endpoint string
	Limit                      int
}

func (l *Listing) writer(cols []report.Column, paint func(bool) func(int, string) string) (*report.Writer, error) {
	t := report.Inspect(l.Out)
	f, err := report.ParseFormat(l.Format, t.IsTerminal)
	if err != nil {
		return nil, &UsageError{err}
	}
	var p func(int, string) string
	if paint != nil {
		p = paint(t.Color)
	}
	return report.NewWriter(l.Out, f, cols, p), nil
}

// ledger opens the configuration's database; for reading it may be in use by a running service.
func (l *Listing) ledger(ctx context.Context, readOnly bool) (*outbox.Store, error) {
	cfg, err := config.Load(l.Config)
	if err != nil {
		return nil, &UsageError{err}
	}
	return outbox.Open(ctx, dbPath(cfg), outbox.Options{Log: slog.New(slog.DiscardHandler), ReadOnly: readOnly})
}

var deliveryColumns = []report.Column{
	{Name: "id"},
	{Name: "created"},
	{Name: "state"},
	{Name: "recipient", Max: 24},
	{Name: "endpoint", Max: 24},
	{Name: "attempts", Right: true},
	{Name: "alert", Max: 60},
	{Name: "reason", Max: 80},
}

func paintState(on bool) func(int, string) string {
	return func(col int, cell string) string {
		switch {
		case col != 2:
			return cell
		case cell == alert.Dead.String():
			return report.Bad(on, cell)
		case cell == alert.Queued.String(), cell == alert.Leased.String():
			return cell
		}
		return report.Good(on, cell)
	}
}

// ListDeliveries prints rows of the ledger, newest first.
func ListDeliveries(ctx context.Context, l Listing, f DeliveryFilter) (err error) {
	w, err := l.writer(deliveryColumns, paintState)
	if err != nil {
		return err
	}
	filter := outbox.Filter{Recipient: f.Recipient, Endpoint: f.Endpoint}
	if f.State != "" {
		state, err := alert.ParseState(f.State)
		if err != nil {
			return &UsageError{fmt.Errorf("--state: %w", err)}
		}
		filter.States = []alert.State{state}
	}
	if f.Limit < 0 {
		return usage("--limit is %d: it is a number of deliveries, or 0 for all", f.Limit)
	}
	s, err := l.ledger(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	listed := 0
	for left := f.Limit; f.Limit == 0 || left > 0; {
		filter.Limit = 500
		if f.Limit > 0 {
			filter.Limit = min(left, 500)
		}
		rows, err := s.List(ctx, filter)
		if err != nil {
			return err
		}
		listed += len(rows)
		for i := range rows {
			r := &rows[i]
			if err := w.Row(func(b []byte) []byte { return appendJSON(b, r) }, func() []string { return deliveryCells(r) }); err != nil {
				return err
			}
		}
		if len(rows) < filter.Limit {
			break
		}
		left -= len(rows)
		filter.Before = rows[len(rows)-1].ID
	}
	if listed == 0 {
		if err := l.named(f); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), l.tellDrops(ctx, s, f.Recipient))
}

// named tells of a recipient or an endpoint that is not configured. The ledger may still hold deliveries to one that was.
func (l *Listing) named(f DeliveryFilter) error {
	cfg, err := config.Load(l.Config)
	if err != nil {
		return &UsageError{err}
	}
	var recipients, endpoints []string
	for i := range cfg.Recipients {
		recipients = append(recipients, cfg.Recipients[i].Name)
	}
	for _, e := range cfg.Endpoints {
		endpoints = append(endpoints, e.Name)
	}
	if f.Recipient != "" && !slices.Contains(recipients, f.Recipient) {
		return usage("--recipient: %s", unlike("recipient", f.Recipient, recipients))
	}
	if f.Endpoint != "" && !slices.Contains(endpoints, f.Endpoint) {
		return usage("--endpoint: %s", unlike("endpoint", f.Endpoint, endpoints))
	}
	return nil
}

// tellDrops says below a list what is missing in it: deliveries that were dropped for want of room.
func (l *Listing) tellDrops(ctx context.Context, s *outbox.Store, recipient string) error {
	ds, err := s.Dropped(ctx)
	if err != nil {
		return err
	}
	for _, d := range ds {
		if recipient != "" && d.Recipient != recipient {
			continue
		}
		if _, err := fmt.Fprintf(l.Err, "%d deliveries of severity %s to %s were dropped for want of room, %s to %s\n", d.N, d.Severity,
			d.Recipient, d.First.Local().Format(time.DateTime), d.Last.Local().Format(time.DateTime)); err != nil {
			return err
		}
	}
	return nil
}

func deliveryCells(r *outbox.Row) []string {
	var a struct{ Title string }
	_ = json.Unmarshal(r.Alert, &a) // stored by this program; a cell stays empty otherwise
	state := r.State.String()
	reason := r.Reason
	if r.PossibleDuplicate {
		reason = "possible duplicate; " + reason
	}
	if r.State == alert.Queued && r.NotBefore.After(time.Now()) {
		reason = "again at " + r.NotBefore.Local().Format("15:04:05") + "; " + reason
	}
	return []string{
		r.ID.String(), r.Created.Local().Format("2006-01-02 15:04:05"), state, r.Recipient, r.Endpoint, strconv.Itoa(r.Attempts),
		a.Title, reason,
	}
}

// deliveryID reads the id of a delivery.
func deliveryID(s string) (alert.ID, error) {
	id, err := alert.ParseID(s)
	if err != nil {
		return id, usage("%q is no delivery's id: tocsin deliveries list shows them", s)
	}
	return id, nil
}

// ShowDelivery prints a delivery, its alert and its attempts as JSON.
func ShowDelivery(ctx context.Context, l Listing, id string) (err error) {
	did, err := deliveryID(id)
	if err != nil {
		return err
	}
	s, err := l.ledger(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	d, err := s.Show(ctx, did)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(l.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&d); err != nil {
		return fmt.Errorf("print delivery %s: %w", id, err)
	}
	return nil
}

// RetryDeliveries queues dead deliveries again: those named, or all.
func RetryDeliveries(ctx context.Context, l Listing, ids []string, all bool) (err error) {
	parsed, err := parseIDs(ids, all)
	if err != nil {
		return err
	}
	cfg, err := config.Load(l.Config)
	if err != nil {
		return &UsageError{err}
	}
	when := "the next tocsin run sends them"
	var n int
	s, err := l.ledger(ctx, false)
	if locked, ok := errors.AsType[*outbox.LockedError](err); ok {
		when = "the running service sends them now"
		n, err = retryRunning(ctx, cfg, ids, all, locked)
	} else if err == nil {
		n, err = retryIn(ctx, s, parsed, all)
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return err
	}
	switch n {
	case 0:
		_, err = fmt.Fprintln(l.Out, "nothing is queued again: no delivery to a configured recipient is dead")
	case 1:
		_, err = fmt.Fprintf(l.Out, "1 delivery is queued again: %s\n", strings.Replace(when, "them", "it", 1))
	default:
		_, err = fmt.Fprintf(l.Out, "%d deliveries are queued again: %s\n", n, when)
	}
	return err
}

var endpointColumns = []report.Column{
	{Name: "endpoint"}, {Name: "type"}, {Name: "recipients", Right: true}, {Name: "state"}, {Name: "next"}, {Name: "reason", Max: 80},
}

type endpointRow struct {
	Endpoint   string    `json:"endpoint"`
	Type       string    `json:"type"`
	Recipients int       `json:"recipients"`
	State      string    `json:"state"`         // "ready", "held" or "broken"
	Next       time.Time `json:"next,omitzero"` // when a single delivery is tried
	Reason     string    `json:"reason,omitempty"`
}

func (r *endpointRow) cells() []string {
	next := ""
	if !r.Next.IsZero() {
		next = r.Next.Local().Format("2006-01-02 15:04:05")
	}
	return []string{r.Endpoint, r.Type, strconv.Itoa(r.Recipients), r.State, next, r.Reason}
}

// holds reads which endpoints are on hold; none before the first run.
func (l *Listing) holds(ctx context.Context) (map[string]alert.Hold, error) {
	out := map[string]alert.Hold{}
	s, err := l.ledger(ctx, true)
	if err != nil {
		return out, nil //nolint:nilerr // without a ledger nothing is on hold
	}
	hs, err := s.Holds(ctx)
	for _, h := range hs {
		out[h.Endpoint] = h
	}
	return out, errors.Join(err, s.Close())
}

// ListEndpoints prints the configured endpoints, and which are left alone for a time: why, and until when.
func ListEndpoints(ctx context.Context, l Listing) error {
	w, err := l.writer(endpointColumns, nil)
	if err != nil {
		return err
	}
	cfg, err := config.Load(l.Config)
	if err != nil {
		return &UsageError{err}
	}
	holds, err := l.holds(ctx)
	if err != nil {
		return err
	}
	for _, e := range cfg.Endpoints {
		r := endpointRow{Endpoint: e.Name, Type: e.Type, State: "ready"}
		if h, ok := holds[e.Name]; ok && (h.Broken || h.Until.After(time.Now())) {
			r.State, r.Next, r.Reason = "held", h.Until, h.Reason
			if h.Broken {
				r.State = "broken"
			}
		}
		for i, rc := range cfg.Recipients {
			if rc.Endpoint != e.Name {
				continue
			}
			r.Recipients++
			if c, err := readConfirmation(cfg, i); err == nil && c.Code != "" && r.Reason == "" { // the endpoint's own trouble goes before
				r.Reason = rc.Name + ": " + c.note()
			}
		}
		if err := w.Row(func(b []byte) []byte { return appendJSON(b, r) },
			r.cells); err != nil {
			return err
		}
	}
	return w.Close()
}

func n64(n int64) string { return strconv.FormatInt(n, 10) }
