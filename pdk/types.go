package pdk

// RenderInput is what the host hands to an endpoint's render function: a batch of deliveries that share one endpoint and
// one recipient.
type RenderInput struct {
	// Now is the host's clock in Unix milliseconds; the guest has no clock of its own.
	Now int64 `json:"now"`
	// Locale is the language messages are wanted in, such as "en" or "it".
	Locale string `json:"locale"`
	// Endpoint and Recipient are the parameters, checked against the plug-in's lint schema, defaults filled in. A
	// secret is an opaque placeholder that the host replaces when it sends the request.
	Endpoint  Params `json:"endpoint"`
	Recipient Params `json:"recipient"`
	// Deliveries holds at least one and at most the manifest's [batch] max.
	Deliveries []Delivery `json:"deliveries"`
}

// Delivery is one alert on its way to one recipient.
type Delivery struct {
	// ID is the delivery's UUID. It stays the same over all attempts, so it is the idempotency key.
	ID    string `json:"id"`
	Alert Alert  `json:"alert"`
	// Text is the alert rendered with the plug-in's message template, in the format the manifest declares and within
	// its length limit; Subject its template's "subject" block, plain text of one line.
	Text    string `json:"text"`
	Subject string `json:"subject"`
	// Plain is true after a bad_payload verdict: Text is then plain text without any markup.
	Plain bool `json:"plain,omitempty"`
	// Attempt counts from 1.
	Attempt int `json:"attempt"`
	// ProviderID is, on a release, what the service called the message of the engage; empty if unknown.
	ProviderID string `json:"provider_id,omitempty"`
}

// Alert is one alert. Fields that do not apply to its entity are zero.
type Alert struct {
	ID          string  `json:"id"`
	Entity      string  `json:"entity"` // flow, host, mac, network, interface, system ...
	EntityID    int     `json:"entity_id"`
	EntityValue string  `json:"entity_value"`
	AlertID     int     `json:"alert_id"`
	Check       string  `json:"check"` // "flow/tls_certificate_expired"
	Title       string  `json:"title"`
	Category    string  `json:"category"`
	Severity    string  `json:"severity"` // none, debug, info, notice, warning, error, critical, alert, emergency
	SeverityID  int     `json:"severity_id"`
	Score       int     `json:"score"`
	Action      string  `json:"action"` // store, engage, release
	Tstamp      int64   `json:"tstamp"` // Unix seconds
	Time        string  `json:"time"`   // RFC 3339, UTC
	Message     string  `json:"message"`
	Advice      string  `json:"advice,omitempty"`
	Link        string  `json:"link,omitempty"`           // a page about it, as the administrator configured
	Test        bool    `json:"test,omitempty"`           // sent by "tocsin endpoint test": nothing has happened
	EngagedAt   int64   `json:"engaged_tstamp,omitempty"` // on a release: when it began, Unix seconds
	Key         string  `json:"key,omitempty"`            // names the condition; engage and release share it
	Interface   string  `json:"interface,omitempty"`
	IP          string  `json:"ip,omitempty"`
	Name        string  `json:"name,omitempty"`
	MAC         string  `json:"mac,omitempty"`
	Local       bool    `json:"local,omitempty"`
	Attacker    string  `json:"attacker,omitempty"`
	Victim      string  `json:"victim,omitempty"`
	Value       float64 `json:"value,omitempty"`
	Threshold   float64 `json:"threshold,omitempty"`

	L4          string    `json:"l4,omitempty"`
	Client      string    `json:"client,omitempty"`
	ClientPort  uint16    `json:"client_port,omitempty"`
	Server      string    `json:"server,omitempty"`
	ServerPort  uint16    `json:"server_port,omitempty"`
	ClientLocal bool      `json:"client_local,omitempty"`
	ServerLocal bool      `json:"server_local,omitempty"`
	VLAN        uint16    `json:"vlan,omitempty"`
	Protocol    string    `json:"protocol,omitempty"`
	Hostname    string    `json:"hostname,omitempty"`
	CommunityID string    `json:"community_id,omitempty"`
	First       int64     `json:"first,omitempty"`
	Last        int64     `json:"last,omitempty"`
	Packets     [2]uint64 `json:"packets,omitzero"` // client to server, server to client
	Bytes       [2]uint64 `json:"bytes,omitzero"`
	Info        string    `json:"info,omitempty"`

	// Raw is the alert's JSON exactly as the host wrote it. An endpoint that passes alerts on whole (webhook, shell)
	// copies it and so carries keys that a newer host adds. On the host Raw alone is enough: where it is set, it is
	// what the guest is given, and the other fields are not looked at.
	Raw []byte `json:"-"`
}

