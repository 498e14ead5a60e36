// Command expect writes expected.json: what tshark finds in the captures of capture/testdata, and the alerts that the
// story told by make.sh must raise. It knows nothing of tocsin, so that tests have an independent answer.
//
//	expect FOLDER >expected.json
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Flow is all packets between two endpoints, in both directions, however long the pauses between them. The client
// sent the first packet.
type Flow struct {
	L4         string `json:"l4"`
	Client     string `json:"client"`
	ClientPort int    `json:"client_port"`
	Server     string `json:"server"`
	ServerPort int    `json:"server_port"`
	Protocol   string `json:"protocol,omitempty"` // nDPI's label; empty if tshark and nDPI cannot both tell
	Packets    [2]int `json:"packets"`
	Hostname   string `json:"hostname,omitempty"` // SNI or HTTP Host
	Query      string `json:"query,omitempty"`    // first DNS name asked for
	TLS        string `json:"tls,omitempty"`      // negotiated version
	Issuer     string `json:"issuer,omitempty"`   // organisation of the certificate's issuer, where the certificate is visible
	UserAgent  string `json:"user_agent,omitempty"`
	payload    bool
	rank       int
}

// A Scan is many connections that carry no data, from one host to one other.
type Scan struct {
	Client  string `json:"client"`
	Server  string `json:"server"`
	Ports   [2]int `json:"ports"` // lowest and highest
	Flows   int    `json:"flows"`
	Refused int    `json:"refused"` // answered by RST
	Open    int    `json:"open"`    // answered by SYN-ACK
}

// An Alert is what a check must raise. A host alert is engaged once and released once.
type Alert struct {
	Check      string `json:"check"`
	Client     string `json:"client,omitempty"`
	ClientPort int    `json:"client_port,omitempty"`
	Server     string `json:"server,omitempty"`
	ServerPort int    `json:"server_port,omitempty"`
	IP         string `json:"ip,omitempty"`
}

// A File is what can be counted in one capture.
type File struct {
	Packets int    `json:"packets"` // readable ones
	Damaged bool   `json:"damaged,omitempty"`
	First   string `json:"first"` // Unix time with fraction
	Last    string `json:"last"`
}

// The configuration under which the alerts are expected.
var (
	localNetworks = []string{"10.20.0.0/24", "2001:db8:20::/64", "fe80::/10"}
	dnsServers    = []string{"10.20.0.1"}
)

// flowAlerts says which packets of the story belong to flows that a check must find.
var flowAlerts = []struct{ check, filter string }{
	{"flow/tls_certificate_selfsigned", "tls.handshake.type == 11 && ip.src == 10.20.0.20"},
	{"flow/tls_certificate_expired", "tls.handshake.type == 11 && ip.src == 203.0.113.20"},
	{"flow/ndpi_clear_text_credentials", `ftp.request.command == "PASS" || http.authbasic`},
	{"flow/ndpi_http_suspicious_user_agent", "http.request && ip.src == 10.20.0.66"},
	{"flow/unexpected_dns", "udp.dstport == 53 && ip.dst != 10.20.0.1"},
}

var hostAlerts = []Alert{
	{Check: "host/dns_contacts", IP: "10.20.0.12"},
	{Check: "host/syn_scan", IP: "10.20.0.66"}, // as attacker
	{Check: "host/syn_scan", IP: "10.20.0.20"}, // as victim
	{Check: "host/scan_detection", IP: "10.20.0.66"},
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: expect FOLDER >expected.json")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "expect:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	var names []string
	for _, p := range []string{"*.pcap*", "small/*.pcap*", "formats/*.pcap*"} {
		m, err := filepath.Glob(filepath.Join(dir, p))
		if err != nil {
			return err
		}
		names = append(names, m...)
	}
	files := map[string]File{}
	for _, n := range names {
		rel, err := filepath.Rel(dir, n)
		if err != nil {
			return err
		}
		if files[filepath.ToSlash(rel)], err = count(n); err != nil {
			return err
		}
	}
	demo := filepath.Join(dir, "demo.pcap")
	flows, err := flowsOf(demo)
	if err != nil {
		return err
	}
	flows, scans := split(flows)
	var alerts []Alert
	for _, fa := range flowAlerts {
		found, err := matching(demo, fa.check, fa.filter)
		if err != nil {
			return err
		}
		alerts = append(alerts, found...)
	}
	alerts = append(alerts, hostAlerts...)
	return write(files, flows, scans, alerts)
}

