package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// tracer notes how far a request came, and tells the steps to a trace. The transport may call it from its own goroutines, even
// after the request ended.
type tracer struct {
	steps *Trace // nil: no steps are recorded

	mu    sync.Mutex // mu guards what follows
	stage string
	got   bool                 // a connection was handed over, so bytes may have gone
	wrote bool                 // the header was written
	since map[string]time.Time // when steps that are under way began; several addresses may be tried at once
}

func (t *tracer) set(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// begin notes that a step began.
func (t *tracer) begin(stage, step string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stage = stage
	t.start(step)
}

func (t *tracer) start(step string) {
	if t.steps == nil {
		return
	}
	if t.since == nil {
		t.since = map[string]time.Time{}
	}
	t.since[step] = time.Now()
}

// end records a step that begin, with the same key, was called for.
func (t *tracer) end(key, name, detail string, err error) {
	if t.steps == nil {
		return
	}
	t.mu.Lock()
	from, ok := t.since[key]
	delete(t.since, key)
	t.mu.Unlock()
	if ok {
		t.steps.Step(name, detail, time.Since(from), err)
	}
}

func (t *tracer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		// A connection that was kept may turn out dead before anything was written to it: the transport then gets another.
		GetConn:  func(string) { t.set(func() { t.stage, t.got = StageConnect, false }) },
		DNSStart: func(httptrace.DNSStartInfo) { t.begin(StageDNS, StepDNS) },
		DNSDone:  func(i httptrace.DNSDoneInfo) { t.end(StepDNS, StepDNS, addresses(i.Addrs), i.Err) },
		ConnectStart: func(network, addr string) {
			t.begin(StageConnect, network+addr)
		},
		ConnectDone:       func(network, addr string, err error) { t.end(network+addr, StepConnect, addr, innermost(err)) },
		TLSHandshakeStart: func() { t.begin(StageTLS, StepTLS) },
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			detail := ""
			if err == nil {
				detail = tlsDetail(s)
			}
			t.end(StepTLS, StepTLS, detail, err)
		},
		GotConn: func(i httptrace.GotConnInfo) {
			if i.Reused {
				t.steps.Step(StepConnect, "a kept connection to "+i.Conn.RemoteAddr().String(), 0, nil)
			}
			t.set(func() { t.stage, t.got = StageSend, true; t.start(StepSend) })
		},
		WroteHeaders: func() { t.set(func() { t.wrote = true }) },
		WroteRequest: func(i httptrace.WroteRequestInfo) {
			t.end(StepSend, StepSend, "", i.Err)
			t.set(func() {
				if i.Err == nil {
					t.stage = StageRead
				}
			})
		},
	}
}

func (t *tracer) answered() { t.set(func() { t.stage, t.wrote = StageRead, true }) }

func (t *tracer) state() (stage string, ambiguous bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stage, t.got || t.wrote
}

// handshake does a TLS handshake with a time limit of its own.
func (t *tracer) handshake(ctx context.Context, c *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	h := t.trace()
	h.TLSHandshakeStart()
	err := c.HandshakeContext(ctx)
	h.TLSHandshakeDone(c.ConnectionState(), err)
	return err
}

// innermost drops the layers of a dial error, which repeat the address.
func innermost(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func addresses(list []net.IPAddr) string {
	var b strings.Builder
	for i, a := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.String())
	}
	return b.String()
}

// explain turns an error of the transport into a stage and a sentence that says what to do.
// at is host:port.
func explain(err error, tr *tracer, at string, timeout time.Duration) *pdk.TransportError {
	stage, ambiguous := tr.state()
	out := &pdk.TransportError{Stage: stage, Ambiguous: ambiguous}
	var deny *deniedError
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &deny):
		return denied("%s: %s", at, deny.msg)
	case errors.Is(err, context.Canceled):
		out.Message = at + ": the request was stopped before it was answered"
	case errors.Is(err, context.DeadlineExceeded):
		out.Stage = StageTimeout
		out.Message = timeoutMessage(at, stage, timeout)
	case errors.As(err, &dns):
		out.Stage, out.Ambiguous = StageDNS, false
		out.Message = dnsMessage(dns, at)
	case stage == StageTLS || stage == StageConnect && isTLS(err):
		out.Stage, out.Ambiguous = StageTLS, false
		out.Message = tlsMessage(err, at)
	case isTimeout(err):
		out.Stage = StageTimeout
		out.Message = timeoutMessage(at, stage, timeout)
	case errors.As(err, &op) && op.Op == "dial", stage == StageConnect, stage == StageDNS, stage == "":
		out.Stage, out.Ambiguous = StageConnect, false
		out.Message = connectMessage(err, at)
	case stage == StageSend:
		out.Message = fmt.Sprintf("%s closed the connection while the request was being sent (%s); it may have taken it all the same", at, plain(err))
	default:
		out.Stage = StageRead
		out.Message = fmt.Sprintf("%s closed the connection without an answer (%s); it may have taken the request all the same", at, plain(err))
	}
	return out
}

