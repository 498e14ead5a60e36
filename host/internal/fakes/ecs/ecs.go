// Package ecs tells whether a document follows the Elastic Common Schema, for the stand-ins of services that take such documents. It
// knows the schema's fields by a table of its own, and nothing of the program that writes documents.
package ecs

import (
	_ "embed"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Schema is how strictly documents are looked at. The zero value takes fields of the schema with values that it allows, and below
// "tocsin" whatever is there.
type Schema struct {
	// Any takes fields that the schema does not know too, and of the others whatever their type can hold.
	Any bool
	// Mappings give fields another type than the schema does, so that documents conflict with them.
	Mappings map[string]string
}

// Check says in Elasticsearch's words what of a document does not fit, by the order of the fields' names, or gives nil.
func (s Schema) Check(doc map[string]any) error { return s.check("", doc) }

//go:embed fields.tsv
var table string

type field struct {
	kind string
	list bool
}

var fields = sync.OnceValue(func() map[string]field {
	out := map[string]field{}
	for line := range strings.Lines(table) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && !strings.HasPrefix(line, "#") {
			kind, list, _ := strings.Cut(rest, "\t")
			out[name] = field{kind, list == "array"}
		}
	}
	return out
})

// added are the fields beyond the schema that documents have for the sake of ntopng's users.
var added = map[string]field{"event.severity_label": {kind: "keyword"}}

// allowed are the values that the schema allows for fields that it restricts.
var allowed = map[string][]string{
	"event.kind": {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"},
	"event.category": {
		"api", "authentication", "configuration", "database", "driver", "email", "file", "host", "iam", "intrusion_detection",
		"library", "malware", "network", "package", "process", "registry", "session", "threat", "vulnerability", "web",
	},
	"event.type": {
		"access", "admin", "allowed", "change", "connection", "creation", "deletion", "denied", "device", "end", "error", "group",
		"indicator", "info", "installation", "protocol", "start", "user",
	},
	"network.direction": {"ingress", "egress", "inbound", "outbound", "internal", "external", "unknown"},
}

func (s Schema) check(path string, v any) error {
	if m, ok := v.(map[string]any); ok {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if err := s.check(strings.TrimPrefix(path+"."+k, "."), m[k]); err != nil {
				return err
			}
		}
		return nil
	}
	f, known := fields()[path]
	if !known {
		f, known = added[path]
	}
	if kind := s.Mappings[path]; kind != "" {
		f, known = field{kind, f.list}, true
	}
	list, isList := v.([]any)
	switch {
	case !known && (s.Any || strings.HasPrefix(path, "tocsin.")):
		return nil
	case !known:
		return fmt.Errorf("mapping set to strict, dynamic introduction of [%s] is not allowed", path)
	case isList != f.list && !s.Any:
		return fmt.Errorf("field [%s] is a list: %v, and the schema says: %v", path, isList, f.list)
	case !isList:
		list = []any{v}
	}
	for _, e := range list {
		if !fits(f.kind, e) {
			return fmt.Errorf("failed to parse field [%s] of type [%s]", path, f.kind)
		}
		if values := allowed[path]; values != nil && !s.Any && !slices.Contains(values, fmt.Sprint(e)) {
			return fmt.Errorf("field [%s] may not be [%v]", path, e)
		}
	}
	return nil
}

func fits(kind string, v any) bool {
	text, isText := v.(string)
	n, isNumber := v.(float64)
	switch kind {
	case "ip":
		_, err := netip.ParseAddr(text)
		return isText && err == nil
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		return isText && err == nil
	case "long":
		if isText {
			_, err := strconv.ParseInt(text, 10, 64)
			return err == nil
		}
		return isNumber && n == float64(int64(n))
	case "float":
		return isNumber
	case "boolean":
		_, ok := v.(bool)
		return ok
	}
	return isText && len(text) <= 32766 // Lucene's limit for a term
}
