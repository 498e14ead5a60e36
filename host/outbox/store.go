package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/filelock"
)

// Options are the optional settings of Open.
type Options struct {
	// Log takes warnings and what recovery found. Default: discarded.
	Log *slog.Logger
	// Now is the clock by which deliveries become due. Default: time.Now.
	Now func() time.Time
	// Retention is how long Prune keeps an alert whose deliveries have all ended well, counted from when it was stored.
	// Default: 30 days.
	Retention time.Duration
	// DeadRetention is how long Prune keeps an alert of which a delivery is a dead letter, counted from that delivery's
	// last change. Default: 90 days; it is at least Retention.
	DeadRetention time.Duration
	// ReadOnly opens the ledger for reading while another process may own it: the calls that write return ErrReadOnly.
	ReadOnly bool
	// MaxQueue is how many deliveries may wait; when so many do, the oldest of the lowest severity are dropped for those of
	// a higher one. Default: a million; below 0: no bound.
	MaxQueue int
	// MaxDead is how many dead letters Prune keeps, the youngest. Default: 100,000; below 0: no bound.
	MaxDead int
	// Digest says when old deliveries are sent as one; its zero value: never.
	Digest DigestPolicy
	// Quiet, if set, tells why a recipient gets nothing of an alert, as JSON, now, or with nil nothing at all; empty: it does. It
	// is asked when a delivery is due, with the store's clock, and must be quick.
	Quiet func(recipient string, alertJSON []byte, now time.Time) string
}

// The defaults of Options.
const (
	DefaultRetention     = 30 * 24 * time.Hour
	DefaultDeadRetention = 90 * 24 * time.Hour
	DefaultMaxQueue      = 1_000_000
	DefaultMaxDead       = 100_000
)

// Store is an open outbox. All its methods may be called concurrently. Its writes pass through one goroutine, which
// commits whatever is waiting in one transaction; each call returns once its own part is on disk.
type Store struct {
	path      string
	log       *slog.Logger
	now       func() time.Time
	retention time.Duration
	deadFor   time.Duration
	readOnly  bool
	maxQueue  int64
	maxDead   int64
	digest    DigestPolicy
	quiet     func(recipient string, alertJSON []byte, now time.Time) string // nil: nothing is held back
	wall      wall
	// chunk is how many rows one transaction of a bulk change touches, so that others are not kept waiting.
	chunk int

	lock   *fileLock
	writer *sql.DB // one connection
	reader *sql.DB
	next   *sql.Stmt // on reader: sqlNext
	tx     *tx       // used by the writer goroutine only
	ops    chan *op
	quit   chan struct{} // closed by Close
	ended  chan struct{} // closed when the writer goroutine has ended
	once   sync.Once
	closed error

	mu sync.Mutex // mu guards what follows
	// names mirrors two small tables whose rows are known by name everywhere else.
	names      names
	holds      map[string]alert.Hold
	leases     map[alert.ID]lease
	ready      map[string][]alert.Delivery // leased for a caller of Lease who has not come for them yet, by endpoint
	ahead      map[string]int              // see Ahead
	freshWaits map[string]freshWait        // by recipient
	told       dropLog
	// digests are those that have not arrived yet.
	digests map[alert.ID]bool
	wakes   map[string]chan struct{}
	usage   map[string]*Usage // by recipient
	used    map[string]bool   // whose usage is not on disk yet
}

// endpoint and recipient are rows of the tables of those names. They are replaced, never changed.
type endpoint struct {
	seq  int64
	name string
}

type recipient struct {
	seq      int64
	name     string
	endpoint *endpoint
	removed  bool
	silence  int64 // milliseconds of its window; 0: none
}

// lease is a delivery that this process is sending.
type lease struct {
	recipient *recipient
	attempt   int         // over the delivery's life
	at        int64       // Unix milliseconds
	same      string      // the key of its silence window; empty: none
	batch     *freshBatch // set while its row is fresh
}

