package egress

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// TestSignature recomputes the signature as the specification words it.
func TestSignature(t *testing.T) {
	var got http.Header
	var body string
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r.Header, string(b)
	})
	sec := NewSecrets()
	keys := [][]byte{bytes.Repeat([]byte{1}, 24), bytes.Repeat([]byte{0xfe}, 32)}
	r := post(s.URL)
	r.HTTP.Body = `{"v":"` + sec.Add("in_body", "body-secret") + `"}`
	r.HTTP.Sign = &pdk.Sign{Scheme: "standard-webhooks", ID: "msg_1"}
	for i, k := range keys {
		r.HTTP.Sign.Keys = append(r.HTTP.Sign.Keys, sec.Add("key"+strconv.Itoa(i), "whsec_"+base64.StdEncoding.EncodeToString(k)))
	}
	x := newExecutor(t, Options{})
	p := Policy{Grants: []Grant{grantTo(t, s.URL)}, Secrets: sec}
	if _, terr := x.Do(t.Context(), r, p); terr != nil {
		t.Fatal(terr)
	}
	var want []string
	for _, k := range keys {
		m := hmac.New(sha256.New, k)
		fmt.Fprintf(m, "msg_1.%s.%s", got.Get("webhook-timestamp"), body)
		want = append(want, "v1,"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	}
	if got.Get("webhook-signature") != strings.Join(want, " ") || got.Get("webhook-id") != "msg_1" || body != `{"v":"body-secret"}` {
		t.Errorf("got %v over %s, want %v", got, body, want)
	}
	if at, err := strconv.ParseInt(got.Get("webhook-timestamp"), 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Minute {
		t.Errorf("timestamp %q: %v", got.Get("webhook-timestamp"), err)
	}
	r.HTTP.Sign.Keys = []string{sec.Add("key", "not base64!")}
	if _, terr := x.Do(t.Context(), r, p); terr == nil || terr.Stage != StageDenied || strings.Contains(terr.Message, "not base64!") || !strings.Contains(terr.Message, "whsec_") {
		t.Errorf("got %+v", terr)
	}
}

// TestSignVector is the example of the Standard Webhooks reference libraries.
func TestSignVector(t *testing.T) {
	h := http.Header{}
	err := sign(h, &pdk.Sign{Scheme: standardWebhooks, ID: "msg_p5jXN8AQM9LWM0D4loKWxJek"},
		[]string{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, `{"test": 2432232314}`, time.Unix(1614265330, 0))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || h.Get("Webhook-Signature") != want {
		t.Errorf("got %q, %v, want %q", h.Get("Webhook-Signature"), err, want)
	}
}
