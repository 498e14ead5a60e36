#!/usr/bin/env bash
# Makes the captures in capture/testdata: a little office with real programs, in network namespaces of its own.
#
#   sudo capture/testdata/make/make.sh             record everything (about six minutes: packet time is real time)
#   sudo capture/testdata/make/make.sh --quick     the same without the quiet stretches, to try a change; writes to a
#                                                  folder under /tmp that it names at its end
#   sudo capture/testdata/make/make.sh --install   apt-get install what it needs (Debian 12), then record
#
# It needs root, Linux with veth, bridge and tun, and Go. It touches no network outside its namespaces (they have no way
# out), changes no file of the system (programs see private copies of /etc/passwd and the like), ends by itself after
# ten minutes at most, and removes its namespaces, processes and files however it ends. KEEP=1 in the environment keeps
# its working folder below /tmp, with the programs' logs.

# shellcheck disable=SC2016,SC2034,SC2046 # quotes and word splitting are meant; the sourced files use the variables
set -euo pipefail

packages=(tcpdump tshark wireshark-common dnsmasq-base nmap vsftpd openssh-server openssh-client chrony udhcpc nginx-light
  bind9-dnsutils iputils-ping iproute2 ethtool socat curl openssl ngtcp2-client ngtcp2-server procps)

here=$(cd "$(dirname "$0")" && pwd)
out=$(dirname "$here")
quick=
for arg in "$@"; do
  case $arg in
    --quick) quick=1 ;;
    --install) install=1 ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done

die() { echo "make.sh: $*" >&2; exit 1; }
say() { printf '%3ss  %s\n' "${T0:+$(($(date +%s) - T0))}" "$*" >&2; }
[ "$(id -u)" = 0 ] || die "run it as root: it makes network namespaces"
if [ -n "${install:-}" ]; then
  # The daemons are started by this script, in its namespaces; the packages must not start them on the machine.
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && made_policy=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >&2 ||
    { [ -n "${made_policy:-}" ] && rm -f /usr/sbin/policy-rc.d; die "apt-get install failed: run apt-get update first"; }
  [ -n "${made_policy:-}" ] && rm -f /usr/sbin/policy-rc.d
fi
PATH=$PATH:/usr/sbin:/sbin:/usr/local/go/bin
for p in tcpdump tshark editcap mergecap capinfos dnsmasq nmap vsftpd sshd ssh chronyd udhcpc nginx dig ping ip ethtool \
  socat curl openssl gtlsclient gtlsserver go; do
  command -v "$p" >/dev/null || die "$p is missing: run with --install (Debian 12), or install it yourself"
done

P=tocsin-                     # prefix of the namespaces' names
hosts=(sw gw net nas anna ben visitor)
for h in "${hosts[@]}"; do
  [ ! -e "/run/netns/$P$h" ] || die "the namespace $P$h exists: is another run going on? If not: ip netns del $P$h"
done
W=$(mktemp -d /tmp/tocsin-make.XXXXXX)
chmod 755 "$W"
pids=()
cleanup() {
  trap - EXIT INT TERM
  set +e
  local p
  for p in "${pids[@]}"; do kill "$p"; done
  for h in "${hosts[@]}"; do # whatever else was started in our namespaces, and only that
    for p in $(ip netns pids "$P$h"); do kill -9 "$p"; done
    ip netns del "$P$h"
  done
  wait
  [ -n "${KEEP:-}" ] || rm -rf "$W"
} 2>/dev/null
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# No part may hang for ever: the whole is ended after ten minutes.
( sleep 600 & s=$!; trap 'kill $s' TERM; wait $s && kill -TERM $$ ) 2>/dev/null & pids+=($!)

# on HOST COMMAND...: runs a command on a host, which sees its own files below $W/etc/HOST in place of /etc's, and an
# empty /run. The mounts live in the private mount namespace that `ip netns exec` makes.
on() {
  local h=$1
  shift
  ${replace:-} ip netns exec "$P$h" sh -c '
    for f in "$0"/*; do [ -e "$f" ] && mount --bind "$f" "/etc/${f##*/}"; done
    mount -t tmpfs none /run && mkdir /run/sshd
    exec "$@"' "$W/etc/$h" "$@"
}
# bg HOST COMMAND...: the same in the background, until the end; the program takes the place of its shell.
bg() { replace="exec" on "$@" >>"$W/$1.log" 2>&1 & pids+=($!); }
# do_ HOST COMMAND...: a client's command; its result is not ours to judge, many are meant to fail.
do_() { on "$1" timeout 20 "${@:2}" >>"$W/$1.log" 2>&1 || true; }

