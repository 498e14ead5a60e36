package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// maxGroup bounds the rows of a group commit, so that the first caller does not wait for ever more late ones.
const maxGroup = 4096

// op is one caller's part of a group commit.
type op struct {
	rows int
	// classic says that it looks at what waits or is being sent by the indexes: there are no fresh deliveries in its transaction.
	classic bool
	// run does the work. It may run twice: alone, after the group it was in failed because of another.
	run  func(*tx) error
	err  error
	done chan struct{}
}

// do hands work to the writer goroutine and waits until it is committed, which ctx ends only before the work begins:
// after that the caller learns how it ended, or a lease could be lost.
func (s *Store) do(ctx context.Context, doing string, rows int, run func(*tx) error) error {
	return s.hand(ctx, doing, &op{rows: rows, classic: true, run: run})
}

// doFresh is do for what knows of fresh deliveries, or has to do with none.
func (s *Store) doFresh(ctx context.Context, doing string, rows int, run func(*tx) error) error {
	return s.hand(ctx, doing, &op{rows: rows, run: run})
}

func (s *Store) hand(ctx context.Context, doing string, o *op) error {
	if s.readOnly {
		return s.explain(doing, ErrReadOnly)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	select {
	case s.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.quit:
		return s.explain(doing, ErrClosed)
	}
	<-o.done
	return s.explain(doing, o.err)
}

// write is the writer goroutine: it takes what is waiting and commits it in one transaction. While the disk works,
// callers queue up for the next one; that is what makes small calls cheap in a crowd.
func (s *Store) write() {
	defer close(s.ended)
	var group []*op
	for {
		select {
		case <-s.quit:
			return
		case o := <-s.ops:
			group = append(group[:0], o)
			s.commit(s.gather(group))
		}
	}
}

func (s *Store) gather(group []*op) []*op {
	rows := group[0].rows
	for rows < maxGroup {
		select {
		case o := <-s.ops:
			group = append(group, o)
			rows += o.rows
		default:
			return group
		}
	}
	return group
}

func (s *Store) commit(group []*op) {
	err := s.transact(group...)
	if err != nil && len(group) > 1 {
		for _, o := range group { // one of them is at fault: the others must not suffer
			o.err = s.transact(o)
		}
	} else {
		group[0].err = err
	}
	for i, o := range group {
		close(o.done)
		group[i] = nil
	}
}

func (s *Store) transact(group ...*op) error {
	t := s.tx
	t.reset()
	if _, err := t.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	step, seen := s.wall.stepped(s.now())
	classic, rows := step != 0, 0
	for _, o := range group {
		classic = classic || o.classic
		rows += o.rows
	}
	classic = classic || s.maxQueue > 0 && t.queued+int64(rows) > s.maxQueue // then what waits is thinned out
	err := func() error {
		if classic {
			if err := s.classify(t); err != nil {
				return err
			}
		}
		if step != 0 {
			s.log.Warn("the clock was set, or the machine slept: what waits moves along", "by", step.Round(time.Second))
			if err := s.shift(t, step); err != nil {
				return err
			}
		}
		for _, o := range group {
			if err := o.run(t); err != nil {
				return err
			}
		}
		if err := s.flushDrops(t); err != nil {
			return err
		}
		if err := s.leaseAhead(t); err != nil {
			return err
		}
		if err := t.flushFresh(); err != nil {
			return err
		}
		if err := t.flushTally(); err != nil {
			return err
		}
		_, err := t.exec("COMMIT")
		return err
	}()
	if err != nil {
		// A full disk or an I/O error may have ended the transaction already; then there is none to roll back.
		_, _ = t.exec("ROLLBACK")
		s.mu.Lock()
		for _, f := range t.undo {
			f()
		}
		s.mu.Unlock()
		t.undoFresh()
		return err
	}
	for k, n := range t.tally {
		if k.state == alert.Queued {
			t.waits[k.recipient] += n
		}
	}
	s.mu.Lock()
	for _, f := range t.after {
		f()
	}
	s.keepFresh(t)
	for e := range t.wake {
		s.signal(e)
	}
	s.mu.Unlock()
	t.alertSeq = t.newSeq
	t.queued += t.came
	if step != 0 {
		seen()
	}
	return nil
}

// tx is the writer's connection and what a transaction gathers. Statements run without a context: once begun, a
// transaction ends by itself.
type tx struct {
	conn     *sql.Conn
	stmts    map[string]*sql.Stmt
	alertSeq int64 // of the last alert committed
	queued   int64 // deliveries that wait or are being sent, as committed
	// parked are the releases that wait for an engage under way, by the engage's delivery: they become due when it is
	// settled. It need not be exact, for they are looked at again after engagePoll anyway.
	parked map[alert.ID][]alert.ID

	// served is the recipient of each endpoint that was served last. It need not be exact either.
	served map[int64]int64

	// fresh are the queues of fresh deliveries, by recipient; freshN and freshBytes are what waits in all of them.
	fresh              map[int64]*freshQueue
	freshN, freshBytes int
	// waits is how many deliveries of a recipient are queued, fresh or not, as committed.
	waits map[int64]int64

	classic bool              // this transaction has no fresh deliveries
	touched []*freshQueue     // by this transaction
	settled map[alert.ID]bool // by this transaction
	newSeq  int64
	came    int64 // what this transaction adds to queued
	drops   map[dropKey]int64
	tally   map[tallyKey]int64
	wake    map[string]bool // endpoints for which work may be due
	// after runs once the transaction is committed, with Store.mu held: it brings the mirrors up to date.
	after []func()
	undo  []func() // likewise, if it fails
	added names    // by this transaction, or read again after it changed them
}

type tallyKey struct {
	recipient int64
	state     alert.State
}

func newTx(c *sql.Conn) *tx {
	return &tx{
		conn: c, stmts: map[string]*sql.Stmt{}, parked: map[alert.ID][]alert.ID{}, fresh: map[int64]*freshQueue{}, waits: map[int64]int64{}, drops: map[dropKey]int64{}, settled: map[alert.ID]bool{}, served: map[int64]int64{}, tally: map[tallyKey]int64{}, wake: map[string]bool{},
		added: names{map[string]*endpoint{}, map[string]*recipient{}},
	}
}

func (t *tx) reset() {
	t.newSeq = t.alertSeq
	t.came = 0
	clear(t.drops)
	clear(t.settled)
	clear(t.tally)
	clear(t.wake)
	clear(t.added.endpoints)
	clear(t.added.recipients)
	clear(t.after)
	t.after = t.after[:0]
	clear(t.undo)
	t.undo = t.undo[:0]
	t.classic = false
}

func (t *tx) close() error {
	var errs []error
	for _, st := range t.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, t.conn.Close())...)
}

