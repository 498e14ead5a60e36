package egress

import (
	"crypto/tls"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// The names of the steps in a trace, in their order.
const (
	StepDNS     = "dns"     // a name was resolved; the detail has its addresses
	StepConnect = "connect" // a connection was made; the detail has its address
	StepTLS     = "tls"     // the handshake; the detail has the version and the certificate's subject
	StepAuth    = "auth"    // the log-in; the detail has the mechanism
	StepSend    = "send"    // the request was written
	StepAnswer  = "answer"  // the answer was read; the detail has its status
)

// maxStepText bounds each text of a step, in bytes: some of it is a server's.
const maxStepText = 500

// Trace records the steps of requests, for a person who tests an endpoint. A nil *Trace records nothing. Safe for
// concurrent use. Texts are free of the policy's secrets once Executor.Do has returned.
type Trace struct {
	mu    sync.Mutex // mu guards what follows
	steps []Step
}

// Step is one step of a request. A step may stand in a trace more than once: of several addresses each has a connect.
type Step struct {
	Name   string
	Detail string // such as "192.0.2.7:587" or "TLS 1.3, mail.example.org"; may be empty
	Took   time.Duration
	Err    string // why it failed; empty if it went well
}

// Step adds a step that has ended, well if err is nil.
func (t *Trace) Step(name, detail string, took time.Duration, err error) {
	if t == nil {
		return
	}
	s := Step{Name: name, Detail: detail, Took: took}
	if err != nil {
		s.Err = err.Error()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, s)
}

// Steps gives a copy of the steps so far, in the order in which they ended.
func (t *Trace) Steps() []Step {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.steps)
}

// clean passes the texts of all steps through f and then cuts them: half a secret would not be found.
func (t *Trace) clean(f func(string) string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.steps {
		s := &t.steps[i]
		s.Detail, s.Err = pdk.TruncateBytes(f(s.Detail), maxStepText), pdk.TruncateBytes(f(s.Err), maxStepText)
	}
}

// tlsDetail words a handshake that went well.
func tlsDetail(s tls.ConnectionState) string {
	out := tls.VersionName(s.Version)
	if len(s.PeerCertificates) > 0 {
		c := s.PeerCertificates[0]
		out += fmt.Sprintf(", %s, until %s", certNames(c), c.NotAfter.UTC().Format(time.DateOnly))
	}
	return out
}
