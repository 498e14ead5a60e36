package alert

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// wire is the JSON shape of an alert as encoding/json reads it.
type wire struct {
	ID          string  `json:"id"`
	Kind        string  `json:"kind,omitempty"` // "report"; left out for alerts
	Entity      string  `json:"entity"`
	EntityID    int     `json:"entity_id"`
	EntityValue string  `json:"entity_value"`
	AlertID     int     `json:"alert_id"`
	Check       string  `json:"check"`
	Title       string  `json:"title"`
	Category    string  `json:"category"`
	Severity    string  `json:"severity"`
	SeverityID  int     `json:"severity_id"`
	Score       int     `json:"score"`
	Action      string  `json:"action"`
	Tstamp      int64   `json:"tstamp"` // Unix seconds
	Time        string  `json:"time"`   // RFC 3339 with microseconds, UTC
	Message     string  `json:"message"`
	Advice      string  `json:"advice,omitempty"`
	Link        string  `json:"link,omitempty"`
	EngagedAt   int64   `json:"engaged_tstamp,omitempty"`
	Key         string  `json:"key,omitempty"`
	Interface   string  `json:"interface,omitempty"`
	IP          string  `json:"ip,omitempty"`
	Name        string  `json:"name,omitempty"`
	MAC         string  `json:"mac,omitempty"`
	Local       bool    `json:"local,omitempty"`
	Attacker    string  `json:"attacker,omitempty"` // address of the attacking side
	Victim      string  `json:"victim,omitempty"`
	Value       float64 `json:"value,omitempty"`
	Threshold   float64 `json:"threshold,omitempty"`

	L4          string     `json:"l4,omitempty"`
	Client      string     `json:"client,omitempty"`
	ClientPort  *uint16    `json:"client_port,omitempty"`
	Server      string     `json:"server,omitempty"`
	ServerPort  *uint16    `json:"server_port,omitempty"`
	ClientLocal bool       `json:"client_local,omitempty"`
	ServerLocal bool       `json:"server_local,omitempty"`
	VLAN        uint16     `json:"vlan,omitempty"`
	Protocol    string     `json:"protocol,omitempty"`
	Hostname    string     `json:"hostname,omitempty"`
	CommunityID string     `json:"community_id,omitempty"`
	First       int64      `json:"first,omitempty"`
	Last        int64      `json:"last,omitempty"`
	Packets     *[2]uint64 `json:"packets,omitempty"`
	Bytes       *[2]uint64 `json:"bytes,omitempty"`
	Info        string     `json:"info,omitempty"`
}

