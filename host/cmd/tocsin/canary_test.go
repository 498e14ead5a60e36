//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// canaries are the secrets that the test plants, each with characters that encodings change where the place allows it.
var canaries = map[string]string{
	"password": `C4n-pw-é/"+&=<x>\9`, "shared": "C4n-shared-Zq81jd72Hs", "sign": "whsec_C4nSignMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	"path": "C4nUrlPath0123456789abcd", "query": "C4nUrlQuery0123456789", "userinfo": "C4nUrlUserinfo77",
	"telegram": "987654321:C4nTelegramTokenabcdefghij0123456789", "token": "C4n+token/é?&=\"x", "key": "C4n-key-of-a-recipient-Jw72",
	"note":        "C4n-note-in-clear-Vb55/+kd02",
	"environment": "C4n-environment-Pd83kx", "proxy": "C4nProxyPassword5521",
}

// encoded gives the forms in which a value is looked for, made by other means than the program's own. Of base64 it is the
// part that does not depend on what stands around the value.
func encoded(v string) map[string]string {
	j, _ := json.Marshal(v)
	var plain bytes.Buffer
	e := json.NewEncoder(&plain)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	all := map[string]string{
		"itself": v, "JSON": strings.Trim(string(j), `"`), "plain JSON": strings.TrimSpace(plain.String())[1 : plain.Len()-2],
		"path": url.PathEscape(v), "query": url.QueryEscape(v), "hex": hex.EncodeToString([]byte(v)),
		"HEX": strings.ToUpper(hex.EncodeToString([]byte(v))), "HTML": html.EscapeString(v), "quoted": strings.Trim(fmt.Sprintf("%+q", v), `"`),
	}
	for before := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			text := enc.EncodeToString([]byte("\x00\x00\x00"[:before] + v))
			all[fmt.Sprintf("%s, %d before", name, before)] = text[4 : len(text)-4]
		}
	}
	return all
}

// leaks looks for every canary in every form, and for placeholders.
func leaks(t *testing.T, where string, text []byte) {
	t.Helper()
	for name, v := range canaries {
		for form, s := range encoded(v) {
			if i := bytes.Index(text, []byte(s)); i >= 0 {
				t.Errorf("%s: the canary %q, as %s, in %q", where, name, form, text[max(0, i-120):min(len(text), i+len(s)+40)])
				break
			}
		}
	}
}

// leakySink is a service that gives away what it is sent, in the way that the first part of the path names.
func leakySink() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		sent := fmt.Sprintf("%s %s\n%v\n%s:%s\n%s", r.Method, r.URL, r.Header, user, password, body)
		unescaped, _ := url.PathUnescape(sent)
		echo := sent + "\n" + unescaped
		secret := ""
		for _, v := range canaries {
			known := false
			for _, s := range encoded(v) {
				known = known || strings.Contains(sent, s)
			}
			if !known {
				continue
			}
			secret = v
			for form, s := range encoded(v) {
				if !strings.HasPrefix(form, "base64") {
					echo += "\n" + form + ": " + s
				}
			}
			for before := range 3 {
				whole := []byte("abc"[:before] + v + "tail")
				echo += "\n" + base64.StdEncoding.EncodeToString(whole) + "\n" + base64.URLEncoding.EncodeToString(whole[:len(whole)-4])
			}
		}
		w.Header().Set("X-Echo", url.QueryEscape(secret))
		w.Header().Set("X-Hex", hex.EncodeToString([]byte(secret)))
		w.Header().Set("WWW-Authenticate", "Bearer realm="+base64.StdEncoding.EncodeToString([]byte(secret)))
		switch mode, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); mode {
		case "fine":
			_, _ = io.WriteString(w, echo)
		case "redirect":
			w.Header().Set("Location", "http://127.0.0.1:3/elsewhere/"+url.PathEscape(secret)+"?k="+url.QueryEscape(secret))
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "moved":
			w.Header().Set("Location", "/"+url.PathEscape(secret))
			w.WriteHeader(http.StatusFound)
			_, _ = io.WriteString(w, echo)
		case "hang":
			<-r.Context().Done()
		case "half":
			w.Header().Set("Content-Length", "100000")
			_, _ = io.WriteString(w, echo)
		case "long": // cut off within a secret
			w.WriteHeader(http.StatusBadGateway)
			_, _ = io.WriteString(w, strings.Repeat(".", 64<<10-len(secret)/2)+secret)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, echo)
		}
	})
}

