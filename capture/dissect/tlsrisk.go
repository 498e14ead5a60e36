package dissect

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// weakCiphers are the suites without forward secrecy, without authentication or with a broken cipher: NULL, export, DES,
// 3DES, RC4, anonymous, and RSA or static Diffie-Hellman key exchange (IANA, TLS Cipher Suites).
var weakCiphers = func() map[uint16]bool {
	m := map[uint16]bool{}
	span := func(from, to uint16) {
		for v := from; v <= to; v++ {
			m[v] = true
		}
	}
	span(0x0000, 0x0031)
	delete(m, 0x001C)
	delete(m, 0x001D)
	span(0x0034, 0x0037)
	span(0x003A, 0x003F)
	span(0x0041, 0x0043)
	for _, v := range []uint16{
		0x0046, 0x0068, 0x0069, 0x006C, 0x006D, 0x0084, 0x0085, 0x0086, 0x0089, 0x008A, 0x008B, 0x008E, 0x008F, 0x0092,
		0x0093, 0x0096, 0x0097, 0x0098, 0x009B, 0x009C, 0x009D, 0x00A0, 0x00A1, 0x00A4, 0x00A5, 0x00A6, 0x00A7, 0xC0A0, 0xC0A1,
		0xC09C, 0xC09D, 0xC007, 0xC008, 0xC011, 0xC012,
	} {
		m[v] = true
	}
	span(0xC001, 0xC006)
	span(0xC00B, 0xC010)
	span(0xC015, 0xC019)
	return m
}()

// knownALPN are the protocol names of the IANA registry, besides those of HTTP.
var knownALPN = map[string]bool{
	"stun.turn": true, "stun.nat-discovery": true, "webrtc": true, "c-webrtc": true, "ftp": true, "imap": true,
	"pop3": true, "managesieve": true, "coap": true, "co": true, "xmpp-client": true, "xmpp-server": true,
	"acme-tls/1": true, "mqtt": true, "dot": true, "ntske/1": true, "sunrpc": true, "smb": true, "irc": true,
	"nntp": true, "nnsp": true, "doq": true, "doq-i00": true, "doq-i02": true, "doq-i03": true, "sip/2": true,
	"tds/8.0": true, "dicom": true, "postgresql": true, "radius/1.0": true, "radius/1.1": true, "smtp": true,
	"apns-security-v2": true, "apns-security-v3": true, "apns-pack-v1": true, "grpc-exp": true, "h2c": true,
}

// maxCertLife is the longest life browsers accept of a certificate issued since September 2020, in seconds.
const (
	maxCertLife   = 398 * 86400
	certLifeSince = 1598918400 // 1 September 2020
	expiresSoon   = 30 * 86400
	shortLived    = 40 * 86400 // certificates that are renewed so often are always about to expire
)

// certRisks judges a certificate by the time of the packet that brought it.
func (c *ctx) certRisks(t *TLS, ct *Certificate) {
	if ct.SelfSigned {
		c.risk(RiskTLSSelfSigned, ct.Subject)
	}
	if ct.NotAfter != 0 {
		now := c.p.Time / int64(time.Second)
		span := certTime(ct.NotBefore) + " - " + certTime(ct.NotAfter)
		switch {
		case now > ct.NotAfter, now < ct.NotBefore:
			c.risk(RiskTLSCertExpired, span)
		case ct.NotAfter-now < expiresSoon && ct.NotAfter-ct.NotBefore > shortLived:
			c.risk(RiskTLSAboutToExpire, span)
		}
		if life := ct.NotAfter - ct.NotBefore; ct.NotBefore >= certLifeSince && life > maxCertLife+86400 {
			c.risk(RiskTLSValidityTooLong, fmt.Sprintf("certificate lasts %d days", life/86400))
		}
	}
	if t.SNI != "" && !ct.covers(t.SNI) {
		c.risk(RiskTLSCertMismatch, t.SNI+" is not "+ct.who())
	}
}

func certTime(s int64) string { return time.Unix(s, 0).UTC().Format("2006-01-02 15:04:05") }

// who is the name a certificate was made for.
func (ct *Certificate) who() string {
	if len(ct.Names) > 0 {
		s := strings.Join(ct.Names[:min(len(ct.Names), 4)], ", ")
		if len(ct.Names) > 4 {
			s += ", ..."
		}
		return s
	}
	return ct.CommonName
}

// covers reports whether the certificate names the host, a wildcard standing for one label (RFC 6125). A certificate
// without any DNS name says nothing about hosts and is not judged.
func (ct *Certificate) covers(host string) bool {
	names := ct.Names
	if len(names) == 0 {
		if !strings.Contains(ct.CommonName, ".") {
			return true
		}
		names = []string{ct.CommonName}
	}
	host = strings.TrimSuffix(host, ".")
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if n == host {
			return true
		}
		if rest, ok := strings.CutPrefix(n, "*."); ok {
			if _, up, ok := strings.Cut(host, "."); ok && up == rest {
				return true
			}
		}
	}
	return false
}

