package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/internal/strict"
)

// LinkNames are what may stand in braces in [delivery] link; for an alert that lacks one nothing is put in.
var LinkNames = []string{"id", "check", "entity", "severity", "tstamp", "ip", "client", "server", "mac", "community_id"}

const maxLink = 1024

var linkName = regexp.MustCompile(`\{([^{}]*)\}`)

// checkLink says what is wrong with a link, or nothing.
func checkLink(link string) string {
	if link == "" {
		return ""
	}
	for _, m := range linkName.FindAllStringSubmatch(link, -1) {
		if !slices.Contains(LinkNames, m[1]) {
			text := fmt.Sprintf("link has {%s}, which alerts do not have", m[1])
			if near := strict.Nearest(m[1], LinkNames); near != "" {
				return text + fmt.Sprintf(": did you mean {%s}?", near)
			}
			return text + ": it is one of {" + strings.Join(LinkNames, "}, {") + "}"
		}
	}
	u, err := url.Parse(linkName.ReplaceAllString(link, "x"))
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(link, "<>\"'| "):
		return `link is no address of a page: write it like "https://siem.example/alerts?id={id}"`
	case linkName.MatchString(hostOf(link)):
		return "link has braces in its host: only the path and what follows may differ between alerts"
	case len(link) > maxLink:
		return fmt.Sprintf("link has %d characters: at most %d", len(link), maxLink)
	}
	return ""
}

// hostOf is what stands between "://" and the path.
func hostOf(link string) string {
	_, rest, _ := strings.Cut(link, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// Linker makes the links of alerts: the configured address with an alert's values, each escaped for a query or a path. It
// gives nothing if no link is configured. Safe for concurrent use.
func (c *Config) Linker() func(*alert.Alert) string {
	return func(a *alert.Alert) string {
		return c.LinkOf(func(name string) string { return linkValue(a, name) })
	}
}

// LinkOf makes the link of an alert whose values are told by name, one of LinkNames.
func (c *Config) LinkOf(value func(name string) string) string {
	return linkName.ReplaceAllStringFunc(c.Delivery.Link, func(name string) string {
		return strings.ReplaceAll(url.QueryEscape(value(name[1:len(name)-1])), "+", "%20")
	})
}

func linkValue(a *alert.Alert, name string) string {
	switch name {
	case "id":
		return a.ID.String()
	case "check":
		return a.Check
	case "entity":
		return a.Entity.String()
	case "severity":
		return a.Severity.String()
	case "tstamp":
		return fmt.Sprint(a.Time.Unix())
	case "mac":
		if a.MAC == "" && a.Host != nil {
			return a.Host.MAC
		}
		return a.MAC
	}
	if a.Host != nil && name == "ip" {
		return a.Host.IP.String()
	}
	if f := a.Flow; f != nil {
		switch name {
		case "ip", "client":
			return f.Client.String()
		case "server":
			return f.Server.String()
		case "community_id":
			return f.CommunityID
		}
	}
	return ""
}
