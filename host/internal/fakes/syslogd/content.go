package syslogd

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/internal/fakes/ecs"
)

// severities are ntopng's names with the numbers that they have in the priority of a message; and in a document, in rising order.
var severities = []struct {
	name     string
	priority int
}{
	{"none", 6}, {"debug", 7}, {"info", 6}, {"notice", 5}, {"warning", 4}, {"error", 3}, {"critical", 2}, {"alert", 1}, {"emergency", 0},
}

// A format checks what a message holds beyond its header, and may give the document in it.
type format struct {
	bsd   bool
	check func(m *Message) error
}

// formats are those that ntopng's users parse. Every one is written with the facility of system daemons.
var formats = map[string]format{
	"text":         {true, func(m *Message) error { return errors.Join(noData(m), bracketed(m)) }},
	"text_rfc5424": {false, textRFC5424},
	"json":         {false, func(m *Message) error { return errors.Join(noData(m), ntopng(m)) }},
	"ecs":          {false, func(m *Message) error { return errors.Join(noData(m), document(m)) }},
	"checkmk":      {false, checkmk},
}

func noData(m *Message) error {
	if m.Data != nil {
		return errors.New("this format has no structured data")
	}
	return nil
}

func severity(name string, m *Message) error {
	for _, s := range severities {
		if s.name == name {
			if s.priority != m.Severity {
				return fmt.Errorf("the severity %s is %d, and the priority says %d", name, s.priority, m.Severity)
			}
			return nil
		}
	}
	return fmt.Errorf("the severity %q is none of ntopng's", name)
}

var (
	line    = regexp.MustCompile(`^\[([^][]+)\]\[([A-Z][a-z]+)\]\[([^][]+)\]\[([A-Z][^][]*)\]\[([^][]+)\]\[([A-Z][a-z]+)\] (.+)$`)
	actions = []string{"Engaged", "Released", "Stored"}
)

// bracketed is ntopng's line: [time][severity][type][entity][entity value][action] message.
func bracketed(m *Message) error {
	f := line.FindStringSubmatch(m.Text)
	if f == nil {
		return fmt.Errorf("the text is not [time][Severity][type][Entity][value][Action] message: %.200q", m.Text)
	}
	at, err := timestamp(f[1])
	if err != nil {
		return err
	}
	if m.Time.Year() > 0 && at.Unix() != m.Time.Unix() {
		return fmt.Errorf("the time is %s, and the header says %v", f[1], m.Time)
	}
	if !slices.Contains(actions, f[6]) {
		return fmt.Errorf("the action %q is none of %s", f[6], strings.Join(actions, ", "))
	}
	return severity(strings.ToLower(f[2]), m)
}

// own are the parameters of tocsin's element; those with true are always there.
var own = map[string]bool{
	"id": true, "check": true, "category": true, "entity": true, "entity_value": true, "action": true, "score": true, "interface": false,
	"client": false, "client_port": false, "server": false, "server_port": false, "l4": false, "protocol": false, "hostname": false,
	"community_id": false, "ip": false, "mac": false, "attacker": false, "victim": false, "link": false,
}

// element gives the parameters of the one element that a message may have.
func element(m *Message, id string, known map[string]bool) (map[string]string, error) {
	if len(m.Data) != 1 || m.Data[0].ID != id {
		return nil, fmt.Errorf("want one element of structured data, %s, got %v", id, m.Data)
	}
	out := map[string]string{}
	for _, p := range m.Data[0].Params {
		if _, ok := known[p[0]]; !ok {
			return nil, fmt.Errorf("%s has no parameter %s", id, p[0])
		}
		if _, twice := out[p[0]]; twice || p[1] == "" {
			return nil, fmt.Errorf("%s of %s is there twice, or empty", p[0], id)
		}
		out[p[0]] = p[1]
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if known[name] && out[name] == "" {
			return nil, fmt.Errorf("%s lacks %s", id, name)
		}
	}
	for _, name := range []string{"client", "server", "ip", "ipaddress", "attacker", "victim"} {
		if _, err := netip.ParseAddr(out[name]); out[name] != "" && err != nil {
			return nil, fmt.Errorf("%s of %s: %w", name, id, err)
		}
	}
	return out, nil
}

func textRFC5424(m *Message) error {
	p, err := element(m, "tocsin@32473", own)
	if err != nil {
		return err
	}
	for _, name := range []string{"client_port", "server_port"} {
		if n, err := strconv.ParseUint(p[name], 10, 16); p[name] != "" && (err != nil || n == 0) {
			return fmt.Errorf("%s: %q is no port", name, p[name])
		}
	}
	if _, err := strconv.ParseUint(p["score"], 10, 31); err != nil {
		return fmt.Errorf("score: %w", err)
	}
	if m.MsgID == "" || !strings.HasPrefix(p["check"], m.MsgID) && printable(p["check"]) {
		return fmt.Errorf("MSGID: want the check, %.40q, got %q", p["check"], m.MsgID)
	}
	return bracketed(m)
}

