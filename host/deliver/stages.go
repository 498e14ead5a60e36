package deliver

import (
	"context"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/egress"
	"github.com/tocsin-net/tocsin/pdk"
)

// item is a delivery on its way through the stages.
type item struct {
	alert.Delivery
	in pdk.Delivery // what the plug-in is given
}

// job is one request with the deliveries it carries.
type job struct {
	request *pdk.Request
	items   []*item
	plain   bool
}

// answer is what came of a job's request: resp or err.
type answer struct {
	resp *pdk.Response
	err  *pdk.TransportError
	took time.Duration
}

// deliver takes a leased batch through the stages. Every delivery in it is settled once settling is done too: while the
// outbox writes what became of a batch, the next one may be on its way.
func (r *runner) deliver(stop, work context.Context, batch []alert.Delivery, settling *sync.WaitGroup) {
	for _, group := range r.groups(batch) {
		if stop.Err() != nil {
			r.giveBack(work, group)
			continue
		}
		for _, j := range r.render(work, r.compose(work, group)) {
			a, sent := r.send(stop, work, j)
			if !sent {
				r.giveBack(work, j.items)
				continue
			}
			verdicts, err := r.classify(work, j, a)
			became := r.judge(work, j, a, verdicts, err)
			r.unsettled <- struct{}{}
			settling.Go(func() {
				r.settleTogether(work, became)
				<-r.unsettled
			})
		}
	}
}

// giveBackBatch returns a batch that was not begun.
func (r *runner) giveBackBatch(ctx context.Context, batch []alert.Delivery) {
	items := make([]*item, len(batch))
	for i, d := range batch {
		items[i] = &item{Delivery: d}
	}
	r.giveBack(ctx, items)
}

// groups splits a batch into what is rendered together. Plain and doubtful deliveries go alone.
func (r *runner) groups(batch []alert.Delivery) [][]*item {
	var together []*item
	var out [][]*item
	for _, d := range batch {
		it := &item{Delivery: d}
		if d.Plain || r.doubts.has(d.ID) {
			out = append(out, []*item{it})
		} else {
			together = append(together, it)
		}
	}
	if len(together) > 0 {
		out = append([][]*item{together}, out...)
	}
	return out
}

// compose decodes the alerts and renders their messages. What cannot be composed is settled and left out.
func (r *runner) compose(ctx context.Context, group []*item) []*item {
	var good []*item
	var bad []settled
	pass, locale := r.manifest().Message.PassAlerts, r.locale(group[0].Recipient)
	_, known := r.Recipients[group[0].Recipient]
	for _, it := range group {
		it.in = pdk.Delivery{ID: it.ID.String(), Plain: it.Plain, Attempt: it.Attempt, ProviderID: it.ProviderID}
		if !known {
			bad = append(bad, r.dead(it, "recipient "+it.Recipient+" is not configured"))
			continue
		}
		if pass {
			it.in.Alert.Raw = []byte(standIn(it.in.ID))
			good = append(good, it)
			continue
		}
		if err := it.in.Alert.DecodeJSON(it.Alert); err != nil {
			bad = append(bad, r.dead(it, "the stored alert cannot be read: "+err.Error()))
			continue
		}
		it.in.Alert.Raw = it.Alert
		it.in.Subject, it.in.Text = it.in.Alert.Title, it.in.Alert.Message
		if r.Composer != nil {
			var err error
			if it.in.Subject, it.in.Text, err = r.Composer.Compose(it.Alert, locale, it.Plain); err != nil {
				bad = append(bad, r.badPayload(it, "the message template of "+r.TypeName+" failed: "+err.Error()))
				continue
			}
		}
		good = append(good, it)
	}
	r.settle(ctx, bad)
	return good
}

func (r *runner) locale(recipient string) string {
	if l := r.Recipients[recipient].Locale; l != "" {
		return l
	}
	return "en"
}

