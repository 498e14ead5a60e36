package outbox

import (
	"strings"

	"github.com/tocsin-net/tocsin/host/alert"
)

// bulk is how many rows one statement changes where many change alike: most of a small statement's time goes into
// opening the table with its indexes.
const bulk = 16

var (
	sqlTakeBulk   = `UPDATE delivery SET state = 1, attempts = attempts + 1, changed = ?1 WHERE id IN (` + marks(bulk) + `)`
	sqlSettleBulk = `UPDATE delivery SET state = ?1, not_before = 0, changed = ?2, plain = 0, reason = ''
		WHERE state = 1 AND id IN (` + marks(bulk) + `)`
	sqlAttemptBulk = `INSERT INTO attempt (delivery, n, at, took, state, status, ambiguous, reason) VALUES ` +
		strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?, 0, ''), `, bulk), ", ")
)

// marks writes n parameters; SQLite numbers them on from the last that has a number.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// takeAll leases deliveries: the rest of a full statement one by one.
func (t *tx) takeAll(ids []alert.ID, now int64) error {
	for ; len(ids) >= bulk; ids = ids[bulk:] {
		args := append(make([]any, 0, bulk+1), now)
		for i := range bulk {
			args = append(args, ids[i][:])
		}
		if _, err := t.exec(sqlTakeBulk, args...); err != nil {
			return err
		}
	}
	for i := range ids {
		if _, err := t.exec(sqlTake, ids[i][:], now); err != nil {
			return err
		}
	}
	return nil
}

// plainSuccess tells whether a settlement changes nothing but the state, to one of the good ones.
func plainSuccess(v *alert.Settlement) bool {
	return succeeded(v.State) && !v.Uncounted && !v.Plain && !v.Ambiguous && !v.Idempotent && v.Reason == "" && v.ProviderID == "" && v.NotBefore.IsZero()
}

// settleBulk settles the first bulk ones of a call in one statement; done is false if they have to go one by one.
func (s *Store) settleBulk(t *tx, vs []alert.Settlement) (done bool, err error) {
	if len(vs) < bulk {
		return false, nil
	}
	vs = vs[:bulk]
	var leases [bulk]lease
	s.mu.Lock()
	for i := range vs {
		v := &vs[i]
		l, ok := s.leases[v.Delivery]
		if !ok || l.same != "" || v.State != vs[0].State || !plainSuccess(v) || s.digests[v.Delivery] || t.settled[v.Delivery] ||
			len(t.parked[v.Delivery]) > 0 {
			s.mu.Unlock()
			for _, before := range vs[:i] {
				delete(t.settled, before.Delivery)
			}
			return false, nil
		}
		t.settled[v.Delivery] = true
		l.recipient = s.names.recipients[l.recipient.name] // it may have moved or been removed since
		leases[i] = l
	}
	s.mu.Unlock()
	state, now := vs[0].State, s.now().UnixMilli()
	args := append(make([]any, 0, bulk+2), int64(state), now)
	for i := range vs {
		args = append(args, vs[i].Delivery[:])
	}
	if _, err := t.exec(sqlSettleBulk, args...); err != nil {
		return false, err
	}
	args = make([]any, 0, 6*bulk)
	for i := range vs {
		v, l := &vs[i], &leases[i]
		args = append(args, v.Delivery[:], l.attempt, l.at, max(0, v.Took.Microseconds()), int64(state), v.Status)
		t.move(l.recipient.seq, alert.Leased, state, 1)
	}
	t.after = append(t.after, func() {
		for i := range vs {
			delete(s.leases, vs[i].Delivery)
			s.attempted(leases[i].recipient.name, false, "", now)
		}
	})
	_, err = t.exec(sqlAttemptBulk, args...)
	return err == nil, err
}
