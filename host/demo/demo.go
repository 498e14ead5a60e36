package demo

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tocsin-net/tocsin/capture"
	"github.com/tocsin-net/tocsin/capture/source"
	"github.com/tocsin-net/tocsin/host/app"
	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/plugin/build"
	"github.com/tocsin-net/tocsin/host/report"
)

// example is the committed capture that the demo runs on.
const example = "capture/testdata/demo.pcap"

// patience bounds the wait for the last delivery, which a busy machine and the chat's limit of a message a second make long.
const patience = 2 * time.Minute

// Options are the flags of `tocsin demo`.
type Options struct {
	Capture string // another capture than the example
	Keep    bool   // keep the temporary folder
}

// Run builds the plug-ins, starts the local endpoints, runs the capture and prints what arrived where.
func Run(ctx context.Context, s app.Streams, o Options) (err error) {
	p := &printer{w: s.Out, color: report.Inspect(s.Out).Color}
	root, err := build.Root(".")
	if err != nil {
		return err
	}
	file := o.Capture
	if file == "" {
		file = filepath.Join(root, filepath.FromSlash(example))
	}
	dir, err := os.MkdirTemp("", "tocsin-demo-")
	if err != nil {
		return fmt.Errorf("make a temporary folder: %w", err)
	}
	defer func() {
		if o.Keep {
			p.line("kept", "%s: go on there with  tocsin deliveries list -c %s", dir, filepath.Join(dir, "tocsin.toml"))
		} else {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()

	p.head("tocsin demo: a capture in, alerts delivered by WebAssembly endpoints out")
	start := time.Now()
	p.line("build", "compiling the first-party plug-ins to WebAssembly ...")
	built, err := build.All(ctx, root, filepath.Join(dir, "plugins.d"), io.Discard)
	if err != nil {
		return err
	}
	p.built(built, time.Since(start))

	set, err := prepare(dir)
	if err != nil {
		return err
	}
	defer set.close()
	p.line("endpoints", "webhook receiver %s, Bot API stand-in %s%s", set.webhookURL, set.botURL, set.scriptNote())

	cfg, err := config.Load(filepath.Join(dir, "tocsin.toml"))
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	loading := time.Now()
	a, err := app.New(ctx, app.Deps{Config: cfg, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop(context.WithoutCancel(ctx))) }()
	p.line("sandbox", "modules checked, metered and compiled in %s", round(time.Since(loading)))
	if err := a.Start(ctx); err != nil {
		return err
	}
	begun := time.Now()
	st, err := runCapture(ctx, s, a, file)
	if err != nil && app.ExitCode(err) != app.ExitDamaged {
		return err
	}
	damage := err
	p.line("capture", "%s: %s packets, %s flows, %s alerts in %s", short(file, root), report.Count(st.Packets),
		report.Count(st.Flow.Flows), report.Count(a.Stored()), round(time.Since(begun)))
	if err := wait(ctx, a); err != nil {
		return err
	}
	p.line("delivered", "everything, %s after the capture began", round(time.Since(begun)))
	return errors.Join(damage, p.results(ctx, a, set))
}

func runCapture(ctx context.Context, s app.Streams, a *app.App, file string) (capture.Stats, error) {
	src, err := source.Open(file)
	if err != nil {
		return capture.Stats{}, err
	}
	defer src.Close()
	term := report.Inspect(s.Err)
	progress := report.NewProgress(s.Err, term.Width, term.IsTerminal)
	defer progress.Clear()
	return a.Capture(ctx, src, filepath.Base(file), func(st capture.Stats) {
		progress.Update(report.Status{Packets: st.Packets, Flows: st.Flow.Flows, Alerts: a.Stored(), Done: st.BytesRead, Total: st.Size})
	})
}

// wait waits until every delivery is done.
func wait(ctx context.Context, a *app.App) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		waiting, next, err := a.WaitIdle(ctx)
		if err != nil {
			return fmt.Errorf("wait for the deliveries: %w", err)
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d deliveries did not arrive within %s", waiting, patience)
		case <-time.After(max(10*time.Millisecond, time.Until(next))):
		}
	}
}

// setting is the folder of one demo: configuration, secrets, script, and the servers it talks to.
type setting struct {
	*sinks
	shell bool // the system can run the script
}

func (s *setting) scriptNote() string {
	if s.shell {
		return ", script on-alert.sh"
	}
	return " (no script: this system has no sh)"
}

const script = `#!/bin/sh
# Gets one alert as JSON on standard input; see tocsin plugin inspect shell.
cat >> "$(dirname "$0")/../arrived.jsonl" && echo >> "$(dirname "$0")/../arrived.jsonl"
`

const configText = `# What tocsin demo ran with.
[plugins]
folder = "plugins.d"

[capture]
local_networks = ["10.20.0.0/24", "2001:db8:20::/64"]

[checks]
enable = ["host/syn_scan", "host/scan_detection", "host/dns_contacts", "flow/unexpected_dns"]
# One alert for each of a scan's 620 connections says less than the scan's own.
disable = [
  "flow/ndpi_unidirectional_traffic", "flow/ndpi_tcp_issues", "flow/ndpi_probing_attempt", "flow/tcp_no_data_exchanged",
  "flow/low_goodput", "flow/tcp_connection_refused", "flow/tcp_connection_failed", "host/score_threshold",
]
[checks.parameters."flow/unexpected_dns"]
items = ["10.20.0.1"]

[[endpoint]]
name = "siem"
type = "webhook"
parameters = { webhook_url = %q, signing_secret = "file:signing.secret" }

[[endpoint]]
name = "bot"
type = "telegram"
parameters = { telegram_token = "file:telegram.secret", telegram_api_url = %q }

[[recipient]]
name = "siem-all"
endpoint = "siem"

[[recipient]]
name = "soc-chat"
endpoint = "bot"
locale = "en"
checks = ["flow/tls_certificate_expired", "flow/ndpi_url_possible_sql_injection", "host/scan_detection"]
parameters = { telegram_channel = "-1001234567890" }
`

const shellText = `
[[endpoint]]
name = "scripts"
type = "shell"
parameters = { shell_script = "on-alert.sh" }

[[recipient]]
name = "on-scan"
endpoint = "scripts"
entities = ["host"]
`

// prepare writes the demo's folder and starts its servers.
func prepare(dir string) (*setting, error) {
	key := make([]byte, 32)
	token := make([]byte, 26)
	_, _ = rand.Read(key) // never fails
	_, _ = rand.Read(token)
	botToken := "123456789:" + base64.RawURLEncoding.EncodeToString(token)[:35]
	set := &setting{shell: runtime.GOOS != "windows"}
	var err error
	if set.sinks, err = listen(botToken, key, filepath.Join(dir, "arrived.jsonl")); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(configText, set.webhookURL, set.botURL)
	if set.shell {
		text += shellText
	}
	for _, f := range []struct {
		name, text string
		mode       os.FileMode
	}{
		{"tocsin.toml", text, 0o600},
		{"signing.secret", "whsec_" + base64.StdEncoding.EncodeToString(key), 0o600},
		{"telegram.secret", botToken, 0o600},
		{"scripts/on-alert.sh", script, 0o700},
	} {
		path := filepath.Join(dir, filepath.FromSlash(f.name))
		if err = os.MkdirAll(filepath.Dir(path), 0o700); err == nil {
			err = os.WriteFile(path, []byte(f.text), f.mode)
		}
		if err != nil {
			set.close()
			return nil, fmt.Errorf("prepare the demo: %w", err)
		}
	}
	return set, nil
}

func short(file, root string) string {
	if rel, err := filepath.Rel(root, file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
