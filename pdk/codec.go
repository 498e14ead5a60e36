package pdk

// This file is the JSON of the messages, both ways. A new field of a type in types.go is written and read here; the
// differential test against encoding/json fails until it is.

// DecodeJSON reads a message. Unknown keys are skipped, null counts as missing. The error is a *SyntaxError that names
// the path of the value at fault.
func (m *RenderInput) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "now":
			r.int64(&m.Now)
		case "locale":
			r.str(&m.Locale)
		case "endpoint":
			r.params(&m.Endpoint)
		case "recipient":
			r.params(&m.Recipient)
		case "deliveries":
			for ok := r.array(); ok; {
				if ok = r.elem(); ok {
					m.Deliveries = grown(m.Deliveries, len(r.b)-r.pos)
					r.delivery(&m.Deliveries[len(m.Deliveries)-1])
				}
			}
		default:
			r.skip()
		}
	}
	return r.end()
}

// grown adds a delivery. When there is no room for it, it makes room for as many as may follow in the text that is left: a
// delivery is large, and growing step by step copies and clears a batch several times.
func grown(d []Delivery, left int) []Delivery {
	const least = 100 // bytes of a delivery: its names and its id
	if len(d) == cap(d) {
		more := left/least + 1
		if len(d) == 0 {
			more = min(more, 1+left/1000) // with its alert it takes as much
		}
		d = append(make([]Delivery, 0, len(d)+more), d...)
	}
	return append(d, Delivery{})
}

func (r *reader) params(p *Params) {
	if *p == nil {
		*p = Params{}
	}
	r.members(*p)
}

func (r *reader) delivery(d *Delivery) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "id":
			r.str(&d.ID)
		case "alert":
			r.space()
			from := r.pos
			r.alert(&d.Alert)
			if r.err == nil {
				d.Alert.Raw = []byte(r.b[from:r.pos])
			}
		case "text":
			r.str(&d.Text)
		case "subject":
			r.str(&d.Subject)
		case "plain":
			r.boolean(&d.Plain)
		case "attempt":
			r.int(&d.Attempt)
		case "provider_id":
			r.str(&d.ProviderID)
		default:
			r.skip()
		}
	}
}

// DecodeJSON reads an alert and keeps a copy of b in Raw.
func (a *Alert) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	r.alert(a)
	if err := r.end(); err != nil {
		return err
	}
	a.Raw = append([]byte(nil), b...)
	return nil
}

func (r *reader) alert(a *Alert) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "id":
			r.str(&a.ID)
		case "entity":
			r.str(&a.Entity)
		case "entity_id":
			r.int(&a.EntityID)
		case "entity_value":
			r.str(&a.EntityValue)
		case "alert_id":
			r.int(&a.AlertID)
		case "check":
			r.str(&a.Check)
		case "title":
			r.str(&a.Title)
		case "category":
			r.str(&a.Category)
		case "severity":
			r.str(&a.Severity)
		case "severity_id":
			r.int(&a.SeverityID)
		case "score":
			r.int(&a.Score)
		case "action":
			r.str(&a.Action)
		case "tstamp":
			r.int64(&a.Tstamp)
		case "time":
			r.str(&a.Time)
		case "message":
			r.str(&a.Message)
		case "advice":
			r.str(&a.Advice)
		case "link":
			r.str(&a.Link)
		case "test":
			r.boolean(&a.Test)
		case "engaged_tstamp":
			r.int64(&a.EngagedAt)
		case "key":
			r.str(&a.Key)
		case "interface":
			r.str(&a.Interface)
		default:
			r.alertSubject(a, k)
		}
	}
}

