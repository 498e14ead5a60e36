package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/pdk"
)

const (
	// guestTries is how often a plug-in may fail on one alert before that is a dead letter.
	guestTries    = 5
	guestBackoff  = 4 * time.Second
	maxReason     = 500
	settleTries   = 8
	settleTimeout = 30 * time.Second
	judgeTimeout  = 10 * time.Second
)

// settled is a settlement with what is told about it.
type settled struct {
	alert.Settlement
	it      *item
	outcome pdk.Outcome
}

// judge turns verdicts into settlements, and into what they mean for the endpoint as a whole.
func (r *runner) judge(ctx context.Context, j job, a answer, verdicts map[string]pdk.Verdict, failed error) []settled {
	if failed != nil {
		out := make([]settled, len(j.items))
		for i, it := range j.items {
			out[i] = r.guestFailed(it, failed.Error(), a)
		}
		return out
	}
	alone := len(j.items) == 1
	// One refusal for everything in a batch says nothing about which alert it is for.
	blame := alone || !refused(j, verdicts)
	var out []settled
	var worst *pdk.Verdict
	var pause int64 // that was asked for beside other outcomes, ms
	worked := a.resp != nil
	for _, it := range j.items {
		v, ok := verdicts[it.in.ID]
		if !ok {
			out = append(out, r.guestFailed(it, "classify left the delivery out", a))
			continue
		}
		v.Reason = r.clean(v.Reason)
		s := r.verdict(it, v, a, blame)
		out = append(out, s)
		if v.Outcome == pdk.Retry || v.Outcome == pdk.EndpointBroken {
			worked = false
			if worst == nil || v.Outcome == pdk.EndpointBroken && worst.Outcome == pdk.Retry || v.RetryAfterMS > worst.RetryAfterMS {
				worst = &v
			}
		} else {
			pause = max(pause, v.RetryAfterMS)
		}
	}
	switch {
	case ctx.Err() != nil: // cut off by the stop: that is not the service's doing
	case worst == nil:
		if worked {
			r.works(ctx)
		}
		if pause > 0 {
			r.pauses(ctx, holdTime(pause))
		}
	default:
		wait := holdTime(max(worst.RetryAfterMS, pause))
		switch {
		case worst.Outcome == pdk.EndpointBroken:
			r.breaks(ctx, wait, orElse(worst.Reason, "the service refuses the endpoint's configuration"))
		case wait > 0:
			r.limits(ctx, wait, orElse(worst.Reason, "rate limit"))
		case len(out) == len(j.items) && allRetry(out):
			r.fails(ctx, j.items[0].ID, worst.Reason)
		}
	}
	return out
}

// holdTime is a wait that a plug-in asks for, in milliseconds, as long as the host waits.
func holdTime(ms int64) time.Duration {
	return time.Duration(min(max(ms, 0), maxHold.Milliseconds())) * time.Millisecond
}

// refused tells whether every delivery of the job was refused for its content.
func refused(j job, verdicts map[string]pdk.Verdict) bool {
	for _, it := range j.items {
		if o := verdicts[it.in.ID].Outcome; o != pdk.BadPayload && o != pdk.Rejected {
			return false
		}
	}
	return true
}

func allRetry(ss []settled) bool {
	for i := range ss {
		if ss[i].outcome != pdk.Retry {
			return false
		}
	}
	return true
}

