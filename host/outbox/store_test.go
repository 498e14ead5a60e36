package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex // mu guards t
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// chunk is small here, for bulk changes take several transactions in the tests too.
const chunk = 40

// fresh opens a new outbox with a clock of its own.
func fresh(t testing.TB) (*Store, *clock) {
	c := newClock()
	s := open(t, filepath.Join(t.TempDir(), "outbox.db"), Options{Now: c.now})
	s.chunk = chunk
	return s, c
}

func flowAlert(text string) *alert.Alert {
	return &alert.Alert{
		ID: alert.NewID(), Time: time.Unix(1700000000, 0), Entity: alert.EntityFlow, AlertID: 7,
		Check: "flow/tls_certificate_expired", Title: "TLS certificate expired", Category: alert.Security,
		Severity: alert.Error, Score: 100, Message: text, Advice: "Renew the certificate.", Interface: "demo.pcap",
		Flow: &alert.Flow{
			L4: "TCP", Client: netip.MustParseAddr("10.0.0.2"), Server: netip.MustParseAddr("10.0.0.1"),
			ClientPort: 40000, ServerPort: 443, Protocol: "TLS", Hostname: "expired.example",
			CommunityID: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
		},
	}
}

func hostAlert(key string, action alert.Action) *alert.Alert {
	a := flowAlert(key)
	a.Entity, a.Check, a.Flow, a.Action, a.Key = alert.EntityHost, "host/syn_scan", nil, action, key
	a.Host = &alert.Host{IP: netip.MustParseAddr("10.0.0.9")}
	return a
}

func to(names ...string) []alert.Target {
	var out []alert.Target
	for _, n := range names {
		r, e, _ := strings.Cut(n, "@")
		out = append(out, alert.Target{Recipient: r, Endpoint: e})
	}
	return out
}

