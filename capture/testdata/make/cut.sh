# shellcheck shell=bash disable=SC2154 # sourced: the variables are make.sh's
# Cuts the small captures and the file formats out of what was recorded; sourced by make.sh.

say "cutting"
new=$W/new
cp "$W/demo.pcap" "$new/demo.pcap"
( cd "$here/variant" && go build -o "$W/variant" . )
( cd "$here/expect" && go build -o "$W/expect" . )

# cut_ NAME FILTER: the packets of the story that a display filter keeps.
cut_() { tshark -n -Q -r "$W/demo.pcap" -F pcap -w "$new/small/$1.pcap" -Y "$2" 2>>"$W/tshark.log"; }
# whole NAME FILTER: all packets of the TCP connections in which the filter matches once.
whole() {
  local ids
  ids=$(tshark -n -r "$W/demo.pcap" -Y "$2" -T fields -e tcp.stream 2>>"$W/tshark.log" | sort -un | paste -sd, -)
  [ -n "$ids" ] || die "nothing in the story matches $2: look at the logs (KEEP=1 keeps them)"
  cut_ "$1" "tcp.stream in {$ids}"
}
cut_ dhcp "dhcp"
cut_ dns "dns && ip.addr == 10.20.0.11"
cut_ dns-servers "dns && ip.addr == 10.20.0.12 && frame.time_relative > 60 && frame.time_relative < 120"
[ -z "$quick" ] || cut_ dns-servers "dns && ip.addr == 10.20.0.12"
cut_ ntp "ntp && ip.addr == 10.20.0.12"
cut_ icmp "icmp.type in {0, 8}"
cut_ quic "quic"
whole tls13 'tls.handshake.type == 1 && ipv6'
whole tls-selfsigned 'tls.handshake.type == 1 && ip.src == 10.20.0.11 && ip.dst == 10.20.0.20'
whole tls-expired 'tls.handshake.extensions_server_name == "shop.example.net"'
whole tls-godaddy 'tls.handshake.extensions_server_name == "pay.example.com"'
whole http 'http.request && ip.src == 10.20.0.12 && ip.dst == 10.20.0.20'
whole http-agents 'http.request && ip.src != 10.20.0.11 && ip.src != 10.20.0.12'
whole ftp 'ftp || ftp-data'
whole ssh 'ssh && ip.addr == 10.20.0.12'
# The scan is the visitor's connections that carry nothing.
talk=$(tshark -n -r "$W/demo.pcap" -Y 'tcp.len > 0 && ip.addr == 10.20.0.66' -T fields -e tcp.stream 2>>"$W/tshark.log" | sort -un | paste -sd, -)
cut_ scan "tcp && ip.addr == 10.20.0.66 && !(tcp.stream in {$talk})"

dns=$new/small/dns.pcap
f=$new/formats
editcap -F pcapng "$dns" "$f/dns.pcapng"
gzip -9nc "$dns" >"$f/dns.pcap.gz"
gzip -9nc "$f/dns.pcapng" >"$f/dns.pcapng.gz"
mergecap -F pcapng -w "$f/two-interfaces.pcapng" "$f/sll.pcap" "$f/raw.pcap"
for v in bigendian vlan qinq ppp truncated corrupt; do
  "$W/variant" "$v" "$dns" "$f/dns-$v.pcap"
done

say "asking tshark what is in there"
"$W/expect" "$new" >"$new/expected.json"
