package check

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-net/tocsin/host/check/native"
	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// Params are the parameters of one check, by name: whole numbers, and lists of texts. Values may be of any type that
// TOML or JSON decode them to.
type Params map[string]any

// Config says which checks run and how.
type Config struct {
	// Enabled turns checks on and off by key, such as "flow/unexpected_dns"; it wins over All, None and the defaults.
	Enabled map[string]bool
	// All turns every check on, None every check off. With neither each check's default holds.
	All, None bool
	// Params are parameters by check key. What is left out has its default.
	Params map[string]Params
	// Local are the local networks, as the capture was told; without any, no check calls a host remote.
	Local []netip.Prefix
	// Interface names what is watched, in alerts.
	Interface string
}

// ConfigError is a mistake in a Config. Param is empty when the check itself is at fault.
type ConfigError struct {
	Check, Param, Text string
}

func (e *ConfigError) Error() string {
	if e.Param != "" {
		return fmt.Sprintf("check %s: parameter %s: %s", e.Check, e.Param, e.Text)
	}
	return e.Text
}

// ParseSelection reads the list of checks that a command line gives: "all", "none", "default" or "" for those that are on
// by default, or keys separated by commas, and then only these run: "flow/unexpected_dns,host/syn_scan". A list that
// begins with one of the words changes it: "default,host/syn_scan,-flow/low_goodput". An unknown key is a *ConfigError.
func ParseSelection(s string) (Config, error) {
	var c Config
	items := strings.Split(s, ",")
	switch first := strings.TrimSpace(items[0]); first {
	case "all":
		c.All, items = true, items[1:]
	case "none":
		c.None, items = true, items[1:]
	case "default":
		items = items[1:]
	case "":
		if len(items) == 1 {
			return c, nil
		}
		c.None = true
	default:
		// A list that only takes away starts from the defaults.
		c.None = !strings.HasPrefix(first, "-")
	}
	var errs []error
	for _, it := range items {
		key, off := strings.CutPrefix(strings.TrimSpace(it), "-")
		if key == "" {
			continue
		}
		if err := known(key); err != nil {
			errs = append(errs, err)
			continue
		}
		if c.Enabled == nil {
			c.Enabled = map[string]bool{}
		}
		c.Enabled[key] = !off
	}
	return c, errors.Join(errs...)
}

// known says whether a check of that key exists.
func known(key string) error {
	keys := keys()
	if slices.Contains(keys, key) {
		return nil
	}
	text := fmt.Sprintf("there is no check %q", key)
	if near := nearestKey(key, keys); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	} else {
		text += ": tocsin checks list shows them all"
	}
	return &ConfigError{Check: key, Text: text}
}

// nearestKey also finds keys written without their entity, or with another one.
func nearestKey(key string, keys []string) string {
	_, bare, ok := strings.Cut(key, "/")
	if !ok {
		bare = key
	}
	for _, k := range keys {
		if strings.HasSuffix(k, "/"+bare) {
			return k
		}
	}
	if near := strict.Nearest(key, keys); near != "" {
		return near
	}
	if !ok {
		return strict.Nearest("flow/"+key, keys)
	}
	return ""
}

// selection is a resolved Config: the enabled checks with their parameters set.
type selection struct {
	risks []native.RiskDef
	flows []flowSlot
	hosts []hostSlot
	arp   bool // network/ip_reassignment
}