// RenderOutput is what render returns.
type RenderOutput struct {
	Requests []Request `json:"requests"`
	// Rejected names deliveries that get no request, each with the reason and one of the outcomes bad_payload (also
	// meant by an empty outcome), rejected, or skipped.
	Rejected []Verdict `json:"rejected,omitempty"`
}

// Request is one thing the host shall do. Exactly one of the kind's fields is set.
type Request struct {
	// Deliveries are the ids of the deliveries this request carries. Every delivery stands in exactly one request.
	Deliveries []string       `json:"deliveries"`
	HTTP       *HTTPRequest   `json:"http,omitempty"`
	SMTP       *SMTPRequest   `json:"smtp,omitempty"`
	Syslog     *SyslogRequest `json:"syslog,omitempty"`
	Exec       *ExecRequest   `json:"exec,omitempty"`
	Ban        *BanRequest    `json:"ban,omitempty"`
	// Note is the plug-in's own and comes back in classify; at most 4 KiB.
	Note string `json:"note,omitempty"`
}

// HTTPRequest is an HTTP request. A secret's placeholder may stand in URL, a header's value or Body. In a body whose
// Content-Type is JSON the host escapes the secret for a JSON string; elsewhere it is put in as it is.
type HTTPRequest struct {
	Method  string   `json:"method"`
	URL     string   `json:"url"`
	Headers []Header `json:"headers,omitempty"`
	Body    string   `json:"body,omitempty"`
	// Sign asks the host to add a signature header over the final body; see Sign. The guest never sees the key.
	Sign *Sign `json:"sign,omitempty"`
	// Basic asks the host for HTTP Basic authentication. The guest cannot encode it itself, as it has no secrets.
	Basic *Basic `json:"basic,omitempty"`
}

// Basic is a user and a password for HTTP Basic authentication (RFC 7617). Both may be placeholders of secrets.
type Basic struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Header is one header field, or another pair of a name and a value.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Sign asks for a signature in a header. Scheme "standard-webhooks" adds webhook-id, webhook-timestamp and
// webhook-signature as the Standard Webhooks specification 1.0 says.
type Sign struct {
	Scheme string   `json:"scheme"`
	ID     string   `json:"id"`
	Keys   []string `json:"keys"` // placeholders of secrets; more than one during a rotation
}

// ExecRequest runs a script of the scripts folder, without a shell.
type ExecRequest struct {
	Script string   `json:"script"` // a name within the scripts folder
	Args   []string `json:"args,omitempty"`
	Stdin  string   `json:"stdin,omitempty"`
	// TimeoutMS bounds the run; 0 means the host's default, and the host's maximum bounds it.
	TimeoutMS int64 `json:"timeout_ms,omitempty"`
	// Verify only looks whether the script is there and may be run, and runs nothing: exit code 0, or an error of the stage
	// start. Since version 1.1.
	Verify bool `json:"verify,omitempty"`
}

// ClassifyInput is what the host hands to classify: a request of render and what came of it. Either Response or Error is
// set.
type ClassifyInput struct {
	Now      int64           `json:"now"`
	Request  RequestInfo     `json:"request"`
	Response *Response       `json:"response,omitempty"`
	Error    *TransportError `json:"error,omitempty"`
	// Plain tells that the request was already the plain-text one.
	Plain bool `json:"plain,omitempty"`
}

// RequestInfo is what classify may know of the request: not its body.
type RequestInfo struct {
	Deliveries []string `json:"deliveries"`
	Kind       string   `json:"kind"` // http, smtp, syslog, exec, ban
	Note       string   `json:"note,omitempty"`
}

