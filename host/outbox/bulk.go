package outbox

import (
	"errors"
	"fmt"
	"slices"
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
	// sqlSettleBulk and sqlSettleFew settle deliveries that are leased, and such that are fresh.
	sqlSettleBulk = settleStatements(bulk)
	sqlSettleFew  = settleStatements(few)
)

// States stand in statements as numbers where rows pass by the thousand: of a parameter SQLite cannot tell beforehand which
// partial indexes a row is not in, which doubles what the row costs.

// few is bulk for settlements that come in small numbers.
const few = 4

// settleArgs is how many parameters a statement of settleStatements has before the ids.
const settleArgs = 6

// settling chooses among statements that settle deliveries.
type settling struct {
	fresh bool
	each  bool // the requests took another time each
}

// settleStatements settle n deliveries as sent, with the attempt that did it. ?3 says that the service drops repeats: then a
// mark of an earlier attempt in doubt goes, else it stays. The time that the request took is ?6 or, for each its own, follows
// the ids.
func settleStatements(n int) map[settling]string {
	var ids, each strings.Builder
	each.WriteString("CASE id")
	for i := range n {
		if i > 0 {
			ids.WriteString(", ")
		}
		fmt.Fprintf(&ids, "?%d", settleArgs+1+i)
		fmt.Fprintf(&each, " WHEN ?%d THEN ?%d", settleArgs+1+i, settleArgs+1+n+i)
	}
	all := map[settling]string{}
	for took, expr := range map[bool]string{false: "?6", true: each.String() + " ELSE ?6 END"} {
		set := `UPDATE delivery SET state = ?1, changed = ?2, began = ?4, status = ?5, took = ` + expr
		where := ` AND id IN (` + ids.String() + `)`
		all[settling{false, took}] = set + `, not_before = 0, ambiguous = ambiguous AND NOT ?3, plain = 0, reason = '' WHERE state = 1` + where
		all[settling{true, took}] = set + `, attempts = 1 WHERE state = 9` + where
	}
	return all
}

// The statements that store new alerts and their deliveries, all due at once and in no silence window. Those for stored alerts, the
// most frequent, have the action as a number, and those for deliveries the state: Queued, or fresh.
var (
	sqlAlertBulk  = alerts(bulk, "?")
	sqlStoredBulk = alerts(bulk, "0")
	sqlAlert      = alerts(1, "?") + ` ON CONFLICT (id) DO NOTHING`
	sqlStored     = alerts(1, "0") + ` ON CONFLICT (id) DO NOTHING`

	sqlDeliverBulk = map[bool]string{false: deliveries(bulk, int(alert.Queued)), true: deliveries(bulk, stateFresh)}
	sqlDeliver     = map[bool]string{false: deliveries(1, int(alert.Queued)), true: deliveries(1, stateFresh)}
)

func alerts(n int, action string) string {
	return `INSERT INTO alert (seq, id, stored, action, key, json) VALUES ` +
		strings.TrimSuffix(strings.Repeat(`(?, ?, ?, `+action+`, ?, ?), `, n), ", ")
}

// alertArgs appends the parameters of an alert for one of these statements; stored chooses those with the action as a number.
func alertArgs(args []any, seq int64, a *alert.Alert, now int64, text []byte, stored bool) []any {
	args = append(args, seq, a.ID[:], now)
	if !stored {
		args = append(args, int64(a.Action))
	}
	return append(args, a.Key, text)
}

// deliverArgs is how many parameters a row of deliveries has.
const deliverArgs = 4

// deliveries writes n rows of new deliveries in a state: ?1 is the time, and of each row its id, alert, recipient and severity
// follow.
func deliveries(n, state int) string {
	var b strings.Builder
	b.WriteString(`INSERT INTO delivery (id, alert, recipient, severity, state, not_before, created, since, changed, attempts, base, plain,
		ambiguous, reason, provider_id) VALUES `)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		n := deliverArgs*i + 2
		fmt.Fprintf(&b, `(?%d, ?%d, ?%d, ?%d, %d, ?1, ?1, ?1, ?1, 0, 0, 0, 0, '', '')`, n, n+1, n+2, n+3, state)
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
	stored := !slices.ContainsFunc(es, func(e Entry) bool { return e.Alert.Action != alert.Store })
	for i := range es {
		args = alertArgs(args, t.newSeq+1+int64(i), es[i].Alert, now, texts[i], stored)
	}
	statement := sqlAlertBulk
	if stored {
		statement = sqlStoredBulk
	}
	switch _, err := t.exec(statement, args...); {
	case isRepeat(err): // SQLite has taken back what the statement did
		return false, nil
	case err != nil:
		return false, err
	}
	ids := make([]alert.ID, len(found))
	var rows [2][]any // not fresh, fresh
	for i := range es {
		t.newSeq++
		for _, r := range to[i] {
			// See insert.
			ids[0] = alert.NewID()
			fresh, k := s.mayBeFresh(t, r, es[i].Alert, "", texts[i]), 0
			if fresh {
				k = 1
				t.addFresh(r, ids[0], texts[i], now)
			}
			if rows[k] == nil {
				rows[k] = append(make([]any, 0, deliverArgs*bulk+1), now)
			}
			rows[k] = append(rows[k], ids[0][:], t.newSeq, r.seq, int64(es[i].Alert.Severity))
			ids = ids[1:]
			t.count(r.seq, alert.Queued, 1)
			t.wake[r.endpoint.name] = true
			if len(rows[k]) == deliverArgs*bulk+1 {
				if _, err := t.exec(sqlDeliverBulk[fresh], rows[k]...); err != nil {
					return false, err
				}
				rows[k] = rows[k][:1]
			}
		}
	}
	for k, fresh := range []bool{false, true} {
		for rest := rows[k][min(1, len(rows[k])):]; len(rest) > 0; rest = rest[deliverArgs:] {
			if _, err := t.exec(sqlDeliver[fresh], now, rest[0], rest[1], rest[2], rest[3]); err != nil {
				return false, err
			}
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
	if len(vs) < few {
		return 0, nil
	}
	var leases [bulk]lease
	s.mu.Lock()
	for n < min(bulk, len(vs)) {
		v, first, l := &vs[n], &vs[0], &leases[n]
		var ok bool
		if *l, ok = s.leases[v.Delivery]; !ok || l.same != "" || v.State != first.State || v.Idempotent != first.Idempotent ||
			v.Status != first.Status || l.at != leases[0].at || (l.batch == nil) != (leases[0].batch == nil) || !plainSuccess(v) ||
			s.digests[v.Delivery] || t.settled[v.Delivery] || len(t.parked[v.Delivery]) > 0 {
			break
		}
		t.settled[v.Delivery] = true                       // it may come twice in this very call
		l.recipient = s.names.recipients[l.recipient.name] // it may have moved or been removed since
		n++
	}
	s.mu.Unlock()
	settle := sqlSettleBulk
	size := bulk
	if n < bulk {
		settle = sqlSettleFew
		size = min(few, n/few*few)
	}
	for _, beyond := range vs[size:n] {
		delete(t.settled, beyond.Delivery)
	}
	if size == 0 {
		return 0, nil
	}
	vs = vs[:size]
	each := false
	for i := range vs {
		each = each || took(&vs[i]) != took(&vs[0])
	}
	state, now := vs[0].State, s.now().UnixMilli()
	args := append(make([]any, 0, settleArgs+2*bulk), int64(state), now, vs[0].Idempotent, leases[0].at, vs[0].Status, took(&vs[0]))
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
	_, err = t.exec(settle[settling{t.isFresh(&leases[0]), each}], args...)
	return len(vs), err
}
