package dissect

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
)

// quicProbes recognise QUIC by its long header (RFC 9000, RFC 9369, RFC 8999) and Google's QUIC by its public header.
var quicProbes = []probe{
	{proto: ProtoQUIC, l4: l4UDP, hint: []uint16{443, 784, 8853}, match: matchQUIC, read: readQUIC},
}

// quicState is what the reader of QUIC remembers of a flow: the key of the client's Initial packets and the hello as far
// as it came.
type quicState struct {
	aead    cipher.AEAD
	hp      cipher.Block
	iv      [12]byte
	opened  uint8 // decryptions tried
	hello   []byte
	have    []span // ranges of hello that are filled
	version uint32
}

type span struct{ from, to int }

// quicReader is working memory shared by all flows of a dissector.
type quicReader struct{ plain []byte }

const (
	maxQUICOpens = 10       // decryptions of a flow
	maxQUICHello = 16 << 10 // bytes of a ClientHello
	maxQUICSpans = 32
)

// Salts of Initial secrets: RFC 9001, RFC 9369, the drafts, and Google's and Facebook's versions of them.
var (
	saltV1  = []byte{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a}
	saltV2  = []byte{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9}
	salt29  = []byte{0xaf, 0xbf, 0xec, 0x28, 0x99, 0x93, 0xd2, 0x4c, 0x9e, 0x97, 0x86, 0xf1, 0x9c, 0x61, 0x11, 0xe0, 0x43, 0x90, 0xa8, 0x99}
	salt23  = []byte{0xc3, 0xee, 0xf7, 0x12, 0xc7, 0x2e, 0xbb, 0x5a, 0x11, 0xa7, 0xd2, 0x43, 0x2b, 0xb4, 0x63, 0x65, 0xbe, 0xf9, 0xf5, 0x02}
	salt21  = []byte{0x7f, 0xbc, 0xdb, 0x0e, 0x7c, 0x66, 0xbb, 0xe9, 0x2a, 0x96, 0xcd, 0x21, 0x51, 0x9e, 0xbd, 0x7a, 0x02, 0x15, 0xa6, 0x44}
	saltQ50 = []byte{0x50, 0x45, 0x74, 0xef, 0xd0, 0x66, 0xfe, 0x2f, 0x9d, 0x94, 0x5c, 0xfc, 0xdb, 0xd3, 0xa7, 0xf0, 0xd3, 0xb5, 0x6b, 0x45}
	saltT50 = []byte{0x7f, 0xf5, 0x79, 0xe5, 0xac, 0xd0, 0x72, 0x91, 0x55, 0x80, 0x30, 0x4c, 0x43, 0xa2, 0x36, 0x7c, 0x60, 0x48, 0x83, 0x10}
	saltT51 = []byte{0x7a, 0x4e, 0xde, 0xf4, 0xe7, 0xcc, 0xee, 0x5f, 0xa4, 0x50, 0x6c, 0x19, 0x12, 0x4f, 0xc8, 0xcc, 0xda, 0x6e, 0x03, 0x3d}
)

const quicV2 = 0x6b3343cf

// quicSalt returns the salt of a version, or nil if its packets cannot be read.
func quicSalt(v uint32) []byte {
	switch {
	case v == 1:
		return saltV1
	case v == quicV2, v == 0x709a50c4:
		return saltV2
	case v >= 0xff00001d && v <= 0xff000022:
		return salt29
	case v >= 0xff000017 && v < 0xff00001d, v == 0xfaceb002, v == 0xfaceb00e, v == 0xfaceb010:
		return salt23
	case v == 0xff000015, v == 0xff000016, v == 0xfaceb001:
		return salt21
	case v == 0x51303530: // Q050
		return saltQ50
	case v == 0x54303530: // T050
		return saltT50
	case v == 0x54303531: // T051
		return saltT51
	}
	return nil
}

