package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/tocsin-net/tocsin/host/alert"
)

const (
	sqlSettle = sqlSettleSet + `WHERE id = ?1 AND state = 1`
	// sqlSettleFresh counts the attempt, which is done at its lease for others.
	sqlSettleFresh = sqlSettleSet + `, attempts = attempts + 1 WHERE id = ?1 AND state = 9`
	sqlSettleSet   = `UPDATE delivery SET state = ?2, not_before = ?3, changed = ?4, plain = ?5, ambiguous = (ambiguous OR ?6) AND NOT ?9,
		reason = ?7, provider_id = CASE WHEN ?8 = '' THEN provider_id ELSE ?8 END, began = ?10, took = ?11, status = ?12
		`
	sqlUncount = `UPDATE delivery SET state = 0, attempts = attempts - 1, changed = ?2,
		not_before = CASE WHEN ?3 = 0 THEN not_before ELSE ?3 END WHERE id = ?1 AND state = 1`
	sqlUncountFresh = `UPDATE delivery SET state = 0, changed = ?2,
		not_before = CASE WHEN ?3 = 0 THEN not_before ELSE ?3 END WHERE id = ?1 AND state = 9`
	sqlUnpark  = `UPDATE delivery SET not_before = ?2 WHERE id = ?1 AND state = 0`
	sqlAttempt = `INSERT INTO attempt (delivery, n, at, took, state, status, ambiguous, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`
)

// Settle ends leases and records the attempt of each that counts. The valid ones are all on disk when it
// returns; for the others (not leased, or an impossible state) it returns an error that wraps ErrNotLeased. An uncounted
// one goes back as if it had never been leased. What was to be queued again for a recipient that has been removed
// meanwhile becomes a dead letter.
func (s *Store) Settle(ctx context.Context, settlements []alert.Settlement) error {
	if len(settlements) == 0 {
		return nil
	}
	var bad []error
	err := s.doFresh(ctx, "settle in", 2*len(settlements), func(t *tx) error {
		bad = nil
		for i := 0; i < len(settlements); {
			if n, err := s.settleBulk(t, settlements[i:]); err != nil {
				return err
			} else if n > 0 {
				i += n
				continue
			}
			err := s.settle(t, &settlements[i])
			i++
			if errors.Is(err, ErrNotLeased) {
				bad = append(bad, err)
			} else if err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, s.explain("settle in", errors.Join(bad...)))
}

func succeeded(st alert.State) bool {
	return st == alert.Delivered || st == alert.Accepted || st == alert.Duplicate
}

// isFresh tells whether the row of a leased delivery is fresh.
func (t *tx) isFresh(l *lease) bool { return l.batch != nil && !t.classic }

func (s *Store) settle(t *tx, v *alert.Settlement) error {
	s.mu.Lock()
	l, ok := s.leases[v.Delivery]
	if ok { // it may have moved or been removed since
		l.recipient = s.names.recipients[l.recipient.name]
	}
	s.mu.Unlock()
	if !ok || t.settled[v.Delivery] {
		return idError(v.Delivery, ErrNotLeased)
	}
	state := v.State
	if v.Uncounted {
		state = alert.Queued
	}
	if state == alert.Leased || state > alert.Skipped {
		return idError(v.Delivery, fmt.Errorf("%w as %v", ErrNotLeased, state))
	}
	clock := s.now()
	now, notBefore := clock.UnixMilli(), due(clock, v.NotBefore)
	r, reason := l.recipient, v.Reason
	if state == alert.Queued && r.removed {
		state, reason = alert.Dead, removedReason(r.name)
	}
	var n int
	var err error
	var began, lasted int64
	var status int
	clear := clearSuccess(v)
	if clear {
		began, lasted, status = l.at, took(v), v.Status
	}
	settle, uncount := sqlSettle, sqlUncount
	if t.isFresh(&l) {
		settle, uncount = sqlSettleFresh, sqlUncountFresh
	}
	if v.Uncounted && state == alert.Queued {
		n, err = t.execN(uncount, v.Delivery[:], now, notBefore)
	} else {
		n, err = t.execN(settle, v.Delivery[:], int64(state), max(notBefore, 0), now, v.Plain, v.Ambiguous,
			reason, v.ProviderID, v.Idempotent && succeeded(state), began, lasted, status)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return idError(v.Delivery, ErrNotLeased)
	}
	t.settled[v.Delivery] = true
	if t.isFresh(&l) {
		t.settledFresh(l.batch, 1)
	}
	t.move(r.seq, alert.Leased, state, 1)
	if err := s.digestEnded(t, v.Delivery, state); err != nil {
		return err
	}
	if state == alert.Queued {
		t.wake[r.endpoint.name] = true
	}
	t.after = append(t.after, func() {
		delete(s.leases, v.Delivery)
		if !v.Uncounted {
			s.attempted(r.name, state == alert.Queued || state == alert.Dead, reason, now)
		}
	})
	for _, release := range t.parked[v.Delivery] {
		if _, err := t.exec(sqlUnpark, release[:], max(now, notBefore)); err != nil {
			return err
		}
		t.wake[r.endpoint.name] = true
	}
	delete(t.parked, v.Delivery)
	if l.same != "" && r.silence > 0 {
		if err := s.settleSame(t, &l, r, v.Delivery, state, now); err != nil {
			return err
		}
	}
	if v.Uncounted || clear {
		return nil
	}
	_, err = t.exec(sqlAttempt, v.Delivery[:], l.attempt, l.at, took(v), int64(state),
		v.Status, v.Ambiguous, reason)
	return err
}
