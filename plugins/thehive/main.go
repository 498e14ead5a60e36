// Command thehive is the plug-in that opens alerts in TheHive, with their addresses and names as observables. Nothing but this
// endpoint lives here; its manifest, schema, templates and texts are in manifests/thehive.
package main

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tocsin-net/tocsin/pdk"
)

// Limits of InputCreateAlert in TheHive's OpenAPI document, version 5.7.3, in characters.
const (
	maxName        = 32 // of type and source
	maxRef         = 128
	maxLink        = 4096
	maxTitle       = 512
	maxDescription = 1 << 20
	maxStatus      = 64
	maxTag         = 128
)

const (
	// defaultWait is how long to leave a server alone that answers 429 without saying for how long.
	defaultWait = 30_000 // ms
	// Notes: the request is made in an organisation that the recipient names; closes an alert, with its status or without;
	// is the probe's.
	noteOrg, noteClose, noteTag, noteWho = "org", "close", "tag", "who"
	// maySend is the permission that a user needs.
	maySend = "manageAlert/create"
)

// forbidden says whom a 403 is about, by the request's note.
var forbidden = map[string]pdk.Verdict{
	noteOrg: {Outcome: pdk.Retry, Reason: "; check thehive_org, and that the user may make alerts there (" + maySend + ")"},
	noteTag: {Outcome: pdk.Rejected, Reason: "; the user may not change alerts (manageAlert/update)"},
	"":      {Outcome: pdk.EndpointBroken, Reason: "; the user needs the permission " + maySend},
}

// severities are TheHive's: 1 low, 2 medium, 3 high, 4 critical.
var severities = [...]int64{pdk.Neutral: 1, pdk.Info: 1, pdk.Warning: 2, pdk.Error: 3, pdk.Critical: 4}

var endpoint = pdk.Endpoint{Render: render, Classify: pdk.Judge("TheHive", verdict), Probe: probe}

func init() { pdk.Serve(&endpoint) }

func main() {}

func render(in *pdk.RenderInput) (*pdk.RenderOutput, error) {
	out := &pdk.RenderOutput{}
	for i := range in.Deliveries {
		d := &in.Deliveries[i]
		r := pdk.Request{Deliveries: []string{d.ID}}
		if d.Alert.Action == "release" && d.ProviderID != "" {
			var body []byte
			body, r.Note = closing(in, d)
			r.HTTP = request(in.Endpoint, in.Recipient, "PATCH", "alert/"+pdk.EscapePath(d.ProviderID), body)
		} else {
			r.HTTP = request(in.Endpoint, in.Recipient, "POST", "alert", create(in, d))
			if in.Recipient.Has("thehive_org") {
				r.Note = noteOrg
			}
		}
		out.Requests = append(out.Requests, r)
	}
	return out, nil
}

func request(ep, rc pdk.Params, method, path string, body []byte) *pdk.HTTPRequest {
	r := pdk.JSONRequest(method, pdk.JoinURL(ep.String("thehive_url", ""), "api/v1", path), body)
	own := []pdk.Header{{Name: "Authorization", Value: "Bearer " + ep.String("thehive_token", "")}}
	if org := rc.String("thehive_org", ""); org != "" {
		own = append(own, pdk.Header{Name: "X-Organisation", Value: org})
	}
	r.Headers = append(own, r.Headers...)
	return r
}

// tag makes a tag, of a word or of "name:value"; without its value there is none.
func tag(s string) string {
	if strings.HasSuffix(s, ":") {
		return ""
	}
	return pdk.TruncateRunes(s, maxTag)
}

// create is the alert. Its sourceRef is the alert's own id, so that TheHive refuses a repeat.
func create(in *pdk.RenderInput, d *pdk.Delivery) []byte {
	a := &d.Alert
	ended, test := "", ""
	if a.Action == "release" {
		ended = "ended"
	}
	if a.Test {
		test = "test"
	}
	o := pdk.NewObject(make([]byte, 0, 2048+len(d.Text)))
	o.Tidy = tag
	o.Put("type", pdk.TruncateRunes(pdk.First(a.Category, "other"), maxName))
	o.Put("source", "tocsin")
	o.Put("sourceRef", pdk.TruncateRunes(pdk.First(a.ID, d.ID), maxRef))
	o.Put("title", pdk.TruncateRunes(pdk.First(d.Subject, a.Title, a.Message, "tocsin"), maxTitle))
	o.Put("description", pdk.TruncateRunes(pdk.First(d.Text, a.Message), maxDescription))
	o.Int("severity", severities[pdk.LevelOf(a.Severity)])
	o.Int("date", a.Tstamp*1000)
	o.Int("tlp", 2)
	o.Int("pap", 2)
	o.List("tags", "tocsin", "severity:"+a.Severity, "check:"+a.Check, "entity:"+a.Entity, ended, test)
	// What was refused once is sent without link and observables, which are what TheHive is strict about.
	if d.Plain {
		return o.Done()
	}
	if a.Link != "" && utf8.RuneCountInString(a.Link) <= maxLink {
		o.Put("externalLink", a.Link)
	}
	all := gather(in.Endpoint, a)
	if len(all) == 0 {
		o.Raw("observables", "[]")
	}
	o.Each("observables", len(all), func(i int) {
		o.Put("dataType", all[i].kind)
		o.Put("data", all[i].data)
		if len(all[i].tags) == 0 {
			o.Raw("tags", "[]")
		}
		o.List("tags", all[i].tags...)
		o.True("ioc", all[i].ioc)
	})
	return o.Done()
}

