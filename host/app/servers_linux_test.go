package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/outbox"
	"github.com/tocsin-net/tocsin/host/plugin/build"
)

// testTrust names the folder with a server's certificate that this process trusts the authority of.
const testTrust = "TOCSIN_TEST_TRUST"

// trusted gives a folder with ca.pem, cert.pem and key.pem for 127.0.0.1. Which authorities are trusted is settled once in
// a process, as administrators do it, so the test that asks runs in a process of its own: the caller goes on if ok is set,
// and is done otherwise.
func trusted(t *testing.T) (dir string, ok bool) {
	t.Helper()
	if dir := os.Getenv(testTrust); dir != "" {
		return dir, true
	}
	dir = t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tocsin test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: der}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), testTrust+"="+dir, "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"))
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case bytes.Contains(out, []byte("--- SKIP: "+t.Name()+" ")):
		t.Skip(string(out))
	}
	return "", false
}

// program finds a server, skips the test for want of it, or fails it where servers are required.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	lacking(t, name+" is not installed")
	return ""
}

func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("TOCSIN_SERVERS") == "required" {
		t.Fatal(what + ": run .ci/servers")
	}
	t.Skip(what + ": .ci/servers installs it on Debian")
}

// freePorts gives ports of the loopback that nobody uses.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// serve runs a server in the foreground until the test ends, and waits until it listens on these ports of the loopback.
func serve(t *testing.T, dir string, env []string, ports []int, name string, args ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, name, args...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), env...), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children end with it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		stop()
		<-ended
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s said:\n%s", name, out.String())
		}
	})
	waitFor(t, name+" to listen", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended:\n%s", name, out.String())
		default:
		}
		for _, p := range ports {
			c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(p))
			if err != nil {
				return false
			}
			c.Close()
		}
		return true
	})
}

// ofType configures endpoints of one type, each with a recipient of the same name, and starts the service.
func ofType(t *testing.T, typ, more string, params map[string]string) (*App, *config.Config) {
	t.Helper()
	cfg := configured(t, "http://127.0.0.1:1")
	var text strings.Builder
	text.WriteString(more)
	for name, p := range params {
		endpoint, recipient, _ := strings.Cut(p, "|")
		fmt.Fprintf(&text, "[[endpoint]]\nname = %q\ntype = %q\nparameters = { %s }\n[[recipient]]\nname = %q\nendpoint = %q\nparameters = { %s }\n",
			name, typ, endpoint, name, name, recipient)
	}
	if err := os.WriteFile(cfg.File, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(cfg.Plugins.Folder, typ+".wasm"), build.ForTest(t, typ).Wasm); err != nil {
		t.Fatal(err)
	}
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		err = a.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a, cfg
}

// settle hands alerts to a service in one block, and waits until each delivery has come to its end.
func settle(t *testing.T, a *App, alerts ...*alert.Alert) []outbox.Row {
	t.Helper()
	entries := make([]outbox.Entry, len(alerts))
	for i, al := range alerts {
		entries[i] = outbox.Entry{Alert: al, Targets: a.router.Route(al, time.Now())}
	}
	if err := a.store.Store(t.Context(), entries); err != nil {
		t.Fatal(err)
	}
	var rows []outbox.Row
	waitFor(t, "all deliveries", func() bool {
		var err error
		if rows, err = a.store.List(t.Context(), outbox.Filter{Limit: 10_000}); err != nil {
			t.Fatal(err)
		}
		for i := range rows {
			if s := rows[i].State; s == alert.Queued || s == alert.Leased {
				return false
			}
		}
		return true
	})
	return rows
}

// trial runs `tocsin recipient test` and gives what it prints.
func trial(t *testing.T, cfg *config.Config, recipient string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := TestRecipient(t.Context(), TestOptions{
		Listing: Listing{Streams: Streams{Out: &out, Err: &out}, Config: cfg.File, Format: "jsonl"}, Timeout: time.Minute, LogLevel: "error",
	}, recipient)
	return out.String(), err
}
