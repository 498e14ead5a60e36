package pdk

import "encoding/base64"

// headers reads the list of names and values that several messages have.
func (r *reader) headers(l *[]Header) {
	for ok := r.array(); ok; {
		if ok = r.elem(); ok {
			*l = append(*l, Header{})
			top := &(*l)[len(*l)-1]
			r.two("name", &top.Name, "value", &top.Value)
		}
	}
}

// bytes reads a string in base64 (RFC 4648 section 4), as encoding/json writes bytes.
func (r *reader) bytes(v *[]byte) {
	at := r.pos
	var s string
	if r.str(&s); r.err != nil || s == "" {
		return
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		r.pos = at
		r.fail("want bytes in base64")
		return
	}
	*v = b
}

func (r *reader) smtpRequest(m *SMTPRequest) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "host":
			r.str(&m.Host)
		case "port":
			r.int(&m.Port)
		case "tls":
			r.str(&m.TLS)
		case "user":
			r.str(&m.User)
		case "password":
			r.str(&m.Password)
		case "from":
			r.str(&m.From)
		case "to":
			r.strings(&m.To)
		case "cc":
			r.strings(&m.Cc)
		case "subject":
			r.str(&m.Subject)
		case "message_id":
			r.str(&m.MessageID)
		case "references":
			r.strings(&m.References)
		case "headers":
			r.headers(&m.Headers)
		case "text":
			r.str(&m.Text)
		case "html":
			r.str(&m.HTML)
		case "attachments":
			for ok := r.array(); ok; {
				if ok = r.elem(); ok {
					m.Attachments = append(m.Attachments, Attachment{})
					r.attachment(&m.Attachments[len(m.Attachments)-1])
				}
			}
		case "verify":
			r.boolean(&m.Verify)
		default:
			r.skip()
		}
	}
}

func (r *reader) attachment(a *Attachment) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "name":
			r.str(&a.Name)
		case "type":
			r.str(&a.Type)
		case "data":
			r.bytes(&a.Data)
		default:
			r.skip()
		}
	}
}

func (r *reader) syslogRequest(s *SyslogRequest) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "network":
			r.str(&s.Network)
		case "host":
			r.str(&s.Host)
		case "port":
			r.int(&s.Port)
		case "format":
			r.str(&s.Format)
		case "framing":
			r.str(&s.Framing)
		case "messages":
			for ok := r.array(); ok; {
				if ok = r.elem(); ok {
					s.Messages = append(s.Messages, SyslogMessage{})
					r.syslogMessage(&s.Messages[len(s.Messages)-1])
				}
			}
		default:
			r.skip()
		}
	}
}

func (r *reader) syslogMessage(m *SyslogMessage) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "delivery":
			r.str(&m.Delivery)
		case "facility":
			r.int(&m.Facility)
		case "severity":
			r.int(&m.Severity)
		case "time":
			r.int64(&m.Time)
		case "hostname":
			r.str(&m.Hostname)
		case "app_name":
			r.str(&m.AppName)
		case "proc_id":
			r.str(&m.ProcID)
		case "msg_id":
			r.str(&m.MsgID)
		case "data":
			for ok := r.array(); ok; {
				if ok = r.elem(); ok {
					m.Data = append(m.Data, SDElement{})
					r.sdElement(&m.Data[len(m.Data)-1])
				}
			}
		case "text":
			r.str(&m.Text)
		default:
			r.skip()
		}
	}
}

func (r *reader) sdElement(e *SDElement) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "id":
			r.str(&e.ID)
		case "params":
			r.headers(&e.Params)
		default:
			r.skip()
		}
	}
}

func (r *reader) banRequest(b *BanRequest) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "jail":
			r.str(&b.Jail)
		case "action":
			r.str(&b.Action)
		case "addresses":
			r.strings(&b.Addresses)
		case "never_ban":
			r.strings(&b.NeverBan)
		default:
			r.skip()
		}
	}
}

