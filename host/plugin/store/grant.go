package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

// The wishes that name no host.
const (
	WishExec   Wish = "exec"   // to run scripts
	WishBan    Wish = "ban"    // to ban and unban addresses with fail2ban
	WishSyslog Wish = "syslog" // to write to the machine's own syslog socket
)

// Wish is one thing that a plug-in asks for, written so that two wishes are the same if their texts are: "exec", "ban",
// "syslog", or a URL without a path such as "https://api.telegram.org" or "{endpoint.webhook_url}", with "*" for a scheme left open.
type Wish string

// Wishes lists what a manifest asks for.
func Wishes(m *plugin.Manifest) []Wish {
	var all []Wish
	for i := range m.Net {
		all = append(all, NetWish(&m.Net[i]))
	}
	for _, w := range []Wish{WishExec, WishBan, WishSyslog} {
		if w.hostless(m) != nil {
			all = append(all, w)
		}
	}
	return all
}

// hostless is the manifest's entry for a wish that names no host; nil, if it has none.
func (w Wish) hostless(m *plugin.Manifest) *plugin.ExecWish {
	switch w {
	case WishExec:
		return m.Exec
	case WishBan:
		return m.Ban
	case WishSyslog:
		return m.Syslog
	}
	return nil
}

// Reason is what the manifest says for a wish; empty, if the wish is not in it.
func (w Wish) Reason(m *plugin.Manifest) string {
	for i := range m.Net {
		if NetWish(&m.Net[i]) == w {
			return m.Net[i].Reason
		}
	}
	if h := w.hostless(m); h != nil {
		return h.Reason
	}
	return ""
}

// Words names what is wished for, for a person; those without a host end in the text to write on a command line.
func (w Wish) Words() string {
	switch w {
	case WishExec:
		return "scripts (exec)"
	case WishBan:
		return "fail2ban (ban)"
	case WishSyslog:
		return "this machine's syslog (syslog)"
	}
	return string(w)
}

// NetWish is the wish for one host.
func NetWish(w *plugin.NetWish) Wish {
	scheme := w.Scheme
	switch {
	case scheme != "":
	case strings.HasPrefix(w.Host, "{"):
		scheme = "*"
	default:
		scheme = "https" // what an empty scheme means for a named host
	}
	text := scheme + "://" + strings.ToLower(w.Host)
	if strings.HasPrefix(w.Host, "{") {
		text = scheme + "://" + w.Host // parameters' names are told apart by case
	}
	if w.Port != 0 {
		text += fmt.Sprintf(":%d", w.Port)
	}
	return Wish(text)
}

// Grant is a wish that was granted.
type Grant struct {
	Plugin string    `json:"plugin"`
	Wish   Wish      `json:"wish"`
	By     string    `json:"by"` // who: a user's name, or "configuration" for the first use
	At     time.Time `json:"at"`
}

// Grants are what one plug-in was granted.
type Grants struct {
	// Known tells that something was granted or revoked before: the next grant is not the first use.
	Known bool
	List  []*Grant
}

// Has tells whether a wish is granted.
func (g *Grants) Has(w Wish) bool {
	for _, have := range g.List {
		if have.Wish == w {
			return true
		}
	}
	return false
}

// Missing lists the wishes that are not granted.
func (g *Grants) Missing(wishes []Wish) []Wish {
	var missing []Wish
	for _, w := range wishes {
		if !g.Has(w) {
			missing = append(missing, w)
		}
	}
	return missing
}

// Grants reads what a plug-in was granted.
func (s *Store) Grants(name string) (*Grants, error) {
	known, err := s.file(dirGrants, name, ".known")
	if err != nil {
		return nil, err
	}
	g := new(Grants)
	if _, err := os.Stat(known); err == nil {
		g.Known = true
	}
	files, err := filepath.Glob(filepath.Join(s.dir, dirGrants, name+".*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		v := new(Grant)
		ok, err := readJSON(path, v)
		if err != nil {
			return nil, err
		}
		if ok && v.Plugin == name {
			g.List = append(g.List, v)
		}
	}
	return g, nil
}

func (s *Store) grantFile(name string, w Wish) (string, error) {
	key := sha256.Sum256([]byte(w))
	return s.file(dirGrants, name, fmt.Sprintf(".%x.json", key[:8]))
}

// Grant records that a plug-in may have its wishes. An older grant of the same wish stays as it is.
func (s *Store) Grant(name, by string, wishes ...Wish) error {
	known, err := s.file(dirGrants, name, ".known")
	if err != nil {
		return err
	}
	for _, w := range wishes {
		path, err := s.grantFile(name, w)
		if err != nil {
			return err
		}
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := writeJSON(path, &Grant{name, w, by, time.Now().UTC().Truncate(time.Second)}); err != nil {
			return fmt.Errorf("the grant cannot be written: %w", err)
		}
	}
	return writeFile(known, nil)
}

// Revoke takes back grants; without wishes, all. It returns what was taken back.
func (s *Store) Revoke(name string, wishes ...Wish) ([]Wish, error) {
	g, err := s.Grants(name)
	if err != nil {
		return nil, err
	}
	if len(wishes) == 0 {
		for _, have := range g.List {
			wishes = append(wishes, have.Wish)
		}
	}
	if len(wishes) == 0 {
		return nil, nil
	}
	known, err := s.file(dirGrants, name, ".known")
	if err != nil {
		return nil, err
	}
	if err := writeFile(known, nil); err != nil { // first, so that a crash between does not make it the first use again
		return nil, err
	}
	var gone []Wish
	var errs []error
	for _, w := range wishes {
		if !g.Has(w) {
			errs = append(errs, fmt.Errorf("plug-in %s was not granted %q", name, w))
			continue
		}
		path, err := s.grantFile(name, w)
		if err == nil {
			err = remove(path)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, w)
	}
	return gone, errors.Join(errs...)
}
