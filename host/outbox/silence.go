package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// migrateSilence brings silence windows and what is counted for each recipient. delivery.same is what a window takes for
// the same alert, or NULL: then none of the indexes has the row.
//   - same_queued and same_leased find what waits and what is being sent under a key.
//   - silence has the windows that a success began, silence_ended those that Prune removes.
const migrateSilence = `
ALTER TABLE recipient ADD COLUMN silence INTEGER NOT NULL DEFAULT 0; -- milliseconds; 0: no window
ALTER TABLE delivery ADD COLUMN same TEXT;
CREATE INDEX same_queued ON delivery(recipient, same) WHERE state = 0 AND same IS NOT NULL;
CREATE INDEX same_leased ON delivery(recipient, same) WHERE state = 1 AND same IS NOT NULL;
CREATE TABLE silence (
	recipient INTEGER NOT NULL REFERENCES recipient(seq),
	same      TEXT NOT NULL,
	since     INTEGER NOT NULL, -- Unix ms of the success
	until     INTEGER NOT NULL,
	delivery  BLOB NOT NULL, -- that succeeded
	PRIMARY KEY (recipient, same)
) STRICT, WITHOUT ROWID;
CREATE INDEX silence_ended ON silence(until);
CREATE TABLE usage (
	recipient     TEXT PRIMARY KEY,
	filtered      TEXT NOT NULL, -- JSON: filter to number
	failed        INTEGER NOT NULL,
	last_use      INTEGER NOT NULL, -- Unix ms; 0: never
	last_error    TEXT NOT NULL,
	last_error_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

const (
	sqlSilence    = `SELECT since, until, delivery FROM silence WHERE recipient = ?1 AND same = ?2`
	sqlSetSilence = `INSERT INTO silence (recipient, same, since, until, delivery) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (recipient, same) DO UPDATE SET since = ?3, until = ?4, delivery = ?5`
	sqlSameLeased = `SELECT id FROM delivery INDEXED BY same_leased WHERE recipient = ?1 AND same = ?2 AND state = 1 LIMIT 1`
	sqlSilenceAll = `UPDATE delivery SET state = 8, changed = ?3, reason = ?4 WHERE id IN (SELECT id FROM delivery
		INDEXED BY same_queued WHERE recipient = ?1 AND same = ?2 AND state = 0 ORDER BY id LIMIT ?5)`
	sqlSilenceOne = `UPDATE delivery SET state = 8, changed = ?2, reason = ?3 WHERE id = ?1 AND state = 0`
	// sqlParkSame puts off what is due under a key, sqlUnparkSame lets the first of them, which was never tried, go on.
	sqlParkSame = `UPDATE delivery SET not_before = ?3 WHERE id IN (SELECT id FROM delivery
		INDEXED BY same_queued WHERE recipient = ?1 AND same = ?2 AND state = 0 AND not_before < ?3 ORDER BY id LIMIT ?4)`
	sqlUnparkSame = `UPDATE delivery SET not_before = ?3 WHERE id IN (SELECT id FROM delivery
		INDEXED BY same_queued WHERE recipient = ?1 AND same = ?2 AND state = 0 AND attempts = base AND not_before <= ?4
		ORDER BY id LIMIT 1)`
	// sqlFollow finds what became of the last engage before a release at the same recipient.
	sqlFollow = `SELECT d.state FROM delivery d INDEXED BY by_alert WHERE d.recipient = ?3 AND d.alert = (SELECT a.seq
		FROM alert a INDEXED BY engaged WHERE a.key = ?1 AND a.action = 1 AND a.seq < ?2 ORDER BY a.seq DESC LIMIT 1)`
	sqlEndSilence = `DELETE FROM silence WHERE (recipient, same) IN (SELECT recipient, same FROM silence INDEXED BY silence_ended
		WHERE until < ?1 LIMIT ?2)`
)

// samePoll is after how long a delivery that waits for one of the same key is looked at again, had nothing called it.
const samePoll = 2 * time.Second

// silenced gives the reason if a key of the recipient is silenced now; empty if it is not. A window is never longer than
// the configuration says now, also if the clock was put back.
func (s *Store) silenced(t *tx, r *recipient, same string, now int64) (string, error) {
	if same == "" || r.silence == 0 {
		return "", nil
	}
	var since, until int64
	var raw []byte
	found, err := t.row([]any{&since, &until, &raw}, sqlSilence, r.seq, same)
	if err != nil || !found {
		return "", err
	}
	if now >= min(until, since+r.silence) || now < since-r.silence {
		return "", nil
	}
	return silenceReason(alert.ID(raw), since, r.silence), nil
}

func silenceReason(first alert.ID, since, window int64) string {
	return fmt.Sprintf("silenced: same as %s at %s, window %v", first, fromMS(since).Format(time.RFC3339),
		time.Duration(window)*time.Millisecond)
}

// hush ends everything that waits under a key as silenced; what a chunk does not hold meets the window at its lease.
func (s *Store) hush(t *tx, r *recipient, same, reason string, now int64) error {
	n, err := t.execN(sqlSilenceAll, r.seq, same, now, reason, s.chunk)
	t.move(r.seq, alert.Queued, alert.Silenced, n)
	return err
}

// waits tells whether a delivery that is due has to wait for one of the same key, or is silenced: then it has been put
// off or ended, with all that waits under the key.
func (s *Store) waits(t *tx, r *recipient, same string, now int64) (bool, error) {
	reason, err := s.silenced(t, r, same, now)
	if err != nil {
		return false, err
	}
	if reason != "" {
		return true, s.hush(t, r, same, reason, now)
	}
	var first []byte
	found, err := t.row([]any{&first}, sqlSameLeased, r.seq, same)
	if err != nil || !found {
		return false, err
	}
	_, err = t.exec(sqlParkSame, r.seq, same, now+samePoll.Milliseconds(), s.chunk)
	return true, err
}

// settleSame begins the window of a delivery that succeeded, and lets the next of its key be tried after one that did
// not.
func (s *Store) settleSame(t *tx, l *lease, r *recipient, id alert.ID, state alert.State, now int64) error {
	switch state {
	case alert.Delivered, alert.Accepted, alert.Duplicate:
		if _, err := t.exec(sqlSetSilence, r.seq, l.same, now, now+r.silence, id[:]); err != nil {
			return err
		}
		return s.hush(t, r, l.same, silenceReason(id, now, r.silence), now)
	case alert.Queued, alert.Leased, alert.Dead, alert.Skipped, alert.Digested, alert.Silenced:
	}
	_, err := t.exec(sqlUnparkSame, r.seq, l.same, now, now+samePoll.Milliseconds())
	t.wake[r.endpoint.name] = true
	return err
}

// followed tells whether the engage that a release ends went to the recipient: it has a delivery there that was not
// silenced.
func (s *Store) followed(t *tx, r *recipient, key string, seq int64) (bool, error) {
	if r == nil {
		return false, nil
	}
	var state int64
	found, err := t.row([]any{&state}, sqlFollow, key, seq, r.seq)
	return found && alert.State(state) != alert.Silenced, err
}

// pruneSilence removes the windows that are over.
func (s *Store) pruneSilence(ctx context.Context) error {
	for n := s.chunk; n == s.chunk; {
		err := s.do(ctx, "prune", s.chunk, func(t *tx) (err error) {
			n, err = t.execN(sqlEndSilence, s.now().UnixMilli(), s.chunk)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
