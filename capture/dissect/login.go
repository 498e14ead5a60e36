package dissect

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// loginProbes recognise the line protocols that ask for a name and a password: FTP (RFC 959), SMTP (RFC 5321), POP3
// (RFC 1939), IMAP (RFC 9051), IRC (RFC 2812) and Telnet (RFC 854).
var loginProbes = []probe{
	{proto: ProtoFTP, l4: l4TCP, first: "2UAFSuPp5", hint: []uint16{21}, match: matchFTP, read: readFTP},
	{proto: ProtoSMTP, l4: l4TCP, first: "2EHehM45", hint: []uint16{25, 587}, match: matchSMTP, read: readSMTP},
	{proto: ProtoPOP3, l4: l4TCP, first: "+-UCAuca", hint: []uint16{110}, match: matchPOP3, read: readPOP3},
	{proto: ProtoIMAP, l4: l4TCP, first: "*0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", ports: []uint16{143}, hint: []uint16{143}, match: matchIMAP, read: readIMAP},
	{proto: ProtoIRC, l4: l4TCP, first: ":NUPCJ", match: matchIRC, read: readIRC},
	{proto: ProtoTelnet, l4: l4TCP, first: "\xff", match: matchTelnet, read: readTelnet},
}

// textState is what the readers of line protocols remember of a flow.
type textState struct {
	user     string
	starttls bool
	login    uint8 // AUTH LOGIN: 1 the name comes next, 2 the password
	prompt   uint8 // Telnet: 1 the client types a name, 2 a password
	typed    []byte
	lines    uint8
}

// maxTextLines is the number of lines read of a dialogue before its reader gives up on a login.
const maxTextLines = 60

// eachLine calls f for every whole line and returns the bytes they took.
func (c *ctx) eachLine(f func(l []byte)) int {
	x := &c.scratch().text
	at := 0
	for at < len(c.b) && !c.s.done {
		l, n, ok := line(c.b[at:])
		if !ok {
			if len(l) > 4096 {
				c.done()
			}
			break
		}
		was := c.s.probe
		at += n
		f(l)
		if x.lines++; x.lines > maxTextLines {
			c.done()
		}
		if c.s.probe != was {
			break
		}
	}
	return at
}

func status(b []byte, code string) bool {
	return prefix(b, code) && len(b) > 3 && (b[3] == ' ' || b[3] == '-' || b[3] == '\r')
}

func matchFTP(c *ctx) verdict {
	b := c.b
	port := c.p.ServerPort == 21
	switch {
	case status(b, "220"):
		l, _, _ := line(b)
		low := bytes.ToLower(l)
		if bytes.Contains(low, []byte("smtp")) {
			return no
		}
		if port || bytes.Contains(low, []byte("ftp")) {
			return yes
		}
	case !port && c.p.ServerPort == 110:
	case status(b, "230"), status(b, "331"), status(b, "530"):
		if port {
			return yes
		}
	case prefixFold(b, "user "), prefixFold(b, "pass "), prefixFold(b, "auth tls"), prefixFold(b, "auth ssl"), prefixFold(b, "syst\r\n"), prefixFold(b, "feat\r\n"), prefixFold(b, "pasv\r\n"):
		if l, n, ok := line(b); ok && printable(l) && n >= len(b)-2 && c.dir == 0 && (port || n == len(b)) && !prefix(b, "USER anonymous ") && len(l) < 128 && bytes.Count(l, []byte(" ")) <= 1+btoi(port)*8 {
			return yes
		}
	}
	return no
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func readFTP(c *ctx) int {
	x := &c.scratch().text
	return c.eachLine(func(l []byte) {
		if c.dir == 0 {
			switch {
			case prefixFold(l, "user "):
				x.user = c.text(bytes.TrimSpace(l[5:]))
				c.credentials(ProtoFTP, x.user, false)
			case prefixFold(l, "pass"):
				c.credentials(ProtoFTP, x.user, true)
			case prefixFold(l, "auth tls"), prefixFold(l, "auth ssl"):
				x.starttls = true
			}
			return
		}
		switch {
		case status(l, "234") && x.starttls:
			c.becomeTLS()
		case status(l, "230"):
			if x.lines > 8 {
				c.done()
			}
		case status(l, "421"):
			c.done()
		case status(l, "530"):
			c.risk(RiskErrorCode, "FTP status 530")
		}
	})
}

func matchSMTP(c *ctx) verdict {
	b := c.b
	port := c.p.ServerPort == 25 || c.p.ServerPort == 587
	switch {
	case status(b, "220"):
		l, _, _ := line(b)
		if port || bytes.Contains(bytes.ToUpper(l), []byte("SMTP")) {
			return yes
		}
	case prefixFold(b, "ehlo ") || prefixFold(b, "helo "):
		if l, _, ok := line(b); ok && printable(l) && len(l) < 300 {
			return yes
		}
	case prefixFold(b, "mail from:"):
		return yes
	case status(b, "421"), status(b, "554"), status(b, "250"):
		if port && c.dir == 1 {
			return yes
		}
	}
	return no
}

func readSMTP(c *ctx) int {
	x := &c.scratch().text
	return c.eachLine(func(l []byte) {
		if c.dir == 1 {
			if status(l, "220") && x.starttls {
				c.protocol(ProtoSMTPS)
				c.becomeTLS()
			}
			return
		}
		switch {
		case x.login == 1:
			x.login = 2
			c.credentials(ProtoSMTP, c.decoded(l), false)
		case x.login == 2:
			x.login = 0
			c.credentials(ProtoSMTP, "", true)
		case prefixFold(l, "starttls"):
			x.starttls = true
		case prefixFold(l, "auth plain "):
			c.credentials(ProtoSMTP, c.plainUser(l[11:]), true)
		case prefixFold(l, "auth login"):
			x.login = 1
			if rest := bytes.TrimSpace(l[10:]); len(rest) > 0 {
				x.login = 2
				c.credentials(ProtoSMTP, c.decoded(rest), false)
			}
		case prefixFold(l, "data"), prefixFold(l, "quit"):
			c.done()
		}
	})
}

// decoded reads base64 text.
func (c *ctx) decoded(l []byte) string {
	out, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(l[:min(len(l), maxString)])))
	if err != nil {
		return ""
	}
	return c.text(out)
}