// Response is what a request brought: an HTTP answer, a mail server's reply, or a script's end.
type Response struct {
	// Status is the HTTP status, the SMTP reply code, or the exit code of a script or of fail2ban-client; 0 for syslog.
	Status int `json:"status"`
	// Headers have lower-case names; of several values the first. Those of a mail are the host's: see SMTPRequest.
	Headers map[string]string `json:"headers,omitempty"`
	// Body is the answer's body, the reply's text or the script's standard output, capped; Stderr the script's standard error.
	Body      string `json:"body,omitempty"`
	Stderr    string `json:"stderr,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	// Parts are the results of a request's parts, where it has several: see Part.
	Parts []Part `json:"parts,omitempty"`
}

// TransportError says why there was no response.
type TransportError struct {
	// Stage is dns, connect, tls, auth (no safe way to log in), send, read, timeout, start (a script or fail2ban-client could
	// not be started), denied (the host refused) or invalid (the request itself is wrong).
	Stage   string `json:"stage"`
	Message string `json:"message"`
	// Ambiguous is true when the service may have taken the request all the same.
	Ambiguous bool `json:"ambiguous,omitempty"`
	// Parts are what is known of a request's parts, where it has several and something was sent: see Part.
	Parts []Part `json:"parts,omitempty"`
}

// ClassifyOutput is what classify returns.
type ClassifyOutput struct {
	Verdicts []Verdict `json:"verdicts"`
}

// Verdict says what became of a delivery.
type Verdict struct {
	// Delivery is a delivery's id; empty means every delivery of the request that has no verdict of its own.
	Delivery string  `json:"delivery,omitempty"`
	Outcome  Outcome `json:"outcome"`
	// RetryAfterMS asks the host not to call this endpoint again before so many milliseconds, at most a day. Beside Retry and
	// EndpointBroken it says when to try again. Beside other outcomes it says that the service takes no more for now, such as
	// an answer that counts no request left: this one is done, and nothing counts as failed.
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
	// Reason is one line for a person; never a secret.
	Reason string `json:"reason,omitempty"`
	// ProviderID is what the service calls the message; the host gives it back on release.
	ProviderID string `json:"provider_id,omitempty"`
}

// Outcome is the kind of a verdict.
type Outcome string

// The outcomes.
const (
	Delivered      Outcome = "delivered"
	Accepted       Outcome = "accepted"        // taken, not confirmed
	Duplicate      Outcome = "duplicate"       // it was there already: a success
	Retry          Outcome = "retry"           // a passing fault: try again
	BadPayload     Outcome = "bad_payload"     // this alert only: the host asks once more for plain text
	Rejected       Outcome = "rejected"        // this alert only, and plain text would not help: a dead letter at once
	Skipped        Outcome = "skipped"         // the recipient's parameters say not to send it: done, without a request
	EndpointBroken Outcome = "endpoint_broken" // the configuration is at fault: hold the endpoint, tell the user
)

// Valid reports whether o is an outcome that this version of the interface knows.
func (o Outcome) Valid() bool {
	switch o {
	case Delivered, Accepted, Duplicate, Retry, BadPayload, Rejected, Skipped, EndpointBroken:
		return true
	}
	return false
}

// LintInput is what the optional lint function is given; it says what a schema cannot.
type LintInput struct {
	Endpoint  Params `json:"endpoint"`
	Recipient Params `json:"recipient,omitempty"` // nil when only the endpoint is checked; a recipient without parameters is empty
}

// LintOutput lists the problems found.
type LintOutput struct {
	Problems []Problem `json:"problems"`
}

// Problem is one mistake in the parameters.
type Problem struct {
	Field   string `json:"field"` // "endpoint.webhook_url"
	Message string `json:"message"`
}

// ProbeInput is what the optional probe function is given: the parameters of an endpoint and one of its recipients.
type ProbeInput struct {
	Now       int64  `json:"now"`
	Locale    string `json:"locale"`
	Endpoint  Params `json:"endpoint"`
	Recipient Params `json:"recipient,omitempty"`
}

// ProbeOutput lists requests that test a configuration, in order; none of them posts a message if that can be helped.
type ProbeOutput struct {
	Steps []ProbeStep `json:"steps"`
}

// ProbeStep is one request of a probe. It is judged by classify, as the requests of render are.
type ProbeStep struct {
	Title   string  `json:"title"` // "Is the token right?"
	Request Request `json:"request"`
}
