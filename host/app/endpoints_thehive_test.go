package app

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/fakes/thehive"
)

const hiveKey = "k7Jd0Zq3s6-test-key"

// hive serves a stand-in, and gives the parameters of an endpoint for it.
func hive(t testing.TB, s *thehive.Server, h http.Handler) (params string) {
	t.Helper()
	s.Token = hiveKey
	return fmt.Sprintf(`thehive_url = %q, thehive_token = %q`, serving(t, h), hiveKey)
}

// TestTheHive sends alerts through the real module to a strict stand-in: a flow with its observables, a condition that begins
// and ends, one whose answer is lost, and one that is refused with its observables.
func TestTheHive(t *testing.T) {
	at := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	lost, refused := flowAt(2, at), flowAt(3, at)
	lost.Title, refused.Title = "Lost answer", "Refused once"
	refused.Message = strings.Repeat("<script>\u202e@everyone*_[\r\n🚨", 5000)
	s := &thehive.Server{}
	s.Intercept = func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n == 1 {
			w.Header().Set("Retry-After", "1")
			thehive.Fail(w, http.StatusTooManyRequests, "TooManyRequests", "slow down")
		}
		return n == 1
	}
	var once atomic.Bool
	params := hive(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch text := string(body); {
		case strings.Contains(text, "Refused once") && strings.Contains(text, "observables"):
			thehive.Fail(w, http.StatusBadRequest, "CreateError", "Observable already exists")
		case strings.Contains(text, "Lost answer") && !once.Load():
			answer := httptest.NewRecorder()
			s.ServeHTTP(answer, r)
			if answer.Code == http.StatusCreated {
				once.Store(true)
				panic(http.ErrAbortHandler) // the connection breaks
			}
			maps.Copy(w.Header(), answer.Header()) // the first request is refused, whichever it is
			w.WriteHeader(answer.Code)
			_, _ = w.Write(answer.Body.Bytes())
		default:
			s.ServeHTTP(w, r)
		}
	}))
	b := newRoom(t, "thehive", params+`, thehive_obs_mail = "noc@example.org"`, "").start()
	flow, begin := flowAt(1, at), scanAt(alert.Engage, at)
	for id, r := range b.send("ops", flow, begin, lost, refused) {
		switch {
		case id == lost.ID:
			if r.State != alert.Duplicate {
				t.Errorf("the lost answer: %v, %s", r.State, r.Reason)
			}
		case r.State != alert.Delivered || r.ProviderID == "":
			t.Errorf("%s: %v, %q, %s", id, r.State, r.ProviderID, r.Reason)
		}
	}
	if !once.Load() {
		t.Error("no answer was lost")
	}
	end := scanAt(alert.Release, at.Add(time.Minute))
	if r := b.send("ops", end)[end.ID]; r.State != alert.Delivered {
		t.Errorf("the end: %+v", r)
	}
	all := map[string]thehive.Alert{}
	for _, m := range s.Taken() {
		all[fmt.Sprint(m.Fields["sourceRef"])] = m
	}
	if len(all) != 4 || len(s.Taken()) != 4 {
		t.Errorf("%d alerts", len(s.Taken()))
	}
	f := all[flow.ID.String()]
	kinds := map[string]string{}
	for _, o := range f.Observables {
		kinds[fmt.Sprint(o["data"])] = fmt.Sprint(o["dataType"])
	}
	if kinds["10.0.0.1"] != "ip" || kinds["203.0.113.20"] != "ip" || kinds["expired.example"] != "domain" || kinds["noc@example.org"] != "mail" {
		t.Errorf("observables %v", kinds)
	}
	if text := fmt.Sprint(f.Fields["description"]); !strings.Contains(text, "**Error**") || !strings.Contains(text, "Renew the certificate") {
		t.Errorf("description:\n%s", text)
	}
	if m := all[begin.ID.String()]; m.Changed != 1 || m.Fields["status"] != "Ignored" || !strings.Contains(fmt.Sprint(m.Fields["summary"]), "1 min") {
		t.Errorf("the condition that ended: %+v", m)
	}
	if m := all[refused.ID.String()]; m.Observables != nil || len(fmt.Sprint(m.Fields["description"])) > 40_000 {
		t.Errorf("the refused one: %d observables", len(m.Observables))
	}
}

func TestTheHiveProbe(t *testing.T) {
	s := &thehive.Server{Organisations: []string{"soc", "SOC Pisa"}}
	params := hive(t, s, s)
	for _, c := range []struct {
		name, params, recipient string
		may                     []string
		step, want              string
	}{
		{"fine", params, `thehive_org = "SOC Pisa"`, nil, "", "may it make alerts?"},
		{"wrong key", strings.Replace(params, hiveKey, "another-key", 1), "", nil, "auth", "check thehive_token"},
		{"may not", params, "", []string{"manageComment"}, "auth", "manageAlert/create"},
		{"another organisation", params, `thehive_org = "SOC Roma"`, nil, "auth", "not member of the organisation SOC Roma"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Permissions = c.may
			before := len(s.Taken())
			out, err := newRoom(t, "thehive", c.params, c.recipient).try("ops", "")
			if (err == nil) != (c.step == "") || !strings.Contains(out, c.want) || strings.Contains(out, hiveKey) {
				t.Errorf("error %v\n%s", err, out)
			}
			if c.step != "" && len(s.Taken()) != before {
				t.Error("the probe made an alert")
			}
		})
	}
}