// reflected writes the shape of an alert by encoding/json.
func reflected(a *Alert) ([]byte, error) {
	w := wire{
		ID: a.ID.String(), Entity: a.Entity.String(), EntityID: int(a.Entity), EntityValue: a.EntityValue(),
		AlertID: a.AlertID, Check: a.Check, Title: a.Title, Category: a.Category.String(),
		Severity: a.Severity.String(), SeverityID: int(a.Severity), Score: a.Score, Action: a.Action.String(),
		Tstamp: a.Time.Unix(), Time: a.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), Message: a.Message,
		Advice: a.Advice, Link: a.Link, Key: a.Key, Interface: a.Interface, MAC: a.MAC,
	}
	if a.Kind != KindAlert {
		w.Kind = a.Kind.String()
	}
	if !a.Engaged.IsZero() {
		w.EngagedAt = a.Engaged.Unix()
	}
	if h := a.Host; h != nil {
		w.IP, w.Name, w.MAC, w.Local, w.VLAN = h.IP.String(), h.Name, h.MAC, h.Local, h.VLAN
		w.Value, w.Threshold = h.Value, h.Threshold
		if h.Attacker {
			w.Attacker = w.IP
		}
		if h.Victim {
			w.Victim = w.IP
		}
	}
	if f := a.Flow; f != nil {
		w.L4, w.Client, w.Server = f.L4, f.Client.String(), f.Server.String()
		w.ClientPort, w.ServerPort = &f.ClientPort, &f.ServerPort
		w.ClientLocal, w.ServerLocal = f.ClientLoc, f.ServLoc
		w.VLAN, w.Protocol, w.Hostname, w.CommunityID = f.VLAN, f.Protocol, f.Hostname, f.CommunityID
		w.First, w.Last, w.Packets, w.Bytes, w.Info = f.First.Unix(), f.Last.Unix(), &f.Packets, &f.Bytes, f.Info
		side := map[Role]string{Client: w.Client, Server: w.Server}
		w.Attacker, w.Victim = side[f.Attacker], side[f.Victim]
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // "->" is for people; what goes into HTML is escaped there
	if err := enc.Encode(&w); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// hosts and texts are what the differential test puts together.
var (
	hosts = []netip.Addr{{}, client, server, netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("fe80::1%eth0")}
	texts = []string{
		"", "plain", "a -> b & <c>", "q\"u\\o\te\n\r\t\b\f\x00\x1f\x7f", "\u2028x\u2029y\u202a", "bad \xff\xc3 tail \xe2\x80", "日本語 €",
	}
	numbers = []float64{0, 1, -1, 12.5, 1e21, 1e-7, 1.5e-9, 123456789.125, -2.5e300, 5e-324, math.MaxFloat64, 100000000000000000000}
)

// arbitrary makes an alert of all that a random source says.
func arbitrary(r *rand.Rand) *Alert {
	text := func() string { return texts[r.IntN(len(texts))] }
	when := func() time.Time {
		if r.IntN(4) == 0 {
			return time.Time{}
		}
		return noon.Add(time.Duration(r.Int64N(1e17)))
	}
	host := func() netip.Addr { return hosts[r.IntN(len(hosts))] }
	yes := func() bool { return r.IntN(2) == 0 }
	number := func() float64 { return numbers[r.IntN(len(numbers))] }
	a := &Alert{
		ID: NewID(), Time: when(), Kind: Kind(r.IntN(2)), Entity: Entity(r.IntN(9)), AlertID: r.IntN(200) - 5, Check: text(), Title: text(),
		Category: Category(r.IntN(9)), Severity: Severity(r.IntN(10)), Score: r.IntN(2000) - 100, Action: Action(r.IntN(3)), Message: text(),
		Advice: text(), Link: text(), Engaged: when(), Key: text(), Interface: text(), MAC: text(), Name: text(),
	}
	if r.IntN(3) > 0 {
		a.Flow = &Flow{
			L4: text(), Client: host(), Server: host(), ClientPort: uint16(r.IntN(3)), ServerPort: uint16(r.IntN(1 << 16)), VLAN: uint16(r.IntN(2)),
			Protocol: text(), Hostname: text(), CommunityID: text(), First: when(), Last: when(), Packets: [2]uint64{r.Uint64(), 0},
			Bytes: [2]uint64{0, r.Uint64()}, ClientLoc: yes(), ServLoc: yes(), Attacker: Role(r.IntN(3)), Victim: Role(r.IntN(3)), Info: text(),
		}
	}
	if r.IntN(3) == 0 {
		a.Host = &Host{
			IP: host(), VLAN: uint16(r.IntN(2)), MAC: text(), Name: text(), Local: yes(), Attacker: yes(), Victim: yes(), Value: number(), Threshold: number(),
		}
	}
	return a
}

// TestEncode: what AppendJSON writes is what encoding/json would, byte for byte, behind what was there.
func TestEncode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a := arbitrary(r)
		want, err := reflected(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.AppendJSON([]byte("before"))
		if err != nil || string(got) != "before"+string(want) {
			t.Fatalf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if b, err := json.Marshal(&Alert{Host: &Host{Threshold: v}}); err == nil {
			t.Errorf("%v was written as %s", v, b)
		}
	}
}

func FuzzEncodeString(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a := &Alert{Message: s, Flow: &Flow{Info: s}}
		want, err := reflected(a)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := a.MarshalJSON(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, %s, want %s", err, got, want)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	a := &Alert{
		ID: NewID(), Time: noon, Entity: EntityFlow, AlertID: 28, Check: "flow/tls_certificate_expired", Title: "TLS certificate expired",
		Category: Security, Severity: Error, Score: 100, Message: "The certificate of expired.example ran out 12 days ago.",
		Advice: "Renew the certificate; until then clients that check it refuse the service.", Interface: "eth0",
		Flow: &Flow{
			L4: "TCP", Client: client, Server: server, ClientPort: 40000, ServerPort: 443, Protocol: "TLS", Hostname: "expired.example",
			CommunityID: "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", First: noon, Last: noon, Packets: [2]uint64{12, 14}, Bytes: [2]uint64{1800, 9600},
			Attacker: Client, Victim: Server,
		},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
	}
}