// tlsRisks judges a handshake once both hellos were seen, or no more will come.
func (c *ctx) tlsRisks() {
	m := c.s.Meta
	if m == nil || m.TLS == nil {
		return
	}
	c.s.tlsRisks(c.p.L4 == l4UDP)
	c.changed = true
}

func (s *State) tlsRisks(udp bool) {
	t := s.Meta.TLS
	v := t.Version
	if v == 0 {
		v = t.ClientVersion
	}
	if (t.ClientHello || t.ServerHello) && obsolete(v) {
		s.addRisk(RiskTLSObsoleteVersion, VersionName(v))
	}
	if t.ServerHello && weakCiphers[t.Cipher] {
		s.addRisk(RiskTLSWeakCipher, CipherName(t.Cipher))
	}
	if !t.ClientHello {
		return
	}
	web := false
	known := len(t.ALPN) == 0
	for _, a := range t.ALPN {
		web = web || isHTTPALPN(a)
		known = known || isHTTPALPN(a) || knownALPN[a]
	}
	if !known {
		s.addRisk(RiskTLSUncommonALPN, t.ALPN[0])
	}
	if t.SNI == "" && !t.ESNI && s.Protocol != ProtoDTLS && !obsolete(t.ClientVersion) {
		s.addRisk(RiskTLSMissingSNI, "no server name")
		if web {
			s.addRisk(RiskTLSALPNMismatch, t.ALPN[0]+" without a server name")
		}
	}
	if len(t.ALPN) == 0 && !udp && s.Protocol == ProtoTLS && !obsolete(v) {
		s.addRisk(RiskTLSNotHTTPS, "no ALPN")
	}
}

// numericHost reports whether a host name is an address.
func numericHost(h string) bool {
	if h == "" || !(h[0] >= '0' && h[0] <= '9' || h[0] == '[' || h[0] == ':' || h[0] >= 'a' && h[0] <= 'f') {
		return false
	}
	h = strings.TrimSuffix(strings.TrimPrefix(h, "["), "]")
	_, err := netip.ParseAddr(h)
	return err == nil
}

// alpnApp names the application by the protocols a client offers.
func (c *ctx) alpnApp(t *TLS) {
	for _, a := range t.ALPN {
		switch {
		case a == "dot", strings.HasPrefix(a, "doq"):
			c.app(ProtoDoHDoT)
			return
		case strings.HasPrefix(a, "anydesk/"):
			c.app(ProtoAnyDesk)
			c.risk(RiskDesktopSharing, "AnyDesk")
			return
		case a == "mqtt", strings.HasPrefix(a, "x-amzn-mqtt"):
			c.app(ProtoMQTT)
			return
		case strings.HasPrefix(a, "apns-"):
			c.app(ProtoApplePush)
			return
		}
	}
}

// certApp names the application by the certificate where no host name did.
func (c *ctx) certApp(ct *Certificate) {
	if c.s.App != Unknown {
		return
	}
	if strings.HasPrefix(ct.CommonName, "AnyDesk") || strings.HasPrefix(ct.CommonName, "AnyNet") {
		c.app(ProtoAnyDesk)
		c.risk(RiskDesktopSharing, "AnyDesk")
		return
	}
	if torName(ct.Subject, ".net") && torName(ct.Issuer, ".com") {
		c.app(ProtoTor)
		return
	}
	if ct.CommonName == "NVIDIA GameStream" {
		c.app(ProtoGeForceNow)
		return
	}
	if strings.HasPrefix(ct.CommonName, "syncthing") {
		c.app(ProtoSyncthing)
		return
	}
	if p := appByHost(strings.TrimPrefix(strings.ToLower(ct.CommonName), "*.")); p != Unknown {
		c.app(p)
		return
	}
	for _, n := range ct.Names {
		if p := appByHost(strings.TrimPrefix(strings.ToLower(n), "*.")); p != Unknown {
			c.app(p)
			return
		}
	}
}

// torName reports whether a distinguished name is one that a Tor relay makes up for its certificate: only a common name,
// www, random letters of base32, and a top level domain (tor-spec, "Negotiating channels").
func torName(dn, tld string) bool {
	s, ok := strings.CutPrefix(dn, "CN=www.")
	if !ok {
		return false
	}
	if s, ok = strings.CutSuffix(s, tld); !ok || len(s) < 8 || len(s) > 24 {
		return false
	}
	for i := range len(s) {
		if x := s[i]; (x < 'a' || x > 'z') && (x < '2' || x > '7') {
			return false
		}
	}
	return true
}
