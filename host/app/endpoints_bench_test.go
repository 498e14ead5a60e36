package app

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/internal/fakes/declared"
	"github.com/tocsin-net/tocsin/host/plugin"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/pdk"
)

// needed are parameters that a plug-in wants although its schema does not.
var needed = map[string][]string{"slack": {"endpoint.slack_webhook=https://hooks.slack.com/services/T0/B0/x"}}

// BenchmarkRenderTen measures, for every first-party endpoint, the rendering of ten alerts in the sandbox with made-up
// parameters, as one call or as many as its batch allows, and tells the package's size.
func BenchmarkRenderTen(b *testing.B) {
	names, err := build.Names("../..")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			typ := loaded(b, name)
			pkg := typ.Package()
			ep, rc, err := DevPlugin{Locale: "en", Set: needed[name]}.parameters(pkg)
			if err != nil {
				b.Fatal(err)
			}
			in := &pdk.RenderInput{Now: time.Now().UnixMilli(), Locale: "en"}
			in.Endpoint, in.Recipient = pkg.Lint.Fill(ep, rc)
			var all []pdk.Delivery
			for i := range 10 {
				raw, err := benchAlert(i).MarshalJSON()
				if err != nil {
					b.Fatal(err)
				}
				d := pdk.Delivery{ID: "d" + strconv.Itoa(i), Attempt: 1}
				if err := d.Alert.DecodeJSON(raw); err != nil {
					b.Fatal(err)
				}
				d.Alert.Raw = raw
				if d.Subject, d.Text, err = pkg.Compose(raw, "en", false); err != nil {
					b.Fatal(err)
				}
				all = append(all, d)
			}
			most := max(1, min(10, typ.Manifest().Batch.Max))
			for b.Loop() {
				for i := 0; i < len(all); i += most {
					in.Deliveries = all[i:min(i+most, len(all))]
					if _, err := typ.Render(b.Context(), in); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(len(pkg.Wasm))/1e6, "MB")
		})
	}
}

// oneEndpoint is a configuration with one endpoint of a type and one recipient.
func oneEndpoint(b *testing.B, typ, params, recipient string) *config.Config {
	b.Helper()
	cfg := configured(b, "http://127.0.0.1:1")
	text := fmt.Sprintf("[[endpoint]]\nname = \"e\"\ntype = %q\nparameters = { %s }\n[[recipient]]\nname = \"r\"\nendpoint = \"e\"\nparameters = { %s }\n",
		typ, params, recipient)
	if err := os.WriteFile(cfg.File, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(cfg.File)
	if err != nil {
		b.Fatal(err)
	}
	if err := replaceFile(filepath.Join(cfg.Plugins.Folder, typ+".wasm"), build.ForTest(b, typ).Wasm); err != nil {
		b.Fatal(err)
	}
	return cfg
}

// BenchmarkSyslog sends alerts over TCP to a receiver that reads and forgets them.
func BenchmarkSyslog(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(c)) }()
		}
	}()
	host, port, _ := strings.Cut(l.Addr().String(), ":")
	benchmarkChat(b, oneEndpoint(b, "syslog", fmt.Sprintf("syslog_host = %q, syslog_port = %s, syslog_protocol = \"tcp\"", host, port), ""))
}

// mails takes mails and forgets them.
type mails struct{}

func (mails) NewSession(*smtp.Conn) (smtp.Session, error) { return mails{}, nil }
func (mails) Mail(string, *smtp.MailOptions) error        { return nil }
func (mails) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (mails) Reset()                                      {}
func (mails) Logout() error                               { return nil }

func (mails) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// BenchmarkEmail sends alerts, up to twenty in a mail, to a server that takes all.
func BenchmarkEmail(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := smtp.NewServer(mails{})
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	host, port, _ := strings.Cut(l.Addr().String(), ":")
	benchmarkChat(b, oneEndpoint(b, "email", fmt.Sprintf("smtp_server = %q, smtp_port = %s, tls = \"none\", email_sender = \"a@example.org\"", host, port),
		`email_recipient = ["b@example.org"]`))
}

// rateTable is a manifest's limit of its own requests.
var rateTable = regexp.MustCompile(`(?m)^\[rate\]\n(?:[a-z]+ = .*\n)+`)

// BenchmarkDeclared sends alerts through each endpoint without code to its stand-in, without the manifest's own rate limit.
func BenchmarkDeclared(b *testing.B) {
	for _, name := range declared.Names() {
		b.Run(name, func(b *testing.B) {
			srv := httptest.NewServer(declared.New(name))
			defer srv.Close()
			c := declaredCases[name]
			recipient, _ := strings.CutPrefix(c.recipient, "parameters = {")
			cfg := oneEndpoint(b, name, c.endpoint(srv.URL), strings.TrimSuffix(recipient, "}"))
			p := build.ForTest(b, name)
			parts := p.Parts()
			parts.Manifest = rateTable.ReplaceAll(parts.Manifest, nil)
			wasm, err := plugin.Pack(p.Module(), parts)
			if err != nil {
				b.Fatal(err)
			}
			if err := replaceFile(filepath.Join(cfg.Plugins.Folder, name+".wasm"), wasm); err != nil {
				b.Fatal(err)
			}
			benchmarkChat(b, cfg)
		})
	}
}
