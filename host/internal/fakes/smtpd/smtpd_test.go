package smtpd

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/smtp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// certificate is one for 127.0.0.1, and a pool that trusts it.
func certificate(t testing.TB) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// client speaks as badly as a test wants.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, s *Server) *client {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(s.Port()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t, conn, bufio.NewReader(conn)}
}

// reply reads one, and gives all its lines; empty at the end of the connection.
func (c *client) reply() (text string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		line, err := c.r.ReadString('\n')
		switch {
		case err != nil && err != io.EOF && !strings.Contains(err.Error(), "reset"):
			c.t.Fatal(err)
		case err != nil:
			return text
		}
		if text += line; len(line) < 4 || line[3] != '-' {
			return text
		}
	}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

const someID = "0192f0c1@example.org"

// mailText is a mail as it should be, in which a test replaces something.
func mailText(replace ...string) string {
	return strings.NewReplacer(replace...).Replace("Date: " + time.Now().Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\r\n" +
		"From: \"Tocsin\" <alerts@example.org>\r\n" +
		"To: Night <night@example.org>, =?utf-8?q?D=C3=A4y?= <day@example.org>\r\n" +
		"Subject: =?utf-8?q?[Error]_Scan_=E2=80=93?=\r\n =?utf-8?q?_192.0.2.7?=\r\n" +
		"Message-ID: <" + someID + ">\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Auto-Submitted: auto-generated\r\n" +
		"Content-Type: multipart/alternative;\r\n boundary=\"b1\"\r\n" +
		"\r\n" +
		"--b1\r\n" +
		"Content-Type: text/plain; charset=UTF-8\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
		"=F0=9F=9F=A0 Scan\r\n..dots\r\nthe page <https://a.example/?a=3D1&b>\r\n\r\n" +
		"--b1\r\n" +
		"Content-Transfer-Encoding: quoted-printable\r\n" +
		"Content-Type: text/html; charset=UTF-8\r\n\r\n" +
		"<!DOCTYPE html><html lang=3D\"en\"><head><meta charset=3D\"utf-8\"><title=\r\n>x</title><style>p{color:red}</style>=\r\n</head><body><p>" +
		"=F0=9F=9F=A0 Scan<br>.dots=\r\n</p><a href=3D\"https://a.example/?a=3D1&amp;b\">the page</a></body></html>\r\n\r\n" +
		"--b1--\r\n")
}

