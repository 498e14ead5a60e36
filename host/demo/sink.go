package demo

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/botapi"
)

// arrival is one alert that reached one place.
type arrival struct {
	AlertID string
	Place   string
	At      time.Time
}

// sinks are the real endpoints that the demo delivers to: a webhook receiver, the Bot API stand-in and a script's file.
type sinks struct {
	webhookURL, botURL string
	key                []byte // of the webhook's signatures
	bot                *botapi.Server
	servers            []*http.Server
	collected          string // the file that the script appends to

	mu       sync.Mutex // mu guards what follows
	arrivals []arrival
	requests int      // webhook requests
	refused  []string // what the webhook receiver found wrong
}

// listen starts the servers on free loopback ports.
func listen(token string, key []byte, collected string) (*sinks, error) {
	s := &sinks{key: key, bot: &botapi.Server{Token: token}, collected: collected}
	hook, err := s.serve(http.HandlerFunc(s.webhook))
	if err != nil {
		return nil, err
	}
	bot, err := s.serve(s.bot)
	if err != nil {
		s.close()
		return nil, err
	}
	s.webhookURL, s.botURL = hook+"/hooks/tocsin", bot
	return s, nil
}

func (s *sinks) serve(h http.Handler) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start a local endpoint: %w", err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	s.servers = append(s.servers, srv)
	go func() { _ = srv.Serve(l) }() // returns when close closes it
	return "http://" + l.Addr().String(), nil
}

func (s *sinks) close() {
	for _, srv := range s.servers {
		_ = srv.Close()
	}
}

// webhook takes a request as a careful receiver does: it checks the signature before it believes the body.
func (s *sinks) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err == nil {
		err = s.verify(r.Header, body)
	}
	var msg struct {
		Alerts []struct {
			ID string `json:"id"`
		} `json:"alerts"`
	}
	if err == nil {
		err = json.Unmarshal(body, &msg)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if err != nil {
		s.refused = append(s.refused, err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	for _, a := range msg.Alerts {
		s.arrivals = append(s.arrivals, arrival{a.ID, "webhook", now})
	}
	w.WriteHeader(http.StatusNoContent)
}

// verify checks a Standard Webhooks 1.0 signature.
func (s *sinks) verify(h http.Header, body []byte) error {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "%s.%s.", h.Get("webhook-id"), h.Get("webhook-timestamp"))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for sig := range strings.FieldsSeq(h.Get("webhook-signature")) {
		if hmac.Equal([]byte(sig), []byte(want)) {
			return nil
		}
	}
	return fmt.Errorf("the signature does not fit the body")
}

// webhooks gives what the webhook receiver took, and how many requests it needed.
func (s *sinks) webhooks() ([]arrival, int, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]arrival(nil), s.arrivals...), s.requests, append([]string(nil), s.refused...)
}

// scripts reads the ids of the alerts that the script wrote down.
func (s *sinks) scripts() ([]string, error) {
	f, err := os.Open(s.collected)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var ids []string
	for dec := json.NewDecoder(f); dec.More(); {
		var a struct {
			ID string `json:"id"`
		}
		if err := dec.Decode(&a); err != nil {
			return ids, fmt.Errorf("what the script wrote: %w", err)
		}
		ids = append(ids, a.ID)
	}
	return ids, nil
}
