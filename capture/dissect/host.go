package dissect

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed apps.tsv
var appsTSV string

// apps maps domains to the applications they belong to; see apps.tsv.
var apps = sync.OnceValue(func() map[string]Protocol {
	m := make(map[string]Protocol, 1024)
	for l := range strings.Lines(appsTSV) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		label, domains, _ := strings.Cut(l, "\t")
		p, err := ParseProtocol(label)
		if err != nil {
			panic("apps.tsv: " + err.Error()) // the file is part of the program, and a test reads it
		}
		for d := range strings.FieldsSeq(domains) {
			m[d] = p
		}
	}
	return m
})

// appByHost finds the application of a host name in lower case: the longest domain in the table that it ends with.
func appByHost(host string) Protocol {
	m := apps()
	for host != "" {
		if p, ok := m[host]; ok {
			return p
		}
		i := strings.IndexByte(host, '.')
		if i < 0 {
			return Unknown
		}
		host = host[i+1:]
	}
	return Unknown
}

// hostname notes the host a client asks for, and what can be told from it.
func (c *ctx) hostname(h string) {
	if h == "" {
		return
	}
	m := c.meta()
	if m.Hostname == "" {
		m.Hostname = h
	}
	x := c.d.hosts.get(h, factsOfHost)
	if x.numeric {
		c.risk(RiskNumericHost, h)
		return
	}
	if c.s.App == Unknown {
		c.app(x.app)
	}
	c.nameRisks(h, x)
}

func factsOfHost(h string) hostFacts {
	return hostFacts{
		app: appByHost(h), numeric: numericHost(h), generated: looksGenerated(h),
		punycode: strings.HasPrefix(h, "xn--") || strings.Contains(h, ".xn--"),
	}
}

// nameRisks judges a name, whether asked for in DNS or used in a request.
func (c *ctx) nameRisks(h string, x hostFacts) {
	if x.punycode {
		c.risk(RiskPunycode, h)
	}
	if x.generated {
		c.risk(RiskDGADomain, h)
	}
}

// hostChars reports whether all of b may stand in a host name; the underscore is common in service names.
func hostChars(b []byte) bool {
	for _, x := range b {
		if !alnum(x) && x != '.' && x != '-' && x != '_' && x != ':' && x != '*' {
			return false
		}
	}
	return true
}