// knownQUIC reports whether v is a version in use. Versions of the form 0x?a?a?a?a provoke negotiation (RFC 9000, 15).
func knownQUIC(v uint32) bool {
	switch {
	case v == 1, v == quicV2, v == 0x709a50c4, v>>8 == 0xff0000, v>>8 == 0xfaceb0, v&0x0f0f0f0f == 0x0a0a0a0a:
		return true
	}
	return isGQUIC(v)
}

// isGQUIC reports whether v reads "Q0nn" or "T0nn".
func isGQUIC(v uint32) bool {
	f, n := v>>16, v&0xffff
	return (f == 'Q'<<8|'0' || f == 'T'<<8|'0') && n>>8 >= '0' && n>>8 <= '9' && n&0xff >= '0' && n&0xff <= '9'
}

func matchQUIC(c *ctx) verdict {
	b := c.b
	if len(b) < 13 {
		return no
	}
	if b[0]&0x80 != 0 {
		v := u32(b[1:])
		if isGQUIC(v) && v < 0x51303530 { // Q046 to Q049: one byte holds both lengths
			return yes
		}
		dcid := int(b[5])
		if dcid > 20 || len(b) < 7+dcid || int(b[6+dcid]) > 20 {
			return no
		}
		switch {
		case v == 0: // version negotiation: a list of versions follows
			i := 7 + dcid + int(b[6+dcid])
			if len(b) < i+4 || (len(b)-i)%4 != 0 || !knownQUIC(u32(b[i:])) {
				return no
			}
		case !knownQUIC(v):
			return no
		case b[0]&0x40 == 0 && v&0x0f0f0f0f != 0x0a0a0a0a:
			return no
		}
		return yes
	}
	// Google QUIC up to Q043: flags with version and an eight byte connection id.
	if b[0]&0x09 == 0x09 && b[0]&0xc2 == 0 && isGQUIC(u32(b[9:])) {
		return yes
	}
	return no
}

func (c *ctx) quicMeta(v uint32) {
	m := c.meta()
	if m.QUIC == nil {
		m.QUIC = &QUIC{}
	}
	if m.QUIC.Version == 0 && v != 0 && v&0x0f0f0f0f != 0x0a0a0a0a {
		m.QUIC.Version = v
	}
}

// readQUIC looks for the client's hello in one datagram.
func readQUIC(c *ctx) int {
	b := c.b
	if len(b) < 13 {
		return len(b)
	}
	if b[0]&0x80 == 0 {
		if b[0]&0x09 == 0x09 && isGQUIC(u32(b[9:])) {
			c.quicMeta(u32(b[9:]))
			c.chlo(b)
		}
		if c.s.packets >= 4 {
			c.done()
		}
		return len(b)
	}
	if v := u32(b[1:]); isGQUIC(v) && v < 0x51303530 {
		c.quicMeta(v)
		c.chlo(b)
		if c.s.packets >= 4 {
			c.done()
		}
		return len(b)
	}
	for at := 0; at < len(b) && !c.s.done; {
		n := c.quicPacket(b[at:])
		if n <= 0 {
			break
		}
		at += n
	}
	if c.s.packets >= 12 {
		c.done()
	}
	return len(b)
}

// quicPacket reads one packet with a long header and returns its length, or 0 if nothing can follow it.
func (c *ctx) quicPacket(b []byte) int {
	if len(b) < 7 || b[0]&0x80 == 0 {
		return 0
	}
	v := u32(b[1:])
	c.quicMeta(v)
	dl := int(b[5])
	if dl > 20 || len(b) < 7+dl {
		return 0
	}
	dcid := b[6 : 6+dl]
	sl := int(b[6+dl])
	i := 7 + dl + sl
	if sl > 20 || len(b) <= i || v == 0 {
		return 0
	}
	typ := b[0] >> 4 & 3
	if v == quicV2 || v == 0x709a50c4 {
		typ = (typ + 3) & 3 // RFC 9369: Initial is 1
	}
	switch typ {
	case 0:
		tl, k := varint(b[i:])
		if k == 0 || tl > uint64(len(b)) || len(b) < i+k+int(tl) {
			return 0
		}
		i += k + int(tl)
	case 3: // Retry has no length
		if x := c.s.x; x != nil && x.quic != nil {
			x.quic.aead = nil
		}
		return 0
	}
	l, k := varint(b[i:])
	if k == 0 || l < 20 || l > uint64(len(b)) || len(b) < i+k+int(l) {
		return 0
	}
	i += k
	end := i + int(l)
	if typ == 0 {
		c.quicInitial(v, dcid, b[:end], i)
	}
	return end
}

