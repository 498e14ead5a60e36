package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/pdk"
)

// TestOptions are the flags of `tocsin endpoint test` and `tocsin recipient test`.
type TestOptions struct {
	Listing
	Timeout  time.Duration // for all steps after config; must be positive
	Send     bool          // also sends a real message
	Sample   string        // a part of the name of the sample alert that is sent
	Code     string        // what the last test message shows; then nothing is sent
	LogLevel string
}

// The steps of a test that judge an answer; those on the way to it are named by package egress.
const (
	stepConfig     = "config"     // the configuration, and the plug-in with it
	stepProbe      = "probe"      // tells that the plug-in has none
	stepAuth       = "auth"       // does the service know us?
	stepPermission = "permission" // may we do there what is wanted?
	stepPayload    = "payload"    // can the alert be put into a request that the service takes?
	stepPost       = "post"       // was it taken?
	stepStart      = "start"      // can the script be started?
	stepConfirm    = "confirm"    // did it arrive, where the service does not tell?
)

var testColumns = []report.Column{
	{Name: "step", Width: 10}, {Name: "result", Width: 7}, {Name: "took", Width: 9, Right: true}, {Name: "detail", Width: 600},
}

// testRow is a step of a test as it is printed.
type testRow struct {
	Step   string  `json:"step"`
	Result string  `json:"result"`       // ok, failed or skipped
	Took   float64 `json:"took_ms"`      // milliseconds
	Of     string  `json:"of,omitempty"` // what the step is a part of: the title of a probe, or "a test message"
	Detail string  `json:"detail,omitempty"`
	Hint   string  `json:"hint,omitempty"` // of a failure: what to do
}

const (
	resultSkipped = "skipped"
	testMessage   = "a test message"
)

// tester runs the steps of one test and prints each as it ends.
type tester struct {
	*target
	x      *egress.Executor
	w      *report.Writer
	of     string // for the error: `endpoint "hook"`
	limit  time.Duration
	code   string     // what a test message shows for its reader to give back; empty: nothing
	posted bool       // a test message was taken
	failed *TestError // the first failure
}

// TestEndpoint tries a configured endpoint without a recipient: what its plug-in can ask without posting and, if wanted, a
// message to the first of its recipients.
func TestEndpoint(ctx context.Context, o TestOptions, name string) error {
	cfg, err := config.Load(o.Config)
	if err != nil {
		return &UsageError{err}
	}
	ep, err := findEndpoint(cfg, name)
	if err != nil {
		return err
	}
	rc := -1
	o.Send = o.Send || o.Code != ""
	for k := range cfg.Recipients {
		if o.Send && cfg.Recipients[k].Endpoint == name {
			rc = k
			break
		}
	}
	if o.Send && rc < 0 {
		return usage("endpoint %q has no recipient to send a message to: add a [[recipient]], or leave out --send", name)
	}
	return o.run(ctx, cfg, fmt.Sprintf("endpoint %q", name), ep, rc)
}

// TestRecipient tries a configured recipient with its endpoint and sends it a message.
func TestRecipient(ctx context.Context, o TestOptions, name string) error {
	cfg, err := config.Load(o.Config)
	if err != nil {
		return &UsageError{err}
	}
	rc, ep, err := findRecipient(cfg, name)
	if err != nil {
		return err
	}
	o.Send = true
	return o.run(ctx, cfg, fmt.Sprintf("recipient %q", name), ep, rc)
}