# ------------------------------------------------------------------------------------------------------- the wires
#   anna, ben, visitor, nas ---- sw (bridge; recorded here) ---- gw ---- net ("the Internet")
say "wiring"
for h in "${hosts[@]}"; do
  ip netns add "$P$h"
  mkdir -p "$W/etc/$h"
  echo 'nameserver 10.20.0.1' >"$W/etc/$h/resolv.conf"
  echo '127.0.0.1 localhost' >"$W/etc/$h/hosts"
  ip netns exec "$P$h" ip link set lo up
done
nsx() { ip netns exec "$P$1" "${@:2}"; }
quiet6() { nsx "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"; }
plain() { nsx "$1" ethtool -K "$2" tx off rx off tso off gso off gro off >/dev/null; } # real checksums, real packet sizes

quiet6 sw default
nsx sw ip link add br0 type bridge forward_delay 0
quiet6 sw br0
nsx sw ip link set br0 up
n=0
for h in gw nas anna ben visitor; do
  n=$((n + 1))
  ip link add eth0 netns "$P$h" address "02:54:43:00:00:0$n" type veth peer name "p$n" netns "${P}sw"
  nsx sw ip link set "p$n" master br0 up
  plain "$h" eth0
  plain sw "p$n"
done
for h in nas ben visitor; do quiet6 "$h" eth0; done # anna and the gateway speak IPv6 as well
ip link add wan0 netns "${P}gw" address 02:54:43:00:01:01 type veth peer name eth0 address 02:54:43:00:01:02 netns "${P}net"
plain gw wan0
plain net eth0
nsx gw sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
nsx net sysctl -qw net.ipv4.ip_forward=1
nsx gw ip addr add 10.20.0.1/24 dev eth0
nsx gw ip addr add 2001:db8:20::1/64 dev eth0 nodad
nsx gw ip addr add 192.0.2.1/24 dev wan0
nsx gw ip addr add 2001:db8:100::1/64 dev wan0 nodad
nsx gw ip link set wan0 up
nsx net ip addr add 192.0.2.2/24 dev eth0
nsx net ip link set eth0 up
for a in 198.51.100.10 198.51.100.11 198.51.100.80 198.51.100.123 203.0.113.20 203.0.113.30 203.0.113.{53..60}; do
  nsx net ip addr add "$a/32" dev lo
done
nsx net ip addr add 2001:db8:100::10/64 dev eth0 nodad
nsx net ip -6 route add default via 2001:db8:100::1
nsx net ip route add 10.20.0.0/24 via 192.0.2.1
nsx net ip route add blackhole 203.0.113.200/32 # a host behind a firewall that drops
nsx gw ip route add default via 192.0.2.2
nsx nas ip addr add 10.20.0.20/24 dev eth0
nsx gw ip link set eth0 up
nsx nas ip link set eth0 up
nsx nas ip route add default via 10.20.0.1

