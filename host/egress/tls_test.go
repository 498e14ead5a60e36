package egress

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/pdk"
)

// authority is a certificate authority of the test's own.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// leaf issues a certificate; self makes it sign itself.
func (a *authority) leaf(t *testing.T, from, until time.Time, self bool, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: from, NotAfter: until}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	parent, signer := a.cert, a.key
	if self {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	past, soon := time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	ok := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }
	server := func(c *tls.Config) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(ok))
		s.TLS, s.EnableHTTP2 = c, true
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	cert := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	plainHTTP := serve(t, ok).URL
	closing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing.Close() })
	go func() {
		for {
			c, err := closing.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			c.Close()
		}
	}()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mute.Close() })

	old := cert(ca.leaf(t, past, soon, false, "127.0.0.1"))
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	x := newExecutor(t, Options{RootCAs: pool})
	for _, c := range []struct {
		name, url, stage, says string
	}{
		{"good", server(cert(ca.leaf(t, past, soon, false, "127.0.0.1"))), "", "HTTP/2.0"},
		{"expired", server(cert(ca.leaf(t, past, time.Now().Add(-time.Hour), false, "127.0.0.1"))), StageTLS, "expired on"},
		{"not yet valid", server(cert(ca.leaf(t, soon, soon.Add(time.Hour), false, "127.0.0.1"))), StageTLS, "valid only from"},
		{"self-signed", server(cert(ca.leaf(t, past, soon, true, "127.0.0.1"))), StageTLS, "self-signed"},
		{"unknown authority", server(cert(newAuthority(t).leaf(t, past, soon, false, "127.0.0.1"))), StageTLS, "authority"},
		{"wrong name", server(cert(ca.leaf(t, past, soon, false, "other.example"))), StageTLS, "other.example"},
		{"old version", server(old), StageTLS, "TLS"},
		{"not TLS", strings.Replace(plainHTTP, "http:", "https:", 1), StageTLS, "does not speak TLS"},
		{"closes", "https://" + closing.Addr().String(), StageTLS, "closed the connection during the TLS handshake"},
		{"mute", "https://" + mute.Addr().String(), StageTimeout, "TLS handshake in time"},
	} {
		p := Policy{Grants: []Grant{grantTo(t, c.url)}, Timeout: time.Minute}
		if c.name == "mute" {
			p.Timeout = 5 * time.Second
		}
		resp, terr := x.Do(t.Context(), post(c.url+"/s3cret"), p)
		switch {
		case c.stage == "" && (terr != nil || resp.Body != c.says):
			t.Errorf("%s: got %+v, %+v", c.name, resp, terr)
		case c.stage != "" && (terr == nil || terr.Stage != c.stage || terr.Ambiguous || !strings.Contains(terr.Message, c.says) || strings.Contains(terr.Message, "s3cret")):
			t.Errorf("%s: got %+v", c.name, terr)
		}
	}
}

// TestCancelled ends a request with its context, not with its time limit.
func TestCancelled(t *testing.T) {
	arrived := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { close(arrived); <-r.Context().Done() })
	x := newExecutor(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	_, terr := x.Do(ctx, &pdk.Request{HTTP: &pdk.HTTPRequest{Method: "GET", URL: s.URL}}, Policy{Grants: []Grant{grantTo(t, s.URL)}})
	if terr == nil || terr.Stage != StageRead || !terr.Ambiguous || !strings.Contains(terr.Message, "stopped") {
		t.Errorf("got %+v", terr)
	}
}
