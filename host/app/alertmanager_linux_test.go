package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
)

// unique is a sink that tells when so many different alerts were there, by the 36 characters after a mark.
type unique struct {
	mark []byte

	mu   sync.Mutex // mu guards what follows
	seen map[string]bool
	want int
	done chan struct{}
}

func (u *unique) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		i := bytes.Index(body, u.mark)
		if i < 0 || len(body) < i+len(u.mark)+36 {
			break
		}
		body = body[i+len(u.mark):]
		u.seen[string(body[:36])] = true
	}
	if u.done != nil && len(u.seen) >= u.want {
		close(u.done)
		u.done = nil
	}
}

func (u *unique) after(n int) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = map[string]bool{}
	u.want, u.done = n, make(chan struct{})
	return u.done
}

// BenchmarkBesideAlertmanager sends the same alerts to the same kind of sink through tocsin and through Debian's
// prometheus-alertmanager, each in single messages and in hundreds, in one run, and prints the ratios. tocsin stores every
// alert before it is sent; Alertmanager keeps them in memory. An operation is benchRound alerts.
func BenchmarkBesideAlertmanager(b *testing.B) {
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		b.Skip("Debian's prometheus-alertmanager is not installed: apt-get install prometheus-alertmanager")
	}
	rates := map[string]float64{}
	rate := func(b *testing.B, name string) {
		rates[name] = benchRound * float64(b.N) / b.Elapsed().Seconds()
		b.ReportMetric(rates[name], "alerts/s")
	}
	for _, c := range []struct {
		name string
		most int
	}{{"single", 1}, {"hundreds", 100}} {
		b.Run("tocsin/"+c.name, func(b *testing.B) {
			sink := &unique{mark: []byte(`{"id":"`)}
			a := delivering(b, sink, batched(b, c.most, "0s"))
			k := newKeeper(b.Context(), a)
			var begin time.Duration
			for b.Loop() {
				if begin == 0 {
					begin = cpuTime(b)
				}
				all := sink.after(benchRound)
				raise(b, k, benchRound, 500)
				<-all
			}
			b.StopTimer()
			rate(b, "tocsin/"+c.name)
			b.ReportMetric(float64((cpuTime(b)-begin).Microseconds())/benchRound/float64(b.N), "cpu-us/alert")
			if err := k.close(); err != nil {
				b.Fatal(err)
			}
		})
		b.Run("alertmanager/"+c.name, func(b *testing.B) {
			sink := &unique{mark: []byte(`"uid":"`)}
			url, stop := alertmanager(b, program, sink, c.most)
			round := 0
			for b.Loop() {
				all := sink.after(benchRound)
				for i := 0; i < benchRound; i += 500 {
					post(b, url, round, i, 500, c.most)
				}
				<-all
				round++
			}
			b.StopTimer()
			rate(b, "alertmanager/"+c.name)
			used, rss := stop()
			b.ReportMetric(float64(used.Microseconds())/benchRound/float64(b.N), "cpu-us/alert")
			b.ReportMetric(float64(rss)/1024, "peak-MB")
		})
		if am := rates["alertmanager/"+c.name]; am > 0 {
			b.Logf("%s: tocsin (durable) %.0f a second, Alertmanager (in memory) %.0f: ratio %.2f", c.name, rates["tocsin/"+c.name], am,
				rates["tocsin/"+c.name]/am)
		}
	}
}

// alertmanager runs the program with a configuration that sends each alert on its own, or so many of one group together,
// to a sink. stop ends it and gives its CPU time and its largest resident memory in KiB.
func alertmanager(b *testing.B, program string, sink http.Handler, most int) (url string, stop func() (time.Duration, int)) {
	b.Helper()
	srv := httptest.NewServer(sink)
	b.Cleanup(srv.Close)
	dir := b.TempDir()
	group, wait := "'...'", "0s"
	if most > 1 {
		group, wait = "group", "100ms"
	}
	conf := fmt.Sprintf("route:\n  receiver: hook\n  group_by: [%s]\n  group_wait: %s\n  group_interval: 1s\n  repeat_interval: 4h\n"+
		"receivers:\n- name: hook\n  webhook_configs:\n  - url: %s\n    send_resolved: false\n", group, wait, srv.URL)
	path := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, "--config.file="+path, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=error")
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	url = "http://" + addr
	for deadline := time.Now().Add(20 * time.Second); ; {
		res, err := http.Get(url + "/-/ready")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Now().After(deadline) {
			b.Fatalf("it does not get ready: %v, %s", err, out.String())
		}
		<-time.After(20 * time.Millisecond)
	}
	return url + "/api/v2/alerts", func() (time.Duration, int) {
		peak := 0
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); err == nil {
			_, rest, _ := strings.Cut(string(text), "VmHWM:")
			_, _ = fmt.Sscan(rest, &peak)
		}
		cancel()
		_ = cmd.Wait() // killed
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), peak
	}
}

// post gives Alertmanager n alerts of usual size by its API.
func post(b *testing.B, url string, round, from, n, most int) {
	b.Helper()
	type labelled struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	}
	var as []labelled
	for i := from; i < from+n; i++ {
		al := benchAlert(i)
		as = append(as, labelled{
			Labels: map[string]string{
				"alertname": "tls_certificate_expired", "uid": alert.NewID().String(), "group": fmt.Sprint(round, "-", i/most), "severity": "error",
				"client": al.Flow.Client.String(), "server": al.Flow.Server.String(), "protocol": "TLS", "community_id": al.Flow.CommunityID,
			},
			Annotations: map[string]string{"title": al.Title, "message": al.Message, "advice": al.Advice},
		})
	}
	body, err := json.Marshal(as)
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		b.Fatalf("status %d: %s", res.StatusCode, text)
	}
}