// Open opens the outbox at path and creates it, readable by its owner only, if there is none. The folder must exist.
// One process may own an outbox: a second gets a *LockedError. Deliveries that a dead process had leased are queued
// again. ctx bounds Open only.
func Open(ctx context.Context, path string, o Options) (_ *Store, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("outbox: %w", err)
	}
	s := &Store{
		path: path, log: o.Log, now: o.Now, retention: o.Retention, deadFor: o.DeadRetention, readOnly: o.ReadOnly, chunk: 500,
		ops: make(chan *op), quit: make(chan struct{}), ended: make(chan struct{}),
		holds: map[string]alert.Hold{}, leases: map[alert.ID]lease{}, ready: map[string][]alert.Delivery{}, ahead: map[string]int{}, freshWaits: map[string]freshWait{}, digests: map[alert.ID]bool{}, digest: o.Digest, quiet: o.Quiet,
		wakes: map[string]chan struct{}{},
		usage: map[string]*Usage{}, used: map[string]bool{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
		begin := time.Now()
		s.wall.elapsed = func() time.Duration { return time.Since(begin) }
	}
	s.maxQueue, s.maxDead = int64(cmp.Or(o.MaxQueue, DefaultMaxQueue)), int64(cmp.Or(o.MaxDead, DefaultMaxDead))
	s.told = dropLog{log: s.log, sum: map[dropKey]int64{}, lock: func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}}
	if s.retention <= 0 {
		s.retention = DefaultRetention
	}
	if s.deadFor <= 0 {
		s.deadFor = DefaultDeadRetention
	}
	s.deadFor = max(s.deadFor, s.retention)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if err := s.claim(); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, s.explain("open", err)
	}
	if s.readOnly {
		close(s.ended)
	} else {
		go s.write()
	}
	return s, nil
}

// claim checks the path, takes the process lock and creates the file.
func (s *Store) claim() error {
	dir := filepath.Dir(s.path)
	switch fi, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("outbox: folder %s does not exist: create it, or set another path", dir)
	case err != nil:
		return fmt.Errorf("outbox: %w", err)
	case !fi.IsDir():
		return fmt.Errorf("outbox: %s is not a folder: set another path", dir)
	}
	switch fi, err := os.Stat(s.path); {
	case errors.Is(err, fs.ErrNotExist) && s.readOnly:
		return fmt.Errorf("outbox: %s does not exist: has `tocsin run` been started with this configuration?", s.path)
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("outbox: %w", err)
	case fi.IsDir():
		return fmt.Errorf("outbox: %s is a folder: set the path of a file", s.path)
	case filelock.Unsafe(fi.Mode()):
		s.log.Warn("the outbox can be read by other users: it holds alerts; run chmod 600", "path", s.path,
			"mode", fi.Mode().String())
	}
	if s.readOnly {
		return nil
	}
	lock, err := lockFile(s.path + ".lock")
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("outbox: %w: let the user that runs tocsin write to %s, or set another path", err, dir)
		}
		return fmt.Errorf("outbox: %w", s.lockError(err))
	}
	s.lock = lock
	// SQLite would create it with the umask's mode, and gives its -wal and -shm files the mode of the database. An
	// existing file is not opened here: closing it would drop the POSIX locks that SQLite holds in this process.
	f, err := os.OpenFile(s.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case err == nil:
		return f.Close()
	case errors.Is(err, fs.ErrExist):
		return nil
	}
	return fmt.Errorf("outbox: %w", err)
}

// The page size stays SQLite's 4096: 8192 and 16384 stored no more alerts a second in batches and fewer one by one. A
// checkpoint every 4000 pages (16 MB) instead of 1000 stored a tenth more. See BenchmarkStore.
var writerPragmas = []string{
	"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)", "foreign_keys(1)",
	"cache_size(-16000)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)", "temp_store(MEMORY)",
	"trusted_schema(0)",
}

var readerPragmas = []string{
	"busy_timeout(5000)", "query_only(1)", "cache_size(-4000)", "temp_store(MEMORY)", "trusted_schema(0)",
}

// dsn writes a file: URI, which lets a path hold any character.
func dsn(path string, pragmas []string) string {
	p := filepath.ToSlash(path)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // C:/...
	}
	u := url.URL{Scheme: "file", Path: p, RawQuery: url.Values{"_pragma": pragmas, "mode": {"rw"}}.Encode()}
	return u.String()
}

func (s *Store) connect(ctx context.Context) (err error) {
	s.reader, err = sql.Open("sqlite", dsn(s.path, readerPragmas))
	if err != nil {
		return err
	}
	s.reader.SetMaxOpenConns(4)
	s.reader.SetMaxIdleConns(4)
	if s.readOnly {
		if err := checkVersion(ctx, s.reader, s.path); err != nil {
			return err
		}
		return s.load(ctx, s.reader)
	}
	s.writer, err = sql.Open("sqlite", dsn(s.path, writerPragmas))
	if err != nil {
		return err
	}
	s.writer.SetMaxOpenConns(1)
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return err
	}
	s.tx = newTx(conn)
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system of %s cannot keep a write-ahead log (journal mode %s): use a local disk",
			s.path, mode)
	}
	if err := migrate(ctx, conn, s.path, migrations); err != nil {
		return err
	}
	if err := s.recover(ctx, conn); err != nil {
		return err
	}
	if err := s.load(ctx, conn); err != nil {
		return err
	}
	return s.catchUp(ctx)
}