// alertSubject reads what an alert says of its host or flow.
func (r *reader) alertSubject(a *Alert, k string) {
	switch k {
	case "ip":
		r.str(&a.IP)
	case "name":
		r.str(&a.Name)
	case "mac":
		r.str(&a.MAC)
	case "local":
		r.boolean(&a.Local)
	case "attacker":
		r.str(&a.Attacker)
	case "victim":
		r.str(&a.Victim)
	case "value":
		r.float(&a.Value)
	case "threshold":
		r.float(&a.Threshold)
	case "l4":
		r.str(&a.L4)
	case "client":
		r.str(&a.Client)
	case "client_port":
		r.uint16(&a.ClientPort)
	case "server":
		r.str(&a.Server)
	case "server_port":
		r.uint16(&a.ServerPort)
	case "client_local":
		r.boolean(&a.ClientLocal)
	case "server_local":
		r.boolean(&a.ServerLocal)
	case "vlan":
		r.uint16(&a.VLAN)
	case "protocol":
		r.str(&a.Protocol)
	case "hostname":
		r.str(&a.Hostname)
	case "community_id":
		r.str(&a.CommunityID)
	case "first":
		r.int64(&a.First)
	case "last":
		r.int64(&a.Last)
	case "packets":
		r.pair(&a.Packets)
	case "bytes":
		r.pair(&a.Bytes)
	case "info":
		r.str(&a.Info)
	default:
		r.skip()
	}
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *RenderInput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.int("now", m.Now)
	w.str("locale", m.Locale)
	w.params("endpoint", m.Endpoint)
	w.params("recipient", m.Recipient)
	w.list("deliveries", len(m.Deliveries), func(w *writer, i int) {
		d := &m.Deliveries[i]
		w.open()
		w.str("id", d.ID)
		w.name("alert")
		if len(d.Alert.Raw) > 0 {
			w.dst = append(w.dst, d.Alert.Raw...)
		} else {
			w.dst = d.Alert.AppendJSON(w.dst)
		}
		w.str("text", d.Text)
		w.str("subject", d.Subject)
		w.boolOpt("plain", d.Plain)
		w.int("attempt", int64(d.Attempt))
		w.strOpt("provider_id", d.ProviderID)
		w.close()
	})
	return w.close()
}

// AppendJSON appends the alert's fields; Raw is not looked at.
func (a *Alert) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.str("id", a.ID)
	w.str("entity", a.Entity)
	w.int("entity_id", int64(a.EntityID))
	w.str("entity_value", a.EntityValue)
	w.int("alert_id", int64(a.AlertID))
	w.str("check", a.Check)
	w.str("title", a.Title)
	w.str("category", a.Category)
	w.str("severity", a.Severity)
	w.int("severity_id", int64(a.SeverityID))
	w.int("score", int64(a.Score))
	w.str("action", a.Action)
	w.int("tstamp", a.Tstamp)
	w.str("time", a.Time)
	w.str("message", a.Message)
	w.strOpt("advice", a.Advice)
	w.strOpt("link", a.Link)
	w.boolOpt("test", a.Test)
	w.intOpt("engaged_tstamp", a.EngagedAt)
	w.strOpt("key", a.Key)
	w.strOpt("interface", a.Interface)
	w.strOpt("ip", a.IP)
	w.strOpt("name", a.Name)
	w.strOpt("mac", a.MAC)
	w.boolOpt("local", a.Local)
	w.strOpt("attacker", a.Attacker)
	w.strOpt("victim", a.Victim)
	w.floatOpt("value", a.Value)
	w.floatOpt("threshold", a.Threshold)
	w.strOpt("l4", a.L4)
	w.strOpt("client", a.Client)
	w.intOpt("client_port", int64(a.ClientPort))
	w.strOpt("server", a.Server)
	w.intOpt("server_port", int64(a.ServerPort))
	w.boolOpt("client_local", a.ClientLocal)
	w.boolOpt("server_local", a.ServerLocal)
	w.intOpt("vlan", int64(a.VLAN))
	w.strOpt("protocol", a.Protocol)
	w.strOpt("hostname", a.Hostname)
	w.strOpt("community_id", a.CommunityID)
	w.intOpt("first", a.First)
	w.intOpt("last", a.Last)
	w.pairOpt("packets", a.Packets)
	w.pairOpt("bytes", a.Bytes)
	w.strOpt("info", a.Info)
	return w.close()
}

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *RenderOutput) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "requests":
			for ok := r.array(); ok; {
				if ok = r.elem(); ok {
					m.Requests = append(m.Requests, Request{})
					r.request(&m.Requests[len(m.Requests)-1])
				}
			}
		case "rejected":
			r.verdicts(&m.Rejected)
		default:
			r.skip()
		}
	}
	return r.end()
}

func (r *reader) request(q *Request) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "deliveries":
			r.strings(&q.Deliveries)
		case "http":
			if r.space() != 'n' {
				q.HTTP = new(HTTPRequest)
			}
			r.httpRequest(q.HTTP)
		case "smtp":
			if r.space() != 'n' {
				q.SMTP = new(SMTPRequest)
			}
			r.smtpRequest(q.SMTP)
		case "syslog":
			if r.space() != 'n' {
				q.Syslog = new(SyslogRequest)
			}
			r.syslogRequest(q.Syslog)
		case "exec":
			if r.space() != 'n' {
				q.Exec = new(ExecRequest)
			}
			r.execRequest(q.Exec)
		case "ban":
			if r.space() != 'n' {
				q.Ban = new(BanRequest)
			}
			r.banRequest(q.Ban)
		case "note":
			r.str(&q.Note)
		default:
			r.skip()
		}
	}
}

