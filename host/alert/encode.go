package alert

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"unicode/utf8"
)

// usualSize is room for the JSON of most alerts, in bytes.
const usualSize = 1024

// addrRoom is room for two addresses with their ports, in bytes; a longer one, with a long zone, gets its own.
const addrRoom = 128

// MarshalJSON writes what AppendJSON does.
func (a *Alert) MarshalJSON() ([]byte, error) { return a.AppendJSON(make([]byte, 0, usualSize)) }

// errNoNumber is of AppendJSON.
var errNoNumber = errors.New("a value or threshold is no finite number, which JSON cannot say")

// AppendJSON appends the JSON shape of an alert: flat, with the names that ntopng users know; see package pdk, which decodes
// the same, for the meaning of each key. It is the shape printed by `tocsin alerts`, stored in the ledger and given to
// endpoints. Keys that say nothing of an alert are left out, save those that every alert has, and the ports, packets and bytes
// of a flow. Times are Unix seconds, but "time", which is RFC 3339 with microseconds, UTC. It is written by hand because each
// alert passes here; a test compares it with encoding/json. It fails if Value or Threshold is no finite number.
func (a *Alert) AppendJSON(dst []byte) ([]byte, error) {
	var at [addrRoom]byte // room for an address, so that it needs no string of its own
	w := object{append(dst, '{')}
	w.str("id", a.ID.String())
	if a.Kind != KindAlert {
		w.str("kind", a.Kind.String())
	}
	w.str("entity", a.Entity.String())
	w.int("entity_id", int64(a.Entity))
	if f := a.Flow; f != nil && f.Client.IsValid() && f.Server.IsValid() { // as EntityValue
		v := netip.AddrPortFrom(f.Client, f.ClientPort).AppendTo(at[:0])
		v = netip.AddrPortFrom(f.Server, f.ServerPort).AppendTo(append(v, " -> "...))
		w.bytes("entity_value", v)
	} else {
		w.str("entity_value", a.EntityValue())
	}
	w.int("alert_id", int64(a.AlertID))
	w.str("check", a.Check)
	w.str("title", a.Title)
	w.str("category", a.Category.String())
	w.str("severity", a.Severity.String())
	w.int("severity_id", int64(a.Severity))
	w.int("score", int64(a.Score))
	w.str("action", a.Action.String())
	w.int("tstamp", a.Time.Unix())
	w.bytes("time", a.Time.UTC().AppendFormat(at[:0], "2006-01-02T15:04:05.000000Z"))
	w.str("message", a.Message)
	w.strOpt("advice", a.Advice)
	w.strOpt("link", a.Link)
	if !a.Engaged.IsZero() {
		w.intOpt("engaged_tstamp", a.Engaged.Unix())
	}
	w.strOpt("key", a.Key)
	w.strOpt("interface", a.Interface)
	if err := a.appendHost(&w, at[:0]); err != nil {
		return nil, err
	}
	a.appendFlow(&w, at[:0])
	return append(w.dst, '}'), nil
}

// appendHost appends what only a host has, and who attacks whom.
func (a *Alert) appendHost(w *object, room []byte) error {
	h, f := a.Host, a.Flow
	mac := a.MAC
	var ip []byte
	if h != nil {
		ip, mac = addr(room, h.IP), h.MAC
		w.bytes("ip", ip)
		w.strOpt("name", h.Name)
	}
	w.strOpt("mac", mac)
	var attacker, victim []byte
	if h != nil {
		w.boolOpt("local", h.Local)
		if h.Attacker {
			attacker = ip
		}
		if h.Victim {
			victim = ip
		}
	}
	if f != nil { // it may be both: then the flow says
		var other [addrRoom]byte
		attacker, victim = f.side(room, f.Attacker), f.side(other[:0], f.Victim)
	}
	w.bytesOpt("attacker", attacker)
	w.bytesOpt("victim", victim)
	if h == nil {
		return nil
	}
	for _, v := range []float64{h.Value, h.Threshold} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return errNoNumber
		}
	}
	w.floatOpt("value", h.Value)
	w.floatOpt("threshold", h.Threshold)
	return nil
}

