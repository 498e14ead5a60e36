package pdk

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *ClassifyInput) DecodeJSON(b []byte) error {
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
		case "request":
			r.requestInfo(&m.Request)
		case "response":
			if r.space() != 'n' {
				m.Response = new(Response)
			}
			r.response(m.Response)
		case "error":
			if r.space() != 'n' {
				m.Error = new(TransportError)
			}
			r.transportError(m.Error)
		case "plain":
			r.boolean(&m.Plain)
		default:
			r.skip()
		}
	}
	return r.end()
}

func (r *reader) requestInfo(q *RequestInfo) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "deliveries":
			r.strings(&q.Deliveries)
		case "kind":
			r.str(&q.Kind)
		case "note":
			r.str(&q.Note)
		default:
			r.skip()
		}
	}
}

func (r *reader) response(p *Response) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "status":
			r.int(&p.Status)
		case "headers":
			for ok := r.object(); ok; {
				var h string
				if h, ok = r.key(); !ok {
					break
				}
				var v string
				r.str(&v)
				if p.Headers == nil {
					p.Headers = map[string]string{}
				}
				p.Headers[h] = v
			}
		case "body":
			r.str(&p.Body)
		case "stderr":
			r.str(&p.Stderr)
		case "truncated":
			r.boolean(&p.Truncated)
		case "parts":
			r.parts(&p.Parts)
		default:
			r.skip()
		}
	}
}

func (r *reader) transportError(e *TransportError) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "stage":
			r.str(&e.Stage)
		case "message":
			r.str(&e.Message)
		case "ambiguous":
			r.boolean(&e.Ambiguous)
		case "parts":
			r.parts(&e.Parts)
		default:
			r.skip()
		}
	}
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *ClassifyInput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.int("now", m.Now)
	w.name("request")
	w.open()
	w.strings("deliveries", m.Request.Deliveries)
	w.str("kind", m.Request.Kind)
	w.strOpt("note", m.Request.Note)
	w.close()
	if p := m.Response; p != nil {
		w.name("response")
		w.open()
		w.int("status", int64(p.Status))
		if len(p.Headers) > 0 {
			w.name("headers")
			w.dst = appendStringMap(w.dst, p.Headers)
		}
		w.strOpt("body", p.Body)
		w.strOpt("stderr", p.Stderr)
		w.boolOpt("truncated", p.Truncated)
		w.parts("parts", p.Parts)
		w.close()
	}
	if e := m.Error; e != nil {
		w.name("error")
		w.open()
		w.str("stage", e.Stage)
		w.str("message", e.Message)
		w.boolOpt("ambiguous", e.Ambiguous)
		w.parts("parts", e.Parts)
		w.close()
	}
	w.boolOpt("plain", m.Plain)
	return w.close()
}

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *ClassifyOutput) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		if k == "verdicts" {
			r.verdicts(&m.Verdicts)
		} else {
			r.skip()
		}
	}
	return r.end()
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *ClassifyOutput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.verdicts("verdicts", m.Verdicts)
	return w.close()
}

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *LintInput) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "endpoint":
			r.params(&m.Endpoint)
		case "recipient":
			r.params(&m.Recipient)
		default:
			r.skip()
		}
	}
	return r.end()
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *LintInput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.params("endpoint", m.Endpoint)
	if m.Recipient != nil {
		w.params("recipient", m.Recipient)
	}
	return w.close()
}

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *LintOutput) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		if k != "problems" {
			r.skip()
			continue
		}
		for ok := r.array(); ok; {
			if ok = r.elem(); ok {
				m.Problems = append(m.Problems, Problem{})
				p := &m.Problems[len(m.Problems)-1]
				r.two("field", &p.Field, "message", &p.Message)
			}
		}
	}
	return r.end()
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *LintOutput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.list("problems", len(m.Problems), func(w *writer, i int) {
		w.open()
		w.str("field", m.Problems[i].Field)
		w.str("message", m.Problems[i].Message)
		w.close()
	})
	return w.close()
}

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *ProbeInput) DecodeJSON(b []byte) error {
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
		default:
			r.skip()
		}
	}
	return r.end()
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *ProbeInput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.int("now", m.Now)
	w.str("locale", m.Locale)
	w.params("endpoint", m.Endpoint)
	if len(m.Recipient) > 0 {
		w.params("recipient", m.Recipient)
	}
	return w.close()
}

// DecodeJSON reads a message; see RenderInput.DecodeJSON.
func (m *ProbeOutput) DecodeJSON(b []byte) error {
	var own steps
	r := reader{b: string(b), path: own[:0]}
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		if k != "steps" {
			r.skip()
			continue
		}
		for ok := r.array(); ok; {
			if ok = r.elem(); !ok {
				break
			}
			m.Steps = append(m.Steps, ProbeStep{})
			r.probeStep(&m.Steps[len(m.Steps)-1])
		}
	}
	return r.end()
}

func (r *reader) probeStep(s *ProbeStep) {
	for ok := r.object(); ok; {
		var k string
		if k, ok = r.key(); !ok {
			break
		}
		switch k {
		case "title":
			r.str(&s.Title)
		case "request":
			r.request(&s.Request)
		default:
			r.skip()
		}
	}
}

// AppendJSON appends the message to dst and returns the longer slice.
func (m *ProbeOutput) AppendJSON(dst []byte) []byte {
	w := writer{dst: dst}
	w.open()
	w.list("steps", len(m.Steps), func(w *writer, i int) {
		w.open()
		w.str("title", m.Steps[i].Title)
		w.name("request")
		w.request(&m.Steps[i].Request)
		w.close()
	})
	return w.close()
}
