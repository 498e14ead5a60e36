package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// syslogTarget is a receiver that the policy lets a request reach.
type syslogTarget struct {
	key  syslogKey
	host string // as in a certificate
	at   string // for messages
}

// syslog writes messages to a syslog receiver: RFC 5424 or RFC 3164 over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425) or
// the machine's own socket. No receiver confirms anything, so the response means "written", never "delivered". A request
// without messages makes the connection and no more. An error of a connection that broke tells in its parts which messages
// may have been taken; the others were not.
func (x *Executor) syslog(ctx context.Context, r *pdk.SyslogRequest, p Policy) (*pdk.Response, *pdk.TransportError) {
	t, terr := syslogTargetOf(r, &p)
	if terr != nil {
		return nil, terr
	}
	f, parts, terr := x.encodeSyslog(r)
	if terr != nil {
		return nil, terr
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	start := time.Now()
	for first := true; ; first = false {
		var c *syslogConn
		if first {
			c = x.syslogs.get(t.key)
		}
		if c == nil {
			if c, terr = x.dialSyslog(ctx, t, &p); terr != nil {
				x.opt.Log.DebugContext(ctx, "syslog failed", "to", t.at, "stage", terr.Stage, "took", time.Since(start))
				return nil, terr
			}
		}
		sent := time.Now()
		whole, rest, err := c.write(ctx, f)
		switch {
		case err != nil:
			err = c.reason(err)
		case !c.used && t.key.network != "local":
			err = c.settle(ctx)
		default:
			err = c.gone()
		}
		p.Trace.Step(StepSend, fmt.Sprintf("%d messages, %d bytes", len(f.ends), len(f.buf)), time.Since(sent), err)
		if err == nil {
			x.syslogs.put(t.key, c)
			x.opt.Log.DebugContext(ctx, "syslog written", "to", t.at, "messages", len(f.ends), "took", time.Since(start))
			return &pdk.Response{Parts: parts}, nil
		}
		c.Close()
		if c.used && whole == 0 && rest == 0 && ctx.Err() == nil {
			continue // the kept connection had died, and nothing of this request went into it
		}
		terr = syslogLost(err, t, c.used, whole, rest, parts, ctx.Err(), p.Timeout)
		x.opt.Log.DebugContext(ctx, "syslog failed", "to", t.at, "stage", terr.Stage, "took", time.Since(start))
		return nil, terr
	}
}

// syslogTargetOf checks where a request wants to go against the policy.
func syslogTargetOf(r *pdk.SyslogRequest, p *Policy) (syslogTarget, *pdk.TransportError) {
	port, secure := r.Port, false
	switch r.Network {
	case "local":
		switch {
		case r.Host != "" || r.Port != 0:
			return syslogTarget{}, invalid("network local is this machine's own syslog socket: leave host and port out")
		case !p.LocalSyslog:
			return syslogTarget{}, denied("this endpoint may not write to the machine's own syslog: its manifest must ask for it with [syslog], and an administrator grant it")
		}
		return syslogTarget{key: syslogKey{network: "local"}, at: "the local syslog socket"}, nil
	case "tls":
		secure = true
	case "udp", "tcp":
	default:
		return syslogTarget{}, invalid("network %q is not one of udp, tcp, tls, local", r.Network)
	}
	switch {
	case port < 0 || port > 65535:
		return syslogTarget{}, invalid("port %d: want 1 to 65535, or 0 for the network's own", port)
	case port == 0 && secure:
		port = 6514
	case port == 0:
		port = 514
	}
	host := r.Host
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	host = foldHost(host)
	if err := checkHost(host); err != nil {
		return syslogTarget{}, denied("%v", err)
	}
	at := net.JoinHostPort(host, strconv.Itoa(port))
	g, ok := p.match("syslog", host, port)
	if !ok {
		return syslogTarget{}, denied("syslog://%s is not among the hosts this endpoint may reach (%s)", at, grantList(p.Grants))
	}
	return syslogTarget{
		key:  syslogKey{network: r.Network, address: at, framing: r.Framing, open: g.openPrivate()},
		host: host, at: at,
	}, nil
}

// encodeSyslog writes all messages with their framing. The parts are those of a request that went well.
func (x *Executor) encodeSyslog(r *pdk.SyslogRequest) (*syslogFrames, []pdk.Part, *pdk.TransportError) {
	e := &syslogEncoder{max: maxSyslogStream, now: time.Now(), zone: time.Local}
	e.host, e.pid = syslogSelf()
	switch r.Format {
	case formatRFC3164:
		e.bsd = true
	case formatRFC5424, "":
	default:
		return nil, nil, invalid("format %q is not one of rfc5424, rfc3164", r.Format)
	}
	octets := false
	switch r.Network {
	case "udp":
		e.max = maxSyslogUDP
	case "local":
		e.max, e.local = maxSyslogLocal, true
	default:
		octets = r.Framing != framingLF
	}
	switch r.Framing {
	case framingOctets, framingLF, "":
	default:
		return nil, nil, invalid("framing %q is not one of octets, lf", r.Framing)
	}
	f := &syslogFrames{ends: make([]int, 0, len(r.Messages)), lf: !octets && r.Network != "udp"}
	parts := make([]pdk.Part, 0, len(r.Messages))
	var scratch []byte
	for i := range r.Messages {
		m := &r.Messages[i]
		err := e.check(m)
		var cut bool
		if err == nil {
			scratch, cut, err = e.append(scratch[:0], m)
		}
		if err != nil {
			return nil, nil, invalid("syslog message %d, for the delivery %s: %v", i+1, m.Delivery, err)
		}
		if octets {
			f.buf = strconv.AppendInt(f.buf, int64(len(scratch)), 10)
			f.buf = append(f.buf, ' ')
		}
		f.buf = append(f.buf, scratch...)
		if f.lf {
			f.buf = append(f.buf, '\n')
		}
		f.ends = append(f.ends, len(f.buf))
		if int64(len(f.buf)) > x.opt.MaxBody {
			return nil, nil, invalid("the syslog messages have more than %d bytes: send fewer in one request", x.opt.MaxBody)
		}
		part := pdk.Part{Name: m.Delivery, OK: true}
		if cut {
			part.Message = fmt.Sprintf("cut to fit into %d bytes", e.max)
		}
		parts = append(parts, part)
	}
	return f, parts, nil
}

// dialSyslog connects, with TLS where it is asked for.
func (x *Executor) dialSyslog(ctx context.Context, t syslogTarget, p *Policy) (*syslogConn, *pdk.TransportError) {
	if t.key.network == "local" {
		return x.dialLocalSyslog(ctx, p)
	}
	tr := &tracer{steps: p.Trace}
	network := t.key.network
	if network == "tls" {
		network = "tcp"
	}
	socket, err := x.dial(ctx, network, t.key.address, t.key.open, tr)
	if err != nil {
		return nil, explain(err, tr, t.at, p.Timeout)
	}
	if t.key.network != "tls" {
		return newSyslogConn(socket, socket, network == "tcp"), nil
	}
	c := tls.Client(socket, &tls.Config{ServerName: t.host, RootCAs: x.opt.RootCAs, MinVersion: tls.VersionTLS12})
	if err := tr.handshake(ctx, c); err != nil {
		socket.Close()
		terr := explain(err, tr, t.at, p.Timeout)
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			terr.Message = t.at + " does not speak TLS; is the port right, or is the receiver set up for plain TCP?"
		}
		return nil, terr
	}
	return newSyslogConn(c, socket, true), nil
}

