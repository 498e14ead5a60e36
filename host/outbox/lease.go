package outbox

import (
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// The statements on which delivery's pace depends. Their plans are tested: each must use the index named, however many
// rows wait. INDEXED BY makes SQLite fail rather than choose another.
const (
	// sqlHead finds the next recipient of an endpoint, after the one served last, for which something is due.
	// It asks for one row of each: of EXISTS, SQLite makes a join over all that is due.
	sqlHead = `SELECT r.name FROM recipient r WHERE r.endpoint = ?1 AND r.removed = 0 AND (SELECT 1 FROM delivery q
		INDEXED BY due WHERE q.recipient = r.seq AND q.state = 0 AND q.not_before <= ?2 LIMIT 1) IS NOT NULL
		ORDER BY r.seq <= ?3, r.seq LIMIT 1`
	// sqlDue lists a recipient's due deliveries, oldest first.
	sqlDue = `SELECT d.id, d.not_before, d.since, d.attempts, d.base, d.plain, a.seq, a.action, a.key, a.json, d.same
		FROM delivery d INDEXED BY due CROSS JOIN alert a ON a.seq = d.alert
		WHERE d.recipient = ?1 AND d.state = 0 AND d.not_before <= ?2 ORDER BY d.not_before, d.id LIMIT ?3`
	// sqlEngage finds what became of the engage that a release ends, at the same recipient.
	sqlEngage = `SELECT d.id, d.state, d.not_before, d.provider_id
		FROM alert a INDEXED BY engaged CROSS JOIN delivery d INDEXED BY by_alert ON d.alert = a.seq AND d.recipient = ?3
		WHERE a.key = ?1 AND a.action = 1 AND a.seq < ?2 ORDER BY a.seq DESC LIMIT 1`
	// sqlFirst finds the place of a recipient's first row that waits.
	sqlFirst = `SELECT d.not_before, d.id FROM delivery d INDEXED BY due WHERE d.recipient = ?1 AND d.state = 0
		ORDER BY d.not_before, d.id LIMIT 1`
	sqlTake = `UPDATE delivery SET state = 1, attempts = attempts + 1, changed = ?2 WHERE id = ?1`
	sqlPut  = `UPDATE delivery SET not_before = ?2 WHERE id = ?1`
	// sqlNext finds when an endpoint's first waiting delivery is due.
	sqlNext = `SELECT min(q.not_before) FROM endpoint e CROSS JOIN recipient r ON r.endpoint = e.seq AND r.removed = 0
		CROSS JOIN delivery q ON q.id = (SELECT w.id FROM delivery w INDEXED BY due
			WHERE w.recipient = r.seq AND w.state = 0 ORDER BY w.not_before, w.id LIMIT 1)
		WHERE e.name = ?1`
)

// engagePoll is after how long a release that waits for an engage under way is looked at again, had nothing called it.
const engagePoll = 200 * time.Millisecond

// Lease takes up to max deliveries of one endpoint that are due, oldest first, all of the same recipient: the
// recipients that have something due take turns. It counts an attempt for each. It returns none while the endpoint is on hold or nothing is due.
// Every delivery must be given back by Settle.
//
// A release is not taken before its engage has ended at that recipient, so that nobody reads of an end before the
// beginning, and the engage's provider id is known; if a digest stands for the engage, not before that has ended. Of a
// key that a silence window takes for the same alert one is under way at a time; while its window is open, the others
// become Silenced. So does what Options.Quiet holds back.
func (s *Store) Lease(ctx context.Context, endpoint string, max int) ([]alert.Delivery, error) {
	if max <= 0 || s.onHold(endpoint) {
		return nil, ctx.Err()
	}
	if out := s.takeReady(endpoint, max); len(out) > 0 {
		return out, nil
	}
	var out []alert.Delivery
	err := s.doFresh(ctx, "lease from", max, func(t *tx) error {
		out = nil
		s.mu.Lock()
		older := len(s.ready[endpoint]) > 0 // leased ahead since this call looked
		s.mu.Unlock()
		if older || s.onHold(endpoint) {
			return nil
		}
		e := s.endpointOf(t, endpoint)
		if e == nil {
			return nil
		}
		// Each round that takes nothing has put some off or silenced them, so the next finds other rows; usually there is one round.
		for range 100 {
			var again bool
			var err error
			if out, again, err = s.take(t, e, max); err != nil || !again {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		out = s.takeReady(endpoint, max)
	}
	return out, nil
}

// dueRow is one row of sqlDue.
type dueRow struct {
	d         alert.Delivery
	total     int // attempts over its life, this one included
	seq       int64
	notBefore int64
	release   bool
	key       string
	same      sql.NullString // the key of its silence window
}

// head finds the next recipient of an endpoint for which something is due, the one after the one served last; nil if there
// is none. queued says that some of it may be in the indexes.
func (s *Store) head(t *tx, e *endpoint, now int64) (r *recipient, queued bool, err error) {
	after := t.served[e.seq]
	turn := func(r *recipient) int64 { // the lower, the sooner
		if r.seq <= after {
			return r.seq
		}
		return r.seq - math.MaxInt64
	}
	consider := func(c *recipient) {
		if c.endpoint.seq != e.seq || c.removed {
			return
		}
		fresh := 0
		if !t.classic {
			fresh = len(t.fresh[c.seq].waiting())
		}
		queued = queued || t.waits[c.seq]+t.tally[tallyKey{c.seq, alert.Queued}] > int64(fresh)
		if fresh > 0 && (r == nil || turn(c) < turn(r)) {
			r = c
		}
	}
	for _, c := range t.added.recipients {
		consider(c)
	}
	s.mu.Lock()
	for name, c := range s.names.recipients {
		if t.added.recipients[name] == nil {
			consider(c)
		}
	}
	s.mu.Unlock()
	if !queued {
		return r, false, nil
	}
	var name string
	found, err := t.row([]any{&name}, sqlHead, e.seq, now, after)
	if found {
		if c := s.recipientOf(t, name); r == nil || turn(c) <= turn(r) {
			r = c
		}
	}
	return r, queued, err
}

// take leases deliveries of the head's recipient; again says that all of them have to wait or were silenced, so that another
// recipient may have its turn.
func (s *Store) take(t *tx, e *endpoint, limit int) (out []alert.Delivery, again bool, err error) {
	clock := s.now()
	now := clock.UnixMilli()
	r, queued, err := s.head(t, e, now)
	if err != nil || r == nil {
		return nil, false, err
	}
	t.served[e.seq] = r.seq
	var fresh *freshQueue
	ended := 0
	if !t.classic && len(t.fresh[r.seq].waiting()) > 0 {
		fresh = t.fresh[r.seq]
		if ended, err = s.quietFresh(t, fresh, clock); err != nil {
			return nil, false, err
		}
	}
	if queued {
		n, err := s.quietAll(t, r, clock)
		if err != nil || n == s.chunk { // the next call goes on
			return nil, false, err
		}
		ended += n
	}
	if fresh != nil {
		var first *place // of what is in the indexes
		if queued {
			var id []byte
			var due int64
			if found, err := t.row([]any{&due, &id}, sqlFirst, r.seq); err != nil {
				return nil, false, err
			} else if found {
				first = &place{due, alert.ID(id)}
			}
		}
		if out := s.takeFresh(t, fresh, limit, clock, first); len(out) > 0 {
			return out, false, nil
		}
	}
	var rows []dueRow
	err = t.each(func(q *sql.Rows) error {
		var w dueRow
		var id, text sql.RawBytes
		var since, base, action int64
		if err := q.Scan(&id, &w.notBefore, &since, &w.total, &base, &w.d.Plain, &w.seq, &action, &w.key, &text, &w.same); err != nil {
			return err
		}
		copy(w.d.ID[:], id)
		w.total++
		w.release = alert.Action(action) == alert.Release
		w.d.Target = alert.Target{Recipient: r.name, Endpoint: e.name}
		w.d.Alert = append([]byte(nil), text...)
		w.d.Created = age(clock, since)
		w.d.Attempt = w.total - int(base)
		rows = append(rows, w)
		return nil
	}, sqlDue, r.seq, now, limit)
	if err != nil {
		return nil, false, err
	}
	var behind *place // of the first that comes after what is fresh
	if len(fresh.waiting()) > 0 {
		head := &fresh.waiting()[0]
		for i := range rows {
			if at := (place{rows[i].notBefore, rows[i].d.ID}); head.before(&at) {
				rows, behind = rows[:i], &at
				break
			}
		}
	}
	out = make([]alert.Delivery, 0, len(rows))
	var taken []alert.ID
	var met []string // keys of silence windows: one delivery of each at a time
	for i := range rows {
		w := &rows[i]
		if ended, err := s.quietOne(t, w, r, clock); err != nil {
			return nil, false, err
		} else if ended {
			continue
		}
		if w.release && w.key != "" || w.same.Valid && r.silence > 0 { // these look at what was taken before
			if err := t.takeAll(taken, now); err != nil {
				return nil, false, err
			}
			taken = taken[:0]
		}
		if w.release && w.key != "" {
			wait, err := s.engageOf(t, w, r, out, now)
			if err != nil {
				return nil, false, err
			}
			if wait {
				continue
			}
		}
		if w.same.Valid && r.silence > 0 {
			if slices.Contains(met, w.same.String) {
				continue
			}
			met = append(met, w.same.String)
			if wait, err := s.waits(t, r, w.same.String, now); err != nil {
				return nil, false, err
			} else if wait {
				continue
			}
		}
		taken = append(taken, w.d.ID)
		t.after = append(t.after, func() { s.leases[w.d.ID] = lease{recipient: r, attempt: w.total, at: now, same: w.same.String} })
		out = append(out, w.d)
	}
	if err := t.takeAll(taken, now); err != nil {
		return nil, false, err
	}
	t.move(r.seq, alert.Queued, alert.Leased, len(out))
	if fresh != nil && len(out) < limit {
		out = append(out, s.takeFresh(t, fresh, limit-len(out), clock, behind)...)
	}
	return out, len(out) == 0 && len(rows)+ended > 0, nil
}

// engageOf fills a release's provider id from its engage, or says that the release has to wait: then it has been put
// off unless the engage is in the same batch.
func (s *Store) engageOf(t *tx, w *dueRow, r *recipient, batch []alert.Delivery, now int64) (wait bool, err error) {
	var raw []byte
	var state, notBefore int64
	var provider string
	found, err := t.row([]any{&raw, &state, &notBefore, &provider}, sqlEngage, w.key, w.seq, r.seq)
	if err != nil || !found {
		return false, err
	}
	switch alert.State(state) {
	case alert.Queued:
		// Sorts behind the engage: at the same time, its id is the later one.
	case alert.Leased:
		return s.park(t, w, alert.ID(raw), batch, now)
	case alert.Digested:
		return s.behindDigest(t, w, r, batch, now)
	case alert.Delivered, alert.Accepted, alert.Duplicate, alert.Dead, alert.Skipped:
		w.d.ProviderID = provider
		return false, nil
	case alert.Silenced: // nobody there has read of the beginning
		n, err := t.execN(sqlSilenceOne, w.d.ID[:], now, "silenced: its engage was")
		t.move(r.seq, alert.Queued, alert.Silenced, n)
		return true, err
	}
	_, err = t.exec(sqlPut, w.d.ID[:], notBefore)
	return true, err
}

// behindDigest has a release whose engage is in a digest wait until that has arrived. Then it is sent on its own, for the
// digest told of a beginning only; should the digest not arrive, it follows its engage, which is sent on its own too.
func (s *Store) behindDigest(t *tx, w *dueRow, r *recipient, batch []alert.Delivery, now int64) (wait bool, err error) {
	var raw []byte
	var state, notBefore int64
	found, err := t.row([]any{&raw, &state, &notBefore}, sqlEngageDigest, w.key, w.seq, r.seq)
	if err != nil || !found {
		return false, err
	}
	switch alert.State(state) {
	case alert.Leased:
		return s.park(t, w, alert.ID(raw), batch, now)
	case alert.Queued: // at the same time, the release would come first
		_, err = t.exec(sqlPut, w.d.ID[:], max(notBefore, now)+1)
		return true, err
	default:
		return false, nil
	}
}

// park has a release wait for a delivery under way, which calls it when it is settled; if that is in the same batch, the
// release stays due.
func (s *Store) park(t *tx, w *dueRow, id alert.ID, batch []alert.Delivery, now int64) (wait bool, err error) {
	for i := range batch {
		if batch[i].ID == id {
			return true, nil
		}
	}
	if !slices.Contains(t.parked[id], w.d.ID) {
		t.parked[id] = append(t.parked[id], w.d.ID)
	}
	_, err = t.exec(sqlPut, w.d.ID[:], now+engagePoll.Milliseconds())
	return true, err
}

// Next tells when the endpoint's first waiting delivery may be sent, a hold taken into account; ok is false if none
// waits. The time may lie in the past.
func (s *Store) Next(ctx context.Context, endpoint string) (due time.Time, ok bool, err error) {
	inMemory := func() (int64, bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.nextFresh(endpoint)
	}
	since, fresh := inMemory() // before the indexes and after: meanwhile what waits may go from one to the other
	var ms sql.NullInt64
	if err := s.next.QueryRowContext(ctx, endpoint).Scan(&ms); err != nil {
		return time.Time{}, false, s.explain("read", err)
	}
	if now, ok := inMemory(); ok && (!fresh || now < since) {
		since, fresh = now, true
	}
	switch {
	case !ms.Valid && !fresh:
		return time.Time{}, false, nil
	case fresh && (!ms.Valid || since < ms.Int64):
		due = fromMS(since)
	default:
		due = fromMS(ms.Int64)
	}
	s.mu.Lock()
	h, held := s.holds[endpoint]
	s.mu.Unlock()
	if held && h.Until.After(due) {
		due = h.Until
	}
	return due, true, nil
}

// recover queues again what a dead process had leased. Nobody knows whether those attempts succeeded, so they stay
// in the ledger and a later success is marked as a possible duplicate. They are no fault of the service: the wait after the next
// failure does not grow by them, nor does the number of the attempt that the plug-in is told.
func (s *Store) recover(ctx context.Context, c *sql.Conn) error {
	const reason = "tocsin ended during this attempt"
	// A file that may not be written is opened for reading by SQLite, which would tell only at the first alert. This is the
	// first write, and fails even if no row is empty.
	if _, err := c.ExecContext(ctx, `DELETE FROM tally WHERE n = 0`); err != nil {
		return err
	}
	var left int64
	if err := c.QueryRowContext(ctx, `SELECT coalesce(sum(n), 0) FROM tally WHERE state = 1`).Scan(&left); err != nil {
		return err
	}
	var fresh int64
	if err := c.QueryRowContext(ctx, `SELECT count(*) FROM fresh`).Scan(&fresh); err != nil {
		return err
	}
	if left+fresh == 0 {
		return nil
	}
	t := s.tx
	if _, err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	now := s.now().UnixMilli()
	err := func() error {
		if err := t.recoverFresh(now, reason); err != nil {
			return err
		}
		for _, step := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO attempt (delivery, n, at, took, state, status, ambiguous, reason)
				SELECT id, attempts, changed, max(0, ?1 - changed) * 1000, 0, 0, 1, ?2 FROM delivery INDEXED BY leased
				WHERE state = 1`, []any{now, reason}},
			{`INSERT INTO tally (recipient, state, n) SELECT recipient, 0, n FROM tally WHERE state = 1
				ON CONFLICT (recipient, state) DO UPDATE SET n = n + excluded.n`, nil},
			{`UPDATE tally SET n = 0 WHERE state = 1`, nil},
			{`UPDATE delivery SET state = 0, base = base + 1, ambiguous = 1, changed = ?1, reason = ?2
				WHERE id IN (SELECT id FROM delivery INDEXED BY leased WHERE state = 1)`, []any{now, reason}},
			{"COMMIT", nil},
		} {
			if _, err := t.exec(step.query, step.args...); err != nil {
				return err
			}
		}
		return nil
	}()
	if err != nil {
		_, _ = t.exec("ROLLBACK")
		return err
	}
	if left == 0 {
		return nil
	}
	s.log.Info("deliveries under way when tocsin last ended are queued again", "deliveries", left)
	return nil
}