func (o *TestOptions) run(ctx context.Context, cfg *config.Config, of string, ep, rc int) (err error) {
	if o.Timeout <= 0 {
		return usage("--timeout is %s: it is a time such as 30s", o.Timeout)
	}
	if o.Code != "" {
		return o.giveBack(cfg, of, rc)
	}
	log, err := newLog(o.Err, o.LogLevel, "text", true)
	if err != nil {
		return &UsageError{err}
	}
	sample, err := findSample(o.Sample)
	if err != nil {
		return err
	}
	sample.Alert.Link = sampleLink(cfg, &sample.Alert)
	w, err := o.writer(testColumns, paintTest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	start := time.Now()
	t, err := openTarget(ctx, cfg, log, ep, rc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	x, err := newExecutor(cfg, log)
	if err != nil {
		return &UsageError{err}
	}
	defer x.Close()
	// A plug-in that was never compiled before takes seconds of its own, which say nothing about the endpoint.
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	s := &tester{target: t, x: x, w: w, of: of, limit: o.Timeout}
	s.row(testRow{Step: stepConfig, Detail: fmt.Sprintf("%s %s", t.endpoint.TypeName, t.typ.Manifest().Version)}, time.Since(start))
	s.probe(limited)
	var known *confirmation // nil: no confirmation is wanted
	if o.Send && s.failed == nil && limited.Err() == nil {
		if t.typ.Manifest().Features.Confirm {
			if known, err = readConfirmation(cfg, rc); err == nil {
				err = known.ready() // a message whose code is recorded nowhere can never be confirmed
			}
			if err != nil {
				return fmt.Errorf("nothing was sent, as its code cannot be recorded: %w", err)
			}
			if s.code, err = newCode(); err != nil {
				return err
			}
		}
		s.send(limited, sample.Alert)
	}
	if known != nil && s.posted {
		if err := s.confirm(ctx, known, o.asker()); err != nil && ctx.Err() == nil { // a person may take more time than a service
			return err
		}
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the test of %s was stopped", of)
	case s.failed != nil:
		return s.failed
	case limited.Err() != nil && !s.posted:
		return &TestError{Of: of, Step: stepPost, Reason: fmt.Sprintf("there was no time left for it; --timeout gives the whole test more than %s", o.Timeout)}
	}
	return nil
}

func paintTest(on bool) func(int, string) string {
	return func(col int, cell string) string {
		switch {
		case col != 1 || cell == resultSkipped:
			return cell
		case cell == resultOK:
			return report.Good(on, cell)
		}
		return report.Bad(on, cell)
	}
}

// row prints a step. What it quotes may come from a plug-in or a service: it is redacted, and the writer makes it harmless.
func (s *tester) row(r testRow, took time.Duration) {
	r.Result = cmp.Or(r.Result, resultOK)
	r.Took = float64(took.Microseconds()) / 1000
	r.Of, r.Detail, r.Hint = visible(s.redact(r.Of)), visible(s.redact(r.Detail)), visible(s.redact(r.Hint))
	writeRow(s.w, r, took)
}

func writeRow(w *report.Writer, r testRow, took time.Duration) {
	_ = w.Row(func(b []byte) []byte { return appendJSON(b, r) }, func() []string { // Close tells the error
		detail := r.Detail
		if r.Of != "" && detail != "" {
			detail = r.Of + ": " + detail
		}
		if r.Hint != "" {
			detail += "; " + r.Hint
		}
		return []string{r.Step, r.Result, took.Round(10 * time.Microsecond).String(), cmp.Or(detail, r.Of)}
	})
	_ = w.Flush()
}

// fail prints a step that failed and remembers the first of them.
func (s *tester) fail(step, of, detail string, took time.Duration) {
	hint := stepHint[step]
	if strings.Contains(detail, "; ") {
		hint = "" // plug-ins and egress say what to do behind a semicolon
	}
	if s.failed == nil {
		reason := visible(s.redact(detail))
		if hint != "" {
			reason += "; " + hint
		}
		s.failed = &TestError{Of: s.of, Step: step, Reason: reason}
	}
	s.row(testRow{Step: step, Result: resultFailed, Of: of, Detail: detail, Hint: hint}, took)
}

// stepHint says what to do about a failure that does not say so itself.
var stepHint = map[string]string{
	stepAuth:       "check the token, the user name and the password: tocsin secret set replaces one that is stored",
	stepPermission: "give the account the right to write there, or correct where it writes to",
	stepPayload:    "tocsin recipient preview shows what is sent",
	stepPost:       "look at the service's own log",
	stepConfirm:    "the service's own log, or the run history of what it runs, tells why",
}

// probe runs the requests that the plug-in offers to test a configuration with.
func (s *tester) probe(ctx context.Context) {
	in := &pdk.ProbeInput{Now: time.Now().UnixMilli(), Locale: s.locale()}
	var rc pdk.Params
	if s.recipient != nil {
		rc = s.recipient.Params
	}
	in.Endpoint, in.Recipient = s.typ.Package().Lint.Fill(s.endpoint.Params, rc)
	if s.recipient == nil {
		in.Recipient = nil
	}
	start := time.Now()
	steps, err := s.typ.Probe(ctx, in)
	if err != nil {
		s.fail(stepProbe, "", "the plug-in failed: "+err.Error(), time.Since(start))
		return
	}
	if len(steps) == 0 {
		s.row(testRow{Step: stepProbe, Result: resultSkipped, Detail: s.endpoint.TypeName + " can test nothing without posting: a message shows whether it works"}, 0)
	}
	for i := range steps {
		r := &steps[i].Request
		r.Deliveries = []string{alert.NewID().String()}
		a := s.do(ctx, r, steps[i].Title)
		if s.failed != nil {
			return
		}
		v := s.classify(ctx, r, a, false)
		good, bad := probeStep(r.Kind(), i, v.Outcome, a.resp.Status)
		if bad == "" {
			s.row(testRow{Step: good, Of: steps[i].Title, Detail: answered(r.Kind(), a.resp)}, a.took)
			continue
		}
		s.fail(bad, steps[i].Title, cmp.Or(v.Reason, "the service refused it"), a.took)
		return
	}
}

// send posts a sample alert that says of itself that it is a test.
func (s *tester) send(ctx context.Context, sample pdk.Alert) {
	m := testAlert(sample, s.code)
	for _, plain := range []bool{false, true} {
		start := time.Now()
		out, err := s.render(ctx, m, s.locale(), plain)
		switch {
		case err != nil:
			s.fail(stepPayload, testMessage, err.Error(), time.Since(start))
			return
		case len(out.Requests) == 0 && len(out.Rejected) > 0 && out.Rejected[0].Outcome == pdk.Skipped:
			s.row(testRow{
				Step: stepPost, Result: resultSkipped, Of: testMessage,
				Detail: "the recipient does not want this alert: " + out.Rejected[0].Reason + "; nothing was sent: --sample chooses another",
			}, time.Since(start))
			return
		case len(out.Requests) == 0:
			reason := "the plug-in made no request"
			if len(out.Rejected) > 0 {
				reason = cmp.Or(out.Rejected[0].Reason, reason)
			}
			s.fail(stepPayload, testMessage, reason, time.Since(start))
			return
		}
		r := &out.Requests[0] // of one delivery there is one
		s.row(testRow{Step: stepPayload, Of: testMessage, Detail: "rendered for " + r.Kind()}, time.Since(start))
		a := s.do(ctx, r, testMessage)
		if s.failed != nil {
			return
		}
		v := s.classify(ctx, r, a, plain)
		step := messageStep(r.Kind(), v.Outcome, a.resp.Status)
		switch {
		case step == "":
			detail := string(v.Outcome) + ", " + answered(r.Kind(), a.resp)
			if plain {
				detail += ", as plain text only"
			}
			s.row(testRow{Step: stepPost, Of: testMessage, Detail: detail}, a.took)
			s.posted = v.Outcome != pdk.Skipped
			return
		case v.Outcome == pdk.BadPayload && step == stepPayload && !plain && ctx.Err() == nil:
			s.row(testRow{Step: step, Result: resultFailed, Of: testMessage, Detail: v.Reason, Hint: "once more as plain text"}, a.took)
		default:
			reason := cmp.Or(v.Reason, "the service refused it")
			if step == stepPost && wrongAddress(a.resp.Status) {
				reason += "; check the address"
			}
			s.fail(step, testMessage, reason, a.took)
			return
		}
	}
}

// wrongAddress tells of a status that a server gives for a path that takes no messages.
func wrongAddress(status int) bool { return status == 404 || status == 405 }

// testAlert marks a sample for people and, with the key "test", for programs that act on alerts. A code stands where it is seen first.
func testAlert(sample pdk.Alert, code string) *message {
	now := time.Now().UTC()
	sample.ID, sample.Tstamp, sample.Time = alert.NewID().String(), now.Unix(), now.Format("2006-01-02T15:04:05.000000Z07:00")
	test, about := "Test", "This is a test by tocsin, nothing happened. "
	if code != "" {
		test, about = "Test "+code, about+"Its code is "+code+". "
	}
	sample.Title, sample.Message = test+": "+sample.Title, about+sample.Message
	m := newMessage(sample)
	m.alert.Raw = append(m.alert.Raw[:len(m.alert.Raw)-1], `,"test":true}`...)
	return m
}

// outcome is what came of a request that was answered.
type outcome struct {
	resp *pdk.Response
	took time.Duration
}

// do executes a request and prints its steps as they end. One that got no answer is a failure.
func (s *tester) do(ctx context.Context, r *pdk.Request, of string) outcome {
	p := *s.live.policy.Load()
	p.Trace = &egress.Trace{}
	if until, ok := ctx.Deadline(); ok && (p.Timeout <= 0 || time.Until(until) < p.Timeout) {
		p.Timeout = max(time.Millisecond, time.Until(until).Round(time.Millisecond))
	}
	type answer struct {
		resp *pdk.Response
		err  *pdk.TransportError
	}
	done := make(chan answer, 1)
	start := time.Now()
	go func() {
		resp, terr := s.x.Do(ctx, r, p)
		done <- answer{resp, terr}
	}()
	shown := 0
	// show prints the steps that ended since the last time. A step that failed waits until it is known whether the request
	// did: of several addresses one is enough.
	show := func(final bool) {
		for _, step := range p.Trace.Steps()[shown:] {
			if step.Err != "" && !final {
				return
			}
			shown++
			row := testRow{Step: step.Name, Of: of, Detail: step.Detail}
			if step.Err != "" {
				row.Result, row.Detail = resultSkipped, strings.TrimPrefix(step.Detail+": "+step.Err, ": ")
			}
			s.row(row, step.Took)
		}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			show(false)
			continue
		case a := <-done:
			took := time.Since(start)
			if a.err == nil {
				show(true)
				return outcome{resp: a.resp, took: took}
			}
			show(false)
			s.lost(ctx, a.err, p.Trace.Steps(), of, took)
			return outcome{took: took}
		}
	}
}

// lost tells of a request without an answer.
func (s *tester) lost(ctx context.Context, terr *pdk.TransportError, steps []egress.Step, of string, took time.Duration) {
	reached := ""
	if n := len(steps); n > 0 && steps[n-1].Err != "" {
		reached, took = steps[n-1].Name, steps[n-1].Took
	}
	detail := terr.Message
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		detail += fmt.Sprintf(" (the whole test may take %s; --timeout changes it)", s.limit)
	}
	s.fail(lostStep(terr.Stage, reached), of, detail, took)
}

