package app

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/tocsin-net/tocsin/host/config"
	"github.com/tocsin-net/tocsin/host/report"
	"github.com/tocsin-net/tocsin/host/secret"
)

// maxSecretInput bounds what is read of a secret; the store tells one that is too large by its length.
const maxSecretInput = 1 << 20

// secrets opens the store of a configuration's data_dir.
func secrets(path string) (*config.Config, *secret.Store, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, nil, &UsageError{err}
	}
	return cfg, secret.Open(cfg.DataDir), nil
}

// usesOf gives the places of the configuration that name a secret.
func usesOf(cfg *config.Config, name string) []config.SecretUse {
	var uses []config.SecretUse
	for _, u := range cfg.SecretUses() {
		if u.Secret == name {
			uses = append(uses, u)
		}
	}
	return uses
}

// SetSecret reads a value, from a terminal without showing it or else from standard input, and stores it.
func SetSecret(s Streams, path, name string) error {
	cfg, store, err := secrets(path)
	if err != nil {
		return err
	}
	value, err := readSecret(s, name)
	if err != nil {
		return err
	}
	replaced, err := store.Set(name, value)
	if errors.Is(err, secret.ErrValue) {
		return &UsageError{err}
	}
	if err != nil {
		return err
	}
	what := "stored"
	if replaced {
		what = "replaced"
	}
	hint := fmt.Sprintf("write \"secret:%s\" in %s where it belongs", name, path)
	if uses := usesOf(cfg, name); len(uses) > 0 {
		hint = fmt.Sprintf("%s (%s) takes it at the next start", uses[0].Of, uses[0].Key)
		if len(uses) > 1 {
			hint = fmt.Sprintf("%d parameters of %s take it at the next start", len(uses), path)
		}
	}
	_, err = fmt.Fprintf(s.Out, "secret %s is %s; %s\n", name, what, hint)
	return err
}

// readSecret asks twice on a terminal; elsewhere it takes all of standard input but the last line break.
func readSecret(s Streams, name string) (string, error) {
	if f, ok := s.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		ask := func(prompt string) ([]byte, error) {
			_, _ = fmt.Fprint(s.Err, prompt)
			b, err := term.ReadPassword(int(f.Fd()))
			_, _ = fmt.Fprintln(s.Err)
			return b, err
		}
		first, err := ask("value of " + name + " (not shown): ")
		if err != nil {
			return "", fmt.Errorf("the value cannot be read: %w", err)
		}
		second, err := ask("once more: ")
		if err != nil {
			return "", fmt.Errorf("the value cannot be read: %w", err)
		}
		if !bytes.Equal(first, second) {
			return "", errors.New("the two values differ: nothing is stored")
		}
		return string(first), nil
	}
	b, err := io.ReadAll(io.LimitReader(s.In, maxSecretInput))
	if err != nil {
		return "", fmt.Errorf("the value cannot be read from standard input: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

var secretColumns = []report.Column{{Name: "secret"}, {Name: "set"}, {Name: "used_by"}}

type secretRow struct {
	Secret string     `json:"secret"`
	Set    *time.Time `json:"set"` // null: the configuration names it and it is not stored
	UsedBy []string   `json:"used_by"`
}

// ListSecrets prints the names of the secrets, when each was set and what uses it; also those that are named and not stored.
func ListSecrets(l Listing) error {
	w, err := l.writer(secretColumns, nil)
	if err != nil {
		return err
	}
	cfg, store, err := secrets(l.Config)
	if err != nil {
		return err
	}
	all, err := store.List()
	if err != nil {
		return err
	}
	var rows []secretRow
	known := map[string]int{}
	for _, i := range all {
		known[i.Name] = len(rows)
		rows = append(rows, secretRow{Secret: i.Name, Set: &i.Set, UsedBy: []string{}})
	}
	for _, u := range cfg.SecretUses() {
		n, ok := known[u.Secret]
		if !ok {
			n = len(rows)
			known[u.Secret] = n
			rows = append(rows, secretRow{Secret: u.Secret})
		}
		rows[n].UsedBy = append(rows[n].UsedBy, u.Of+": "+u.Key)
	}
	for _, r := range rows {
		if err := w.Row(func(b []byte) []byte { return appendJSON(b, r) }, func() []string {
			set := "not stored"
			if r.Set != nil {
				set = r.Set.Local().Format("2006-01-02 15:04:05")
			}
			return []string{r.Secret, set, strings.Join(r.UsedBy, ", ")}
		}); err != nil {
			return err
		}
	}
	return w.Close()
}

// RemoveSecret forgets a secret. One that the configuration names is refused unless force is set.
func RemoveSecret(s Streams, path, name string, force bool) error {
	cfg, store, err := secrets(path)
	if err != nil {
		return err
	}
	if uses := usesOf(cfg, name); len(uses) > 0 && !force {
		var lines []string
		for _, u := range uses {
			lines = append(lines, fmt.Sprintf("%s:%d: %s uses secret %s as %s: take it out there first, or add --force", cfg.File, u.Line, u.Of, name, u.Key))
		}
		return errors.New(strings.Join(lines, "\n"))
	}
	if err := store.Remove(name); err != nil {
		if m, ok := errors.AsType[*secret.MissingError](err); ok {
			return usage("%s", m.Reason())
		}
		return err
	}
	_, err = fmt.Fprintf(s.Out, "secret %s is removed\n", name)
	return err
}

// RotateSecrets makes a new key and encrypts every secret to it.
func RotateSecrets(s Streams, path string) error {
	_, store, err := secrets(path)
	if err != nil {
		return err
	}
	n, err := store.Rotate()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%d secrets are encrypted with a new key; the old one opens old copies of them only, so keep a copy of the new one\n", n)
	return err
}
