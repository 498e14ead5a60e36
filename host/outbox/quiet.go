package outbox

import (
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// What was queued before its recipient was muted, or before a maintenance window opened, is held back when its turn comes:
// it ends as Silenced, as if it had never been there for the recipient. So its release ends with it, while the release of
// what was sent before is sent. What waits longer than the window lasts is not touched by it.

// sqlQuietAll ends what is due for a recipient to which nothing goes now, but for what needs a look: releases and digests.
const sqlQuietAll = `UPDATE delivery SET state = 8, changed = ?2, reason = ?3 WHERE id IN (SELECT d.id FROM delivery d INDEXED BY due
	CROSS JOIN alert a ON a.seq = d.alert WHERE d.recipient = ?1 AND d.state = 0 AND d.not_before <= ?2 AND d.severity < 9
	AND (a.action <> 2 OR a.key = '') ORDER BY d.not_before, d.id LIMIT ?4)`

// sqlQuietFresh ends a fresh delivery that was never leased.
const sqlQuietFresh = `UPDATE delivery SET state = 8, changed = ?2, reason = ?3 WHERE id = ?1 AND state = 9`

// why tells why nothing of an alert goes to a recipient; with nil, why nothing at all does.
func (s *Store) why(r *recipient, text []byte, now time.Time) string {
	if s.quiet == nil {
		return ""
	}
	return s.quiet(r.name, text, now)
}

// quietAll ends a chunk of what is due for a recipient if nothing goes there now, and returns how many.
func (s *Store) quietAll(t *tx, r *recipient, now time.Time) (n int, err error) {
	reason := s.why(r, nil, now)
	if reason == "" {
		return 0, nil
	}
	n, err = t.execN(sqlQuietAll, r.seq, now.UnixMilli(), reason, s.chunk)
	s.quieted(t, r, n, reason)
	return n, err
}

// quietOne ends a delivery that is due if its recipient gets nothing of it now. The release of what was sent before goes.
func (s *Store) quietOne(t *tx, w *dueRow, r *recipient, now time.Time) (ended bool, err error) {
	reason := s.why(r, w.d.Alert, now)
	if reason == "" {
		return false, nil
	}
	if w.release && w.key != "" {
		if goes, err := s.followed(t, r, w.key, w.seq); err != nil || goes {
			return false, err
		}
	}
	n, err := t.execN(sqlSilenceOne, w.d.ID[:], now.UnixMilli(), reason)
	if err != nil {
		return false, err
	}
	s.quieted(t, r, n, reason)
	// What a digest stands for is back in the queue then, and its turn comes.
	return true, s.digestEnded(t, w.d.ID, alert.Silenced)
}

// quietFresh does as quietOne with the first of the fresh deliveries, until one comes that may go.
func (s *Store) quietFresh(t *tx, q *freshQueue, now time.Time) (ended int, err error) {
	last := ""
	for ; len(q.waiting()) > 0; ended++ {
		w := &q.waiting()[0]
		reason := s.why(q.r, w.text, now)
		if reason == "" {
			break
		}
		last = reason
		t.touch(q)
		if _, err := t.exec(sqlQuietFresh, w.id[:], now.UnixMilli(), reason); err != nil {
			return 0, err
		}
		q.head++
		q.settled++
	}
	s.quieted(t, q.r, ended, last)
	return ended, nil
}

// quieted counts what was ended, and says so in the log.
func (s *Store) quieted(t *tx, r *recipient, n int, reason string) {
	if n == 0 {
		return
	}
	t.move(r.seq, alert.Queued, alert.Silenced, n)
	t.after = append(t.after, func() {
		s.log.Info("deliveries that waited are not sent now that their turn came", "recipient", r.name, "deliveries", n, "reason", reason)
	})
}
