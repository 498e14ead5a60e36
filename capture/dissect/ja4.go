package dissect

import (
	"crypto/sha256"
	"slices"
)

const hexDigits = "0123456789abcdef"

// ja4 is the TLS client fingerprint JA4 as FoxIO published it under BSD 3-Clause (technical_details/JA4.md in
// FoxIO-LLC/ja4): transport, version, server name, counts and ALPN; a hash of the sorted suites; a hash of the sorted
// extensions and the signature algorithms in their order.
func (c *ctx) ja4(h *hello, transport byte) string {
	var out [36]byte
	o := append(out[:0], transport)
	v := h.highest
	if v == 0 {
		v = h.version
	}
	o = append(o, ja4Version(v)...)
	if h.hasSNI {
		o = append(o, 'd')
	} else {
		o = append(o, 'i')
	}
	o = twoDigits(o, h.nCiphers)
	o = twoDigits(o, h.nExts)
	o = append(o, ja4ALPN(h.alpn)...)
	o = append(o, '_')

	buf := c.d.fpbuf[:0]
	list := h.ciphers[:h.nCiphers]
	slices.Sort(list)
	buf = hexList(buf, list)
	o = hash12(o, buf)
	o = append(o, '_')

	buf = buf[:0]
	list = h.exts[:h.nExts]
	slices.Sort(list)
	for _, e := range list {
		if e == extServerName || e == extALPN {
			continue
		}
		buf = hexList(buf, []uint16{e})
	}
	if h.nSigs > 0 {
		buf = append(buf, '_')
		n := len(buf)
		for _, s := range h.sigs[:h.nSigs] {
			if len(buf) > n {
				buf = append(buf, ',')
			}
			buf = append(buf, hexDigits[s>>12], hexDigits[s>>8&15], hexDigits[s>>4&15], hexDigits[s&15])
		}
	}
	o = hash12(o, buf)
	c.d.fpbuf = buf
	return c.d.strings.get(o)
}

func hexList(b []byte, l []uint16) []byte {
	for _, s := range l {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, hexDigits[s>>12], hexDigits[s>>8&15], hexDigits[s>>4&15], hexDigits[s&15])
	}
	return b
}

func hash12(o, b []byte) []byte {
	if len(b) == 0 {
		return append(o, "000000000000"...)
	}
	sum := sha256.Sum256(b)
	for _, x := range sum[:6] {
		o = append(o, hexDigits[x>>4], hexDigits[x&15])
	}
	return o
}

func twoDigits(o []byte, n int) []byte {
	n = min(n, 99)
	return append(o, byte('0'+n/10), byte('0'+n%10))
}

func ja4Version(v uint16) string {
	switch v {
	case 0x0002:
		return "s2"
	case 0x0300:
		return "s3"
	case 0x0301:
		return "10"
	case 0x0302:
		return "11"
	case 0x0303:
		return "12"
	case 0x0304:
		return "13"
	case 0xfeff:
		return "d1"
	case 0xfefd:
		return "d2"
	case 0xfefc:
		return "d3"
	}
	return "00"
}

// ja4ALPN is the first and last character of the first protocol offered, of its hex form if either is no letter or digit.
func ja4ALPN(a []byte) string {
	if len(a) == 0 {
		return "00"
	}
	f, l := a[0], a[len(a)-1]
	if alnum(f) && alnum(l) {
		return string([]byte{f, l})
	}
	return string([]byte{hexDigits[f>>4], hexDigits[l&15]})
}

func alnum(x byte) bool {
	return x >= '0' && x <= '9' || x >= 'a' && x <= 'z' || x >= 'A' && x <= 'Z'
}