// verdict settles one delivery. blame says that a refusal is for this delivery.
func (r *runner) verdict(it *item, v pdk.Verdict, a answer, blame bool) settled {
	s := r.start(it, v.Outcome, a)
	s.Reason, s.ProviderID = v.Reason, v.ProviderID
	switch v.Outcome {
	case pdk.Delivered:
		s.State = alert.Delivered
	case pdk.Accepted:
		s.State = alert.Accepted
	case pdk.Duplicate:
		s.State = alert.Duplicate
	case pdk.Skipped:
		s.State = alert.Skipped
	case pdk.BadPayload, pdk.Rejected:
		if !blame {
			r.doubts.add(it.ID, 0)
			return r.again(s, 0)
		}
		bad := r.badPayload(it, orElse(v.Reason, "the service refused the alert"))
		if v.Outcome == pdk.Rejected {
			bad = r.dead(it, orElse(v.Reason, "the service refused the alert"))
		}
		bad.Status, bad.Took = s.Status, s.Took
		return bad
	case pdk.EndpointBroken:
		s = r.again(s, 0)
		s.Uncounted = s.State == alert.Queued
	case pdk.Retry:
		wait := backoff(it.Attempt)
		if v.RetryAfterMS > 0 {
			wait = holdTime(v.RetryAfterMS)
		}
		return r.again(s, wait)
	default:
		return r.guestFailed(it, fmt.Sprintf("classify gave the unknown outcome %q", v.Outcome), a)
	}
	return s
}

func (r *runner) start(it *item, o pdk.Outcome, a answer) settled {
	s := settled{Settlement: alert.Settlement{Delivery: it.ID, Took: a.took, Plain: it.Plain}, it: it, outcome: o}
	if a.resp != nil {
		s.Status = a.resp.Status
	}
	s.Ambiguous = a.err != nil && inDoubt(a.err, it.in.ID)
	s.Idempotent = r.manifest().Features.Idempotent
	return s
}

// inDoubt tells whether a delivery may have been taken in spite of an error, which may know more of its parts.
func inDoubt(e *pdk.TransportError, delivery string) bool {
	for _, p := range e.Parts {
		if p.Name == delivery {
			return p.Ambiguous
		}
	}
	return e.Ambiguous
}

// again queues a delivery for another attempt, or gives it up if it is too old.
func (r *runner) again(s settled, wait time.Duration) settled {
	now := time.Now()
	if now.Add(wait).Sub(s.it.Created) > r.p.MaxAge {
		s.State = alert.Dead
		s.Reason = fmt.Sprintf("given up after %s: %s", r.p.MaxAge, orElse(s.Reason, "no attempt succeeded"))
		return s
	}
	s.State, s.NotBefore = alert.Queued, now.Add(wait)
	return s
}

func (r *runner) dead(it *item, reason string) settled {
	s := r.start(it, pdk.Rejected, answer{})
	s.State, s.Reason = alert.Dead, r.clean(reason)
	return s
}

func (r *runner) skipped(it *item, reason string) settled {
	s := r.start(it, pdk.Skipped, answer{})
	s.State, s.Reason = alert.Skipped, r.clean(orElse(reason, "the recipient's parameters say so"))
	return s
}

// badPayload asks once more for plain text, and then gives up.
func (r *runner) badPayload(it *item, reason string) settled {
	s := r.start(it, pdk.BadPayload, answer{})
	s.Reason = r.clean(reason)
	if it.Plain {
		s.State, s.Reason = alert.Dead, s.Reason+" (as plain text, too)"
		return s
	}
	s.Plain = true
	return r.again(s, 0)
}

// guestFailed is for a plug-in that failed on a delivery: it is tried alone next time, and given up after some failures.
func (r *runner) guestFailed(it *item, why string, a answer) settled {
	s := r.start(it, pdk.Retry, a)
	s.Ambiguous = s.Ambiguous || a.resp != nil
	n := r.doubts.add(it.ID, 1)
	s.Reason = r.clean(fmt.Sprintf("the plug-in %s failed on this alert (%d of %d): %s", r.TypeName, n, guestTries, why))
	if n >= guestTries {
		s.State = alert.Dead
		return s
	}
	return r.again(s, guestBackoff<<(2*(n-1)))
}

// giveBack returns deliveries whose attempt did not begin.
func (r *runner) giveBack(ctx context.Context, items []*item) {
	out := make([]alert.Settlement, len(items))
	for i, it := range items {
		out[i] = alert.Settlement{Delivery: it.ID, State: alert.Queued, Plain: it.Plain, Uncounted: true}
	}
	r.store(ctx, out)
}

