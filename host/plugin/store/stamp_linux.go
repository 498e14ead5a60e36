package store

import (
	"io/fs"
	"syscall"
)

// identity is a file's device, its number there, and when anything of it changed last, in nanoseconds.
func identity(info fs.FileInfo) (device, inode uint64, changed int64) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, 0
	}
	return uint64(s.Dev), s.Ino, s.Ctim.Nano() //nolint:unconvert // not of this type on every processor
}