// plainUser reads the user out of SASL PLAIN (RFC 4616): authorisation, user and password with NUL between them.
func (c *ctx) plainUser(l []byte) string {
	out, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(l[:min(len(l), maxString)])))
	if err != nil {
		return ""
	}
	parts := bytes.SplitN(out, []byte{0}, 3)
	if len(parts) < 2 {
		return ""
	}
	user := c.text(parts[1])
	clear(out)
	return user
}

func matchPOP3(c *ctx) verdict {
	b := c.b
	switch {
	case prefix(b, "+OK"):
		if l, _, ok := line(b); ok && (len(l) == 3 || l[3] == ' ') {
			return yes
		}
	case c.p.ServerPort != 110:
	case prefix(b, "-ERR"), prefixFold(b, "user "), prefixFold(b, "capa"), prefixFold(b, "auth"), prefixFold(b, "apop "):
		return yes
	}
	return no
}

func readPOP3(c *ctx) int {
	x := &c.scratch().text
	return c.eachLine(func(l []byte) {
		if c.dir == 1 {
			if x.starttls && prefix(l, "+OK") {
				c.protocol(ProtoPOPS)
				c.becomeTLS()
			}
			return
		}
		switch {
		case x.login == 1: // the answer to AUTH PLAIN
			x.login = 0
			c.credentials(ProtoPOP3, c.plainUser(l), true)
		case prefixFold(l, "user "):
			x.user = c.text(bytes.TrimSpace(l[5:]))
			c.credentials(ProtoPOP3, x.user, false)
		case prefixFold(l, "pass "):
			c.credentials(ProtoPOP3, x.user, true)
		case prefixFold(l, "auth plain"):
			if rest := bytes.TrimSpace(l[10:]); len(rest) > 0 {
				c.credentials(ProtoPOP3, c.plainUser(rest), true)
			} else {
				x.login = 1
			}
		case prefixFold(l, "stls"):
			x.starttls = true
		case prefixFold(l, "retr"), prefixFold(l, "quit"):
			c.done()
		}
	})
}

func matchIMAP(c *ctx) verdict {
	b := c.b
	if prefix(b, "* OK ") || prefix(b, "* PREAUTH ") || prefix(b, "* BYE ") {
		return yes
	}
	l, _, ok := line(b)
	if !ok {
		return no
	}
	tag, rest, found := bytes.Cut(l, []byte(" "))
	if !found || len(tag) > 16 {
		return no
	}
	for _, w := range []string{"login ", "capability", "authenticate ", "starttls", "select ", "noop", "logout", "id ", "ok ", "no ", "bad "} {
		if prefixFold(rest, w) {
			return yes
		}
	}
	return no
}