// TestRules has clients that break the rules of SMTP. A step is what the client sends and how the answer begins; what is sent ends
// in CRLF unless it has a line end of its own.
func TestRules(t *testing.T) {
	type steps [][2]string
	hello := [2]string{"EHLO client.example.org", "250-mail.example.org greets"}
	from, to := [2]string{"MAIL FROM:<alerts@example.org>", "250"}, [2]string{"RCPT TO:<night@example.org>", "250"}
	bye := [2]string{"QUIT", "221"}
	long := strings.Repeat("x", 600)
	for name, c := range map[string]struct {
		s     *Server
		steps steps
		fault string // empty: all is well
	}{
		"in order":                {&Server{}, steps{hello, {"NOOP", "250"}, from, to, {"RSET", "250"}, from, {"rcpt to:<\"a b\"@[127.0.0.1]>", "250"}, bye}, ""},
		"HELO, address literals":  {&Server{}, steps{{"HELO client", "250 mail"}, {"EHLO [IPv6:2001:db8::1]", "250-"}, from, {"RCPT TO:<Postmaster>", "250"}, bye}, ""},
		"parameters":              {&Server{}, steps{hello, {"MAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8", "250"}, {"RCPT TO:<nächt@example.org>", "250"}, bye}, ""},
		"pipelining":              {&Server{}, steps{hello, {"RSET\r\nMAIL FROM:<alerts@example.org>\r\n", "250"}, {"", "250"}, bye}, ""},
		"pipelining where none":   {&Server{Without: []string{"PIPELINING"}}, steps{hello, {"RSET\r\nQUIT\r\n", "250"}, {"", "221"}}, "without PIPELINING"},
		"pipelining too early":    {&Server{}, steps{{"EHLO client.example.org\r\nQUIT\r\n", "250-"}, {"", "221"}}, "without PIPELINING"},
		"more behind DATA":        {&Server{}, steps{hello, from, to, {"DATA\r\n.\r\n", "354"}, {"", "554"}, bye}, "the last of a group"},
		"no hello":                {&Server{}, steps{{"MAIL FROM:<a@example.org>", "503"}, bye}, "say EHLO first"},
		"hello without a name":    {&Server{}, steps{{"EHLO", "501"}, bye}, "neither a domain nor an address"},
		"hello with underscores":  {&Server{}, steps{{"EHLO my_host", "501"}, bye}, "neither a domain nor an address"},
		"unknown command":         {&Server{}, steps{hello, {"SEND me", "500"}, bye}, `the command "SEND" is none`},
		"HTTP":                    {&Server{}, steps{{"GET / HTTP/1.1\r\n", "500"}, bye}, `the command "GET" is none`},
		"bare LF":                 {&Server{}, steps{hello, {"NOOP\n", "250"}, bye}, "a CR or LF that stands alone"},
		"bare CR":                 {&Server{}, steps{hello, {"NOOP a\rb", "250"}, bye}, "a CR or LF that stands alone"},
		"NUL":                     {&Server{}, steps{hello, {"NOOP a\x00b", "250"}, bye}, "or a NUL"},
		"long command":            {&Server{}, steps{hello, {"NOOP " + long, "500"}, bye}, "more than 512 bytes"},
		"endless command":         {&Server{}, steps{hello, {"NOOP " + strings.Repeat(long, 50), "500"}, bye}, "at most 12288 are allowed"},
		"space at the end":        {&Server{}, steps{hello, {"MAIL FROM:<a@example.org> ", "250"}, bye}, "a space ends the line"},
		"space in MAIL":           {&Server{}, steps{hello, {"MAIL FROM: <a@example.org>", "555"}, bye}, "not offered"},
		"MAIL without brackets":   {&Server{}, steps{hello, {"MAIL FROM:a@example.org", "501"}, bye}, "no address in angle brackets"},
		"MAIL without a domain":   {&Server{}, steps{hello, {"MAIL FROM:<alerts@localhost>", "501"}, bye}, "no address in angle brackets"},
		"MAIL twice":              {&Server{}, steps{hello, from, {from[0], "503"}, bye}, "a transaction is open"},
		"source route":            {&Server{}, steps{hello, from, {"RCPT TO:<@a.example:b@c.example>", "501"}, bye}, "no address in angle brackets"},
		"unknown parameter":       {&Server{}, steps{hello, {"MAIL FROM:<a@example.org> RET=FULL", "555"}, bye}, "was not offered"},
		"parameter twice":         {&Server{}, steps{hello, {"MAIL FROM:<a@example.org> SIZE=1 SIZE=1", "501"}, bye}, "stands there twice"},
		"SIZE where none":         {&Server{Without: []string{"SIZE"}}, steps{hello, {"MAIL FROM:<a@example.org> SIZE=1", "555"}, bye}, "was not offered"},
		"parameter after HELO":    {&Server{}, steps{{"HELO client", "250"}, {"MAIL FROM:<a@example.org> SIZE=1", "555"}, bye}, "was not offered"},
		"announced as too large":  {&Server{MaxSize: 1000}, steps{hello, {"MAIL FROM:<a@example.org> SIZE=1001", "552"}, bye}, ""},
		"RCPT parameter":          {&Server{}, steps{hello, from, {"RCPT TO:<a@example.org> NOTIFY=NEVER", "555"}, bye}, "no parameter of RCPT"},
		"RCPT before MAIL":        {&Server{}, steps{hello, {to[0], "503"}, bye}, "MAIL comes first"},
		"RCPT beyond ASCII":       {&Server{}, steps{hello, from, {"RCPT TO:<nächt@example.org>", "553"}, bye}, "MAIL had no SMTPUTF8"},
		"DATA without recipients": {&Server{}, steps{hello, from, {"DATA", "554"}, bye}, "there is no recipient"},
		"STARTTLS where none":     {&Server{}, steps{hello, {"STARTTLS", "503"}, bye}, "no place here"},
		"AUTH where none":         {&Server{}, steps{hello, {"AUTH PLAIN AGEAYg==", "503"}, bye}, "no place here"},
		"AUTH without TLS":        {&Server{Users: map[string]string{"a": "b"}}, steps{hello, {"AUTH PLAIN AGEAYg==", "538"}, bye}, "needs TLS"},
		"AUTH, then no QUIT":      {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH PLAIN AGEAYg==", "235"}}, "left without QUIT"},
		"AUTH LOGIN":              {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH LOGIN", "334 VXNlcm5hbWU6"}, {"YQ==", "334 UGFzc3dvcmQ6"}, {"Yg==", "235"}, from, bye}, ""},
		"AUTH with a wrong one":   {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH LOGIN YQ==", "334"}, {"YQ==", "535"}, bye}, ""},
		"AUTH twice":              {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH PLAIN AGEAYg==", "235"}, {"AUTH PLAIN AGEAYg==", "503"}, bye}, "no place here"},
		"AUTH cancelled":          {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH PLAIN", "334 \r\n"}, {"*", "501"}, bye}, "gave up"},
		"AUTH with less":          {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH PLAIN YQBi", "501"}, bye}, "no answer in base64"},
		"AUTH of another kind":    {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {"AUTH CRAM-MD5", "504"}, bye}, "was not offered"},
		"MAIL without a log-in":   {&Server{Users: map[string]string{"a": "b"}, Clear: true}, steps{hello, {from[0], "530"}, bye}, ""},
		"dots not doubled":        {&Server{}, steps{hello, from, to, {"DATA", "354"}, {mailText("..dots", ".dots") + ".", "554"}, bye}, "a dot that is not doubled"},
		"bare LF in the mail":     {&Server{}, steps{hello, from, to, {"DATA", "354"}, {mailText("Scan\r\n", "Scan\n") + ".", "554"}, bye}, "a CR or LF that stands alone"},
		"long line in the mail":   {&Server{}, steps{hello, from, to, {"DATA", "354"}, {mailText("dots", "dots"+long+long) + ".", "554"}, bye}, "at most 1000 are allowed"},
		"too large":               {&Server{MaxSize: 500}, steps{hello, from, to, {"DATA", "354"}, {mailText() + ".", "552"}, bye}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.s
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			d := dial(t, s)
			if got := d.reply(); got != "220 mail.example.org ESMTP ready\r\n" {
				t.Errorf("the greeting is %q", got)
			}
			for _, st := range c.steps {
				if d.send(st[0]); st[0] != "" && !strings.HasSuffix(st[0], "\n") {
					d.send("\r\n")
				}
				if got := d.reply(); !strings.HasPrefix(got, st[1]) {
					t.Fatalf("%.60q was answered with %q, want %s; faults %q", st[0], got, st[1], s.Faults())
				}
			}
			_ = d.Close()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			switch got := s.Faults(); {
			case c.fault == "" && len(got) > 0:
				t.Errorf("faults %q", got)
			case c.fault != "" && !slices.ContainsFunc(got, func(f string) bool { return strings.Contains(f, c.fault) }):
				t.Errorf("faults %q, want one of %q", got, c.fault)
			}
		})
	}
}

// TestMessages has mails that are not as they should be; the rest of the session is.
func TestMessages(t *testing.T) {
	day := func(d time.Duration) string { return time.Now().Add(d).Format("Mon, 02 Jan 2006 15:04:05 -0700") }
	now := day(0)
	for name, c := range map[string]struct {
		mail  string
		fault string
	}{
		"good":                         {mailText(), ""},
		"no subject":                   {mailText("Subject: ", "X-Subject: "), ""},
		"folded date":                  {mailText("Date: ", "Date:\r\n "), ""},
		"no date":                      {mailText("Date: ", "X-Date: "), "Date stands there 0 times"},
		"two dates":                    {"Date: " + now + "\r\n" + mailText(), "Date stands there 2 times"},
		"an old date":                  {mailText(now, day(-48*time.Hour)), "which is not now"},
		"another date":                 {mailText(now, time.Now().Format(time.RFC3339)), "Date is"},
		"the wrong weekday":            {mailText(now[:3], map[bool]string{true: "Mon", false: "Tue"}[now[:3] != "Mon"]), "which is a"},
		"no message id":                {mailText("Message-ID: ", "X-ID: "), "Message-ID stands there 0 times"},
		"message id without brackets":  {mailText("<"+someID+">", someID), "no Message-ID"},
		"message id with a space":      {mailText("<"+someID, "<a "+someID), "no Message-ID"},
		"from twice":                   {mailText("To: Night", "From: <alerts@example.org>\r\nTo: Night"), "From stands there 2 times"},
		"from another":                 {mailText("<alerts@", "<others@"), "and the envelope"},
		"a name with a dot":            {mailText("To: Night", "To: N. Ight"), "no mailbox"},
		"an address without end":       {mailText("night@example.org>", "night@example.org"), "no mailbox"},
		"a recipient in no field":      {mailText("night@", "knight@"), "0 of 1 recipients"},
		"bcc":                          {mailText("To: Night", "Bcc: x@example.org\r\nTo: Night"), "Bcc is not for a client"},
		"beyond ASCII":                 {mailText("_Scan_", "_Scän_"), "the header goes beyond ASCII"},
		"a long line of encoded words": {mailText("[Error]_Scan_", strings.Repeat("x", 60)), "at most 76"},
		"half a character":             {mailText("=E2=80=93?=", "=E2=80?=\r\n =?utf-8?q?=93?="), "half a character"},
		"an unfinished encoded word":   {mailText("_192.0.2.7?=", "_192.0.2.7"), "something like an encoded word"},
		"a control in the subject":     {mailText("_192.0.2.7?=", "=0D=0ABcc:?="), "a control character"},
		"a line that is no field":      {mailText("Subject: ", "no field\r\nSubject: "), "is no header field"},
		"an empty field":               {mailText("Subject: ", "X-Empty:\r\nSubject: "), "X-Empty is empty"},
		"a folded line of spaces":      {mailText("Subject: ", "X-A: a\r\n  \r\nSubject: "), "a folded line has nothing"},
		"references to nothing":        {mailText("MIME", "References: <x@example.org>\r\nMIME"), "never came here"},
		"in reply to another":          {mailText("MIME", "In-Reply-To: <x@example.org>\r\nMIME"), "not the last of References"},
		"an odd Auto-Submitted":        {mailText("auto-generated", "yes"), "Auto-Submitted is"},
		"MIME version 2":               {mailText("1.0", "2.0"), "MIME-Version is"},
		"no boundary":                  {mailText("boundary=", "other="), "the boundary"},
		"no end of the parts":          {mailText("--b1--", "--b1"), "between their boundaries"},
		"more behind the parts":        {mailText("--b1--", "--b1--\r\nmore"), "between their boundaries"},
		"HTML first":                   {mailText("text/plain", "text/html", "text/html", "text/plain"), "not text/plain and text/html"},
		"a field of a mail in a part":  {mailText("Content-Type: text/plain", "Subject: x\r\nContent-Type: text/plain"), "a part has the field Subject"},
		"another character set":        {mailText("charset=UTF-8", "charset=iso-8859-1"), "not in its character set"},
		"no quoted-printable":          {mailText("=F0=9F=9F=A0 Scan\r\n..", "=F0=9F=9F=A0 a=b\r\n.."), "no quoted-printable"},
		"a space at a line's end":      {mailText("Scan\r\n..", "Scan \r\n.."), "no quoted-printable"},
		"a long line":                  {mailText("Scan\r\n..", "Scan "+strings.Repeat("x", 80)+"\r\n.."), "no quoted-printable"},
		"broken UTF-8":                 {mailText("=F0=9F=9F=A0 Scan\r\n..", "=F0=9F Scan\r\n.."), "not in its character set"},
		"a control in the text":        {mailText("Scan\r\n..", "Sc=07an\r\n.."), "the control character"},
		"an encoding of the other":     {mailText("quoted-printable", "base64"), "the base64 cannot be decoded"},
		"the text says more":           {mailText("..dots\r\n", "..dots\r\nand more\r\n"), "do not say the same"},
		"the HTML says more":           {mailText("<br>", "<br>more "), "do not say the same"},
		"no HTML":                      {mailText("multipart/alternative;\r\n boundary=\"b1\"", "text/html; charset=utf-8"), "neither text/plain nor"},
		"an element that runs":         {mailText("<br>", "<script></script>"), "no place in a mail"},
		"an attribute that runs":       {mailText("<p>", "<p onclick=3D\"x()\">"), "fetches or runs"},
		"a picture from elsewhere":     {mailText("<p>", "<p style=3D\"background:url(//x)\">"), "fetches or runs"},
		"a style that fetches":         {mailText("color:red", "@import 'x'"), "fetches something"},
		"a link to a script":           {mailText("https://a.example/?a=3D1&amp;b\"", "javascript:x\""), "fetches or runs"},
		"a & that is none":             {mailText("&amp;b", "&b"), "begins no reference"},
		"a < that is none":             {mailText("<br>", "1<2"), "begins no element"},
		"elements out of order":        {mailText("</p><a", "<a", "</a>", "</p></a>"), "ends nothing"},
		"an element without end":       {mailText("</body>", ""), "ends nothing"},
		"an attribute without quotes":  {mailText("lang=3D\"en\"", "lang=3Den"), "begins no element"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Mail{From: "alerts@example.org", To: []string{"night@example.org"}}
			m.Raw = []byte(strings.ReplaceAll(c.mail, "\r\n..", "\r\n."))
			s := &Server{}
			err := s.judge(m)
			switch faults := s.Faults(); {
			case c.fault == "" && err != nil:
				t.Errorf("faults %q", faults)
			case c.fault != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, c.fault) }):
				t.Errorf("faults %q, want one of %q", faults, c.fault)
			}
		})
	}
}

