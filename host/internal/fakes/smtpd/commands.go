package smtpd

import (
	"encoding/base64"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var commands = map[string]func(c *session, arg string) step{
	"EHLO": (*session).ehlo, "HELO": (*session).helo, "STARTTLS": (*session).startTLS, "AUTH": (*session).auth, "MAIL": (*session).from,
	"RCPT": (*session).rcpt, "DATA": (*session).dataCommand, "RSET": (*session).rset, "NOOP": (*session).noop, "QUIT": (*session).quit,
}

// ehlo answers EHLO with the extensions, one a line.
func (c *session) ehlo(arg string) step {
	if !domain(arg, false) && !literal(arg) {
		return c.no(501, "5.5.4 %q is neither a domain nor an address in brackets", arg)
	}
	lines := []string{c.s.Name + " greets " + arg, "ENHANCEDSTATUSCODES"}
	for _, x := range []struct {
		name, line string
		also       bool
	}{
		{"PIPELINING", "PIPELINING", true},
		{"SIZE", "SIZE " + strconv.Itoa(c.s.MaxSize), true},
		{"8BITMIME", "8BITMIME", true},
		{"SMTPUTF8", "SMTPUTF8", true},
		{"STARTTLS", "STARTTLS", c.s.Certificate != nil && !c.secure},
		{"AUTH", "AUTH " + strings.Join(c.s.Mechanisms, " "), len(c.s.Users) > 0 && (c.secure || c.s.Clear)},
	} {
		if x.also && c.s.offers(x.name) {
			lines = append(lines, x.line)
		}
	}
	return step{reply: Reply{Code: 250, Text: strings.Join(lines, "\n")}, arg: arg, do: func() { c.hello, c.plain, c.mail = arg, false, nil }}
}

func (c *session) helo(arg string) step {
	if !domain(arg, false) {
		return c.no(501, "5.5.4 %q is no domain", arg)
	}
	return step{reply: Reply{Code: 250, Text: c.s.Name}, arg: arg, do: func() { c.hello, c.plain, c.mail = arg, true, nil }}
}

// startTLS is RFC 3207: whatever was said before is forgotten.
func (c *session) startTLS(arg string) step {
	switch {
	case arg != "":
		return c.no(501, "5.5.4 STARTTLS has no argument")
	case c.hello == "" || c.plain || c.secure || c.mail != nil || c.s.Certificate == nil || !c.s.offers("STARTTLS"):
		return c.no(503, "5.5.1 STARTTLS has no place here")
	case c.r.Buffered() > 0: // it would be taken for what came through TLS (CVE-2011-0411)
		return c.no(554, "5.5.1 there is more behind STARTTLS")
	}
	return step{reply: Reply{Code: 220, Text: "2.0.0 go ahead"}, then: func() bool {
		c.hello, c.user = "", ""
		if c.handshake() {
			return true
		}
		c.excused = true
		return false
	}}
}

// auth is RFC 4954 with PLAIN (RFC 4616) and LOGIN.
func (c *session) auth(arg string) step {
	mechanism, initial, has := strings.Cut(arg, " ")
	mechanism = strings.ToUpper(mechanism)
	switch {
	case c.hello == "" || c.plain || c.user != "" || c.mail != nil || len(c.s.Users) == 0 || !c.s.offers("AUTH"):
		return c.no(503, "5.5.1 AUTH has no place here")
	case !c.secure && !c.s.Clear:
		return c.no(538, "5.7.11 a log-in needs TLS here")
	case !slices.Contains(c.s.Mechanisms, mechanism):
		return c.no(504, "5.5.4 the mechanism %.20q was not offered", mechanism)
	}
	ask := func(prompt string) (string, bool) {
		if has {
			has = false
			if initial == "=" {
				return "", true
			}
		} else {
			if err := c.say(Reply{Code: 334, Text: base64.StdEncoding.EncodeToString([]byte(prompt))}); err != nil {
				return "", false
			}
			var err error
			if initial, err = c.line(maxAuth); err != nil {
				c.fault("the log-in has no end")
				return "", false
			}
		}
		b, err := base64.StdEncoding.Strict().DecodeString(initial)
		return string(b), err == nil
	}
	var user, password string
	var ok bool
	switch mechanism {
	case "PLAIN":
		var said string
		said, ok = ask("")
		fields := strings.Split(said, "\x00")
		if ok = ok && len(fields) == 3 && fields[1] != "" && fields[2] != ""; ok {
			user, password = fields[1], fields[2]
			ok = fields[0] == "" || fields[0] == user
		}
	case "LOGIN":
		if user, ok = ask("Username:"); ok {
			password, ok = ask("Password:")
		}
	}
	if !ok || !utf8.ValidString(user+password) {
		return c.no(501, "5.5.2 that is no answer in base64 as the mechanism %s has it, or the client gave up", mechanism)
	}
	if want, known := c.s.Users[user]; !known || want != password {
		c.excused = true // some clients have nothing more to say
		return refuse(535, "5.7.8 authentication credentials invalid")
	}
	return step{reply: Reply{Code: 235, Text: "2.7.0 welcome"}, arg: mechanism, do: func() { c.user = user }}
}

// from begins a transaction.
func (c *session) from(arg string) step {
	rest, ok := cutPrefixFold(arg, "FROM:")
	switch {
	case c.hello == "":
		return c.no(503, "5.5.1 say EHLO first")
	case c.mail != nil:
		return c.no(503, "5.5.1 a transaction is open")
	case !ok:
		return c.no(501, "5.5.4 after MAIL comes FROM:<address>")
	}
	path, params, _ := strings.Cut(rest, " ")
	m := &Mail{Conn: c.n, User: c.user, TLS: c.secure}
	seen := map[string]bool{}
	for p := range strings.FieldsSeq(params) {
		name, value, valued := strings.Cut(p, "=")
		name = strings.ToUpper(name)
		if seen[name] {
			return c.no(501, "5.5.4 %s stands there twice", name)
		}
		seen[name] = true
		good := false
		switch name {
		case "SIZE":
			size, err := strconv.ParseUint(value, 10, 63)
			if good = err == nil && c.s.offers("SIZE"); good && size > uint64(c.s.MaxSize) {
				return refuse(552, "5.3.4 the mail is larger than this server takes")
			}
		case "BODY":
			value = strings.ToUpper(value)
			m.eightBit = value == "8BITMIME"
			good = (m.eightBit || value == "7BIT") && c.s.offers("8BITMIME")
		case "SMTPUTF8":
			m.UTF8 = true
			good = !valued && c.s.offers("SMTPUTF8")
		}
		if !good || c.plain {
			return c.no(555, "5.5.4 the parameter %.40q was not offered, or is wrong", p)
		}
	}
	address, ok := inBrackets(path, m.UTF8)
	switch {
	case !ok && path != "<>":
		return c.no(501, "5.1.7 %q is no address in angle brackets; no space is allowed before it", path)
	case params != strings.Join(strings.Fields(params), " "):
		return c.no(501, "5.5.4 there are too many spaces in %q", arg)
	case len(c.s.Users) > 0 && c.user == "":
		return refuse(530, "5.7.0 authentication required")
	}
	m.From = address
	return step{reply: Reply{Code: 250, Text: "2.1.0 sender ok"}, arg: address, do: func() { c.mail = m }}
}

// rcpt adds a recipient.
func (c *session) rcpt(arg string) step {
	path, ok := cutPrefixFold(arg, "TO:")
	switch {
	case c.mail == nil:
		return c.no(503, "5.5.1 MAIL comes first")
	case !ok:
		return c.no(501, "5.5.4 after RCPT comes TO:<address>")
	case strings.Contains(path, " ") && !strings.HasSuffix(path, ">"):
		return c.no(555, "5.5.4 no parameter of RCPT was offered")
	}
	address, ok := inBrackets(path, c.mail.UTF8)
	if !ok && strings.EqualFold(path, "<postmaster>") {
		address, ok = "postmaster", true
	}
	switch {
	case !ok && !isASCII(path):
		return c.no(553, "5.6.7 %q is not ASCII, and MAIL had no SMTPUTF8", path)
	case !ok:
		return c.no(501, "5.1.3 %q is no address in angle brackets; no space is allowed before it", path)
	case len(c.mail.To) >= 100:
		return refuse(452, "4.5.3 too many recipients")
	}
	return step{reply: Reply{Code: 250, Text: "2.1.5 recipient ok"}, arg: address, do: func() { c.mail.To = append(c.mail.To, address) }}
}

func (c *session) dataCommand(arg string) step {
	switch {
	case arg != "":
		return c.no(501, "5.5.4 DATA has no argument")
	case c.mail == nil:
		return c.no(503, "5.5.1 MAIL comes first")
	case len(c.mail.To) == 0:
		return c.no(554, "5.5.1 there is no recipient")
	}
	return step{reply: Reply{Code: 354, Text: "end it with a dot on a line of its own"}, do: func() { c.data = true }}
}

func (c *session) rset(arg string) step {
	if arg != "" {
		return c.no(501, "5.5.4 RSET has no argument")
	}
	return step{reply: Reply{Code: 250, Text: "2.0.0 forgotten"}, do: func() { c.mail = nil }}
}

func (c *session) noop(string) step { return step{reply: Reply{Code: 250, Text: "2.0.0 ok"}} }

func (c *session) quit(arg string) step {
	if arg != "" {
		return c.no(501, "5.5.4 QUIT has no argument")
	}
	return step{reply: Reply{Code: 221, Text: "2.0.0 " + c.s.Name + " closes the connection"}}
}

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// inBrackets gives the address of a path (RFC 5321 4.1.2) without a source route, which nobody should send any more.
func inBrackets(path string, international bool) (string, bool) {
	inner, ok := strings.CutPrefix(path, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	return inner, ok && closed && len(path) <= 256 && address(inner, international)
}

const atext = `[A-Za-z0-9!#$%&'*+/=?^_{|}~` + "`" + `-]`

var (
	dotAtom = regexp.MustCompile(`^` + atext + `+(\.` + atext + `+)*$`)
	quoted  = regexp.MustCompile(`^"([ !#-\[\]-~]|\\[ -~])*"$`)
	label   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
)

// address is the mailbox of RFC 5321 4.1.2; an international one may go beyond ASCII (RFC 6531).
func address(s string, international bool) bool {
	if international && utf8.ValidString(s) {
		s = strings.Map(func(r rune) rune {
			if r >= utf8.RuneSelf {
				return 'x'
			}
			return r
		}, s)
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at > 64 {
		return false
	}
	local, host := s[:at], s[at+1:]
	return (dotAtom.MatchString(local) || quoted.MatchString(local)) && (domain(host, true) || literal(host))
}

// domain is a name of RFC 5321 4.1.2, fully qualified if it must be (RFC 5321 2.3.5).
func domain(s string, qualified bool) bool {
	labels := strings.Split(s, ".")
	if len(s) > 255 || qualified && len(labels) < 2 {
		return false
	}
	return !slices.ContainsFunc(labels, func(l string) bool { return !label.MatchString(l) })
}

// literal is an address in brackets (RFC 5321 4.1.3).
func literal(s string) bool {
	inner, ok := strings.CutPrefix(s, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if v6, is := strings.CutPrefix(inner, "IPv6:"); is {
		a, err := netip.ParseAddr(v6)
		return ok && closed && err == nil && a.Is6() && a.Zone() == ""
	}
	a, err := netip.ParseAddr(inner)
	return ok && closed && err == nil && a.Is4()
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