func put(t testing.TB, s *Store, a *alert.Alert, targets ...string) {
	t.Helper()
	ok(t, s.Store(t.Context(), []Entry{{a, to(targets...)}}))
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func lease1(t testing.TB, s *Store, endpoint string) alert.Delivery {
	t.Helper()
	ds, err := s.Lease(t.Context(), endpoint, 1)
	ok(t, err)
	if len(ds) != 1 {
		t.Fatalf("leased %d deliveries of %s, want 1", len(ds), endpoint)
	}
	return ds[0]
}

func leaseN(t testing.TB, s *Store, endpoint string, limit, want int) []alert.Delivery {
	t.Helper()
	ds, err := s.Lease(t.Context(), endpoint, limit)
	ok(t, err)
	if len(ds) != want {
		t.Fatalf("leased %d deliveries of %s, want %d", len(ds), endpoint, want)
	}
	return ds
}

func settle(t testing.TB, s *Store, v ...alert.Settlement) {
	t.Helper()
	ok(t, s.Settle(t.Context(), v))
}

// count reads one number from the file, by a connection of its own.
func count(t testing.TB, s *Store, query string, args ...any) (n int) {
	t.Helper()
	ok(t, s.reader.QueryRowContext(t.Context(), query, args...).Scan(&n))
	return n
}

// consistent checks what must hold of every outbox at rest.
func consistent(t testing.TB, s *Store) {
	t.Helper()
	var res string
	ok(t, s.reader.QueryRow("PRAGMA integrity_check").Scan(&res))
	if res != "ok" {
		t.Fatalf("integrity_check: %s", res)
	}
	if n := count(t, s, "SELECT count(*) FROM pragma_foreign_key_check"); n != 0 {
		t.Fatalf("%d broken references", n)
	}
	if n := count(t, s, `SELECT count(*) FROM (SELECT recipient, CASE WHEN state <> 9 THEN state
			ELSE id <= (SELECT leased FROM fresh f WHERE f.recipient = delivery.recipient) END AS state, count(*) AS n FROM delivery GROUP BY 1, 2) d
		FULL JOIN (SELECT * FROM tally WHERE n <> 0) t USING (recipient, state) WHERE d.n IS NOT t.n`); n != 0 {
		t.Fatalf("%d tallies differ from the deliveries", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		p := filepath.Join(dir, name)
		ok(t, os.WriteFile(p, []byte(content), 0o600))
		return p
	}
	db := func(name, script string) string {
		p := filepath.Join(dir, name)
		c, err := sql.Open("sqlite", "file:"+p)
		ok(t, err)
		_, err = c.Exec(script)
		ok(t, errors.Join(err, c.Close()))
		return p
	}
	damaged := filepath.Join(dir, "damaged.db")
	s, err := Open(t.Context(), damaged, Options{})
	ok(t, err)
	put(t, s, flowAlert("x"), "ops@hook")
	ok(t, s.Close())
	b, err := os.ReadFile(damaged)
	ok(t, err)
	copy(b[100:], bytes.Repeat([]byte{0xff}, 4096*3)) // the schema's page and more
	file("damaged.db", string(b))

	for name, c := range map[string]struct {
		path string
		ro   bool
		is   error
		says []string
	}{
		"no folder":       {path: filepath.Join(dir, "none", "o.db"), says: []string{"none does not exist", "create it"}},
		"file as folder":  {path: filepath.Join(file("plain", "x"), "o.db"), says: []string{"plain"}},
		"folder as file":  {path: dir, says: []string{dir, "is a folder"}},
		"not a database":  {path: file("text.db", strings.Repeat("no database ", 100)), is: ErrForeign, says: []string{"text.db", "move the file away"}},
		"other program":   {path: db("other.db", "CREATE TABLE songs (x)"), is: ErrForeign, says: []string{"other.db", "another program"}},
		"newer":           {path: db("newer.db", fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=99; CREATE TABLE x (y)", applicationID)), says: []string{"newer.db", "version 99", "newer tocsin"}},
		"newer, reading":  {path: filepath.Join(dir, "newer.db"), ro: true, says: []string{"version 99"}},
		"damaged":         {path: damaged, is: ErrCorrupt, says: []string{"damaged.db", "backup"}},
		"reading nothing": {path: filepath.Join(dir, "nothing.db"), ro: true, says: []string{"nothing.db does not exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), c.path, Options{ReadOnly: c.ro})
			if err == nil {
				_ = s.Close()
				t.Fatal("opened")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %q is not %q", err, c.is)
			}
			for _, want := range c.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.HasPrefix(name, "newer") {
				if e, is := errors.AsType[*NewerError](err); !is || e.Has != 99 || e.Known != len(migrations) {
					t.Errorf("error is %#v", err)
				}
			}
		})
	}
}

func TestOpenCreatesPrivateFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "we ird ?#%41&é")
	ok(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "out box.db")
	if runtime.GOOS == "windows" {
		t.Skip("Windows forbids the name, and has ACLs in place of modes")
	}
	s := open(t, path, Options{})
	put(t, s, flowAlert("x"), "ops@hook")
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		fi, err := os.Stat(path + suffix)
		ok(t, err)
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", fi.Name(), fi.Mode())
		}
	}
	for pragma, want := range map[string]int{"synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000} {
		var got int
		err := s.do(t.Context(), "test", 1, func(x *tx) error {
			return x.conn.QueryRowContext(context.Background(), "PRAGMA "+pragma).Scan(&got)
		})
		if err != nil || got != want {
			t.Errorf("%s is %d (%v), want %d", pragma, got, err, want)
		}
	}
}

func TestOpenWarnsOfOpenMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no modes")
	}
	path := filepath.Join(t.TempDir(), "o.db")
	ok(t, os.WriteFile(path, nil, 0o600))
	ok(t, os.Chmod(path, 0o644))
	var log bytes.Buffer
	open(t, path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if !strings.Contains(log.String(), "chmod 600") {
		t.Errorf("log: %s", &log)
	}
}

func TestOneOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	s := open(t, path, Options{})
	put(t, s, flowAlert("x"), "ops@hook")
	_, err := Open(t.Context(), path, Options{})
	le, is := errors.AsType[*LockedError](err)
	if !is || le.PID != os.Getpid() || le.Path != path {
		t.Fatalf("the second owner got %v", err)
	}
	r := open(t, path, Options{ReadOnly: true})
	if rows, err := r.List(t.Context(), Filter{}); err != nil || len(rows) != 1 {
		t.Errorf("a reader beside the owner got %d rows, %v", len(rows), err)
	}
	put(t, s, flowAlert("y"), "ops@hook")
	if rows, err := r.List(t.Context(), Filter{}); err != nil || len(rows) != 2 {
		t.Errorf("a reader beside the owner got %d rows, %v", len(rows), err)
	}
	for name, err := range map[string]error{
		"Store":   r.Store(t.Context(), []Entry{{Alert: flowAlert("z")}}),
		"Retry":   r.Retry(t.Context(), alert.NewID()),
		"SetHold": r.SetHold(t.Context(), alert.Hold{Endpoint: "hook"}),
		"Clear":   r.ClearHold(t.Context(), "hook"),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s of a reader: %v", name, err)
		}
	}
	ok(t, s.Close())
	ok(t, s.Close())
	if err := s.Store(t.Context(), []Entry{{Alert: flowAlert("z")}}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	open(t, path, Options{})
}

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	s, err := Open(t.Context(), path, Options{})
	ok(t, err)
	put(t, s, flowAlert("kept"), "ops@hook")
	ok(t, s.Close())

	defer func(m []string) { migrations = m }(migrations)
	v := len(migrations)
	migrations = append(slices.Clip(migrations), `ALTER TABLE alert ADD COLUMN note TEXT NOT NULL DEFAULT 'old'; CREATE TABLE half (x); syntax error`)
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("version %d", v+1)) {
		t.Fatalf("a broken migration gave %v", err)
	}
	migrations[v] = `ALTER TABLE alert ADD COLUMN note TEXT NOT NULL DEFAULT 'old'`
	if _, err := Open(t.Context(), path, Options{ReadOnly: true}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("older than %d", v+1)) {
		t.Fatalf("a reader of an old file got %v", err)
	}
	s, err = Open(t.Context(), path, Options{})
	ok(t, err)
	if n := count(t, s, "SELECT count(*) FROM alert WHERE note = 'old'"); n != 1 {
		t.Errorf("%d alerts after the migration", n)
	}
	if n := count(t, s, "PRAGMA user_version"); n != v+1 {
		t.Errorf("version %d", n)
	}
	lease1(t, s, "hook")
	ok(t, s.Close())

	migrations = migrations[:v]
	_, err = Open(t.Context(), path, Options{})
	if e, is := errors.AsType[*NewerError](err); !is || e.Has != v+1 {
		t.Errorf("an older program got %v", err)
	}
}

// What waited in a file of the first version is ranked by its severity.
func TestMigrateRanks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	db, err := sql.Open("sqlite", path)
	ok(t, err)
	db.SetMaxOpenConns(1)
	c, err := db.Conn(t.Context())
	ok(t, err)
	ok(t, migrate(t.Context(), c, path, migrations[:1]))
	text, err := flowAlert("old").MarshalJSON()
	ok(t, err)
	for _, q := range []string{
		`INSERT INTO endpoint VALUES (1, 'hook', 'webhook', x'6e756c6c', 0)`, `INSERT INTO recipient VALUES (1, 'ops', 1, x'6e756c6c', 0)`,
		`INSERT INTO delivery VALUES (zeroblob(16), 1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, '', '')`, `INSERT INTO tally VALUES (1, 0, 1)`,
	} {
		_, err := c.ExecContext(t.Context(), q)
		ok(t, err)
	}
	_, err = c.ExecContext(t.Context(), `INSERT INTO alert VALUES (1, zeroblob(16), 1, 0, '', ?)`, text)
	ok(t, errors.Join(err, c.Close(), db.Close()))
	s := open(t, path, Options{})
	if n := count(t, s, "SELECT severity FROM delivery"); n != int(alert.Error) {
		t.Errorf("severity %d", n)
	}
	lease1(t, s, "hook")
	consistent(t, s)
}

