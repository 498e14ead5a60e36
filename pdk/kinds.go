package pdk

// Kind names the request's kind: http, smtp, syslog, exec or ban; empty, if not exactly one is set.
func (q *Request) Kind() string {
	kind := ""
	for _, k := range [...]struct {
		name string
		set  bool
	}{
		{"http", q.HTTP != nil},
		{"smtp", q.SMTP != nil},
		{"syslog", q.Syslog != nil},
		{"exec", q.Exec != nil},
		{"ban", q.Ban != nil},
	} {
		if k.set && kind != "" {
			return ""
		}
		if k.set {
			kind = k.name
		}
	}
	return kind
}

// SMTPRequest is one mail. The host opens the session (RFC 5321), authenticates and sends; the guest says what the mail is.
// Placeholders of secrets may stand in User and Password only. The mail goes to those recipients that the server accepts.
//
// What classify is given:
//   - Whatever the server answered is a response, a refusal too: Status is the code of the reply that decided, Body its text,
//     Headers["phase"] where the session was: greeting, hello, starttls, auth, mail, rcpt, data, or end, the reply to the
//     whole mail (to RSET, if Verify is set). Headers["message-id"] is the mail's Message-ID without brackets.
//     A wrong password is thus Status 535 in phase auth; 4yz is a passing fault, 5yz a lasting one (RFC 5321 4.2.1).
//   - Parts has each recipient of To and Cc: OK if it was accepted and, beyond Verify, the whole mail too; otherwise Status
//     and Message are those of the reply that refused it. With Status 250 some may still have been refused.
//   - A transport error has the stage dns, connect, tls (STARTTLS not offered is one), auth (the server offers no way to log
//     in that the host can use, or only ones that would show the password to the network), send, read, timeout, denied or
//     invalid. Ambiguous is true only if the connection was lost after the mail's last byte was sent and before the reply.
type SMTPRequest struct {
	Host string `json:"host"`
	Port int    `json:"port,omitempty"` // 0: 587 with starttls, 465 with tls, 25 with none
	// TLS is starttls (the default: required, never merely tried), tls (from the first byte) or none.
	TLS      string `json:"tls,omitempty"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`

	From string   `json:"from"` // an RFC 5322 mailbox, "Tocsin <alerts@example.org>" or an address
	To   []string `json:"to"`
	Cc   []string `json:"cc,omitempty"`

	Subject string `json:"subject"`
	// MessageID and References are without angle brackets. The host makes a Message-ID from the first delivery's id where it
	// is empty, so that a mail that is sent twice can be told.
	MessageID  string   `json:"message_id,omitempty"`
	References []string `json:"references,omitempty"`
	// Headers are further header fields; those that the host sets (Date, From, To, MIME-Version ...) are refused.
	Headers []Header `json:"headers,omitempty"`
	// Text and HTML are the two forms of the body; with both the mail is multipart/alternative.
	Text        string       `json:"text"`
	HTML        string       `json:"html,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
	// Verify ends the session before DATA (RSET): it tests connection, TLS, AUTH, MAIL and RCPT and sends nothing.
	Verify bool `json:"verify,omitempty"`
}

// Attachment is a file in a mail.
type Attachment struct {
	Name string `json:"name"`
	Type string `json:"type"` // media type
	Data []byte `json:"data"` // base64 in JSON
}

// SyslogRequest sends messages to a syslog receiver. The host frames and escapes them, and fills in what the guest cannot
// know.
//
// Classify is given Status 0 and a Part for each message, by its delivery. OK means written, never delivered, as no receiver
// confirms anything; Message tells if the message was cut: at 2048 bytes over UDP, 8192 on the local socket, 200,000 over TCP
// and TLS. A transport error means that nothing was written; with Ambiguous, its Parts tell the messages that may have
// arrived before the connection broke from those that did not. A request without messages connects, and no more.
type SyslogRequest struct {
	// Network is udp, tcp, tls or local (the machine's own socket; Host and Port are then empty).
	Network string `json:"network"`
	Host    string `json:"host,omitempty"`
	Port    int    `json:"port,omitempty"` // 0: 514 for udp and tcp, 6514 for tls
	// Format is rfc5424 (the default) or rfc3164, which is what most services of the local socket expect; there it goes without
	// the host name.
	Format string `json:"format,omitempty"`
	// Framing is octets (octet counting of RFC 6587 and RFC 5425, the default) or lf, for tcp and tls.
	Framing  string          `json:"framing,omitempty"`
	Messages []SyslogMessage `json:"messages"`
}

// SyslogMessage is one message, which stands for one delivery.
type SyslogMessage struct {
	Delivery string `json:"delivery"`
	Facility int    `json:"facility"` // 0 to 23
	Severity int    `json:"severity"` // 0 to 7
	Time     int64  `json:"time"`     // Unix milliseconds, 0: now; rfc3164 shows it in the host's local time
	// Hostname and ProcID may be empty: the host then puts its own. In these and the next two fields what is not printable
	// ASCII becomes "_", and what is longer than the format allows is cut.
	Hostname string      `json:"hostname,omitempty"`
	AppName  string      `json:"app_name"`
	ProcID   string      `json:"proc_id,omitempty"`
	MsgID    string      `json:"msg_id,omitempty"`
	Data     []SDElement `json:"data,omitempty"` // rfc5424 only; the host escapes the values
	Text     string      `json:"text"`           // one line: the host replaces control characters by spaces
}

// SDElement is a structured data element of RFC 5424.
type SDElement struct {
	ID     string   `json:"id"` // such as "Checkmk@18662": a name, and an enterprise number of one's own
	Params []Header `json:"params,omitempty"`
}

// BanRequest has fail2ban ban or unban addresses in a jail. The host checks each address and keeps a never-ban list of its
// own (loopback, gateways, its own addresses, the configured ones), whatever the guest asks for.
//
// Classify is given fail2ban-client's exit code as Status (0 done, 255 refused), what it printed as Body and Stderr,
// a Part for each address that says why one was left out, and if it was refused Headers["problem"] as no_jail, no_server,
// no_permission or empty, and Headers["reason"] in words. If no address was left, fail2ban was not asked and Status is 64. To
// ban what is banned already is a success; Body is then 0, the number of addresses that were new. The stage start means that
// fail2ban-client could not be run.
type BanRequest struct {
	Jail string `json:"jail"`
	// Action is ban, unban or verify (is fail2ban there, does the jail exist?).
	Action    string   `json:"action"`
	Addresses []string `json:"addresses,omitempty"`
	NeverBan  []string `json:"never_ban,omitempty"` // addresses and networks in CIDR notation, beside the host's own list
}

// Part is the result of one part of a request: a recipient of a mail, a syslog message, an address to ban.
type Part struct {
	// Name is the recipient's address, the delivery's id, or the address to ban.
	Name string `json:"name"`
	// OK tells that this part was done. Status is the SMTP reply code, or 0.
	OK      bool   `json:"ok"`
	Status  int    `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
	// Ambiguous is true for a part that was not confirmed and may have been taken all the same, as the first messages on a
	// connection that broke.
	Ambiguous bool `json:"ambiguous,omitempty"`
}