// settle stores what became of deliveries and tells of it.
func (r *runner) settle(ctx context.Context, ss []settled) {
	if len(ss) == 0 {
		return
	}
	plain := make([]alert.Settlement, len(ss))
	for i := range ss {
		plain[i] = ss[i].Settlement
		if ss[i].State != alert.Queued {
			r.doubts.drop(ss[i].Delivery)
		}
	}
	r.store(ctx, plain)
	r.tell(ctx, ss)
}

// store settles in the outbox, the end of the pipeline notwithstanding. It tries for a while, and while the outbox says that
// its trouble passes (a full disk) until the pipeline ends. What cannot be stored stays leased and is sent again after a
// restart.
func (r *runner) store(ctx context.Context, ss []alert.Settlement) {
	keep := context.WithoutCancel(ctx)
	for try := 1; ; try++ {
		one, cancel := context.WithTimeout(keep, settleTimeout)
		err := r.p.Outbox.Settle(one, ss)
		cancel()
		if err == nil {
			return
		}
		passes, ok := errors.AsType[interface {
			error
			Temporary() bool
		}](err)
		if try >= settleTries && (!ok || !passes.Temporary() || ctx.Err() != nil) {
			r.log.Error("cannot store what became of deliveries; they will be sent again after a restart", "deliveries", len(ss), "error", err)
			return
		}
		if try == settleTries {
			r.log.Error("cannot store what became of deliveries; trying on", "deliveries", len(ss), "error", err)
		}
		pause := 20 * time.Millisecond << min(try, settleTries)
		if try < settleTries {
			sleep(keep, nil, pause)
		} else {
			sleep(ctx, nil, pause)
		}
	}
}

// tell logs and reports what became of deliveries. Those that went the same way share a line, so that the failure of a
// batch is one warning; what went well is for debugging only.
func (r *runner) tell(ctx context.Context, ss []settled) {
	for i := 0; i < len(ss); {
		s, n := &ss[i], 1
		for i+n < len(ss) && ss[i+n].alike(s) {
			n++
		}
		r.log.LogAttrs(ctx, s.level(), "delivery", s.attrs(n)...)
		i += n
	}
	for i := range ss {
		s := &ss[i]
		r.p.report(Result{
			Endpoint: r.Name, Recipient: s.it.Recipient, Delivery: s.Delivery, Attempt: s.it.Attempt, State: s.State,
			Outcome: s.outcome, Status: s.Status, Took: s.Took, Created: s.it.Created, Reason: s.Reason, NotBefore: s.NotBefore,
		})
	}
}

// alike tells whether two deliveries went the same way.
func (s *settled) alike(o *settled) bool {
	return s.it.Recipient == o.it.Recipient && s.outcome == o.outcome && s.State == o.State && s.Status == o.Status &&
		s.Reason == o.Reason && s.Uncounted == o.Uncounted
}

func (s *settled) level() slog.Level {
	switch {
	case s.State == alert.Dead:
		return slog.LevelError
	case s.State == alert.Queued && !s.Uncounted:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// attrs describes n deliveries that went like this one.
func (s *settled) attrs(n int) []slog.Attr {
	attrs := []slog.Attr{slog.String("recipient", s.it.Recipient), slog.String("delivery", s.it.in.ID)}
	if n > 1 {
		attrs = append(attrs, slog.Int("and_others", n-1))
	}
	attrs = append(attrs, slog.Int("attempt", s.it.Attempt), slog.String("outcome", string(s.outcome)),
		slog.String("state", s.State.String()), slog.Int("status", s.Status), slog.Duration("took", s.Took))
	if s.State == alert.Queued {
		attrs = append(attrs, slog.Time("next", s.NotBefore))
	}
	if s.Reason != "" {
		attrs = append(attrs, slog.String("reason", s.Reason))
	}
	return attrs
}

// clean makes a reason fit for a log and the ledger: one line, no secrets, of a readable length.
func (r *runner) clean(s string) string {
	s = r.Policy.Secrets.Redact(strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == '\u2028' || c == '\u2029' || unicode.Is(unicode.Bidi_Control, c) {
			return ' '
		}
		return c
	}, s))
	if n := []rune(s); len(n) > maxReason {
		s = string(n[:maxReason-1]) + "…"
	}
	return s
}
