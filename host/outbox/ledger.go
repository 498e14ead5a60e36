package outbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// EndpointCount counts the deliveries of one recipient by state.
type EndpointCount struct {
	Endpoint  string `json:"endpoint"`
	Recipient string `json:"recipient"`
	Removed   bool   `json:"removed,omitempty"` // the recipient is no longer configured
	Queued    int64  `json:"queued"`
	Leased    int64  `json:"leased"`
	Delivered int64  `json:"delivered"`
	Accepted  int64  `json:"accepted"`
	Duplicate int64  `json:"duplicate"`
	Dead      int64  `json:"dead"`
	Skipped   int64  `json:"skipped"`
	Digested  int64  `json:"digested"`
	Silenced  int64  `json:"silenced"`
	// Oldest is since when the oldest queued delivery has waited; zero if none is queued.
	Oldest time.Time `json:"oldest,omitzero"`
}

// sqlOldest finds since when a recipient's oldest delivery has waited, whatever its severity.
const sqlOldest = `SELECT min((SELECT since FROM delivery INDEXED BY waiting WHERE recipient = ?1 AND severity = v.column1
	AND state = 0 ORDER BY since LIMIT 1)) FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) v`

// Counts counts the deliveries of every recipient, by endpoint and recipient. Its cost does not grow with the ledger.
func (s *Store) Counts(ctx context.Context) ([]EndpointCount, error) {
	out := []EndpointCount{}
	err := each(ctx, s.reader, func(q *sql.Rows) error {
		var c EndpointCount
		var state sql.NullInt64
		var n, oldest int64
		if err := q.Scan(&c.Endpoint, &c.Recipient, &c.Removed, &state, &n, &oldest); err != nil {
			return err
		}
		if k := len(out); k == 0 || out[k-1].Recipient != c.Recipient {
			c.Oldest = fromMS(oldest)
			out = append(out, c)
		}
		if state.Valid {
			*out[len(out)-1].of(alert.State(state.Int64)) += n
		}
		return nil
	}, `SELECT e.name, r.name, r.removed <> 0, t.state, coalesce(t.n, 0),
			coalesce((`+strings.ReplaceAll(sqlOldest, "?1", "r.seq")+`), 0)
		FROM recipient r JOIN endpoint e ON e.seq = r.endpoint LEFT JOIN tally t ON t.recipient = r.seq
		ORDER BY e.name, r.name`)
	if err == nil {
		err = s.oldestFresh(ctx, out)
	}
	if err != nil {
		return nil, s.explain("read", err)
	}
	return out, nil
}

func (c *EndpointCount) of(st alert.State) *int64 {
	switch st {
	case alert.Queued:
		return &c.Queued
	case alert.Leased:
		return &c.Leased
	case alert.Delivered:
		return &c.Delivered
	case alert.Accepted:
		return &c.Accepted
	case alert.Duplicate:
		return &c.Duplicate
	case alert.Skipped:
		return &c.Skipped
	case alert.Digested:
		return &c.Digested
	case alert.Silenced:
		return &c.Silenced
	case alert.Dead:
	}
	return &c.Dead
}

// Filter chooses deliveries of the ledger; its zero value chooses all.
type Filter struct {
	States    []alert.State // any of these; empty: all
	Recipient string        // empty: all
	Endpoint  string        // empty: all
	Alert     alert.ID      // zero: all
	// Before is the last id of the page before: List goes on below it. Zero: from the newest.
	Before alert.ID
	Limit  int // at most so many; 0: 100 for List, no limit for RetryAll
}

// Row is a delivery as the ledger has it.
type Row struct {
	ID        alert.ID
	AlertID   alert.ID
	Recipient string
	Endpoint  string // the recipient's now
	State     alert.State
	Attempts  int
	Created   time.Time
	Since     time.Time // Created, or the last retry by hand
	Changed   time.Time
	NotBefore time.Time // of the next attempt, while queued
	Reason    string    // of the last attempt that failed, or why it is dead
	// ProviderID is the service's name of the message, empty if unknown.
	ProviderID string
	// PossibleDuplicate says that it succeeded after an attempt that may have succeeded too.
	PossibleDuplicate bool
	Alert             json.RawMessage
}

// MarshalJSON writes a row as `tocsin deliveries` prints it; times are RFC 3339, UTC.
func (r *Row) MarshalJSON() ([]byte, error) {
	return json.Marshal(r.wire())
}

