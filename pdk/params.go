package pdk

import "strconv"

// Params are an endpoint's or a recipient's parameters by name: strings, numbers (float64), booleans, lists ([]any) and
// nil, as JSON has them.
type Params map[string]any

// Has reports whether the parameter is set to something: not missing, null or an empty string.
func (p Params) Has(name string) bool {
	v, ok := p[name]
	return ok && v != nil && v != ""
}

// String gives a parameter as text. A number or boolean is written out; def stands for one that is missing, null, a
// list or an object.
func (p Params) String(name, def string) string {
	switch v := p[name].(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case float64, int, int64:
		return string(AppendJSON(nil, v))
	}
	return def
}

// Int gives a parameter as a whole number; def stands for one that is missing or no whole number. A string of digits
// counts.
func (p Params) Int(name string, def int64) int64 {
	switch v := p[name].(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case int64:
		return v
	case int:
		return int64(v)
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil {
			return n
		}
	}
	return def
}

// Bool gives a parameter as a boolean; def stands for one that is missing or no boolean. The strings "true" and "false"
// count.
func (p Params) Bool(name string, def bool) bool {
	switch v := p[name].(type) {
	case bool:
		return v
	case string:
		switch v {
		case "true":
			return true
		case "false":
			return false
		}
	}
	return def
}

// Strings gives a parameter as a list of texts; nil for one that is missing. A single string is a list of one, and
// elements that are no strings are written out.
func (p Params) Strings(name string) []string {
	switch v := p[name].(type) {
	case string:
		if v == "" {
			return nil
		}
		return []string{v}
	case []string:
		return v
	case []any:
		out := make([]string, 0, len(v))
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			} else {
				out = append(out, string(AppendJSON(nil, e)))
			}
		}
		return out
	}
	return nil
}

// Object gives a parameter that is an object, as the answers of services have them; nil, which has no parameters, for anything else.
func (p Params) Object(name string) Params {
	m, _ := p[name].(map[string]any)
	return m
}