# ------------------------------------------------------------------------------------------------- the certificates
say "making certificates"
mkdir "$W/ca"
cat >"$W/ca/conf" <<X
[ca]
default_ca = c
[c]
database = $W/ca/db
new_certs_dir = $W/ca
rand_serial = yes
default_md = sha256
policy = p
copy_extensions = copy
unique_subject = no
[p]
countryName = optional
organizationName = optional
commonName = supplied
X
: >"$W/ca/db"
newkey() { case $1 in ec) echo -newkey ec -pkeyopt ec_paramgen_curve:P-256 ;; rsa) echo -newkey rsa:2048 ;; esac; }
# authority NAME SUBJECT: an authority of our own, good for 30 days.
authority() { openssl req -x509 -nodes $(newkey ec) -days 30 -subj "$2" -keyout "$W/ca/$1.key" -out "$W/ca/$1.pem" 2>>"$W/ca/log"; }
# leaf AUTHORITY HOST KEYKIND FROM TO [ORGANISATION]: a server's certificate.
leaf() {
  openssl req -new -nodes $(newkey "$3") -subj "${6:+/O=$6}/CN=$2" -addext "subjectAltName=DNS:$2" \
    -keyout "$W/ca/$2.key" -out "$W/ca/$2.csr" 2>>"$W/ca/log"
  openssl ca -batch -notext -config "$W/ca/conf" -cert "$W/ca/$1.pem" -keyfile "$W/ca/$1.key" -in "$W/ca/$2.csr" \
    -startdate "$4" -enddate "$5" -out "$W/ca/$2.pem" 2>>"$W/ca/log"
}
day() { date -u -d "$1" +%Y%m%d000000Z; }
authority example "/C=IT/O=Example Trust/CN=Example Trust CA (captures of tocsin)"
authority godaddy "/C=US/O=GoDaddy.com/CN=Not GoDaddy: test authority of tocsin"
leaf example www.example.org ec "$(day '-20 days')" "$(day '+70 days')" "Example Organisation"
leaf example news.example.com ec "$(day '-20 days')" "$(day '+70 days')"
leaf example shop.example.net rsa 20240101000000Z 20240331000000Z "Example Shop"
leaf godaddy pay.example.com rsa "$(day '-20 days')" "$(day '+340 days')" "Example Payments"
openssl req -x509 -nodes $(newkey rsa) -days 365 -subj "/O=Example Storage/CN=nas.office.example" \
  -addext "subjectAltName=DNS:nas.office.example" -keyout "$W/ca/nas.key" -out "$W/ca/nas.pem" 2>>"$W/ca/log"

# ------------------------------------------------------------------------------------------------------ the servers
say "starting servers"
# Gateway: DHCP, DNS, router advertisements, time.
cat >"$W/gw.dnsmasq" <<X
no-resolv
no-hosts
keep-in-foreground
local-ttl=300
user=root
interface=eth0
bind-interfaces
pid-file=
dhcp-leasefile=$W/leases
dhcp-authoritative
no-ping
domain=office.example
local=/office.example/
dhcp-range=10.20.0.60,10.20.0.90,1h
dhcp-host=02:54:43:00:00:03,10.20.0.11,anna-laptop
dhcp-host=02:54:43:00:00:04,10.20.0.12,ben-desktop
dhcp-host=02:54:43:00:00:05,10.20.0.66
dhcp-option=option:ntp-server,10.20.0.1
dhcp-range=2001:db8:20::,ra-only
enable-ra
host-record=nas.office.example,10.20.0.20
host-record=intranet.office.example,10.20.0.20
server=203.0.113.53
X
bg gw dnsmasq -C "$W/gw.dnsmasq"
printf 'local stratum 8\nallow 10.20.0.0/24\ncmdport 0\npidfile %s/gw.chrony\ndriftfile %s/gw.drift\n' "$W" "$W" >"$W/gw.chronyd"
bg gw chronyd -d -x -u root -f "$W/gw.chronyd"

# "The Internet": eight name servers, web servers, time.
cat >"$W/net.dnsmasq" <<X
no-resolv
no-hosts
keep-in-foreground
local-ttl=300
user=root
bind-interfaces
pid-file=
$(for i in {53..60}; do echo "listen-address=203.0.113.$i"; done)
host-record=www.example.org,198.51.100.10,2001:db8:100::10
host-record=news.example.com,198.51.100.11
host-record=mirror.example.org,198.51.100.80
host-record=time.example.net,198.51.100.123
host-record=shop.example.net,203.0.113.20
host-record=pay.example.com,203.0.113.30
local=/org/
local=/com/
local=/net/
X
bg net dnsmasq -C "$W/net.dnsmasq"
printf 'local stratum 3\nallow all\nbindaddress 198.51.100.123\ncmdport 0\npidfile %s/net.chrony\ndriftfile %s/net.drift\n' "$W" "$W" >"$W/net.chronyd"
bg net chronyd -d -x -u root -f "$W/net.chronyd"