// appendFlow appends what only a flow has, and the VLAN.
func (a *Alert) appendFlow(w *object, room []byte) {
	f := a.Flow
	if f == nil {
		if a.Host != nil {
			w.intOpt("vlan", int64(a.Host.VLAN))
		}
		return
	}
	w.strOpt("l4", f.L4)
	w.bytes("client", addr(room, f.Client))
	w.int("client_port", int64(f.ClientPort))
	w.bytes("server", addr(room, f.Server))
	w.int("server_port", int64(f.ServerPort))
	w.boolOpt("client_local", f.ClientLoc)
	w.boolOpt("server_local", f.ServLoc)
	w.intOpt("vlan", int64(f.VLAN))
	w.strOpt("protocol", f.Protocol)
	w.strOpt("hostname", f.Hostname)
	w.strOpt("community_id", f.CommunityID)
	w.intOpt("first", f.First.Unix())
	w.intOpt("last", f.Last.Unix())
	w.pair("packets", f.Packets)
	w.pair("bytes", f.Bytes)
	w.strOpt("info", f.Info)
}

// addr writes an address as its String does.
func addr(room []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(room, a.String()...)
	}
	return a.AppendTo(room)
}

// side is the address of a role; nil if nobody has it.
func (f *Flow) side(room []byte, r Role) []byte {
	switch r {
	case Client:
		return addr(room, f.Client)
	case Server:
		return addr(room, f.Server)
	case NoRole:
	}
	return nil
}

// object writes the members of a JSON object behind its brace. The methods with "Opt" leave out what is zero.
type object struct{ dst []byte }

// name writes the name of a member, which is one of this file: it needs no escapes.
func (w *object) name(k string) {
	if w.dst[len(w.dst)-1] != '{' {
		w.dst = append(w.dst, ',')
	}
	w.dst = append(w.dst, '"')
	w.dst = append(w.dst, k...)
	w.dst = append(w.dst, '"', ':')
}

func (w *object) str(k, v string) {
	w.name(k)
	w.dst = appendString(w.dst, v)
}

func (w *object) strOpt(k, v string) {
	if v != "" {
		w.str(k, v)
	}
}

func (w *object) bytes(k string, v []byte) {
	w.name(k)
	w.dst = appendString(w.dst, v)
}

func (w *object) bytesOpt(k string, v []byte) {
	if len(v) > 0 {
		w.bytes(k, v)
	}
}

func (w *object) int(k string, v int64) {
	w.name(k)
	w.dst = strconv.AppendInt(w.dst, v, 10)
}

func (w *object) intOpt(k string, v int64) {
	if v != 0 {
		w.int(k, v)
	}
}

func (w *object) boolOpt(k string, v bool) {
	if v {
		w.name(k)
		w.dst = append(w.dst, "true"...)
	}
}

// floatOpt writes a number as ECMAScript does, as far as encoding/json follows it.
func (w *object) floatOpt(k string, v float64) {
	if v == 0 {
		return
	}
	w.name(k)
	format := byte('f')
	if abs := math.Abs(v); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	w.dst = strconv.AppendFloat(w.dst, v, format, -1, 64)
	if n := len(w.dst); format == 'e' && w.dst[n-4] == 'e' && w.dst[n-3] == '-' && w.dst[n-2] == '0' { // e-09 is e-9
		w.dst[n-2] = w.dst[n-1]
		w.dst = w.dst[:n-1]
	}
}

func (w *object) pair(k string, v [2]uint64) {
	w.name(k)
	w.dst = strconv.AppendUint(append(w.dst, '['), v[0], 10)
	w.dst = strconv.AppendUint(append(w.dst, ','), v[1], 10)
	w.dst = append(w.dst, ']')
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259). What is no UTF-8 becomes U+FFFD; U+2028 and U+2029, which end a line in
// JavaScript, are escaped. "->" and "<" stay as they are: they are for people, and what goes into HTML is escaped there.
// pdk.AppendJSONString says the same with other escapes; these are the bytes that encoding/json wrote, which receivers had so far.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, '\\', 'b')
			case '\f':
				dst = append(dst, '\\', 'f')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(append(dst, s[from:i]...), `\ufffd`...)
			from = i + n
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[from:i]...), '\\', 'u', '2', '0', '2', hexDigits[r&15])
			from = i + n
		}
		i += n
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
