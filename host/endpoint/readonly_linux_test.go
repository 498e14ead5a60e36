package endpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tocsin-net/tocsin/host/endpoint"
)

// TestReadOnlyFolder follows a plug-in folder on a read-only file system, whose files change all the same: on a network
// share or in a container's volume, somebody else writes them. The test runs itself once more in a mount namespace of its own,
// so that it holds for root too, whom a folder's mode does not stop.
func TestReadOnlyFolder(t *testing.T) {
	const inside = "TOCSIN_TEST_MOUNTS"
	if os.Getenv(inside) != "" {
		readOnlyFolder(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReadOnlyFolder$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("a mount namespace cannot be made here, so nothing can be mounted read-only: %v", err)
	case err != nil:
		t.Errorf("in the namespace: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("in the namespace: %s", out)
	}
}

func readOnlyFolder(t *testing.T) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("the namespace's mounts cannot be made its own: %v", err)
	}
	writable, dir := t.TempDir(), t.TempDir()
	put := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(writable, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("webhook.wasm", packed(t, "0.1.0", nil))
	if err := unix.Mount(writable, dir, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("no bind mounts here: %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Skipf("no read-only bind mounts here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Fatalf("the folder can be written to: %v", err)
	}

	b := follow(t, options{dir: dir, ReloadOptions: endpoint.ReloadOptions{Canary: 2}})
	b.calls(1)
	b.serves("0.1.0", false)
	put("webhook.wasm", packed(t, "0.2.0", nil))
	b.want("webhook.wasm", "0.2.0", endpoint.Serving)
	b.calls(2)
	b.until("it has proved itself", func() bool { return b.recorded().Version == "0.2.0" })
	put("webhook.wasm", []byte("broken"))
	b.want("webhook.wasm", "", endpoint.Unusable)
	if err := os.Remove(filepath.Join(writable, "webhook.wasm")); err != nil {
		t.Fatal(err)
	}
	b.until("the file is gone", func() bool { return len(b.reloader.Files()) == 0 })
	b.calls(1)
	b.serves("0.2.0", false)
}
