package app

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tocsin-net/tocsin/host/secret"
)

// TestTypedSecretIsNotShown types a value at a real terminal, once it was asked for, and wants no echo of it.
func TestTypedSecretIsNotShown(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "tocsin.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		_, _ = io.Copy(&seen, master) // ends with an error when the other side is closed
	}()
	asked := make(prompts, 2)
	typed := make(chan error, 1)
	go func() {
		for range 2 {
			<-asked
			for until := time.Now().Add(time.Minute); ; {
				mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
				if err == nil && mode.Lflag&unix.ECHO == 0 {
					break
				}
				if err != nil || time.Now().After(until) {
					typed <- fmt.Errorf("the terminal still echoes: %w", err)
					return
				}
			}
			if _, err := io.WriteString(master, "typ3d value\n"); err != nil {
				typed <- err
				return
			}
		}
		typed <- nil
	}()
	var out bytes.Buffer
	if err := SetSecret(Streams{In: slave, Out: &out, Err: asked}, file, "a"); err != nil {
		t.Fatal(err)
	}
	if err := <-typed; err != nil {
		t.Fatal(err)
	}
	slave.Close()
	<-echoed
	if got, err := secret.Open(filepath.Join(dir, "data")).Get("a"); got != "typ3d value" || err != nil {
		t.Errorf("stored %q, %v", got, err)
	}
	if all := seen.String() + out.String(); strings.Contains(all, "typ3d") {
		t.Errorf("the terminal shows %q", all)
	}
}

// prompts tells of each question.
type prompts chan struct{}

func (p prompts) Write(b []byte) (int, error) {
	if bytes.HasSuffix(b, []byte(": ")) {
		p <- struct{}{}
	}
	return len(b), nil
}