// lostStep names the step at which a request got no answer: where it is on the way to the service, that step itself.
// reached is the step that the trace saw fail, for errors that only say that time was up.
func lostStep(stage, reached string) string {
	switch stage {
	case egress.StageDNS, egress.StageConnect, egress.StageTLS, stepAuth, stepStart:
		return stage
	case egress.StageDenied: // by a grant or a rule of this host's
		return stepPermission
	case egress.StageInvalid:
		return stepPayload
	}
	switch reached {
	case egress.StepDNS, egress.StepConnect, egress.StepTLS, egress.StepAuth:
		return reached
	}
	return stepPost
}

// probeStep names the step that a probe's request stands for: if it went well, and otherwise what failed, or "". The first
// request of a probe asks who we are, those after it what we may do. A status that says so itself goes before that.
func probeStep(kind string, i int, o pdk.Outcome, status int) (good, bad string) {
	good = stepAuth
	switch {
	case kind == "exec":
		good = stepStart
	case i > 0:
		good = stepPermission
	}
	switch o {
	case pdk.Delivered, pdk.Accepted, pdk.Duplicate, pdk.Skipped:
		return good, ""
	default:
	}
	if step := statusStep(status); step != "" && kind != "exec" {
		return good, step
	}
	return good, good
}

// messageStep names the step at which a message failed, or "" if it was taken.
func messageStep(kind string, o pdk.Outcome, status int) string {
	step := ""
	if kind != "exec" && kind != "ban" {
		step = statusStep(status)
	}
	switch o {
	case pdk.Delivered, pdk.Accepted, pdk.Duplicate, pdk.Skipped:
		return ""
	case pdk.BadPayload, pdk.Rejected:
		switch {
		case kind == "exec" || kind == "ban":
			return stepPost // the script got the alert, and failed
		case wrongAddress(status):
			return stepPost
		}
		return cmp.Or(step, stepPayload)
	default: // endpoint_broken, retry
		if step == "" && status >= 400 && status <= 499 && !wrongAddress(status) && status != 410 && kind == "http" {
			step = stepPermission // refused for this recipient: a chat that is gone, a channel without rights
		}
	}
	return cmp.Or(step, stepPost)
}

