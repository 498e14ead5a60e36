package store

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/plugin"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "plugins"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestModules puts modules in, several times at once, finds damage, and removes what nothing names.
func TestModules(t *testing.T) {
	s := open(t)
	content := bytes.Repeat([]byte("module"), 1000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Put(content); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h, err := s.Put(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.Path(h), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(content); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(s.Path(h)); err != nil || !bytes.Equal(b, content) {
		t.Errorf("damage was not mended: %v", err)
	}
	kept, err := s.Put([]byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	waits, err := s.Put([]byte("waits"))
	if err != nil {
		t.Fatal(err)
	}
	used, err := s.Put([]byte("used"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetRecord(&Record{Name: "a", Hash: kept, Pending: &Pending{Hash: waits}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(used); err != nil {
		t.Fatal(err)
	}
	for h, want := range map[Hash]bool{h: false, kept: true, waits: true, used: true} {
		if _, err := os.Stat(s.Path(h)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", h.Short(), err == nil, want)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	err = filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRecords(t *testing.T) {
	s := open(t)
	if r, err := s.Record("none"); r != nil || err != nil {
		t.Errorf("got %v, %v", r, err)
	}
	for _, name := range []string{"../up", "", "a/b", "A", ".."} {
		if err := s.SetRecord(&Record{Name: name}); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
		if _, err := s.Grants(name); err == nil {
			t.Errorf("%q was taken for a name", name)
		}
	}
	now := time.Now().UTC().Truncate(time.Second)
	want := &Record{
		Name: "webhook", Version: "1.2.3", Hash: Hash{1}, File: "x.wasm", Generation: 3, Since: now,
		Pending: &Pending{Version: "2.0.0", Hash: Hash{2}, File: "y.wasm", Reason: "it wants more", Since: now},
	}
	if err := s.SetRecord(want); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Record("webhook"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, dirRecords, "broken.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Record("broken"); err == nil || !strings.Contains(err.Error(), "broken.json is damaged") {
		t.Errorf("got %v", err)
	}
	q := Quarantined{Name: "webhook", Hash: Hash{9}, Reason: "it crashed", Since: now}
	if err := s.Quarantine(q); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Quarantined(Hash{9}); err != nil || *got != q {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := s.Lift(Hash{9}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Quarantined(Hash{9}); got != nil || err != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWishesWithoutHost(t *testing.T) {
	m := &plugin.Manifest{
		Net:  []plugin.NetWish{{Scheme: "smtp", Host: "{endpoint.server}", Reason: "mail"}, {Scheme: "syslog", Host: "Log.example", Port: 6514, Reason: "log"}},
		Exec: &plugin.ExecWish{Reason: "run"}, Ban: &plugin.ExecWish{Reason: "lock out"}, Syslog: &plugin.ExecWish{Reason: "copy"},
	}
	var got []string
	for _, w := range Wishes(m) {
		got = append(got, string(w)+"|"+w.Words()+"|"+w.Reason(m))
	}
	want := []string{
		"smtp://{endpoint.server}|smtp://{endpoint.server}|mail", "syslog://log.example:6514|syslog://log.example:6514|log", "exec|scripts (exec)|run",
		"ban|fail2ban (ban)|lock out", "syslog|this machine's syslog (syslog)|copy",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if r := WishBan.Reason(&plugin.Manifest{Exec: m.Exec}); r != "" {
		t.Errorf("a wish that is not there has the reason %q", r)
	}
}

func TestGrants(t *testing.T) {
	s := open(t)
	m := &plugin.Manifest{Net: []plugin.NetWish{{Host: "API.example.org"}, {Scheme: "http", Host: "{endpoint.webhook_URL}", Port: 81}, {Host: "{endpoint.x}"}}}
	m.Exec = &plugin.ExecWish{Reason: "to run them"}
	wishes := Wishes(m)
	if want := []Wish{"https://api.example.org", "http://{endpoint.webhook_URL}:81", "*://{endpoint.x}", "exec"}; !reflect.DeepEqual(wishes, want) {
		t.Fatalf("got %q", wishes)
	}
	g, err := s.Grants("web")
	if err != nil || g.Known || len(g.Missing(wishes)) != 4 {
		t.Fatalf("got %+v, %v", g, err)
	}
	if err := s.Grant("web", "ada", wishes[:2]...); err != nil {
		t.Fatal(err)
	}
	if err := s.Grant("web-2", "eve", "exec"); err != nil { // its name begins like the other's
		t.Fatal(err)
	}
	g, err = s.Grants("web")
	if err != nil || !g.Known || !reflect.DeepEqual(g.Missing(wishes), wishes[2:]) || g.List[0].By != "ada" || g.List[0].At.IsZero() {
		t.Fatalf("got %+v, %v", g, err)
	}
	if _, err := s.Revoke("web", "exec"); err == nil || !strings.Contains(err.Error(), `was not granted "exec"`) {
		t.Errorf("got %v", err)
	}
	if gone, err := s.Revoke("web"); err != nil || len(gone) != 2 {
		t.Errorf("got %v, %v", gone, err)
	}
	if g, err = s.Grants("web"); err != nil || !g.Known || len(g.List) != 0 {
		t.Errorf("what was revoked counts as never used: %+v, %v", g, err)
	}
	if err := s.Remove("web"); err != nil {
		t.Fatal(err)
	}
	if g, err = s.Grants("web"); err != nil || g.Known {
		t.Errorf("got %+v, %v", g, err)
	}
	if g, err = s.Grants("web-2"); err != nil || !g.Has("exec") {
		t.Errorf("another plug-in's grants are gone: %+v, %v", g, err)
	}
	if err := s.Grant("none", "configuration"); err != nil { // a plug-in without wishes
		t.Fatal(err)
	}
	if g, err = s.Grants("none"); err != nil || !g.Known {
		t.Errorf("got %+v, %v", g, err)
	}
}
