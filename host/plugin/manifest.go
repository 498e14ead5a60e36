package plugin

import "time"

// Manifest is the content of manifest.toml, the `tocsin.manifest` section: everything the host must know of a plug-in
// before it runs it. Unknown keys are errors. Parse fills in the defaults.
type Manifest struct {
	Name        string   `toml:"name"`    // [a-z][a-z0-9_-]{0,31}: the endpoint type users write in tocsin.toml
	Title       string   `toml:"title"`   // "Telegram"
	Version     string   `toml:"version"` // semantic version
	World       string   `toml:"world"`   // "endpoint" or "check"
	Description string   `toml:"description"`
	Authors     []string `toml:"authors"`
	Licence     string   `toml:"licence"` // SPDX expression
	Homepage    string   `toml:"homepage"`
	// Help is the set-up guide, Markdown: how to get the token, the chat id ...
	Help string `toml:"help"`

	Message  Message           `toml:"message"`
	Batch    Batch             `toml:"batch"`
	Rate     Rate              `toml:"rate"`
	Limits   Limits            `toml:"limits"`
	Net      []NetWish         `toml:"net"`
	Exec     *ExecWish         `toml:"exec"`
	Ban      *ExecWish         `toml:"ban"`      // asks to ban and unban addresses with fail2ban
	Syslog   *ExecWish         `toml:"syslog"`   // asks to write to the machine's own syslog socket
	Outcomes map[string]string `toml:"outcomes"` // "2xx", "429", "exit 0" ... to an outcome of pdk.Outcome
	Features Features          `toml:"features"`
	// Request says what to send and what answers mean, for a plug-in without code of its own: see package pdk/recipe.
	Request map[string]any `toml:"request"`
}

// Message says what message.tmpl renders.
type Message struct {
	Format string `toml:"format"` // text (default), html, basic_html (only & < > escaped, inline elements), markdown, basic_markdown (few marks, no escapes: look-alikes), mrkdwn (Slack), json: names the escaping
	// MaxLength bounds the rendered text, counted in Unit after entities are parsed; 0 means no bound.
	MaxLength int    `toml:"max_length"`
	Unit      string `toml:"unit"` // runes (default), bytes, utf16
	// PassAlerts says that the plug-in copies the JSON of each alert into its requests as it stands, and uses neither a
	// field of it nor the text. It is then given a short stand-in for each, and the host puts the alerts in their places:
	// most of the time of a call goes into alerts. A request without the stand-in of one of its deliveries is a failure.
	PassAlerts bool `toml:"pass_alerts"`
}

// Batch says how many deliveries render takes at once.
type Batch struct {
	Max    int           `toml:"max"`    // default 1
	Window time.Duration `toml:"window"` // how long to wait for more; default 0
}

// Rate is a limit that the host keeps of itself.
type Rate struct {
	Count int           `toml:"count"` // requests ...
	Per   time.Duration `toml:"per"`   // ... in this time, for each endpoint; 0: no limit
}

// Limits are what the module asks for; the host caps each.
type Limits struct {
	MemoryMB int           `toml:"memory_mb"` // default 64
	Timeout  time.Duration `toml:"timeout"`   // of a request; default 15 s
	Parallel int           `toml:"parallel"`  // requests under way at once for each endpoint; default 1
}

// NetWish is one host the plug-in wants to reach.
type NetWish struct {
	// Scheme is https, http, smtp or syslog; empty: as in the URL parameter. For smtp and syslog the host parameter holds a
	// name or an address, not a URL, and a wish without a port means any port of that host.
	Scheme string `toml:"scheme"`
	// Host is a name, or {endpoint.PARAMETER}: the host of that URL parameter, granted because an administrator typed it.
	Host   string `toml:"host"`
	Port   int    `toml:"port"` // 0: the scheme's own, or the parameter's
	Reason string `toml:"reason"`
}

// ExecWish asks to run scripts of the scripts folder, or for another thing that has no host: see Manifest.
type ExecWish struct {
	Reason string `toml:"reason"`
}

// Features tells users what the plug-in can do.
type Features struct {
	EditOnRelease bool `toml:"edit_on_release"`
	Idempotent    bool `toml:"idempotent"` // the service drops repeats of one delivery id
	// Digest says that people read its messages, so that one may stand for many that waited through an outage. Without it each
	// alert is sent on its own, however old: a ban, a document or an incident cannot be summed up.
	Digest bool `toml:"digest"`
	// Confirm says that the service's success does not tell whether a message arrived. A test message then shows a code, for its reader
	// to give back.
	Confirm bool `toml:"confirm"`
	// Release says in a word what becomes of an alert that ends, one of Releases. Empty: edits, or sends without EditOnRelease.
	Release string `toml:"release"`
}

// Releases are what Features.Release can be: what was sent is edited or replaced, what it opened is closed, what it did is undone,
// or the end is sent, on its own or beside the beginning.
var Releases = []string{"edits", "replaces", "closes", "undoes", "threads", "sends"}

// OnRelease is Release with its default.
func (f Features) OnRelease() string {
	switch {
	case f.Release != "":
		return f.Release
	case f.EditOnRelease:
		return "edits"
	}
	return "sends"
}