// stmt gives the prepared statement of a query, which is a constant: they are few.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if st := t.stmts[query]; st != nil {
		return st, nil
	}
	st, err := t.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, fmt.Errorf("%w in %q", err, query)
	}
	t.stmts[query] = st
	return st, nil
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	st, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(context.Background(), args...)
}

// execN is exec for statements that change rows; it returns how many.
func (t *tx) execN(query string, args ...any) (int, error) {
	res, err := t.exec(query, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// row runs a query of at most one row; found is false if there is none.
func (t *tx) row(dest []any, query string, args ...any) (found bool, err error) {
	st, err := t.stmt(query)
	if err != nil {
		return false, err
	}
	err = st.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each runs a query and calls f for each row.
func (t *tx) each(f func(*sql.Rows) error, query string, args ...any) (err error) {
	st, err := t.stmt(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// count notes that n deliveries of a recipient entered (or, below zero, left) a state.
func (t *tx) count(recipient int64, st alert.State, n int) {
	t.tally[tallyKey{recipient, st}] += int64(n)
	if st == alert.Queued || st == alert.Leased {
		t.came += int64(n)
	}
}

// move notes that n deliveries of a recipient changed their state.
func (t *tx) move(recipient int64, from, to alert.State, n int) {
	t.count(recipient, from, -n)
	t.count(recipient, to, n)
}

func (t *tx) flushTally() error {
	for k, n := range t.tally {
		if n == 0 {
			continue
		}
		if _, err := t.exec(`INSERT INTO tally (recipient, state, n) VALUES (?, ?, ?)
			ON CONFLICT (recipient, state) DO UPDATE SET n = n + excluded.n`, k.recipient, int64(k.state), n); err != nil {
			return err
		}
	}
	return nil
}