mkdir -p "$W"/{www,mirror,intranet/admin,ng}
page() { printf '<!doctype html><title>%s</title><h1>%s</h1>\n' "$1" "$1"; for i in {1..40}; do echo "<p>$i. $2</p>"; done; }
page "Example Organisation" "Nothing on this page is secret." >"$W/www/index.html"
page "Intranet" "Lunch is at half past twelve." >"$W/intranet/index.html"
page "Administration" "Here be switches." >"$W/intranet/admin/index.html"
head -c 6000 /dev/zero | tr '\0' 'x' >"$W/mirror/package.tar"
printf 'admin:%s\n' "$(openssl passwd -apr1 swordfish)" >"$W/htpasswd"
ngx() { # ngx NAME SERVERBLOCKS: an nginx that keeps to our folder
  mkdir -p "$W/ng/$1"
  cat >"$W/ng/$1.conf" <<X
daemon off;
master_process off;
pid $W/ng/$1/pid;
error_log $W/ng/$1/error.log;
events { worker_connections 64; }
http {
  access_log $W/ng/$1/access.log;
  client_body_temp_path $W/ng/$1/b;
  proxy_temp_path $W/ng/$1/p;
  fastcgi_temp_path $W/ng/$1/f;
  uwsgi_temp_path $W/ng/$1/u;
  scgi_temp_path $W/ng/$1/s;
  types { text/html html; application/x-tar tar; }
  server_tokens off;
  $2
}
X
  bg "$1" nginx -p "$W/ng/$1" -c "$W/ng/$1.conf" -e "$W/ng/$1/error.log"
}
tls() { echo "ssl_certificate $W/ca/$1.pem; ssl_certificate_key $W/ca/$1.key; ssl_protocols $2;"; }
ngx net "
  server { listen 198.51.100.10:443 ssl http2; listen [2001:db8:100::10]:443 ssl http2; listen 198.51.100.10:80; listen [2001:db8:100::10]:80;
           root $W/www; $(tls www.example.org 'TLSv1.2 TLSv1.3') }
  server { listen 198.51.100.11:443 ssl; root $W/www; $(tls news.example.com 'TLSv1.2 TLSv1.3') }
  server { listen 198.51.100.80:80; root $W/mirror; }"
ngx nas "
  server { listen 80; root $W/intranet; location /admin/ { auth_basic Switches; auth_basic_user_file $W/htpasswd; } }"
bg net openssl s_server -accept 203.0.113.20:443 -tls1_2 -cert "$W/ca/shop.example.net.pem" -key "$W/ca/shop.example.net.key" -www
bg net openssl s_server -accept 203.0.113.30:443 -tls1_2 -cert "$W/ca/pay.example.com.pem" -key "$W/ca/pay.example.com.key" \
  -cert_chain "$W/ca/godaddy.pem" -www
bg nas openssl s_server -accept 10.20.0.20:443 -tls1_2 -cert "$W/ca/nas.pem" -key "$W/ca/nas.key" -www
bg net gtlsserver -q -d "$W/www" 198.51.100.10 443 "$W/ca/www.example.org.key" "$W/ca/www.example.org.pem"

# The NAS: FTP and SSH, with users that exist only there.
mkdir -p "$W"/home/{archive,ben}/ "$W/empty" "$W/keys"
cp /etc/passwd /etc/shadow /etc/group "$W/etc/nas/"
echo "archive:x:20001:20001::$W/home/archive:/bin/sh" >>"$W/etc/nas/passwd"
echo "ben:x:20002:20002::$W/home/ben:/bin/sh" >>"$W/etc/nas/passwd"
for u in archive ben; do
  echo "$u:$(openssl passwd -6 autumn-leaves):19000:0:99999:7:::" >>"$W/etc/nas/shadow"