// syslogSockets are where systems have their own: Linux, macOS, FreeBSD.
var syslogSockets = []string{"/dev/log", "/var/run/syslog", "/var/run/log"}

func (x *Executor) dialLocalSyslog(ctx context.Context, p *Policy) (*syslogConn, *pdk.TransportError) {
	paths := syslogSockets
	if x.opt.SyslogSocket != "" {
		paths = []string{x.opt.SyslogSocket}
	}
	var first error
	start := time.Now()
	for _, path := range paths {
		for _, network := range []string{"unixgram", "unix"} {
			c, err := (&net.Dialer{}).DialContext(ctx, network, path)
			if err == nil {
				p.Trace.Step(StepConnect, path, time.Since(start), nil)
				return newSyslogConn(c, c, network == "unix"), nil
			}
			if first == nil || errors.Is(first, syscall.ENOENT) {
				first = err
			}
			if !errors.Is(err, syscall.EPROTOTYPE) {
				break
			}
		}
	}
	p.Trace.Step(StepConnect, strings.Join(paths, ", "), time.Since(start), first)
	why := plain(first)
	if isRefused(first) {
		why = "nothing listens on it"
	}
	return nil, &pdk.TransportError{Stage: StageConnect, Message: fmt.Sprintf(
		"the local syslog socket %s cannot be reached (%s): start a syslog service, or set syslog_socket in the section egress of tocsin.toml",
		strings.Join(paths, ", "), why)}
}