// quicInitial decrypts a client's Initial packet (RFC 9001, 5) whose packet number stands at pn.
func (c *ctx) quicInitial(v uint32, dcid, b []byte, pn int) {
	x := c.scratch()
	if x.quic == nil {
		x.quic = &quicState{}
	}
	q := x.quic
	if q.opened >= maxQUICOpens || len(b) < pn+20 {
		return
	}
	salt := quicSalt(v)
	if salt == nil {
		return
	}
	fresh := false
	if q.aead == nil || q.version != v {
		if c.dir == 1 && q.opened > 0 {
			return
		}
		if !q.derive(v, salt, dcid) {
			return
		}
		fresh = true
	} else if c.dir == 1 {
		return
	}
	q.opened++
	plain, ok := q.open(&c.d.quic, b, pn)
	if !ok && !fresh && q.derive(v, salt, dcid) {
		q.opened++
		plain, ok = q.open(&c.d.quic, b, pn)
	}
	if !ok {
		q.aead = nil
		return
	}
	if isGQUIC(v) && v>>24 == 'Q' {
		c.chlo(plain)
		return
	}
	q.frames(plain)
	if m := q.complete(); m != nil {
		if m[0] == msgClientHello {
			c.clientHello(m[4:], 'q')
			c.tlsRisks()
		}
		c.done()
	}
}

// derive makes the keys that protect what a client sends to connection id dcid.
func (q *quicState) derive(v uint32, salt, dcid []byte) bool {
	prefix := "quic "
	if v == quicV2 || v == 0x709a50c4 {
		prefix = "quicv2 "
	}
	var initial, secret, key, iv, hp [32]byte
	hmac256(&initial, salt, dcid)
	expandLabel(&secret, &initial, "client in", 32)
	expandLabel(&key, &secret, prefix+"key", 16)
	expandLabel(&iv, &secret, prefix+"iv", 12)
	expandLabel(&hp, &secret, prefix+"hp", 16)
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		return false
	}
	if q.aead, err = cipher.NewGCM(block); err != nil {
		return false
	}
	if q.hp, err = aes.NewCipher(hp[:16]); err != nil {
		return false
	}
	copy(q.iv[:], iv[:])
	q.version = v
	return true
}

// expandLabel is HKDF-Expand-Label of RFC 8446, 7.1, with an empty context, for at most 32 bytes; those behind n are not
// part of the result.
func expandLabel(out, secret *[32]byte, label string, n int) {
	var info [48]byte
	b := append(info[:0], 0, byte(n), byte(6+len(label)))
	b = append(b, "tls13 "...)
	b = append(b, label...)
	b = append(b, 0, 1) // no context; the first block of HKDF-Expand
	hmac256(out, secret[:], b)
}

// hmac256 is HMAC-SHA-256 (RFC 2104) of a short message with a key of at most 64 bytes. It makes no allocation, which
// crypto/hmac cannot do; the keys here are public, so nothing needs to be kept from leaking through time.
func hmac256(out *[32]byte, key, msg []byte) {
	var b [64 + 64]byte
	var o [64 + 32]byte
	for i := range 64 {
		var k byte
		if i < len(key) {
			k = key[i]
		}
		b[i], o[i] = k^0x36, k^0x5c
	}
	n := copy(b[64:], msg)
	inner := sha256.Sum256(b[:64+n])
	copy(o[64:], inner[:])
	*out = sha256.Sum256(o[:])
}

