package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tocsin-net/tocsin/pdk"
)

// Whatever comes together, a mail stays below what Gmail shows, and every delivery is in one.
func TestSize(t *testing.T) {
	in := &pdk.RenderInput{Locale: "en", Endpoint: pdk.Params{"email_sender": "a@example.org"}}
	for i := range 20 {
		card := "<table><tr><td>" + strings.Repeat("&#34;", 1000*i) + "</td></tr></table>"
		in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: fmt.Sprint(i), Text: card, Subject: strings.Repeat("\"", 250), Attempt: 1})
	}
	out, err := render(in)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, q := range out.Requests {
		n += len(q.Deliveries)
		if len(q.SMTP.HTML) > 102_000 || len(q.Deliveries) > 1 && len(q.SMTP.HTML) > 100_000 {
			t.Errorf("%d bytes of HTML for %d alerts", len(q.SMTP.HTML), len(q.Deliveries))
		}
	}
	if n != 20 || len(out.Requests) < 5 {
		t.Errorf("%d deliveries in %d mails", n, len(out.Requests))
	}
}

func BenchmarkRender(b *testing.B) {
	in := &pdk.RenderInput{Locale: "en", Endpoint: pdk.Params{"email_sender": "a@example.org"}}
	card := "<table><tr><td>TLS certificate expired</td></tr>" + strings.Repeat("<tr><th>From</th><td style=\"padding:2px\">192.0.2.7</td></tr>", 20) + "</table>"
	for i := range 10 {
		in.Deliveries = append(in.Deliveries, pdk.Delivery{ID: fmt.Sprint(i), Text: card, Subject: "[Error] TLS certificate expired", Attempt: 1})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := render(in); err != nil {
			b.Fatal(err)
		}
	}
}
