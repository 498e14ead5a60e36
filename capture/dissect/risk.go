package dissect

import (
	"fmt"
	"strconv"
	"strings"
)

// The risks, by nDPI's number (its page "nDPI Flow Risks" says what each means).
const (
	NoRisk Risk = iota
	RiskURLXSS
	RiskURLSQLInjection
	RiskURLRCE
	RiskBinaryApplicationTransfer
	RiskNonStandardPort
	RiskTLSSelfSigned
	RiskTLSObsoleteVersion
	RiskTLSWeakCipher
	RiskTLSCertExpired
	RiskTLSCertMismatch
	RiskHTTPUserAgent
	RiskNumericHost
	RiskHTTPURL
	RiskHTTPHeader
	RiskTLSNotHTTPS
	RiskDGADomain
	RiskMalformedPacket
	RiskSSHObsoleteClient
	RiskSSHObsoleteServer
	RiskSMBInsecure
	RiskTLSESNI
	RiskUnsafeProtocol
	RiskDNSSuspicious
	RiskTLSMissingSNI
	RiskHTTPContent
	RiskRiskyASN    // raised by a caller that knows autonomous systems
	RiskRiskyDomain // raised by a caller that has a list
	RiskMaliciousFingerprint
	RiskMaliciousSHA1
	RiskDesktopSharing
	RiskTLSUncommonALPN
	RiskTLSValidityTooLong
	RiskTLSExtension
	RiskTLSFatalAlert
	RiskEntropy
	RiskClearTextCredentials
	RiskDNSLarge
	RiskDNSFragmented
	RiskInvalidCharacters
	RiskPossibleExploit
	RiskTLSAboutToExpire
	RiskPunycode
	RiskErrorCode
	RiskCrawler
	RiskAnonymousSubscriber
	RiskUnidirectional
	RiskHTTPObsoleteServer
	RiskPeriodicFlow
	RiskMinorIssues
	RiskTCPIssues
	RiskFullyEncrypted
	RiskTLSALPNMismatch
	RiskMalwareHost
	RiskBinaryDataTransfer
	RiskProbing
	RiskObfuscated
	numRisks
)

// riskNames are nDPI's names in lower case without the prefix.
var riskNames = [numRisks]string{
	NoRisk: "no_risk", RiskURLXSS: "url_possible_xss", RiskURLSQLInjection: "url_possible_sql_injection",
	RiskURLRCE: "url_possible_rce_injection", RiskBinaryApplicationTransfer: "binary_application_transfer",
	RiskNonStandardPort: "known_protocol_on_non_standard_port", RiskTLSSelfSigned: "tls_selfsigned_certificate",
	RiskTLSObsoleteVersion: "tls_obsolete_version", RiskTLSWeakCipher: "tls_weak_cipher",
	RiskTLSCertExpired: "tls_certificate_expired", RiskTLSCertMismatch: "tls_certificate_mismatch",
	RiskHTTPUserAgent: "http_suspicious_user_agent", RiskNumericHost: "numeric_ip_host",
	RiskHTTPURL: "http_suspicious_url", RiskHTTPHeader: "http_suspicious_header",
	RiskTLSNotHTTPS: "tls_not_carrying_https", RiskDGADomain: "suspicious_dga_domain",
	RiskMalformedPacket: "malformed_packet", RiskSSHObsoleteClient: "ssh_obsolete_client_version_or_cipher",
	RiskSSHObsoleteServer: "ssh_obsolete_server_version_or_cipher", RiskSMBInsecure: "smb_insecure_version",
	RiskTLSESNI: "tls_suspicious_esni_usage", RiskUnsafeProtocol: "unsafe_protocol",
	RiskDNSSuspicious: "dns_suspicious_traffic", RiskTLSMissingSNI: "tls_missing_sni",
	RiskHTTPContent: "http_suspicious_content", RiskRiskyASN: "risky_asn", RiskRiskyDomain: "risky_domain",
	RiskMaliciousFingerprint: "malicious_fingerprint", RiskMaliciousSHA1: "malicious_sha1_certificate",
	RiskDesktopSharing: "desktop_or_file_sharing_session", RiskTLSUncommonALPN: "tls_uncommon_alpn",
	RiskTLSValidityTooLong: "tls_cert_validity_too_long", RiskTLSExtension: "tls_suspicious_extension",
	RiskTLSFatalAlert: "tls_fatal_alert", RiskEntropy: "suspicious_entropy",
	RiskClearTextCredentials: "clear_text_credentials", RiskDNSLarge: "dns_large_packet",
	RiskDNSFragmented: "dns_fragmented", RiskInvalidCharacters: "invalid_characters",
	RiskPossibleExploit: "possible_exploit", RiskTLSAboutToExpire: "tls_certificate_about_to_expire",
	RiskPunycode: "punycode_idn", RiskErrorCode: "error_code_detected", RiskCrawler: "http_crawler_bot",
	RiskAnonymousSubscriber: "anonymous_subscriber", RiskUnidirectional: "unidirectional_traffic",
	RiskHTTPObsoleteServer: "http_obsolete_server", RiskPeriodicFlow: "periodic_flow",
	RiskMinorIssues: "minor_issues", RiskTCPIssues: "tcp_issues", RiskFullyEncrypted: "fully_encrypted",
	RiskTLSALPNMismatch: "tls_alpn_sni_mismatch", RiskMalwareHost: "malware_host_contacted",
	RiskBinaryDataTransfer: "binary_data_transfer", RiskProbing: "probing_attempt", RiskObfuscated: "obfuscated_traffic",
}

// String returns the risk's name in snake case, such as "tls_certificate_expired", or its number where it has none.
func (r Risk) String() string {
	if int(r) < len(riskNames) {
		return riskNames[r]
	}
	return strconv.Itoa(int(r))
}

// ParseRisk reads a risk's name in any case.
func ParseRisk(s string) (Risk, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	for i, n := range riskNames {
		if n == s {
			return Risk(i), nil
		}
	}
	return NoRisk, fmt.Errorf("unknown flow risk %q: use a name such as tls_certificate_expired", s)
}

// List returns the risks of the set, by number.
func (r Risks) List() []Risk {
	var l []Risk
	for i := range numRisks {
		if r.Has(i) {
			l = append(l, i)
		}
	}
	return l
}
