package app

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/botapi"
	"github.com/tocsin-net/tocsin/host/internal/fakes/declared"
	"github.com/tocsin-net/tocsin/host/internal/fakes/discord"
	"github.com/tocsin-net/tocsin/host/internal/fakes/elasticsearch"
	"github.com/tocsin-net/tocsin/host/internal/fakes/msteams"
	"github.com/tocsin-net/tocsin/host/internal/fakes/pagerduty"
	"github.com/tocsin-net/tocsin/host/internal/fakes/smtpd"
	"github.com/tocsin-net/tocsin/host/internal/fakes/syslogd"
	"github.com/tocsin-net/tocsin/host/internal/fakes/thehive"
	"github.com/tocsin-net/tocsin/host/internal/fakes/wecom"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/pdk"
)

// needed are parameters that a plug-in wants although its schema does not.
var needed = map[string][]string{"slack": {"endpoint.slack_webhook=https://hooks.slack.com/services/T0/B0/x"}}

// BenchmarkRenderTen measures, for every first-party endpoint, the rendering of ten alerts in the sandbox with made-up
// parameters, as one call or as many as its batch allows, and tells the package's size.
func BenchmarkRenderTen(b *testing.B) {
	names, err := build.Names("../..")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			typ := loaded(b, name)
			pkg := typ.Package()
			ep, rc, err := DevPlugin{Locale: "en", Set: needed[name]}.parameters(pkg)
			if err != nil {
				b.Fatal(err)
			}
			in := &pdk.RenderInput{Now: time.Now().UnixMilli(), Locale: "en"}
			in.Endpoint, in.Recipient = pkg.Lint.Fill(ep, rc)
			var all []pdk.Delivery
			for i := range 10 {
				raw, err := benchAlert(i).MarshalJSON()
				if err != nil {
					b.Fatal(err)
				}
				d := pdk.Delivery{ID: "d" + strconv.Itoa(i), Attempt: 1}
				if err := d.Alert.DecodeJSON(raw); err != nil {
					b.Fatal(err)
				}
				d.Alert.Raw = raw
				if d.Subject, d.Text, err = pkg.Compose(raw, "en", false); err != nil {
					b.Fatal(err)
				}
				all = append(all, d)
			}
			most := max(1, min(10, typ.Manifest().Batch.Max))
			for b.Loop() {
				for i := 0; i < len(all); i += most {
					in.Deliveries = all[i:min(i+most, len(all))]
					if _, err := typ.Render(b.Context(), in); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(len(pkg.Wasm))/1e6, "MB")
		})
	}
}

// benchDeliver measures alerts from the ledger to a stand-in, which checks what it takes, without the manifests' own rate limits. An
// operation is 1,000 alerts.
func benchDeliver(b *testing.B, bed *bed) {
	b.Helper()
	const n = 1000
	bed.unlimited().start()
	alerts := make([]*alert.Alert, n)
	b.ReportAllocs()
	for b.Loop() {
		for i := range alerts {
			alerts[i] = benchAlert(i)
		}
		bed.raise(alerts...)
		if left, _, err := bed.WaitIdle(b.Context()); err != nil || left != 0 {
			b.Fatalf("%d left, %v", left, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "alerts/s")
	counts, err := bed.Ledger().Counts(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range counts {
		if c.Recipient == "ops" && c.Delivered+c.Accepted+c.Duplicate != int64(n*b.N) {
			b.Errorf("of %d alerts: %+v", n*b.N, c)
		}
	}
}

// deliverTo gives the service that sends to the stand-in of each type; those that BenchmarkDeliver has no room for are beside
// their tests.
var deliverTo = map[string]func(b *testing.B) *bed{
	"discord": func(b *testing.B) *bed { return discordRoom(b, &discord.Server{}, "") },
	"elasticsearch": func(b *testing.B) *bed {
		return newRoom(b, "elasticsearch", fmt.Sprintf("elasticsearch_url = %q", serving(b, &elasticsearch.Server{})), "")
	},
	"email":      toSMTP,
	"mattermost": func(b *testing.B) *bed { return mattermostRoom(b, mattermostFake()) },
	"msteams":    func(b *testing.B) *bed { return teamsRoom(b, &msteams.Server{}) },
	"pagerduty":  func(b *testing.B) *bed { return pagerdutyRoom(b, &pagerduty.Server{Key: pagerdutyKey}) },
	"slack":      func(b *testing.B) *bed { return slackRoom(b, slackFake(), "C0123456789") },
	"syslog":     toSyslog,
	"telegram": func(b *testing.B) *bed {
		bot := &botapi.Server{Token: "123456789:AAEabcdefghijklmnopqrstuvwxyz012345"}
		return newRoom(b, "telegram", fmt.Sprintf("telegram_api_url = %q, telegram_token = %q", serving(b, bot), bot.Token), `telegram_channel = "-1001234567890"`)
	},
	"thehive": func(b *testing.B) *bed {
		fake := &thehive.Server{}
		return newRoom(b, "thehive", hive(b, fake, fake), "")
	},
	"webhook": func(b *testing.B) *bed {
		sink := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
		return newRoom(b, "webhook", fmt.Sprintf("webhook_url = %q", serving(b, sink)), "")
	},
	"wechat": func(b *testing.B) *bed {
		return wechatRoom(b, &wecom.Robot{Key: wechatKey, Unlimited: true}, wechatKey)
	},
}

// BenchmarkDeliver sends alerts through each endpoint to its stand-in.
func BenchmarkDeliver(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(deliverTo)) {
		b.Run(name, func(b *testing.B) { benchDeliver(b, deliverTo[name](b)) })
	}
	for _, name := range declared.Names() {
		b.Run(name, func(b *testing.B) {
			c := declaredCases[name]
			benchDeliver(b, newRoom(b, name, c.endpoint(serving(b, declared.New(name))), c.recipient))
		})
	}
}

// toSyslog has a strict receiver.
func toSyslog(b *testing.B) *bed {
	cfg := syslogd.Config{Network: "tcp", Format: "text", Framing: "lf"}
	return newRoom(b, "syslog", writingTo(cfg, receiving(b, cfg, 0).Port()), "")
}

// toSMTP has the stand-in for a mail server, which checks every mail.
func toSMTP(b *testing.B) *bed {
	return newRoom(b, "email", mailParams(mailing(b, &smtpd.Server{}), `tls = "none"`), `email_recipient = ["b@example.org"]`)
}