type rowWire struct {
	ID         string          `json:"id"`
	State      string          `json:"state"`
	Endpoint   string          `json:"endpoint"`
	Recipient  string          `json:"recipient"`
	Attempts   int             `json:"attempts"`
	Created    time.Time       `json:"created"`
	Changed    time.Time       `json:"changed"`
	NotBefore  time.Time       `json:"not_before,omitzero"`
	Reason     string          `json:"reason,omitempty"`
	ProviderID string          `json:"provider_id,omitempty"`
	Duplicate  bool            `json:"possible_duplicate,omitempty"`
	Alert      json.RawMessage `json:"alert"`
}

func (r *Row) wire() rowWire {
	return rowWire{
		ID: r.ID.String(), State: r.State.String(), Endpoint: r.Endpoint, Recipient: r.Recipient, Attempts: r.Attempts,
		Created: r.Created, Changed: r.Changed, NotBefore: r.NotBefore, Reason: r.Reason, ProviderID: r.ProviderID,
		Duplicate: r.PossibleDuplicate, Alert: r.Alert,
	}
}

// Attempt is one counted attempt of a delivery.
type Attempt struct {
	N         int           `json:"n"` // from 1, over the delivery's life
	At        time.Time     `json:"at"`
	Took      time.Duration `json:"took_ns"`
	State     string        `json:"state"` // what became of the delivery: "queued" means that it is tried again
	Status    int           `json:"status,omitempty"`
	Ambiguous bool          `json:"ambiguous,omitempty"`
	Reason    string        `json:"reason,omitempty"`
}

// Detail is a delivery with its attempts, first to last.
type Detail struct {
	Row
	History []Attempt
}

// MarshalJSON writes the row's shape and its attempts as "history".
func (d *Detail) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		rowWire
		History []Attempt `json:"history"`
	}{d.wire(), d.History})
}

// sqlRow reads deliveries; f is there for one that is fresh and leased.
const sqlRow = `SELECT d.id, a.id, r.name, e.name, CASE WHEN d.state <> 9 THEN d.state ELSE f.recipient IS NOT NULL END,
	d.attempts + (f.recipient IS NOT NULL), d.created, d.since, coalesce(f.at, d.changed), d.not_before, d.reason,
	d.provider_id, d.ambiguous, a.json FROM delivery d %s CROSS JOIN recipient r ON r.seq = d.recipient
	CROSS JOIN endpoint e ON e.seq = r.endpoint CROSS JOIN alert a ON a.seq = d.alert
	LEFT JOIN fresh f ON d.state = 9 AND f.recipient = d.recipient AND d.id <= f.leased`

// sqlTried lists the attempts of a delivery.
const sqlTried = `SELECT n, at, took, state, status, ambiguous, reason FROM tried WHERE delivery = ?1 ORDER BY n`

func scanRow(q *sql.Rows) (Row, error) {
	var r Row
	var id, aid, text sql.RawBytes
	var created, since, changed, notBefore, state int64
	var ambiguous bool
	err := q.Scan(&id, &aid, &r.Recipient, &r.Endpoint, &state, &r.Attempts, &created, &since, &changed, &notBefore,
		&r.Reason, &r.ProviderID, &ambiguous, &text)
	if err != nil {
		return r, err
	}
	copy(r.ID[:], id)
	copy(r.AlertID[:], aid)
	r.Alert = append([]byte(nil), text...)
	r.State = alert.State(state)
	r.Created, r.Since, r.Changed = fromMS(created), fromMS(since), fromMS(changed)
	switch r.State {
	case alert.Queued:
		r.NotBefore = fromMS(notBefore)
	case alert.Delivered, alert.Accepted, alert.Duplicate:
		r.PossibleDuplicate = ambiguous
	case alert.Leased, alert.Dead, alert.Skipped, alert.Digested, alert.Silenced:
	}
	return r, nil
}

// List gives deliveries, newest first. For the next page, set Before to the last id.
func (s *Store) List(ctx context.Context, f Filter) ([]Row, error) {
	query, args, err := s.listQuery(ctx, f)
	if err != nil {
		return nil, s.explain("read", err)
	}
	out := []Row{}
	err = each(ctx, s.reader, func(q *sql.Rows) error {
		r, err := scanRow(q)
		out = append(out, r)
		return err
	}, query, args...)
	if err != nil {
		return nil, s.explain("read", err)
	}
	return out, nil
}

// fewQueued is up to how many queued deliveries List sorts rather than walk the ledger from its newest end for them.
const fewQueued = 20000

