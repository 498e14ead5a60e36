package dissect

// scratch is the working memory of one flow while it is being read. It is pooled.
type scratch struct {
	tls  tlsState
	quic *quicState
	http httpState
	text textState
	rtp  rtpState
	seq  [2]uint32 // for probes that compare two packets
}

func (x *scratch) reset() {
	hs0, hs1, frag := x.tls.hs[0][:0], x.tls.hs[1][:0], x.tls.frag[:0]
	if cap(hs0)+cap(hs1)+cap(frag) > 4*maxStream {
		hs0, hs1, frag = nil, nil, nil
	}
	*x = scratch{}
	x.tls.hs[0], x.tls.hs[1], x.tls.frag = hs0, hs1, frag
}
