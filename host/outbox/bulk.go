package outbox

import (
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tocsin-net/tocsin/host/alert"
)

// bulk is how many rows one statement changes where many change alike: most of a small statement's time goes into
// opening the table with its indexes.
const bulk = 16

var (
	sqlTakeBulk = `UPDATE delivery SET state = 1, attempts = attempts + 1, changed = ?1 WHERE id IN (` + marks(bulk) + `)`
	// sqlSettleBulk and sqlSettleFew settle deliveries whose requests took the same time, and, under true, another each.
	sqlSettleBulk = map[bool]string{false: settleStatement(bulk, false), true: settleStatement(bulk, true)}
	sqlSettleFew  = map[bool]string{false: settleStatement(few, false), true: settleStatement(few, true)}
)

// few is bulk for settlements that come in small numbers.
const few = 4

// settleArgs is how many parameters a settleStatement has before the ids.
const settleArgs = 8

// settleStatement settles n deliveries of state ?7 as sent, with the attempt that did it, which is counted by adding ?8. ?3 says that the service drops repeats: then a
// mark of an earlier attempt in doubt goes, else it stays. The time that the request took is ?6 or, for each its own, follows
// the ids.
func settleStatement(n int, each bool) string {
	var ids, took strings.Builder
	took.WriteString("CASE id")
	for i := range n {
		if i > 0 {
			ids.WriteString(", ")
		}
		fmt.Fprintf(&ids, "?%d", settleArgs+1+i)
		fmt.Fprintf(&took, " WHEN ?%d THEN ?%d", settleArgs+1+i, settleArgs+1+n+i)
	}
	time := "?6"
	if each {
		time = took.String() + " ELSE ?6 END"
	}
	return `UPDATE delivery SET state = ?1, not_before = 0, changed = ?2, ambiguous = ambiguous AND NOT ?3, plain = 0, reason = '',
		began = ?4, status = ?5, took = ` + time + `, attempts = attempts + ?8 WHERE state = ?7 AND id IN (` + ids.String() + `)`
}

// The statements that store new alerts and their deliveries, all due at once and in no silence window.
var (
	sqlAlertBulk = `INSERT INTO alert (seq, id, stored, action, key, json) VALUES ` +
		strings.TrimSuffix(strings.Repeat(`(?, ?, ?, ?, ?, ?), `, bulk), ", ")
	sqlDeliverBulk = deliveries(bulk)
	sqlDeliver     = deliveries(1)
)

// deliverArgs is how many parameters a row of deliveries has.
const deliverArgs = 5