// querier is a pool or a connection.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// load fills the mirrors of the small tables.
func (s *Store) load(ctx context.Context, q querier) error {
	if s.tx != nil {
		if err := q.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM alert`).Scan(&s.tx.alertSeq); err != nil {
			return err
		}
		err := q.QueryRowContext(ctx, `SELECT coalesce(sum(n), 0) FROM tally WHERE state < 2`).Scan(&s.tx.queued)
		if err != nil {
			return err
		}
		err = each(ctx, q, func(r *sql.Rows) error {
			var recipient, n int64
			err := r.Scan(&recipient, &n)
			s.tx.waits[recipient] = n
			return err
		}, `SELECT recipient, n FROM tally WHERE state = 0`)
		if err != nil {
			return err
		}
	}
	n, err := readNames(ctx, q)
	if err != nil {
		return err
	}
	s.names = n
	if s.usage, err = readUsage(ctx, q); err != nil {
		return err
	}
	err = each(ctx, q, func(r *sql.Rows) error {
		var h alert.Hold
		var until int64
		if err := r.Scan(&h.Endpoint, &until, &h.Broken, &h.Reason); err != nil {
			return err
		}
		h.Until = fromMS(until)
		s.holds[h.Endpoint] = h
		return nil
	}, `SELECT endpoint, until, broken, reason FROM hold`)
	if err != nil {
		return err
	}
	err = each(ctx, q, func(r *sql.Rows) error {
		var id sql.RawBytes
		err := r.Scan(&id)
		s.digests[alert.ID(id)] = true
		return err
	}, `SELECT delivery FROM digest`)
	if err != nil {
		return err
	}
	s.next, err = s.reader.PrepareContext(ctx, sqlNext)
	return err
}

// names are the rows of the tables endpoint and recipient, by name.
type names struct {
	endpoints  map[string]*endpoint
	recipients map[string]*recipient
}

func readNames(ctx context.Context, q querier) (names, error) {
	n := names{map[string]*endpoint{}, map[string]*recipient{}}
	bySeq := map[int64]*endpoint{}
	err := each(ctx, q, func(r *sql.Rows) error {
		e := &endpoint{}
		if err := r.Scan(&e.seq, &e.name); err != nil {
			return err
		}
		n.endpoints[e.name], bySeq[e.seq] = e, e
		return nil
	}, `SELECT seq, name FROM endpoint`)
	if err != nil {
		return n, err
	}
	err = each(ctx, q, func(r *sql.Rows) error {
		p, seq := &recipient{}, int64(0)
		if err := r.Scan(&p.seq, &p.name, &seq, &p.removed, &p.silence); err != nil {
			return err
		}
		p.endpoint = bySeq[seq]
		n.recipients[p.name] = p
		return nil
	}, `SELECT seq, name, endpoint, removed <> 0, silence FROM recipient`)
	return n, err
}

// Close ends the writes under way, refuses later ones with ErrClosed and closes the file. Deliveries still leased are
// queued again at the next Open. Closing twice is harmless.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.quit)
		<-s.ended
		s.mu.Lock()
		ready := len(s.ready)
		s.mu.Unlock()
		if s.tx != nil && len(s.tx.fresh)+ready > 0 {
			if err := s.transact(&op{classic: true, run: func(*tx) error { return nil }}); err != nil {
				s.log.Warn("what waited in memory was not written back; the next start does it", "error", err)
			}
		}
		s.told.lock(s.told.stop)
		s.closed = s.explain("close", s.release())
	})
	return s.closed
}

// release frees whatever Open acquired, also after a failed one.
func (s *Store) release() error {
	var errs []error
	if s.next != nil {
		errs = append(errs, s.next.Close())
	}
	if s.reader != nil {
		errs = append(errs, s.reader.Close())
	}
	if s.tx != nil {
		errs = append(errs, s.tx.close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.unlock())
	}
	return errors.Join(errs...)
}

// each runs a query and calls f for each row.
func each(ctx context.Context, q querier, f func(*sql.Rows) error, query string, args ...any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
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

// Times are kept as Unix milliseconds; 0 is the zero time.
func toMS(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMS(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