func (c *Config) resolve() (*selection, error) {
	var errs []error
	for _, key := range sortedKeys(c.Enabled) {
		if err := known(key); err != nil {
			errs = append(errs, err)
		}
	}
	for _, key := range sortedKeys(c.Params) {
		if err := known(key); err != nil {
			errs = append(errs, err)
		}
	}
	var s selection
	env := native.Env{LocalKnown: len(c.Local) > 0}
	for _, d := range native.Risks() {
		if _, err := c.args(&d.Info); err != nil {
			errs = append(errs, err)
		} else if c.on(&d.Info) {
			s.risks = append(s.risks, d)
		}
	}
	for _, d := range native.Flows() {
		args, err := c.args(&d.Info)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f, err := d.New(env, args)
		if pe, ok := errors.AsType[*native.ParamError](err); ok {
			errs = append(errs, &ConfigError{d.Key, pe.Param, pe.Text})
		} else if err != nil {
			errs = append(errs, &ConfigError{d.Key, "", d.Key + ": " + err.Error()})
		} else if c.on(&d.Info) {
			s.flows = append(s.flows, flowSlot{&d.Info, f})
		}
	}
	for _, d := range native.Hosts() {
		args, err := c.args(&d.Info)
		if err != nil {
			errs = append(errs, err)
		} else if c.on(&d.Info) {
			s.hosts = append(s.hosts, hostSlot{&d.Info, d.Feed, d.New(args)})
		}
	}
	arp := native.IPReassignment()
	if _, err := c.args(&arp); err != nil {
		errs = append(errs, err)
	}
	s.arp = c.on(&arp)
	if len(s.flows) > maxFlowChecks {
		return nil, fmt.Errorf("check: %d flow checks, but a mask has %d bits", len(s.flows), maxFlowChecks)
	}
	return &s, errors.Join(errs...)
}

// on says whether a check runs.
func (c *Config) on(i *native.Info) bool {
	if on, ok := c.Enabled[i.Key]; ok {
		return on
	}
	switch {
	case c.None:
		return false
	case c.All:
		return true
	}
	return i.DefaultOn
}

// args checks a check's parameters and fills in the defaults.
func (c *Config) args(i *native.Info) (native.Args, error) {
	args := native.Args{}
	for _, p := range i.Params {
		args[p.Name] = p.Default
	}
	var errs []error
	given := c.Params[i.Key]
	for _, n := range sortedKeys(given) {
		k := slices.IndexFunc(i.Params, func(p native.Param) bool { return p.Name == n })
		if k < 0 {
			errs = append(errs, &ConfigError{i.Key, n, noParam(n, i.Params)})
			continue
		}
		v, err := convert(&i.Params[k], given[n])
		if err != nil {
			errs = append(errs, &ConfigError{i.Key, n, err.Error()})
			continue
		}
		args[n] = v
	}
	return args, errors.Join(errs...)
}

func noParam(n string, ps []native.Param) string {
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
	}
	switch near := strict.Nearest(n, names); {
	case near != "":
		return fmt.Sprintf("there is none of that name: did you mean %q?", near)
	case len(names) == 0:
		return "this check has no parameters"
	}
	return "there is none of that name: it has " + strings.Join(names, ", ")
}

// convert checks a value against its parameter.
func convert(p *native.Param, v any) (any, error) {
	if p.Kind == native.List {
		return convertList(v)
	}
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case int:
		n = int64(v)
	case float64:
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, fmt.Errorf("%v is no whole number", v)
		}
		n = int64(v)
	default:
		return nil, fmt.Errorf("want a whole number of %s, not %s", p.Unit, kindOf(v))
	}
	if n < p.Min || n > p.Max {
		return nil, fmt.Errorf("%d is out of range: %d to %d %s", n, p.Min, p.Max, p.Unit)
	}
	return n, nil
}

func convertList(v any) ([]string, error) {
	switch v := v.(type) {
	case []string:
		return v, nil
	case []any:
		var l []string
		for _, it := range v {
			switch it := it.(type) {
			case string:
				l = append(l, it)
			case int64:
				l = append(l, strconv.FormatInt(it, 10))
			case int:
				l = append(l, strconv.Itoa(it))
			case float64:
				l = append(l, strconv.FormatFloat(it, 'f', -1, 64))
			default:
				return nil, fmt.Errorf("want a list of texts, but one item is %s", kindOf(it))
			}
		}
		return l, nil
	}
	return nil, fmt.Errorf("want a list such as [\"192.0.2.1\"], not %s", kindOf(v))
}

func kindOf(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the text %q", v)
	case bool:
		return fmt.Sprintf("%t", v)
	case int, int64, float64:
		return fmt.Sprintf("the number %v", v)
	case []any, []string:
		return "a list"
	case nil:
		return "nothing"
	}
	return fmt.Sprintf("a %T", v)
}

func sortedKeys[V any](m map[string]V) []string {
	l := make([]string, 0, len(m))
	for k := range m {
		l = append(l, k)
	}
	slices.Sort(l)
	return l
}