// deliveries writes n rows of queued deliveries: ?1 is the time, and of each row its id, alert, recipient, severity and state follow.
func deliveries(n int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO delivery (id, alert, recipient, severity, state, not_before, created, since, changed, attempts, base, plain,
		ambiguous, reason, provider_id) VALUES `)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		n := deliverArgs*i + 2
		fmt.Fprintf(&b, `(?%d, ?%d, ?%d, ?%d, ?%d, ?1, ?1, ?1, ?1, 0, 0, 0, 0, '', '')`, n, n+1, n+2, n+3, n+4)
	}
	return b.String()
}

// insertBulk stores the first bulk entries of a call in one statement, and their deliveries in as few; done is false if they have
// to go one by one: one of them is stored already, or a target needs a look at what is there.
func (s *Store) insertBulk(t *tx, es []Entry, texts [][]byte, now int64) (done bool, err error) {
	if len(es) < bulk {
		return false, nil
	}
	es = es[:bulk]
	var to [bulk][]*recipient
	var room [2 * bulk]*recipient
	found := room[:0]
	for i := range es {
		from := len(found)
		for j := range es[i].Targets {
			target := &es[i].Targets[j]
			r := s.recipientOf(t, target.Recipient)
			if r == nil || r.removed || target.Follow || target.Silence != "" && r.silence > 0 {
				return false, nil
			}
			found = append(found, r)
		}
		to[i] = found[from:]
	}
	if s.maxQueue > 0 && t.queued+t.came+int64(len(found)) > s.maxQueue {
		return false, nil
	}
	args := make([]any, 0, 6*bulk)
	for i := range es {
		a := es[i].Alert
		args = append(args, t.newSeq+1+int64(i), a.ID[:], now, int64(a.Action), a.Key, texts[i])
	}
	switch _, err := t.exec(sqlAlertBulk, args...); {
	case isRepeat(err): // SQLite has taken back what the statement did
		return false, nil
	case err != nil:
		return false, err
	}
	ids := make([]alert.ID, len(found))
	args = append(make([]any, 0, deliverArgs*bulk+1), now)
	for i := range es {
		t.newSeq++
		for _, r := range to[i] {
			// See insert.
			ids[0] = alert.NewID()
			state := int64(alert.Queued)
			if s.mayBeFresh(t, r, es[i].Alert, "", texts[i]) {
				state = stateFresh
				t.addFresh(r, ids[0], texts[i], now)
			}
			args = append(args, ids[0][:], t.newSeq, r.seq, int64(es[i].Alert.Severity), state)
			ids = ids[1:]
			t.count(r.seq, alert.Queued, 1)
			t.wake[r.endpoint.name] = true
			if len(args) == deliverArgs*bulk+1 {
				if _, err := t.exec(sqlDeliverBulk, args...); err != nil {
					return false, err
				}
				args = args[:1]
			}
		}
	}
	for rest := args[1:]; len(rest) > 0; rest = rest[deliverArgs:] {
		if _, err := t.exec(sqlDeliver, now, rest[0], rest[1], rest[2], rest[3], rest[4]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// isRepeat tells an alert that is stored already.
func isRepeat(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

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

// plainSuccess tells whether a settlement changes nothing but the state, to one of the good ones, and perhaps the mark of a
// possible duplicate.
func plainSuccess(v *alert.Settlement) bool {
	return clearSuccess(v) && !v.Plain && v.ProviderID == "" && v.NotBefore.IsZero()
}

// clearSuccess tells whether an attempt succeeded and left nothing to say: then the delivery's own row records it.
func clearSuccess(v *alert.Settlement) bool {
	return succeeded(v.State) && !v.Uncounted && !v.Ambiguous && v.Reason == ""
}

// took is how long a settlement's attempt took, in microseconds.
func took(v *alert.Settlement) int64 { return max(0, v.Took.Microseconds()) }

// settleBulk settles the first ones of a call, n of them, in one statement; 0 if the first has to go alone.
func (s *Store) settleBulk(t *tx, vs []alert.Settlement) (n int, err error) {
	settle := sqlSettleBulk
	switch {
	case len(vs) >= bulk:
		vs = vs[:bulk]
	case len(vs) >= few:
		vs = vs[:few]
		settle = sqlSettleFew
	default:
		return 0, nil
	}
	var leases [bulk]lease
	each := false
	s.mu.Lock()
	for i := range vs {
		v, first := &vs[i], &vs[0]
		l, ok := s.leases[v.Delivery]
		if !ok || l.same != "" || v.State != first.State || v.Idempotent != first.Idempotent || v.Status != first.Status ||
			i > 0 && (l.at != leases[0].at || (l.batch == nil) != (leases[0].batch == nil)) || !plainSuccess(v) ||
			s.digests[v.Delivery] || t.settled[v.Delivery] || len(t.parked[v.Delivery]) > 0 {
			s.mu.Unlock()
			for _, before := range vs[:i] {
				delete(t.settled, before.Delivery)
			}
			return 0, nil
		}
		t.settled[v.Delivery] = true
		l.recipient = s.names.recipients[l.recipient.name] // it may have moved or been removed since
		leases[i] = l
		each = each || took(v) != took(first)
	}
	s.mu.Unlock()
	state, now := vs[0].State, s.now().UnixMilli()
	args := append(make([]any, 0, settleArgs+2*bulk), int64(state), now, vs[0].Idempotent, leases[0].at, vs[0].Status, took(&vs[0]))
	if t.isFresh(&leases[0]) {
		args = append(args, stateFresh, 1)
	} else {
		args = append(args, int64(alert.Leased), 0)
	}
	for i := range vs {
		args = append(args, vs[i].Delivery[:])
		t.move(leases[i].recipient.seq, alert.Leased, state, 1)
		if t.isFresh(&leases[i]) {
			t.settledFresh(leases[i].batch, 1)
		}
	}
	for i := range vs {
		if each {
			args = append(args, took(&vs[i]))
		}
	}
	t.after = append(t.after, func() {
		for i := range vs {
			delete(s.leases, vs[i].Delivery)
			s.attempted(leases[i].recipient.name, false, "", now)
		}
	})
	_, err = t.exec(settle[each], args...)
	return len(vs), err
}
