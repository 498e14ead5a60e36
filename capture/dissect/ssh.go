package dissect

import (
	"bytes"
	"fmt"
)

// sshProbes recognise SSH by its identification string (RFC 4253, 4.2).
var sshProbes = []probe{
	{proto: ProtoSSH, l4: l4TCP, first: "S", hint: []uint16{22}, match: matchSSH, read: readSSH},
}

func matchSSH(c *ctx) verdict {
	if prefix(c.b, "SSH-") {
		if len(c.b) > 7 && c.b[4] >= '1' && c.b[4] <= '2' && c.b[5] == '.' {
			return yes
		}
		if len(c.b) <= 7 {
			return more
		}
	}
	return no
}

// weakSSH are algorithms that no current implementation offers any more.
var weakSSH = []string{"arcfour", "arcfour128", "arcfour256", "none", "des-cbc", "3des-cbc", "blowfish-cbc", "cast128-cbc", "hmac-md5", "diffie-hellman-group1-sha1"}

// readSSH keeps both identification strings and looks at the algorithms offered behind them.
func readSSH(c *ctx) int {
	b := c.b
	m := c.meta()
	if m.SSH == nil {
		m.SSH = &SSH{}
	}
	mine := &m.SSH.Client
	risk := RiskSSHObsoleteClient
	if c.dir == 1 {
		mine, risk = &m.SSH.Server, RiskSSHObsoleteServer
	}
	at := 0
	if *mine == "" {
		l, n, ok := line(b)
		if !ok && len(b) < 256 {
			return 0
		}
		at = n
		*mine = c.text(l)
		if why := obsoleteSSH(l); why != "" {
			c.risk(risk, why)
		}
		if prefix(l, "SSH-1.") && !prefix(l, "SSH-1.99") {
			c.done()
			return at
		}
	}
	x := c.scratch()
	if rest := b[at:]; len(rest) >= 6 && x.seq[c.dir] == 0 {
		n := int(u32(rest))
		if n < 16 || n > maxStream || rest[5] != 20 { // the first binary packet is KEXINIT
			c.done()
			return len(b)
		}
		if len(rest) < 4+n {
			return at
		}
		x.seq[c.dir] = 1
		c.kexInit(rest[6:4+n], risk)
		at += 4 + n
	}
	if x.seq[0] == 1 && x.seq[1] == 1 || c.s.packets > 8 {
		c.done()
	}
	return at
}

// kexInit reads the ciphers a side offers (RFC 4253, 7.1): a cookie, then lists of names.
func (c *ctx) kexInit(b []byte, risk Risk) {
	if len(b) < 16 {
		return
	}
	b = b[16:]
	for k := 0; k < 4 && len(b) >= 4; k++ {
		n := int(u32(b))
		if n > len(b)-4 || n < 0 {
			return
		}
		list := b[4 : 4+n]
		b = b[4+n:]
		if k < 2 { // key exchange and host key
			continue
		}
		for name := range bytes.SplitSeq(list, []byte(",")) {
			for _, w := range weakSSH[:6] {
				if string(name) == w {
					c.risk(risk, "offers cipher "+w)
					return
				}
			}
		}
	}
}

// obsoleteSSH says why an identification string tells of an old implementation.
func obsoleteSSH(id []byte) string {
	if prefix(id, "SSH-1.") {
		return "protocol version 1"
	}
	_, rest, ok := bytes.Cut(id, []byte("OpenSSH_"))
	if !ok {
		return ""
	}
	if prefixFold(rest, "for_windows_") {
		rest = rest[12:]
	}
	if v, n := digits(rest); n > 0 && v < 7 {
		return fmt.Sprintf("OpenSSH %s", rest[:min(len(rest), 3)])
	}
	return ""
}