// render asks the plug-in for requests. When it fails on several deliveries they are halved until the one that it fails
// on stands alone, so that this one cannot stop the others. What gets no request is settled.
func (r *runner) render(ctx context.Context, group []*item) []job {
	if len(group) == 0 {
		return nil
	}
	in := &pdk.RenderInput{
		Now: time.Now().UnixMilli(), Locale: r.locale(group[0].Recipient),
		Endpoint: r.Params, Recipient: r.Recipients[group[0].Recipient].Params,
		Deliveries: make([]pdk.Delivery, len(group)),
	}
	open := make(map[string]*item, len(group))
	for i, it := range group {
		in.Deliveries[i] = it.in
		open[it.in.ID] = it
	}
	out, err := r.Guest.Render(ctx, in)
	switch {
	case err != nil && ctx.Err() != nil:
		r.giveBack(ctx, group)
		return nil
	case err != nil && len(group) > 1:
		half := len(group) / 2
		return append(r.render(ctx, group[:half]), r.render(ctx, group[half:])...)
	case err != nil:
		r.settle(ctx, []settled{r.guestFailed(group[0], err.Error(), answer{})})
		return nil
	}
	var jobs []job
	var failed []settled
	for i := range out.Requests {
		j := job{request: &out.Requests[i], plain: group[0].Plain}
		for _, id := range j.request.Deliveries {
			if it := open[id]; it != nil {
				delete(open, id)
				j.items = append(j.items, it)
			}
		}
		if left := putAlerts(&j); left != nil {
			for _, it := range j.items {
				failed = append(failed, r.guestFailed(it, left.Error(), answer{}))
			}
		} else if len(j.items) > 0 {
			jobs = append(jobs, j)
		}
	}
	rest := failed
	for _, v := range out.Rejected {
		it := open[v.Delivery]
		if it == nil {
			continue
		}
		delete(open, v.Delivery)
		switch v.Outcome {
		case pdk.Skipped:
			rest = append(rest, r.skipped(it, v.Reason))
		case pdk.Rejected:
			rest = append(rest, r.dead(it, orElse(v.Reason, "the plug-in cannot send this alert")))
		default:
			rest = append(rest, r.badPayload(it, orElse(v.Reason, "the plug-in cannot render this alert")))
		}
	}
	for _, it := range group {
		if open[it.in.ID] != nil {
			rest = append(rest, r.guestFailed(it, "render left the delivery out", answer{}))
		}
	}
	r.settle(ctx, rest)
	return jobs
}

// send executes a job's request. It reports false if the request was not begun: the pipeline stops, the endpoint is on
// hold, or the stop came so early that the service cannot have taken it.
func (r *runner) send(stop, work context.Context, j job) (answer, bool) {
	if r.health.onHold() || !r.turn(stop, work) || r.health.onHold() {
		return answer{}, false
	}
	start := time.Now()
	resp, terr := r.p.Executor.Do(work, j.request, r.policy())
	a := answer{resp: resp, err: terr, took: time.Since(start)}
	if terr != nil && work.Err() != nil && !terr.Ambiguous {
		return a, false
	}
	return a, true
}

// classify asks what the answer means, for each delivery of the job. What the host itself refused is not the plug-in's to
// judge. A delivery that is missing in the result was not classified: the error says why.
func (r *runner) classify(ctx context.Context, j job, a answer) (map[string]pdk.Verdict, error) {
	out := make(map[string]pdk.Verdict, len(j.items))
	all := func(v pdk.Verdict) map[string]pdk.Verdict {
		for _, it := range j.items {
			if _, ok := out[it.in.ID]; !ok {
				out[it.in.ID] = v
			}
		}
		return out
	}
	if a.err != nil {
		switch {
		case ctx.Err() != nil:
			return all(pdk.Verdict{Outcome: pdk.Retry, Reason: a.err.Message}), nil
		case a.err.Stage == egress.StageInvalid:
			return all(pdk.Verdict{Outcome: pdk.BadPayload, Reason: a.err.Message}), nil
		case a.err.Stage == egress.StageDenied:
			return all(pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: a.err.Message}), nil
		}
	}
	// The answer is there: it is judged even if the time to stop has come.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), judgeTimeout)
	defer cancel()
	res, err := r.Guest.Classify(ctx, &pdk.ClassifyInput{
		Now: time.Now().UnixMilli(), Response: a.resp, Error: a.err, Plain: j.plain,
		Request: pdk.RequestInfo{Deliveries: j.request.Deliveries, Kind: j.request.Kind(), Note: j.request.Note},
	})
	if err != nil {
		return nil, err
	}
	for _, v := range res.Verdicts {
		if v.Delivery != "" {
			out[v.Delivery] = v
		}
	}
	for _, v := range res.Verdicts {
		if v.Delivery == "" {
			return all(v), nil
		}
	}
	return out, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
