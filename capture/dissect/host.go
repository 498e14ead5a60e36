package dissect

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed apps.tsv
var appsTSV string

// domain is what apps.tsv says of one domain.
type domain struct {
	app      Protocol
	category Category // CategoryNone for the application's own
}

// domains is apps.tsv as a map.
var domains = sync.OnceValue(func() map[string]domain {
	m := make(map[string]domain, 1024)
	for l := range strings.Lines(appsTSV) {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		label, names, _ := strings.Cut(l, "\t")
		var p Protocol
		var cat Category
		var err error
		if c, ok := strings.CutPrefix(label, "@"); ok {
			cat, err = ParseCategory(c)
		} else {
			p, err = ParseProtocol(label)
		}
		if err != nil {
			panic("apps.tsv: " + err.Error()) // the file is part of the program, and a test reads it
		}
		for n := range strings.FieldsSeq(names) {
			d := m[n]
			if p != Unknown {
				d.app = p
			} else {
				d.category = cat
			}
			m[n] = d
		}
	}
	return m
})

// lookUp finds what is known of a host name in lower case: of the longest domain in the table that it ends with, for the
// application and for the category apart.
func lookUp(host string) (d domain) {
	m := domains()
	for host != "" {
		if x, ok := m[host]; ok {
			if d.app == Unknown {
				d.app = x.app
			}
			if d.category == CategoryNone {
				d.category = x.category
			}
			if d.app != Unknown && d.category != CategoryNone {
				return d
			}
		}
		i := strings.IndexByte(host, '.')
		if i < 0 {
			return d
		}
		host = host[i+1:]
	}
	return d
}

// appByHost finds the application of a host name in lower case.
func appByHost(host string) Protocol { return lookUp(host).app }

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
	if x.category != CategoryNone {
		c.s.Category = x.category
	}
	c.nameRisks(h, x)
}

func factsOfHost(h string) hostFacts {
	return hostFacts{
		domain: lookUp(h), numeric: numericHost(h), generated: looksGenerated(h),
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