// TestGoodClient has the standard library's client send through STARTTLS with a log-in, and TLS from the first byte.
func TestGoodClient(t *testing.T) {
	cert, pool := certificate(t)
	for _, implicit := range []bool{false, true} {
		s := start(t, &Server{Certificate: cert, Implicit: implicit, Users: map[string]string{"night": "secret"}})
		conn := dial(t, s).Conn
		conf := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
		if implicit {
			conn = tls.Client(conn, conf)
		}
		c, err := smtp.NewClient(conn, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err, s.Faults())
			}
		}
		do(c.Hello("client.example.org"))
		if !implicit {
			if ok, _ := c.Extension("AUTH"); ok {
				t.Error("a log-in without TLS")
			}
			do(c.StartTLS(conf))
		}
		do(c.Auth(smtp.PlainAuth("", "night", "secret", "127.0.0.1")))
		do(c.Mail("alerts@example.org"))
		do(c.Rcpt("night@example.org"))
		do(c.Rcpt("day@example.org"))
		w, err := c.Data()
		do(err)
		_, err = io.WriteString(w, strings.ReplaceAll(mailText(), "\r\n..", "\r\n."))
		do(err)
		do(w.Close())
		do(c.Quit())
		got := s.Mails()
		if len(got) != 1 || len(s.Faults()) > 0 || s.Conns() != 1 {
			t.Fatalf("%d mails, faults %q", len(got), s.Faults())
		}
		m := got[0]
		if m.From != "alerts@example.org" || !slices.Equal(m.To, []string{"night@example.org", "day@example.org"}) || m.User != "night" || !m.TLS || m.ID != someID ||
			m.Get("subject") != "[Error] Scan – 192.0.2.7" || m.Text != "🟠 Scan\n.dots\nthe page <https://a.example/?a=1&b>\n" || !strings.HasPrefix(m.HTML, "<!DOCTYPE html><html lang=\"en\">") {
			t.Errorf("%+v", m)
		}
	}
}

