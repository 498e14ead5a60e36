package route

import (
	"encoding/json"
	"net/netip"

	"github.com/tocsin-net/tocsin/host/alert"
)

// host is one of the hosts that an alert is about.
type host struct {
	addr     netip.Addr // invalid if unknown
	mac      uint64
	hasMAC   bool
	roles    uint64 // bit set of Role
	locality uint64 // bit set of Locality, one bit
}

// hosts are the hosts that an alert is about: a flow's client and server, a host, or the one with a MAC address.
type hosts struct {
	list [2]host
	n    int
	flow bool // list is client and server
}

// all has a bit for each host.
func (hs *hosts) all() uint { return 1<<hs.n - 1 }

func (hs *hosts) fill(a *alert.Alert) {
	switch {
	case a.Flow != nil:
		f := a.Flow
		hs.n, hs.flow = 2, true
		hs.list[0] = host{addr: f.Client, roles: rolesOf(f.Attacker == alert.Client, f.Victim == alert.Client), locality: localityOf(f.ClientLoc)}
		hs.list[1] = host{addr: f.Server, roles: rolesOf(f.Attacker == alert.Server, f.Victim == alert.Server), locality: localityOf(f.ServLoc)}
	case a.Host != nil:
		h := a.Host
		hs.n = 1
		hs.list[0] = host{addr: h.IP, roles: rolesOf(h.Attacker, h.Victim), locality: localityOf(h.Local)}
		hs.list[0].mac, hs.list[0].hasMAC = parseMAC(h.MAC)
	case a.MAC != "":
		hs.n = 1
		hs.list[0] = host{locality: localityOf(true)} // what is seen by its MAC address is on the wire
		hs.list[0].mac, hs.list[0].hasMAC = parseMAC(a.MAC)
	case a.Entity == alert.EntityAMHost:
		// It is no host of the traffic, so it passes the filters by host, but a maintenance window can name its address.
		if addr, err := netip.ParseAddr(a.Name); err == nil {
			hs.list[0].addr = addr
		}
	}
}

// fillJSON does as fill with an alert's JSON, as far as pools ask: which hosts they are.
func (hs *hosts) fillJSON(text []byte) {
	var a struct {
		Entity string
		Value  string `json:"entity_value"`
		Client string
		Server string
		IP     string
		MAC    string
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return // stored by this program
	}
	switch {
	case a.Client != "" || a.Server != "":
		hs.n, hs.flow = 2, true
		hs.list[0].addr, _ = netip.ParseAddr(a.Client)
		hs.list[1].addr, _ = netip.ParseAddr(a.Server)
	case a.IP != "" || a.MAC != "":
		hs.n = 1
		hs.list[0].addr, _ = netip.ParseAddr(a.IP)
		hs.list[0].mac, hs.list[0].hasMAC = parseMAC(a.MAC)
	case a.Entity == alert.EntityAMHost.String(): // as in fill
		hs.list[0].addr, _ = netip.ParseAddr(a.Value)
	}
}

// in has a bit for each host that is in the pool.
func (hs *hosts) in(p *Pool) (set uint) {
	for i := range hs.list {
		if p.has(&hs.list[i]) {
			set |= 1 << i
		}
	}
	return set
}

func (hs *hosts) inRoles(roles uint64) (set uint) {
	for i := range hs.n {
		if hs.list[i].roles&roles != 0 {
			set |= 1 << i
		}
	}
	return set
}

func (hs *hosts) inLocality(l uint64) (set uint) {
	for i := range hs.n {
		if hs.list[i].locality&l != 0 {
			set |= 1 << i
		}
	}
	return set
}

func rolesOf(attacker, victim bool) (set uint64) {
	if attacker {
		set |= 1 << Attacker
	}
	if victim {
		set |= 1 << Victim
	}
	return set
}

func localityOf(local bool) uint64 {
	if local {
		return 1 << Local
	}
	return 1 << Remote
}