// open removes the protection of header and payload. The result is valid until the next call.
func (q *quicState) open(r *quicReader, b []byte, pn int) ([]byte, bool) {
	var mask [16]byte
	q.hp.Encrypt(mask[:], b[pn+4:pn+20])
	first := b[0] ^ mask[0]&0x0f
	n := int(first&3) + 1
	var head [96]byte
	if pn > 1<<11 {
		return nil, false
	}
	hd := append(head[:0], b[:pn+n]...)
	hd[0] = first
	num := uint64(0)
	for k := range n {
		hd[pn+k] ^= mask[1+k]
		num = num<<8 | uint64(hd[pn+k])
	}
	nonce := q.iv
	for k := range 8 {
		nonce[11-k] ^= byte(num >> (8 * k))
	}
	out, err := q.aead.Open(r.plain[:0], nonce[:], b[pn+n:], hd)
	if err != nil {
		return nil, false
	}
	r.plain = out[:0]
	return out, true
}

// frames collects the CRYPTO frames of an Initial packet (RFC 9000, 19).
func (q *quicState) frames(b []byte) {
	for len(b) > 0 {
		t := b[0]
		b = b[1:]
		switch t {
		case 0, 1: // PADDING, PING
		case 2, 3: // ACK
			var v [4]uint64
			for k := range v {
				x, n := varint(b)
				if n == 0 {
					return
				}
				v[k], b = x, b[n:]
			}
			more := 2 * v[2]
			if t == 3 {
				more += 3
			}
			for ; more > 0; more-- {
				_, n := varint(b)
				if n == 0 {
					return
				}
				b = b[n:]
			}
		case 6: // CRYPTO
			off, n := varint(b)
			if n == 0 {
				return
			}
			b = b[n:]
			l, n := varint(b)
			if n == 0 || l > uint64(len(b)-n) {
				return
			}
			b = b[n:]
			if off+l <= maxQUICHello {
				q.add(int(off), b[:l])
			}
			b = b[l:]
		default:
			return
		}
	}
}

// add puts a piece of the hello in its place.
func (q *quicState) add(off int, p []byte) {
	end := off + len(p)
	if len(p) == 0 || len(q.have) >= maxQUICSpans {
		return
	}
	if end > len(q.hello) {
		q.hello = append(q.hello, make([]byte, end-len(q.hello))...)
	}
	copy(q.hello[off:], p)
	q.have = append(q.have, span{off, end})
}

// complete returns the hello with its header once all of it is there.
func (q *quicState) complete() []byte {
	reach := 0
	for grown := true; grown; {
		grown = false
		for _, s := range q.have {
			if s.from <= reach && s.to > reach {
				reach, grown = s.to, true
			}
		}
	}
	if reach < 4 {
		return nil
	}
	n := 4 + u24(q.hello[1:])
	if n > maxQUICHello || reach < n {
		return nil
	}
	return q.hello[:n]
}

// varint reads a number of RFC 9000, 16; n is the number of bytes, 0 if they are not there.
func varint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	v = uint64(b[0] & 0x3f)
	for _, x := range b[1:n] {
		v = v<<8 | uint64(x)
	}
	return v, n
}

// chlo reads the server name out of a hello of Google's own handshake: the word CHLO, a number of tags, then for each
// its name and the end of its value.
func (c *ctx) chlo(b []byte) {
	i := bytes.Index(b, []byte("CHLO"))
	if i < 0 || len(b) < i+8 {
		return
	}
	b = b[i+4:]
	n := int(le16(b))
	if n == 0 || n > 128 || len(b) < 4+8*n {
		return
	}
	tags, values := b[4:4+8*n], b[4+8*n:]
	start := 0
	for k := range n {
		tag, end := tags[8*k:8*k+4], int(le32(tags[8*k+4:]))
		if end < start || end > len(values) {
			break
		}
		if string(tag) == "SNI\x00" {
			t := c.tlsMeta()
			t.SNI = c.hostText(values[start:end])
			c.hostname(t.SNI)
		}
		start = end
	}
	c.done()
}
