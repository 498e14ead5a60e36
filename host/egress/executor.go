package egress

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// The stages of a transport error; see pdk.TransportError. StageInvalid means that the request itself is wrong, so that
// the same request can never be sent.
const (
	StageDNS     = "dns"
	StageConnect = "connect"
	StageTLS     = "tls"
	StageAuth    = "auth"
	StageSend    = "send"
	StageRead    = "read"
	StageTimeout = "timeout"
	StageStart   = "start"
	StageDenied  = "denied"
	StageInvalid = "invalid"
)

const (
	defaultTimeout     = 15 * time.Second
	defaultMaxResponse = 64 << 10
	defaultMaxBody     = 8 << 20
	maxScriptTime      = 5 * time.Minute
	maxRedirects       = 3
)

// Options configure an Executor. The zero value reaches public addresses directly and runs no scripts.
type Options struct {
	// Log gets one debug line for a request; default slog.Default().
	Log *slog.Logger
	// ScriptsDir is the folder of scripts; empty: no script runs.
	ScriptsDir string
	// AllowPrivate lists private ranges that host names may resolve to.
	AllowPrivate []netip.Prefix
	// Proxy is the URL of an HTTP, HTTPS or SOCKS5 proxy, or nil. It is for HTTP only: mail and syslog go past it. The
	// environment is not asked. A proxy resolves names by itself, so with one the address rules hold for hosts written as an
	// address or "localhost" only.
	Proxy *url.URL
	// UserAgent is sent where a request names none; default "tocsin".
	UserAgent string
	// Fail2ban is the path of fail2ban-client; empty: it is looked up in PATH.
	Fail2ban string
	// Fail2banSocket is the socket of the fail2ban server; empty: fail2ban-client's own default.
	Fail2banSocket string
	// NeverBan lists networks that no plug-in may ban addresses of, beside those that are never banned: see BanRequest.
	NeverBan []netip.Prefix
	// SyslogSocket is the machine's own syslog socket; empty: /dev/log, or the usual place of the system.
	SyslogSocket string
	// MaxBody bounds a request's body, a mail and a script's input, in bytes; default 8 MiB.
	MaxBody int64
	// Resolver resolves host names; default the system's.
	Resolver *net.Resolver
	// RootCAs are the certificate authorities trusted; default the system's.
	RootCAs *x509.CertPool
}

// Executor does requests. Safe for concurrent use; connections are kept and shared.
type Executor struct {
	opt Options
	// Two transports, because connections are reused by host name: one that was opened for a typed private address must
	// not serve a request that may not reach it.
	guarded, open *http.Transport
	syslogs       syslogPool
}

// New makes an executor. It opens nothing yet.
func New(o Options) (*Executor, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.UserAgent == "" {
		o.UserAgent = "tocsin"
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	if p := o.Proxy; p != nil {
		switch p.Scheme {
		case "http", "https", "socks5", "socks5h":
		default:
			return nil, fmt.Errorf("proxy scheme %q is unknown: write http://, https:// or socks5://", p.Scheme)
		}
		if p.Hostname() == "" {
			return nil, errors.New("the proxy's URL names no host: write http://host:port")
		}
	}
	x := &Executor{opt: o}
	x.guarded, x.open = x.transport(false), x.transport(true)
	return x, nil
}

// Close drops idle connections. Requests under way end by themselves.
func (x *Executor) Close() {
	x.guarded.CloseIdleConnections()
	x.open.CloseIdleConnections()
	x.syslogs.close()
}

// Do executes one request within a policy and gives either a response or the reason why there is none. Texts in both are
// free of the policy's secrets. It ends when ctx does.
func (x *Executor) Do(ctx context.Context, r *pdk.Request, p Policy) (*pdk.Response, *pdk.TransportError) {
	if p.Timeout <= 0 {
		p.Timeout = defaultTimeout
	}
	if p.MaxResponse <= 0 {
		p.MaxResponse = defaultMaxResponse
	}
	var resp *pdk.Response
	var terr *pdk.TransportError
	switch {
	case r == nil || r.Kind() == "":
		terr = invalid("a request must have exactly one of http, smtp, syslog, exec and ban")
	case r.HTTP != nil:
		resp, terr = x.doHTTP(ctx, r.HTTP, &p)
	case r.SMTP != nil:
		resp, terr = x.doSMTP(ctx, r, &p)
	case r.Syslog != nil:
		resp, terr = x.syslog(ctx, r.Syslog, p)
	case r.Exec != nil:
		resp, terr = x.doExec(ctx, r.Exec, &p)
	default:
		resp, terr = x.doBan(ctx, r.Ban, &p)
	}
	clean := func(s string) string { return strings.ToValidUTF8(p.Secrets.Redact(s), "\uFFFD") }
	p.Trace.clean(func(s string) string { return oneLine(clean(s)) })
	if terr != nil {
		terr.Message = oneLine(clean(terr.Message))
		return nil, terr
	}
	if resp.Truncated { // perhaps in the middle of a secret
		resp.Body, resp.Stderr = p.Secrets.cutTail(resp.Body), p.Secrets.cutTail(resp.Stderr)
	}
	resp.Body, resp.Stderr = clean(resp.Body), clean(resp.Stderr)
	for k, v := range resp.Headers {
		resp.Headers[k] = clean(v)
	}
	for i := range resp.Parts {
		resp.Parts[i].Name, resp.Parts[i].Message = clean(resp.Parts[i].Name), oneLine(clean(resp.Parts[i].Message))
	}
	return resp, nil
}

// oneLine keeps hostile text in an error from faking log lines or moving a terminal's cursor.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

func invalid(format string, args ...any) *pdk.TransportError {
	return &pdk.TransportError{Stage: StageInvalid, Message: fmt.Sprintf(format, args...)}
}

func denied(format string, args ...any) *pdk.TransportError {
	return &pdk.TransportError{Stage: StageDenied, Message: fmt.Sprintf(format, args...)}
}