func (r *reader) httpRequest(h *HTTPRequest) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "method":
			r.str(&h.Method)
		case "url":
			r.str(&h.URL)
		case "headers":
			r.headers(&h.Headers)
		case "body":
			r.str(&h.Body)
		case "sign":
			if r.space() != 'n' {
				h.Sign = new(Sign)
			}
			r.sign(h.Sign)
		case "basic":
			if r.space() != 'n' {
				h.Basic = new(Basic)
				r.two("user", &h.Basic.User, "password", &h.Basic.Password)
			} else {
				r.skip()
			}
		default:
			r.skip()
		}
	}
}

// two reads an object of two strings.
func (r *reader) two(ka string, a *string, kb string, b *string) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case ka:
			r.str(a)
		case kb:
			r.str(b)
		default:
			r.skip()
		}
	}
}

func (r *reader) sign(s *Sign) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "scheme":
			r.str(&s.Scheme)
		case "id":
			r.str(&s.ID)
		case "keys":
			r.strings(&s.Keys)
		default:
			r.skip()
		}
	}
}

func (r *reader) execRequest(e *ExecRequest) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "script":
			r.str(&e.Script)
		case "args":
			r.strings(&e.Args)
		case "stdin":
			r.str(&e.Stdin)
		case "timeout_ms":
			r.int64(&e.TimeoutMS)
		case "verify":
			r.boolean(&e.Verify)
		default:
			r.skip()
		}
	}
}

func (r *reader) verdicts(l *[]Verdict) {
	for ok := r.array(); ok; {
		if ok = r.elem(); !ok {
			break
		}
		*l = append(*l, Verdict{})
		v := &(*l)[len(*l)-1]
		for ok := r.object(); ok; {
			var k string
			if k, ok = r.key(); !ok {
				break
			}
			switch k {
			case "delivery":
				r.str(&v.Delivery)
			case "outcome":
				r.str((*string)(&v.Outcome))
			case "retry_after_ms":
				r.int64(&v.RetryAfterMS)
			case "reason":
				r.str(&v.Reason)
			case "provider_id":
				r.str(&v.ProviderID)
			default:
				r.skip()
			}
		}
	}
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *RenderOutput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.list("requests", len(m.Requests), func(w *writer, i int) { w.request(&m.Requests[i]) })
	if len(m.Rejected) > 0 {
		w.verdicts("rejected", m.Rejected)
	}
	return w.close()
}

func (w *writer) request(q *Request) {
	w.open()
	w.strings("deliveries", q.Deliveries)
	if h := q.HTTP; h != nil {
		w.name("http")
		w.open()
		w.str("method", h.Method)
		w.str("url", h.URL)
		w.headers("headers", h.Headers)
		w.strOpt("body", h.Body)
		if s := h.Sign; s != nil {
			w.name("sign")
			w.open()
			w.str("scheme", s.Scheme)
			w.str("id", s.ID)
			w.strings("keys", s.Keys)
			w.close()
		}
		if b := h.Basic; b != nil {
			w.name("basic")
			w.open()
			w.str("user", b.User)
			w.str("password", b.Password)
			w.close()
		}
		w.close()
	}
	if q.SMTP != nil {
		w.name("smtp")
		w.smtpRequest(q.SMTP)
	}
	if q.Syslog != nil {
		w.name("syslog")
		w.syslogRequest(q.Syslog)
	}
	if e := q.Exec; e != nil {
		w.name("exec")
		w.open()
		w.str("script", e.Script)
		if len(e.Args) > 0 {
			w.strings("args", e.Args)
		}
		w.strOpt("stdin", e.Stdin)
		w.intOpt("timeout_ms", e.TimeoutMS)
		w.boolOpt("verify", e.Verify)
		w.close()
	}
	if q.Ban != nil {
		w.name("ban")
		w.banRequest(q.Ban)
	}
	w.strOpt("note", q.Note)
	w.close()
}

func (w *writer) verdicts(k string, l []Verdict) {
	w.list(k, len(l), func(w *writer, i int) {
		v := &l[i]
		w.open()
		w.strOpt("delivery", v.Delivery)
		w.str("outcome", string(v.Outcome))
		w.intOpt("retry_after_ms", v.RetryAfterMS)
		w.strOpt("reason", v.Reason)
		w.strOpt("provider_id", v.ProviderID)
		w.close()
	})
}
