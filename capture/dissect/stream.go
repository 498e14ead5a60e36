package dissect

// stream holds the bytes of one direction of a TCP flow that nothing has consumed yet, and a few segments that came
// before their turn.
type stream struct {
	buf  []byte
	held []segment
	size int // bytes in held
}

type segment struct {
	seq  uint32
	wire int
	data []byte
}

// maxHeld is the number of early segments kept of a direction.
const maxHeld = 6

func (d *Dissector) stream(s *State, dir uint8) *stream {
	if st := s.streams[dir]; st != nil {
		return st
	}
	var st *stream
	if n := len(d.freeStreams); n > 0 {
		st = d.freeStreams[n-1]
		d.freeStreams = d.freeStreams[:n-1]
	} else {
		st = &stream{}
	}
	s.streams[dir] = st
	return st
}

func (d *Dissector) putStream(st *stream) {
	if len(d.freeStreams) >= maxFree || cap(st.buf) > 2*maxStream {
		return
	}
	st.buf, st.size = st.buf[:0], 0
	clear(st.held)
	st.held = st.held[:0]
	d.freeStreams = append(d.freeStreams, st)
}

// tcp puts a segment in its place and lets the probes or the reader see what is in order. Segments of a flow that is not
// recognised yet are looked at in any case, since the capture may have begun in its middle.
func (d *Dissector) tcp(c *ctx) {
	s, p, dir := c.s, c.p, c.dir
	bit := uint8(1) << dir
	if s.cut&bit != 0 && s.found {
		s.count()
		return
	}
	b, wire := p.Payload, max(p.Wire, len(p.Payload))
	if s.seen&bit == 0 {
		s.seen |= bit
		s.next[dir] = p.Seq
	}
	switch delta := int32(p.Seq - s.next[dir]); {
	case delta < 0:
		over := -int64(delta)
		if over >= int64(wire) {
			if !s.found && over < maxStream && s.streams[dir] == nil {
				d.restart(c, b, wire) // older than all seen so far: perhaps the beginning came late
			}
			return
		}
		if over >= int64(len(b)) {
			return
		}
		b, wire = b[over:], wire-int(over)
	case delta > 0:
		if d.hold(c, b, wire) {
			if !s.found {
				d.peek(c, b)
			}
			return
		}
		// Too much is missing: the gap will not be filled any more.
		if s.found {
			s.cut |= bit
			s.count()
			return
		}
		d.forget(s, dir)
		s.next[dir] = p.Seq
	}
	d.inOrder(c, b, wire)
	d.drain(c)
}

// count ends a flow whose reader waits for bytes that do not come.
func (s *State) count() {
	if s.packets++; s.packets >= maxPackets || s.cut == 3 {
		s.done = true
	}
}

// restart looks at a segment from before the first one seen, and reads on from there if a probe knows it.
func (d *Dissector) restart(c *ctx, b []byte, wire int) {
	c.b = b
	if c.detect(&d.reg.tcp) == no || c.s.done {
		return
	}
	c.s.next[c.dir] = c.p.Seq
	d.inOrder(c, b, wire)
}

// peek shows an early segment to the probes, without keeping what they ask for.
func (d *Dissector) peek(c *ctx, b []byte) {
	s := c.s
	wait := s.wait[c.dir]
	s.wait[c.dir] = 0
	c.b = b
	if c.detect(&d.reg.tcp) == yes {
		if s.done {
			return
		}
		// Recognised in the middle: read on from here.
		d.forget(s, c.dir)
		s.next[c.dir] = c.p.Seq
		d.inOrder(c, b, max(c.p.Wire, len(b)))
		return
	}
	s.wait[c.dir] = wait
}

// inOrder lets the probes or the reader see b, which follows what was seen before, and keeps what they leave.
func (d *Dissector) inOrder(c *ctx, b []byte, wire int) {
	s, dir := c.s, c.dir
	s.next[dir] += uint32(wire)
	st := s.streams[dir]
	kept := st != nil && len(st.buf) > 0
	if kept {
		st.buf = append(st.buf, b...)
		c.b = st.buf
	} else {
		c.b = b
	}
	n := 0
	if !s.found {
		switch c.detect(&d.reg.tcp) {
		case no:
			n = len(c.b)
		case more, yes:
		}
	}
	if s.done {
		return
	}
	if s.found {
		for { // a reader may hand over to another one
			was := s.probe
			k := d.reg.tcp.probes[was-1].read(c)
			n += k
			c.b = c.b[k:]
			if s.probe == was || s.done || len(c.b) == 0 {
				break
			}
		}
		if s.packets++; s.packets >= maxPackets {
			s.done = true
		}
		if s.done {
			return
		}
	}
	bit := uint8(1) << dir
	switch {
	case kept:
		rest := st.buf[n:]
		if len(rest) > maxStream {
			d.overflow(s, dir, st)
			return
		}
		st.buf = st.buf[:copy(st.buf, rest)]
	case n < len(b):
		if len(b)-n > maxStream {
			d.overflow(s, dir, nil)
			return
		}
		st = d.stream(s, dir)
		st.buf = append(st.buf[:0], b[n:]...)
	}
	if wire > len(b) { // cut by the snap length
		if s.found {
			s.cut |= bit
		} else {
			d.forget(s, dir)
		}
	}
}

// overflow gives up on a direction that asks for more than is kept.
func (d *Dissector) overflow(s *State, dir uint8, st *stream) {
	if st != nil {
		st.buf = st.buf[:0]
	}
	s.wait[dir] = 0
	if s.found {
		s.cut |= 1 << dir
	}
}

// forget drops what is kept of a direction.
func (d *Dissector) forget(s *State, dir uint8) {
	s.wait[dir] = 0
	if st := s.streams[dir]; st != nil {
		s.streams[dir] = nil
		d.putStream(st)
	}
}

// hold keeps an early segment and reports whether there was room.
func (d *Dissector) hold(c *ctx, b []byte, wire int) bool {
	st := d.stream(c.s, c.dir)
	if len(st.held) >= maxHeld || st.size+len(b) > maxStream {
		return false
	}
	for i := range st.held {
		if st.held[i].seq == c.p.Seq {
			return true
		}
	}
	st.held = append(st.held, segment{c.p.Seq, wire, append([]byte(nil), b...)})
	st.size += len(b)
	return true
}

// drain reads the held segments whose turn has come.
func (d *Dissector) drain(c *ctx) {
	s, dir := c.s, c.dir
	for !s.done && s.cut&(1<<dir) == 0 {
		st := s.streams[dir]
		if st == nil || len(st.held) == 0 {
			return
		}
		best := -1
		for i := range st.held {
			if int32(st.held[i].seq-s.next[dir]) <= 0 {
				best = i
				break
			}
		}
		if best < 0 {
			return
		}
		g := st.held[best]
		st.held = append(st.held[:best], st.held[best+1:]...)
		st.size -= len(g.data)
		over := int(s.next[dir] - g.seq)
		if over >= len(g.data) {
			continue
		}
		d.inOrder(c, g.data[over:], g.wire-over)
	}
}
