// Package config reads tocsin.toml: its keys, their defaults and what each must look like. It checks what can be checked
// without a plug-in, a database or a network; what the keys set in motion is package app's.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/host/route"
)

// Config is a checked tocsin.toml with defaults filled in and paths made relative to the file's folder.
type Config struct {
	// File is where it was read from; empty for Default.
	File string `toml:"-"`
	// DataDir holds the database and the cache of compiled plug-ins.
	DataDir string `toml:"data_dir"`
	// Locale is the language of messages to recipients that name none.
	Locale string `toml:"locale"`
	// Timezone is that of times in messages: an IANA name, or Local for the machine's; default UTC.
	Timezone string `toml:"timezone"`

	Plugins    Plugins     `toml:"plugins"`
	Capture    Capture     `toml:"capture"`
	Checks     Checks      `toml:"checks"`
	Delivery   Delivery    `toml:"delivery"`
	Egress     Egress      `toml:"egress"`
	API        API         `toml:"api"`
	Endpoints  []Endpoint  `toml:"endpoint"`
	Recipients []Recipient `toml:"recipient"`

	Pools       []Pool        `toml:"pool"`
	Maintenance []Maintenance `toml:"maintenance"`

	doc     *strict.Document
	zone    *time.Location  // of Timezone
	unread  *strict.Error   // what of the file could not be read; nil once it is checked
	rules   []route.Rule    // of Recipients
	windows []*route.Window // of Maintenance
}

// Plugins says where plug-ins lie.
type Plugins struct {
	Folder string `toml:"folder"`
	// Cache keeps compiled plug-ins between runs; default: what TOCSIN_CACHE names, or "cache" in data_dir.
	Cache string `toml:"cache"`
}

// Capture says what is local.
type Capture struct {
	LocalNetworks []string `toml:"local_networks"` // CIDR; default: the private ranges
	MaxFlows      int      `toml:"max_flows"`      // 0: the flow table's default
}

// Checks turns checks on and off and sets their parameters; keys are "flow/KEY" and "host/KEY".
type Checks struct {
	Enable     []string                  `toml:"enable"`
	Disable    []string                  `toml:"disable"`
	Parameters map[string]map[string]any `toml:"parameters"`
}

// Delivery bounds how long an alert is tried and how long a stop may take.
type Delivery struct {
	MaxAge       Duration `toml:"max_age"`       // a delivery older than this is a dead letter; default 72h
	DrainTimeout Duration `toml:"drain_timeout"` // for what is in flight at a stop; default 20s
	// Link is the address of a page about an alert, with {id}, {ip} and other names of LinkNames in braces; empty: none.
	Link      string   `toml:"link"`
	Retention Duration `toml:"retention"` // settled deliveries are kept so long; default 720h
	// DeadRetention is how long dead letters are kept, MaxDead how many; defaults 2160h and 100,000.
	DeadRetention Duration `toml:"dead_retention"`
	MaxDead       int      `toml:"max_dead"`
	// MaxQueue is how many deliveries may wait; beyond, the lowest severity is dropped first. Default 1,000,000.
	MaxQueue int `toml:"max_queue"`
	// DigestOver is how many deliveries of a recipient older than DigestAfter (default 1h) go out as one digest when an
	// endpoint is back after an outage; default 100, 0: never. Severities from DigestKeep on (default error) go singly.
	DigestOver  *int     `toml:"digest_over"`
	DigestAfter Duration `toml:"digest_after"`
	DigestKeep  string   `toml:"digest_keep"`
}

// Egress says what deliveries may reach beyond what plug-ins are granted.
type Egress struct {
	Scripts      string   `toml:"scripts"`       // folder of scripts that the shell kind may run; default "scripts"
	AllowPrivate []string `toml:"allow_private"` // CIDR: private ranges that host names may resolve to
	Proxy        string   `toml:"proxy"`         // URL of an HTTP proxy; empty: none
	// Fail2ban is the path of fail2ban-client, default as PATH has it, Fail2banSocket that of the server's socket, default as
	// the client has it. NeverBan lists networks that no plug-in may ban addresses of.
	Fail2ban       string   `toml:"fail2ban"`
	Fail2banSocket string   `toml:"fail2ban_socket"`
	NeverBan       []string `toml:"never_ban"`
	SyslogSocket   string   `toml:"syslog_socket"` // the machine's own syslog socket; default /dev/log, or as the system has it
}

// API says where the service can be watched.
type API struct {
	Listen string `toml:"listen"` // address and port for /metrics and /healthz; empty: none
}

// Endpoint configures one endpoint of a type that a plug-in offers.
type Endpoint struct {
	Name       string         `toml:"name"`
	Type       string         `toml:"type"`
	Parameters map[string]any `toml:"parameters"`
}

// Duration is a time.Duration written like "90s" or "72h".
type Duration time.Duration

// UnmarshalText reads a duration; it must not be negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is no duration: write a number and a unit, such as \"90s\", \"15m\" or \"72h\"", b)
	}
	*d = Duration(v)
	return nil
}