// TestAnswers has the server say other than it would, in every way and place that Answer has.
func TestAnswers(t *testing.T) {
	never, soon := make(chan struct{}), make(chan struct{})
	close(soon)
	send := func(s *Server) (saw string) {
		d := dial(t, s)
		for _, line := range []string{"", "EHLO client.example.org\r\n", "MAIL FROM:<alerts@example.org>\r\n", "RCPT TO:<night@example.org>\r\n", "DATA\r\n", mailText() + ".\r\n", "QUIT\r\n"} {
			if line != "" {
				if _, err := io.WriteString(d, line); err != nil {
					return saw + "cut"
				}
			}
			answer := d.reply()
			if answer == "" {
				return saw + "cut"
			}
			if saw = answer[:3]; saw >= "400" {
				return answer
			}
		}
		return saw
	}
	for _, c := range []struct {
		at    string
		reply Reply
		want  string
		kept  int
	}{
		{"GREETING", Reply{Code: 554, Text: "5.3.2 no service"}, "554 5.3.2 no service\r\n", 0},
		{"EHLO", Reply{Code: 421, Text: "4.3.2 closing"}, "421 4.3.2 closing\r\n", 0},
		{"MAIL", Reply{Code: 452, Text: "4.3.1 no space\nat all"}, "452-4.3.1 no space\r\n452 at all\r\n", 0},
		{"RCPT", Reply{Code: 450, Text: "4.7.1 greylisted"}, "450 4.7.1 greylisted\r\n", 0},
		{"RCPT", Reply{}, "250cut", 0},
		{"DATA", Reply{Code: 354, Text: "go", Close: true}, "354cut", 0},
		{"END", Reply{Code: 554, Text: "5.6.0 spam"}, "554 5.6.0 spam\r\n", 0},
		{"END", Reply{Take: true}, "354cut", 1},
		{"END", Reply{Code: 250, Text: "fine", Wait: soon}, "221", 1},
		{"QUIT", Reply{Code: 221, Text: "bye"}, "221", 1},
	} {
		s := start(t, &Server{Answer: func(asked Command) *Reply {
			if asked.Verb != c.at {
				return nil
			}
			return &c.reply
		}})
		if got := send(s); got != c.want || len(s.Mails()) != c.kept {
			t.Errorf("%s, %+v: saw %q, want %q; %d mails", c.at, c.reply, got, c.want, len(s.Mails()))
		}
	}
	s := start(t, &Server{Answer: func(Command) *Reply { return &Reply{Code: 220, Wait: never} }}) // Close has to end this one
	dial(t, s)
}

