package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/pdk"
)

// memory is an outbox without a disk, with the promises of the real one.
type memory struct {
	t     testing.TB
	mu    sync.Mutex // mu guards what follows
	rows  []*row
	open  map[string][]*row // not final, by endpoint, oldest first
	byID  map[alert.ID]*row
	holds map[string]alert.Hold
	wakes map[string]chan struct{}
	// settleErr fails so many calls of Settle.
	settleErr int
	trouble   error // with this, if it is set
	starts    map[string][]time.Time
	digests   int
}

type row struct {
	alert.Delivery
	state     alert.State
	notBefore time.Time
	ambiguous bool
	history   []alert.Settlement // of counted attempts
}

func newMemory(t testing.TB) *memory {
	return &memory{t: t, open: map[string][]*row{}, byID: map[alert.ID]*row{}, holds: map[string]alert.Hold{}, starts: map[string][]time.Time{}, wakes: map[string]chan struct{}{}}
}

// add queues an alert with a message for endpoint/recipient, and returns its delivery.
func (m *memory) add(target, message string) *row {
	endpoint, recipient, _ := strings.Cut(target, "/")
	a, err := json.Marshal(map[string]any{"id": "a", "title": "Title", "message": message})
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.put(endpoint, recipient, a)
	m.signal(endpoint)
	return r
}

// addMany adds n deliveries at once: whoever takes work sees none of them or all.
func (m *memory) addMany(n int, target, message string) {
	endpoint, recipient, _ := strings.Cut(target, "/")
	a, err := json.Marshal(map[string]any{"id": "a", "title": "Title", "message": message})
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		m.put(endpoint, recipient, a)
	}
	m.signal(endpoint)
}

// put adds a delivery; mu is held.
func (m *memory) put(endpoint, recipient string, a json.RawMessage) *row {
	r := &row{Delivery: alert.Delivery{ID: alert.NewID(), Target: alert.Target{Endpoint: endpoint, Recipient: recipient}, Alert: a, Created: time.Now()}}
	r.notBefore = r.Created
	m.rows = append(m.rows, r)
	m.open[endpoint] = append(m.open[endpoint], r)
	m.byID[r.ID] = r
	return r
}

func (m *memory) signal(endpoint string) {
	if m.wakes[endpoint] == nil {
		m.wakes[endpoint] = make(chan struct{}, 1)
	}
	select {
	case m.wakes[endpoint] <- struct{}{}:
	default:
	}
}

func (m *memory) Lease(_ context.Context, endpoint string, limit int) ([]alert.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if m.holds[endpoint].Until.After(now) {
		return nil, nil
	}
	rows := m.open[endpoint]
	var out []alert.Delivery
	for _, r := range rows {
		if len(out) == limit {
			break
		}
		if r.state != alert.Queued || r.notBefore.After(now) || len(out) > 0 && r.Recipient != out[0].Recipient {
			continue
		}
		r.state = alert.Leased
		r.Attempt++
		out = append(out, r.Delivery)
	}
	return out, nil
}

func (m *memory) Ahead(context.Context, string, int) error { return nil }

func (m *memory) Settle(_ context.Context, ss []alert.Settlement) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settleErr > 0 {
		m.settleErr--
		if m.trouble != nil {
			return m.trouble
		}
		return errors.New("disk full")
	}
	for _, s := range ss {
		r := m.byID[s.Delivery]
		if r == nil || r.state != alert.Leased || s.State == alert.Leased {
			m.t.Errorf("settled wrongly: %+v", s)
			continue
		}
		r.state = s.State
		r.ambiguous = r.ambiguous || s.Ambiguous
		if s.Uncounted {
			r.Attempt--
			if s.State != alert.Queued {
				m.t.Errorf("uncounted, but not queued: %+v", s)
			}
		} else {
			r.notBefore, r.Plain = s.NotBefore, s.Plain
			r.history = append(r.history, s)
		}
		if r.state == alert.Queued {
			m.signal(r.Endpoint)
			continue
		}
		open := m.open[r.Endpoint]
		i := slices.Index(open, r)
		m.open[r.Endpoint] = slices.Delete(open, i, i+1)
	}
	return nil
}

func (m *memory) SetHold(_ context.Context, h alert.Hold) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.holds[h.Endpoint] = h
	return nil
}

func (m *memory) ClearHold(_ context.Context, endpoint string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.holds, endpoint)
	m.signal(endpoint)
	return nil
}

func (m *memory) Holds(context.Context) ([]alert.Hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []alert.Hold
	for _, h := range m.holds {
		out = append(out, h)
	}
	return out, nil
}

func (m *memory) Digest(context.Context, string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.digests++
	return 0, nil
}

func (m *memory) Started(_ context.Context, endpoint string, at, old time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts[endpoint] = slices.DeleteFunc(append(m.starts[endpoint], at.Round(0)), old.After)
	return nil
}

func (m *memory) Starts(_ context.Context, endpoint string) ([]time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.starts[endpoint]), nil
}

func (m *memory) Wake(endpoint string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wakes[endpoint] == nil {
		m.wakes[endpoint] = make(chan struct{}, 1)
	}
	return m.wakes[endpoint]
}

func (m *memory) Next(_ context.Context, endpoint string) (time.Time, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due time.Time
	for _, r := range m.open[endpoint] {
		if r.state == alert.Queued && (due.IsZero() || r.notBefore.Before(due)) {
			due = r.notBefore
		}
	}
	if due.IsZero() {
		return due, false, nil
	}
	if h := m.holds[endpoint]; h.Until.After(due) {
		due = h.Until
	}
	return due, true, nil
}

