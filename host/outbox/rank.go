package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

const (
	// digestRank is the severity of a digest in delivery.severity: above all, for what it stands for is lost with it.
	digestRank = 9
	// tellDrops is how often the log says what was dropped.
	tellDrops = time.Minute
)

// Drop counts deliveries of one severity to one recipient that were given up because there was no room for them.
type Drop struct {
	Recipient   string
	Severity    alert.Severity
	N           int64
	First, Last time.Time
}

type dropKey struct {
	recipient string
	severity  int64
}

const (
	// sqlLeast finds what is given up first: of the lowest severity below a bound the one that has waited longest.
	sqlLeast = `SELECT d.id, d.severity, r.name FROM recipient r CROSS JOIN delivery d ON d.id = (SELECT q.id FROM delivery q
			INDEXED BY waiting WHERE q.recipient = r.seq AND q.state = 0 ORDER BY q.severity, q.since LIMIT 1)
		WHERE d.severity < ?1 ORDER BY d.severity, d.since LIMIT 1`
	sqlDrop = `INSERT INTO dropped (recipient, severity, n, first, last) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (recipient, severity) DO UPDATE SET n = n + ?3, first = min(first, ?4), last = max(last, ?5)`
)

// room tells whether a delivery of a severity may be queued. With a full queue it makes room by giving up one of a lower
// severity, the oldest of the lowest.
func (s *Store) room(t *tx, severity alert.Severity) (bool, error) {
	for s.maxQueue > 0 && t.queued+t.came >= s.maxQueue {
		var id []byte
		var rank int64
		var name string
		found, err := t.row([]any{&id, &rank, &name}, sqlLeast, int64(severity))
		if err != nil || !found {
			return false, err
		}
		if _, err := t.exec(`DELETE FROM delivery WHERE id = ?`, id); err != nil {
			return false, err
		}
		t.count(s.recipientOf(t, name).seq, alert.Queued, -1)
		t.drops[dropKey{name, rank}]++
	}
	return true, nil
}

// flushDrops writes what the transaction gave up to the ledger.
func (s *Store) flushDrops(t *tx) error {
	if len(t.drops) == 0 {
		return nil
	}
	now := s.now().UnixMilli()
	for k, n := range t.drops {
		if _, err := t.exec(sqlDrop, k.recipient, k.severity, n, now, now); err != nil {
			return err
		}
	}
	drops := maps.Clone(t.drops)
	t.after = append(t.after, func() { s.told.add(drops) })
	return nil
}

// AddDropped adds to the ledger what was given up before it came here, and has it told with the rest.
func (s *Store) AddDropped(ctx context.Context, drops []Drop) error {
	if len(drops) == 0 {
		return nil
	}
	return s.doFresh(ctx, "note dropped deliveries in", len(drops), func(t *tx) error {
		sum := map[dropKey]int64{}
		for _, d := range drops {
			if _, err := t.exec(sqlDrop, d.Recipient, int64(d.Severity), d.N, toMS(d.First), toMS(d.Last)); err != nil {
				return err
			}
			sum[dropKey{d.Recipient, int64(d.Severity)}] += d.N
		}
		t.after = append(t.after, func() { s.told.add(sum) })
		return nil
	})
}

// Dropped lists what was given up for want of room, by recipient and severity, the highest first. Prune forgets it after
// Options.Retention.
func (s *Store) Dropped(ctx context.Context) ([]Drop, error) {
	out := []Drop{}
	err := each(ctx, s.reader, func(q *sql.Rows) error {
		var d Drop
		var first, last int64
		if err := q.Scan(&d.Recipient, &d.Severity, &d.N, &first, &last); err != nil {
			return err
		}
		d.First, d.Last = fromMS(first), fromMS(last)
		out = append(out, d)
		return nil
	}, `SELECT recipient, severity, n, first, last FROM dropped ORDER BY recipient, severity DESC`)
	if err != nil {
		return nil, s.explain("read", err)
	}
	return out, nil
}

// dropLog says in the log what was dropped: the first at once, then once in tellDrops. Its methods are called with
// Store.mu held, save by the timer, which takes it.
type dropLog struct {
	log   *slog.Logger
	lock  func(f func()) // runs f with Store.mu held
	sum   map[dropKey]int64
	timer *time.Timer // runs while the log is silent
}

func (l *dropLog) add(drops map[dropKey]int64) {
	for k, n := range drops {
		l.sum[k] += n
	}
	if l.timer == nil {
		l.tell()
		l.timer = time.AfterFunc(tellDrops, func() { l.lock(l.again) })
	}
}

// again tells what came while the log was silent.
func (l *dropLog) again() {
	if l.timer == nil {
		return // stopped
	}
	if len(l.sum) == 0 {
		l.timer = nil
		return
	}
	l.tell()
	l.timer.Reset(tellDrops)
}

func (l *dropLog) stop() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	l.tell()
}

func (l *dropLog) tell() {
	if len(l.sum) == 0 {
		return
	}
	total := int64(0)
	var by []string
	keys := slices.SortedFunc(maps.Keys(l.sum), func(a, b dropKey) int {
		return strings.Compare(a.recipient, b.recipient)*10 + int(a.severity-b.severity)
	})
	for _, k := range keys {
		total += l.sum[k]
		if len(by) < 20 {
			by = append(by, fmt.Sprintf("%s %s %d", k.recipient, alert.Severity(k.severity), l.sum[k]))
		}
	}
	clear(l.sum)
	l.log.Error("there was no room for deliveries, so they were dropped, the lowest severity first: tocsin recipient list counts them",
		"dropped", total, "by_recipient_and_severity", strings.Join(by, ", "))
}