// closing updates the alert of a condition that ended, and gives the note to do it with. If its new status is refused, because there
// is no such status or the alert is part of a case, the alert is marked without it.
func closing(in *pdk.RenderInput, d *pdk.Delivery) (body []byte, note string) {
	o, note := pdk.NewObject(nil), noteTag
	if s := in.Recipient.String("thehive_closed_status", "Ignored"); s != "" && s != "-" && d.Attempt <= 1 && !d.Plain {
		o.Put("status", pdk.TruncateRunes(s, maxStatus))
		note = noteClose
	}
	o.Put("summary", pdk.TruncateRunes(pdk.First(d.Text, d.Alert.Message), maxDescription))
	o.List("addTags", "ended")
	return o.Done(), note
}

func probe(in *pdk.ProbeInput) (*pdk.ProbeOutput, error) {
	out := &pdk.ProbeOutput{}
	out.Ask("Is the token right, and may it make alerts?", noteWho, request(in.Endpoint, in.Recipient, "GET", "user/current", nil))
	return out, nil
}

func verdict(r *pdk.Reply) pdk.Verdict {
	message := r.JSON.String("message", "")
	r.Explain(message, 300)
	closing := r.Note == noteClose || r.Note == noteTag
	// An observable that is there twice is told in the same words, and means that the alert was not made.
	exists := strings.Contains(strings.ToLower(message), "already exist") && !strings.Contains(strings.ToLower(message), "observable")
	switch {
	case r.Success():
		return taken(r)
	case r.Status == 429:
		return r.Limited(defaultWait, "")
	case r.Passing():
		return r.Retry("")
	case r.Status == 401:
		return r.Fail(pdk.EndpointBroken, "; check thehive_token: it is a user's API key")
	case r.Note == noteClose && (r.Status == 400 || r.Status == 403):
		return r.Fail(pdk.Retry, "; the alert is marked as ended without a new status instead: check thehive_closed_status")
	case r.Status == 403:
		why, ok := forbidden[r.Note]
		if !ok {
			why = forbidden[""]
		}
		return r.Fail(why.Outcome, why.Reason)
	case r.Status == 404 && closing:
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "the alert is gone from TheHive: there is nothing to close"}
	case r.Status == 404, r.Status == 405, r.Status < 400:
		return r.Fail(pdk.EndpointBroken, "; check thehive_url: it is the address of TheHive, without /api")
	case (r.Status == 400 || r.Status == 409) && exists:
		return r.Fail(pdk.Duplicate, "")
	}
	return r.Fail(pdk.BadPayload, "")
}

// taken reads the answer to what succeeded.
func taken(r *pdk.Reply) pdk.Verdict {
	may := r.JSON.Strings("permissions")
	switch {
	case r.Note == noteClose, r.Note == noteTag:
		return pdk.Verdict{Outcome: pdk.Delivered}
	case r.Note != noteWho && (r.JSON.Has("_id") || r.In.Response.Truncated): // if it is cut, the alert was made; only its id is not known
		return pdk.Verdict{Outcome: pdk.Delivered, ProviderID: r.JSON.String("_id", "")}
	case r.Note != noteWho:
		const what = "TheHive answered with success, but not as its API does: check thehive_url, and proxies on the way"
		return pdk.Verdict{Outcome: pdk.Retry, Reason: what}
	case !r.JSON.Has("login"):
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "what answers is no TheHive; check thehive_url"}
	case may == nil: // an older server does not tell
		return pdk.Verdict{Outcome: pdk.Accepted, Reason: "the server does not say what the user may do"}
	case !slices.Contains(may, maySend):
		return pdk.Verdict{Outcome: pdk.EndpointBroken, Reason: "the user needs the permission " + maySend + " in this organisation"}
	}
	return pdk.Verdict{Outcome: pdk.Delivered}
}