// leaky builds the hostile plug-in.
func leaky(t *testing.T) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "leaky.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", file, "./testdata/leaky")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	module, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := plugin.PackDir("testdata/leaky/package", module)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// TestNoSecretShown plants a secret in every place that one can stand in, runs the real program at debug level against
// services and a plug-in that give away what they can, and looks for the secrets in all it writes.
func TestNoSecretShown(t *testing.T) {
	sink := httptest.NewServer(leakySink())
	defer sink.Close()
	secure := httptest.NewUnstartedServer(leakySink())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	host := strings.TrimPrefix(sink.URL, "http://")

	var toml strings.Builder
	fmt.Fprint(&toml, "[checks]\ndisable = [\"flow/ndpi_tls_not_carrying_https\"]\n[api]\nlisten = \"127.0.0.1:0\"\n")
	var names []string
	add := func(name, typ, ep, rc string) {
		names = append(names, name)
		fmt.Fprintf(&toml, "[[endpoint]]\nname = %q\ntype = %q\nparameters = { %s }\n[[recipient]]\nname = %q\nendpoint = %q\nchecks = [\"flow/tls_certificate_selfsigned\"]\nparameters = { %s }\n",
			name, typ, ep, name, name, rc)
	}
	for i, u := range []string{sink.URL + "/fail/", sink.URL + "/fine/", sink.URL + "/redirect/", sink.URL + "/moved/", sink.URL + "/half/", "http://127.0.0.1:1/", secure.URL + "/"} {
		add(fmt.Sprintf("hook%d", i), "webhook", fmt.Sprintf("webhook_url = %q, webhook_username = \"u\", webhook_password = \"secret:password\", webhook_sharedsecret = %q, signing_secret = \"file:sign\"", u, canaries["shared"]), "")
		add(fmt.Sprintf("bot%d", i), "telegram", fmt.Sprintf("telegram_api_url = %q, telegram_token = \"env:TOCSIN_CANARY_TELEGRAM\"", u), `telegram_channel = "@ops_room"`)
	}
	add("url-file", "webhook", `webhook_url = "file:url"`, "")
	add("url-secret", "webhook", `webhook_url = "secret:url"`, "")
	add("url-secret-tls", "webhook", `webhook_url = "secret:tls-url"`, "")
	add("script", "shell", `shell_script = "env.sh"`, "")
	for _, mode := range []string{"fail", "fine", "redirect", "moved", "hang", "half", "long"} {
		add("leaky-"+mode, "leaky", fmt.Sprintf("url = %q, token = \"secret:token\"", sink.URL+"/"+mode), `key = "secret:key"`)
	}
	for _, mode := range []string{"panic", "reject", "error", "header", "elsewhere", "crash"} {
		add("leaky-"+mode, "leaky", fmt.Sprintf("url = %q, token = \"secret:token\", mode = %q, type = \"text/plain\"", sink.URL+"/fail", mode), `key = "secret:key"`)
	}
	for i, note := range []string{"secret:note", "file:note", "env:TOCSIN_CANARY_NOTE"} { // the plug-in sees the value, a log does not
		add(fmt.Sprintf("leaky-note%d", i), "leaky", fmt.Sprintf("url = %q, token = \"secret:token\", note = %q", sink.URL+"/fail", note), `key = "secret:key"`)
	}
	dir := folder(t, toml.String())
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	secretURL := func(scheme, at string) string {
		return fmt.Sprintf("%s://u:%s@%s/fail/%s?k=%s", scheme, canaries["userinfo"], at, canaries["path"], canaries["query"])
	}
	write("plugins.d/leaky.wasm", string(leaky(t)), 0o644)
	write("sign", canaries["sign"]+"\n", 0o600)
	write("note", canaries["note"]+"\n", 0o600)
	write("url", secretURL("http", host), 0o600)
	write("scripts/env.sh", "#!/bin/sh\nenv >&2\nenv\ncat\nexit 1\n", 0o755)
	write("nothing.pcap", "\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00\x00", 0o600)
	capture, err := filepath.Abs("../../../capture/testdata/small/tls-selfsigned.pcap")
	if err != nil {
		t.Fatal(err)
	}
	tocsinIn := func(stdin string, args ...string) *exec.Cmd {
		cmd := (&service{dir: dir}).command(t.Context(), args...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.Env = append(os.Environ(), "TOCSIN_CANARY_TELEGRAM="+canaries["telegram"], "TOCSIN_CANARY_NOTE="+canaries["note"], "TOCSIN_CANARY_OTHER="+canaries["environment"], "GOTRACEBACK=all")
		return cmd
	}
	shown := 0
	check := func(stdin string, args ...string) string {
		t.Helper()
		out, err := tocsinIn(stdin, args...).CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		shown += len(out)
		leaks(t, "tocsin "+strings.Join(args, " "), out)
		if bytes.Contains(out, []byte("panic: ")) && !bytes.Contains(out, []byte("plug-in")) {
			t.Errorf("tocsin %v panics: %s", args, out)
		}
		return string(out)
	}
	disk := func(when string) {
		t.Helper()
		err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			leaks(t, when+": "+strings.TrimPrefix(path, dir), b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	for name, value := range map[string]string{
		"password": canaries["password"], "token": canaries["token"], "key": canaries["key"], "note": canaries["note"],
		"url": secretURL("http", host), "tls-url": secretURL("https", strings.TrimPrefix(secure.URL, "https://")),
	} {
		check(value+"\n", "secret", "set", name)
	}
	check("", "secret", "list")
	if out := check("", "config", "check"); !strings.Contains(out, "is fine") {
		t.Fatalf("the configuration is wrong: %s", out)
	}
	var bad strings.Builder // what the schema, and the plug-in itself, say of wrong values
	for i, mode := range []string{"lint", "lint recipient", "lint fails", "lint panics", "mark"} {
		mark := "a"
		if mode == "mark" {
			mark = "secret:note"
		}
		fmt.Fprintf(&bad, "[[endpoint]]\nname = \"bad%d\"\ntype = \"leaky\"\nparameters = { url = \"http://127.0.0.1:1/\", token = \"secret:token\", note = \"secret:note\", mode = %q, mark = %q }\n"+
			"[[recipient]]\nname = \"bad%[1]d\"\nendpoint = \"bad%[1]d\"\nparameters = { key = \"secret:key\" }\n", i, mode, mark)
	}
	write("bad.toml", bad.String(), 0o600)
	told := check("", "config", "check", "-c", "bad.toml")
	for _, want := range []string{
		`bad0": token: is not http://127.0.0.1:1/ ‹secret:token› ‹secret:note›`, `bad1": key: is not http://127.0.0.1:1/ ‹secret:token› ‹secret:note› ‹secret:key›`,
		`cannot lint http://127.0.0.1:1/ ‹secret:token› ‹secret:note›`, `lint has http://127.0.0.1:1/ ‹secret:token› ‹secret:note›`, `bad4": mark "‹secret:mark›"`,
	} {
		if !strings.Contains(told, want) {
			t.Errorf("%s is not in: %s", want, told)
		}
	}
	check("", "secret", "rotate")
	write("proxy.toml", strings.Replace(toml.String(), "[api]", "[egress]\nproxy = \"http://u:"+canaries["proxy"]+"@127.0.0.1:4\"\n[api]", 1), 0o600)
	check("", "recipient", "test", "leaky-fail", "--log-level", "debug", "-c", "proxy.toml")
	for _, format := range []string{"text", "json"} {
		out := check("", "run", "-r", capture, "--wait", "0s", "--log-level", "debug", "--log-format", format)
		if !strings.Contains(out, "‹secret:token›") || !strings.Contains(out, "‹secret:key›") || strings.Count(out, "‹secret:note›") < 3 {
			t.Errorf("the plug-in's log and reasons are not in the output, so nothing was tested: %s", out)
		}
	}
	disk("after the run")
	ledger := check("", "deliveries", "list", "--limit", "0")
	if n := strings.Count(ledger, "\n"); n != 2*len(names) {
		t.Errorf("%d deliveries, want %d", n, 2*len(names))
	}
	for line := range strings.Lines(ledger) {
		var row struct{ ID string }
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, "leaky") {
			check("", "deliveries", "show", row.ID)
		}
	}
	for _, args := range [][]string{{"deliveries", "list", "--format", "table"}, {"recipient", "list"}, {"endpoint", "list"}} {
		check("", args...)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "hook") && name > "hook0" || strings.HasPrefix(name, "bot") && name > "bot0" {
			continue // the steps are the same as the others'
		}
		if !strings.HasPrefix(name, "leaky") || name == "leaky-fail" || name == "leaky-reject" || name == "leaky-panic" {
			check("", "recipient", "preview", name)
			check("", "recipient", "preview", name, "--format", "table")
		}
		check("", "recipient", "test", name, "--log-level", "debug", "--timeout", "3s")
	}
	check("", "deliveries", "retry", "--dead")
	crash(t, tocsinIn("", "run", "--log-level", "debug"))
	disk("after the crash")
	if shown < 100_000 {
		t.Errorf("only %d bytes of output were looked at", shown)
	}
}

var metricsAt = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+/metrics`)

// crash starts the service, reads its metrics, and has it end with the stacks of all goroutines.
func crash(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	pr, pw := io.Pipe()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = pw, pw
	address := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		var line []byte
		for buf := make([]byte, 4096); ; {
			n, err := pr.Read(buf)
			out.Write(buf[:n])
			line = append(line, buf[:n]...)
			if at := metricsAt.Find(line); at != nil && address != nil {
				address <- string(at)
				address = nil
			}
			if err != nil {
				return
			}
		}
	}()
	at := address
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case u := <-at:
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || len(b) == 0 {
			t.Errorf("metrics: %d bytes, %v", len(b), err)
		}
		resp.Body.Close()
		leaks(t, "metrics", b)
	case <-time.After(2 * time.Minute):
		t.Error("the service did not say where its metrics are")
	}
	_ = cmd.Process.Signal(syscall.SIGQUIT)
	_ = cmd.Wait()
	_ = pw.Close()
	<-read
	if !bytes.Contains(out.Bytes(), []byte("goroutine 1 ")) {
		t.Errorf("no crash dump: %s", out.Bytes())
	}
	leaks(t, "the crash dump", out.Bytes())
}