// get copies a row, so that a test may look at it while the pipeline runs.
func (m *memory) get(r *row) row {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *r
}

// native is a plug-in in Go: by default one POST of the message for each delivery, judged by its status.
type native struct {
	render   func(*pdk.RenderInput) (*pdk.RenderOutput, error)
	classify func(*pdk.ClassifyInput) (*pdk.ClassifyOutput, error)
}

func (n native) Render(_ context.Context, in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	if n.render != nil {
		return n.render(in)
	}
	out := &pdk.RenderOutput{}
	for _, d := range in.Deliveries {
		out.Requests = append(out.Requests, one(in, d))
	}
	return out, nil
}

func one(in *pdk.RenderInput, ds ...pdk.Delivery) pdk.Request {
	r := pdk.Request{HTTP: &pdk.HTTPRequest{Method: "POST", URL: in.Endpoint.String("url", "")}}
	for _, d := range ds {
		r.Deliveries = append(r.Deliveries, d.ID)
		if d.Plain {
			r.HTTP.Body += "plain:"
		}
		r.HTTP.Body += d.Text + ";"
	}
	return r
}

// whole renders a batch as one request.
func whole(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	return &pdk.RenderOutput{Requests: []pdk.Request{one(in, in.Deliveries...)}}, nil
}

func (n native) Classify(_ context.Context, in *pdk.ClassifyInput) (*pdk.ClassifyOutput, error) {
	if n.classify != nil {
		return n.classify(in)
	}
	v := pdk.Verdict{Outcome: pdk.Retry}
	switch {
	case in.Error != nil:
		v.Reason = in.Error.Message
	case in.Response.Status < 300:
		v.Outcome, v.ProviderID = pdk.Delivered, in.Response.Body
	case in.Response.Status == 401:
		v.Outcome, v.Reason = pdk.EndpointBroken, "wrong token: "+in.Response.Body
	case in.Response.Status == 400:
		v.Outcome, v.Reason = pdk.BadPayload, in.Response.Body
	case in.Response.Status == 422:
		v.Outcome, v.Reason = pdk.Rejected, in.Response.Body
	default:
		v.Reason = fmt.Sprintf("status %d: %s", in.Response.Status, in.Response.Body)
		v.RetryAfterMS = pdk.RetryAfter(in.Response.Headers, in.Now)
	}
	return &pdk.ClassifyOutput{Verdicts: []pdk.Verdict{v}}, nil
}

// executor answers requests by a function, for tests in which time is simulated; sent notes their bodies and times.
type executor struct {
	do func(ctx context.Context, r *pdk.Request) (*pdk.Response, *pdk.TransportError)

	mu       sync.Mutex // mu guards what follows
	sent     []string
	at       []time.Time
	policies []egress.Policy
}

func (x *executor) Do(ctx context.Context, r *pdk.Request, p egress.Policy) (*pdk.Response, *pdk.TransportError) {
	x.mu.Lock()
	x.sent, x.at, x.policies = append(x.sent, r.HTTP.Body), append(x.at, time.Now()), append(x.policies, p)
	x.mu.Unlock()
	if x.do == nil {
		return &pdk.Response{Status: 200}, nil
	}
	return x.do(ctx, r)
}

func (x *executor) bodies() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.sent)
}

func ok() (*pdk.Response, *pdk.TransportError) { return &pdk.Response{Status: 200}, nil }

func status(code int, body string) (*pdk.Response, *pdk.TransportError) {
	return &pdk.Response{Status: code, Body: body}, nil
}

// endpointNamed is an endpoint with the recipients ops and dev.
func endpointNamed(name string, g Guest, m plugin.Manifest) Endpoint {
	m.Name = "testing"
	return Endpoint{
		Name: name, TypeName: "testing", Manifest: &m, Guest: g, Params: pdk.Params{"url": "http://127.0.0.1/"},
		Recipients: map[string]Recipient{"ops": {Name: "ops"}, "dev": {Name: "dev", Locale: "it"}},
	}
}

// bench is a pipeline under test.
type bench struct {
	*Pipeline
	out  *memory
	x    *executor
	stop context.CancelFunc
	end  chan error

	mu      sync.Mutex // mu guards what follows
	results []Result
}

// start runs a pipeline over what is in the outbox. The test has to call finish.
func start(t testing.TB, out *memory, x *executor, es ...Endpoint) *bench {
	t.Helper()
	b := &bench{out: out, x: x, end: make(chan error, 1)}
	p, err := New(Deps{Outbox: out, Executor: x, Endpoints: es, Log: slog.New(slog.DiscardHandler), OnResult: func(r Result) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.results = append(b.results, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.Pipeline = p
	ctx, cancel := context.WithCancel(t.Context())
	b.stop = cancel
	go func() { b.end <- p.Run(ctx) }()
	return b
}

// finish stops the pipeline and waits for its end.
func (b *bench) finish(t testing.TB) {
	t.Helper()
	b.stop()
	if err := <-b.end; err != nil {
		t.Error(err)
	}
}

// idle waits until nothing is due.
func (b *bench) idle(t testing.TB) (left int, next time.Time) {
	t.Helper()
	left, next, err := b.WaitIdle(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return left, next
}

// until lets simulated time pass until nothing waits any more, and returns how long that took.
func (b *bench) untilEmpty(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	for range 1000 {
		left, next := b.idle(t)
		if left == 0 {
			return time.Since(begin)
		}
		<-time.After(time.Until(next) + time.Millisecond)
	}
	t.Fatal("deliveries are still waiting")
	return 0
}

func (b *bench) holdsSeen() (out []alert.Hold) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.results {
		if r.Hold != nil {
			out = append(out, *r.Hold)
		}
	}
	return out
}
