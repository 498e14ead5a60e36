package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// EndpointRow is a configured endpoint. Config is what the configuration says of it, as JSON; the caller guarantees
// that secrets are references in it, never values.
type EndpointRow struct {
	Name    string          `json:"name"`
	Type    string          `json:"type"`
	Config  json.RawMessage `json:"config,omitempty"`
	Removed bool            `json:"removed,omitempty"` // set by Configured: no longer in the configuration
}

// RecipientRow is a configured recipient; Config is as for EndpointRow.
type RecipientRow struct {
	Name     string          `json:"name"`
	Endpoint string          `json:"endpoint"`
	Config   json.RawMessage `json:"config,omitempty"`
	Removed  bool            `json:"removed,omitempty"`
	// Silence is the recipient's silence window; 0: it has none. Targets name what counts as the same alert.
	Silence time.Duration `json:"silence_ns,omitempty"`
}

// Provision makes the stored endpoints and recipients those of the configuration. What is no longer in it is marked as
// removed, and deliveries waiting for a removed recipient become dead letters, which Retry queues again once the
// recipient is back. A recipient that moves to another endpoint takes along what waits for it.
func (s *Store) Provision(ctx context.Context, endpoints []EndpointRow, recipients []RecipientRow) error {
	if err := checkRows(endpoints, recipients); err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	err := s.do(ctx, "provision", len(endpoints)+len(recipients), func(t *tx) error {
		return s.provision(t, endpoints, recipients)
	})
	if err != nil {
		return err
	}
	return s.buryRemoved(ctx)
}

func checkRows(endpoints []EndpointRow, recipients []RecipientRow) error {
	var errs []error
	names := map[string]bool{}
	for _, e := range endpoints {
		switch {
		case e.Name == "":
			errs = append(errs, errors.New("an endpoint has no name"))
		case names[e.Name]:
			errs = append(errs, fmt.Errorf("endpoint %s is there twice", e.Name))
		case len(e.Config) > 0 && !json.Valid(e.Config):
			errs = append(errs, fmt.Errorf("endpoint %s: its configuration is not JSON", e.Name))
		}
		names[e.Name] = true
	}
	seen := map[string]bool{}
	for _, r := range recipients {
		switch {
		case r.Name == "":
			errs = append(errs, errors.New("a recipient has no name"))
		case seen[r.Name]:
			errs = append(errs, fmt.Errorf("recipient %s is there twice", r.Name))
		case !names[r.Endpoint]:
			errs = append(errs, fmt.Errorf("recipient %s: there is no endpoint %q", r.Name, r.Endpoint))
		case len(r.Config) > 0 && !json.Valid(r.Config):
			errs = append(errs, fmt.Errorf("recipient %s: its configuration is not JSON", r.Name))
		}
		seen[r.Name] = true
	}
	return errors.Join(errs...)
}

func (s *Store) provision(t *tx, endpoints []EndpointRow, recipients []RecipientRow) error {
	now := s.now().UnixMilli()
	for _, q := range []string{
		`UPDATE recipient SET removed = ?1 WHERE removed = 0`, `UPDATE endpoint SET removed = ?1 WHERE removed = 0`,
	} {
		if _, err := t.exec(q, now); err != nil {
			return err
		}
	}
	for _, e := range endpoints {
		if _, err := t.exec(`INSERT INTO endpoint (name, type, config, removed) VALUES (?1, ?2, ?3, 0)
			ON CONFLICT (name) DO UPDATE SET type = ?2, config = ?3, removed = 0`, e.Name, e.Type, orNull(e.Config)); err != nil {
			return err
		}
		t.wake[e.Name] = true
	}
	for _, r := range recipients {
		if _, err := t.exec(`INSERT INTO recipient (name, endpoint, config, removed, silence)
			VALUES (?1, (SELECT seq FROM endpoint WHERE name = ?2), ?3, 0, ?4)
			ON CONFLICT (name) DO UPDATE SET endpoint = excluded.endpoint, config = ?3, removed = 0, silence = ?4`,
			r.Name, r.Endpoint, orNull(r.Config), max(0, r.Silence.Milliseconds())); err != nil {
			return err
		}
	}
	n, err := readNames(context.Background(), t.conn)
	if err != nil {
		return err
	}
	// Later parts of the same commit shall see them too.
	maps.Copy(t.added.endpoints, n.endpoints)
	maps.Copy(t.added.recipients, n.recipients)
	t.after = append(t.after, func() { s.names = n })
	return nil
}

func orNull(b []byte) []byte {
	if b = bytes.TrimSpace(b); len(b) > 0 {
		return b
	}
	return []byte("null")
}

// buryRemoved makes dead letters of what waits for removed recipients. It does the rest another time if it is cut short.
func (s *Store) buryRemoved(ctx context.Context) error {
	s.mu.Lock()
	var gone []*recipient
	for _, r := range s.names.recipients {
		if r.removed {
			gone = append(gone, r)
		}
	}
	s.mu.Unlock()
	for _, r := range gone {
		for n := s.chunk; n == s.chunk; {
			err := s.do(ctx, "end deliveries in", s.chunk, func(t *tx) (err error) {
				if cur := s.recipientOf(t, r.name); cur == nil || !cur.removed { // it is back already
					n = 0
					return nil
				}
				n, err = t.execN(`UPDATE delivery SET state = 5, changed = ?2, reason = ?3 WHERE id IN (SELECT id FROM delivery
					INDEXED BY waiting WHERE recipient = ?1 AND state = 0 LIMIT ?4)`,
					r.seq, s.now().UnixMilli(), removedReason(r.name), s.chunk)
				t.move(r.seq, alert.Queued, alert.Dead, n)
				return errors.Join(err, s.checkDigests(t))
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Configured lists the stored endpoints and recipients, removed ones included, by name.
func (s *Store) Configured(ctx context.Context) (endpoints []EndpointRow, recipients []RecipientRow, err error) {
	err = each(ctx, s.reader, func(q *sql.Rows) error {
		var e EndpointRow
		var config []byte
		if err := q.Scan(&e.Name, &e.Type, &config, &e.Removed); err != nil {
			return err
		}
		e.Config = config
		endpoints = append(endpoints, e)
		return nil
	}, `SELECT name, type, config, removed <> 0 FROM endpoint ORDER BY name`)
	if err != nil {
		return nil, nil, s.explain("read", err)
	}
	err = each(ctx, s.reader, func(q *sql.Rows) error {
		var r RecipientRow
		var config []byte
		var silence int64
		if err := q.Scan(&r.Name, &r.Endpoint, &config, &r.Removed, &silence); err != nil {
			return err
		}
		r.Config, r.Silence = config, time.Duration(silence)*time.Millisecond
		recipients = append(recipients, r)
		return nil
	}, `SELECT r.name, e.name, r.config, r.removed <> 0, r.silence FROM recipient r JOIN endpoint e ON e.seq = r.endpoint ORDER BY r.name`)
	return endpoints, recipients, s.explain("read", err)
}