func (r *reader) parts(l *[]Part) {
	for ok := r.array(); ok; {
		if ok = r.elem(); !ok {
			break
		}
		*l = append(*l, Part{})
		p := &(*l)[len(*l)-1]
		for ok := r.object(); ok; {
			var k string
			if k, ok = r.key(); !ok {
				break
			}
			switch k {
			case "name":
				r.str(&p.Name)
			case "ok":
				r.boolean(&p.OK)
			case "status":
				r.int(&p.Status)
			case "message":
				r.str(&p.Message)
			case "ambiguous":
				r.boolean(&p.Ambiguous)
			default:
				r.skip()
			}
		}
	}
}

// headers writes a list of names and values; none, if it is empty.
func (w *writer) headers(k string, l []Header) {
	if len(l) == 0 {
		return
	}
	w.list(k, len(l), func(w *writer, i int) {
		w.open()
		w.str("name", l[i].Name)
		w.str("value", l[i].Value)
		w.close()
	})
}

func (w *writer) stringsOpt(k string, v []string) {
	if len(v) > 0 {
		w.strings(k, v)
	}
}

func (w *writer) bytes(k string, v []byte) {
	w.name(k)
	w.dst = append(w.dst, '"')
	w.dst = base64.StdEncoding.AppendEncode(w.dst, v)
	w.dst = append(w.dst, '"')
}

func (w *writer) smtpRequest(m *SMTPRequest) {
	w.open()
	w.str("host", m.Host)
	w.intOpt("port", int64(m.Port))
	w.strOpt("tls", m.TLS)
	w.strOpt("user", m.User)
	w.strOpt("password", m.Password)
	w.str("from", m.From)
	w.strings("to", m.To)
	w.stringsOpt("cc", m.Cc)
	w.str("subject", m.Subject)
	w.strOpt("message_id", m.MessageID)
	w.stringsOpt("references", m.References)
	w.headers("headers", m.Headers)
	w.str("text", m.Text)
	w.strOpt("html", m.HTML)
	if len(m.Attachments) > 0 {
		w.list("attachments", len(m.Attachments), func(w *writer, i int) {
			a := &m.Attachments[i]
			w.open()
			w.str("name", a.Name)
			w.str("type", a.Type)
			w.bytes("data", a.Data)
			w.close()
		})
	}
	w.boolOpt("verify", m.Verify)
	w.close()
}

func (w *writer) syslogRequest(s *SyslogRequest) {
	w.open()
	w.str("network", s.Network)
	w.strOpt("host", s.Host)
	w.intOpt("port", int64(s.Port))
	w.strOpt("format", s.Format)
	w.strOpt("framing", s.Framing)
	w.list("messages", len(s.Messages), func(w *writer, i int) { w.syslogMessage(&s.Messages[i]) })
	w.close()
}

func (w *writer) syslogMessage(m *SyslogMessage) {
	w.open()
	w.str("delivery", m.Delivery)
	w.int("facility", int64(m.Facility))
	w.int("severity", int64(m.Severity))
	w.int("time", m.Time)
	w.strOpt("hostname", m.Hostname)
	w.str("app_name", m.AppName)
	w.strOpt("proc_id", m.ProcID)
	w.strOpt("msg_id", m.MsgID)
	if len(m.Data) > 0 {
		w.list("data", len(m.Data), func(w *writer, i int) {
			w.open()
			w.str("id", m.Data[i].ID)
			w.headers("params", m.Data[i].Params)
			w.close()
		})
	}
	w.str("text", m.Text)
	w.close()
}

func (w *writer) banRequest(b *BanRequest) {
	w.open()
	w.str("jail", b.Jail)
	w.str("action", b.Action)
	w.stringsOpt("addresses", b.Addresses)
	w.stringsOpt("never_ban", b.NeverBan)
	w.close()
}

func (w *writer) parts(k string, l []Part) {
	if len(l) == 0 {
		return
	}
	w.list(k, len(l), func(w *writer, i int) {
		p := &l[i]
		w.open()
		w.str("name", p.Name)
		w.name("ok")
		w.dst = AppendJSON(w.dst, p.OK)
		w.intOpt("status", int64(p.Status))
		w.strOpt("message", p.Message)
		w.boolOpt("ambiguous", p.Ambiguous)
		w.close()
	})
}