func (s *Store) listQuery(ctx context.Context, f Filter) (string, []any, error) {
	index, among := "", ""
	switch {
	case f.Alert != alert.ID{}:
		index = "INDEXED BY by_alert"
	case len(f.States) == 1 && f.States[0] == alert.Dead:
		index = "INDEXED BY dead"
	case len(f.States) == 1 && f.States[0] == alert.Leased:
		among = "SELECT q.id FROM delivery q INDEXED BY leased WHERE q.state = 1 UNION ALL " + sqlFreshIDs
	case len(f.States) == 1 && f.States[0] == alert.Queued:
		var n int64
		if err := s.reader.QueryRowContext(ctx, `SELECT coalesce(sum(n), 0) FROM tally WHERE state = 0`).Scan(&n); err != nil {
			return "", nil, err
		}
		if n <= fewQueued {
			among = "SELECT q.id FROM delivery q INDEXED BY waiting WHERE q.state = 0 UNION ALL " + sqlFreshIDs
		}
	}
	where, args := f.where(index != "")
	if among != "" {
		where += " AND d.id IN (" + among + ")"
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	return fmt.Sprintf(sqlRow, index) + where + " ORDER BY d.id DESC LIMIT ?", append(args, f.Limit), nil
}

// where writes the filter's conditions on delivery d. A plus keeps SQLite from choosing an index by that condition: the
// caller has named the one that serves, or wants the rows in the order of their ids without sorting.
func (f *Filter) where(indexed bool) (string, []any) {
	var and []string
	var args []any
	if len(f.States) > 0 {
		var in []string
		for _, st := range f.States {
			in = append(in, strconv.Itoa(int(st))) // literals: a partial index is not used with a parameter
		}
		cond := "d.state IN (" + strings.Join(in, ", ") + ")"
		if len(in) == 1 {
			cond = "d.state = " + in[0]
		}
		if !indexed {
			cond = "+" + cond
		}
		queued, leased := slices.Contains(f.States, alert.Queued), slices.Contains(f.States, alert.Leased)
		switch { // see stateFresh
		case queued && leased:
			cond = "(" + cond + " OR +d.state = 9)"
		case queued:
			cond = "(" + cond + " OR +d.state = 9 AND f.recipient IS NULL)"
		case leased:
			cond = "(" + cond + " OR +d.state = 9 AND f.recipient IS NOT NULL)"
		}
		and = append(and, cond)
	}
	if f.Recipient != "" {
		and, args = append(and, "+d.recipient = (SELECT seq FROM recipient WHERE name = ?)"), append(args, f.Recipient)
	}
	if f.Endpoint != "" {
		and = append(and, "+d.recipient IN (SELECT seq FROM recipient WHERE endpoint = (SELECT seq FROM endpoint WHERE name = ?))")
		args = append(args, f.Endpoint)
	}
	if f.Alert != (alert.ID{}) {
		and, args = append(and, "d.alert = (SELECT seq FROM alert WHERE id = ?)"), append(args, f.Alert[:])
	}
	if f.Before != (alert.ID{}) {
		and, args = append(and, "d.id < ?"), append(args, f.Before[:])
	}
	if len(and) == 0 {
		return "", args
	}
	return " WHERE " + strings.Join(and, " AND "), args
}

// Show gives one delivery with its attempts; an error that wraps ErrNotFound if there is none.
func (s *Store) Show(ctx context.Context, id alert.ID) (_ Detail, err error) {
	// One transaction, so that the row and its attempts belong together.
	q, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Detail{}, s.explain("read", err)
	}
	defer func() { err = errors.Join(err, q.Rollback()) }()
	d, found := Detail{History: []Attempt{}}, false
	err = each(ctx, q, func(rows *sql.Rows) (err error) {
		d.Row, err = scanRow(rows)
		found = true
		return err
	}, fmt.Sprintf(sqlRow, "")+" WHERE d.id = ?", id[:])
	if err != nil {
		return Detail{}, s.explain("read", err)
	}
	if !found {
		return Detail{}, fmt.Errorf("outbox: %w", idError(id, ErrNotFound))
	}
	err = each(ctx, q, func(rows *sql.Rows) error {
		var a Attempt
		var at, took, state int64
		if err := rows.Scan(&a.N, &at, &took, &state, &a.Status, &a.Ambiguous, &a.Reason); err != nil {
			return err
		}
		a.At, a.Took, a.State = fromMS(at), time.Duration(took)*time.Microsecond, alert.State(state).String()
		d.History = append(d.History, a)
		return nil
	}, sqlTried, id[:])
	if err != nil {
		return Detail{}, s.explain("read", err)
	}
	return d, nil
}
