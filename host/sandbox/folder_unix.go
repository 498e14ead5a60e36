//go:build unix

package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ownFolder refuses a cache folder that somebody else could put code into.
func ownFolder(dir string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("the cache folder %s is a file: remove it, or name another folder", dir)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("the cache folder %s belongs to another user (uid %d): tocsin runs code from there, so name a folder of its own user", dir, s.Uid)
	}
	if p := info.Mode().Perm(); p&0o077 != 0 {
		return fmt.Errorf("the cache folder %s is open to other users (mode %04o): run chmod 700 %s", dir, p, dir)
	}
	return nil
}