// Default is the configuration without a file: no endpoints, paths below dir.
func Default(dir string) *Config {
	c := &Config{}
	c.fill(dir)
	return c
}

// Load reads a configuration file. The error joins every mistake found, each with file and line.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("configuration file %s does not exist: create it (tocsin config example prints one) or name another with -c", path)
		}
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse reads a configuration; path names it in errors, and relative paths in it start at its folder.
func Parse(path string, data []byte) (*Config, error) {
	c := &Config{File: path}
	err := strict.Decode(path, data, c)
	if c.unread, _ = errors.AsType[*strict.Error](err); err != nil && (c.unread == nil || c.unread.Cut) {
		return nil, err
	}
	c.doc = strict.Scan(path, data)
	c.fill(filepath.Dir(path))
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) fill(dir string) {
	orElse := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	orElse(&c.DataDir, "data")
	orElse(&c.Locale, "en")
	orElse(&c.Plugins.Folder, "plugins.d")
	orElse(&c.Egress.Scripts, "scripts")
	paths := []*string{&c.DataDir, &c.Plugins.Folder, &c.Egress.Scripts, &c.Plugins.Cache, &c.Egress.Fail2banSocket}
	if strings.ContainsRune(c.Egress.Fail2ban, filepath.Separator) { // a name alone is looked up in PATH
		paths = append(paths, &c.Egress.Fail2ban)
	}
	for _, p := range paths {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	orElse(&c.Plugins.Cache, os.Getenv("TOCSIN_CACHE"))
	orElse(&c.Plugins.Cache, filepath.Join(c.DataDir, "cache"))
	if c.Capture.LocalNetworks == nil {
		c.Capture.LocalNetworks = []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7", "fe80::/10"}
	}
	days := func(d *Duration, v time.Duration) {
		if *d == 0 {
			*d = Duration(v)
		}
	}
	days(&c.Delivery.MaxAge, 72*time.Hour)
	days(&c.Delivery.DrainTimeout, 20*time.Second)
	days(&c.Delivery.Retention, 720*time.Hour)
	days(&c.Delivery.DeadRetention, 2160*time.Hour)
	days(&c.Delivery.DigestAfter, time.Hour)
	orElse(&c.Delivery.DigestKeep, alert.Error.String())
	c.Delivery.MaxDead = cmp.Or(c.Delivery.MaxDead, 100_000)
	c.Delivery.MaxQueue = cmp.Or(c.Delivery.MaxQueue, 1_000_000)
	if c.Delivery.DigestOver == nil {
		over := 100
		c.Delivery.DigestOver = &over
	}
}

// Keep is the severity from which on no delivery goes into a digest, of a checked configuration.
func (d *Delivery) Keep() alert.Severity {
	s, _ := alert.ParseSeverity(d.DigestKeep)
	return s
}

// Zone is the time zone of times in messages, of a checked configuration.
func (c *Config) Zone() *time.Location {
	if c.zone == nil {
		return time.UTC
	}
	return c.zone
}

// Dir is the folder that relative paths and `file:` references start at.
func (c *Config) Dir() string { return filepath.Dir(c.File) }

// EndpointProblem makes an error at a key of endpoint i, such as "parameters.webhook_url".
func (c *Config) EndpointProblem(i int, key, text string) error {
	return c.problem("endpoint", i, key, text)
}

// RecipientProblem makes an error at a key of recipient i.
func (c *Config) RecipientProblem(i int, key, text string) error {
	return c.problem("recipient", i, key, text)
}

// Problem makes an error at a key outside endpoints and recipients.
func (c *Config) Problem(key, text string) error { return c.problem("", 0, key, text) }

func (c *Config) problem(table string, i int, key, text string) error {
	if c.doc == nil {
		return errors.New(text)
	}
	return c.doc.Problem(table, i, key, text)
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

const zoneHint = `write its IANA name, such as "Europe/Rome" or "UTC"`

const nameHint = "use 1 to 64 letters, digits, dots, dashes and underscores, starting with a letter or digit"

// check lists all mistakes, those found in the reading too. What may follow from one of these is not told.
func (c *Config) check() error {
	var errs []error
	add := func(err error) {
		if p, ok := errors.AsType[*strict.Problem](err); !ok || !c.unread.Covers(p.Path) {
			errs = append(errs, err)
		}
	}
	if c.unread != nil {
		for _, p := range c.unread.Problems() {
			errs = append(errs, p)
		}
	}
	if _, err := Prefixes(c.Capture.LocalNetworks); err != nil {
		add(c.Problem("capture.local_networks", err.Error()))
	}
	if _, err := Prefixes(c.Egress.NeverBan); err != nil {
		add(c.Problem("egress.never_ban", err.Error()))
	}
	if _, err := Prefixes(c.Egress.AllowPrivate); err != nil {
		add(c.Problem("egress.allow_private", err.Error()))
	}
	if c.Timezone != "" {
		zone, err := time.LoadLocation(c.Timezone)
		if err != nil {
			add(c.Problem("timezone", fmt.Sprintf("there is no time zone %q: %s, or \"Local\" for this machine's", c.Timezone, zoneHint)))
		}
		c.zone = zone
	}
	if text := checkLink(c.Delivery.Link); text != "" {
		add(c.Problem("delivery.link", text))
	}
	if c.API.Listen != "" {
		if _, _, err := net.SplitHostPort(c.API.Listen); err != nil {
			add(c.Problem("api.listen", fmt.Sprintf("listen is %q: write an address and a port, such as \"127.0.0.1:9464\"", c.API.Listen)))
		}
	}
	if c.Capture.MaxFlows < 0 {
		add(c.Problem("capture.max_flows", fmt.Sprintf("max_flows is %d: it must be positive, or 0 for the default", c.Capture.MaxFlows)))
	}
	for key, n := range map[string]int{"max_queue": c.Delivery.MaxQueue, "max_dead": c.Delivery.MaxDead, "digest_over": *c.Delivery.DigestOver} {
		if n < 0 {
			add(c.Problem("delivery."+key, fmt.Sprintf("%s is %d: it is a number of deliveries, not below 0", key, n)))
		}
	}
	if _, err := alert.ParseSeverity(c.Delivery.DigestKeep); err != nil {
		add(c.Problem("delivery.digest_keep", "digest_keep: "+err.Error()))
	}
	endpoints := map[string]int{}
	var names []string
	for i, e := range c.Endpoints {
		switch _, twice := endpoints[e.Name]; {
		case e.Name == "":
			add(c.EndpointProblem(i, "name", "this endpoint has no name: add name = \"...\""))
		case !name.MatchString(e.Name):
			add(c.EndpointProblem(i, "name", fmt.Sprintf("endpoint name %q: %s", e.Name, nameHint)))
		case twice:
			add(c.EndpointProblem(i, "name", fmt.Sprintf("a second endpoint is named %q: give each its own name", e.Name)))
		}
		endpoints[e.Name] = i
		names = append(names, e.Name)
		if e.Type == "" {
			add(c.EndpointProblem(i, "type", fmt.Sprintf("endpoint %q has no type: add type = \"...\" (tocsin plugin list shows the types)", e.Name)))
		}
	}
	recipients := map[string]bool{}
	for i, r := range c.Recipients {
		switch {
		case r.Name == "":
			add(c.RecipientProblem(i, "name", "this recipient has no name: add name = \"...\""))
		case !name.MatchString(r.Name):
			add(c.RecipientProblem(i, "name", fmt.Sprintf("recipient name %q: %s", r.Name, nameHint)))
		case recipients[r.Name]:
			add(c.RecipientProblem(i, "name", fmt.Sprintf("a second recipient is named %q: give each its own name", r.Name)))
		}
		recipients[r.Name] = true
		if _, ok := endpoints[r.Endpoint]; !ok && !c.unnamed("endpoint", len(c.Endpoints)) {
			text := fmt.Sprintf("recipient %q: there is no endpoint %q", r.Name, r.Endpoint)
			if r.Endpoint == "" {
				text = fmt.Sprintf("recipient %q names no endpoint", r.Name)
			}
			if near := strict.Nearest(r.Endpoint, names); near != "" {
				text += fmt.Sprintf(": did you mean %q?", near)
			} else if len(names) > 0 {
				text += ": it is one of " + strings.Join(names, ", ")
			} else {
				text += ": add an [[endpoint]] first"
			}
			add(c.RecipientProblem(i, "endpoint", text))
		}
	}
	c.compileRouting(add)
	slices.SortStableFunc(errs, func(a, b error) int { return lineOf(a) - lineOf(b) })
	return errors.Join(errs...)
}

// spoilt tells whether a key of a table's i-th entry could not be read.
func (c *Config) spoilt(table string, i int, key string) bool {
	return c.unread.Covers(fmt.Sprintf("%s[%d].%s", table, i, key))
}

// unnamed tells whether the name of one of a table's n entries could not be read, so that it may be any that is not there.
func (c *Config) unnamed(table string, n int) bool {
	for i := range max(n, 1) {
		if c.spoilt(table, i, "name") {
			return true
		}
	}
	return false
}

func lineOf(err error) int {
	if p, ok := errors.AsType[*strict.Problem](err); ok {
		return p.Line
	}
	return 0
}

// Prefixes reads networks in CIDR notation; a bare address means itself alone.
func Prefixes(ss []string) ([]netip.Prefix, error) {
	var ps []netip.Prefix
	for _, s := range ss {
		s = strings.TrimSpace(s)
		if a, err := netip.ParseAddr(s); err == nil {
			ps = append(ps, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no network: write it like 192.0.2.0/24 or 2001:db8::/32", s)
		}
		ps = append(ps, p.Masked())
	}
	return ps, nil
}
