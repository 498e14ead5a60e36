// Package dissect recognises application protocols from the first payload bytes of a flow and reads from them what
// checks and people want to know. It is given payloads in order of arrival and holds the little state a flow needs; it
// keeps no table of flows, knows nothing of packets below layer 4 and does no I/O. Every byte it reads is hostile.
package dissect

// Protocol is a protocol or application by nDPI's number, so that ids mean the same to users of both.
type Protocol uint16

// Category is a traffic category by nDPI's number; its String is nDPI's name, such as "Web" or "Network".
type Category uint8

// Confidence says how a flow's protocol was found.
type Confidence uint8

// The confidences.
const (
	ConfidenceUnknown Confidence = iota
	ConfidenceGuess              // by port or address, at the flow's end
	ConfidenceDPI                // by content
)

func (c Confidence) String() string {
	switch c {
	case ConfidenceDPI:
		return "dpi"
	case ConfidenceGuess:
		return "guess"
	case ConfidenceUnknown:
	}
	return "unknown"
}

// Risks is a set of risks as bits by nDPI's number of the risk.
type Risks uint64

// Has reports whether risk r (a bit number) is in the set.
func (r Risks) Has(bit Risk) bool { return r>>bit&1 != 0 }

// Risk is a flow risk by nDPI's number; its String is its JSON name in snake case.
type Risk uint8

// Meta is what a dissector learned of a flow beyond its protocol. Strings are valid UTF-8, without control characters,
// and at most 512 bytes long. A nil pointer means that the protocol was not seen.
type Meta struct {
	Hostname    string // SNI, HTTP Host, DNS name asked for, DHCP or mDNS host name; lower case
	JA4         string // TLS client fingerprint, as published by FoxIO under BSD
	TLS         *TLS
	HTTP        *HTTP
	DNS         *DNS
	SSH         *SSH
	QUIC        *QUIC
	DHCP        *DHCP
	NTP         *NTP
	Credentials *Credentials
	// RiskInfo says in a few words what each risk was raised for.
	RiskInfo map[Risk]string
}

// TLS is one TLS or DTLS handshake.
type TLS struct {
	ClientVersion uint16   // highest the client offers
	Version       uint16   // negotiated; 0 before the ServerHello
	Cipher        uint16   // negotiated suite (IANA); 0 before the ServerHello
	Ciphers       []uint16 // the suites the client offers, in its order, without GREASE
	SNI           string
	ALPN          []string // offered
	Negotiated    string   // ALPN the server chose
	Certificate   *Certificate
	ClientHello   bool
	ServerHello   bool
	AlertLevel    uint8 // last unencrypted alert; 0 for none
	AlertCode     uint8
	ESNI          bool // encrypted SNI (draft) or ECH with an outer name
}

// Certificate is a server's leaf certificate. It is shared between flows and never changed.
type Certificate struct {
	Subject, Issuer     string // RFC 4514-like, "CN=..., O=..."
	CommonName          string
	Organization        string
	IssuerOrganization  string
	Names               []string // subject alternative names
	NotBefore, NotAfter int64    // Unix seconds
	SelfSigned          bool     // issuer equals subject
	SHA1                string   // fingerprint, upper case hex with colons
	SHA256              string
	KeyAlgorithm        string
	SignatureAlgorithm  string
}

// HTTP is the first request and response of a flow.
type HTTP struct {
	Method      string
	Version     string // "1.1"
	Host        string
	URL         string // the path and query as sent
	UserAgent   string
	ContentType string // of the response
	Server      string
	Status      uint16 // 0 before the response
	BasicUser   string // user name of Basic authentication; the password is never kept
	Referer     string
}

// DNS is the first question of a flow and its answer.
type DNS struct {
	Query     string
	Type      uint16 // of the question (IANA)
	RCode     uint8
	Answered  bool
	Queries   uint32 // number of questions in the flow
	Answers   uint16 // number of answers in the first response
	Addresses []string
	Opcode    uint8
	LongName  string // the longest name asked for that is long enough to carry data; empty without one
}

// SSH is both sides' identification strings.
type SSH struct{ Client, Server string }

// QUIC is a QUIC connection's version; its TLS part stands in Meta.TLS.
type QUIC struct{ Version uint32 }

// DHCP is what a client or server said.
type DHCP struct {
	MessageType uint8   // of the last message
	Hostname    string  // in the last message
	ClientMAC   [6]byte // the client's hardware address in the last message; zero if it is not Ethernet
	VendorClass string
	Server      string // address of the answering server, if an answer was seen
	ServerID    string // option 54
}

// NTP is the first packet's mode and version.
type NTP struct {
	Version, Mode, Stratum uint8
	Answered               bool // a mode 4 packet came from the server
}

// Credentials says that a user name or password crossed the network in clear text. The password is never kept.
type Credentials struct {
	Protocol Protocol
	User     string
	Password bool // a password was sent
}