// tshark runs tshark and gives its lines' fields. A damaged file is no error: what could be read counts.
func tshark(file, filter string, fields ...string) (rows [][]string, damaged bool, err error) {
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "occurrence=f", "-E", "separator=/t"}
	if filter != "" {
		args = append(args, "-Y", filter)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	cmd := exec.Command("tshark", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		var ee *exec.ExitError
		if !errors.As(err, &ee) || ee.ExitCode() != 2 || len(out) == 0 {
			return nil, false, fmt.Errorf("tshark %s: %w: %s", file, err, stderr.String())
		}
		damaged = true
	}
	s := bufio.NewScanner(bytes.NewReader(out))
	for s.Scan() {
		rows = append(rows, strings.Split(s.Text(), "\t"))
	}
	return rows, damaged, s.Err()
}

func count(file string) (File, error) {
	rows, damaged, err := tshark(file, "", "frame.time_epoch")
	if err != nil || len(rows) == 0 {
		return File{}, fmt.Errorf("%s: %d packets: %w", file, len(rows), err)
	}
	return File{len(rows), damaged, rows[0][0], rows[len(rows)-1][0]}, nil
}

// protocols maps tshark's names to nDPI's labels. A later one wins over an earlier one. ftp-data is left out: nDPI does
// not follow passive mode and calls such a connection Unknown.
var protocols = []struct{ tshark, label string }{
	{"icmp", "ICMP"}, {"icmpv6", "ICMPV6"}, {"tls", "TLS"}, {"http", "HTTP"}, {"dns", "DNS"}, {"dhcp", "DHCP"},
	{"ntp", "NTP"}, {"ssh", "SSH"}, {"ftp", "FTP_CONTROL"}, {"quic", "QUIC"},
}

const (
	fSrc4 = iota
	fDst4
	fSrc6
	fDst6
	fTCPSrc
	fTCPDst
	fUDPSrc
	fUDPDst
	fProtocols
	fTCPLen
	fSNI
	fHost
	fQuery
	fVersion
	fVersion13
	fOrg
	fAgent
)

var fields = []string{
	"ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport",
	"frame.protocols", "tcp.len", "tls.handshake.extensions_server_name", "http.host", "dns.qry.name",
	"tls.handshake.version", "tls.handshake.extensions.supported_version", "x509if.RelativeDistinguishedName_item_element", "http.user_agent",
}

func flowsOf(file string) ([]*Flow, error) {
	rows, _, err := tshark(file, "ip || ipv6", fields...)
	if err != nil {
		return nil, err
	}
	byKey := map[string]*Flow{}
	var flows []*Flow
	for _, r := range rows {
		src, dst := cmp.Or(r[fSrc4], r[fSrc6]), cmp.Or(r[fDst4], r[fDst6])
		layers := strings.Split(r[fProtocols], ":")
		l4, sp, dp := "", 0, 0
		switch {
		case slices.Contains(layers, "icmp"): // before the rest: an error quotes another packet
			l4 = "ICMP"
		case slices.Contains(layers, "icmpv6"):
			l4 = "ICMPV6"
		case slices.Contains(layers, "igmp"):
			l4 = "IGMP"
		case r[fTCPSrc] != "":
			l4 = "TCP"
			sp, _ = strconv.Atoi(r[fTCPSrc])
			dp, _ = strconv.Atoi(r[fTCPDst])
		case r[fUDPSrc] != "":
			l4 = "UDP"
			sp, _ = strconv.Atoi(r[fUDPSrc])
			dp, _ = strconv.Atoi(r[fUDPDst])
		default:
			return nil, fmt.Errorf("%s: no known layer 4 in %s", file, r[fProtocols])
		}
		key := fmt.Sprint(l4, src, sp, dst, dp)
		dir := 0
		f := byKey[key]
		if f == nil {
			if f = byKey[fmt.Sprint(l4, dst, dp, src, sp)]; f != nil {
				dir = 1
			} else {
				f = &Flow{L4: l4, Client: src, ClientPort: sp, Server: dst, ServerPort: dp, rank: -1}
				byKey[key] = f
				flows = append(flows, f)
			}
		}
		f.Packets[dir]++
		f.payload = f.payload || (l4 == "TCP" && r[fTCPLen] != "0")
		for i, p := range protocols {
			if i > f.rank && slices.Contains(layers, p.tshark) {
				f.Protocol, f.rank = p.label, i
			}
		}
		f.Hostname = cmp.Or(f.Hostname, r[fSNI], r[fHost])
		f.Query = cmp.Or(f.Query, r[fQuery])
		f.UserAgent = cmp.Or(f.UserAgent, r[fAgent])
		if dir == 1 {
			switch cmp.Or(r[fVersion13], r[fVersion]) {
			case "0x0304":
				f.TLS = "1.3"
			case "0x0303":
				f.TLS = cmp.Or(f.TLS, "1.2")
			}
		}
	}
	return flows, issuers(file, flows)
}