// TestCopies has a mail that comes twice, and one that takes another's Message-ID.
func TestCopies(t *testing.T) {
	s := &Server{}
	for i, c := range []struct {
		mail string
		good bool
	}{{mailText(), true}, {mailText(), true}, {mailText("Scan", "Flood"), false}, {mailText(someID, "other@example.org", "MIME", "References: <"+someID+">\r\nMIME"), true}} {
		m := &Mail{From: "alerts@example.org", To: []string{"night@example.org"}, Message: Message{Raw: []byte(c.mail)}}
		if err := s.judge(m); (err == nil) != c.good {
			t.Errorf("mail %d: %v", i, err)
		}
		s.keep(m)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(mailText(), false)
	f.Add(mailText("quoted-printable", "base64", "=F0=9F=9F=A0 Scan", base64.StdEncoding.EncodeToString([]byte("x"))), true)
	f.Add("Content-Type: text/plain\r\n\r\n<!DOCTYPE html><a href=\"&\"><style>", false)
	f.Add(" a\r\nTo: \"a\" <\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b", true)
	f.Fuzz(func(t *testing.T, raw string, utf8 bool) {
		m := &Mail{UTF8: utf8, eightBit: utf8, Message: Message{Raw: []byte(raw)}}
		if faults := m.check(); len(faults) == 0 && m.Text == "" {
			t.Error("a mail without a text passed")
		}
		_, _ = readHTML(raw)
	})
}
