package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

// Entry is an alert with where it shall go. Without targets it is stored all the same.
type Entry struct {
	Alert   *alert.Alert
	Targets []alert.Target
}

// Store puts alerts and their deliveries on disk, all of the call in one transaction: when it returns nil they survive
// a crash and a power failure, else none of them is stored. An alert that is stored already is left as it is, so a
// call may be repeated. Callers at the same time share a commit. A recipient that Provision never named is added; one
// that was removed gets a dead letter. A target that follows is left out, and counted as NotFollowed, if the engage did not go there. When Options.MaxQueue is reached, deliveries are dropped, lowest severity first; their alerts
// are stored all the same.
func (s *Store) Store(ctx context.Context, entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	texts := make([][]byte, len(entries))
	rows := len(entries)
	for i, e := range entries {
		var err error
		if texts[i], err = encode(e); err != nil {
			return fmt.Errorf("outbox: entry %d: %w", i, err)
		}
		rows += len(e.Targets)
	}
	return s.doFresh(ctx, "store alerts in", rows, func(t *tx) error {
		now := s.now().UnixMilli()
		for i := 0; i < len(entries); {
			if done, err := s.insertBulk(t, entries[i:], texts[i:], now); err != nil {
				return err
			} else if done {
				i += bulk
				continue
			}
			for end := min(i+bulk, len(entries)); i < end; i++ {
				if err := s.insert(t, entries[i], texts[i], now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func encode(e Entry) ([]byte, error) {
	if e.Alert == nil {
		return nil, errors.New("it has no alert")
	}
	if e.Alert.ID == (alert.ID{}) {
		return nil, errors.New("the alert has no id")
	}
	for _, t := range e.Targets {
		if t.Recipient == "" || t.Endpoint == "" {
			return nil, fmt.Errorf("alert %s: target %q of endpoint %q lacks a name", e.Alert.ID, t.Recipient, t.Endpoint)
		}
	}
	b, err := e.Alert.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("alert %s of %s cannot be written as JSON: %w", e.Alert.ID, e.Alert.Check, err)
	}
	return b, nil
}

func (s *Store) insert(t *tx, e Entry, text []byte, now int64) error {
	statement, stored := sqlAlert, e.Alert.Action == alert.Store
	if stored {
		statement = sqlStored
	}
	n, err := t.execN(statement, alertArgs(make([]any, 0, 6), t.newSeq+1, e.Alert, now, text, stored)...)
	if err != nil || n == 0 {
		return err
	}
	t.newSeq++
	for _, target := range e.Targets {
		if target.Follow {
			if goes, err := s.followed(t, s.recipientOf(t, target.Recipient), e.Alert.Key, t.newSeq); err != nil {
				return err
			} else if !goes {
				t.after = append(t.after, func() { s.usageOf(target.Recipient).Filtered[NotFollowed]++ })
				continue
			}
		}
		r, err := s.resolve(t, target)
		if err != nil {
			return err
		}
		// Made here and not by the caller, so that they grow in the order of the rows: each lands at the end of its tree.
		id := alert.NewID()
		state, reason := alert.Queued, ""
		why, err := s.silenced(t, r, target.Silence, now)
		if err != nil {
			return err
		}
		if r.removed {
			state, reason = alert.Dead, removedReason(r.name)
		} else if why != "" {
			state, reason = alert.Silenced, why
		} else if ok, err := s.room(t, e.Alert.Severity); err != nil {
			return err
		} else if !ok {
			t.drops[dropKey{r.name, int64(e.Alert.Severity)}]++
			continue
		}
		var same any // NULL without a window
		if target.Silence != "" && r.silence > 0 {
			same = target.Silence
		}
		if state == alert.Queued && s.mayBeFresh(t, r, e.Alert, target.Silence, text) {
			t.addFresh(r, id, text, now)
			_, err = t.exec(sqlDeliver[true], now, id[:], t.newSeq, r.seq, int64(e.Alert.Severity))
		} else {
			_, err = t.exec(`INSERT INTO delivery (id, alert, recipient, state, not_before, created, since, changed, attempts,
			base, plain, ambiguous, reason, provider_id, severity, same) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, ?, '', ?, ?)`,
				id[:], t.newSeq, r.seq, int64(state), now, now, now, now, reason, int64(e.Alert.Severity), same)
		}
		if err != nil {
			return err
		}
		t.count(r.seq, state, 1)
		if state == alert.Queued {
			t.wake[r.endpoint.name] = true
		}
	}
	return nil
}

func removedReason(recipient string) string {
	return "recipient " + recipient + " was removed from the configuration"
}

// recipientOf looks a recipient up in the mirror and in what this transaction added; nil if unknown.
func (s *Store) recipientOf(t *tx, name string) *recipient {
	if r := t.added.recipients[name]; r != nil {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names.recipients[name]
}

func (s *Store) endpointOf(t *tx, name string) *endpoint {
	if e := t.added.endpoints[name]; e != nil {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names.endpoints[name]
}

// resolve finds the recipient of a target and adds it if it is new. A known one keeps its endpoint: Provision decides.
func (s *Store) resolve(t *tx, target alert.Target) (*recipient, error) {
	if r := s.recipientOf(t, target.Recipient); r != nil {
		return r, nil
	}
	e := s.endpointOf(t, target.Endpoint)
	if e == nil {
		res, err := t.exec(`INSERT INTO endpoint (name, type, config, removed) VALUES (?, '', x'6e756c6c', 0)`, target.Endpoint)
		if err != nil {
			return nil, err
		}
		e = &endpoint{name: target.Endpoint}
		if e.seq, err = res.LastInsertId(); err != nil {
			return nil, err
		}
		t.added.endpoints[e.name] = e
		t.after = append(t.after, func() { s.names.endpoints[e.name] = e })
	}
	res, err := t.exec(`INSERT INTO recipient (name, endpoint, config, removed) VALUES (?, ?, x'6e756c6c', 0)`,
		target.Recipient, e.seq)
	if err != nil {
		return nil, err
	}
	r := &recipient{name: target.Recipient, endpoint: e}
	if r.seq, err = res.LastInsertId(); err != nil {
		return nil, err
	}
	t.added.recipients[r.name] = r
	t.after = append(t.after, func() { s.names.recipients[r.name] = r })
	return r, nil
}