// issuers notes the issuers of the certificates seen, by what the story's authorities are called.
func issuers(file string, flows []*Flow) error {
	for _, org := range []string{"Example Trust", "GoDaddy.com", "Example Storage"} {
		seen, err := matching(file, "", fmt.Sprintf(`tls.handshake.type == 11 && x509sat.uTF8String == "%s"`, org))
		if err != nil {
			return err
		}
		for _, a := range seen {
			for _, f := range flows {
				if f.L4 == "TCP" && f.Client == a.Client && f.ClientPort == a.ClientPort && f.Server == a.Server {
					f.Issuer = org
				}
			}
		}
	}
	return nil
}

// matching gives the flows of the packets that a filter keeps. The client is the side with the port above 1024.
func matching(file, check, filter string) ([]Alert, error) {
	rows, _, err := tshark(file, filter, fields[:fProtocols]...)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: nothing matches %s", file, filter)
	}
	var as []Alert
	for _, r := range rows {
		sp, _ := strconv.Atoi(cmp.Or(r[fTCPSrc], r[fUDPSrc]))
		dp, _ := strconv.Atoi(cmp.Or(r[fTCPDst], r[fUDPDst]))
		a := Alert{check, cmp.Or(r[fSrc4], r[fSrc6]), sp, cmp.Or(r[fDst4], r[fDst6]), dp, ""}
		if sp < 1024 {
			a.Client, a.ClientPort, a.Server, a.ServerPort = a.Server, a.ServerPort, a.Client, a.ClientPort
		}
		if !slices.Contains(as, a) {
			as = append(as, a)
		}
	}
	return as, nil
}

// split takes the connections without data out of the flows and sums them up.
func split(all []*Flow) (flows []*Flow, scans []*Scan) {
	for _, f := range all {
		if f.L4 != "TCP" || f.payload {
			flows = append(flows, f)
			continue
		}
		i := slices.IndexFunc(scans, func(s *Scan) bool { return s.Client == f.Client && s.Server == f.Server })
		if i < 0 {
			i = len(scans)
			scans = append(scans, &Scan{Client: f.Client, Server: f.Server, Ports: [2]int{f.ServerPort, f.ServerPort}})
		}
		s := scans[i]
		s.Flows++
		s.Ports = [2]int{min(s.Ports[0], f.ServerPort), max(s.Ports[1], f.ServerPort)}
		switch f.Packets { // SYN, RST; or SYN, SYN-ACK, RST
		case [2]int{1, 1}:
			s.Refused++
		case [2]int{2, 1}:
			s.Open++
		}
	}
	return flows, scans
}

// write prints one line an item, so that a change can be read in a diff.
func write(files map[string]File, flows []*Flow, scans []*Scan, alerts []Alert) error {
	w := bufio.NewWriter(os.Stdout)
	enc := func(v any) string {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(err) // plain structs always encode
		}
		return strings.TrimSpace(b.String())
	}
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	fmt.Fprintf(w, "{\n\"local_networks\": %s,\n\"dns_servers\": %s,\n\"files\": {\n", enc(localNetworks), enc(dnsServers))
	for i, n := range names {
		fmt.Fprintf(w, "  %s: %s%s\n", enc(n), enc(files[n]), comma(i, len(names)))
	}
	fmt.Fprint(w, "},\n\"demo.pcap\": {\n\"flows\": [\n")
	for i, f := range flows {
		fmt.Fprintf(w, "  %s%s\n", enc(f), comma(i, len(flows)))
	}
	fmt.Fprint(w, "],\n\"scans\": [\n")
	for i, s := range scans {
		fmt.Fprintf(w, "  %s%s\n", enc(s), comma(i, len(scans)))
	}
	fmt.Fprint(w, "],\n\"alerts\": [\n")
	for i, a := range alerts {
		fmt.Fprintf(w, "  %s%s\n", enc(a), comma(i, len(alerts)))
	}
	fmt.Fprint(w, "]\n}\n}\n")
	return w.Flush()
}

func comma(i, n int) string {
	if i < n-1 {
		return ","
	}
	return ""
}