done
head -c 3000 /dev/zero | tr '\0' 'r' >"$W/home/archive/report.txt"
chown -R 20001:20001 "$W/home/archive"
cat >"$W/vsftpd" <<X
listen=YES
background=NO
anonymous_enable=NO
local_enable=YES
write_enable=YES
secure_chroot_dir=$W/empty
pam_service_name=vsftpd
ftpd_banner=Archive of the office
chroot_local_user=YES
allow_writeable_chroot=YES
seccomp_sandbox=NO
xferlog_enable=NO
X
bg nas vsftpd "$W/vsftpd"
ssh-keygen -q -t ed25519 -N '' -C 'host key' -f "$W/keys/host"
ssh-keygen -q -t ed25519 -N '' -C 'ben' -f "$W/keys/ben"
cp "$W/keys/ben.pub" "$W/home/ben/authorized_keys"
chown -R 20002:20002 "$W/home/ben"
printf 'HostKey %s/keys/host\nAuthorizedKeysFile %s/home/%%u/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\nPrintMotd no\n' \
  "$W" "$W" >"$W/sshd"
bg nas "$(command -v sshd)" -D -e -f "$W/sshd"

# What a DHCP client does with its lease.
cat >"$W/lease.sh" <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr replace "$ip/24" dev "$interface"
ip route replace default via "$router"
X
chmod +x "$W/lease.sh"

# ----------------------------------------------------------------------------------------------------- the programs
ssh_opts=(-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR)
firefox='Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0'
ca=(--cacert "$W/ca/example.pem")
lease() { nsx "$1" ip link set eth0 up; do_ "$1" udhcpc -i eth0 -n -q -f -t 3 -T 2 -s "$W/lease.sh" -x "hostname:$2"; }
web() { do_ "$1" curl -sS -o /dev/null -m 10 "${@:2}"; }
settime() { # settime HOST SERVER: asks a time server once
  printf 'server %s iburst maxsamples 1\ncmdport 0\npidfile %s/%s.chrony\n' "$2" "$W" "$1" >"$W/$1.chronyd"
  do_ "$1" chronyd -Q -t 8 -u root -f "$W/$1.chronyd"
}
record() { # record HOST INTERFACE FILE ARGS...: starts tcpdump and waits until it listens
  : >"$W/tcpdump.log"
  ip netns exec "$P$1" tcpdump --immediate-mode -U -n -q -s 2048 -B 8192 -i "$2" -w "$3" "${@:4}" 2>"$W/tcpdump.log" & rec=$!
  pids+=("$rec")
  for _ in {1..100}; do grep -q 'listening on' "$W/tcpdump.log" && return; sleep 0.05; done
  die "tcpdump does not start: $(cat "$W/tcpdump.log")"
}
stop() { # stop: ends what record began
  sleep 0.3 # the last packets are still on their way to the file
  kill "$rec"
  wait "$rec" || true
  grep -q '^0 packets dropped by kernel' "$W/tcpdump.log" || die "tcpdump lost packets: run again. $(cat "$W/tcpdump.log")"
}
at() { # at SECONDS: waits for this second of the story; a quick run does not wait
  [ -z "$quick" ] || { sleep 0.2; return 0; }
  local d=$((T0 + $1 - $(date +%s)))
  [ "$d" -le 0 ] || sleep "$d"
}
# shellcheck source=story.sh
. "$here/story.sh"

sleep 1
mkdir "$W/new" "$W/new/small" "$W/new/formats"
T0=
if [ -z "$quick" ]; then
  # The story begins two seconds into a minute, so that no burst straddles a boundary of minutes, however one counts them.
  say "waiting for the next minute"
  sleep $(((62 - $(date +%-S)) % 60))
fi
T0=$(date +%s)
record sw br0 "$W/demo.pcap"
demo
stop
say "the other link types"
links
# shellcheck source=cut.sh
. "$here/cut.sh"
{
  echo "Recorded $(date -u -d "@$T0" +%FT%TZ) by capture/testdata/make/make.sh on $(. /etc/os-release && echo "$PRETTY_NAME"), Linux $(uname -r), with:"
  dpkg-query -W -f '  ${Package} ${Version}\n' "${packages[@]}"
} >"$W/new/origin.txt"

dest=$out
if [ -n "$quick" ]; then dest=$(mktemp -d /tmp/tocsin-captures.XXXXXX); fi
rm -rf "${dest:?}/small" "${dest:?}/formats"
cp -r "$W/new/." "$dest/"
say "written to $dest: $(du -sb --apparent-size "$W/new" | cut -f1) bytes"
