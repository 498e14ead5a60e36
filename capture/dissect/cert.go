package dissect

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // a fingerprint that lists are keyed by, not a signature
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strings"
	"time"
)

// certCache keeps parsed leaf certificates, since most handshakes carry one that was seen before. It forgets the older
// half when it is full.
type certCache struct {
	seed       maphash.Seed
	young, old map[uint64]cachedCert
}

type cachedCert struct {
	der  []byte
	cert *Certificate // nil if it did not parse
}

// maxCerts is the number of certificates in each half of the cache.
const maxCerts = 1024

func (cc *certCache) init() {
	cc.seed, cc.young, cc.old = maphash.MakeSeed(), map[uint64]cachedCert{}, map[uint64]cachedCert{}
}

// get returns the certificate in der, or nil if it is not one.
func (cc *certCache) get(der []byte) *Certificate {
	k := maphash.Bytes(cc.seed, der)
	e, ok := cc.young[k]
	if !ok {
		if e, ok = cc.old[k]; ok {
			cc.put(k, e)
		}
	}
	if ok && bytes.Equal(e.der, der) {
		return e.cert
	}
	e = cachedCert{der: bytes.Clone(der), cert: parseCertificate(der)}
	cc.put(k, e)
	return e.cert
}

func (cc *certCache) put(k uint64, e cachedCert) {
	if len(cc.young) >= maxCerts {
		cc.young, cc.old = make(map[uint64]cachedCert), cc.young
	}
	cc.young[k] = e
}

// certificates reads a Certificate message of TLS 1.2 or older (RFC 5246, 7.4.2) and keeps the leaf.
func (c *ctx) certificates(m []byte) {
	if len(m) < 6 {
		return
	}
	n := u24(m[3:])
	if n == 0 || len(m) < 6+n {
		return
	}
	c.leaf(m[6 : 6+n])
}

// leaf notes a server's certificate and what is wrong with it.
func (c *ctx) leaf(der []byte) {
	t := c.tlsMeta()
	cert := c.d.certs.get(der)
	if cert == nil {
		c.risk(RiskMalformedPacket, "certificate cannot be parsed")
		return
	}
	t.Certificate = cert
	c.certApp(cert)
	c.certRisks(t, cert)
}

// parseCertificate reads the parts of an X.509 certificate (RFC 5280) that are shown. What the strict parser refuses is
// read by the lenient one.
func parseCertificate(der []byte) *Certificate {
	s1, s256 := sha1.Sum(der), sha256.Sum256(der) //nolint:gosec // see above
	cert := &Certificate{SHA1: fingerprint(s1[:]), SHA256: fingerprint(s256[:])}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		if !lenientCertificate(der, cert) {
			return nil
		}
		return cert
	}
	cert.setNames(x.RawSubject, x.RawIssuer)
	cert.NotBefore, cert.NotAfter = x.NotBefore.Unix(), x.NotAfter.Unix()
	for _, n := range x.DNSNames {
		cert.addName(n)
	}
	for _, ip := range x.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok {
			cert.addName(a.Unmap().String())
		}
	}
	cert.KeyAlgorithm, cert.SignatureAlgorithm = x.PublicKeyAlgorithm.String(), x.SignatureAlgorithm.String()
	return cert
}

// maxNames is the number of subject alternative names kept.
const maxNames = 128

func (ct *Certificate) addName(n string) {
	if len(ct.Names) < maxNames {
		ct.Names = append(ct.Names, cleanText([]byte(n)))
	}
}

func (ct *Certificate) setNames(subject, issuer []byte) {
	ct.SelfSigned = bytes.Equal(subject, issuer)
	var cn, org string
	ct.Subject, cn, org = nameText(subject)
	ct.CommonName, ct.Organization = cn, org
	ct.Issuer, _, ct.IssuerOrganization = nameText(issuer)
}

// lenientCertificate reads a certificate that crypto/x509 refuses, such as one with a negative serial number or an odd
// time, just far enough to show who and when.
func lenientCertificate(der []byte, cert *Certificate) bool {
	var issuer, before, after, subject asn1.RawValue
	if !lenientASN1(der, &issuer, &before, &after, &subject) {
		return false
	}
	cert.setNames(subject.FullBytes, issuer.FullBytes)
	cert.NotBefore, cert.NotAfter = asn1Time(before), asn1Time(after)
	return true
}

// lenientASN1 walks down to the fields of a TBSCertificate without checking more than their lengths.
func lenientASN1(der []byte, issuer, before, after, subject *asn1.RawValue) bool {
	var outer, tbs, v, validity asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil || outer.Tag != asn1.TagSequence {
		return false
	}
	if _, err := asn1.Unmarshal(outer.Bytes, &tbs); err != nil || tbs.Tag != asn1.TagSequence {
		return false
	}
	rest := tbs.Bytes
	next := func(to *asn1.RawValue) bool {
		r, err := asn1.Unmarshal(rest, to)
		rest = r
		return err == nil
	}
	if !next(&v) {
		return false
	}
	if v.Class == asn1.ClassContextSpecific { // the version; the serial number follows
		if !next(&v) {
			return false
		}
	}
	if !next(&v) || !next(issuer) || !next(&validity) || !next(subject) {
		return false
	}
	rest = validity.Bytes
	return next(before) && next(after)
}

func asn1Time(v asn1.RawValue) int64 {
	for _, layout := range []string{"060102150405Z", "20060102150405Z", "0601021504Z", "060102150405-0700"} {
		if t, err := time.Parse(layout, string(v.Bytes)); err == nil {
			return t.Unix()
		}
	}
	return 0
}

func fingerprint(sum []byte) string {
	const upper = "0123456789ABCDEF"
	b := make([]byte, 0, 3*len(sum))
	for i, x := range sum {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, upper[x>>4], upper[x&15])
	}
	return string(b)
}

// attributeNames are the short names of RFC 4514 and of common use.
var attributeNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
	"2.5.4.9": "street", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.15": "businessCategory",
	"2.5.4.17": "postalCode", "2.5.4.42": "GN", "1.2.840.113549.1.9.1": "emailAddress",
	"0.9.2342.19200300.100.1.25": "DC", "0.9.2342.19200300.100.1.1": "UID", "1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL",
	"1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}

// nameText writes a distinguished name in the order of the certificate.
func nameText(der []byte) (text, cn, org string) {
	var rdns pkix.RDNSequence
	if _, err := asn1.Unmarshal(der, &rdns); err != nil {
		return "", "", ""
	}
	var sb strings.Builder
	for _, set := range rdns {
		for _, a := range set {
			k := a.Type.String()
			if n, ok := attributeNames[k]; ok {
				k = n
			}
			v := cleanText([]byte(fmt.Sprint(a.Value)))
			switch k {
			case "CN":
				cn = v
			case "O":
				org = v
			}
			if sb.Len() > 0 {
				sb.WriteString(", ")
			}
			sb.WriteString(k + "=" + v)
		}
	}
	return cleanText([]byte(sb.String())), cn, org
}
