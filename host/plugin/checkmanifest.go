package plugin

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/strict"
	"github.com/tocsin-net/tocsin/pdk"
)

var (
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
	// semver is the pattern of Semantic Versioning 2.0.0, without build metadata rules that nothing here reads.
	semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	// wishHost takes a DNS name, an IPv4 address, or an IPv6 address in brackets.
	wishHost = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])$`)
	wishRef  = regexp.MustCompile(`^\{(endpoint|recipient)\.([A-Za-z0-9_]+)\}$`)
	status   = regexp.MustCompile(`^([1-5]xx|[1-5][0-9][0-9])$`)
	exitCode = regexp.MustCompile(`^exit (0|[1-9][0-9]{0,2})$`)
)

// The most a manifest may ask for. The host may grant less.
const (
	maxBatch    = 1000
	maxMemoryMB = 1024
	maxParallel = 64
	maxWindow   = time.Minute
	maxTimeout  = 5 * time.Minute
)

// defaults fills in what a manifest leaves out.
func (m *Manifest) defaults() {
	m.Message.Format = cmp.Or(m.Message.Format, "text")
	m.Message.Unit = cmp.Or(m.Message.Unit, "runes")
	m.Batch.Max = cmp.Or(m.Batch.Max, 1)
	m.Limits.MemoryMB = cmp.Or(m.Limits.MemoryMB, 64)
	m.Limits.Timeout = cmp.Or(m.Limits.Timeout, 15*time.Second)
	m.Limits.Parallel = cmp.Or(m.Limits.Parallel, 1)
}

// checkManifest lists what is wrong in a manifest beyond its syntax.
func (p *Package) checkManifest() []Problem {
	m := p.Manifest
	c := manifestCheck{p: p, doc: strict.Scan(fileManifest, p.module.own[sectionManifest].body)}
	switch {
	case m.Name == "":
		c.bad("name", "is missing; write the endpoint type that users will write, such as name = \"telegram\"")
	case !namePattern.MatchString(m.Name):
		c.bad("name", "%q must begin with a letter from a to z and go on with up to 31 of a-z, 0-9, - and _", m.Name)
	}
	c.need("title", m.Title, "write the name that people know, such as title = \"Telegram\"")
	c.need("description", m.Description, "write one sentence that says what the plug-in does")
	c.need("licence", m.Licence, "write an SPDX expression, such as licence = \"Apache-2.0\"")
	switch {
	case m.Version == "":
		c.bad("version", "is missing; write a semantic version, such as version = \"1.0.0\"")
	case !semver.MatchString(m.Version):
		c.bad("version", "%q is no semantic version; write MAJOR.MINOR.PATCH, such as \"1.0.0\"", m.Version)
	}
	c.world()
	if m.Help == "" {
		c.warn("help", "is missing; a set-up guide saves users an hour")
	}
	if m.Homepage != "" {
		if u, err := url.Parse(m.Homepage); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			c.bad("homepage", "%q is no web address; write one that begins with https://", m.Homepage)
		}
	}
	c.oneOf("message.format", m.Message.Format, formatNames()...)
	c.oneOf("message.unit", m.Message.Unit, units...)
	if m.Message.MaxLength != 0 {
		c.between("message.max_length", m.Message.MaxLength, 64, maxOutput)
	}
	c.between("batch.max", m.Batch.Max, 0, maxBatch)
	c.duration("batch.window", m.Batch.Window, maxWindow)
	c.between("rate.count", m.Rate.Count, 0, 1_000_000)
	c.duration("rate.per", m.Rate.Per, 24*time.Hour)
	if (m.Rate.Count == 0) != (m.Rate.Per == 0) {
		c.bad("rate", "needs both count and per, such as count = 20 and per = \"1m\"")
	}
	c.between("limits.memory_mb", m.Limits.MemoryMB, 0, maxMemoryMB)
	c.between("limits.parallel", m.Limits.Parallel, 0, maxParallel)
	c.duration("limits.timeout", m.Limits.Timeout, maxTimeout)
	for i, w := range m.Net {
		c.net(fmt.Sprintf("net[%d]", i), w)
	}
	if m.Exec != nil {
		c.need("exec.reason", m.Exec.Reason, "tell administrators why the plug-in runs scripts")
	}
	if m.Ban != nil {
		c.need("ban.reason", m.Ban.Reason, "tell administrators why the plug-in bans addresses with fail2ban")
	}
	if m.Syslog != nil {
		c.need("syslog.reason", m.Syslog.Reason, "tell administrators why the plug-in writes to the machine's own syslog")
	}
	c.oneOf("features.release", m.Features.Release, Releases...)
	c.outcomes()
	c.recipe()
	return c.problems
}

type manifestCheck struct {
	p        *Package
	doc      *strict.Document
	problems []Problem
}

func (c *manifestCheck) bad(field, format string, args ...any) {
	c.problems = append(c.problems, Problem{Where: fileManifest, Line: c.line(field), Field: field, Message: fmt.Sprintf(format, args...)})
}

// line is where a field stands, or else what holds it; 0 if neither is there.
func (c *manifestCheck) line(field string) int {
	for field != "" {
		bare := strings.NewReplacer(`."`, ".", `"`, "").Replace(field) // a key in quotes that needs none
		if line := cmp.Or(c.doc.At(field), c.doc.At(bare)); line > 0 {
			return line
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
	return 0
}

func (c *manifestCheck) warn(field, format string, args ...any) {
	c.bad(field, format, args...)
	c.problems[len(c.problems)-1].Warning = true
}

func (c *manifestCheck) need(field, value, what string) {
	if strings.TrimSpace(value) == "" {
		c.bad(field, "is missing; %s", what)
	}
}

func (c *manifestCheck) oneOf(field, value string, known ...string) {
	if value == "" || slices.Contains(known, value) {
		return
	}
	if near := strict.Nearest(value, known); near != "" {
		c.bad(field, "%q is unknown; did you mean %q?", value, near)
		return
	}
	c.bad(field, "%q is unknown; it is one of %s", value, strings.Join(known, ", "))
}

func (c *manifestCheck) between(field string, v, least, most int) {
	if v < least || v > most {
		c.bad(field, "is %d; it must be from %d to %d", v, least, most)
	}
}

func (c *manifestCheck) duration(field string, d, most time.Duration) {
	switch {
	case d < 0 || d > most:
		c.bad(field, "is %v; it must be from 0s to %v", d, most)
	case d > 0 && d < time.Millisecond:
		c.bad(field, "is %v; write the unit, such as \"15s\" or \"500ms\"", d)
	}
}

func (c *manifestCheck) world() {
	m := c.p.Manifest
	worlds := spoken.worlds()
	switch {
	case m.World == "":
		c.bad("world", "is missing; write world = \"endpoint\" or world = \"check\"")
	case !slices.Contains(worlds, m.World):
		c.oneOf("world", m.World, worlds...)
	case c.p.ABI.World != "" && m.World != c.p.ABI.World:
		c.bad("world", "is %q, but the section %s says %q; pack the plug-in again", m.World, sectionABI, c.p.ABI.World)
	case m.World == "endpoint" && !slices.Contains(c.p.Exports, Export{"render", "func"}):
		c.problems = append(c.problems, Problem{Where: fileModule, Message: "the module exports no function render; every endpoint " +
			"needs one (with the Go PDK, call pdk.Serve and build with -buildmode=c-shared)"})
	}
}

func (c *manifestCheck) net(field string, w NetWish) {
	c.need(field+".reason", w.Reason, "tell administrators why the plug-in wants to reach this host")
	c.oneOf(field+".scheme", w.Scheme, "https", "http", "smtp", "syslog")
	c.between(field+".port", w.Port, 0, 65535)
	ref := wishRef.FindStringSubmatch(w.Host)
	typed, param := "the host of a URL", "a URL" // what users type, and what the parameter is then
	if w.Scheme == "smtp" || w.Scheme == "syslog" {
		typed, param = "the host", "a host"
	}
	switch {
	case w.Host == "":
		c.bad(field+".host", "is missing; write a host name, or {endpoint.PARAMETER} for %s that users enter", typed)
	case ref != nil:
		name := ref[1] + "." + ref[2]
		f, ok := c.p.Lint.field(ref[1], ref[2])
		switch {
		case !ok && c.p.Lint.unread:
		case !ok:
			var known []string
			for _, f := range c.p.Lint.Fields() {
				known = append(known, f.Path())
			}
			if near := strict.Nearest(name, known); near != "" {
				c.bad(field+".host", "%s does not have the parameter %s; did you mean {%s}?", fileLint, name, near)
			} else {
				c.bad(field+".host", "%s does not have the parameter %s", fileLint, name)
			}
		case f.Type != "string":
			c.bad(field+".host", "the parameter %s is no text in %s, so it cannot hold %s", name, fileLint, param)
		}
	case strings.ContainsAny(w.Host, "{}"):
		c.bad(field+".host", "%q is not understood; write {endpoint.PARAMETER} alone", w.Host)
	case !wishHost.MatchString(w.Host):
		c.bad(field+".host", "%q is no host; write a name alone, without scheme, port, path or *", w.Host)
	case w.Scheme == "":
		c.bad(field+".scheme", "is missing; write https (or http if there is no other way), smtp or syslog")
	}
}

func (c *manifestCheck) outcomes() {
	m := c.p.Manifest
	for _, key := range slices.Sorted(maps.Keys(m.Outcomes)) {
		field := "outcomes." + strconv.Quote(key)
		if !status.MatchString(key) && !exitCode.MatchString(key) {
			c.bad(field, "is no status; write an HTTP status such as \"429\", a class such as \"2xx\", or \"exit 0\"")
		} else if n, ok := strings.CutPrefix(key, "exit "); ok {
			if code, err := strconv.Atoi(n); err != nil || code > 255 {
				c.bad(field, "is no exit code; they go from 0 to 255")
			}
			if m.Exec == nil {
				c.bad(field, "is about scripts, but the plug-in does not ask to run any; add [exec] with a reason")
			}
		}
		if v := m.Outcomes[key]; !slices.Contains(outcomeNames, v) {
			if near := strict.Nearest(v, outcomeNames); near != "" {
				c.bad(field, "the outcome %q is unknown; did you mean %q?", v, near)
			} else {
				c.bad(field, "the outcome %q is unknown; it is one of %s", v, strings.Join(outcomeNames, ", "))
			}
		}
	}
}

// outcomeNames are the outcomes that a status alone can mean. Skipped is not among them: it is said before a request.
var outcomeNames = []string{
	string(pdk.Delivered), string(pdk.Accepted), string(pdk.Duplicate), string(pdk.Retry), string(pdk.BadPayload),
	string(pdk.Rejected), string(pdk.EndpointBroken),
}

// Outcome looks a status up in the table of outcomes. The kind is the request's, "http" or "exec"; for exec the status is
// the exit code. An exact status comes before its class. Without an entry it reports false, and classify has to tell.
func (m *Manifest) Outcome(kind string, status int) (pdk.Outcome, bool) {
	if len(m.Outcomes) == 0 {
		return "", false
	}
	if kind == "exec" {
		o, ok := m.Outcomes["exit "+strconv.Itoa(status)]
		return pdk.Outcome(o), ok
	}
	if kind != "http" || status < 100 || status > 599 {
		return "", false
	}
	o, ok := m.Outcomes[strconv.Itoa(status)]
	if !ok {
		o, ok = m.Outcomes[strconv.Itoa(status/100)+"xx"]
	}
	return pdk.Outcome(o), ok
}
