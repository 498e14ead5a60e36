package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkPeers reads the capture that TOCSIN_MIX names with `tocsin flows` and, in turn, with every peer that is
// installed, and reports CPU seconds (user and system, of the whole process) a run, the share of tocsin's, and packets per
// CPU second if TOCSIN_MIX_PACKETS says how many there are. How to make the capture: docs/BENCHMARKS.md.
func BenchmarkPeers(b *testing.B) {
	mix := os.Getenv("TOCSIN_MIX")
	if mix == "" {
		b.Skip("TOCSIN_MIX names no capture: see docs/BENCHMARKS.md")
	}
	self, err := exec.LookPath("tocsin")
	if err != nil {
		b.Fatal(err)
	}
	tools := []struct {
		name string
		args []string
	}{
		{"tocsin", []string{self, "flows", "-q", "--format", "jsonl", "-r", mix}},
		{"ndpiReader", []string{"ndpiReader", "-q", "-i", mix}},
		{"softflowd", []string{"softflowd", "-r", mix}},
		{"capinfos", []string{"capinfos", "-c", mix}},
	}
	cpu := map[string]time.Duration{}
	for b.Loop() {
		for _, t := range tools {
			path, err := exec.LookPath(t.args[0])
			if err != nil {
				continue
			}
			cmd := exec.CommandContext(b.Context(), path, t.args[1:]...)
			if err := cmd.Run(); err != nil {
				b.Fatalf("%s: %v", strings.Join(t.args, " "), err)
			}
			cpu[t.name] += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		}
	}
	for _, t := range tools {
		if d, ok := cpu[t.name]; ok {
			b.ReportMetric(d.Seconds()/float64(b.N), t.name+"-cpu-s/op")
			b.ReportMetric(d.Seconds()/cpu["tocsin"].Seconds(), t.name+"/tocsin")
		}
	}
}
