package secret

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
)

const canary = "C4N4RY-v4lue-of-a-secret"

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func filled(t *testing.T) *Store {
	t.Helper()
	s := Open(filepath.Join(t.TempDir(), "data"))
	_, err := s.Set("hook-password", canary)
	must(t, err)
	_, err = s.Set("bot", "123:abc\n\"\x00 end")
	must(t, err)
	return s
}

func TestSetGetListRemove(t *testing.T) {
	s := filled(t)
	for name, want := range map[string]string{"hook-password": canary, "bot": "123:abc\n\"\x00 end"} {
		got, err := Open(s.dir).Get(name)
		if err != nil || got != want {
			t.Errorf("Get(%s) = %q, %v", name, got, err)
		}
	}
	replaced, err := s.Set("bot", "new")
	if got, _ := s.Get("bot"); err != nil || !replaced || got != "new" {
		t.Errorf("after a second Set: %q, replaced %t, %v", got, replaced, err)
	}
	all, err := s.List()
	if err != nil || len(all) != 2 || all[0].Name != "bot" || all[1].Name != "hook-password" || all[0].Set.IsZero() {
		t.Errorf("List = %v, %v", all, err)
	}
	must(t, s.Remove("bot"))
	if _, err := s.Get("bot"); err == nil {
		t.Error("a removed secret is still there")
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, name := range []string{keyFile, dataFile} {
		info, err := os.Stat(s.path(name))
		must(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
}

// TestAtRest wants no trace of a value on disk, and a file that age itself opens with the key.
func TestAtRest(t *testing.T) {
	s := filled(t)
	files, err := os.ReadDir(s.dir)
	must(t, err)
	for _, f := range files {
		b, err := os.ReadFile(s.path(f.Name()))
		must(t, err)
		if bytes.Contains(b, []byte(canary)) || bytes.Contains(b, []byte("hook-password")) {
			t.Errorf("%s holds a secret, or its name, in clear text", f.Name())
		}
		if strings.HasPrefix(f.Name(), ".") {
			t.Errorf("%s was left behind", f.Name())
		}
	}
	key, err := os.ReadFile(s.path(keyFile))
	must(t, err)
	ids, err := age.ParseIdentities(bytes.NewReader(key))
	must(t, err)
	f, err := os.Open(s.path(dataFile))
	must(t, err)
	defer f.Close()
	if _, err := age.Decrypt(f, ids...); err != nil {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *Store) error
		is   error
		want []string
	}{
		{
			"missing, near", func(_ *testing.T, s *Store) error { _, err := s.Get("hook-pasword"); return err }, nil,
			[]string{`there is no secret "hook-pasword"`, `did you mean "hook-password"?`, "tocsin secret set hook-pasword"},
		},
		{"missing", func(_ *testing.T, s *Store) error { return s.Remove("zzz") }, nil, []string{`there is no secret "zzz" (tocsin secret set zzz stores it)`}},
		{"bad name", func(_ *testing.T, s *Store) error { _, err := s.Set("a/b", "x"); return err }, ErrValue, []string{`"a/b"`, "letters, digits"}},
		{"empty", func(_ *testing.T, s *Store) error { _, err := s.Set("a", ""); return err }, ErrValue, []string{"empty secret"}},
		{"large", func(_ *testing.T, s *Store) error { _, err := s.Set("a", strings.Repeat(canary, 9000)); return err }, ErrValue, []string{"216000 bytes", "the right file"}},
		{"key readable by others", func(t *testing.T, s *Store) error {
			if runtime.GOOS == "windows" {
				t.Skip("Windows keeps others out by the folder's ACL")
			}
			must(t, os.Chmod(s.path(keyFile), 0o640))
			_, err := s.Get("bot")
			return err
		}, ErrKey, []string{"may be read by others (mode 0640)", "chmod 600"}},
		{"key missing", func(t *testing.T, s *Store) error {
			must(t, os.Remove(s.path(keyFile)))
			_, err := s.Set("new", "value") // must not make a new key: the old secrets would be lost for good
			return err
		}, ErrKey, []string{"secret.key is missing", "secrets.age cannot be opened", "backup"}},
		{"wrong key", func(t *testing.T, s *Store) error {
			id, err := age.GenerateX25519Identity()
			must(t, err)
			must(t, os.WriteFile(s.path(keyFile), []byte(id.String()+"\n"), 0o600))
			_, err = s.Get("bot")
			return err
		}, ErrKey, []string{"does not open", "another key"}},
		{"damaged key", func(t *testing.T, s *Store) error {
			must(t, os.WriteFile(s.path(keyFile), []byte("AGE-SECRET-KEY-1"+canary), 0o600))
			_, err := s.List()
			return err
		}, ErrKey, []string{"secret.key is damaged", "AGE-SECRET-KEY-1"}},
		{"cut file", func(t *testing.T, s *Store) error {
			b, err := os.ReadFile(s.path(dataFile))
			must(t, err)
			must(t, os.WriteFile(s.path(dataFile), b[:len(b)-7], 0o600))
			_, err = s.Set("new", "value")
			return err
		}, ErrDamaged, []string{"secrets.age", "backup"}},
		{"flipped bit", func(t *testing.T, s *Store) error {
			b, err := os.ReadFile(s.path(dataFile))
			must(t, err)
			b[len(b)-20] ^= 1
			must(t, os.WriteFile(s.path(dataFile), b, 0o600))
			_, err = s.List()
			return err
		}, ErrDamaged, []string{"secrets.age"}},
		{"no age file", func(t *testing.T, s *Store) error {
			must(t, os.WriteFile(s.path(dataFile), []byte(canary), 0o600))
			_, err := s.List()
			return err
		}, ErrDamaged, []string{"secrets.age"}},
		{"nothing to rotate", func(t *testing.T, _ *Store) error { _, err := Open(t.TempDir()).Rotate(); return err }, ErrKey, []string{"nothing to rotate"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do(t, filled(t))
			if err == nil {
				t.Fatal("no error")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("%q quotes what was read", err)
			}
		})
	}
}

func TestRotate(t *testing.T) {
	s := filled(t)
	old, err := os.ReadFile(s.path(keyFile))
	must(t, err)
	n, err := s.Rotate()
	if err != nil || n != 2 {
		t.Fatalf("Rotate = %d, %v", n, err)
	}
	if got, err := s.Get("hook-password"); got != canary || err != nil {
		t.Errorf("after a rotation: %q, %v", got, err)
	}
	now, err := os.ReadFile(s.path(keyFile))
	must(t, err)
	if bytes.Contains(now, bytes.TrimSpace(old[bytes.LastIndex(old, []byte("AGE-SECRET")):])) {
		t.Error("the old key is still in the key file")
	}
	must(t, os.WriteFile(s.path(keyFile), old, 0o600))
	if _, err := s.Get("bot"); !errors.Is(err, ErrKey) {
		t.Errorf("the old key still opens the secrets, or fails otherwise: %v", err)
	}
}

// TestRotationCutOff leaves the files as a crash between the steps of a rotation does.
func TestRotationCutOff(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		s := filled(t)
		keys, err := s.keys()
		must(t, err)
		c, err := s.open(keys)
		must(t, err)
		fresh, err := newKey()
		must(t, err)
		must(t, s.writeKeys(append(keyring{fresh}, keys...)))
		if sealed {
			must(t, s.seal(c, fresh))
		}
		if got, err := s.Get("hook-password"); got != canary || err != nil {
			t.Errorf("sealed %t: %q, %v", sealed, got, err)
		}
		if _, err := s.Set("more", "value"); err != nil {
			t.Error(err)
		}
		if left, err := s.keys(); err != nil || len(left) != 1 || left[0].String() != fresh.String() {
			t.Errorf("sealed %t: %d keys are left, %v", sealed, len(left), err)
		}
		if got, err := s.Get("hook-password"); got != canary || err != nil {
			t.Errorf("sealed %t, after the next change: %q, %v", sealed, got, err)
		}
	}
}

// TestTogether has writers, rotations and readers at once: nothing is lost, and no reader sees half a change.
func TestTogether(t *testing.T) {
	s := filled(t)
	const writers, each = 4, 5
	stop := make(chan struct{})
	var readers, wg sync.WaitGroup
	readers.Go(func() {
		for {
			if got, err := Open(s.dir).Get("hook-password"); got != canary || err != nil {
				t.Errorf("a reader got %q, %v", got, err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := Open(s.dir).Set(fmt.Sprintf("w%d-%d", w, i), "value"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range each {
			if _, err := Open(s.dir).Rotate(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	if all, err := s.List(); err != nil || len(all) != writers*each+2 {
		t.Errorf("%d secrets, %v", len(all), err)
	}
}

// FuzzOpen gives the store a file and a key that anybody may have written: an error or secrets, and no more.
func FuzzOpen(f *testing.F) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, id.Recipient())
	if err != nil {
		f.Fatal(err)
	}
	_, _ = w.Write([]byte(`{"version":1,"secrets":{"a":{"value":"YQ==","set":"2026-01-01T00:00:00Z"}}}`))
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(id.String()), b.Bytes())
	f.Add([]byte("# comment\n\n"+id.String()+"\n"+id.String()), b.Bytes()[:100])
	f.Add([]byte("AGE-SECRET-KEY-1QQ"), []byte("age-encryption.org/v1\n-> X25519 \n---\n"))
	f.Fuzz(func(_ *testing.T, key, data []byte) {
		keys, ok := parseKeys(key)
		if !ok {
			keys = keyring{id}
		}
		_, _ = decrypt(bytes.NewReader(data), keys)
	})
}