func readIMAP(c *ctx) int {
	x := &c.scratch().text
	return c.eachLine(func(l []byte) {
		if c.dir == 1 {
			if _, rest, ok := bytes.Cut(l, []byte(" ")); x.starttls && ok && l[0] != '*' && prefixFold(rest, "ok") {
				c.protocol(ProtoIMAPS)
				c.becomeTLS()
			}
			return
		}
		if x.login == 1 {
			x.login = 0
			c.credentials(ProtoIMAP, c.plainUser(l), true)
			return
		}
		_, rest, _ := bytes.Cut(l, []byte(" "))
		switch {
		case prefixFold(rest, "login "):
			user, _, _ := bytes.Cut(bytes.TrimSpace(rest[6:]), []byte(" "))
			c.credentials(ProtoIMAP, c.text(bytes.Trim(user, `"`)), true)
		case prefixFold(rest, "authenticate plain"):
			if r := bytes.TrimSpace(rest[18:]); len(r) > 0 {
				c.credentials(ProtoIMAP, c.plainUser(r), true)
			} else {
				x.login = 1
			}
		case prefixFold(rest, "starttls"):
			x.starttls = true
		case prefixFold(rest, "select"), prefixFold(rest, "logout"):
			c.done()
		}
	})
}

func matchIRC(c *ctx) verdict {
	b := c.b
	l, n, ok := line(b)
	if !ok || len(l) > 512 || !printable(l) {
		return no
	}
	switch {
	case prefix(b, "NICK ") && (n == len(b) || bytes.Contains(b[n:], []byte("USER "))), prefix(b, "CAP LS"), prefix(b, "PASS ") && bytes.Contains(b[n:], []byte("NICK ")):
		return yes
	case prefix(b, "USER ") && bytes.Count(l, []byte(" ")) >= 4 && bytes.Contains(l, []byte(" :")):
		return yes
	case prefix(b, "NOTICE AUTH :"), prefix(b, ":") && (bytes.Contains(l, []byte(" NOTICE ")) || bytes.Contains(l, []byte(" 001 "))):
		return yes
	}
	return no
}

func readIRC(c *ctx) int {
	x := &c.scratch().text
	return c.eachLine(func(l []byte) {
		if c.dir != 0 {
			return
		}
		switch {
		case prefix(l, "NICK "):
			x.user = c.text(l[5:])
		case prefix(l, "USER "):
			user, _, _ := bytes.Cut(l[5:], []byte(" "))
			c.credentials(ProtoIRC, c.text(user), false)
		case prefix(l, "PASS "):
			c.credentials(ProtoIRC, x.user, true)
		case prefix(l, "JOIN "):
			c.done()
		}
	})
}

// matchTelnet looks for negotiation: IAC, WILL to DONT, and an option.
func matchTelnet(c *ctx) verdict {
	b := c.b
	if len(b) < 3 {
		return no
	}
	n := 0
	for len(b) >= 3 && b[0] == 0xff {
		switch {
		case b[1] >= 0xfb && b[1] <= 0xfe && (b[2] < 0x40 || b[2] >= 0x80 && b[2] <= 0x8f):
			b = b[3:]
		case b[1] == 0xfa:
			i := bytes.Index(b, []byte{0xff, 0xf0})
			if i < 0 {
				return no
			}
			b = b[i+2:]
		default:
			return no
		}
		n++
	}
	if n > 1 || n == 1 && len(b) == 0 || n == 1 && c.p.ServerPort == 23 {
		return yes
	}
	return no
}

// readTelnet follows the dialogue until a password was typed.
func readTelnet(c *ctx) int {
	x := &c.scratch().text
	text := make([]byte, 0, min(len(c.b), 256))
	for i := 0; i < len(c.b) && len(text) < 256; i++ {
		if c.b[i] == 0xff {
			i += 2
			continue
		}
		text = append(text, c.b[i])
	}
	if c.dir == 1 {
		low := strings.ToLower(string(text))
		low = strings.TrimRight(low, " \x00")
		switch {
		case strings.HasSuffix(low, "password:"):
			x.prompt, x.typed = 2, x.typed[:0]
		case strings.HasSuffix(low, "login:"), strings.HasSuffix(low, "username:"), strings.HasSuffix(low, "user:"):
			x.prompt, x.typed = 1, x.typed[:0]
		}
		return len(c.b)
	}
	for _, k := range text {
		if x.prompt == 0 {
			break
		}
		if k != '\r' && k != '\n' {
			if len(x.typed) < 64 && k >= 0x20 {
				x.typed = append(x.typed, k)
			}
			continue
		}
		if x.prompt == 1 {
			if len(x.typed) > 0 {
				x.user = c.text(x.typed)
			}
			x.prompt = 0
			break
		}
		clear(x.typed)
		c.credentials(ProtoTelnet, x.user, true)
		c.done()
		break
	}
	if c.s.packets > 36 {
		c.done()
	} else if x.prompt != 0 && c.s.packets > 20 {
		c.s.packets = 20 // a person types one letter a packet
		if x.lines++; x.lines > maxTextLines {
			c.done()
		}
	}
	return len(c.b)
}