// syslogLost tells what became of messages when their connection broke: those written to it may have arrived, with the one
// in the middle of which it broke; the rest did not.
func syslogLost(err error, t syslogTarget, used bool, whole, rest int, parts []pdk.Part, ended error, timeout time.Duration) *pdk.TransportError {
	out := &pdk.TransportError{Stage: StageSend}
	doubt := whole
	if rest > 0 {
		doubt++
	}
	op, _ := errors.AsType[*net.OpError](err)
	tail := ""
	switch {
	case len(parts) == 0:
	case doubt == len(parts):
		tail = "; it may have taken them all the same"
	case doubt > 0:
		tail = fmt.Sprintf("; it may have taken the first %d of %d messages", doubt, len(parts))
	default:
		tail = "; nothing was written"
	}
	switch {
	case errors.Is(ended, context.DeadlineExceeded):
		out.Stage = StageTimeout
		out.Message = fmt.Sprintf("%s did not take the messages within %s%s", t.at, timeout, tail)
	case ended != nil:
		out.Message = t.at + ": the request was stopped before all was written" + tail
	case !used && op != nil && op.Op == "remote error":
		// The TLS alert with which a server refuses a client's certificate, or its lack, comes after the client's side of
		// the handshake is done (RFC 8446, section 4.4.2.4). What was written was not looked at.
		out.Stage, doubt = StageTLS, 0
		out.Message = fmt.Sprintf("%s refused the TLS handshake (%s); it may want a client certificate, which tocsin has none of", t.at, plain(err))
	case t.key.network == "udp" && isRefused(err):
		if !used && whole <= 1 {
			doubt, tail = 0, ""
		}
		out.Stage = StageConnect
		out.Message = fmt.Sprintf("nothing listens on the UDP port of %s (an ICMP message says so)%s; is the service running, and is the port right?", t.at, tail)
	case !used && doubt == len(parts):
		out.Message = fmt.Sprintf("%s took the connection and closed it at once (%s); does it accept this machine as a client%s", t.at, plain(err), strings.Replace(tail, "; it", "? It", 1))
	default:
		out.Message = fmt.Sprintf("%s: the connection broke while messages were being written (%s)%s", t.at, plain(err), tail)
	}
	if out.Ambiguous = doubt > 0; out.Ambiguous {
		out.Parts = make([]pdk.Part, len(parts))
		for i := range parts {
			out.Parts[i] = pdk.Part{Name: parts[i].Name, Ambiguous: i < doubt, Message: "not sent"}
			if i < doubt {
				out.Parts[i].Message = "written before the connection broke"
			}
		}
	}
	return out
}
