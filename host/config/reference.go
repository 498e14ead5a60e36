package config

import (
	"maps"
	"slices"
	"strings"
)

// The kinds of reference that may stand in place of a parameter's value.
const (
	RefFile   = "file"   // file:PATH, the content of a file
	RefEnv    = "env"    // env:NAME, an environment variable
	RefSecret = "secret" // secret:NAME, kept encrypted below data_dir by tocsin secret set
)

// Reference splits a parameter's text that names where its value is; the kind is empty if the text is the value itself.
func Reference(text string) (kind, name string) {
	kind, name, ok := strings.Cut(text, ":")
	if ok && (kind == RefFile || kind == RefEnv || kind == RefSecret) {
		return kind, name
	}
	return "", ""
}

// SecretUse is a place of the configuration that names a stored secret.
type SecretUse struct {
	Secret string
	Of     string // such as `endpoint "hook"`, or "egress"
	Key    string // of the parameter, or "proxy"
	Line   int    // of the file; 0 if unknown
}

// SecretUses lists the places that name stored secrets: those of endpoints, then those of recipients, then others.
func (c *Config) SecretUses() []SecretUse {
	var uses []SecretUse
	add := func(table string, i int, of, path, key, text string) {
		if kind, name := Reference(text); kind == RefSecret {
			u := SecretUse{Secret: name, Of: of, Key: key}
			if c.doc != nil {
				u.Line = c.doc.Line(table, i, path)
			}
			uses = append(uses, u)
		}
	}
	params := func(table string, i int, of string, p map[string]any) {
		for _, key := range slices.Sorted(maps.Keys(p)) {
			text, _ := p[key].(string)
			add(table, i, of, "parameters."+key, key, text)
		}
	}
	for i, e := range c.Endpoints {
		params("endpoint", i, `endpoint "`+e.Name+`"`, e.Parameters)
	}
	for i, r := range c.Recipients {
		params("recipient", i, `recipient "`+r.Name+`"`, r.Parameters)
	}
	add("", 0, "egress", "egress.proxy", "proxy", c.Egress.Proxy)
	return uses
}