// Checkmk's event console reads its own element: sl is a number, and so is PROCID.
func checkmk(m *Message) error {
	p, err := element(m, "Checkmk@18662", map[string]bool{
		"sl": true, "ipaddress": false, "host": true, "application": true, "comment": true, "contact": false, "severity": true,
	})
	if err != nil {
		return err
	}
	if _, err := strconv.ParseUint(p["sl"], 10, 31); err != nil {
		return fmt.Errorf("sl: %w", err)
	}
	if _, err := strconv.ParseUint(m.Proc, 10, 31); err != nil {
		return fmt.Errorf("PROCID: Checkmk wants a number: %w", err)
	}
	return errors.Join(severity(strings.ToLower(p["severity"]), m), bracketed(m))
}

// object reads the JSON of a message, which is ASCII, and nothing else.
func object(m *Message) (map[string]any, error) {
	if strings.Trim(m.Text, " ") != m.Text || !printable(strings.ReplaceAll(m.Text, " ", "")) {
		return nil, errors.New("a document is ASCII alone: other text begins with a mark that readers of JSON refuse")
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(m.Text), &v); err != nil {
		return nil, fmt.Errorf("no JSON object: %w: %.200q", err, m.Text)
	}
	return v, nil
}

// keys are those of ntopng's JSON, always there, and then tocsin's own; the kinds are of encoding/json.
var keys = map[string]struct {
	kind   string
	always bool
}{
	"entity_value": {"string", true}, "ifid": {"string", true}, "action": {"string", true}, "tstamp": {"float64", true}, "type": {"string", true},
	"entity_type": {"string", true}, "message": {"string", true}, "severity": {"string", true}, "alert_key": {"float64", true},

	"id": {kind: "string"}, "check": {kind: "string"}, "title": {kind: "string"}, "category": {kind: "string"}, "score": {kind: "float64"},
	"key": {kind: "string"}, "engaged_tstamp": {kind: "float64"}, "ip": {kind: "string"}, "name": {kind: "string"}, "mac": {kind: "string"},
	"attacker": {kind: "string"}, "victim": {kind: "string"}, "l4": {kind: "string"}, "client": {kind: "string"}, "client_port": {kind: "float64"},
	"server": {kind: "string"}, "server_port": {kind: "float64"}, "vlan": {kind: "float64"}, "protocol": {kind: "string"},
	"hostname": {kind: "string"}, "community_id": {kind: "string"}, "test": {kind: "bool"}, "link": {kind: "string"}, "advice": {kind: "string"},
}

func ntopng(m *Message) error {
	v, err := object(m)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		k, known := keys[name]
		if got := fmt.Sprintf("%T", v[name]); !known || got != k.kind {
			return fmt.Errorf("key %s of the kind %s: want one of the format's, of the kind %q", name, got, k.kind)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if _, there := v[name]; keys[name].always && !there {
			return fmt.Errorf("key %s is missing", name)
		}
	}
	name, _ := v["severity"].(string)
	if at, _ := v["tstamp"].(float64); !m.Time.IsZero() && int64(at) != m.Time.Unix() {
		return fmt.Errorf("tstamp is %v, and the header says %d", at, m.Time.Unix())
	}
	return severity(name, m)
}

// always are the keys that ntopng's documents have, and for flows also theirs as far as tocsin knows them.
var always = []string{
	"@timestamp", "message", "ecs.version", "event.category", "event.created", "event.dataset", "event.kind", "event.module", "event.risk_score",
	"event.severity", "event.severity_label", "organization.name", "rule.name",
}

func document(m *Message) error {
	v, err := object(m)
	if err != nil {
		return err
	}
	if err := (ecs.Schema{}).Check(v); err != nil {
		return err
	}
	for _, path := range always {
		if at(v, path) == nil {
			return fmt.Errorf("field %s is missing", path)
		}
	}
	for _, path := range []string{"source.ip", "destination.ip", "network.transport"} {
		if at(v, "network") != nil && at(v, path) == nil {
			return fmt.Errorf("field %s of a flow is missing", path)
		}
	}
	when, _ := at(v, "@timestamp").(string)
	if t, err := time.Parse(time.RFC3339Nano, when); err != nil || t.Unix() != m.Time.Unix() {
		return fmt.Errorf("@timestamp is %s, and the header says %v", when, m.Time)
	}
	name, _ := at(v, "event.severity_label").(string)
	return severity(name, m)
}

// at gives the value of a field by its path, or nil.
func at(v map[string]any, path string) any {
	head, rest, more := strings.Cut(path, ".")
	if !more {
		return v[head]
	}
	inner, _ := v[head].(map[string]any)
	return at(inner, rest)
}