// explainRead is for an answer that breaks off after its header.
func explainRead(err error, status, n int, at string, timeout time.Duration) *pdk.TransportError {
	out := &pdk.TransportError{Stage: StageRead, Ambiguous: true}
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		out.Stage = StageTimeout
		out.Message = fmt.Sprintf("%s answered with status %d but did not finish within %s", at, status, timeout)
		return out
	}
	out.Message = fmt.Sprintf("%s answered with status %d and broke off after %d bytes (%s)", at, status, n, plain(err))
	return out
}

func timeoutMessage(at, stage string, timeout time.Duration) string {
	switch stage {
	case StageDNS:
		return fmt.Sprintf("%s: its name was not resolved in time; check this machine's DNS servers", at)
	case StageConnect, "":
		return fmt.Sprintf("%s did not accept a connection in time; is it up, and does a firewall lie between?", at)
	case StageTLS:
		return fmt.Sprintf("%s did not finish the TLS handshake in time; is the port right?", at)
	}
	return fmt.Sprintf("%s did not answer within %s; it may have taken the request all the same", at, timeout)
}

func dnsMessage(e *net.DNSError, at string) string {
	switch {
	case e.IsNotFound:
		return fmt.Sprintf("%s: no such host; check its spelling and this machine's DNS", at)
	case e.IsTimeout:
		return fmt.Sprintf("%s: the DNS server did not answer; check this machine's DNS", at)
	}
	return fmt.Sprintf("%s: its name cannot be resolved (%s)", at, e.Err)
}

func connectMessage(err error, at string) string {
	switch {
	case isRefused(err):
		return fmt.Sprintf("%s refused the connection; is the service running, and is the port right?", at)
	case isUnreachable(err):
		return fmt.Sprintf("%s cannot be reached from here; check the address and the routes of this machine", at)
	}
	return fmt.Sprintf("%s: cannot connect (%s)", at, plain(err))
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	return errors.As(err, &record) || errors.As(err, &verify) || errors.As(err, &alert)
}

func tlsMessage(err error, at string) string {
	var record tls.RecordHeaderError
	var invalidCert x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var alert tls.AlertError
	switch {
	case errors.As(err, &record):
		return fmt.Sprintf("%s does not speak TLS; does the address have to begin with http://, or is the port wrong?", at)
	case errors.As(err, &invalidCert) && invalidCert.Reason == x509.Expired:
		c := invalidCert.Cert
		if c != nil && time.Now().Before(c.NotBefore) {
			return fmt.Sprintf("%s has a certificate that is valid only from %s; check both clocks", at, c.NotBefore.UTC().Format(time.DateOnly))
		}
		if c != nil {
			return fmt.Sprintf("%s has a certificate that expired on %s; it must be renewed there", at, c.NotAfter.UTC().Format(time.DateOnly))
		}
		return fmt.Sprintf("%s has a certificate that has expired; it must be renewed there", at)
	case errors.As(err, &authority):
		if c := authority.Cert; c != nil && c.Issuer.String() == c.Subject.String() {
			return fmt.Sprintf("%s has a self-signed certificate that this machine does not trust; add it to the system's certificate store", at)
		}
		return fmt.Sprintf("%s has a certificate of an authority that this machine does not trust; add the authority to the system's certificate store", at)
	case errors.As(err, &name):
		return fmt.Sprintf("%s has a certificate for another name; use the name in it: %s", at, certNames(name.Certificate))
	case errors.As(err, &invalidCert):
		return fmt.Sprintf("%s has a certificate that is not valid here (%s)", at, plain(invalidCert))
	case errors.As(err, &alert):
		return fmt.Sprintf("%s refused the TLS handshake (%s); it may want another TLS version or a client certificate", at, plain(alert))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("%s closed the connection during the TLS handshake; is the port right?", at)
	}
	return fmt.Sprintf("%s: the TLS handshake failed (%s)", at, plain(err))
}

func certNames(c *x509.Certificate) string {
	if c == nil {
		return "unknown"
	}
	var names []string
	names = append(names, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "it names none"
	}
	if len(names) > 4 {
		names = append(names[:4], "...")
	}
	return strings.Join(names, ", ")
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// plain is an error's innermost text: the outer layers repeat addresses, and may hold a URL.
func plain(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return err.Error()
}
