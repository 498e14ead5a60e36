package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

const monitoring = "../../docs/monitoring"

// TestMonitoringFiles holds the dashboard and the rules to the metrics that exist, and has promtool read their queries
// where it is installed (Debian: prometheus).
func TestMonitoringFiles(t *testing.T) {
	known := []string{
		"tocsin_alerts_total", "tocsin_delivery_attempts_total", "tocsin_build_info",
		"tocsin_delivery_attempt_duration_seconds_bucket", "tocsin_delivery_latency_seconds_bucket",
	}
	ch := make(chan *prometheus.Desc, 100)
	(&collector{log: slog.New(slog.DiscardHandler)}).Describe(ch)
	close(ch)
	name := regexp.MustCompile(`fqName: "([a-z_]+)"`)
	for d := range ch {
		known = append(known, name.FindStringSubmatch(d.String())[1])
	}
	metric := regexp.MustCompile(`\btocsin_[a-z_]+`)
	for _, file := range []string{"alerts.yml", "alerts_test.yml", "grafana.json"} {
		b, err := os.ReadFile(filepath.Join(monitoring, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range metric.FindAllString(string(b), -1) {
			if !slices.Contains(known, m) {
				t.Errorf("%s names %s, which does not exist", file, m)
			}
		}
	}

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("TOCSIN_SERVERS") == "required" {
			t.Fatal("promtool is not installed: apt-get install prometheus")
		}
		t.Skip("promtool is not installed: the queries are not read (apt-get install prometheus)")
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	run("check", "rules", filepath.Join(monitoring, "alerts.yml"))
	run("test", "rules", filepath.Join(monitoring, "alerts_test.yml"))
	rules := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(rules, dashboardRules(t), 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", rules)
}

// dashboardRules writes the queries of the dashboard as recording rules, so that promtool can read them.
func dashboardRules(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(monitoring, "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	out := "groups:\n- name: dashboard\n  rules:\n"
	fill := strings.NewReplacer("$__rate_interval", "5m")
	n := 0
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			out += fmt.Sprintf("  - record: panel:n%d\n    expr: %q\n", n, fill.Replace(q.Expr))
			n++
		}
	}
	if n < 20 {
		t.Errorf("the dashboard has %d queries", n)
	}
	return []byte(out)
}
