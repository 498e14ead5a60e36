package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// trustedCertificate gives a certificate for 127.0.0.1 that this process trusts from then on, and it alone: which authorities are
// trusted can be settled once. It works on every system, where SSL_CERT_FILE, as servers in processes of their own need it, does
// not.
func trustedCertificate(t testing.TB) *tls.Certificate {
	t.Helper()
	c, err := onlyCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var onlyCertificate = sync.OnceValues(func() (*tls.Certificate, error) {
	c, pool, err := newCertificate()
	if err != nil {
		return nil, err
	}
	before, was := os.LookupEnv("GODEBUG")
	if err := os.Setenv("GODEBUG", before+",x509usefallbackroots=1"); err != nil {
		return nil, err
	}
	x509.SetFallbackRoots(pool)
	if was {
		return c, os.Setenv("GODEBUG", before)
	}
	return c, os.Unsetenv("GODEBUG")
})

// newCertificate gives a certificate for 127.0.0.1, and a pool that trusts it.
func newCertificate() (*tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, nil
}