// Attempts recorded by an earlier version stay what they were, beside those that the delivery's own row records.
func TestMigrateTried(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	old := func(queries ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		ok(t, err)
		db.SetMaxOpenConns(1)
		c, err := db.Conn(t.Context())
		ok(t, err)
		ok(t, migrate(t.Context(), c, path, migrations[:3]))
		for _, q := range queries {
			_, err := c.ExecContext(t.Context(), q)
			ok(t, err)
		}
		ok(t, errors.Join(c.Close(), db.Close()))
	}
	sent, failed := alert.NewID(), alert.NewID()
	row := func(id alert.ID, seq, state, attempts int) string {
		return fmt.Sprintf(`INSERT INTO alert VALUES (%[2]d, x'%[1]x', 1, 0, '', x'7b7d');
			INSERT INTO delivery (id, alert, recipient, state, not_before, created, since, changed, attempts, base, plain, ambiguous, reason, provider_id)
			VALUES (x'%[1]x', %[2]d, 1, %[3]d, 0, 1, 1, 1, %[4]d, 0, 0, 0, '', ''); INSERT INTO tally VALUES (1, %[3]d, 1)`, id[:], seq, state, attempts)
	}
	old(`INSERT INTO endpoint VALUES (1, 'hook', 'webhook', x'6e756c6c', 0)`, `INSERT INTO recipient VALUES (1, 'ops', 1, x'6e756c6c', 0, 0)`,
		row(sent, 1, int(alert.Delivered), 2), row(failed, 2, int(alert.Queued), 1),
		fmt.Sprintf(`INSERT INTO attempt VALUES (x'%x', 1, 1000, 20, 0, 503, 1, 'HTTP 503'), (x'%[1]x', 2, 2000, 30, 2, 200, 0, '')`, sent[:]),
		fmt.Sprintf(`INSERT INTO attempt VALUES (x'%x', 1, 3000, 40, 0, 500, 0, 'HTTP 500')`, failed[:]))
	s := open(t, path, Options{})
	d := lease1(t, s, "hook")
	settle(t, s, alert.Settlement{Delivery: d.ID, State: alert.Accepted, Status: 202, Took: 1500 * time.Microsecond, ProviderID: "m"})
	again := Attempt{N: 2, Took: 1500 * time.Microsecond, State: "accepted", Status: 202}
	for id, want := range map[alert.ID][]Attempt{
		sent: {
			{N: 1, At: fromMS(1000), Took: 20 * time.Microsecond, State: "queued", Status: 503, Ambiguous: true, Reason: "HTTP 503"},
			{N: 2, At: fromMS(2000), Took: 30 * time.Microsecond, State: "delivered", Status: 200},
		},
		failed: {{N: 1, At: fromMS(3000), Took: 40 * time.Microsecond, State: "queued", Status: 500, Reason: "HTTP 500"}, again},
	} {
		got, err := s.Show(t.Context(), id)
		ok(t, err)
		for i := range got.History {
			if h := &got.History[i]; h.State == again.State && time.Since(h.At).Abs() < time.Minute {
				h.At = time.Time{}
			}
		}
		if !slices.Equal(got.History, want) {
			t.Errorf("%s: %+v, want %+v", id, got.History, want)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM attempt"); n != 3 {
		t.Errorf("%d rows of attempts: a success has one of its own", n)
	}
	consistent(t, s)
}

func TestStoreRefuses(t *testing.T) {
	s, _ := fresh(t)
	nan := hostAlert("k", alert.Engage)
	nan.Host.Value = nanValue()
	for name, e := range map[string]Entry{
		"no alert":     {},
		"no id":        {Alert: &alert.Alert{}},
		"no recipient": {flowAlert("x"), to("@hook")},
		"no endpoint":  {flowAlert("x"), to("ops@")},
		"no JSON":      {Alert: nan},
	} {
		err := s.Store(t.Context(), []Entry{{flowAlert("good"), to("ops@hook")}, e})
		if err == nil || !strings.Contains(err.Error(), "entry 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM alert"); n != 0 {
		t.Errorf("%d alerts stored by calls that failed", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Store(ctx, []Entry{{Alert: flowAlert("x")}}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context gave %v", err)
	}
	ok(t, s.Store(t.Context(), nil))
}

func nanValue() float64 { var z float64; return z / z }

func TestStoreTwiceAndWithoutTargets(t *testing.T) {
	s, _ := fresh(t)
	a, b := flowAlert("a"), flowAlert("b")
	put(t, s, a, "ops@hook", "net@chat")
	ok(t, s.Store(t.Context(), []Entry{{a, to("ops@hook")}, {b, to("ops@hook")}, {b, to("ops@hook")}}))
	put(t, s, flowAlert("nobody wants it"))
	if n := count(t, s, "SELECT count(*) FROM alert"); n != 3 {
		t.Errorf("%d alerts, want 3", n)
	}
	if n := count(t, s, "SELECT count(*) FROM delivery"); n != 3 {
		t.Errorf("%d deliveries, want 3", n)
	}
	consistent(t, s)
}

// A part of a group commit that fails does not harm the others in it.
func TestGroupOutlivesOneFailure(t *testing.T) {
	s, _ := fresh(t)
	boom := errors.New("boom")
	e := Entry{flowAlert("x"), to("ops@hook")}
	text, err := encode(e)
	ok(t, err)
	insert := func(x *tx) error { return s.insert(x, e, text, 1) }
	parts := []*op{{run: insert}, {run: func(*tx) error { return boom }}, {run: insert}}
	// The first call keeps the writer busy until the parts stand in line behind each other.
	hold, held := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.do(t.Context(), "test", maxGroup, func(*tx) error { close(held); <-hold; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-held
	var group sync.WaitGroup
	for _, p := range parts {
		group.Go(func() { p.err = s.do(t.Context(), "test", 1, p.run) })
	}
	close(hold)
	wg.Wait()
	group.Wait()
	for i, want := range []error{nil, boom, nil} {
		if !errors.Is(parts[i].err, want) {
			t.Errorf("part %d: %v, want %v", i, parts[i].err, want)
		}
	}
	if n := count(t, s, "SELECT count(*) FROM delivery"); n != 1 {
		t.Errorf("%d deliveries, want 1", n)
	}
	consistent(t, s)
}
