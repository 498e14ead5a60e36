package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/check/native"
)

// Info describes a check to people.
type Info struct {
	Key         string // "flow/unexpected_dns"
	Entity      alert.Entity
	AlertID     int
	Category    alert.Category
	Score       int
	Severity    alert.Severity // follows from Score
	Title       string
	Description string
	Advice      string
	Parameter   string // names and units of the parameters: "threshold (SYNs/min)"; may be empty
	Default     string // their defaults in the same order: "256", "(empty)"
	DefaultOn   bool
	Period      string // when it runs: "protocol detected, each minute, end" or "every minute"
	Params      []native.Param
}

// All describes every check there is, by key.
func All() []Info {
	var l []Info
	for _, i := range definitions() {
		l = append(l, Info{
			Key: i.Key, Entity: i.Entity, AlertID: i.AlertID, Category: i.Category, Score: i.Score, Severity: i.Severity(),
			Title: i.Title, Description: i.Text, Advice: i.Advice, Parameter: join(i.Params, paramName),
			Default: join(i.Params, paramDefault), DefaultOn: i.DefaultOn, Period: i.When(), Params: i.Params,
		})
	}
	slices.SortFunc(l, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	return l
}

func definitions() []native.Info {
	var l []native.Info
	for _, d := range native.Risks() {
		l = append(l, d.Info)
	}
	for _, d := range native.Flows() {
		l = append(l, d.Info)
	}
	for _, d := range native.Hosts() {
		l = append(l, d.Info)
	}
	return append(l, native.IPReassignment())
}

func keys() []string {
	var l []string
	for _, i := range definitions() {
		l = append(l, i.Key)
	}
	return l
}

func join(ps []native.Param, f func(native.Param) string) string {
	var l []string
	for _, p := range ps {
		l = append(l, f(p))
	}
	return strings.Join(l, ", ")
}

func paramName(p native.Param) string {
	if p.Unit != "" {
		return p.Name + " (" + p.Unit + ")"
	}
	return p.Name
}

func paramDefault(p native.Param) string {
	if l, ok := p.Default.([]string); ok {
		if len(l) == 0 {
			return "(empty)"
		}
		return strings.Join(l, " ")
	}
	return fmt.Sprint(p.Default)
}