// statusStep reads what some statuses say whatever the service: of HTTP (RFC 9110) and of SMTP (RFC 4954). Their numbers do
// not overlap. It is "" for those that say nothing of the kind.
func statusStep(status int) string {
	switch status {
	case 401, 407, 530, 534, 535, 538:
		return stepAuth
	case 402, 403, 550, 553:
		return stepPermission
	case 408, 425, 429:
		return stepPost
	}
	if status >= 500 && status <= 529 {
		return stepPost
	}
	return ""
}

// classify asks the plug-in, or whoever judges for it, what an answer means.
func (s *tester) classify(ctx context.Context, r *pdk.Request, a outcome, plain bool) pdk.Verdict {
	out, err := s.endpoint.Guest.Classify(ctx, &pdk.ClassifyInput{
		Now: time.Now().UnixMilli(), Response: a.resp, Plain: plain,
		Request: pdk.RequestInfo{Deliveries: r.Deliveries, Kind: r.Kind(), Note: r.Note},
	})
	switch {
	case err != nil:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the plug-in failed: " + err.Error()}
	case len(out.Verdicts) == 0:
		return pdk.Verdict{Outcome: pdk.Retry, Reason: "the plug-in gave no verdict"}
	}
	return out.Verdicts[0]
}

// answered words an answer that is well.
func answered(kind string, r *pdk.Response) string {
	switch kind {
	case "exec":
		return fmt.Sprintf("exit code %d", r.Status)
	case "syslog":
		return "written"
	case "ban":
		return fmt.Sprintf("exit code %d of fail2ban-client", r.Status)
	}
	return fmt.Sprintf("status %d", r.Status)
}
